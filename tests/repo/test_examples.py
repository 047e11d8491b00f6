"""Every example runs, and prints what it says it prints."""

import doctest
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from children import finish, run_script, start

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 120

# These print measurements, and have tests of their own; display.py is only imported.
MEASURING = {"atomic_locks", "demo", "display", "game", "replace_locks"}
SMALL = sorted(set(EXAMPLES.glob("*.py")) - {EXAMPLES / f"{n}.py" for n in MEASURING})


@pytest.fixture
def example(monkeypatch):
    """Return a function that runs an example and returns its status and output."""
    # Where the folder of a script is not searched, its neighbours are not found.
    places = [str(EXAMPLES), os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in places if p))

    def run(path, *args):
        return run_script(path, *args, seconds=SECONDS)

    return run


def promised(path):
    """Return the comment at the end of a small example that says what it prints."""
    comment = path.read_text().partition("\n# Output:\n")[2]
    return "".join(line[4:] for line in comment.splitlines(keepends=True))


def cell(output, name):
    """Return the value of a row of a table."""
    (value,) = re.findall(rf"^  {re.escape(name)} {{2,}}(.+)$", output, re.M)
    return value


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_example_prints_what_it_promises(example, path):
    status, output = example(path)
    assert status == 0, output
    same = doctest.OutputChecker().check_output
    assert same(promised(path), output, doctest.ELLIPSIS), output


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_example_is_less_than_a_page(path):
    assert promised(path)
    assert len(path.read_text().splitlines()) < 80


def test_the_game_loses_neither_energy_nor_tasklets(example):
    status, output = example(EXAMPLES / "game.py", 50, 5)
    assert status == 0, output
    before, after = cell(output, "energy before and after").split()
    assert before == after
    assert cell(output, "tasklets that have ended") == "50"
    assert int(cell(output, "messages between creatures").split()[0]) > 50


def test_the_game_is_the_same_each_time(example):
    first, second = (example(EXAMPLES / "game.py", 50, 5)[1] for _ in range(2))
    row = "messages between creatures"
    assert cell(first, row).split()[0] == cell(second, row).split()[0]


def test_the_locks_let_nobody_in_wrongly(example):
    status, output = example(EXAMPLES / "atomic_locks.py", 5000)
    assert status == 0, output
    assert cell(output, "what went wrong") == "nothing"
    assert int(cell(output, "acquisitions").split()[0].replace(",", "")) >= 5000
    assert cell(output, "kills") != "0"


def test_the_locks_go_wrong_without_atomic(example):
    args = ["--without-atomic", 10_000]
    status, output = example(EXAMPLES / "atomic_locks.py", *args)
    assert status == 1, output
    assert cell(output, "what went wrong") != "nothing"


def test_a_program_of_threads_is_the_same_with_other_locks(example):
    status, output = example(EXAMPLES / "replace_locks.py", 300)
    assert status == 0, output
    assert output.startswith("300 jobs, sum ")
    assert cell(output, "the results are the same") == "yes"
    assert int(cell(output, "beats of a tasklet beside it")) > 0


SKEWED = """
plain = answers.tasklets.channel

class skewed(plain):
    def receive(self):
        number = plain.receive(self)
        return number if number == answers.END else number + 1

answers.tasklets.channel = skewed
"""

LOSSY = """
plain = crowd.tasklets.channel

class lossy(plain):
    def send(self, value):
        if value:
            plain.send(self, value)

crowd.tasklets.channel = lossy
"""

# Its children run the same script, and so the same change.
CHANGED = """
import os
import sys
import demo
from parts import answers, calls, creatures, crowd, patched
{change}
sys.exit(demo.main())
"""


@pytest.fixture
def changed_demo(tmp_path):
    """Return a function that makes a demo with a change."""

    def make(change):
        script = tmp_path / "changed.py"
        script.write_text(CHANGED.format(change=change))
        return script

    return make


def test_the_demo_shows_five_parts_and_says_what_they_showed(example):
    status, output = example(EXAMPLES / "demo.py", "--scale", 0.003)
    assert status == 0, output
    head, _, end = output.partition("What was shown")
    titles = ["Game loop: ", "Crowd: ", "Threads: ", "Answers: ", "Calls: "]
    assert [line for line in titles if f"\n{line}" in head] == titles
    assert len(re.findall(r" \(asyncio\) ", end)) == 8
    assert re.search(r"^Of 12 comparisons tasklets did better in \d+, ", end, re.M)
    assert "All results are right" in end
    assert "\r" not in output


