"""wait() and as_completed(): what has finished has the type of what was given."""

from concurrent.futures import Future
from typing import assert_type

from tasklets import as_completed, spawn, tasklet, wait
from tasklets.locks import Event
from tasklets.workers import WorkerFuture, WorkerPool

pool = WorkerPool(2)
lengths = [spawn(len, word) for word in ("a", "bc")]
for ended in as_completed(lengths, timeout=2):
    assert_type(ended, tasklet[int])
    assert_type(ended.result(), int)
assert_type(wait(lengths, count=1), list[tasklet[int]])
futures = [pool.submit(len, word) for word in ("a", "bc")]
assert_type(wait(futures), list[WorkerFuture[int]])

# Of several kinds, too.
event = Event()
for one in as_completed([event, lengths[0]]):
    if isinstance(one, tasklet):
        one.join()
    elif isinstance(one, Future):
        one.result()
    else:
        one.is_set()
for other in wait([event, lengths[0], futures[0]], 2, count=1):
    print(other)

wait([3])  # E: type-var reportCallIssue reportArgumentType
as_completed(["a"])  # E: type-var reportCallIssue reportArgumentType
as_completed(event)  # E: call-overload reportCallIssue reportArgumentType
wait(lengths, count="1")  # E: call-overload reportCallIssue reportArgumentType
