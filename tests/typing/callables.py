"""Whatever can be called can be spawned."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, assert_type

from tasklets import TaskGroup, channel, scheduler, spawn, tasklet
from tasklets.queues import Queue
from tasklets.workers import call_on_worker

# Overloaded and generic functions, classes, methods.
assert_type(spawn(max, 1, 2).result(), int)
assert_type(spawn(os.listdir, "x").result(), list[str])
assert_type(spawn(os.listdir, b"x").result(), list[bytes])
assert_type(spawn(sorted, [3]).result(), list[int])
assert_type(spawn(Path, "x").result(), Path)
assert_type(spawn(str.upper, "x").result(), str)
spawn(channel[int]().send, 1, timeout=2)
spawn(channel[int]().send, "1")  # E: call-overload reportArgumentType
spawn(Queue[int]().put, 3, timeout=2)
assert_type(call_on_worker(Path("x").read_text, "utf-8"), str)
assert_type(call_on_worker(partial(int, "3"), timeout=2), int)
assert_type(call_on_worker(dict[str, int]().get, "a"), int | None)
scheduler.call_soon(print, 1, "two")
scheduler.call_later(1, channel[int]().send, 1)


def host(
    func: Callable[..., Any],
    typed: Callable[[int], str],
    *args: int,
    **kwargs: Any,
) -> tasklet[str]:
    """Spawn what it is given."""
    spawn(func, 1, two=2)
    spawn(func, *args, **kwargs)
    spawn(func, *args, name="x", **kwargs)
    scheduler.call_soon(func, 1, 2)
    scheduler.call_later(1, typed, 1)
    with TaskGroup() as group:
        group.spawn(func, *args, **kwargs)
    spawn(typed, "1")  # E: call-overload reportArgumentType
    return spawn(typed, 1)


def options(*args: int, timeout: float | None = None) -> int:
    """Have an option of a name that some calls have, too."""
    return len(args)


# timeout= is passed on by spawn(), and is an option of call_on_worker() itself.
assert_type(spawn(options, 1, timeout=2).result(), int)
assert_type(call_on_worker(options, 1, timeout=2), int)
