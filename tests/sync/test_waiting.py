"""wait() and as_completed(): several tasklets and futures at once."""

import gc
import math
import random
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from children import run_program

import tasklets
from tasklets import (
    CancelledError,
    DeadlockError,
    TaskletExit,
    as_completed,
    channel,
    getcurrent,
    getmain,
    recv,
    run,
    schedule,
    scheduler,
    select,
    sleep,
    spawn,
    tasklet,
    timeout,
    wait,
)
from tasklets.locks import Event
from tasklets.testing import fake_clock, seeded, settle
from tasklets.workers import WorkerPool

LATE = 30  # seconds until something is badly wrong


def sleepers(*seconds):
    return [spawn(sleep, each) for each in seconds]


# wait()


def test_wait_returns_all_in_the_order_of_their_ends(clock):
    slow, fast, medium = sleepers(3, 1, 2)
    assert wait([slow, fast, medium]) == [fast, medium, slow]
    assert clock.now() == 3


def test_wait_for_some(clock):
    slow, fast, medium = sleepers(3, 1, 2)
    assert wait([slow, fast, medium], count=2) == [fast, medium]
    assert clock.now() == 2
    assert wait([slow, fast], count=1) == [fast]
    assert wait([slow, fast]) == [fast, slow]


def test_wait_returns_what_has_finished_as_well(clock):
    """More than count, if they come at the same time."""
    together = sleepers(1, 1, 1, 2)
    assert wait(together, count=1) == together[:3]
    assert wait(together, count=0) == together[:3]
    wait(together)


def test_wait_returns_what_has_finished_in_time(clock):
    slow, fast = sleepers(3, 1)
    assert wait([slow, fast], timeout=2) == [fast]
    assert clock.now() == 2
    assert wait([slow, fast], timeout=0) == [fast]
    assert wait([slow], timeout=-1) == []
    assert clock.now() == 2
    assert wait([slow], timeout=math.inf) == [slow]


def test_wait_for_nothing():
    assert wait([]) == []
    assert wait(iter(()), timeout=1, count=0) == []
    assert list(as_completed([])) == []


def test_a_future_given_twice_counts_once(clock):
    fast, slow = sleepers(1, 2)
    assert wait([fast, slow, fast]) == [fast, slow]
    with pytest.raises(ValueError, match="between 0 and 1"):
        wait([fast, fast], count=2)


def test_wait_hears_errors_and_kills(clock):
    def fail():
        sleep(1)
        raise KeyError

    failing, killed = spawn(fail), spawn(sleep, LATE)
    spawn(lambda: (sleep(2), killed.kill()))
    assert wait([killed, failing]) == [failing, killed]
    assert isinstance(failing.exception(), KeyError)
    with pytest.raises(CancelledError):
        killed.result()


def test_wait_is_for_tasklets_of_any_kind(clock, log):
    ordinary = tasklet(lambda: sleep(1))()
    assert wait([ordinary]) == [ordinary]


def test_who_is_no_longer_waited_for_is_not_heard(clock):
    """No callback of ours is left, so that the error goes where it belongs."""

    def fail():
        sleep(2)
        raise KeyError

    failing = spawn(fail)
    assert wait([failing], timeout=1) == []
    with pytest.raises(TimeoutError):
        next(as_completed([failing], timeout=0.5))
    dropped = as_completed([failing])
    del dropped
    gc.collect()
    with pytest.raises(KeyError):
        scheduler.run(wait=True)


def test_a_wait_can_be_interrupted(clock):
    late = spawn(sleep, LATE)
    with pytest.raises(TimeoutError), timeout(1):
        wait([late])

    def work():
        with pytest.raises(TaskletExit):
            wait([late])

    worker = spawn(work)
    settle()
    worker.kill()
    assert worker.done()
    with pytest.raises(TimeoutError, match="mine"):
        spawn(lambda me: (sleep(1), me.throw(TimeoutError("mine"))), getcurrent())
        wait([late], timeout=LATE)
    late.kill()


