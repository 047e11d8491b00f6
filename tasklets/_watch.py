"""Changes of files and directories, as inotify of Linux reports them."""

import errno
import io
import os
import struct
from collections import deque
from typing import Any, NamedTuple, Self
from weakref import WeakSet

from tasklets import _core

_EVENT = struct.Struct("iIII")  # struct inotify_event, without the name
_READ_BYTES = 65536  # thousands of events

# IN_... of <sys/inotify.h>: what is reported -> the kind of a Change.
_KINDS = {
    0x002: "modified",
    0x004: "attributes",
    0x008: "written",
    0x040: "moved_from",
    0x080: "moved_to",
    0x100: "created",
    0x200: "deleted",
    0x400: "deleted",
    0x800: "moved_from",
}
_MASK = sum(_KINDS)
_OVERFLOW, _IGNORED = 0x4000, 0x8000


class Change(NamedTuple):
    """A change that a `Watcher` reports.

    path: the watched path, joined with the name of the entry in it that has changed;
    "" with "overflow". kind: "created", "modified" (its contents), "attributes",
    "written" (closed after having been open for writing), "deleted", "moved_from",
    "moved_to", or "overflow": changes have been lost, because they were not taken in
    time.
    """

    path: str
    kind: str


class Watcher:
    """The changes of some paths during a block, in order; see `watch`.

    Iteration waits for the next change, and ends when the block has ended or nothing
    that is watched is left. With `fileno`, a watcher can be used in
    `select(readable(watcher), ...)`. One tasklet at a time waits for it.
    """

    def __init__(self, *paths: Any) -> None:
        if not paths:
            raise TypeError("watch what? At least one path is needed")
        self._paths = tuple(os.fsdecode(path) for path in paths)
        self._file: io.FileIO | None = None  # None outside the block
        self._watched: dict[int, str] = {}
        self._changes: deque[Change] = deque()
        self._is_awaited = False

    def __repr__(self) -> str:
        word = "closed" if self._file is None else f"watching={len(self._watched)}"
        return f"<tasklets.fs.Watcher {word} at {id(self):#x}>"

    def __enter__(self) -> Self:
        if self._file is not None:
            raise RuntimeError(f"{self!r} is in use: make another watcher")
        self._file = io.FileIO(_core.fs_watch_open())
        _live.add(self)
        try:
            for path in self._paths:
                number = _core.fs_watch_add(self._file.fileno(), path, _MASK)
                self._watched.setdefault(number, path)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        self._watched.clear()
        self._changes.clear()
        if file is not None:
            _core.notify_closing(file)
            file.close()

    def fileno(self) -> int:
        """Return a descriptor that is readable when there are new changes.

        `wait` may have read some of them already: it returns them with `timeout=0`.
        Raises ValueError outside the block.
        """
        if self._file is None:
            raise ValueError(f"{self!r} is not in its block")
        return self._file.fileno()

    def wait(self, timeout: float | None = None) -> Change:
        """Wait for the next change and return it.

        Raises TimeoutError after timeout seconds; ValueError outside the block, if it
        ends during the wait, or if nothing that is watched is left; RuntimeError if
        another tasklet waits.
        """
        if self._is_awaited:
            raise RuntimeError(f"another tasklet waits for {self!r}")
        end = None if timeout is None else _core.now() + timeout
        self._is_awaited = True
        try:
            while not self._changes:
                fd = self.fileno()
                if not self._watched:
                    raise ValueError(f"nothing is left to watch for {self!r}")
                try:
                    self._decode(os.read(fd, _READ_BYTES))
                except BlockingIOError:
                    self._sleep(None if end is None else end - _core.now())
            return self._changes.popleft()
        finally:
            self._is_awaited = False

    def _sleep(self, seconds: float | None) -> None:
        try:
            _core.wait_readable(self, timeout=seconds)
        except OSError as error:
            # Closed by another tasklet: fileno() tells.
            if isinstance(error, TimeoutError) or error.errno != errno.EBADF:
                raise

    def _decode(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            number, mask, _, size = _EVENT.unpack_from(data, at)
            name = data[at + _EVENT.size : at + _EVENT.size + size].rstrip(b"\0")
            at += _EVENT.size + size
            if mask & _IGNORED:
                self._watched.pop(number, None)
            elif mask & _OVERFLOW:
                self._changes.append(Change("", "overflow"))
            elif number in self._watched:
                path = self._watched[number]
                if name:
                    path = os.path.join(path, os.fsdecode(name))
                for bit, kind in _KINDS.items():
                    if mask & bit:
                        self._changes.append(Change(path, kind))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        try:
            return self.wait()
        except ValueError:
            raise StopIteration from None


_live: WeakSet[Watcher] = WeakSet()


def watch(*paths: Any) -> Watcher:
    """Return a watcher to be used in a with block, which reports changes of the paths.

    For a directory, changes of its entries are reported, but not those below its
    subdirectories; for a file, those of the file itself. Changes during the block are
    kept until they are taken, up to a limit of the system; then comes an "overflow".
    Changes that other machines make on a network file system are not seen.

    Paths are str, bytes or path objects. Raises TypeError; at the beginning of the
    block OSError: a path does not exist or cannot be read, or the user has as many
    watches or inotify instances as the system allows. A child process that is forked
    inside the block does not watch.
    """
    return Watcher(*paths)


def _after_fork() -> None:
    """Stop sharing descriptors, and so events, with the parent process."""
    for watcher in [*_live]:
        watcher._close()


os.register_at_fork(after_in_child=_after_fork)
