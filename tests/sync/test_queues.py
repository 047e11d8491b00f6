"""tasklets.queues: what is lost never, who comes first, and what subclasses see."""

import collections
import copy
import gc
import pickle
import queue
import random
import signal
import threading
import weakref

import pytest
from children import forks_beside_threads, run_program
from threads import SECONDS, in_thread, running, until

import tasklets
import tasklets.locks
from tasklets import TaskletExit, _core, getcurrent, run, schedule, spawn, timeout
from tasklets.queues import (
    Empty,
    Full,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
)
from tasklets.testing import fake_clock, seeded, settle


class Hooked(Queue):
    """Stores its items through methods of its own."""

    def _qsize(self):
        return len(self.queue)

    def _put(self, item):
        assert self.mutex.locked()
        self.queue.append(item)

    def _get(self):
        assert self.mutex.locked()
        return self.queue.popleft()


# How often one comes too late before others are kept out: csrc/sync/queue.c.
LATE_MOST = 1 if _core.stress else 2

BOUNDED = [Queue, LifoQueue, PriorityQueue, Hooked]
ALL = [*BOUNDED, SimpleQueue]
IN_ORDER = [Queue, Hooked, SimpleQueue]

bounded = pytest.mark.parametrize("make", BOUNDED)
every = pytest.mark.parametrize("make", ALL)
in_order = pytest.mark.parametrize("make", IN_ORDER)


def getter(log, q, name=None, **options):
    """Return a tasklet that waits for an item and notes it, or what was raised."""

    def get():
        try:
            item = q.get(**options)
        except BaseException as error:
            log.append((name, type(error)) if name else type(error))
            if isinstance(error, TaskletExit):
                raise
        else:
            log.append((name, item) if name else item)

    return spawn(get)


def putter(log, q, item, **options):
    """Return a tasklet that waits until it can put an item, and notes it."""

    def put():
        try:
            q.put(item, **options)
        except BaseException as error:
            log.append(type(error))
            if isinstance(error, TaskletExit):
                raise
        else:
            log.append(item)

    return spawn(put)


def waiting(q):
    """Return how many wait in get() or put(): each is in a condition's repr."""
    return sum(
        int(repr(condition).rpartition(", ")[2].rstrip(")>"))
        for condition in (q.not_empty, q.not_full)
    )


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
def test_those_who_wait_come_in_order(make, log):
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


# Nothing is lost by one who leaves.


def kill(t):
    t.kill()


def throw(t):
    t.throw(KeyError, pending=True)


def kill_later(t):
    t.kill(pending=True)


LEAVE = pytest.mark.parametrize("leave", [kill, throw, kill_later])


@every
@LEAVE
def test_an_item_of_one_who_leaves_goes_to_the_next(make, leave, log):
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
def test_an_item_of_one_who_leaves_can_be_had_again(make, leave, log):
    q = make()
    first = getter(log, q, "first")
    settle()
    q.put(1)
    q.put(2)
    leave(first)
    settle()
    assert sorted([q.get_nowait(), q.get_nowait()]) == [1, 2]


@in_order
def test_the_items_of_those_who_leave_keep_their_order(make, log):
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
def test_a_place_of_one_who_leaves_goes_to_the_next(make, leave, log):
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
def test_who_was_killed_while_it_waited_is_forgotten(make, log):
    q = make()
    for _ in range(3):
        t = getter(log, q)
        settle()
        t.kill()
    q.put(1)
    assert q.get() == 1
    assert log == [TaskletExit] * 3


# Others that are faster.


def lost_before(act, error):
    """Return how often act() is faster than one who was woken."""
    for lost in range(10):
        try:
            act(lost)
        except error:
            return lost
        settle()
    return None


@bounded
def test_a_getter_comes_too_late_twice_at_most(make, log):
    q = make()
    getter(log, q)
    settle()

    def be_faster(item):
        q.put(item)
        assert q.get_nowait() == item

    assert lost_before(be_faster, Empty) == LATE_MOST
    assert log == [LATE_MOST]
    assert not q.mutex.locked()


@bounded
def test_a_putter_comes_too_late_twice_at_most(make, log):
    q = make(1)
    q.put(0)
    putter(log, q, "last")
    settle()

    def be_faster(item):
        assert q.get() == item
        q.put_nowait(item + 1)

    assert lost_before(be_faster, Full) == LATE_MOST
    assert log == ["last"]
    assert q.get() == "last"
    assert not q.mutex.locked()


