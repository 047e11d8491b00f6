"""Calls on other threads."""

from typing import Any, assert_type

from tasklets.workers import (
    WorkerFuture,
    WorkerPool,
    call_in_scheduler,
    call_on_worker,
)


def area(width: int, height: float = 1.0, *, unit: str = "m") -> str:
    """Be the function of all calls here."""
    return f"{width * height} {unit}"


assert_type(call_on_worker(area, 3, unit="ft"), str)
assert_type(call_on_worker(area, 3, timeout=2, unit="ft"), str)
call_on_worker(area, "3")  # E: call-overload reportArgumentType
call_on_worker(area)  # E: call-overload reportCallIssue
call_on_worker(area, 3, depth=4)  # E: call-arg reportCallIssue
call_on_worker(area, 3, timeout="2")  # E: call-arg reportCallIssue

assert_type(call_in_scheduler(1, area, 3), str)
assert_type(call_in_scheduler(1, area, 3, timeout=None), str)
call_in_scheduler(1, area, "3")  # E: call-overload reportArgumentType
call_in_scheduler("1", area, 3)  # E: call-overload reportArgumentType


def abandoned(future: WorkerFuture[Any]) -> None:
    """Be told of a result that nobody waits for."""


with WorkerPool(2, on_abandoned=abandoned) as pool:
    assert_type(pool, WorkerPool)
    assert_type(pool.call(area, 3), str)
    assert_type(pool.call(area, 3, timeout=2), str)
    assert_type(pool.submit(area, 3), WorkerFuture[str])
    assert_type(pool.submit(area, 3).result(), str)
    pool.call(area, "3")  # E: call-overload reportArgumentType
    pool.submit(area, "3")  # E: arg-type reportArgumentType
    pool.submit(area, 3, timeout=2)  # E: call-arg reportCallIssue
    length: int = pool.submit(area, 3).result()  # E: assignment reportAssignmentType
WorkerPool("2")  # E: arg-type reportArgumentType
