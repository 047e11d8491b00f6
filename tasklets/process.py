"""Child processes: what `subprocess` does, while other tasklets run.

Waiting for a child needs no signal handler: children of `subprocess`,
`multiprocessing` and this module do not disturb each other.
"""

import io
import os
import signal as _signal
import subprocess
from contextlib import suppress
from subprocess import DEVNULL as DEVNULL
from subprocess import PIPE as PIPE
from subprocess import STDOUT as STDOUT
from subprocess import CalledProcessError as CalledProcessError
from subprocess import CompletedProcess as CompletedProcess
from subprocess import SubprocessError as SubprocessError
from typing import TYPE_CHECKING, Any, AnyStr, cast

from tasklets import _core
from tasklets._names import public_names
from tasklets._select import readable, writable
from tasklets.workers import WorkerFuture, WorkerPool, call_on_worker

if TYPE_CHECKING:
    from subprocess import run as run

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "CalledProcessError",
    "CompletedProcess",
    "Popen",
    "SubprocessError",
    "TimeoutExpired",
    "run",
]


def __dir__() -> list[str]:
    return public_names(globals())


# The size of a read from a pipe, in bytes: the capacity of a Linux pipe.
_READ_BYTES = 65536

# communicate() gives the other tasklets a turn after this many transfers without a
# wait, so that a child that never stops writing does not starve them.
_TRANSFERS = 16


class TimeoutExpired(subprocess.TimeoutExpired, TimeoutError):
    """A child did not end in time: a `subprocess.TimeoutExpired` and a TimeoutError."""

    def __init__(
        self, cmd: Any, timeout: float, output: Any = None, stderr: Any = None
    ) -> None:
        super().__init__(cmd, timeout, output, stderr)
        self.args: tuple[Any, ...] = (cmd, timeout, output, stderr)  # for copies


# ---- pipes


def _read_some(pipe: "_Pipe", size: int) -> bytes | None:
    """Return at most size bytes of a pipe, b"" at its end, None if it has none yet."""
    try:
        return os.read(pipe.nonblocking(), size)
    except BlockingIOError:
        return None


def _write_some(pipe: "_Pipe", data: Any) -> int | None:
    """Write a part of data, and return its size in bytes; None if there is no room."""
    try:
        return os.write(pipe.nonblocking(), data)
    except BlockingIOError:
        return None


