"""Files and directories: what `os` and `open` do, while other tasklets run.

libuv's threads do the work, without the GIL. All functions raise OSError like `os`,
and TimeoutError after timeout seconds. When a wait ends early, because of that or
because the tasklet is killed, the operation goes on and its result is dropped.
"""

import io
import os
import stat as _types
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, AnyStr, Generic, Literal, Self, overload

from tasklets import _core
from tasklets._core import fs_close as close
from tasklets._core import fs_fstat as fstat
from tasklets._core import fs_fsync as fsync
from tasklets._core import fs_ftruncate as ftruncate
from tasklets._core import fs_listdir as listdir
from tasklets._core import fs_lstat as lstat
from tasklets._core import fs_mkdir as mkdir
from tasklets._core import fs_read as read
from tasklets._core import fs_read_bytes as read_bytes
from tasklets._core import fs_rename as rename
from tasklets._core import fs_rmdir as rmdir
from tasklets._core import fs_stat as stat
from tasklets._core import fs_unlink as unlink
from tasklets._core import fs_write as write
from tasklets._core import fs_write_bytes as write_bytes
from tasklets._files import RawFile as RawFile
from tasklets._files import open_file as _open_file
from tasklets._names import public_names
from tasklets._watch import Change as Change
from tasklets._watch import Watcher as Watcher
from tasklets._watch import watch as watch

if TYPE_CHECKING:
    from _typeshed import (
        OpenBinaryMode,
        OpenBinaryModeReading,
        OpenBinaryModeUpdating,
        OpenBinaryModeWriting,
        OpenTextMode,
    )

__all__ = [
    "Change",
    "DirEntries",
    "DirEntry",
    "RawFile",
    "Watcher",
    "close",
    "fstat",
    "fsync",
    "ftruncate",
    "listdir",
    "lstat",
    "mkdir",
    "open",
    "read",
    "read_bytes",
    "rename",
    "rmdir",
    "scandir",
    "stat",
    "unlink",
    "watch",
    "write",
    "write_bytes",
]


def __dir__() -> list[str]:
    return public_names(globals())


_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


@overload
def open(
    path: _Path, mode: int, permissions: int = 0o777, /, *, timeout: float | None = None
) -> int: ...
@overload
def open(
    path: _Path,
    mode: "OpenTextMode" = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    *,
    timeout: float | None = None,
) -> io.TextIOWrapper: ...
@overload
def open(
    path: _Path,
    mode: "OpenBinaryMode",
    buffering: Literal[0],
    *,
    timeout: float | None = None,
) -> RawFile: ...
@overload
def open(
    path: _Path,
    mode: "OpenBinaryModeUpdating",
    buffering: Literal[-1, 1] = -1,
    *,
    timeout: float | None = None,
) -> io.BufferedRandom: ...
@overload
def open(
    path: _Path,
    mode: "OpenBinaryModeWriting",
    buffering: Literal[-1, 1] = -1,
    *,
    timeout: float | None = None,
) -> io.BufferedWriter: ...
@overload
def open(
    path: _Path,
    mode: "OpenBinaryModeReading",
    buffering: Literal[-1, 1] = -1,
    *,
    timeout: float | None = None,
) -> io.BufferedReader: ...
@overload
def open(
    path: _Path,
    mode: str,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    *,
    timeout: float | None = None,
) -> IO[Any]: ...
def open(
    path: _Path,
    mode: str | int = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    *,
    timeout: float | None = None,
) -> Any:
    """Open a file and return a file object, like the function `open` of Python.

    Its reads, writes, `flush`, `truncate` and `close` wait in their tasklet. A wait can
    be bounded by a `timeout` block. A transfer that is ended that way, or by a kill,
    can be repeated: it has not moved the position. One tasklet uses a file at a time; a
    second one of the same thread gets RuntimeError from a file with a buffer.

    mode, buffering, encoding, errors, newline: as for `open`, but a buffer has 64 KiB
    by default. timeout: in seconds, for opening; afterwards the file is closed again.
    Raises OSError, TimeoutError, and ValueError for arguments that do not fit.

    If mode is an int, flags such as os.O_RDONLY, return a descriptor instead, like
    `os.open`. The third argument is the permission bits then, 0o777 by default.
    """
    if isinstance(mode, int):
        bits = 0o777 if buffering == -1 else buffering
        return _core.fs_open(path, mode, bits, timeout=timeout)
    if not isinstance(mode, str):
        kind = type(mode).__name__
        raise TypeError(f"mode must be a str, or flags as an int, not {kind}")
    return _open_file(path, mode, buffering, encoding, errors, newline, timeout)


class DirEntry(Generic[AnyStr]):
    """An entry that `scandir` returns, with the interface of `os.DirEntry`.

    Its methods call the file system, and let other tasklets run, only if the directory
    did not tell what they need, as for symbolic links.
    """

    __slots__ = {
        "_kind": "The file type bits of st_mode, or 0.",
        "_stats": "What stat() has returned, by follow_symlinks.",
        "name": "The name in the directory.",
        "path": "The directory's path joined with the name.",
    }

    name: AnyStr
    path: AnyStr

    def __init__(self, directory: AnyStr, name: AnyStr, kind: int) -> None:
        self.name = name
        self.path = os.path.join(directory, name)
        self._kind = kind
        self._stats: dict[bool, os.stat_result] = {}

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def __fspath__(self) -> AnyStr:
        return self.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return `fs.stat` of the entry, or `fs.lstat` of a link itself; keep it."""
        found = self._stats.get(follow_symlinks)
        if found is None:
            found = stat(self.path) if follow_symlinks else lstat(self.path)
            self._stats[follow_symlinks] = found
        return found

    def inode(self) -> int:
        """Return the inode number of the entry."""
        return self.stat(follow_symlinks=False).st_ino

    def _is(self, kind: int, follow_symlinks: bool) -> bool:
        found = self._kind
        if found == 0 or (found == _types.S_IFLNK and follow_symlinks):
            try:
                mode = self.stat(follow_symlinks=follow_symlinks).st_mode
            except FileNotFoundError:
                return False
            found = _types.S_IFMT(mode)
        return found == kind

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether the entry is a directory, or a link to one."""
        return self._is(_types.S_IFDIR, follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether the entry is a regular file, or a link to one."""
        return self._is(_types.S_IFREG, follow_symlinks)

    def is_junction(self) -> bool:
        """Return False: only Windows has junctions."""
        return False

    def is_symlink(self) -> bool:
        """Return whether the entry is a symbolic link."""
        return self._is(_types.S_IFLNK, False)


class DirEntries(Generic[AnyStr]):
    """The iterator that `scandir` returns, with the interface of that of `os.scandir`.

    All entries have been read, so `close`, and the end of a with block, only drop what
    is left.
    """

    def __init__(self, directory: AnyStr, found: list[tuple[AnyStr, int]]) -> None:
        self._directory = directory
        self._found: Iterator[tuple[AnyStr, int]] = iter(found)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> DirEntry[AnyStr]:
        name, kind = next(self._found)
        return DirEntry(self._directory, name, kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration."""
        self._found = iter([])


def scandir(
    path: AnyStr | os.PathLike[AnyStr] | None = None,
    *,
    timeout: float | None = None,
) -> DirEntries[AnyStr]:
    """Return an iterator over the entries of a directory, by default the current one.

    Like `os.scandir`, but the directory is read at once. Raises OSError, and
    TimeoutError after timeout seconds.
    """
    directory = "." if path is None else os.fspath(path)
    found = _core.fs_entries(directory, timeout=timeout)
    return DirEntries(directory, found)  # type: ignore[arg-type, return-value]
