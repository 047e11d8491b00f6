"""Queues, locals, blocks and tools for tests."""

from typing import assert_type

from tasklets import block_trap, local, no_switch, scheduler, timeout
from tasklets.queues import PriorityQueue, Queue, SimpleQueue
from tasklets.testing import FakeClock, fake_clock, seeded

queue: Queue[int] = Queue(maxsize=3)
assert_type(queue.get(), int)
queue.put("3")  # E: arg-type reportArgumentType
assert_type(SimpleQueue[str]().get_nowait(), str)
assert_type(PriorityQueue[tuple[int, str]]().get(timeout=1)[1], str)


class Request(local):
    """A local that each tasklet makes ready with the same arguments."""

    def __init__(self, user: str, *, admin: bool = False) -> None:
        self.user = user
        self.admin = admin


request = Request("ada", admin=True)
assert_type(request.user, str)
Request()  # E: call-arg reportCallIssue
Request(3)  # E: arg-type reportArgumentType
local(3)  # E: call-arg reportCallIssue
local().anything = 3

with timeout(1.5) as block:
    assert_type(block, timeout)
    assert_type(block.when, float | None)
timeout("1.5")  # E: arg-type reportArgumentType


@no_switch()
def quiet(number: int) -> str:
    """Be decorated, and keep the types."""
    return str(number)


assert_type(quiet(3), str)
quiet("3")  # E: arg-type reportArgumentType
with block_trap(), seeded(3):
    pass
with fake_clock(10) as clock:
    assert_type(clock, FakeClock)
    clock.advance(3)
    clock.advance("3")  # E: arg-type reportArgumentType

last = scheduler.last_run()
if last is not None and last.reason == "idle":
    assert_type(last.switches, int)
assert_type(scheduler.statistics()["switches"], int)
scheduler.statistics()["switch"]  # E: typeddict-item reportGeneralTypeIssues