class _Pipe(io.RawIOBase):
    """Our end of a pipe to a child: reads and writes let other tasklets run."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.name = file.name
        self.mode = file.mode
        self._is_nonblocking = False
        self._may_wait = True

    def __repr__(self) -> str:
        word = "closed" if self.closed else f"fd={self._file.fileno()}"
        return f"<tasklets.process pipe {word} mode={self.mode!r} at {id(self):#x}>"

    def __del__(self) -> None:
        if not self.closed:
            self._dealloc_warn(self)
            self.close()

    def _dealloc_warn(self, source: object) -> None:
        # The finalizer of a buffer calls this first. A finalizer must not wait.
        self._may_wait = False
        self._file._dealloc_warn(source)  # type: ignore[attr-defined]

    def readable(self) -> bool:
        return self._file.readable()

    def writable(self) -> bool:
        return self._file.writable()

    def nonblocking(self) -> int:
        """Return the descriptor, for a read or write that must not block."""
        fd = self._file.fileno()
        if not self._is_nonblocking:
            os.set_blocking(fd, False)
            self._is_nonblocking = True
        return fd

    def fileno(self) -> int:
        """Return the descriptor as a child or another user expects it: blocking."""
        fd = self._file.fileno()
        if self._is_nonblocking:
            self._is_nonblocking = False
            os.set_blocking(fd, True)
        return fd

    def read(self, size: int = -1) -> bytes | None:
        if size < 0:
            return self.readall()
        while (data := _read_some(self, size)) is None and self._may_wait:
            _core.wait_readable(self._file)
        return data

    def readall(self) -> bytes:
        parts = []
        while part := self.read(_READ_BYTES):
            parts.append(part)
        return b"".join(parts)

    def readinto(self, buffer: Any) -> int | None:
        with memoryview(buffer).cast("B") as view:
            data = self.read(len(view))
            if data is not None:
                view[: len(data)] = data
        return None if data is None else len(data)

    def write(self, data: Any) -> int | None:
        while (size := _write_some(self, data)) is None and self._may_wait:
            _core.wait_writable(self._file)
        return size

    def close(self) -> None:
        try:
            super().close()
        finally:
            if not self._file.closed:
                _core.notify_closing(self._file)
                self._file.close()


def _cooperative(file: Any, bufsize: int) -> Any:
    """Replace a file object of `subprocess` by one over a _Pipe."""
    if file is None:
        return None
    text = file if isinstance(file, io.TextIOWrapper) else None
    if text is not None:
        options: dict[str, Any] = {
            "encoding": text.encoding,
            "errors": text.errors,
            "line_buffering": text.line_buffering,
            "write_through": text.write_through,
        }
        file = text.detach()
    raw = file if isinstance(file, io.FileIO) else file.detach()
    pipe = _Pipe(raw)
    if bufsize == 0 and text is None:
        return pipe
    size = bufsize if bufsize > 1 else io.DEFAULT_BUFFER_SIZE
    made = io.BufferedReader(pipe, size) if pipe.readable() else None
    buffered = made or io.BufferedWriter(pipe, size)
    return buffered if text is None else io.TextIOWrapper(buffered, **options)


def _pipe_of(file: Any) -> _Pipe:
    while not isinstance(file, _Pipe):
        file = file.buffer if isinstance(file, io.TextIOWrapper) else file.raw
    return file


# ---- processes


def _await_exit(pid: int) -> None:
    """Wait on a worker until a child has ended, and leave its status."""
    with suppress(ChildProcessError):  # its status has been taken
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


class Popen(subprocess.Popen[AnyStr]):
    """A `subprocess.Popen` whose waits let other tasklets run.

    `wait`, `communicate`, the end of a with block, and the reads and writes of the
    files stdin, stdout and stderr wait in their tasklet. Starting the child does not
    let other tasklets run. A tasklet that is killed or times out while it waits leaves
    the child as it is; wait again for its exit status. A timeout raises
    `TimeoutExpired`, and communicate can be called again then without losing output.

    A file is used by one tasklet at a time: RuntimeError for a second one of the same
    thread. If a read of several parts is killed, the parts read so far are lost.
    """

    if not TYPE_CHECKING:

        def __init__(self, args, bufsize=-1, *others, **options):
            self._exit = None  # without pidfd: the worker that waits for the child
            self._group = None
            self._output = None  # what communicate() has read so far
            self._rest = None  # what communicate() has not written yet
            super().__init__(args, bufsize, *others, **options)
            # The child may have ended, and the program may ignore SIGCHLD.
            with suppress(ProcessLookupError):
                self._group = os.getpgid(self.pid)
            self.stdin = _cooperative(self.stdin, bufsize)
            self.stdout = _cooperative(self.stdout, bufsize)
            self.stderr = _cooperative(self.stderr, bufsize)

    _exit: tuple[WorkerPool, WorkerFuture[None]] | None
    _group: int | None
    _output: dict[_Pipe, list[bytes]] | None
    _rest: memoryview | None

    def kill_group(self, signal: int = _signal.SIGKILL) -> None:
        """Send a signal, SIGKILL by default, to all processes of the child's group.

        Start the child with start_new_session=True or process_group=0; then it and
        its descendants, unless they have left, are a group of their own. Does nothing
        if they have ended. Raises RuntimeError if the child is in this process's group.
        """
        if self._group is None or self._group == os.getpgrp():
            raise RuntimeError(
                f"child {self.pid} has no process group of its own: start it with "
                "start_new_session=True or process_group=0"
            )
        with suppress(ProcessLookupError):
            os.killpg(self._group, signal)

    def _await_exit(self, seconds: float | None) -> None:
        """Wait until the child has ended or the time is over, with or without pidfd."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return  # its status has been taken
        except OSError:  # an old kernel, a sandbox, no descriptor left
            if self._exit is None:
                pool = WorkerPool(1)
                self._exit = (pool, pool.submit(_await_exit, self.pid))
            _core.wait([self._exit[1]], timeout=seconds)
            return
        try:
            _select([readable(fd)], seconds)
        finally:
            os.close(fd)

    def _wait(self, timeout: float | None) -> int:
        end = None if timeout is None else _core.now() + timeout
        while self.poll() is None:
            left = None if end is None else end - _core.now()
            if left is not None and left <= 0:
                raise TimeoutExpired(self.args, cast(float, timeout))
            self._await_exit(left)
            if self.returncode is None:
                _core.schedule()  # another thread may be taking the status
        self._exit = None
        return cast(int, self.returncode)

    def _communicate(
        self, input: Any, endtime: float | None, orig_timeout: float | None
    ) -> tuple[Any, Any]:
        end = None if orig_timeout is None else _core.now() + orig_timeout
        if self._output is None:
            self._begin_to_communicate(input)
        reading = [
            _pipe_of(file)
            for file in (self.stdout, self.stderr)
            if file is not None and not file.closed
        ]
        transfers = 0
        while reading or not _is_closed(self.stdin):
            moved = False
            for pipe in reading[:]:
                data = _read_some(pipe, _READ_BYTES)
                moved = moved or data is not None
                if data:
                    self._output[pipe].append(data)  # type: ignore[index]
                elif data is not None:
                    reading.remove(pipe)
                    pipe.close()
            if not _is_closed(self.stdin):
                moved = self._send_input() or moved
            transfers += moved
            left = None if end is None else end - _core.now()
            if left is not None and left <= 0:
                out, err = map(self._collected, (self.stdout, self.stderr))
                raise TimeoutExpired(self.args, cast(float, orig_timeout), out, err)
            if moved and transfers % _TRANSFERS == 0:
                _core.schedule()
            elif not moved:
                cases: list[Any] = [readable(pipe._file) for pipe in reading]
                if not _is_closed(self.stdin):
                    cases.append(writable(_pipe_of(self.stdin)._file))
                _select(cases, left)
        for file in (self.stdout, self.stderr):
            if file is not None:
                file.close()
        try:
            self.wait(timeout=None if end is None else max(0.0, end - _core.now()))
        except TimeoutExpired as error:
            error.timeout = cast(float, orig_timeout)
            raise
        out, err = map(self._collected, (self.stdout, self.stderr))
        return self._decoded(out, self.stdout), self._decoded(err, self.stderr)

    def _begin_to_communicate(self, input: Any) -> None:
        if self._rest is None:
            text: Any = self.stdin
            if input and isinstance(text, io.TextIOWrapper):
                if not isinstance(input, str):
                    kind = type(input).__name__
                    raise TypeError(f"the input must be a str in text mode, not {kind}")
                input = input.encode(text.encoding, text.errors or "strict")
            self._rest = memoryview(input or b"").cast("B")
        if not _is_closed(self.stdin):
            with suppress(BrokenPipeError):  # the child does not read its input
                cast(Any, self.stdin).flush()  # what the program has written before
        files = [file for file in (self.stdout, self.stderr) if file is not None]
        self._output = {_pipe_of(file): [] for file in files}

    def _send_input(self) -> bool:
        """Write a part of the input. Returns whether the pipe accepted any."""
        file: Any = self.stdin
        rest = cast(memoryview, self._rest)
        try:
            size = _write_some(_pipe_of(file), rest) if rest else 0
        except BrokenPipeError:
            size = len(rest)  # the child does not read it
        if size is None:
            return False
        self._rest = rest[size:]
        if not self._rest:
            with suppress(BrokenPipeError):
                file.close()
        return True

    def _collected(self, file: Any) -> bytes | None:
        if file is None or self._output is None:
            return None
        return b"".join(self._output[_pipe_of(file)])

    def _decoded(self, data: bytes | None, file: Any) -> Any:
        if data is None or not isinstance(file, io.TextIOWrapper):
            return data
        text = data.decode(file.encoding, file.errors or "strict")
        return text.replace("\r\n", "\n").replace("\r", "\n")