def test_wait_says_what_is_wrong(clock):
    done = spawn(int)
    for function in (wait, as_completed):
        with pytest.raises(TypeError, match="not 3"):
            function([done, 3])
        with pytest.raises(TypeError, match="iterable"):
            function(done)
        with pytest.raises(TypeError):
            function([done], timeout="1")
        with pytest.raises(ValueError, match="NaN"):
            function([done], timeout=math.nan)
        with pytest.raises(RuntimeError, match="its own end"):
            function([getcurrent()])
    for bad, error in ((-1, ValueError), (2, ValueError), ("1", TypeError)):
        with pytest.raises(error):
            wait([done], count=bad)
    done.join()


def test_what_can_never_finish_is_a_deadlock():
    blocked = spawn(channel().receive)
    run()
    with pytest.raises(DeadlockError):
        wait([blocked])
    with pytest.raises(DeadlockError):
        list(as_completed([blocked, Future()]))
    blocked.kill()


# as_completed()


def test_as_completed_gives_each_when_it_ends(clock, log):
    slow, fast, medium = sleepers(3, 1, 2)
    for one in as_completed([slow, fast, medium]):
        log.append((one, clock.now()))
    assert log == [(fast, 1), (medium, 2), (slow, 3)]


def test_as_completed_listens_from_the_call_on(clock):
    slow, fast = sleepers(2, 1)
    completed = as_completed([slow, fast])
    slow.join()
    assert list(completed) == [fast, slow]


def test_as_completed_ends_with_a_timeout(clock):
    slow, fast = sleepers(3, 1)
    completed = as_completed([slow, fast], timeout=2)
    assert next(completed) is fast
    with pytest.raises(TimeoutError, match="1 of 2"):
        next(completed)
    with pytest.raises(StopIteration):
        next(completed)
    assert clock.now() == 2
    slow.kill()


def test_what_is_there_already_comes_even_if_the_time_is_over(clock):
    slow, fast = sleepers(3, 1)
    completed = as_completed([slow, fast], timeout=2)
    slow.join()
    assert list(completed) == [fast, slow]


# Futures, and other threads.


def test_futures_and_tasklets_together():
    with ThreadPoolExecutor(2) as pool:
        gate = threading.Event()
        future = pool.submit(gate.wait)
        other = spawn(int)
        assert wait([future, other], count=1) == [other]
        gate.set()
        assert wait([future, other]) == [other, future]
        assert set(as_completed([future, other])) == {future, other}
    assert future.result() is True


def test_a_future_of_a_plain_thread_is_no_deadlock():
    """As long as that thread lives."""
    future = Future()
    thread = threading.Timer(0.1, future.set_result, args=(1,))
    thread.start()
    assert wait([future]) == [future]
    thread.join()
    future = Future()
    thread = threading.Timer(0.05, int)
    thread.start()
    with pytest.raises(DeadlockError):
        wait([future])
    thread.join()


def test_futures_that_fail_or_are_cancelled_are_finished():
    failed, cancelled = Future(), Future()
    failed.set_exception(KeyError())
    cancelled.cancel()
    assert wait([failed, cancelled]) == [failed, cancelled]


def test_a_future_forgets_waiters_that_have_left():
    future = Future()
    for _ in range(3):
        assert wait([future], timeout=0) == []
        as_completed([future]).close()
    assert not future._done_callbacks
    future.set_result(1)


def test_a_future_without_that_list_tells_nobody():
    class Other(Future):
        def add_done_callback(self, func):
            callbacks.append(func)

    callbacks = []
    future = Other()
    assert wait([future], timeout=0) == []
    (callback,) = callbacks
    assert callback(future) is None


def test_tasklets_of_another_thread():
    def work():
        spawned.extend(spawn(sleep, n / 1000) for n in (30, 10, 20))
        ready.set()
        scheduler.run(wait=True)

    spawned, ready = [], threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(LATE)
    finished = wait(spawned, timeout=LATE)
    assert set(finished) == set(spawned)
    thread.join()
    assert wait(spawned) == spawned


