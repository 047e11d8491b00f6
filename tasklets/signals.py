"""Wait for signals in tasklets, of any thread.

>>> import signal, tasklets
>>> from tasklets import signals
>>> with signals.listen(signal.SIGUSR1) as arrivals:
...     signal.raise_signal(signal.SIGUSR1)
...     print(arrivals.wait().name)
SIGUSR1
"""

import errno
import io
import os
import signal
import threading
from collections import deque
from types import FrameType
from typing import Any, Self

from tasklets import _core
from tasklets._names import public_names
from tasklets._unpatched import original
from tasklets.workers import _ident_of, call_in_scheduler

__all__ = ["SignalListener", "listen", "wait"]


def __dir__() -> list[str]:
    return public_names(globals())


# How long a listener on another thread waits for the main thread, in seconds. Only the
# main thread can set a handler, and it may be in a call that blocks it forever. Far
# more than a tasklet that computes normally takes between two switches.
_MAIN_THREAD_SECONDS = 5.0

_UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}

# The process repeats the instruction that raised one of these after a handler.
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}

# The number of a signal -> the listeners inside their blocks, in order. Signal handlers
# and other threads read it at any time, so each change is a single operation.
_listening: "dict[int, dict[SignalListener, None]]" = {}

# The number of a signal -> the frame that it interrupted, while its handlers run.
_interrupted: dict[int, FrameType | None] = {}
_NONE: Any = object()


class _Handler:
    """A handler that tells the listeners, and calls the handler set before it.

    before: what `signal.getsignal` returned before this handler was set.
    """

    def __init__(self, before: Any) -> None:
        self.before = before

    def __repr__(self) -> str:
        return f"<tasklets.signals handler before {self.before!r}>"

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        around = _interrupted.get(signum, _NONE)
        # For one interruption two of these may run: a handler that the program has set
        # later calls the older one, and the newer one has told the listeners.
        heard = around is not _NONE and around is frame
        _interrupted[signum] = frame
        try:
            if not heard:
                heard = _tell(signum)
            if _is_programs(self.before):
                self.before(signum, frame)
            elif not heard and signal.getsignal(signum) is self:
                # The last listener has left, and the main thread has not had its turn.
                _end(signum)
                _act(signum)
        finally:
            if around is _NONE:
                _interrupted.pop(signum, None)
            else:
                _interrupted[signum] = around


def _is_programs(handler: Any) -> bool:
    """Return whether the program has set a handler, and not Python at its start."""
    return callable(handler) and handler is not signal.default_int_handler


def _tell(signum: int) -> bool:
    """Give a signal to its listeners. Returns whether there are any."""
    with _core.atomic():  # another thread must not close a descriptor here
        listeners = [*_listening.get(signum, ())]
        for listener in listeners:
            listener._add(signum)
    return bool(listeners)


def _act(signum: int) -> None:
    """Let a signal that no listener has taken have its default action."""
    if signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
        signal.raise_signal(signum)


def _begin(signum: int) -> None:
    """Set the handler of a signal that has a listener, on the main thread."""
    with _core.atomic():
        before = signal.getsignal(signum)
        if not _listening.get(signum) or isinstance(before, _Handler):
            return
        if before is None:
            raise RuntimeError(
                f"{_name(signum)} has a handler that was not set by Python's signal "
                "module, and could not be restored"
            )
        signal.signal(signum, _Handler(before))


def _end(signum: int) -> None:
    """Restore the handler of a signal if nobody listens to it, on the main thread."""
    with _core.atomic():
        handler = signal.getsignal(signum)
        if not _listening.get(signum) and isinstance(handler, _Handler):
            signal.signal(signum, handler.before)


def _is_main_thread() -> bool:
    mine: int = original("_thread", "get_ident")()
    return mine == _ident_of(threading.main_thread())


def _named(signum: int) -> signal.Signals | int:
    try:
        return signal.Signals(signum)
    except ValueError:
        return signum  # a realtime signal


def _name(signum: int) -> str:
    named = _named(signum)
    return named.name if isinstance(named, signal.Signals) else f"signal {signum}"


