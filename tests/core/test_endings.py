"""What a tasklet has set for itself ends with it, and nothing of it wakes it again."""

import gc
import os
import signal
import sys
import threading
import time

import pytest
from threads import SECONDS, block_until

import tasklets
from tasklets import (
    QueueChannel,
    TaskGroup,
    atomic,
    channel,
    local,
    run,
    scheduler,
    set_schedule_callback,
    sleep,
    spawn,
    tasklet,
    timeout,
)

kept = []


@pytest.fixture(autouse=True)
def let_go():
    """Forget what a test has kept."""
    yield
    kept.clear()


def enter(block):
    kept.append(block)
    block.__enter__()


def ticks(count=5):
    """Show that this thread's tasklets go on."""
    for _ in range(count):
        sleep(0.001)
    return count


# ---- blocks that nobody has left


def test_the_time_of_a_block_that_was_not_left_is_never_up(clock):
    t = spawn(enter, timeout(0.01))
    t.join()
    sleep(0.02)
    assert not t.alive
    assert not t.scheduled
    assert not kept[0].expired
    assert spawn(ticks).result() == 5


def test_a_block_is_left_once_its_tasklet_is(clock):
    spawn(enter, timeout(0.01)).join()
    (limit,) = kept
    assert "not entered" in repr(limit)
    assert limit.__exit__(None, None, None) is False
    with pytest.raises(RuntimeError, match="not entered"):
        limit.__exit__(None, None, None)
    with pytest.raises(TimeoutError), limit:
        channel().receive()


def test_a_block_that_was_over_says_so(clock):
    def work():
        enter(timeout(0.01))
        try:
            channel().receive()
        finally:
            kept.append("left")

    with pytest.raises(RuntimeError, match=r"without leaving .* in enter is"):
        spawn(work).result()
    assert kept[0].expired
    assert kept[1] == "left"


def test_a_generator_may_outlive_the_tasklet_that_its_block_is_of(clock):
    def limited():
        with timeout(0.01):
            yield 1
            yield 2

    made = limited()
    assert spawn(next, made).result() == 1
    sleep(0.02)
    made.close()
    made = limited()
    assert spawn(next, made).result() == 1
    assert next(made) == 2
    assert list(made) == []


def test_blocks_within_blocks_end_too(clock):
    def work():
        for seconds in (0.03, 0.01, 0, None, 0.02):
            enter(timeout(seconds))

    spawn(work).join()
    sleep(0.04)
    for limit in reversed(kept):
        limit.__exit__(None, None, None)
    assert spawn(ticks).result() == 5


def test_a_killed_tasklet_leaves_none(clock):
    def work():
        enter(timeout(0.01))
        channel().receive()

    t = spawn(work)
    tasklets.schedule()
    t.kill()
    sleep(0.02)
    assert not t.scheduled


def test_a_tasklet_that_is_bound_again_begins_with_none(clock):
    def work():
        sleep(0.05)
        kept.append("slept")

    t = tasklet(enter)(timeout(0.01))
    run()
    t.bind(work, ()).insert()
    scheduler.run(wait=True)
    assert kept[1:] == ["slept"]


def test_a_group_that_was_not_left_does_not_wake_its_tasklet(clock):
    def fail():
        sleep(0.01)
        raise KeyError

    def work():
        group = TaskGroup()
        enter(group)
        kept.append(group.spawn(fail))

    t = spawn(work)
    t.join()
    with pytest.raises(KeyError):
        kept[1].result()
    sleep(0.02)
    assert not t.scheduled
    assert spawn(ticks).result() == 5


def test_a_main_tasklet_leaves_none():
    def work():
        enter(timeout(0.001))
        sleep(0)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert kept[0].__exit__(None, None, None) is False
    assert spawn(ticks).result() == 5


# ---- what is set when it has ended already


@pytest.fixture
def at_signal():
    """Return what calls something from a signal handler, after a tasklet's end."""

    def wait(func):
        def handler(*args):
            handled.send(tasklets.getcurrent())
            func()

        handled = QueueChannel()
        before = signal.signal(signal.SIGUSR1, handler)

        def interrupt(ended):
            # From its end on, the main tasklet waits without running any code.
            block_until(lambda: not ended.alive)
            os.kill(os.getpid(), signal.SIGUSR1)

        thread = threading.Thread(target=interrupt, args=(tasklet(int)(),))
        try:
            thread.start()
            current = handled.receive(timeout=SECONDS)
        finally:
            thread.join()
            signal.signal(signal.SIGUSR1, before)
        run()  # it, too, if it was bound again
        assert not current.alive
        assert not current.scheduled
        return current

    return wait


