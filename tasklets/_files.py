"""Open files: what io.open() returns, over the operations of tasklets.fs."""

import errno
import io
import os
import stat
import warnings
from typing import Any

from tasklets import _core

# The size of a buffer, in bytes. A transfer costs tens of microseconds, because another
# thread does it, so the buffer is larger than that of the standard library.
BUFFER_BYTES = 65536

_FLAGS = {
    "r": 0,
    "w": os.O_CREAT | os.O_TRUNC,
    "x": os.O_CREAT | os.O_EXCL,
    "a": os.O_CREAT | os.O_APPEND,
}


class RawFile(io.RawIOBase):
    """An open file without a buffer, like `io.FileIO`; see `open`.

    It keeps its position itself. A transfer whose wait ends early does not move it, so
    that repeating the transfer neither skips nor repeats a part of the file; only to a
    file opened with "a" data may be written twice then.
    """

    _fd = -1

    def __init__(self, name: Any, mode: str, fd: int) -> None:
        self.name = name
        self.mode = mode
        self._fd = fd
        self._may_wait = True
        self._position: int | None = None  # None: the file has no positions
        try:
            end = os.SEEK_END if "a" in mode else os.SEEK_CUR
            self._position = os.lseek(fd, 0, end)
        except OSError:
            pass  # a pipe or a terminal

    def __repr__(self) -> str:
        word = "closed" if self.closed else f"fd={self._fd}"
        return (
            f"<tasklets.fs.RawFile name={self.name!r} mode={self.mode!r} {word} "
            f"at {id(self):#x}>"
        )

    def __del__(self) -> None:
        if not self.closed:
            self._dealloc_warn(self)
            self.close()

    def _dealloc_warn(self, source: object) -> None:
        # The finalizer of a buffer calls this first. A finalizer must not wait.
        self._may_wait = False
        warnings.warn(f"unclosed file {source!r}", ResourceWarning, 2, source)

    def _check(self, may: bool, what: str) -> int:
        """Return the offset of the next transfer."""
        if self.closed:
            raise ValueError(f"I/O operation on closed file {self!r}")
        if not may:
            raise io.UnsupportedOperation(f"{self!r} is not open for {what}")
        return -1 if self._position is None else self._position

    def readable(self) -> bool:
        """Return whether the file was opened for reading."""
        return "r" in self.mode or "+" in self.mode

    def writable(self) -> bool:
        """Return whether the file was opened for writing."""
        return "r" not in self.mode or "+" in self.mode

    def seekable(self) -> bool:
        """Return whether the file has positions."""
        return self._position is not None

    def fileno(self) -> int:
        """Return the descriptor, and move its own position to that of this file.

        A child process that gets the descriptor goes on there. If something else then
        moves the descriptor's position, use `seek` before reading or writing here.
        """
        offset = self._check(True, "")
        if offset >= 0:
            os.lseek(self._fd, offset, os.SEEK_SET)
        return self._fd

    def isatty(self) -> bool:
        """Return whether the file is a terminal."""
        self._check(True, "")
        return os.isatty(self._fd)

    def read(self, size: int | None = -1) -> bytes:
        """Read at most size bytes; b"" at the end of the file."""
        if size is None or size < 0:
            return self.readall()
        offset = self._check(self.readable(), "reading")
        if self._may_wait:
            data = _core.fs_read(self._fd, size, offset)
        else:
            data = _read_at_once(self._fd, size, offset)
        if self._position is not None:
            self._position = offset + len(data)
        return data

    def readall(self) -> bytes:
        """Read to the end of the file."""
        offset = self._check(self.readable(), "reading")
        size = os.fstat(self._fd).st_size - offset + 1  # one byte more finds the end
        parts = []
        while part := self.read(max(size, BUFFER_BYTES)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, and return the number of bytes."""
        with memoryview(buffer).cast("B") as view:
            data = self.read(len(view))
            view[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        """Write bytes and return how many were written."""
        offset = self._check(self.writable(), "writing")
        if "a" in self.mode:
            offset = -1
        # A copy: the memory may be used again when the wait has ended early.
        with memoryview(data) as view:
            copy = bytes(view)
        if self._may_wait:
            size = _core.fs_write(self._fd, copy, offset)
        else:
            size = _write_at_once(self._fd, copy, offset)
        if self._position is not None:
            if offset < 0:
                self._position = os.lseek(self._fd, 0, os.SEEK_CUR)
            else:
                self._position = offset + size
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, in bytes from the place that whence names; return it."""
        position = self._check(True, "")
        if whence == os.SEEK_CUR and position >= 0:
            offset, whence = offset + position, os.SEEK_SET
        self._position = os.lseek(self._fd, offset, whence)
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self.seek(0, os.SEEK_CUR)

    def truncate(self, size: int | None = None) -> int:
        """Change the size of the file, to the position by default, and return it."""
        self._check(self.writable(), "writing")
        size = self.tell() if size is None else size
        _core.fs_ftruncate(self._fd, size)
        return size

    def close(self) -> None:
        """Close the file; it is closed even if the wait ends early."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            fd, self._fd = self._fd, -1
            if self._may_wait:
                try:
                    _core.fs_close(fd)
                except (_core.BlockTrapError, _core.SwitchTrapError):
                    os.close(fd)  # the tasklet must not wait
            else:
                os.close(fd)


def _read_at_once(fd: int, size: int, offset: int) -> bytes:
    return os.read(fd, size) if offset < 0 else os.pread(fd, size, offset)


def _write_at_once(fd: int, data: bytes, offset: int) -> int:
    return os.write(fd, data) if offset < 0 else os.pwrite(fd, data, offset)


def _flags_of(mode: str) -> int:
    """Return the flags for open(2), or raise ValueError."""
    kinds = [kind for kind in mode if kind in _FLAGS]
    if len(kinds) != 1 or set(mode) - set("rwxabt+") or len(set(mode)) < len(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    if "b" in mode and "t" in mode:
        raise ValueError(f"a file is either text or binary, not both: {mode!r}")
    if "+" in mode:
        return os.O_RDWR | _FLAGS[kinds[0]]
    return (os.O_RDONLY if kinds == ["r"] else os.O_WRONLY) | _FLAGS[kinds[0]]


def open_file(
    path: Any,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
    timeout: float | None,
) -> Any:
    """Do what fs.open() does with a str as mode."""
    flags = _flags_of(mode)
    binary = "b" in mode
    if binary and (encoding, errors, newline) != (None, None, None):
        raise ValueError("a binary file takes no encoding, errors or newline")
    if buffering == 0 and not binary:
        raise ValueError("a text file must have a buffer")
    raw_mode = mode.replace("t", "").replace("b", "") + "b"
    fd = _core.fs_open(path, flags, 0o666, timeout=timeout)
    raw = RawFile(path, raw_mode, fd)
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            why = os.strerror(errno.EISDIR)
            raise IsADirectoryError(errno.EISDIR, why, os.fspath(path))
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else BUFFER_BYTES
        buffered: Any
        if "+" in mode:
            buffered = io.BufferedRandom(raw, size)
        elif raw.readable():
            buffered = io.BufferedReader(raw, size)
        else:
            buffered = io.BufferedWriter(raw, size)
        if binary:
            return buffered
        lines = buffering == 1 or (buffering < 0 and raw.isatty())
        text = io.TextIOWrapper(buffered, encoding, errors, newline, lines)
        text.mode = mode  # type: ignore[misc]
        return text
    except BaseException:
        raw.close()
        raise