ENDING = """
import threading, time, warnings
warnings.simplefilter("ignore", RuntimeWarning)  # of the tasklet that never runs
from tasklets import TaskletExit, channel, schedule, spawn, wait

def stubborn():
    while True:
        try:
            channel().receive()
        except TaskletExit:
            pass

def work():
    spawned.append(spawn(stubborn))
    if {begun}:
        schedule()
    ready.set()
    go_on.wait()

threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()  # no deadlock
spawned, ready, go_on = [], threading.Event(), threading.Event()
thread = threading.Thread(target=work)
thread.start()
ready.wait()
spawn(go_on.set)
print(wait(spawned) == spawned)
thread.join()
print(spawned[0].cancelled())
"""


@pytest.mark.parametrize("begun", [True, False])
def test_tasklets_that_do_not_end_with_their_thread(begun):
    """Who refuses to, and who never begins."""
    status, output, errors = run_program(ENDING.format(begun=begun))
    assert (status, output, errors) == (0, "True\nTrue\n", [])


def test_many_threads_finish_many_things():
    def work(seed):
        order = random.Random(seed).sample(futures[seed], len(futures[seed]))
        for future in order:
            if seed % 2:
                time.sleep(1e-5)
            future.set_result(seed)

    futures = [[Future() for _ in range(100)] for _ in range(4)]
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    everything = [future for part in futures for future in part]
    for thread in threads:
        thread.start()
    seen = list(as_completed(everything, timeout=LATE))
    assert len(seen) == 400
    assert set(seen) == set(everything)
    for thread in threads:
        thread.join()


def test_the_main_tasklet_of_another_thread():
    def work():
        mains.append(getmain())
        ready.set()

    mains, ready = [], threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(LATE)
    assert wait(mains, timeout=LATE) == mains
    thread.join()


# Any order.


def test_every_end_is_told_once_in_any_order():
    for seed in range(1000):
        rng = random.Random(seed)
        with seeded(seed), fake_clock() as clock:
            every = sleepers(*(rng.randrange(4) for _ in range(8)))
            future = Future()
            spawn(lambda f=future: (sleep(2), f.set_result(None)))
            spawn(lambda t=every[0]: (sleep(2), t.kill(pending=True)))
            count, limit = rng.randrange(9), rng.choice([None, 0, 1, 2, 5])
            finished = wait([*every, future], timeout=limit, count=count)
            assert len(finished) == len(set(finished))
            assert all(one.done() for one in finished)
            assert len(finished) >= count or clock.now() >= limit
            completed = list(as_completed([*every, future]))
            assert set(completed) == {*every, future}
            assert len(completed) == 9


def test_waits_leave_nothing_behind(no_leak):
    def work():
        with fake_clock():
            every = sleepers(1, 2)
            wait(every, count=1)
            list(as_completed(every))

    no_leak(work, calls=100)


def test_a_channel_callback_that_fails_once_loses_nothing(clock, monkeypatch, log):
    def callback(*args):
        if failures:
            raise failures.pop()

    failures = []
    fast = spawn(lambda: (sleep(1), failures.append(KeyError())))
    tasklets.set_channel_callback(callback)
    monkeypatch.setattr(sys, "unraisablehook", lambda u: log.append(u.exc_type))
    assert wait([fast]) == [fast]
    assert log == [KeyError]


# run(wait=True)


def wait_for(future):
    return wait([future])


def take_first(future):
    return [next(as_completed([future]))]


def select_it(future):
    return [select(future)[0]]


@pytest.fixture(params=[wait_for, take_first, select_it], ids=lambda way: way.__name__)
def way(request):
    """Return one way to wait for a future."""
    return request.param


@pytest.fixture(params=[ThreadPoolExecutor, WorkerPool], ids=lambda cls: cls.__name__)
def executor(request):
    """Return an executor with one thread."""
    with request.param(1) as made:
        yield made


