"""Each benchmark, with tiny sizes: it runs, and what it returns is a cost."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # last: the tasklets under test may be elsewhere

from benchmarks import (  # noqa: E402
    bench_watchdog,
    chart,
    compare,
    instructions,
    interruptions,
    measure,
    million,
    run,
    switches,
)
from benchmarks.table import WORKLOADS  # noqa: E402
from tasklets import spawn  # noqa: E402

TINY = 0.0005
MEASURED = ROOT / "benchmarks" / "measured.json"  # what the documentation shows
SUBJECTS = [
    (name, subject)
    for name, workload in WORKLOADS.items()
    for subject in workload.subjects()
]


def is_cost(value):
    # Little memory may cost nothing at all.
    return isinstance(value, (int, float)) and 0 <= value < 1e9


def result(median, low):
    return {"tasklets": {"median": median, "low": low, "high": 2 * median}}


def report_file(path, **workloads):
    path.write_text(json.dumps({"workloads": workloads}))
    return path


def test_every_row_of_the_table_has_a_title_of_its_own():
    titles = [workload.title for workload in WORKLOADS.values()]
    assert len(titles) == len(set(titles))


def test_a_bare_switch_takes_time():
    assert measure.bare_switch(100) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "subject"), SUBJECTS)
def test_a_workload_gives_a_cost(name, subject):
    reference, cost = measure.sample_fresh(name, subject, TINY)
    assert is_cost(cost)
    assert (reference is None) == (WORKLOADS[name].reference is None)
    assert reference is None or (is_cost(reference) and reference > 0)


@pytest.mark.parametrize("name", [n for n, w in WORKLOADS.items() if not w.fresh])
def test_a_workload_leaves_nothing_behind_in_its_process(monkeypatch, name):
    monkeypatch.setattr(measure, "TURNS", 1)
    _, cost = measure.sample(WORKLOADS[name], "tasklets", TINY)
    assert is_cost(cost)


def test_the_table_has_a_row_for_each_measured_workload(capsys):
    run.main(["schedule_2", "stream", "--repeat=2", f"--scale={TINY}", "--no-peers"])
    head, empty, *rows = capsys.readouterr().out.splitlines()
    assert "Bare greenlet switch" in head
    assert empty == ""
    assert [row.count("|") for row in rows] == [rows[0].count("|")] * 4
    assert "`schedule()`, 2 runnable" in rows[2]
    assert "stream" in rows[3]


def test_the_report_can_be_written_and_compared_with_itself(tmp_path, capsys):
    out = str(tmp_path / "out.json")
    run.main([out, "--repeat=2", f"--scale={TINY}", "--no-peers", "--json", "stream"])
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(Path(out).read_text())
    assert report["bare_ns"]["median"] > 0
    mine = report["workloads"]["stream"]["tasklets"]
    assert 0 < mine["low"] <= mine["median"] <= mine["high"]
    assert compare.main(out, out) == 0


def test_a_report_can_be_drawn(tmp_path, capsys):
    out, drawn = tmp_path / "out.json", tmp_path / "out.svg"
    run.main([str(out), "--repeat=1", f"--scale={TINY}", "schedule_2"])
    chart.main(out, drawn)
    svg = ET.fromstring(drawn.read_text())
    titles = [title.text for title in svg.iter() if title.tag.endswith("title")]
    peers = [peer for peer in chart.PEERS if peer in WORKLOADS["schedule_2"].peers]
    assert [title.partition(",")[0] for title in titles] == peers


def test_a_report_without_what_is_drawn_is_not_drawn(tmp_path, capsys):
    report = report_file(tmp_path / "old.json", stream=result(1.0, 0.9))
    chart.main(report, tmp_path / "out.svg")
    assert "no chart" in capsys.readouterr().err
    assert not (tmp_path / "out.svg").exists()


def test_the_chart_of_the_documentation_shows_what_was_measured():
    lines = chart.draw(json.loads(MEASURED.read_text()))
    assert (ROOT / "docs" / "benchmarks.svg").read_text() == "\n".join(lines) + "\n"


def cells(path, title):
    """Return the cells of a row of a table in a page."""
    (row,) = re.findall(rf"^\| {re.escape(title)} \|(.+)\|$", path.read_text(), re.M)
    return [each.strip() for each in row.split("|")]


def test_the_tables_of_the_documentation_show_what_was_measured():
    report = json.loads(MEASURED.read_text())
    for name, results in report["workloads"].items():
        shown = cells(ROOT / "docs" / "benchmarks.md", WORKLOADS[name].title)
        mine, spread, _, _, *peers = shown
        assert float(mine.split()[0]) == results["tasklets"]["median"]
        low, high = (results["tasklets"][end] for end in ("low", "high"))
        assert [float(end) for end in spread.split(" to ")] == [low, high]
        medians = [results[p]["median"] if p in results else "" for p in chart.PEERS]
        assert [float(p) if p else "" for p in peers] == medians


def test_the_readme_compares_by_what_was_measured():
    report = json.loads(MEASURED.read_text())
    for title, peers in chart.multiples(report).items():
        _, *shown = cells(ROOT / "README.md", title)
        assert shown == [chart.number(peers[peer]) for peer in chart.PEERS]


def test_the_readme_says_what_a_tasklet_costs():
    report = json.loads(MEASURED.read_text())
    bare = report["bare_ns"]["median"]
    shown = [cells(ROOT / "README.md", title)[0] for title in chart.ROWS.values()]
    means = [report["workloads"][n]["tasklets"]["median"] for n in chart.ROWS]
    *times, memory = means
    costs = [f"1 ({bare * mean / 1000:.2f} µs)" for mean in times]
    assert shown == [*costs, f"1 ({memory:.2f} KB)"]
    machine = f"CPython {report['python']} and a busy virtual machine with two CPUs"
    assert machine in (ROOT / "README.md").read_text()
    assert f"{bare / 1000:.2f} µs" in (ROOT / "README.md").read_text()


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        run.main(["nonsense"])
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("median", "low", "status"),
    [
        pytest.param(1.05, 1.04, 0, id="a little slower"),
        pytest.param(1.50, 0.90, 0, id="slower, but for some repetitions"),
        pytest.param(1.50, 1.40, 1, id="slower each time"),
        pytest.param(0.50, 0.40, 0, id="faster"),
    ],
)
def test_only_what_is_slower_each_time_got_worse(tmp_path, median, low, status):
    old = report_file(tmp_path / "old.json", stream=result(1.0, 0.9))
    new = report_file(tmp_path / "new.json", stream=result(median, low))
    assert compare.main(old, new) == status


def test_a_workload_that_is_in_one_report_only_is_not_compared(tmp_path, capsys):
    old = report_file(tmp_path / "old.json", stream=result(1.0, 0.9))
    new = report_file(tmp_path / "new.json", fan_in=result(9.0, 9.0))
    assert compare.main(old, new) == 0
    assert capsys.readouterr().out == ""


def test_a_few_of_a_million_end_in_random_order():
    report = million.measure(300)
    assert report["blocked"] == 300
    assert report["left_runnable"] == 0
    assert set(report["growth"]) == {"mappings", "resident"}
    assert "300 tasklets" in "\n".join(million.lines(report))


def test_a_few_of_ten_million_switches_are_made():
    seconds, done, _, _ = switches.measure(1000)
    assert seconds > 0
    assert done == 1000


def test_nothing_is_worn_out_by_a_few_of_twenty_million_interruptions():
    report = interruptions.measure(1000, 10)
    assert report["missed"] == 0
    assert report["traced_lines"] == 3
    assert "1,000 interruptions by ticks" in "\n".join(interruptions.lines(report))


@pytest.mark.skipif(
    not bench_watchdog.MONITORING,
    reason="needs sys.monitoring: without it counting ends with the call",
)
def test_a_workload_without_budgets_waits_until_nothing_is_counted():
    spawn(bench_watchdog.calls, 10)
    bench_watchdog.drive(ticks=1000)
    assert bench_watchdog.is_counting()
    bench_watchdog.settle()
    assert not bench_watchdog.is_counting()


@pytest.mark.parametrize("name", ["slice", "frame", "interruption"])
def test_what_has_no_reference_is_shown_with_its_unit(name):
    workload = WORKLOADS[name]
    cost = 2 * workload.unit
    results = {"tasklets": {"median": 2, "low": 1, "high": 3, "cost": cost}}
    cells = run.row(name, results)
    assert cells[1] == f"2.00{workload.suffix}"
    assert cells[6] == run.nanoseconds(cost)


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 3), (0.99, 5), (0, 1), (1, 5)], ids=str
)
def test_a_share_of_all_does_not_exceed_a_quantile(share, value):
    assert bench_watchdog.quantile([5, 1, 4, 2, 3], share) == value


def test_instructions_are_those_of_the_operations_alone(monkeypatch):
    monkeypatch.setattr(instructions, "count", lambda _, n: 5_000_000 + 300 * n)
    assert instructions.per_operation("schedule_2") == 300


def test_instructions_are_counted_only_for_what_is_compared_with_a_switch(capsys):
    with pytest.raises(SystemExit):
        instructions.main(["memory"])
    assert "memory" in capsys.readouterr().err
