"""Channels and queue channels of one type of items."""

from collections.abc import Callable
from typing import Any, TypeVar, assert_type

from tasklets import QueueChannel, bomb, channel

T = TypeVar("T")

numbers: channel[int] = channel()
assert_type(channel[int](), channel[int])
assert_type(numbers.receive(), int)
assert_type(numbers.receive(timeout=1.5), int)
assert_type(numbers.try_receive(), int | None)
assert_type(numbers.try_receive("nothing"), int | str)
assert_type(numbers.send_sequence([1, 2]), int)
for number in numbers:
    assert_type(number, int)

numbers.send(1)
numbers.send(bomb(ValueError))
numbers.send(True, timeout=2)
numbers.send("one")  # E: arg-type reportArgumentType
numbers.send(1, 2)  # E: call-arg reportCallIssue
numbers.try_send(1.5)  # E: arg-type reportArgumentType
numbers.send_sequence("word")  # E: arg-type reportArgumentType
word: str = numbers.receive()  # E: assignment reportAssignmentType

# A channel is read and written, so neither stands for the other.
wide: channel[object] = numbers  # E: assignment reportAssignmentType

# A buffered channel may stand where a channel is wanted.
jobs: QueueChannel[Callable[[], int]] = QueueChannel(maxsize=10)
assert_type(jobs.receive()(), int)
assert_type(len(jobs), int)
any_jobs: channel[Callable[[], int]] = jobs
jobs.send(lambda: 1)
jobs.send(1)  # E: arg-type reportArgumentType
QueueChannel("10")  # E: arg-type reportArgumentType
channel[int](size=10)  # E: call-arg reportCallIssue

# Where nobody says what is carried, it is anything.
plain = channel()
assert_type(plain, channel[Any])
assert_type(plain.receive(), Any)


def first(source: channel) -> object:
    """Take from a channel of anything."""
    return source.receive()


first(numbers)
first(jobs)


class Logged(channel[T]):
    """A subclass that is generic itself, with an argument of its own."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title


class Names(channel[str]):
    """A subclass that fixes the type."""


assert_type(Logged[bytes]("raw").receive(), bytes)
assert_type(Names().receive(), str)
Names().send(b"")  # E: arg-type reportArgumentType
Logged[bytes]()  # E: call-arg reportCallIssue
