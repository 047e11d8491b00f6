"""scheduler.dump(): print what every tasklet does."""

import os
import sys
import threading
import traceback
from typing import Protocol

from tasklets import _core


class _Writable(Protocol):
    def write(self, text: str, /) -> object: ...


def dump(file: _Writable | None = None, *, all_threads: bool = True) -> None:
    """Print what every tasklet of all threads, or of the calling thread, does.

    For each tasklet: its name and state, what it waits for and for how many seconds,
    where it was spawned, and its stack, the innermost call last. file: where to print;
    None: sys.stderr.

    May be called at any time, even by a signal handler or while other threads run: it
    switches to no tasklet, keeps none alive and changes nothing. The waiting time
    shown may be too long by a millisecond, or by the time that the tasklet's thread had
    run before without waiting or calling run(). Raises TypeError if file has no
    write().
    """
    target = sys.stderr if file is None else file
    if target is None:
        return  # a program without a console
    if not callable(getattr(target, "write", None)):
        kind = type(target).__name__
        raise TypeError(f"file must be open for writing text, not an object of {kind}")
    text = _format(_core.survey(all_threads))
    try:
        target.write(text)
        flush = getattr(target, "flush", None)
        if flush is not None:
            flush()
    except RuntimeError:
        # In a signal handler that has interrupted a write to the same buffer.
        if file is not None:
            raise
        os.write(sys.stderr.fileno(), text.encode("utf-8", "backslashreplace"))


def _format(records: "list[_core._Record]") -> str:
    threads = {record[0] for record in records}
    of = "1 thread" if len(threads) == 1 else f"{len(threads)} threads"
    lines = [f"{len(records)} tasklet{'s'[: len(records) != 1]} of {of}\n"]
    last = None
    for record in records:
        ident = record[0]
        if ident != last:
            last = ident
            lines.append(f"\nthread {ident}{_thread_name(ident)}:\n")
        lines += _format_one(*record[1:])
    return "".join(lines)


def _thread_name(ident: int) -> str:
    # Not threading.enumerate(), whose lock an interrupted caller may hold.
    thread = threading._active.get(ident)  # type: ignore[attr-defined]
    return "" if thread is None else f" {thread.name!r}"


def _format_one(
    name: str,
    state: str,
    wait: tuple[str, float, float | None] | None,
    spawned_at: tuple[str, int] | None,
    stack: list[tuple[str, int, str]],
) -> list[str]:
    line = f"  {name!r} {state}"
    if wait is not None:
        what, seconds, left = wait
        line += f": {what}, for {max(seconds, 0.0):.3f} s"
        if left is not None:
            line += f", {max(left, 0.0):.3f} s left"
    if spawned_at is not None:
        line += "; spawned at {}:{}".format(*spawned_at)
    summary = traceback.StackSummary.from_list(
        [traceback.FrameSummary(*frame) for frame in reversed(stack)]
    )
    return [line + "\n"] + [
        f"  {each}\n" for entry in summary.format() for each in entry.splitlines()
    ]