@bounded
def test_a_thread_is_not_kept_out_for_ever(make):
    q, got = make(), []
    thread = threading.Thread(target=lambda: got.append(q.get()))
    thread.start()
    until(lambda: waiting(q) == 1)

    def be_faster():
        q.put(1)
        try:
            q.get_nowait()
        except Empty:
            pass
        return got

    until(be_faster)
    thread.join(SECONDS)
    assert got == [1]


def test_one_who_was_late_keeps_its_place(log):
    q = Queue()
    getter(log, q, "a")
    getter(log, q, "b")
    settle()
    q.put(1)
    q.get_nowait()
    settle()
    q.put(2)
    settle()
    q.put(3)
    settle()
    assert log == [("a", 2), ("b", 3)]


def test_one_who_was_late_keeps_its_deadline(log):
    with fake_clock() as clock:
        q = Queue()
        getter(log, q, timeout=10)
        settle()
        clock.advance(6)
        q.put(1)
        q.get_nowait()
        settle()
        clock.advance(5)
        settle()
    assert log == [Empty]


def test_the_items_of_a_simple_queue_are_for_those_who_waited(log):
    q = SimpleQueue()
    getter(log, q)
    settle()
    q.put(1)
    with pytest.raises(Empty):
        q.get_nowait()
    settle()
    assert log == [1]


# The mutex and the conditions.


@bounded
@pytest.mark.parametrize(
    "act",
    [lambda q: q.put(1), lambda q: q.get(), lambda q: q.qsize(), lambda q: q.join(),
     lambda q: q.task_done(), lambda q: q.shutdown(), lambda q: q.shutdown(True),
     lambda q: q.put_nowait(1), lambda q: q.get_nowait(), lambda q: q.full()],
)  # fmt: skip
def test_every_operation_waits_for_the_mutex(make, act, log):
    q = make()
    q.put(0)
    with q.mutex:
        t = spawn(lambda: (act(q), log.append(1)))
        settle()
        assert log == []
        q.unfinished_tasks = 0 if act.__code__.co_names == ("join",) else 1
    settle()
    assert log == [1]
    assert not q.mutex.locked()
    assert t.done()


@bounded
def test_what_is_done_by_hand_is_seen(make, log):
    q = make()
    getter(log, q)
    settle()
    with q.not_empty:
        q.queue.append(5)
        q.not_empty.notify()
    settle()
    assert log == [5]
    assert not q.mutex.locked()


@bounded
def test_one_who_is_notified_by_hand_without_an_item_waits_again(make, log):
    q = make()
    getter(log, q)
    settle()
    for _ in range(5):
        with q.not_empty:
            q.not_empty.notify_all()
        settle()
    assert log == []
    q.put(1)
    settle()
    assert log == [1]


@bounded
def test_one_who_is_notified_by_hand_and_killed_passes_it_on(make, log):
    q = make()
    first = getter(log, q, "first")
    getter(log, q, "second")
    settle()
    with q.not_empty:
        q.queue.append(1)
        q.not_empty.notify()
        first.kill(pending=True)
    settle()
    assert sorted(log, key=str) == [("first", TaskletExit), ("second", 1)]
    assert not q.mutex.locked()


@bounded
def test_the_conditions_can_be_waited_for(make, log):
    q = make(1)

    def watch(condition, name):
        with condition:
            condition.wait()
            log.append((name, q.mutex.locked()))

    spawn(watch, q.not_empty, "not empty")
    settle()
    q.put(1)
    settle()
    spawn(watch, q.not_full, "not full")
    spawn(watch, q.all_tasks_done, "done")
    settle()
    q.get()
    settle()
    q.task_done()
    settle()
    assert log == [("not empty", True), ("not full", True), ("done", True)]
    assert not q.mutex.locked()


def test_the_locks_of_a_queue_are_its_own_for_good():
    q = Queue()
    for name in ("mutex", "not_empty", "not_full", "all_tasks_done"):
        with pytest.raises(AttributeError):
            setattr(q, name, None)
    assert isinstance(q.mutex, tasklets.locks.Lock)


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
def test_who_joins_can_be_killed(make, log):
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
def test_shutdown_wakes_who_waits(make, immediate, log):
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


# Subclasses, and what replaces methods.


class Unique(Queue):
    """The well-known queue without duplicates."""

    def _init(self, maxsize):
        self.queue = set()

    def _put(self, item):
        self.queue.add(item)

    def _get(self):
        return self.queue.pop()


