"""Calls that run in tasklets: their arguments, and what comes of them."""

import functools
import time
from typing import Any, assert_type

from tasklets import TaskGroup, channel, scheduler, spawn, tasklet
from tasklets.workers import WorkerPool, call_on_worker


def area(width: int, height: float = 1.0, *, unit: str = "m") -> str:
    """Be the function of all calls here."""
    return f"{width * height} {unit}"


# spawn()

room = spawn(area, 3, height=4.5, unit="ft")
assert_type(room, tasklet[str])
assert_type(room.result(), str)
assert_type(spawn(channel[bytes]().receive).result(), bytes)
assert_type(spawn(lambda: 3).result(timeout=1), int)
assert_type(spawn(time.sleep, 1), tasklet[None])
spawn(print, "a", "b", sep="")
spawn(area, "3")  # E: call-overload reportArgumentType
spawn(area)  # E: call-overload reportCallIssue
spawn(area, 3, depth=4)  # E: call-arg reportCallIssue
spawn(area, 3, unit=4)  # E: arg-type reportArgumentType
spawn(3)  # E: call-overload reportCallIssue reportArgumentType
length: int = spawn(area, 3).result()  # E: assignment reportAssignmentType

# With a name the type of the result is known, and the arguments are not checked ...
assert_type(spawn(area, 3, name="hall", unit="ft"), tasklet[str])
spawn(area, 3, name=4)  # E: call-arg reportCallIssue
# ... unless they are bound before.
assert_type(spawn(functools.partial(area, 3), name="hall"), tasklet[str])
spawn(functools.partial(area, "3"), name="hall")  # E: arg-type reportArgumentType

# TaskGroup.spawn()

with TaskGroup(limit=2) as group:
    assert_type(group, TaskGroup)
    assert_type(group.spawn(area, 3), tasklet[str])
    assert_type(group.spawn(area, 3, name="hall"), tasklet[str])
    group.spawn(area, "3")  # E: call-overload reportArgumentType
    group.spawn(area, 3, 4, 5)  # E: call-overload reportCallIssue

# The scheduler's calls take arguments by position only.

assert_type(scheduler.call_soon(area, 3, 4.5), scheduler.Handle)
assert_type(scheduler.call_later(0.5, area, 3, 4.5), scheduler.Handle)
scheduler.call_soon(area, 3)
scheduler.call_soon(print)
scheduler.call_soon_threadsafe(area, 3, 4.5, thread=1)
# fmt: off
scheduler.call_soon(area, "3", 4.5)  # E: arg-type call-arg reportArgumentType reportCallIssue
scheduler.call_soon(area)  # E: arg-type call-arg reportArgumentType
scheduler.call_later("0.5", area, 3, 4.5)  # E: call-overload reportArgumentType reportCallIssue
scheduler.call_later(0.5, area, "3", 4.5)  # E: arg-type call-arg reportArgumentType reportCallIssue
scheduler.call_soon_threadsafe(area, "3", 4.5)  # E: arg-type call-arg reportArgumentType reportCallIssue
scheduler.call_soon(area, 3, unit="ft")  # E: call-overload reportCallIssue

# A function that they call may itself call another one with the other arguments.

pool = WorkerPool(1)
with TaskGroup() as group:
    scheduler.call_soon(spawn, print)
    scheduler.call_soon(spawn, area, 3)
    scheduler.call_later(0.5, spawn, area, 3, 4.5)
    scheduler.call_soon_threadsafe(spawn, area, 3, thread=1)
    scheduler.call_soon(group.spawn, area, 3)
    scheduler.call_later(0.5, pool.submit, area, 3)
    scheduler.call_soon(call_on_worker, area, 3)
    assert_type(spawn(call_on_worker, area, 3).result(), str)
    assert_type(spawn(spawn, area, 3).result().result(), str)
scheduler.call_soon(spawn, area, "3")  # E: arg-type call-arg reportArgumentType reportCallIssue
scheduler.call_soon(spawn, 3)  # E: arg-type reportArgumentType reportCallIssue
scheduler.call_soon(spawn, area, 3, name="hall")  # E: call-overload reportCallIssue
scheduler.call_later(0.5, spawn, area, "3")  # E: arg-type call-arg reportArgumentType reportCallIssue
scheduler.call_later("0.5", spawn, area, 3)  # E: call-overload reportArgumentType reportCallIssue
scheduler.call_soon_threadsafe(spawn, area, "3")  # E: arg-type call-arg reportArgumentType reportCallIssue
scheduler.call_soon(group.spawn, area, "3")  # E: arg-type call-arg reportArgumentType reportCallIssue
scheduler.call_soon(call_on_worker, area, "3")  # E: arg-type call-arg reportArgumentType reportCallIssue
spawn(call_on_worker, area, "3")  # E: call-overload reportCallIssue
# fmt: on

# tasklet()

hall = tasklet(area, (3,))
assert_type(hall, tasklet[str])
assert_type(tasklet(area)(3), tasklet[str])
assert_type(tasklet(area).setup(3).result(), str)
assert_type(tasklet(), tasklet[Any])
assert_type(tasklet().bind(area), tasklet[Any])
assert_type(tasklet[int]().bind(len).result(), int)
assert_type(hall.context_run(area, 3), str)
hall.context_run(area, "3")  # E: arg-type reportArgumentType
hall.bind(len)  # E: arg-type reportArgumentType
tasklet(3)  # E: call-overload reportCallIssue reportArgumentType


def widened(one: tasklet[int]) -> tasklet[object]:
    """Take one for the other: an int is an object."""
    return one


def narrowed(one: tasklet[object]) -> tasklet[int]:
    """Fail: an object need not be an int."""
    return one  # E: return-value reportReturnType


def wait_for(one: tasklet) -> bool:
    """Take a tasklet of any function."""
    return one.join(timeout=2)


wait_for(hall)


def ended(one: tasklet[str]) -> None:
    """Be called back."""
    print(one.result().upper())


hall.add_done_callback(ended)
spawn(len, "four").add_done_callback(ended)  # E: arg-type reportArgumentType


class Worker(tasklet[int]):
    """A subclass that binds a method of its own."""

    def __init__(self, step: int) -> None:
        super().__init__(self.work)
        self.step = step

    def work(self) -> int:
        """Be what runs."""
        return self.step


assert_type(Worker(2)().result(), int)
assert_type(Worker(2)(), Worker)
Worker()  # E: call-arg reportCallIssue
