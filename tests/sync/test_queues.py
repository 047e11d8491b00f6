"""tasklets.queues: waiting, joining, shutting down, and that no item is lost."""

import copy
import pickle
import queue
import weakref

import pytest
from queue_kinds import IN_ORDER, Hooked, bounded, every, getter, putter, waiting

import tasklets
import tasklets.locks
from tasklets import TaskletExit, run, spawn, timeout
from tasklets.queues import (
    Empty,
    Full,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
)
from tasklets.testing import fake_clock, settle

in_order = pytest.mark.parametrize("make", IN_ORDER)


# What queue has, too.


def test_the_errors_are_those_of_queue():
    assert (Empty, Full) == (queue.Empty, queue.Full)
    assert getattr(queue, "ShutDown", ShutDown) is ShutDown
    assert issubclass(ShutDown, Exception)


@pytest.mark.parametrize(
    ("make", "expected"),
    [(Queue, [2, 1, 3]), (LifoQueue, [3, 1, 2]), (PriorityQueue, [1, 2, 3]),
     (Hooked, [2, 1, 3]), (SimpleQueue, [2, 1, 3])],
)  # fmt: skip
def test_the_order_of_a_queue(make, expected):
    q = make()
    for item in (2, 1, 3):
        q.put(item)
    assert q.qsize() == 3
    assert not q.empty()
    assert [q.get(), q.get_nowait(), q.get(timeout=1)] == expected
    assert q.empty()


@every
def test_many_items_go_through(make):
    q = make()
    total = 0
    for _ in range(3):
        for i in range(3000):
            q.put(i)
        total += sum(q.get() for _ in range(2500))
    while not q.empty():
        total += q.get()
    assert total == 3 * sum(range(3000))


@bounded
def test_a_queue_may_be_full(make):
    q = make(2)
    q.put(1)
    q.put(2)
    assert q.full()
    with pytest.raises(Full):
        q.put_nowait(3)
    with pytest.raises(Full):
        q.put(3, block=False, timeout=-1)
    with pytest.raises(Full):
        q.put(3, timeout=0.001)
    assert (q.qsize(), q.unfinished_tasks) == (2, 2)


@every
def test_a_queue_may_be_empty(make):
    q = make()
    with pytest.raises(Empty):
        q.get_nowait()
    with pytest.raises(Empty):
        q.get(False, -1)
    with pytest.raises(Empty):
        q.get(True, 0.001)
    with pytest.raises(Empty):
        q.get(timeout=0)
    with pytest.raises(ValueError, match="non-negative"):
        q.get(timeout=-1)
    with pytest.raises(OverflowError):
        q.get(timeout=1e300)
    with pytest.raises(TypeError):
        q.get(timeout="1")
    with pytest.raises(ValueError, match="NaN"):
        q.get(timeout=float("nan"))


@every
def test_a_timeout_is_asked_once_for_its_seconds(make):
    class Changing:
        asked = 0

        def __float__(self):
            self.asked += 1
            return 0.001 if self.asked == 1 else -1.0

    timeout = Changing()
    with pytest.raises(Empty):
        make().get(timeout=timeout)
    assert timeout.asked == 1


@bounded
@pytest.mark.parametrize(
    ("maxsize", "room"),
    [(0, None), (-1, None), (2, 2), (1.5, 2), (float("inf"), None), (10**30, None),
     (True, 1)],
)  # fmt: skip
def test_maxsize_is_any_number(make, maxsize, room):
    q = make(maxsize)
    assert q.maxsize == maxsize
    for i in range(room or 10):
        assert not q.full()
        q.put_nowait(i)
    assert q.full() is (room is not None)


def test_maxsize_can_be_changed():
    q = Queue(1)
    q.put(1)
    q.maxsize = 2
    q.put_nowait(2)
    assert q.full()
    for wrong in (None, "1", [1]):
        with pytest.raises(TypeError):
            q.maxsize = wrong
    with pytest.raises(AttributeError):
        del q.maxsize
    assert q.maxsize == 2


@bounded
def test_a_negative_timeout_does_not_matter_where_nobody_waits(make):
    q = make()
    q.put(1, timeout=-1)
    with pytest.raises(ValueError, match="non-negative"):
        q.get(timeout=-1)
    assert q.get() == 1
    q.shutdown()
    with pytest.raises(ShutDown):
        q.get(timeout=-1)