def _checked(signals: tuple[int, ...]) -> tuple[int, ...]:
    """Return the signals without repetitions, or raise TypeError or ValueError."""
    if not signals:
        raise TypeError("which signal? At least one argument is needed")
    for signum in signals:
        if not isinstance(signum, int) or isinstance(signum, bool):
            kind = type(signum).__name__
            raise TypeError(f"a signal must be a signal.Signals or an int, not {kind}")
        if signum not in signal.valid_signals():
            raise ValueError(f"{signum} is not the number of a signal")
        if signum in _UNCATCHABLE:
            raise ValueError(f"{_name(signum)} cannot be caught")
        if signum in _FAULTS:
            raise ValueError(
                f"{_name(signum)} is not waited for: after a fault of the process it "
                "would be raised again and again, and no tasklet would run"
            )
    return tuple(dict.fromkeys(map(int, signals)))


class SignalListener:
    """Signals that arrive during a block, in order; see `listen`.

    Iteration waits for the next signal, and ends when the block has ended. With
    `fileno`, a listener can be used in `select(readable(listener), ...)`: it is
    readable while `wait` would return at once. Each signal is taken once, by one of the
    tasklets that wait for this listener.
    """

    def __init__(self, *signals: int) -> None:
        self._signums = _checked(signals)
        self._arrived: deque[int] = deque()
        self._file: io.FileIO | None = None  # None outside the block
        self._thread = 0

    @property
    def signals(self) -> tuple[signal.Signals | int, ...]:
        """The signals that are listened to."""
        return tuple(map(_named, self._signums))

    def __repr__(self) -> str:
        names = ", ".join(map(_name, self._signums))
        word = "closed" if self._file is None else f"unread={len(self._arrived)}"
        return f"<tasklets.signals.SignalListener {names} {word} at {id(self):#x}>"

    def __enter__(self) -> Self:
        self._open(_MAIN_THREAD_SECONDS)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._close()
        except BaseException:  # of a signal handler
            self._close()
            raise

    def _open(self, seconds: float) -> None:
        if self._file is not None:
            raise RuntimeError(f"{self!r} is in use: make another listener")
        self._arrived.clear()
        self._file = _counter(0)
        self._thread = original("_thread", "get_ident")()
        try:
            for signum in self._signums:
                _listening.setdefault(signum, {})[self] = None
            if _is_main_thread():
                for signum in self._signums:
                    _begin(signum)
            else:
                self._ask_main_thread(seconds)
        except BaseException:
            self.__exit__()
            raise

    def _ask_main_thread(self, seconds: float) -> None:
        """Have the main thread set the handlers that are missing."""
        with _core.atomic():
            missing = [
                signum
                for signum in self._signums
                if not isinstance(signal.getsignal(signum), _Handler)
            ]
        if not missing:
            return
        main = threading.main_thread()
        try:
            call_in_scheduler(main, lambda: [*map(_begin, missing)], timeout=seconds)
        except (TimeoutError, ValueError, _core.CancelledError) as error:
            if isinstance(error, TimeoutError) and seconds < _MAIN_THREAD_SECONDS:
                raise
            if isinstance(error, ValueError):
                why = "it does not use tasklets"
            elif isinstance(error, TimeoutError):
                why = f"it has not run its tasklets for {seconds:g} s"
            else:
                why = "it is ending"
            raise RuntimeError(
                f"only the main thread can set the handler of {_name(missing[0])}, and "
                f"{why}; listen in the main thread first, or let it wait in tasklets"
            ) from None

    def _close(self, act: bool = True) -> None:
        with _core.atomic():
            file, self._file = self._file, None
            for signum in self._signums:
                _listening.get(signum, {}).pop(self, None)
            if file is not None:
                _core.notify_closing(file)
                file.close()
            unread = [] if not act else [*dict.fromkeys(self._arrived)]
            self._arrived.clear()
        if _is_main_thread():
            for signum in self._signums:
                _end(signum)
        else:
            # The handler has the same effect as the action that it replaces until the
            # main thread has its turn.
            for signum in self._signums:
                try:
                    _core.call_soon_threadsafe(_end, signum)
                except RuntimeError:  # the main thread does not use tasklets
                    break
        for signum in unread:
            if not _listening.get(signum):
                handler = signal.getsignal(signum)
                if isinstance(handler, _Handler) and not _is_programs(handler.before):
                    signal.raise_signal(signum)
                else:
                    _act(signum)

    def _add(self, signum: int) -> None:
        """Add a signal, in a handler; the listener may just have been closed."""
        if self._file is not None:
            self._arrived.append(signum)
            os.eventfd_write(self._file.fileno(), 1)

    def _take(self) -> int | None:
        """Return the next signal, or None if none has arrived."""
        with _core.atomic():
            if self._file is None:
                raise ValueError(f"{self!r} is not in its block")
            try:
                os.eventfd_read(self._file.fileno())
            except BlockingIOError:
                return None
            return self._arrived.popleft()

    def _renew(self) -> None:
        """Stop sharing the descriptor with the parent process, after a fork."""
        if self._file is not None:
            _core.notify_closing(self._file)
            self._file.close()
            self._file = _counter(len(self._arrived))

    def fileno(self) -> int:
        """Return a descriptor that is readable while a signal has not been taken.

        Only wait for it; `wait` and iteration read it. Raises ValueError outside the
        block.
        """
        if self._file is None:
            raise ValueError(f"{self!r} is not in its block")
        return self._file.fileno()

    def wait(self, timeout: float | None = None) -> signal.Signals | int:
        """Wait for the next signal and return it; an int if the signal has no name.

        Raises TimeoutError after timeout seconds, ValueError outside the block or if it
        ends during the wait, BlockTrapError if the tasklet must not wait. A signal that
        the waiter has not taken stays for the next call.
        """
        end = None if timeout is None else _core.now() + timeout
        while (signum := self._take()) is None:
            left = None if end is None else end - _core.now()
            try:
                _core.wait_readable(self, timeout=left)
            except OSError as error:
                # Closed, or made anew in the child of a fork: _take() finds out.
                if isinstance(error, TimeoutError) or error.errno != errno.EBADF:
                    raise
        return _named(signum)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> signal.Signals | int:
        try:
            return self.wait()
        except ValueError:
            raise StopIteration from None