def test_run_waits_for_what_another_thread_completes(way, executor):
    gate = threading.Event()
    future = executor.submit(gate.wait, LATE)
    waiter = spawn(way, future)
    run()
    before = scheduler.pending()
    assert before > 0
    threading.Timer(0.02, gate.set).start()
    scheduler.run(wait=True)
    assert waiter.result() == [future]
    assert scheduler.pending() == 0
    assert future.result() is True


def test_run_waits_for_the_result_of_a_future(executor):
    future = executor.submit(time.sleep, 0.02)
    waiter = spawn(future.result)
    scheduler.run(wait=True)
    assert waiter.done()
    assert waiter.result() is None


def test_run_waits_in_a_thread_of_its_own(way, executor):
    def work():
        waiter = spawn(way, executor.submit(time.sleep, 0.02))
        scheduler.run(wait=True)
        ended.append(waiter.done())

    ended = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def run_in_vain(way, helper=None):
    """Run while a tasklet waits for what nobody completes; return how that ended."""
    waiter = spawn(way, Future())
    if helper is not None:
        helper.start()
    scheduler.run(wait=True)
    done = waiter.done()
    waiter.kill()
    return done, helper is None or not helper.is_alive()


def test_run_does_not_wait_for_what_nobody_completes(way):
    """It returns, and nobody has an error."""
    assert run_in_vain(way) == (False, True)
    with WorkerPool(1) as pool:
        assert pool.call(run_in_vain, way) == (False, True)


def test_run_waits_while_there_is_a_thread_that_might_complete_it():
    helper = threading.Timer(0.02, int)
    assert run_in_vain(wait_for, helper) == (False, True)
    helper.join()


def test_futures_that_are_done_hold_no_run(executor):
    """What is left then is a tasklet that nobody wakes."""
    future = executor.submit(time.sleep, 0.02)
    blocked = spawn(channel().receive)
    waiter = spawn(wait, [future, blocked])
    scheduler.run(wait=True)
    assert future.done()
    assert not waiter.done()
    assert scheduler.pending() == 0
    blocked.kill()
    assert waiter.result() == [future, blocked]


def test_a_killed_waiter_holds_no_run(way):
    future = Future()
    waiter = spawn(way, future)
    run()
    assert scheduler.pending() == 1
    waiter.kill()
    assert scheduler.pending() == 0


@pytest.mark.parametrize("way", [wait_for, take_first, select_it])
def test_a_call_that_can_never_end_gets_the_deadlock(way):
    """Not the waiter for the call."""
    with WorkerPool(1) as pool:
        future = pool.submit(channel().receive)
        assert way(future) == [future]
        with pytest.raises(DeadlockError):
            future.result()


def test_a_worker_that_waits_for_its_own_pool_is_told():
    with WorkerPool(1) as pool:
        future = pool.submit(lambda: wait([pool.submit(int)]))
        with pytest.raises(DeadlockError):
            future.result()


# Events.


@pytest.mark.parametrize("take", [lambda *e: wait(e), lambda *e: list(as_completed(e))])
def test_events_come_as_they_are_set(clock, take):
    first, second, third = Event(), Event(), Event()
    third.set()
    scheduler.call_later(2, second.set)
    scheduler.call_later(1, first.set)
    (slow,) = sleepers(3)
    assert take(slow, second, first, third) == [third, first, second, slow]
    assert clock.now() == 3


def test_a_wait_for_events_ends_at_its_timeout(clock):
    early, late = Event(), Event()
    scheduler.call_later(1, early.set)
    assert wait([late, early], timeout=2) == [early]
    with pytest.raises(TimeoutError):
        next(as_completed([late], timeout=1))
    with pytest.raises(TimeoutError), timeout(1):
        wait([late])
    with pytest.raises(TimeoutError):
        select(late, timeout=1)
    assert clock.now() == 5
    assert wait([late], timeout=0) == []
    assert select(late, default="no") == (None, "no")
    assert select(early, late) == (early, None)


