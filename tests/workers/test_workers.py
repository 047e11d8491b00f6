"""Calls on worker threads."""

import contextvars
import gc
import sys
import threading
import time
import traceback
import weakref
from concurrent.futures import Future

import pytest
from pools import fail, settled, started, yield_until
from threads import SECONDS

import tasklets
from tasklets import (
    BlockTrapError,
    DeadlockError,
    SwitchTrapError,
    atomic,
    block_trap,
    channel,
    getcurrent,
    getthreads,
    no_switch,
    run,
    schedule,
    scheduler,
    spawn,
    switch_trap,
    timeout,
)
from tasklets.workers import (
    WorkerPool,
    call_on_worker,
)

# ---- call_on_worker


def test_a_call_runs_on_another_thread_and_returns_its_result():
    def work(a, *, b):
        return a, b, threading.get_ident()

    a, b, ident = call_on_worker(work, 1, b=2)
    assert (a, b) == (1, 2)
    assert ident != threading.get_ident()


def test_a_call_takes_arguments_of_any_name():
    assert call_on_worker(dict, func=1, self=2, pool=3, args=4) == {
        "func": 1, "self": 2, "pool": 3, "args": 4,
    }  # fmt: skip


def test_other_tasklets_run_while_a_call_is_on_its_way(gate):
    t = started(call_on_worker, gate.wait)
    assert t.blocked
    turns = []
    other = spawn(lambda: [turns.append(schedule(i)) for i in range(5)])
    other.join()
    assert turns == [0, 1, 2, 3, 4]
    gate.set()
    assert t.result() is True


def test_an_exception_of_a_call_is_raised_with_its_traceback():
    with pytest.raises(KeyError, match="why") as caught:
        call_on_worker(fail, "why")
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "fail"
    assert names[0] == "test_an_exception_of_a_call_is_raised_with_its_traceback"


@pytest.mark.parametrize("cls", [SystemExit, KeyboardInterrupt, tasklets.TaskletExit])
def test_what_would_end_a_thread_comes_back_to_the_caller(cls, one):
    def work():
        raise cls("x")

    with pytest.raises(cls, match="x"):
        one.call(work)
    assert one.call(int) == 0


def test_a_call_of_something_not_callable_is_refused():
    with pytest.raises(TypeError, match="must be callable, not int"):
        call_on_worker(5)
    with pytest.raises(TypeError):
        call_on_worker()


def test_a_thousand_calls_can_be_in_flight():
    def work(i):
        time.sleep(0)
        return i * i

    calls = [spawn(call_on_worker, work, i) for i in range(1000)]
    assert [t.result() for t in calls] == [i * i for i in range(1000)]


def test_a_thread_without_tasklets_can_call():
    found = []
    thread = threading.Thread(
        target=lambda: found.append(call_on_worker(threading.get_ident))
    )
    thread.start()
    thread.join()
    assert found[0] not in (thread.ident, threading.get_ident())


def test_workers_keep_their_thread_locals(one):
    local = threading.local()

    def count():
        local.calls = getattr(local, "calls", 0) + 1
        return local.calls

    assert [one.call(count) for _ in range(3)] == [1, 2, 3]


def test_workers_have_names_and_are_daemons(one):
    thread = one.call(threading.current_thread)
    assert thread.name.startswith("tasklets-worker-")
    assert thread.daemon


def test_a_call_sees_a_copy_of_the_callers_context(one):
    var = contextvars.ContextVar("var", default=0)
    var.set(1)

    def work():
        seen = var.get()
        var.set(2)
        return seen

    assert one.call(work) == 1
    assert var.get() == 1
    assert contextvars.Context().run(one.call, var.get) == 0
    assert one.submit(work).result() == 1


def test_each_tasklets_context_goes_with_its_calls(pool):
    var = contextvars.ContextVar("var")

    def work(i):
        var.set(i)
        schedule()
        return pool.call(var.get)

    calls = [spawn(work, i) for i in range(20)]
    assert [t.result() for t in calls] == list(range(20))


def test_arguments_are_released_before_the_outcome_is_there(one):
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    one.call(id, thing)
    del thing
    assert gone() is None


def test_the_runtime_keeps_no_exception(one):
    class Thing:
        pass

    gone = []

    def work():
        thing = Thing()
        gone.append(weakref.ref(thing))
        raise KeyError

    def attempt():
        with pytest.raises(KeyError):
            one.call(work)

    gc.collect()
    gc.disable()
    try:
        attempt()
        assert gone[0]() is None
    finally:
        gc.enable()


def test_an_atomic_flag_left_on_by_a_call_does_not_stay(one):
    assert one.call(lambda: getcurrent().set_atomic(True)) is False
    assert one.call(lambda: getcurrent().atomic) is False


def test_a_block_trap_left_on_by_a_call_does_not_stay(one):
    one.call(lambda: setattr(getcurrent(), "block_trap", True))
    assert one.call(lambda: getcurrent().block_trap) is False


