"""Budgets of run() beside tools of sys.monitoring, and coverage."""

import importlib.util
import json
import sys
from textwrap import dedent

import pytest
from children import finish, run_program, start
from traced import CODES, add, drive, with_budgets, work

from tasklets import getcurrent, run, spawn, tasklet

pytestmark = pytest.mark.usefixtures(
    "no_foreign_collector_callbacks", "tools_as_before"
)

SECONDS = 120

needs_monitoring = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="needs sys.monitoring"
)


# sys.monitoring.


@pytest.fixture
def tool():
    """Take a tool of sys.monitoring, and free it after the test."""
    monitoring = sys.monitoring
    for number in (2, 1, 0, 5, 4, 3):
        if monitoring.get_tool(number) is None:
            break
    monitoring.use_tool_id(number, "test")
    yield number
    monitoring.set_events(number, 0)
    for code in CODES:
        monitoring.set_local_events(number, code, 0)
    for event in range(20):
        try:
            monitoring.register_callback(number, 1 << event, None)
        except ValueError:
            break
    monitoring.free_tool_id(number)


MONITORED = [
    "PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "CALL", "LINE", "JUMP",
    "INSTRUCTION", "STOP_ITERATION", "RAISE", "EXCEPTION_HANDLED", "PY_UNWIND",
]  # fmt: skip


@needs_monitoring
@pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
@pytest.mark.parametrize("name", MONITORED)
@with_budgets
def test_a_monitoring_tool_sees_the_same_events(budgets, name, local, tool):
    monitoring = sys.monitoring
    event = getattr(monitoring.events, name)
    if local and name in ("RAISE", "EXCEPTION_HANDLED", "PY_UNWIND"):
        pytest.skip("there are no local events of this kind")

    def callback(code, *args):
        if code in CODES:
            events.append((code.co_name, *[a for a in args if isinstance(a, int)]))

    def seen(budgets):
        events.clear()
        victim = spawn(work)
        if local:
            for code in CODES:
                monitoring.set_local_events(tool, code, event)
        else:
            monitoring.set_events(tool, event)
        drive(victim, budgets)
        monitoring.set_events(tool, 0)
        for code in CODES:
            monitoring.set_local_events(tool, code, 0)
        return victim.result(), list(events)

    events = []
    monitoring.register_callback(tool, event, callback)
    expected = seen({})
    assert expected[1]
    result, found = seen(budgets)
    assert result == expected[0]
    if name == "STOP_ITERATION" and not found:
        return  # a loop that was unspecialised in its last round reports no end
    assert found == expected[1]


@needs_monitoring
@with_budgets
def test_events_that_a_tool_has_disabled_stay_so(budgets, tool):
    """So do coverage tools: each line is reported once."""
    monitoring = sys.monitoring

    def callback(code, line):
        if code in CODES:
            lines.append((code.co_name, line))
        return monitoring.DISABLE

    def seen(budgets):
        lines.clear()
        monitoring.restart_events()
        monitoring.set_events(tool, monitoring.events.LINE)
        drive(tasklet(work)(), budgets)
        drive(tasklet(work)(), budgets)
        monitoring.set_events(tool, 0)
        return list(lines)

    lines = []
    monitoring.register_callback(tool, monitoring.events.LINE, callback)
    expected = seen({})
    assert 10 < len(expected) < 50
    assert seen(budgets) == expected


@needs_monitoring
def test_an_error_of_a_tools_callback_reaches_the_tasklet(tool, log):
    monitoring = sys.monitoring

    def callback(code, *_):
        if code is add.__code__:
            raise ValueError("from the tool")

    def outer():
        try:
            work()
        except ValueError as error:
            log.append(str(error))

    monitoring.register_callback(tool, monitoring.events.PY_START, callback)
    monitoring.set_events(tool, monitoring.events.PY_START)
    drive(tasklet(outer)(), {"ticks": 10, "slice_seconds": 0.001})
    assert log == ["from the tool"]