@every
def test_wrong_arguments_are_refused(make):
    q = make()
    for call in (
        lambda: q.put(),
        lambda: q.put(1, 2, 3, 4),
        lambda: q.put(1, item=2),
        lambda: q.get(1, 2, 3),
        lambda: q.get(item=1),
        lambda: q.put_nowait(),
        lambda: make(1, 2),
        lambda: make(wrong=1),
    ):
        with pytest.raises(TypeError):
            call()
    assert q.empty()


@every
def test_odds_and_ends(make):
    q = make()
    assert weakref.ref(q)() is q
    assert repr(q).startswith("<")
    assert f"{make.__qualname__} object at 0x" in repr(q)
    assert make[int].__origin__ is make
    for copying in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="pickle"):
            copying(q)


# Tasklets that wait.


@every
def test_a_tasklet_waits_for_an_item(make, log):
    q = make()
    getter(log, q)
    run()
    assert log == []
    q.put(1)
    run()
    assert log == [1]


@every
def test_waiters_come_in_order(make, log):
    q = make()
    for name in "abc":
        getter(log, q, name)
    settle()
    for i in range(3):
        q.put(i)
        settle()
    assert log == [("a", 0), ("b", 1), ("c", 2)]


@bounded
def test_a_tasklet_waits_for_a_place(make, log):
    q = make(1)
    q.put(0)
    for i in (1, 2):
        putter(log, q, i)
    settle()
    assert (log, waiting(q)) == ([], 2)
    assert q.get() == 0
    settle()
    assert log == [1]
    assert q.get() == 1
    settle()
    assert (log, q.get()) == ([1, 2], 2)


@bounded
def test_a_pipeline_through_small_queues(make):
    first, last = make(1), make(2)

    def feed():
        for i in range(100):
            first.put(i)

    def work():
        for _ in range(100):
            last.put(first.get() + 1)

    spawn(feed)
    spawn(work)
    assert sum(last.get() for _ in range(100)) == sum(range(101))
    settle()


@every
def test_time_is_that_of_the_scheduler(make, log):
    with fake_clock() as clock:
        q = make()
        getter(log, q, timeout=5)
        settle()
        clock.advance(4.9)
        settle()
        assert log == []
        clock.advance(0.2)
        settle()
        assert log == [Empty]


@bounded
def test_a_put_that_takes_too_long_puts_nothing(make, log):
    with fake_clock() as clock:
        q = make(1)
        q.put(1)
        putter(log, q, 2, timeout=5)
        settle()
        clock.advance(6)
        settle()
    assert (log, q.qsize(), q.unfinished_tasks) == ([Full], 1, 1)


@every
def test_a_wait_is_no_deadlock(make, log):
    q = make()
    t = getter(log, q)
    settle()
    assert "get from" in repr(t)
    q.put(1)
    settle()
    assert log == [1]


@every
def test_block_trap_forbids_to_wait(make):
    q = make()
    with tasklets.block_trap():
        q.put(1)
        assert q.get() == 1
        with pytest.raises(tasklets.BlockTrapError):
            q.get()


# Nothing is lost by a waiter that leaves.


def kill(t):
    t.kill()


def throw(t):
    t.throw(KeyError, pending=True)


def kill_later(t):
    t.kill(pending=True)


LEAVE = pytest.mark.parametrize("leave", [kill, throw, kill_later])


@every
@LEAVE
def test_an_item_of_a_waiter_that_leaves_goes_to_the_next(make, leave, log):
    q = make()
    first = getter(log, q, "first")
    getter(log, q, "second")
    settle()
    q.put(1)
    leave(first)
    settle()
    assert ("second", 1) in log
    assert len(log) == 2


@every
@LEAVE
def test_an_item_of_a_waiter_that_leaves_can_be_taken_again(make, leave, log):
    q = make()
    first = getter(log, q, "first")
    settle()
    q.put(1)
    q.put(2)
    leave(first)
    settle()
    assert sorted([q.get_nowait(), q.get_nowait()]) == [1, 2]


@in_order
def test_the_items_of_waiters_that_leave_keep_their_order(make, log):
    q = make()
    waiters = [getter(log, q, i) for i in range(3)]
    settle()
    for i in range(5):
        q.put(i)
    for t in waiters:
        t.kill(pending=True)
    settle()
    assert [q.get_nowait() for _ in range(5)] == [0, 1, 2, 3, 4]


