"""A number of seconds is read in the same way everywhere: one limit, one error each."""

import math
import threading

import pytest

from tasklets import (
    QueueChannel,
    channel,
    deadline,
    recv,
    scheduler,
    select,
    shield,
    sleep,
    spawn,
    timeout,
    wait,
)
from tasklets.locks import Barrier, Condition, Event, Lock, RLock, Semaphore
from tasklets.queues import PriorityQueue, Queue, SimpleQueue

# (the argument's name, a call that gives it)
UNLIMITED = [
    ("timeout", lambda t: channel().receive(timeout=t)),
    ("timeout", lambda t: QueueChannel().receive(timeout=t)),
    ("timeout", lambda t: select(recv(channel()), timeout=t)),
    ("timeout", lambda t: spawn(sleep, 1e-4).join(timeout=t)),
    ("timeout", lambda t: wait([spawn(sleep, 1e-4)], timeout=t)),
    ("seconds", sleep),
    ("seconds", timeout),
    ("seconds", lambda t: timeout(1).reschedule(t)),
    ("seconds", shield),
    ("seconds", lambda t: scheduler.run(seconds=t)),
    ("slice_seconds", lambda t: scheduler.run(slice_seconds=t)),
    ("when", deadline),
    ("delay", lambda t: scheduler.call_later(t, int)),
]
# threading has these, too, and refuses a timeout longer than threading.TIMEOUT_MAX.
LIMITED = [
    ("timeout", lambda t: Lock().acquire(timeout=t)),
    ("timeout", lambda t: RLock().acquire(timeout=t)),
    ("timeout", lambda t: Semaphore().acquire(timeout=t)),
    ("timeout", lambda t: Event().wait(t)),
    ("timeout", lambda t: Condition().wait(t)),
    ("timeout", lambda t: Condition().acquire(timeout=t)),
    ("timeout", lambda t: Barrier(2).wait(t)),
    ("timeout", lambda t: Barrier(2, timeout=t)),
    ("timeout", lambda t: Queue().get(timeout=t)),
    ("timeout", lambda t: PriorityQueue().get(timeout=t)),
    ("timeout", lambda t: SimpleQueue().get(timeout=t)),
]


@pytest.fixture(autouse=True)
def no_tasklets_left():
    """Run what a test has spawned to its end."""
    yield
    scheduler.run(wait=True)


@pytest.mark.parametrize(("name", "call"), UNLIMITED + LIMITED)
def test_nan_is_refused_with_the_name_of_the_argument(name, call):
    text = f"^{name} must be a number of seconds, not NaN$"
    with pytest.raises(ValueError, match=text):
        call(math.nan)


@pytest.mark.parametrize(("name", "call"), UNLIMITED + LIMITED)
def test_what_is_no_number_is_refused(name, call):
    with pytest.raises(TypeError, match="must be real number, not str"):
        call("1")


@pytest.mark.parametrize("seconds", [threading.TIMEOUT_MAX + 1, math.inf])
@pytest.mark.parametrize("call", [call for _, call in LIMITED])
def test_a_timeout_that_threading_refuses_is_refused(call, seconds):
    with pytest.raises(OverflowError, match="must not exceed threading.TIMEOUT_MAX$"):
        call(seconds)


@pytest.mark.parametrize("make", [timeout, deadline])
@pytest.mark.parametrize(("seconds", "ends"), [(999_999_999, True), (1e9, False)])
def test_a_block_has_no_end_from_a_thousand_million_seconds_on(make, seconds, ends):
    with make(seconds) as block:
        assert (block.when is not None) is ends


def test_the_shortest_time_is_a_nanosecond():
    with timeout(5e-324) as block:
        assert not block.expired
    with pytest.raises(TimeoutError):
        channel().receive(timeout=5e-324)
