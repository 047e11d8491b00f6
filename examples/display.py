"""Progress and tables on a terminal, or plain lines elsewhere."""

import shutil
import sys
import time
from collections.abc import Iterable


class Progress:
    """One line that is overwritten on a terminal; elsewhere one line per second."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rewrites = sys.stdout.isatty()
        self.gap = 0.1 if self.rewrites else 1.0
        self.width = 0
        self.last = time.monotonic()

    def show(self, text: str) -> None:
        """Show text, unless the last text was shown less than a gap ago."""
        now = time.monotonic()
        if now - self.last >= self.gap:
            self.last = now
            self._write(text)

    def end(self, text: str) -> None:
        """Show text unconditionally, and leave it there."""
        self._write(text)
        if self.rewrites:
            print()

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self.rewrites:
            print("\r" + " " * self.width + "\r", end="", flush=True)

    def _write(self, text: str) -> None:
        line = f"{self.title}: {text}"
        if self.rewrites:
            # A line that wraps could not be overwritten.
            line = line[: shutil.get_terminal_size().columns - 1]
            print("\r" + line.ljust(self.width), end="", flush=True)
            self.width = len(line)
        else:
            print(line, flush=True)


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Return the rows as lines of two columns."""
    rows = [(name, str(value)) for name, value in rows]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def columns(rows: Iterable[tuple[str, ...]]) -> str:
    """Return the rows as lines, each column as wide as its widest cell."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows
    )
