"""Budgets of run() beside tracers, profilers, debuggers and coverage."""

import bdb
import cProfile
import importlib.util
import io
import json
import pdb
import pstats
import sys
import time
from textwrap import dedent

import pytest
from children import finish, run_program, start

from tasklets import getcurrent, run, schedule, scheduler, spawn, tasklet

pytestmark = pytest.mark.usefixtures("no_foreign_collector_callbacks")

SECONDS = 120

needs_monitoring = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="needs sys.monitoring"
)


@pytest.fixture(autouse=True)
def tools_as_before():
    """Leave no tracer or profiler behind."""
    tracer, profiler = sys.gettrace(), sys.getprofile()
    yield
    sys.settrace(tracer)
    sys.setprofile(profiler)


def add(a, b):
    return a + b


def fail(number):
    raise KeyError(number)


def generate(limit):
    for number in range(limit):
        yield number + 1 - 1


def work(rounds=40):
    """Do some of all that is traced."""
    total = 0
    for number in generate(rounds):
        total = add(total, number)
        try:
            if number % 5 == 0:
                fail(number)
        except KeyError as error:
            total += len(error.args)
        total += sum([n + 1 for n in range(3)])
        while total % 7:
            total += 1
    return total


CODES = {f.__code__ for f in (add, fail, generate, work)}

BUDGETS = {
    "ticks": {"ticks": 17},
    "slice_ticks": {"slice_ticks": 23},
    "seconds": {"seconds": 1e-5},
    "slice_seconds": {"slice_seconds": 1e-5},
    "both": {"ticks": 50, "seconds": 1e-5},
    "not used up": {"ticks": 10**9, "seconds": 100, "slice_seconds": 50},
}

with_budgets = pytest.mark.parametrize("budgets", BUDGETS.values(), ids=BUDGETS)


def drive(victim, budgets):
    """Run it to its end; return how often it was stopped."""
    stops = 0
    while victim.alive:
        found = scheduler.run(**budgets)
        if found is not None:
            assert found is victim
            stops += 1
            found.insert()
    return stops


def note(events):
    """Return a trace function that notes what happens in work()."""

    def trace(frame, event, arg):
        if frame.f_code not in CODES:
            return None
        arg = arg if isinstance(arg, int) else None
        line = frame.f_lineno - frame.f_code.co_firstlineno
        events.append((frame.f_code.co_name, event, line, arg))
        return trace

    return trace


# sys.settrace.


def traced(budgets, events):
    """Have main's tracer see a tasklet; return what it computed."""
    trace = note(events)

    def outer():
        sys.settrace(trace)
        try:
            return work()
        finally:
            sys.settrace(None)

    victim = spawn(outer)
    drive(victim, budgets)
    return victim.result()


@with_budgets
def test_a_tracer_of_a_tasklet_sees_the_same_events(budgets):
    expected, events = [], []
    result = traced({}, expected)
    assert len(expected) > 500
    for _ in range(3):
        events.clear()
        assert traced(budgets, events) == result
        assert events == expected
    assert sys.gettrace() is None


@with_budgets
def test_a_tracer_that_was_there_before_sees_the_same_events(budgets):
    def seen(budgets):
        events = []
        trace = note(events)
        victim = tasklet(work)()
        sys.settrace(trace)
        try:
            drive(victim, budgets)
            work(3)  # by the caller, afterwards
            assert sys.gettrace() is trace
        finally:
            sys.settrace(None)
        return events

    expected = seen({})
    assert expected
    for _ in range(3):
        assert seen(budgets) == expected


@with_budgets
def test_gettrace_shows_the_tracer_of_the_program(budgets, log):
    def look():
        log.append(sys.gettrace())
        work(5)
        log.append(sys.gettrace())

    def trace(frame, event, arg):
        return None

    sys.settrace(trace)
    try:
        drive(tasklet(look)(), budgets)
        log.append(sys.gettrace())
    finally:
        sys.settrace(None)
    assert log == [trace] * 3
    log.clear()
    drive(tasklet(look)(), budgets)
    assert log == [None] * 2


