"""Queues: races for an item, the mutex and the conditions."""

import collections
import gc
import threading
import weakref

import pytest
from queue_kinds import bounded, every, getter, putter, waiting
from threads import SECONDS, block_until

import tasklets
import tasklets.locks
from tasklets import TaskletExit, _core, spawn
from tasklets.queues import Empty, Full, Queue, SimpleQueue
from tasklets.testing import fake_clock, settle

# How often one comes too late before others are kept out: csrc/sync/queue.c.
LATE_MOST = 1 if _core.stress else 2


# Others that are faster.


def lost_before(act, error):
    """Return how often act() is faster than a woken waiter."""
    for lost in range(10):
        try:
            act(lost)
        except error:
            return lost
        settle()
    return None


@bounded
def test_a_getter_loses_the_race_twice_at_most(make, log):
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
def test_a_putter_loses_the_race_twice_at_most(make, log):
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
def test_a_thread_is_not_kept_out_forever(make):
    q, got = make(), []
    thread = threading.Thread(target=lambda: got.append(q.get()))
    thread.start()
    block_until(lambda: waiting(q) == 1)

    def be_faster():
        q.put(1)
        try:
            q.get_nowait()
        except Empty:
            pass
        return got

    block_until(be_faster)
    thread.join(SECONDS)
    assert got == [1]


def test_a_waiter_that_lost_the_race_keeps_its_place(log):
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


def test_a_waiter_that_lost_the_race_keeps_its_deadline(log):
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


def test_the_items_of_a_simple_queue_go_to_its_waiters(log):
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
def test_a_getter_notified_by_hand_without_an_item_waits_again(make, log):
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
def test_a_getter_notified_by_hand_and_killed_passes_the_notification_on(make, log):
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


def test_a_finalizer_puts_while_a_bounded_deque_drops_an_item():
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
    settle()  # a tasklet that the collector found is told to end, and does so in turn
    gc.collect()
    assert log == ["end"]