@pytest.mark.parametrize(
    ("part", "change", "mistake"),
    [
        ("creatures", "creatures.SLICE = None", "stopped was not the script alone"),
        ("creatures", "creatures.Creature.walk = lambda self: None", "turns"),
        ("crowd", LOSSY, "messages got lost"),
        ("patched", "import threaded; threaded.count = os.getpid()", "result"),
        ("answers", SKEWED, "answers were wrong"),
        ("calls", "calls.call = lambda number, seconds: -1", "results were wrong"),
        ("calls", "calls.LIMIT = 'many'", "no result, exit status 1"),
        ("crowd", "crowd.SUBJECTS['asyncio'] = lambda *_: os._exit(9)", "status 9"),
    ],
)
def test_the_demo_fails_if_something_is_wrong(
    example, changed_demo, part, change, mistake
):
    status, output = example(changed_demo(change), "--scale", 0.003, part)
    assert status == 1, output
    assert re.search(rf"^WRONG: .*{mistake}", output, re.M), output
    assert "WRONG RESULTS" in output


@pytest.mark.parametrize("args", [["nonsense"], ["--scale", "0"], ["--scale", "x"]])
def test_the_demo_refuses_what_it_cannot_do(example, args):
    status, output = example(EXAMPLES / "demo.py", *args)
    assert status == 2, output
    assert "usage:" in output


def test_ctrl_c_ends_the_demo_and_what_it_has_started(example, changed_demo, tmp_path):
    note = tmp_path / "pid"
    os.mkfifo(note)
    script = changed_demo(
        "import os, time\n"
        "def hang(scale, note):\n"
        f"    open({str(note)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(1000)\n"
        "crowd.SUBJECTS['tasklets'] = hang\n"
    )
    demo = start(script, "crowd", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    pid = int(note.read_text())  # waits until it is written
    demo.send_signal(signal.SIGINT)
    status, output, _ = finish(demo, SECONDS)
    assert status == 130, output
    assert output.endswith("Interrupted.\n")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_progress_is_written_over_on_a_terminal(example, changed_demo):
    script = changed_demo(
        "def work(scale, note):\n"
        "    for number in range(100):\n"
        "        demo.time.sleep(0.01)\n"
        "        note(f'step {number}')\n"
        "    return {'ok': True, 'crowd': 1, 'bytes': 1, 'births': 1, 'rate': 1}\n"
        "crowd.SUBJECTS = {'tasklets': work, 'asyncio': work}\n"
    )
    ours, its = os.openpty()
    demo = start(script, "crowd", stdout=its, stderr=its)
    os.close(its)
    output = b""
    try:
        while piece := os.read(ours, 10_000):
            output += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    finally:
        os.close(ours)
    assert demo.wait() == 0, output
    assert re.search(rb"\r  running: tasklets: step \d+", output)
    assert not re.search(rb"step \d+ *\r?\n", output)


@pytest.mark.parametrize(
    ("mine", "theirs", "more_is_better", "outcome"),
    [
        (1, 3, False, "better: 3.0 times less"),
        (3, 1, False, "WORSE: 3.0 times more"),
        (3, 1, True, "better: 3.0 times more"),
        (1, 3, True, "WORSE: 3.0 times less"),
        (100, 101, False, "about the same"),
        (101, 100, True, "about the same"),
        (0, 1, False, "better: less"),
        (0, 0, False, "about the same"),
    ],
)
def test_a_comparison_says_how_it_came_out(
    monkeypatch, mine, theirs, more_is_better, outcome
):
    monkeypatch.syspath_prepend(EXAMPLES)
    from parts import Comparison

    compared = Comparison("it", mine, theirs, "x", more_is_better=more_is_better)
    assert compared.outcome() == outcome
    assert compared.lost == outcome.startswith("WORSE")


def test_the_demo_says_that_the_machine_is_busy(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    from demo import busy

    assert busy(2.0, 2) == ""
    assert busy(7.5, 2).startswith("This machine was busy: 7.5 processes")


def test_what_is_lost_is_named_in_the_last_line(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    from demo import summary
    from parts import Comparison

    better, worse = Comparison("speed", 1, 3, "x"), Comparison("memory", 3, 1, "x")
    assert summary([better, worse]) == (
        "Of 2 comparisons tasklets did better in 1, the same in 0, worse in 1: memory."
    )