@needs_monitoring
@pytest.mark.parametrize("budget", ["1000", "seconds=0.01", "slice_seconds=0.01"])
def test_a_budget_needs_one_of_the_six_tools(budget):
    found = run_program(
        f"""
        import sys
        from tasklets import run, scheduler, tasklet

        for number in range(6):
            sys.monitoring.use_tool_id(number, "another tool")

        def forever():
            while True:
                pass

        done = []
        tasklet(done.append)(1)
        try:
            scheduler.run({budget})
        except RuntimeError as error:
            print(error)
        assert not done
        assert scheduler.run(switches=5) is None and done
        sys.monitoring.free_tool_id(1)
        victim = tasklet(forever)()
        assert scheduler.run({budget}) is victim
        assert sys.monitoring.get_tool(1) == "tasklets"
        victim.kill()
        """,
        seconds=SECONDS,
    )
    assert found == (
        0,
        "a budget in ticks or seconds needs one of the six tools of sys.monitoring, "
        "and all are in use: free one with sys.monitoring.free_tool_id()\n",
        [],
    )


@needs_monitoring
def test_the_customary_numbers_are_left_to_the_customary_tools():
    found = run_program(
        """
        import sys
        from tasklets import scheduler, tasklet

        def forever():
            while True:
                pass

        monitoring = sys.monitoring
        victim = tasklet(forever)()
        assert scheduler.run(100) is victim
        for number in (monitoring.DEBUGGER_ID, monitoring.COVERAGE_ID,
                       monitoring.PROFILER_ID, monitoring.OPTIMIZER_ID):
            assert monitoring.get_tool(number) is None
        victim.kill()
        """,
        seconds=SECONDS,
    )
    assert found == (0, "", [])


# coverage.


@pytest.mark.skipif(
    importlib.util.find_spec("coverage") is None, reason="needs coverage"
)
@pytest.mark.slow
@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
def test_coverage_reports_the_same_lines(core, tmp_path):
    if core == "sysmon" and sys.version_info < (3, 12):
        pytest.skip("needs sys.monitoring")
    program = tmp_path / "program.py"
    program.write_text(
        dedent(
            """
            import sys
            from tasklets import run, scheduler, tasklet

            def add(a, b):
                if a > 10**9:
                    return "never"
                return a + b

            def work():
                total = 0
                for number in range(200):
                    total = add(total, number)
                    if number == 150:
                        total += 1
                    try:
                        if number % 50 == 0:
                            raise KeyError
                    except KeyError:
                        total -= 1
                    with open(__file__) as file:
                        total += len(file.readline())
                return total

            victim = tasklet(work)()
            kind = sys.argv[1]
            times = {"slice_seconds": 1e-4}
            budgets = {"none": {}, "ticks": {"ticks": 40}, "time": times}
            while victim.alive:
                (scheduler.run(**budgets[kind]) or victim).alive and victim.insert()
            """
        )
    )
    found = {}
    for kind in ("none", "ticks", "time"):
        data = tmp_path / f"data-{kind}"
        report = tmp_path / f"{kind}.json"
        settings = tmp_path / "coveragerc"
        concurrency = "greenlet" if core == "ctrace" else "thread"
        settings.write_text(f"[run]\ncore = {core}\nconcurrency = {concurrency}\n")
        common = [f"--rcfile={settings}", f"--data-file={data}"]
        for arguments in (
            ["run", *common, program, kind],
            ["json", *common, "-o", report, "-q", f"--include={program}"],
        ):
            child = start("-m", "coverage", *arguments, stdout=-1, stderr=-2)
            status, output, _ = finish(child, SECONDS)
            assert status == 0, output
        (lines,) = json.loads(report.read_text())["files"].values()
        found[kind] = lines["executed_lines"], lines["missing_lines"]
    assert found["none"][1], "the line that never runs is missing"
    assert found["ticks"] == found["none"]
    assert found["time"] == found["none"]


def test_a_tasklet_may_look_at_its_own_frames_while_ticks_count(log):
    def outer():
        me = getcurrent()
        for _ in range(50):
            frame = sys._getframe()
            log.append(frame.f_code.co_name == "outer" and me.frame is frame)

    drive(tasklet(outer)(), {"ticks": 7})
    assert log == [True] * 50
    run()