def test_an_event_that_is_cleared_again_has_come(clock):
    event = Event()
    waiters = [spawn(wait, [event]), spawn(select, event), spawn(event.wait)]
    settle()
    event.set()
    event.clear()
    settle()
    assert [each.result() for each in waiters] == [[event], (event, None), True]
    assert wait([event], timeout=1) == []


def test_an_event_forgets_waiters_that_have_left(clock):
    event = Event()
    for way in (wait_for, take_first, select_it):
        killed = spawn(way, event)
        settle()
        assert killed.blocked
        killed.kill()
        with pytest.raises(TimeoutError), timeout(1):
            way(event)
    assert gc.get_referents(event).count([]) == 1
    event.set()
    assert [way(event) for way in (wait_for, take_first, select_it)] == [[event]] * 3


def wait_alone(event):
    return [event] if event.wait() else []


def with_a_blocked_tasklet(event):
    """Wait for an event, and for a tasklet that nobody wakes."""
    blocked = spawn(channel().receive)
    blocked.run()
    try:
        return wait([blocked, event], count=1)
    finally:
        blocked.kill()


def select_with_a_channel(event):
    """Wait for an event, and for a channel into which nobody sends."""
    case, _ = select(recv(channel()), event)
    return [case]


EVENT_WAITS = [
    wait_alone, wait_for, take_first, select_it, with_a_blocked_tasklet,
    select_with_a_channel,
]  # fmt: skip


@pytest.mark.parametrize("way", EVENT_WAITS)
def test_a_signal_handler_sets_the_event_that_all_wait_for(way):
    """Nobody can run, and nobody else is there: that is no deadlock."""
    event = Event()
    old = signal.signal(signal.SIGALRM, lambda *_: event.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert way(event) == [event]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("way", EVENT_WAITS)
def test_main_waits_for_its_event_when_the_last_tasklet_has_ended(way):
    event = Event()

    def work():
        schedule()
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    old = signal.signal(signal.SIGALRM, lambda *_: event.set())
    try:
        spawn(work)
        assert way(event) == [event]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("way", EVENT_WAITS)
def test_run_returns_though_a_tasklet_waits_for_an_event(way):
    event = Event()
    waiter = spawn(way, event)
    run()
    scheduler.run(wait=True)  # there is no thread that could set it
    assert waiter.blocked
    event.set()
    assert waiter.result() == [event]


@pytest.mark.parametrize("tasklets_there", [False, True])
def test_events_are_set_by_another_thread(tasklets_there):
    def work():
        gate.wait(LATE)
        for event in events:
            event.set()
            if tasklets_there:
                schedule()

    for way in (wait_for, take_first, select_it):
        gate = threading.Event()
        events = [Event() for _ in range(20)]
        waiters = [spawn(way, event) for event in events]
        settle()
        target = (lambda: spawn(work).join()) if tasklets_there else work
        other = threading.Thread(target=target)
        other.start()
        gate.set()
        scheduler.run(wait=True)
        assert [each.result() for each in waiters] == [[event] for event in events]
        other.join(LATE)


def test_threads_wait_for_an_event_of_a_tasklet():
    """Each in tasklets of its own."""
    event, results = Event(), []
    gate = threading.Barrier(4)

    def work(way):
        waiter = spawn(way, event)
        settle()
        gate.wait(LATE)
        results.append(waiter.result(timeout=LATE))

    ways = (wait_for, take_first, select_it)
    others = [threading.Thread(target=work, args=(way,)) for way in ways]
    for other in others:
        other.start()
    gate.wait(LATE)
    spawn(event.set).join()
    for other in others:
        other.join(LATE)
    assert results == [[event]] * 3


def test_other_events_cannot_be_waited_for():
    for way in (wait_for, take_first, select_it):
        with pytest.raises(TypeError, match="events|tasklets.locks.Event"):
            way(threading.Event())