def test_a_subclass_may_have_a_container_of_its_own(log):
    q = Unique(2)
    for item in (1, 1, 1, 2):
        q.put(item)
    assert q.full()
    putter(log, q, 3)
    settle()
    assert q.get() in (1, 2)
    settle()
    assert log == [3]


def test_a_container_may_be_replaced(log):
    q = Queue()
    q.queue = collections.deque([1, 2], maxlen=2)
    q.put(3)
    assert list(q.queue) == [2, 3]
    q.queue = log
    q.put(4)
    assert log == [4]
    with pytest.raises(AttributeError, match="popleft"):
        q.get()
    del q.queue
    for act in (q.get, q.qsize, lambda: q.put(1), lambda: q.queue):
        with pytest.raises(AttributeError, match="queue"):
            act()
    q.maxsize = 1
    with pytest.raises(AttributeError, match="queue"):
        q.put(1)
    assert not q.mutex.locked()


def test_what_a_subclass_overrides_is_called(log):
    class Loud(Queue):
        def _init(self, maxsize):
            log.append(("init", maxsize))
            super()._init(maxsize)

        def _put(self, item):
            log.append(("put", self.mutex.locked()))
            super()._put(item)

        def _get(self):
            log.append(("get", self.mutex.locked()))
            return super()._get()

    q = Loud(5)
    q.put(1)
    assert q.get() == 1
    assert log == [("init", 5), ("put", True), ("get", True)]


def test_put_nowait_goes_through_put(log):
    class Loud(LifoQueue):
        def put(self, item, block=True, timeout=None):
            log.append(("put", block))
            super().put(item, block, timeout)

        def get(self, block=True, timeout=None):
            log.append(("get", block))
            return super().get(block, timeout)

    q = Loud()
    q.put_nowait(1)
    assert q.get_nowait() == 1
    assert log == [("put", False), ("get", False)]


def test_methods_can_be_replaced_at_any_time(log, monkeypatch):
    q, other = Queue(), PriorityQueue()
    q.put(1)
    with monkeypatch.context() as patch:
        patch.setattr(Queue, "_put", lambda self, item: log.append(item))
        q.put(2)
        other.put(3)
    q.put(4)
    with monkeypatch.context() as patch:
        patch.setattr(q, "_put", log.append)
        q.put(5)
    q.put(6)
    assert (list(q.queue), other.queue, log) == ([1, 4, 6], [], [2, 3, 5])


def test_a_method_that_fails_leaves_all_in_order(log):
    class Failing(Queue):
        fails = True

        def _put(self, item):
            if self.fails:
                raise KeyError(item)
            super()._put(item)

        def _get(self):
            if self.fails:
                raise KeyError
            return super()._get()

    q = Failing(1)
    with pytest.raises(KeyError):
        q.put(1)
    assert (q.unfinished_tasks, q.mutex.locked()) == (0, False)
    q.fails = False
    q.put(1)
    putter(log, q, 2)
    settle()
    q.fails = True
    with pytest.raises(KeyError):
        q.get()
    q.fails = False
    assert q.get() == 1
    settle()
    assert log == [2]


def test_a_getter_whose_method_fails_passes_the_item_on(log):
    class Failing(Queue):
        def _get(self):
            if getcurrent() is first:
                raise KeyError
            return super()._get()

    q = Failing()
    first = getter(log, q, "first")
    getter(log, q, "second")
    settle()
    q.put(1)
    settle()
    assert log == [("first", KeyError), ("second", 1)]


def test_methods_that_switch_keep_all_others_out(log):
    class Slow(Queue):
        def _put(self, item):
            log.append("in")
            schedule()
            super()._put(item)
            log.append("out")

    q = Slow()
    for i in range(3):
        spawn(q.put, i)
    settle()
    assert log == ["in", "out"] * 3
    assert [q.get() for _ in range(3)] == [0, 1, 2]


