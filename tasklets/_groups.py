"""Groups of tasklets that do not outlive a block of code."""

from collections import deque
from collections.abc import Callable
from operator import index
from threading import get_ident
from types import TracebackType
from typing import Any, Self

from tasklets._core import (
    QueueChannel,
    TaskletExit,
    TimeoutExit,
    atomic,
    getcurrent,
    interruptible,
    schedule,
    spawn_for_caller,
    tasklet,
)

# So often in a row the end of a block may be told that it cannot wait: once it may be
# over when the tasklets have been killed, and what others throw does not come for ever.
_HOPELESS = 3


class GroupExit(TaskletExit):
    """Interrupts the body of a TaskGroup whose tasklets are being cancelled."""


class _Interrupted(Exception):
    """The body has come to its end, by the group's own GroupExit."""


class TaskGroup:
    """A context manager whose block does not end before the tasklets that it spawned.

    limit: how many of them run at a time; None: any number.

    An error in one of them, or in the block, cancels the group: the other tasklets are
    killed, and the block is interrupted by a GroupExit where it waits, or waits next.
    When all have ended, an ExceptionGroup of all the errors leaves the block, also if
    there is only one. KeyboardInterrupt and SystemExit leave it bare. Who is killed has
    no error.

    A kill of the tasklet in the block, or a timeout() round it, cancels the group too,
    and goes on when all have ended. A group is used by one thread, and once.
    """

    __slots__ = (
        "__weakref__",
        "_base_error",
        "_cancelled",
        "_children",
        "_errors",
        "_exit",
        "_in_body",
        "_limit",
        "_over",
        "_parent",
        "_queue",
        "_scope",
        "_taken",
        "_thread",
    )

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None:
            limit = index(limit)
            if limit < 1:
                raise ValueError(f"limit must be positive, not {limit}")
        self._limit = limit
        self._taken = 0  # places of the limit that are used, or given to a waiter
        self._queue: deque[QueueChannel] = deque()  # who waits for a place
        self._children: dict[tasklet, None] = {}
        self._parent: tasklet | None = None
        self._thread: int | None = None
        self._scope = interruptible(GroupExit, _Interrupted)
        self._in_body = self._cancelled = self._over = False
        self._errors: list[BaseException] = []
        self._base_error: BaseException | None = None
        self._exit: BaseException | None = None  # what interrupts the parent

    def __repr__(self) -> str:
        word = "not entered"
        if self._over:
            word = "over"
        elif self._thread is not None:
            word = "being cancelled" if self._cancelled else "active"
        return f"<TaskGroup {word}, {len(self._children)} tasklets>"

    # ---- what the program calls

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError(
                "this TaskGroup has been entered: each block needs its own"
            )
        with atomic():
            self._scope.__enter__()
            self._thread = get_ident()
            self._parent = getcurrent()
            self._in_body = True
        return self

    def spawn(
        self,
        func: Callable[..., object],
        /,
        *args: Any,
        name: str | None = None,
        **kwargs: Any,
    ) -> tasklet:
        """Have func called with the arguments in a new tasklet, as tasklets.spawn().

        Waits while the group has as many tasklets as its limit. Tasklets of the group
        may call it too. Raises RuntimeError before and after the block, on another
        thread, and while the group is being cancelled; TypeError as spawn(). In all
        cases nothing was spawned.
        """
        with atomic():  # nobody is stopped by a budget half way
            self._check_open()
            if self._limit is not None:
                self._take_place()
            try:
                self._check_open()  # it may have taken a while
                child = spawn_for_caller(func, *args, name=name, **kwargs)
                self._children[child] = None
                child.add_done_callback(self._note_end)
            except BaseException:
                self._give_place()
                raise
        return child

    def cancel(self) -> None:
        """Kill the tasklets of the group, and interrupt its block where it waits.

        The block still ends when all of them have, without an error if they have none.
        A tasklet of the group that calls this is killed on the spot. Has no effect if
        the group is being cancelled or is over. Raises RuntimeError before the block
        and on another thread.
        """
        self._check_thread()
        with atomic():
            if self._over:
                return
            self._abort()
            if getcurrent() in self._children:
                raise TaskletExit

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._over or self._parent is not getcurrent():
            raise RuntimeError(
                "a TaskGroup can only be left by the tasklet that entered it, once"
            )
        with atomic():
            leaving = self._end(kind, exc, traceback)
        if leaving is None:
            return True  # there is no error, or it was our own
        if leaving is exc:
            return False
        try:
            if isinstance(leaving, BaseExceptionGroup):
                raise leaving from None
            raise leaving
        finally:
            del leaving, exc

    def _end(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> BaseException | None:
        """Wait for the tasklets, and return what is to leave the block."""
        self._in_body = False
        try:
            self._scope.__exit__(kind, exc, traceback)
        except _Interrupted:
            exc = None
        if exc is not None:
            self._take(exc)
            self._abort()
        self._wait_for_children()
        self._over = True
        self._dismiss()
        leaving = self._result()
        self._parent = self._base_error = self._exit = None
        self._errors = []
        return leaving

    # ---- errors

    def _take(self, error: BaseException) -> None:
        """Note an error of the parent, or what it was interrupted by."""
        if isinstance(error, TaskletExit | GeneratorExit):
            # The last one is that of the block to be left; but a kill is never lost.
            if self._exit is None or isinstance(self._exit, TimeoutExit | GroupExit):
                self._exit = error
        else:
            self._note_error(error)

    def _note_error(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            if self._base_error is None:
                self._base_error = error
        elif not any(error is other for other in self._errors):
            self._errors.append(error)

    def _result(self) -> BaseException | None:
        """Return what is to leave the block."""
        if self._base_error is not None:
            return self._base_error
        if self._errors:
            return BaseExceptionGroup("errors in a TaskGroup", self._errors)
        return self._exit

    # ---- the tasklets

    def _note_end(self, child: tasklet) -> None:
        """Take note that a tasklet of the group has ended: its done callback."""
        with atomic():
            if child not in self._children:
                return
            del self._children[child]
            if child.done() and not child.cancelled():
                error = child.exception()
                if error is not None:
                    self._note_error(error)
                    self._abort()
            self._give_place()

    def _abort(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._kill_children()
            self._dismiss()
            if self._in_body and get_ident() == self._thread:
                self._scope.reschedule(0)

    def _kill_children(self) -> None:
        me = getcurrent()
        for child in list(self._children):
            if child is not me and not child.done():
                child.kill(pending=True)

    def _wait_for_children(self) -> None:
        failures = 0
        while self._children:
            child = next(iter(self._children))
            try:
                child.join()
            except BaseException as error:
                failures = failures + 1 if isinstance(error, RuntimeError) else 0
                self._interrupt(error, failures)
                if failures == _HOPELESS:
                    break
            else:
                failures = 0
                self._note_end(child)  # it may have been stopped before its callback
        for child in self._children:
            child.remove_done_callback(self._note_end)
        self._children.clear()

    def _interrupt(self, error: BaseException, failures: int) -> None:
        """Deal with what was raised in the parent while it waited for the others."""
        if failures < 2 or not any(type(error) is type(e) for e in self._errors):
            self._take(error)
        again = self._cancelled and isinstance(error, KeyboardInterrupt)
        if again and error is not self._base_error:
            self._kill_children()
        self._abort()

    # ---- places

    def _take_place(self) -> None:
        if self._taken < self._limit:  # type: ignore[operator]
            self._taken += 1
            return
        gate = QueueChannel()
        gate.preference = 0
        self._queue.append(gate)
        try:
            gate.receive()
        except BaseException:
            if gate in self._queue:
                self._queue.remove(gate)
            else:
                self._give_place()
            raise

    def _give_place(self) -> None:
        if self._limit is None:
            return
        self._taken -= 1
        while self._queue and self._taken < self._limit:
            self._queue[0].send(None)
            self._queue.popleft()
            self._taken += 1

    def _dismiss(self) -> None:
        """Let those who wait for a place find that there will be none."""
        while self._queue:
            self._queue[0].send(None)
            self._queue.popleft()

    # ---- checks

    def _check_thread(self) -> None:
        if self._thread is None:
            raise RuntimeError("this TaskGroup has not been entered: use it in a with")
        if self._thread != get_ident():
            raise RuntimeError(
                "a TaskGroup belongs to the thread that entered it: other threads need "
                "groups of their own"
            )

    def _check_open(self) -> None:
        self._check_thread()
        if self._over:
            raise RuntimeError("this TaskGroup is over: it takes no more tasklets")
        if self._cancelled:
            in_body = self._in_body and getcurrent() is self._parent
            if in_body and not self._scope.expired:
                schedule()  # this is where the body ends
            raise RuntimeError(
                "this TaskGroup is being cancelled: it takes no more tasklets"
            )