def test_a_tracer_that_is_set_in_the_caller_between_two_runs_sees_the_rest():
    events = []
    victim = tasklet(work)(10**6)
    assert scheduler.run(100) is victim
    sys.settrace(note(events))
    try:
        victim.insert()
        assert scheduler.run(1000) is victim
    finally:
        sys.settrace(None)
    assert ("add", "call", 0, None) in events
    count = len(events)
    victim.insert()
    assert scheduler.run(1000) is victim
    assert len(events) == count
    victim.kill()


def test_a_tracer_that_is_taken_away_while_a_tasklet_is_stopped_is_gone():
    events = []
    sys.settrace(note(events))
    try:
        victim = tasklet(work)()
        assert scheduler.run(100) is victim
    finally:
        sys.settrace(None)
    count = len(events)
    assert count > 0
    victim.insert()
    assert scheduler.run(10**9, seconds=100) is None
    assert len(events) == count
    assert not victim.alive


@with_budgets
def test_nobody_is_stopped_inside_a_trace_function(budgets, log):
    def trace(frame, event, arg):
        if frame.f_code is add.__code__:
            log.append("in")
            end = time.monotonic() + 0.001
            while time.monotonic() < end:
                pass
            log.append("out")
        return None

    def outer():
        sys.settrace(trace)
        try:
            work(10)
        finally:
            sys.settrace(None)

    victim = tasklet(outer)()
    while victim.alive:
        found = scheduler.run(**budgets)
        assert log[-1:] in ([], ["out"])
        if found is not None:
            found.insert()
    assert log == ["in", "out"] * 10


def test_an_error_of_a_trace_function_reaches_the_tasklet(log):
    def trace(frame, event, arg):
        if frame.f_code is add.__code__:
            raise ValueError("from the tracer")
        return trace

    def outer():
        sys.settrace(trace)
        try:
            work()
        except ValueError as error:
            log.append(str(error))
        log.append(sys.gettrace())
        work()
        log.append("end")

    drive(tasklet(outer)(), {"ticks": 10, "slice_seconds": 0.001})
    assert log == ["from the tracer", None, "end"]


@with_budgets
def test_opcode_events_of_the_program_stay_the_same(budgets):
    def trace(frame, event, arg):
        if frame.f_code not in CODES:
            return None
        frame.f_trace_opcodes = True
        events.append((frame.f_code.co_name, event, frame.f_lasti))
        return trace

    def outer():
        sys.settrace(trace)
        try:
            return work(10)
        finally:
            sys.settrace(None)

    def seen(budgets):
        events.clear()
        drive(tasklet(outer)(), budgets)
        return list(events)

    events = []
    seen({})  # what a version does the first time is its own affair
    expected = seen({})
    assert any(event == "opcode" for _, event, _ in expected)
    assert seen(budgets) == expected


def test_a_traced_tasklet_is_stopped_again_after_the_tracer(log):
    def outer():
        sys.settrace(note([]))
        work(5)
        sys.settrace(None)
        schedule()
        while not log:
            work(1)

    victim = tasklet(outer)()
    other = tasklet(work)(1)
    while not other.alive or victim.scheduled:
        found = scheduler.run(500)
        if found is victim:
            break
    for _ in range(5):
        victim.insert()
        assert scheduler.run(500) is victim
    log.append("end")
    victim.insert()
    assert scheduler.run(10**6) is None


@pytest.mark.parametrize("budget", ["seconds", "slice_seconds"])
def test_a_tasklet_that_traces_itself_is_stopped_by_time(budget, log):
    def outer():
        sys.settrace(lambda *_: None)
        try:
            while not log:
                pass
        finally:
            sys.settrace(None)

    victim = tasklet(outer)()
    for _ in range(3):
        assert scheduler.run(**{budget: 0.005}) is victim
        victim.insert()
    log.append("end")
    assert scheduler.run() is None


# Ticks are the same.


