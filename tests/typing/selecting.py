"""select(): the value has the type of the case."""

from concurrent.futures import Future
from typing import Any, assert_type

from tasklets import (
    Case,
    channel,
    readable,
    recv,
    select,
    send,
    spawn,
    tasklet,
    writable,
)
from tasklets.locks import Event

numbers: channel[int] = channel()
words: channel[str] = channel()
raw: channel[bytes] = channel()

number = recv(numbers)
word = recv(words)
assert_type(number, Case[int])
assert_type(send(numbers, 3), Case[None])
send(numbers, "3")  # E: misc reportArgumentType
recv(3)  # E: arg-type reportArgumentType

# One case.
assert_type(select(number)[1], int)

# Several: the value is of one of their types, told apart by isinstance().
case, value = select(number, word, timeout=1)
assert_type(value, int | str)
if isinstance(value, int):
    assert_type(value, int)
else:
    assert_type(value, str)
four = select(number, word, recv(raw), send(numbers, 3))
assert_type(four[1], int | str | bytes | None)

# Any number of cases of one type.
assert_type(select(*[recv(channel[int]()) for _ in range(10)])[1], int)

# A default is one more type.
assert_type(select(number, default="nothing")[1], int | str)
which, found = select(number, word, default=None)
assert_type(found, int | str | None)
if which is not None:
    assert_type(which.channel, channel[Any])

# Tasklets, futures, events and descriptors have no value of their own.
work = spawn(len, "four")
ended, nothing = select(work, spawn(len, ""))
assert_type(ended, tasklet[int])
assert_type(ended.result(), int)
assert_type(nothing, None)
select(work, Event(), readable(0), writable(1), Future[str]())
assert_type(select(number, work)[1], int | None)
select(number, word, work, Event(), default=3)

select(numbers)  # E: call-overload reportCallIssue reportArgumentType
select(number, 3)  # E: call-overload reportCallIssue reportArgumentType
select(number, limit=3)  # E: call-overload reportCallIssue
select(number, timeout="1")  # E: call-overload reportCallIssue reportArgumentType
text: str = select(number)[1]  # E: assignment reportAssignmentType
