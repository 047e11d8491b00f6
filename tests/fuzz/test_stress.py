"""What a build with -DTL_STRESS does, and no other: csrc/base/stress.h."""

from concurrent.futures import Future
from functools import partial

import pytest

import tasklets
from tasklets import _core
from tasklets.locks import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock
from tasklets.queues import LifoQueue, PriorityQueue, Queue, SimpleQueue


def others_run_in(operation):
    """Tell whether another runnable tasklet has a turn before the operation returns."""
    turns = []
    other = tasklets.spawn(turns.append, "other")
    operation()
    had_one = bool(turns)
    other.join()
    return had_one


def ended(value=None):
    """Return a tasklet that has ended."""
    tasklet = tasklets.spawn(lambda: value)
    tasklet.join()
    return tasklet


def filled(kind, *args):
    """Return a queue with one item."""
    queue = kind(*args)
    queue.put("item")
    return queue


def event():
    """Return an event that is set."""
    made = Event()
    made.set()
    return made


def future():
    """Return a future that is done."""
    made = Future()
    made.set_result("value")
    return made


def within(context, operation):
    """Return a function that does the operation inside a context."""

    def work():
        with context:
            operation()

    return work


# What may have to wait, but need not now: it is made, then done.
MAY_WAIT = {
    "Lock.acquire": lambda: Lock().acquire,
    "Lock.acquire(timeout)": lambda: partial(Lock().acquire, timeout=9),
    "with Lock": lambda: within(Lock(), int),
    "RLock.acquire": lambda: RLock().acquire,
    "Condition.acquire": lambda: Condition().acquire,
    "with Condition": lambda: within(Condition(), int),
    "Semaphore.acquire": lambda: BoundedSemaphore().acquire,
    "with Semaphore": lambda: within(BoundedSemaphore(), int),
    "Event.wait": lambda: event().wait,
    "Barrier.wait": lambda: Barrier(1).wait,
    "Queue.get": lambda: filled(Queue).get,
    "LifoQueue.get": lambda: filled(LifoQueue).get,
    "PriorityQueue.get": lambda: filled(PriorityQueue).get,
    "SimpleQueue.get": lambda: filled(SimpleQueue).get,
    "Queue.put": lambda: partial(Queue(1).put, "item"),
    "Queue.join": lambda: Queue().join,
    "wait": lambda: partial(tasklets.wait, [ended()]),
    "as_completed": lambda: partial(next, tasklets.as_completed([ended()])),
    "select(tasklet)": lambda: partial(tasklets.select, ended()),
    "select(event)": lambda: partial(tasklets.select, event()),
    "select(future)": lambda: partial(tasklets.select, future()),
}


def queue_channel():
    """Return a QueueChannel with a value, and room for one more."""
    made = tasklets.QueueChannel(2)
    made.send("value")
    return made


def owned(kind):
    """Return an acquired lock."""
    made = kind()
    made.acquire()
    return made


def waited_for():
    """Return a channel without a preference on which a receiver waits."""
    made = tasklets.channel()
    made.preference = 0
    tasklets.spawn(made.receive)
    tasklets.run()
    return made


# What never waits, or is only tried, or does not wait as the documentation promises.
GOES_ON = {
    "RLock.acquire again": lambda: owned(RLock).acquire,
    "Lock.acquire(False)": lambda: partial(Lock().acquire, False),
    "Lock.acquire(timeout=0)": lambda: partial(Lock().acquire, timeout=0),
    "Lock.release": lambda: owned(Lock).release,
    "Semaphore.release": lambda: owned(BoundedSemaphore).release,
    "Event.set": lambda: Event().set,
    "Event.wait(0)": lambda: partial(event().wait, 0),
    "Condition.notify": lambda: owned(Condition).notify,
    "Queue.put without maxsize": lambda: partial(Queue().put, "item"),
    "Queue.get_nowait": lambda: filled(Queue).get_nowait,
    "Queue.put_nowait": lambda: partial(Queue(1).put_nowait, "item"),
    "SimpleQueue.put": lambda: partial(SimpleQueue().put, "item"),
    "QueueChannel.send": lambda: partial(queue_channel().send, "value"),
    "QueueChannel.receive": lambda: queue_channel().receive,
    "channel.send": lambda: partial(waited_for().send, "value"),
    "join(timeout=0)": lambda: partial(ended().join, timeout=0),
    "select(default)": lambda: partial(tasklets.select, ended(), default=None),
    "join": lambda: ended().join,
    "join(timeout)": lambda: partial(ended().join, timeout=9),
    "result": lambda: ended().result,
    "exception": lambda: ended().exception,
    "in atomic": lambda: within(tasklets.atomic(), Lock().acquire),
    "in no_switch": lambda: within(tasklets.no_switch(), Lock().acquire),
    "in block_trap": lambda: within(tasklets.block_trap(), Lock().acquire),
}


@pytest.mark.parametrize("make", MAY_WAIT.values(), ids=MAY_WAIT)
def test_other_tasklets_run_before_what_may_have_to_wait_in_a_stress_build_only(make):
    assert others_run_in(make()) is _core.stress


@pytest.mark.parametrize("make", GOES_ON.values(), ids=GOES_ON)
def test_no_tasklet_runs_before_what_does_not_wait_in_any_build(make):
    assert not others_run_in(make())


def test_yields_can_be_turned_off():
    assert _core.stress_yields(False) is True
    try:
        assert not others_run_in(Lock().acquire)
        assert _core.stress_yields(False) is False
    finally:
        assert _core.stress_yields(True) is False


def test_an_interruption_in_a_yield_leaves_everything_as_it_was():
    lock, queue = Lock(), filled(Queue)
    reached = []

    def work():
        for operation in (lock.acquire, queue.get):
            try:
                operation()
            except TimeoutError:
                reached.append(operation.__name__)

    def interrupt(tasklet):
        for _ in range(2):
            tasklet.throw(TimeoutError(), pending=True)
            tasklets.schedule()

    tasklet = tasklets.spawn(work)
    tasklets.spawn(interrupt, tasklet).join()
    tasklet.join()
    if _core.stress:
        assert reached == ["acquire", "get"]
        assert not lock.locked()
        assert queue.qsize() == 1


def test_pools_and_slabs_are_small_in_a_stress_build_only():
    channels = [tasklets.channel() for _ in range(100)]
    before = tasklets.scheduler.statistics()["slabs"]
    crowd = [tasklets.spawn(channel.receive) for channel in channels]
    tasklets.run()
    grown = tasklets.scheduler.statistics()["slabs"] - before
    for channel in channels:
        channel.send(None)
    tasklets.wait(crowd)
    pooled = tasklets.scheduler.statistics()["pooled_stacks"]
    assert (grown > 5) is _core.stress
    assert (pooled <= 1) is _core.stress