@bounded
@LEAVE
def test_a_place_of_a_waiter_that_leaves_goes_to_the_next(make, leave, log):
    q = make(1)
    q.put(0)
    first = putter(log, q, 1)
    putter(log, q, 2)
    settle()
    assert q.get() == 0
    leave(first)
    settle()
    assert (2 in log, len(log), q.get()) == (True, 2, 2)


@every
def test_a_timeout_block_that_ends_with_the_item_loses_nothing(make, log):
    q = make()

    def get():
        try:
            with timeout(5):
                log.append(q.get())
        except TimeoutError:
            log.append("late")

    with fake_clock() as clock:
        spawn(get)
        settle()
        q.put(1)
        clock.advance(10)
        settle()
        left = [] if q.empty() else [q.get()]
    assert (log, left) in (([1], []), (["late"], [1]))


@every
def test_an_item_and_the_end_of_time_at_once(make, log):
    with fake_clock() as clock:
        q = make()
        getter(log, q, timeout=5)
        spawn(lambda: (tasklets.sleep(5), q.put(1)))
        settle()
        clock.advance(5)
        settle()
        left = [] if q.empty() else [q.get()]
    assert (log, left) in (([1], []), ([Empty], [1]))


@every
def test_a_waiter_that_was_killed_is_forgotten(make, log):
    q = make()
    for _ in range(3):
        t = getter(log, q)
        settle()
        t.kill()
    q.put(1)
    assert q.get() == 1
    assert log == [TaskletExit] * 3


# join().


@bounded
def test_join_waits_for_all_tasks(make, log):
    q = make()
    q.put(1)
    q.put(2)
    for _ in range(2):
        spawn(lambda: (q.join(), log.append("joined")))
    q.get()
    q.get()
    settle()
    q.task_done()
    settle()
    assert log == []
    q.task_done()
    settle()
    assert log == ["joined"] * 2
    with pytest.raises(ValueError, match="too many"):
        q.task_done()
    q.join()


@bounded
def test_join_that_is_notified_by_hand_looks_again(make, log):
    q = make()
    q.put(1)
    for name in ("first", "second"):
        spawn(lambda name: (q.join(), log.append(name)), name)
    settle()
    for done in (False, True):
        with q.all_tasks_done:
            if done:
                q.unfinished_tasks = 0
            q.all_tasks_done.notify_all()
        settle()
        assert (log, q.mutex.locked()) == (["first", "second"] if done else [], False)


@bounded
@LEAVE
def test_join_that_leaves_passes_a_notification_on(make, leave, log):
    q = make()
    q.put(1)
    first = spawn(lambda: pytest.raises(KeyError, q.join))
    spawn(lambda: (q.join(), log.append("second")))
    settle()
    with q.all_tasks_done:
        q.unfinished_tasks = 0
        q.all_tasks_done.notify()
        if leave is not kill:
            leave(first)
    if leave is kill:
        first.kill()
    settle()
    assert log == ["second"]
    assert not q.mutex.locked()


@bounded
def test_a_joiner_can_be_killed(make, log):
    q = make()
    q.put(1)
    t = spawn(q.join)
    settle()
    t.kill()
    q.task_done()
    q.join()
    assert t.cancelled()


# shutdown().


@bounded
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_all_waiters(make, immediate, log):
    full, empty = make(1), make()
    full.put(1)
    for _ in range(3):
        putter(log, full, 2)
        getter(log, empty)
    settle()
    full.shutdown(immediate=immediate)
    empty.shutdown(immediate=immediate)
    settle()
    assert log == [ShutDown] * 6
    assert full.is_shutdown
    with pytest.raises(ShutDown):
        full.put(1)
    with pytest.raises(ShutDown):
        empty.get()
    if not immediate:
        assert full.get() == 1
    with pytest.raises(ShutDown):
        full.get_nowait()


@bounded
def test_an_immediate_shutdown_ends_the_tasks(make, log):
    q = make()
    for i in range(3):
        q.put(i)
    spawn(lambda: (q.join(), log.append("joined")))
    settle()
    q.get()
    q.shutdown(immediate=True)
    settle()
    assert (q.qsize(), q.unfinished_tasks, log) == (0, 1, [])
    q.task_done()
    settle()
    assert log == ["joined"]


@bounded
def test_items_may_use_the_queue_that_is_shut_down(make, log):
    class Item:
        def __lt__(self, other):
            return False

        def __del__(self):
            log.append(q.qsize())

    q = make()
    q.put(Item())
    q.put(Item())
    q.shutdown(immediate=True)
    assert log == [0, 0]