def at_callback(func):
    """Call something in a schedule callback, when a tasklet has just ended."""
    ended = []

    def callback(before, after):
        if not ended and not before.alive:
            ended.append(before)
            func()

    set_schedule_callback(callback)
    try:
        spawn(int)
        tasklets.schedule()
    finally:
        set_schedule_callback(None)
    return ended[0]


@pytest.fixture(params=["handler", "callback"])
def at_end(request, at_signal):
    """Return what calls something while a tasklet that has ended is current."""
    return at_signal if request.param == "handler" else at_callback


def test_a_block_may_be_entered_and_left(at_end):
    def call():
        with timeout(0), timeout(0.001), timeout(None):
            time.sleep(0.002)
            kept.append("called")

    at_end(call)
    assert kept == ["called"]
    assert spawn(ticks).result() == 5


def test_a_block_that_is_not_left_is_forgotten(at_end):
    def call():
        for seconds in (0.001, 0, 0.03):
            enter(timeout(seconds))
            time.sleep(0.002)

    t = at_end(call)
    sleep(0.04)
    assert not t.scheduled
    assert spawn(ticks).result() == 5


def test_atomic_does_not_stay(at_end):
    def compute():
        while not seen:
            pass
        done.append("computed")

    seen, done = [], []
    t = at_end(lambda: tasklets.getcurrent().set_atomic(True))
    assert not t.atomic
    thread = threading.Thread(target=compute)
    thread.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not done:
        seen.append(sum(range(1000)))  # the other gets in, without our waiting
    assert done
    thread.join()


def test_an_atomic_block_is_one(at_end):
    def call():
        with atomic():
            kept.append(tasklets.getcurrent().atomic)
        kept.append(tasklets.getcurrent().atomic)

    at_end(call)
    assert kept == [True, False]


@pytest.mark.parametrize("name", ["trace_function", "profile_function"])
def test_trace_functions_do_not_stay(at_end, name):
    def trace(frame, event, arg):
        seen.append(frame.f_code.co_name)

    def call():
        setattr(tasklets.getcurrent(), name, trace)

    seen = []
    # CPython 3.15.2 must have prepared the code that runs already: it crashes, with
    # bare greenlets too, if that raises once a trace function was set elsewhere.
    before = sys.gettrace()
    sys.settrace(trace)
    sys.settrace(before)
    t = at_end(call)
    assert (sys.gettrace() or sys.getprofile()) is not trace
    seen.clear()
    ticks()
    spawn(ticks).result()
    assert seen == []
    assert getattr(t, name) is None


def test_attributes_of_a_local_do_not_stay(at_end):
    class Thing:
        pass

    here = local()

    def call():
        here.thing = Thing()

    t = at_end(call)
    gc.collect()
    assert not any(isinstance(each, Thing) for each in gc.get_objects())
    assert not t.alive


def test_a_tasklet_may_be_bound_again(at_signal):
    def call():
        t = tasklets.getcurrent()
        t.bind(kept.append, ("called",))
        enter(timeout(0.001))
        t.insert()
        t.set_atomic(True)
        time.sleep(0.002)

    t = at_signal(call)
    sleep(0.01)
    assert kept[1:] == ["called"]
    assert not t.alive
    assert spawn(ticks).result() == 5


# ---- callbacks with a time


def of_callbacks():
    found = gc.get_objects()
    return [t for t in found if isinstance(t, tasklet) and not t.is_main and t.alive]


@pytest.mark.parametrize(
    "use",
    [
        lambda t: t.insert(),
        lambda t: t.bind(None),
        lambda t: t.kill(),
        lambda t: (t.insert(), tasklets.schedule()),
        lambda t: (t.bind(int, ()), t.insert(), tasklets.schedule()),
    ],
    ids=["insert", "unbind", "kill", "run", "rebind"],
)
@pytest.mark.parametrize("cancel", [False, True])
def test_one_that_was_found_and_used_is_not_called_again(clock, use, cancel):
    handle = scheduler.call_later(0.01, kept.append, "called")
    (found,) = of_callbacks()
    use(found)
    if cancel:
        handle.cancel()
    sleep(0.02)
    assert len(kept) <= 1
    assert not found.scheduled
    assert spawn(ticks).result() == 5


def test_a_thread_ends_beside_one_that_was_found_and_used():
    def work():
        scheduler.call_later(SECONDS, kept.append, "called")
        for t in of_callbacks():
            t.insert()
        tasklets.schedule()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert kept == ["called"]
