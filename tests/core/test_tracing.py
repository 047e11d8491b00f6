"""Trace and profile functions of single tasklets, and of the thread."""

import functools
import gc
import sys
import threading
import weakref

import pytest

from tasklets import channel, getcurrent, run, schedule, scheduler, tasklet

pytestmark = pytest.mark.usefixtures("no_foreign_collector_callbacks")


@pytest.fixture(autouse=True)
def no_functions_left():
    yield
    assert sys.gettrace() is None
    assert sys.getprofile() is None


def tracer(name, log):
    def trace(frame, event, arg):
        log.append((name, frame.f_code.co_name, event))
        return trace

    return trace


def profiler(name, log):
    def profile(frame, event, arg):
        log.append((name, frame.f_code.co_name, event))

    return profile


def outer():
    schedule()
    inner()


def inner():
    schedule()


OUTER = [
    ("outer", "call"), ("outer", "line"), ("outer", "line"),
    ("inner", "call"), ("inner", "line"), ("inner", "return"),
    ("outer", "return"),
]  # fmt: skip


def of(name, log):
    return [rest for who, *rest in log if who == name]


def as_lists(events):
    return [list(event) for event in events]


def test_a_tasklet_is_traced_by_its_own_function(log):
    traced, plain = tasklet(outer)(), tasklet(outer)()
    traced.trace_function = tracer("own", log)
    run()
    assert of("own", log) == as_lists(OUTER)
    assert len(log) == len(OUTER)
    assert not plain.alive


def test_a_tasklet_is_profiled_by_its_own_function(log):
    profiled = tasklet(outer)()
    tasklet(outer)()
    profiled.profile_function = profiler("own", log)
    run()
    calls = [event for event in log if event[2] in ("call", "return")]
    assert calls == [
        ("own", "outer", "call"), ("own", "inner", "call"),
        ("own", "inner", "return"), ("own", "outer", "return"),
    ]  # fmt: skip


def test_several_tasklets_have_functions_at_the_same_time(log):
    for name in "abc":
        tasklet(outer)().trace_function = tracer(name, log)
    run()
    for name in "abc":
        assert of(name, log) == as_lists(OUTER)


def test_the_function_of_the_thread_sees_the_others(log):
    traced, plain = tasklet(outer)(), tasklet(outer)()
    traced.trace_function = tracer("own", log)
    sys.settrace(tracer("thread", log))
    run()
    sys.settrace(None)
    assert of("own", log) == as_lists(OUTER)
    assert of("thread", log) == as_lists(OUTER)
    assert not plain.alive


def test_none_keeps_the_function_of_the_thread_away(log):
    quiet = tasklet(outer)()
    quiet.trace_function = None
    quiet.profile_function = None
    sys.settrace(tracer("thread", log))
    sys.setprofile(profiler("thread", log))
    run()
    sys.setprofile(None)
    sys.settrace(None)
    assert not [event for event in log if event[1] in ("outer", "inner")]


def test_a_deleted_function_gives_way_to_that_of_the_thread(log):
    traced = tasklet(outer)()
    traced.trace_function = tracer("own", log)
    del traced.trace_function
    assert traced.trace_function is None
    sys.settrace(tracer("thread", log))
    run()
    sys.settrace(None)
    assert of("thread", log) == as_lists(OUTER)
    assert not of("own", log)


def test_the_current_tasklet_shows_the_active_functions(log):
    function = tracer("thread", log)
    sys.settrace(function)
    seen = getcurrent().trace_function
    sys.settrace(None)
    assert seen is function
    assert getcurrent().trace_function is None


@pytest.mark.parametrize("name", ["trace_function", "profile_function"])
def test_a_tasklet_that_does_not_run_shows_its_own(name, log):
    t = tasklet(outer)()
    assert getattr(t, name) is None
    function = tracer("own", log)
    setattr(t, name, function)
    assert getattr(t, name) is function
    schedule()  # it has started
    assert getattr(t, name) is function
    run()
    assert getattr(t, name) is None


def test_main_may_have_its_own(log):
    main = getcurrent()
    main.trace_function = tracer("main", log)
    tasklet(outer)()
    inner()
    del main.trace_function
    run()
    assert ["inner", "call"] in of("main", log)
    assert ["outer", "call"] not in of("main", log)


def test_a_function_may_be_set_in_the_middle(log):
    def work():
        inner()
        getcurrent().trace_function = tracer("own", log)
        inner()
        getcurrent().trace_function = None
        inner()

    tasklet(work)()
    tasklet(outer)()
    run()
    assert of("own", log) == [["inner", "call"], ["inner", "line"], ["inner", "return"]]


def test_settrace_in_a_tasklet_with_its_own_stays_there(log):
    def work():
        sys.settrace(tracer("second", log))
        inner()

    t = tasklet(work)()
    t.trace_function = tracer("first", log)
    tasklet(outer)()
    run()
    assert ["inner", "call"] in of("second", log)
    assert not [event for event in log if event[1] == "outer"]


def test_a_function_may_be_set_before_the_tasklet_is_bound(log):
    t = tasklet()
    t.trace_function = tracer("own", log)
    t.bind(outer)
    t()
    run()
    assert of("own", log) == as_lists(OUTER)


def test_a_killed_tasklet_leaves_nothing_behind(log):
    ch = channel()
    t = tasklet(ch.receive)()
    t.trace_function = tracer("own", log)
    run()
    t.kill()
    tasklet(outer)()
    run()
    assert not [event for event in log if event[1] == "outer"]


def test_switching_inside_of_a_trace_function_does_not_blind_the_others(log):
    def yielding(frame, event, arg):
        if event == "line":
            schedule()
        return yielding

    t = tasklet(outer)()
    t.trace_function = yielding
    other = tasklet(outer)()
    other.trace_function = tracer("other", log)
    run()
    assert of("other", log) == as_lists(OUTER)


@pytest.mark.parametrize("name", ["trace_function", "profile_function"])
@pytest.mark.parametrize("wrong", [1, "f", ()])
def test_a_function_must_be_callable(name, wrong):
    t = tasklet(outer)
    with pytest.raises(TypeError, match=f"{name} must be a callable or None"):
        setattr(t, name, wrong)
    assert getattr(t, name) is None


@pytest.mark.parametrize("name", ["trace_function", "profile_function"])
def test_the_functions_of_what_runs_on_another_thread_are_out_of_reach(name):
    found, ready, done = [], threading.Event(), threading.Event()

    def work():
        found.append(getcurrent())
        ready.set()
        done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    with pytest.raises(RuntimeError, match="another thread"):
        getattr(found[0], name)
    with pytest.raises(RuntimeError, match="another thread"):
        setattr(found[0], name, print)
    done.set()
    thread.join()
    found.clear()


def test_a_function_that_knows_its_tasklet_is_collected(log):
    ch = channel()
    t = tasklet(ch.receive)
    t.trace_function = functools.partial(print, t)
    gone = weakref.ref(t)
    del t
    assert gone() is not None
    gc.collect()
    assert gone() is None


def test_ticks_are_counted_beside_a_function(log):
    def spin():
        while True:
            inner_step()

    def inner_step():
        log.append("step")

    t = tasklet(spin)()
    t.trace_function = lambda *args: None
    assert scheduler.run(ticks=100) is t
    assert 0 < len(log) <= 100
    t.kill()
