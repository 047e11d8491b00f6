"""Context managers that forbid the current tasklet to block, or to be left."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasklets._core import getcurrent, switch_trap


@contextmanager
def block_trap(trap: bool = True) -> Iterator[None]:
    """Set the current tasklet's block_trap, and put back the old value at the end.

    An operation that would block raises BlockTrapError meanwhile. The old value goes to
    the tasklet that was current at the beginning.
    """
    current = getcurrent()
    old = current.block_trap
    current.block_trap = trap
    try:
        yield
    finally:
        current.block_trap = old


@contextmanager
def no_switch() -> Iterator[None]:
    """Forbid this thread to leave the current tasklet.

    Whatever would switch raises SwitchTrapError; what only makes others runnable is
    allowed. May be nested.
    """
    switch_trap(1)
    try:
        yield
    finally:
        switch_trap(-1)
