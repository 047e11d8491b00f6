"""Files and directories: functions of `os`, while other tasklets run.

libuv's threads do the work, without the GIL. All functions raise OSError like `os`,
and TimeoutError after timeout seconds. When a wait ends early, because of that or
because the tasklet is killed, the operation goes on and its result is dropped.
"""

import os
import stat as _types
from typing import AnyStr, Generic

from tasklets import _core
from tasklets._core import fs_close as close
from tasklets._core import fs_fstat as fstat
from tasklets._core import fs_fsync as fsync
from tasklets._core import fs_listdir as listdir
from tasklets._core import fs_lstat as lstat
from tasklets._core import fs_mkdir as mkdir
from tasklets._core import fs_open as open
from tasklets._core import fs_read as read
from tasklets._core import fs_read_bytes as read_bytes
from tasklets._core import fs_rename as rename
from tasklets._core import fs_rmdir as rmdir
from tasklets._core import fs_stat as stat
from tasklets._core import fs_unlink as unlink
from tasklets._core import fs_write as write
from tasklets._core import fs_write_bytes as write_bytes
from tasklets._names import public_names

__all__ = [
    "DirEntry",
    "close",
    "fstat",
    "fsync",
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
    "write",
    "write_bytes",
]


def __dir__() -> list[str]:
    return public_names(globals())


class DirEntry(Generic[AnyStr]):
    """An entry that `scandir` returns, with the interface of `os.DirEntry`.

    Its methods call the file system, and let other tasklets run, only if the directory
    did not tell what they need, as for symbolic links.
    """

    __slots__ = {
        "_kind": "The file type bits of st_mode, or 0.",
        "name": "The name in the directory.",
        "path": "The directory's path joined with the name.",
    }

    name: AnyStr
    path: AnyStr

    def __init__(self, directory: AnyStr, name: AnyStr, kind: int) -> None:
        self.name = name
        self.path = os.path.join(directory, name)
        self._kind = kind

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def __fspath__(self) -> AnyStr:
        return self.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return `fs.stat` of the entry, or `fs.lstat` of a link itself."""
        return stat(self.path) if follow_symlinks else lstat(self.path)

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

    def is_symlink(self) -> bool:
        """Return whether the entry is a symbolic link."""
        return self._is(_types.S_IFLNK, False)


def scandir(
    path: AnyStr | os.PathLike[AnyStr] | None = None,
    *,
    timeout: float | None = None,
) -> list[DirEntry[AnyStr]]:
    """Return a list of the entries of a directory, by default the current one.

    Like `os.scandir`, but complete at once. Raises OSError, and TimeoutError after
    timeout seconds.
    """
    directory = "." if path is None else os.fspath(path)
    found = _core.fs_entries(directory, timeout=timeout)
    return [
        DirEntry(directory, name, kind)  # type: ignore[arg-type]
        for name, kind in found
    ]