def _select(cases: list[Any], seconds: float | None) -> None:
    """Wait for one of the cases, or until the time is over."""
    end = None if seconds is None else _core.now() + seconds
    try:
        _core.select(*cases, timeout=seconds)
    except TimeoutError:
        # Another tasklet may have thrown one. A millisecond is more than rounding does.
        if end is None or _core.now() < end - 0.001:
            raise


def _is_closed(file: Any) -> bool:
    return file is None or file.closed


if not TYPE_CHECKING:

    def run(
        *args, input=None, capture_output=False, timeout=None, check=False, **options
    ):
        """Run a command, wait for it, and return a `subprocess.CompletedProcess`.

        Arguments, result and exceptions are those of `subprocess.run`; TimeoutExpired
        is a TimeoutError, too. timeout: in seconds.

        If the time is over, if the calling tasklet is killed, or if the wait is ended
        by any other exception, the child is killed, and has ended when the exception is
        raised. If it leads a process group of its own (start_new_session=True or
        process_group=0), the whole group is killed.
        """
        if input is not None:
            if options.get("stdin") is not None:
                raise ValueError("stdin and input must not both be given")
            options["stdin"] = PIPE
        if capture_output:
            if options.get("stdout") is not None or options.get("stderr") is not None:
                raise ValueError("stdout and stderr exclude capture_output=True")
            options["stdout"] = options["stderr"] = PIPE
        process = Popen(*args, **options)
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            _kill_and_reap(process)
            raise
        status = process.returncode
        if check and status:
            raise CalledProcessError(status, process.args, out, err)
        return CompletedProcess(process.args, status, out, err)


def _kill_and_reap(process: "Popen[Any]") -> None:
    """Kill a child of run(), and wait for its end, which must not be interrupted."""
    with _core.shield(None):
        if process.returncode is None and process._group == process.pid:
            process.kill_group()
        process.kill()
        for file in (process.stdin, process.stdout, process.stderr):
            if file is not None:
                _pipe_of(file).close()
        # A worker takes the status: a thread that is ending leaves this tasklet in its
        # wait, and the child must not stay a zombie.
        wait = cast(Any, subprocess.Popen)._wait
        try:
            call_on_worker(wait, process, None)
        except RuntimeError:
            # The tasklet must not wait (BlockTrapError, SwitchTrapError), or the
            # program ends and no worker can start any more: the thread blocks for as
            # long as the kernel takes to end the child.
            wait(process, None)