def test_comparisons_that_switch_keep_all_others_out(log):
    class Item:
        def __init__(self, value):
            self.value = value

        def __lt__(self, other):
            log.append("in")
            schedule()
            log.append("out")
            return self.value < other.value

    q = PriorityQueue()
    for i in (3, 1, 2):
        spawn(q.put, Item(i))
    settle()
    got = []
    for _ in range(3):
        spawn(lambda: got.append(q.get().value))
    settle()
    assert got == [1, 2, 3]
    assert log == ["in", "out"] * (len(log) // 2)


def test_comparisons_that_fail_leave_the_mutex_free():
    q = PriorityQueue()
    q.put(1)
    with pytest.raises(TypeError):
        q.put("x")
    assert not q.mutex.locked()
    assert q.unfinished_tasks == 1


def test_a_tasklet_killed_in_a_comparison_leaves_the_mutex_free(log):
    class Item:
        def __lt__(self, other):
            schedule()
            return True

    q = PriorityQueue()
    q.put(Item())
    t = spawn(q.put, Item())
    schedule()
    assert q.mutex.locked()
    t.kill()
    assert not q.mutex.locked()


def test_a_method_that_releases_the_mutex_does_no_harm(log):
    class Rude(Queue):
        def _put(self, item):
            self.mutex.release()
            super()._put(item)
            spawn(other)
            schedule()

    q = Rude()

    def other():
        with q.mutex:
            schedule()
            log.append(q.mutex.locked())

    q.put(1)
    settle()
    assert log == [True]
    assert not q.mutex.locked()


def test_a_size_that_is_none_is_refused():
    class Wrong(Queue):
        size = -1

        def _qsize(self):
            return self.size

    q = Wrong()
    with pytest.raises(ValueError, match="_qsize"):
        q.get()
    q.size = "x"
    with pytest.raises(TypeError):
        q.qsize()
    assert not q.mutex.locked()


@bounded
def test_a_queue_that_was_not_initialised(make):
    q = make.__new__(make)
    for act in (
        lambda: q.put(1),
        q.get,
        q.qsize,
        q.join,
        q.task_done,
        q.shutdown,
        q.full,
        lambda: q.mutex,
        lambda: q.not_empty,
    ):
        with pytest.raises((RuntimeError, AttributeError)):
            act()
    assert q.maxsize == 0
    repr(q)
    q.__init__(3)
    q.put(1)
    assert q.get() == 1


@bounded
def test_a_queue_can_be_initialised_again(make, log):
    q = make(1)
    getter(log, q)
    settle()
    q.mutex.acquire()
    q.__init__(2)
    q.put(7)
    settle()
    assert log == [7]
    assert (q.maxsize, q.unfinished_tasks, q.is_shutdown) == (2, 1, False)


def test_attributes_can_be_added():
    q = Queue()
    q.name = "mine"
    assert q.__dict__ == {"name": "mine"}


def test_timeouts_may_run_code():
    class Tricky:
        def __init__(self, q):
            self.q = q

        def __float__(self):
            self.q.get_nowait()
            return 0.001

    q = Queue()
    q.put(1)
    with pytest.raises(Empty):
        q.get(timeout=Tricky(q))


# What is used while something else is done to it.


@every
def test_finalizers_may_put(make, log):
    class Item:
        def __lt__(self, other):
            return False

        def __del__(self):
            q.put_nowait(5)

    q = make()
    q.put(Item())
    q.get()
    assert q.get() == 5


def test_a_finalizer_puts_while_a_bounded_deque_lets_go_of_an_item():
    class Item:
        def __del__(self):
            q.queue = collections.deque()
            q.put(5)

    q = Queue()
    q.queue = collections.deque([Item()], maxlen=1)
    q.put(1)
    assert list(q.queue) == [5]
    assert q.unfinished_tasks == 2


@every
def test_the_collector_finds_a_queue_in_a_cycle(make):
    class Thing:
        pass

    thing = Thing()
    thing.queue = make()
    thing.queue.put(thing)
    ref = weakref.ref(thing)
    del thing
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("make", [Queue, SimpleQueue])
def test_a_long_chain_of_queues_can_be_freed(make):
    q = make()
    for _ in range(50_000):
        outer = make()
        outer.put(q)
        q = outer
    del q, outer


@every
def test_a_queue_that_only_its_waiters_know_does_no_harm(make, log):
    def wait():
        q = make()
        try:
            q.get()
        finally:
            log.append("end")

    t = spawn(wait)
    settle()
    t = weakref.ref(t)
    gc.collect()
    if t() is not None:
        t().kill()
    settle()  # one that was found by the collector is told to end, and does so in turn
    gc.collect()
    assert log == ["end"]


# Threads.


@every
@pytest.mark.parametrize("with_tasklets", [0, 1, 2])
def test_items_between_threads(make, with_tasklets):
    """0: plain threads; 1: the consumer is a tasklet; 2: both are."""
    q = make(3) if make is not SimpleQueue else make()
    seen = []

    def produce():
        for i in range(500):
            q.put(i)

    def consume():
        seen.extend(q.get() for _ in range(500))

    def as_tasklet(work):
        return lambda: (spawn(work).join(), None)

    with running(
        as_tasklet(produce) if with_tasklets > 1 else produce,
        as_tasklet(consume) if with_tasklets > 0 else consume,
    ):
        pass
    assert sorted(seen) == list(range(500))
    if make in IN_ORDER:
        assert seen == list(range(500))


@every
def test_a_plain_thread_gets_no_tasklets(make):
    q, answer = make(), make()
    schedulers = _core.live_counts()["scheduler"]

    def work():
        answer.put(q.get() + 1)
        q.get()

    thread = threading.Thread(target=work)
    thread.start()
    q.put(1)
    assert answer.get() == 2
    assert _core.live_counts()["scheduler"] == schedulers
    q.put(1)
    thread.join(SECONDS)


@bounded
def test_join_between_threads(make):
    q = make()
    done = []

    def work():
        for _ in range(50):
            q.get()
            done.append(1)
            q.task_done()

    for i in range(100):
        q.put(i)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    q.join()
    assert len(done) == 100
    for thread in threads:
        thread.join(SECONDS)


@bounded
def test_shutdown_wakes_threads(make):
    q = make()

    def work():
        with pytest.raises(ShutDown):
            q.get()

    with running(work, work, lambda: spawn(work).join()):
        until(lambda: waiting(q) == 3)
        q.shutdown()


@every
def test_a_thread_that_ends_with_waiters_leaves_the_queue_usable(make):
    q = make()

    def work():
        for _ in range(3):
            spawn(q.get)
        settle()

    in_thread(work)
    q.put(1)
    assert q.get() == 1


@every
def test_a_thread_that_ends_before_its_tasklet_gets_the_item(make):
    q = make()

    def work():
        spawn(q.get)
        settle()
        q.put(1)

    in_thread(work)
    assert q.get(timeout=SECONDS) == 1


@every
def test_a_paused_tasklet_that_was_woken_gives_its_item_back(make, log):
    q = make()
    t = getter(log, q)
    settle()
    q.put(1)
    t.remove()
    t.kill()
    assert (log, q.get_nowait()) == ([TaskletExit], 1)


@every
def test_a_random_order_loses_nothing(make, log):
    for seed in range(20):
        q = make()
        with seeded(seed):
            for i in range(5):
                getter(log, q)
                spawn(q.put, i)
            settle()
        assert (sorted(log), q.qsize()) == ([0, 1, 2, 3, 4], 0)
        log.clear()


def mess(make, seed, items=300):
    """Put and get with kills, throws and timeouts at random, in four threads.

    Return what was put, what was got, and what is left.
    """
    q = make() if make is SimpleQueue else make(3)
    put, got, stop = [], [], threading.Event()

    def get(rng):
        choice = rng.random()
        if choice < 0.5:
            got.append(q.get())
        elif choice < 0.8:
            got.append(q.get(timeout=rng.random() / 1000))
        else:
            with timeout(rng.random() / 1000):
                got.append(q.get())

    def one_get(rng):
        try:
            get(rng)
        except (Empty, KeyError, TimeoutError):
            pass

    def in_tasklets(number):
        rng = random.Random(seed * 10 + number)
        alive = []
        while not stop.is_set():
            alive = [t for t in alive if not t.done()]
            if len(alive) < 4:
                alive.append(spawn(one_get, rng))
            schedule()
            victim = rng.choice(alive)
            if rng.random() < 0.3:
                victim.kill()
            elif rng.random() < 0.3 and victim.blocked:
                victim.throw(KeyError, pending=True)
            tasklets.sleep(0.0002)
        for t in alive:
            t.kill()

    def plain():
        rng = random.Random(seed)
        while not stop.is_set():
            try:
                got.append(q.get(timeout=rng.random() / 500))
            except Empty:
                pass

    def produce(number):
        for i in range(items):
            q.put((number, i))
            put.append((number, i))

    def produce_all():
        try:
            t = spawn(produce, 0)
            produce(1)
            t.join()
            until(q.empty)
        finally:
            stop.set()

    with running(lambda: in_tasklets(1), lambda: in_tasklets(2), plain, produce_all):
        pass
    while not q.empty():
        got.append(q.get())
    return put, got


@every
@pytest.mark.parametrize("seed", range(3))
def test_no_item_is_lost_or_got_twice(make, seed):
    put, got = mess(make, seed)
    assert sorted(got) == sorted(put)


def mess_in_one_thread(make, seed):
    """Do the same in one thread, where each moment can be hit exactly."""
    rng = random.Random(seed)
    q = make() if make is SimpleQueue else make(2)
    put, got, numbers = [], [], iter(range(10**6))

    def get():
        try:
            got.append(q.get(timeout=rng.choice([None, 1, 2])))
        except (Empty, KeyError):
            pass

    def give():
        item = next(numbers)
        try:
            q.put(item, timeout=rng.choice([None, 1, 2]))
        except (Full, KeyError):
            return
        put.append(item)

    with fake_clock() as clock:
        alive = []
        for _ in range(300):
            choice = rng.random()
            if choice < 0.25:
                alive.append(spawn(get))
            elif choice < 0.5:
                alive.append(spawn(give))
            elif choice < 0.6 and alive:
                rng.choice(alive).kill(pending=rng.random() < 0.5)
            elif choice < 0.7 and alive:
                t = rng.choice(alive)
                if t.blocked:
                    t.throw(KeyError, pending=True)
            elif choice < 0.8:
                clock.advance(rng.random())
            elif choice < 0.9 and make is not SimpleQueue:
                with q.mutex:
                    schedule()
                    rng.choice([q.not_empty, q.not_full]).notify(rng.randrange(3))
            else:
                schedule()
            alive = [t for t in alive if not t.done()]
        settle()
        # Nobody sleeps beside what it waits for.
        stuck = not q.empty() and any("get from" in repr(t) for t in alive)
        for t in alive:
            t.kill()
        settle()
        while not q.empty():
            got.append(q.get_nowait())
    return put, got, stuck


@every
@pytest.mark.parametrize("seed", range(20))
def test_no_item_is_lost_whatever_comes_when(make, seed):
    put, got, stuck = mess_in_one_thread(make, seed)
    assert sorted(got) == sorted(put)
    assert not stuck


# Signals and forks.


@pytest.mark.parametrize("make", [Queue, SimpleQueue])
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_signal_handler_may_put_what_main_waits_for(make):
    q = make()
    before = signal.signal(signal.SIGALRM, lambda *args: q.put("from the handler"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert q.get(timeout=SECONDS) == "from the handler"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("make", ["Queue", "PriorityQueue", "SimpleQueue"])
@pytest.mark.parametrize("with_tasklets", [False, True])
def test_ctrl_c_arrives(make, with_tasklets):
    status, output, errors = run_program(
        f"""
        import os, signal, threading, time
        import tasklets
        from tasklets.queues import {make}

        q = {make}()
        if {with_tasklets}:
            tasklets.spawn(q.get)
            tasklets.schedule()

        def interrupt():
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

        try:
            threading.Thread(target=interrupt).start()
            q.get()
        except KeyboardInterrupt:
            print("interrupted")
        q.put(1)
        q.put(2)
        if {with_tasklets}:
            tasklets.schedule()
        print(q.get())
        """
    )
    assert (status, errors) == (0, [])
    assert output.split() == ["interrupted", "2" if with_tasklets else "1"]


@forks_beside_threads
def test_the_child_of_a_fork_has_what_was_promised_to_others():
    status, output, errors = run_program(
        """
        import os, threading, time, warnings
        import tasklets
        from tasklets.queues import Queue, SimpleQueue

        warnings.simplefilter("ignore", DeprecationWarning)
        queues = [Queue(), SimpleQueue()]
        for q in queues:
            for _ in range(2):
                threading.Thread(target=q.get, daemon=True).start()
        time.sleep(0.2)
        for q in queues:
            q.put(1)
        pid = os.fork()
        if pid == 0:
            for q in queues:
                q.put(2)
                print(q.get(timeout=5), flush=True)
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
        for q in queues:
            q.put(3)
        """
    )
    assert (status, errors) == (0, [])
    printed = output.split()
    assert printed[-1] == "0"
    assert len(printed) == 3


@every
def test_no_operation_leaks(make, no_leak):
    q = make()

    def work():
        q.put(1)
        q.get()
        t = spawn(q.get)
        settle()
        q.put(2)
        t.join()
        t = spawn(q.get)
        settle()
        t.kill()
        try:
            q.get(timeout=0)
        except Empty:
            pass
        make().put([])

    no_leak(work, calls=200)
