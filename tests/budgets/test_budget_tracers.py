"""Budgets of run() beside trace and profile functions, and debuggers."""

import bdb
import cProfile
import io
import pdb
import pstats
import sys
import time

import pytest
from traced import CODES, add, drive, with_budgets, work

from tasklets import schedule, scheduler, spawn, tasklet

SOURCE = work.__code__.co_filename

pytestmark = pytest.mark.usefixtures(
    "no_foreign_collector_callbacks", "tools_as_before"
)


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
        return {key[2]: row[:2] for key, row in stats.items() if key[0] == SOURCE}

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
        assert debugger.set_break(SOURCE, line) is None
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
        commands = f"b {SOURCE}:{line};{steps}".replace(";", "\n")
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
