"""The cases of select() that are no channels."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

from tasklets._core import (
    Case,
    Event,
    QueueChannel,
    recv,
    select,
    spawn,
    tasklet,
    wait_readable,
    wait_writable,
)
from tasklets._waiting import source_of


class HasFileno(Protocol):
    """What select.select() takes for a descriptor, too."""

    def fileno(self) -> int: ...


class readable(NamedTuple):
    """A case for select(): wait until a descriptor can be read from.

    fd: an int, or an object with fileno(). See scheduler.wait_readable().
    """

    fd: int | HasFileno


class writable(NamedTuple):
    """A case for select(): wait until a descriptor can be written to.

    fd: an int, or an object with fileno(). See scheduler.wait_writable().
    """

    fd: int | HasFileno


Waitable: TypeAlias = Case | tasklet | Future[Any] | Event | readable | writable


class _Mixed:
    """One call of select(), translated to channels."""

    def __init__(self) -> None:
        self.origins: dict[Case, tuple[Waitable, tasklet | None]] = {}
        self.undo: list[Callable[[], object]] = []

    def add(self, case: Waitable) -> None:
        """Take up one case."""
        if isinstance(case, Case):
            self.origins[case] = case, None
            return
        ended = QueueChannel()
        helper = None
        if isinstance(case, readable | writable):
            helper = self.help(case)
        who = case if helper is None else helper
        if not isinstance(who, tasklet | Future | Event):
            raise TypeError(
                "select() takes recv(channel), send(channel, value), readable(fd), "
                f"writable(fd), tasklets, futures and events, not {case!r}"
            )
        ended._source = source_of(who)
        self.listen(who, ended)
        self.origins[recv(ended)] = case, helper

    def listen(self, who: "tasklet | Future[Any] | Event", ended: QueueChannel) -> None:
        """Have something come out of a channel when it has ended or is set."""

        def callback(_: object) -> None:
            if listening:
                ended.try_send(None)

        listening = [True]
        who.add_done_callback(callback)
        self.undo.append(listening.clear)  # a future cannot be told
        if isinstance(who, tasklet | Event):
            self.undo.append(partial(who.remove_done_callback, callback))

    def help(self, case: readable | writable) -> tasklet:
        """Have a tasklet wait for a descriptor, if it is not ready."""
        wait = wait_readable if isinstance(case, readable) else wait_writable
        try:
            wait(case.fd, timeout=0)
        except TimeoutError:
            helper = spawn(wait, case.fd)
        else:
            helper = spawn(int)
            helper.run()
        self.undo.append(helper.kill)
        return helper

    def end(self) -> None:
        """Leave nothing behind."""
        while self.undo:
            self.undo.pop()()


def select_mixed(*cases: Waitable, **options: Any) -> tuple[Waitable | None, Any]:
    """Do what select() does, for cases of all kinds."""
    mixed = _Mixed()
    try:
        for case in cases:
            mixed.add(case)
        chosen, value = select(*mixed.origins, **options)
        if chosen is None:
            return None, value
        origin, helper = mixed.origins[chosen]
        if helper is not None:
            helper.result()
        return origin, value
    finally:
        mixed.end()