def places(before=None, after=None):
    """Return where a tasklet is stopped, with a tool about."""
    found, trace = [], []

    def loop():
        while True:
            trace.append(work(3))

    victim = tasklet(loop)()
    if before is not None:
        before()
    for ticks in (100, 1, 33, 7, 1000, 250):
        assert scheduler.run(ticks) is victim
        frame = victim.frame
        found.append((len(trace), frame.f_code.co_name, frame.f_lineno, frame.f_lasti))
        victim.insert()
    if after is not None:
        after()
    victim.remove().kill()
    return found


def test_tools_do_not_move_the_place_where_a_tasklet_is_stopped():
    expected = places()
    assert places(lambda: sys.setprofile(lambda *_: None), lambda: sys.setprofile(None))
    profile = cProfile.Profile()
    assert places(profile.enable, profile.disable) == expected
    found = places(lambda: sys.settrace(note([])), lambda: sys.settrace(None))
    assert [place[1] for place in found] == [place[1] for place in expected]
    assert places() == expected


# sys.setprofile, cProfile.


@with_budgets
def test_a_profiler_sees_the_same_calls(budgets):
    def profile(frame, event, arg):
        if frame.f_code in CODES:
            name = arg.__name__ if event.startswith("c_") else None
            events.append((frame.f_code.co_name, event, name))

    def outer():
        sys.setprofile(profile)
        try:
            return work()
        finally:
            sys.setprofile(None)

    def seen(budgets):
        events.clear()
        victim = spawn(outer)
        drive(victim, budgets)
        return victim.result(), list(events)

    events = []
    expected = seen({})
    assert len(expected[1]) > 100
    assert seen(budgets) == expected
    assert sys.getprofile() is None


@with_budgets
def test_cprofile_counts_the_same_calls(budgets):
    def seen(budgets):
        profile = cProfile.Profile()

        def outer():
            profile.enable()
            try:
                work()
            finally:
                profile.disable()

        drive(tasklet(outer)(), budgets)
        stats = pstats.Stats(profile).stats
        return {key[2]: row[:2] for key, row in stats.items() if key[0] == __file__}

    expected = seen({})
    assert expected["add"] == (40, 40)
    found = seen(budgets)
    # It takes any switch in the middle of a call for the call's return: not "work".
    for name in ("add", "fail", "generate"):
        assert found[name] == expected[name]


# bdb, pdb.


class Debugger(bdb.Bdb):
    """Stops at breakpoints and steps on from there."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.seen = []

    def user_line(self, frame):
        name = frame.f_code.co_name
        self.seen.append((name, frame.f_lineno - frame.f_code.co_firstlineno))
        if len(self.seen) % (self.steps + 1) == 0:
            self.set_continue()
        else:
            self.set_step()


@with_budgets
def test_a_debugger_stops_at_the_same_lines(budgets):
    line = add.__code__.co_firstlineno + 1

    def seen(budgets):
        debugger = Debugger(3)
        assert debugger.set_break(__file__, line) is None
        victim = spawn(debugger.runcall, work, 10)
        drive(victim, budgets)
        debugger.clear_all_breaks()
        return victim.result(), debugger.seen

    expected = seen({})
    assert len(expected[1]) >= 20
    assert seen(budgets) == expected
    sys.settrace(None)


@with_budgets
def test_pdb_debugs_a_tasklet_that_is_stopped(budgets):
    line = add.__code__.co_firstlineno + 1

    def session(budgets):
        bdb.Breakpoint.clearBreakpoints()
        steps = "c;p a, b;c;p a, b;n;u;p number;d;cl 1;c;"
        commands = f"b {__file__}:{line};{steps}".replace(";", "\n")
        output = io.StringIO()
        debugger = pdb.Pdb(stdin=io.StringIO(commands), stdout=output, nosigint=True)
        debugger.use_rawinput = False
        victim = spawn(debugger.runcall, work, 5)
        drive(victim, budgets)
        debugger.clear_all_breaks()
        bdb.Breakpoint.clearBreakpoints()
        return victim.result(), output.getvalue()

    expected = session({})
    assert "(0, 0)" in expected[1]
    assert session(budgets) == expected
    sys.settrace(None)


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
            sys.monitoring.use_tool_id(number, "somebody")

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