def _counter(start: int) -> io.FileIO:
    """Return an eventfd that is readable as long as it is not 0; a read takes 1."""
    flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK | os.EFD_SEMAPHORE
    return io.FileIO(os.eventfd(start, flags))


def listen(*signals: int) -> SignalListener:
    """Return a listener to be used in a with block, which collects these signals.

    Each arrival of a signal during the block is kept until `SignalListener.wait` or an
    iteration takes it, also between two waits. Several listeners and several tasklets
    may listen to a signal; each listener gets it. Any thread may listen.

    A handler that the program has set by `signal.signal` still runs. A default action,
    SIGINT's KeyboardInterrupt among them, is replaced while a listener is open, and is
    restored with the end of the last block. A signal that its only listener has not
    taken at the end of the block has its default action then.

    Raises TypeError or ValueError for what is not a signal, or cannot be caught. At the
    beginning of the block: RuntimeError if a handler must be set by the main thread and
    that has not run its tasklets for five seconds, or if a handler is there that could
    not be restored; nothing has changed then.
    """
    return SignalListener(*signals)


def wait(*signals: int, timeout: float | None = None) -> signal.Signals | int:
    """Wait for one of the signals and return it.

    Only signals that arrive during the call count: use `listen` to wait more than once.
    Otherwise like the wait of a listener. timeout: in seconds; None: no limit. Raises
    TimeoutError when it is over, and the exceptions of `listen`.
    """
    listener = SignalListener(*signals)
    end = None if timeout is None else _core.now() + timeout
    limit = _MAIN_THREAD_SECONDS
    listener._open(limit if timeout is None else min(limit, max(0.0, timeout)))
    try:
        return listener.wait(None if end is None else end - _core.now())
    finally:
        listener.__exit__()


def _after_fork() -> None:
    """Forget the listeners of other threads in the child of a fork; renew the rest."""
    me: int = original("_thread", "get_ident")()
    for listeners in [*_listening.values()]:
        for listener in [*listeners]:
            if listener._thread == me:
                listener._renew()
            else:
                listener._close(act=False)


os.register_at_fork(after_in_child=_after_fork)

# Let the thread that imports this, normally the main thread, use tasklets: a thread
# that it starts next may listen before the main thread waits for the first time.
_core.getcurrent()