def test_a_switch_trap_left_on_by_a_call_does_not_stay(one):
    one.call(switch_trap, 1)
    assert one.call(switch_trap, 0) == 0


def test_a_timeout_left_on_by_a_call_does_not_stay(one):
    def limited():
        with timeout(0.005):
            yield

    def begin():
        made = limited()
        next(made)
        return made

    def sleep_twice():
        time.sleep(0.01)
        tasklets.sleep(0.001)
        return "slept"

    made = one.call(begin)
    assert one.call(sleep_twice) == "slept"
    one.call(made.close)


def test_a_timeout_of_the_caller_of_a_call_stays(one):
    """A worker that helps itself makes the call inside its own blocks."""

    def inner():
        limit = timeout(0)
        limit.__enter__()
        return limit

    def outer():
        with timeout(0.01):
            kept = one.call(inner)
            tasklets.sleep(0.001)
            tasklets.sleep(SECONDS)
        return kept

    with pytest.raises(TimeoutError):
        one.call(outer)


def test_an_exception_thrown_at_a_worker_during_a_call_is_not_lost(one):
    def inner():
        args = KeyError, "thrown", None, True
        thread = threading.Thread(target=getcurrent().throw, args=args)
        thread.start()
        thread.join()

    def outer():
        one.call(inner)
        tasklets.sleep(0.001)

    with pytest.raises(KeyError, match="thrown"):
        one.call(outer)


def test_an_atomic_section_may_call(one):
    with atomic():
        assert one.call(int) == 0
        assert getcurrent().atomic


# ---- where a tasklet must not wait


def test_a_tasklet_with_a_block_trap_does_not_call(one):
    ran = []
    with block_trap():
        with pytest.raises(BlockTrapError):
            one.call(ran.append, 1)
        one.submit(ran.append, 2)  # does not wait
    one.shutdown()
    assert ran == [2]


def test_a_tasklet_that_must_not_switch_does_not_call(one):
    ran = []
    with no_switch(), pytest.raises(SwitchTrapError):
        one.call(ran.append, 1)
    one.shutdown()
    assert ran == []


def test_a_callback_does_not_call(one):
    errors = []

    def callback(*args):
        try:
            one.call(int)
        except RuntimeError as error:
            errors.append(str(error))

    tasklets.set_schedule_callback(callback)
    spawn(int)
    run()
    tasklets.set_schedule_callback(None)
    assert errors
    assert "inside a callback" in errors[0]


# ---- waiters that go away


def test_a_killed_waiters_call_goes_on(one, gate):
    ran = []
    t = started(one.call, lambda: (gate.wait(), ran.append(1)))
    t.kill()
    assert t.done()
    gate.set()
    one.shutdown()
    assert ran == [1]


def test_a_killed_waiters_call_still_takes_its_turn(one, gate):
    ran = []
    started(one.call, gate.wait)
    started(one.call, ran.append, 1).kill()
    gate.set()
    one.shutdown()
    assert ran == [1]
    run()


def test_a_waiter_that_is_killed_when_the_outcome_is_there_is_killed(one, gate):
    t = started(one.call, gate.wait)
    gate.set()
    while t.blocked:
        time.sleep(0.001)  # does not give way
    t.kill()
    assert t.cancelled()


def test_a_call_may_take_too_long(one, gate):
    with pytest.raises(TimeoutError):
        one.call(gate.wait, timeout=0.01)
    gate.set()
    assert one.call(int, timeout=SECONDS) == 0
    assert call_on_worker(int, timeout=None) == 0


def test_a_timeout_counts_the_time_in_the_queue(one, gate):
    started(one.call, gate.wait)
    with pytest.raises(TimeoutError):
        one.call(int, timeout=0.01)
    gate.set()
    run()


def test_a_timeout_of_nothing_raises_at_once(one, gate):
    for seconds in (0, -1):
        with pytest.raises(TimeoutError):
            one.call(gate.wait, timeout=seconds)
        gate.set()


def test_a_block_with_a_timeout_ends_a_call(one, gate):
    with pytest.raises(TimeoutError), tasklets.timeout(0.01):
        one.call(gate.wait)


@pytest.mark.parametrize("timeout", ["1", float("nan"), object()])
def test_a_timeout_must_be_a_number(one, timeout):
    ran = []
    with pytest.raises((TypeError, ValueError)):
        one.call(ran.append, 1, timeout=timeout)
    assert ran == []


def test_an_abandoned_call_is_handed_over(gate):
    seen = []
    with WorkerPool(1, on_abandoned=seen.append) as pool:
        started(pool.call, gate.wait).kill()
        with pytest.raises(TimeoutError):
            pool.call(fail, "x", timeout=0)
        gate.set()
    assert seen[0].result() is True
    assert isinstance(seen[1].exception(), KeyError)
    assert len(seen) == 2


def test_an_abandoned_future_is_handed_over(gate):
    seen = []
    with WorkerPool(1, on_abandoned=seen.append) as pool:
        future = pool.submit(gate.wait)
        started(future.result).kill()
        gate.set()
    assert seen == [future]


def test_a_future_that_somebody_still_waits_for_is_not_abandoned(gate):
    seen = []
    with WorkerPool(1, on_abandoned=seen.append) as pool:
        future = pool.submit(gate.wait)
        first, second = started(future.result), started(future.result)
        first.kill()
        gate.set()
        assert second.result() is True
        pool.submit(int)  # nobody has asked for this one
        with pytest.raises(TimeoutError):
            (again := pool.submit(time.sleep, 0.05)).result(0)
        again.result()
    assert seen == []


def test_a_call_that_ends_before_its_killed_waiter_runs_is_handed_over(gate):
    seen = []
    with WorkerPool(1, on_abandoned=seen.append) as pool:
        t = started(pool.call, gate.wait)
        gate.set()
        while t.blocked:
            time.sleep(0.001)
        t.kill()
        assert [future.result() for future in seen] == [True]


def test_an_error_in_on_abandoned_is_reported(gate, monkeypatch):
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: reports.append(str(info)))
    with WorkerPool(1, on_abandoned=fail) as pool:
        started(pool.call, gate.wait).kill()
        gate.set()
    assert len(reports) == 1
    assert "KeyError" in reports[0]


# ---- deadlocks


def test_idle_workers_help_nobody(pool):
    pool.call(int)
    settled(pool)
    with pytest.raises(DeadlockError):
        channel().receive()


def test_idle_workers_that_have_used_tasklets_help_nobody(one):
    one.call(run)
    settled(one)
    with pytest.raises(DeadlockError):
        channel().receive()


def test_a_busy_worker_may_still_wake_somebody(one, gate):
    ch = channel()
    one.submit(lambda: (gate.wait(), ch.send("from the worker")))
    spawn(gate.set)
    assert ch.receive() == "from the worker"


def test_a_call_that_can_never_end_gets_the_deadlock(one):
    with pytest.raises(DeadlockError):
        one.call(channel().receive)
    t = spawn(one.call, channel().receive)
    with pytest.raises(DeadlockError):
        t.result()


def test_a_sleeping_thread_is_no_deadlock_for_a_call(one):
    ch = channel()

    def late():
        tasklets.sleep(0.05)
        ch.send("late")

    spawn(late)
    assert one.call(ch.receive) == "late"


def test_a_thread_that_waits_for_a_worker_goes_on_waiting(one):
    assert one.call(time.sleep, 0.02) is None
    t = spawn(one.call, lambda: (time.sleep(0.02), 5)[1])
    scheduler.run(threadblock=True)
    assert t.done()
    assert t.result() == 5


def test_run_with_wait_waits_for_workers(one, gate):
    t = spawn(one.call, lambda: (time.sleep(0.02), 5)[1])
    scheduler.run(wait=True)
    assert t.done()
    assert t.result() == 5


def test_calls_count_as_pending(one, gate):
    before = scheduler.pending()
    t = started(one.call, gate.wait)
    assert scheduler.pending() == before + 1
    t.kill()
    assert scheduler.pending() == before
    gate.set()


def test_idle_workers_are_not_among_the_threads(one, gate):
    ident = one.call(threading.get_ident)
    settled(one)
    assert ident not in getthreads()
    one.submit(gate.wait)
    yield_until(lambda: ident in getthreads())
    assert tasklets.get_thread_info(ident)[2] == 0


def test_tasklets_of_a_worker_work(one):
    def work():
        return sum(spawn(pow, i, 2).result() for i in range(10))

    assert one.call(work) == 285
    assert one.call(work) == 285


# ---- calls from workers


def test_calls_may_be_nested_deeper_than_there_are_workers(one):
    def nested(depth):
        return depth and 1 + one.call(nested, depth - 1)

    assert one.call(nested, 10) == 10


def test_a_worker_may_wait_for_futures_of_its_own_pool(pool):
    def tree(depth):
        if depth == 0:
            return 1
        left, right = (pool.submit(tree, depth - 1) for _ in range(2))
        return left.result() + right.result()

    assert pool.call(tree, 5) == 32


def test_a_call_on_a_worker_may_call_on_another_pool(one):
    def work():
        return threading.get_ident(), call_on_worker(threading.get_ident)

    first, second = one.call(work)
    assert first != second


@pytest.mark.parametrize("broken", [("set_result",), ("set_result", "set_exception")])
def test_a_future_fails_if_what_came_of_it_cannot_be_set(monkeypatch, broken):
    """The base class needs memory for that."""

    def refuse(self, outcome):
        raise MemoryError(outcome)

    for name in broken:
        monkeypatch.setattr(Future, name, refuse)
    with WorkerPool(1) as pool:
        future = pool.submit(pow, 2, 5)
        with pytest.raises(MemoryError, match="^32$"):
            future.result(SECONDS)
        assert future.done()
