"""Context managers that forbid the current tasklet to block, or to be left."""

from contextlib import ContextDecorator
from typing import Any, Self

from tasklets import _core


class Setting(_core.setting, ContextDecorator):
    """A block in which a setting is changed; also a decorator."""

    def __new__(cls, *args: Any) -> Self:
        """Make one, and keep what it takes to make another."""
        self = super().__new__(cls, *args)
        self._args = args
        return self

    _args: tuple[Any, ...]
    _call = "setting()"  # for its repr

    def _made_by(self, call: str) -> Self:
        """Note which call made it, and return it."""
        self._call = call
        return self

    def __repr__(self) -> str:
        word = "active" if self.active else "not active"
        return f"<tasklets.{self._call} {word} at {id(self):#x}>"

    def _recreate_cm(self) -> Self:
        """Return what a decorated function enters, which may call itself."""
        return type(self)(*self._args)._made_by(self._call)


def block_trap(trap: bool = True) -> Setting:
    """Set the current tasklet's block_trap, and put back the old value at the end.

    An operation that would block raises BlockTrapError meanwhile. The old value goes to
    the tasklet that was current at the beginning. Raises TypeError if trap is neither a
    bool nor an int.
    """
    if not isinstance(trap, int):
        raise TypeError("block_trap must be set to a bool or integer")
    return Setting(_core.swap_block_trap, trap)._made_by(f"block_trap({trap!r})")


def no_switch() -> Setting:
    """Forbid this thread to leave the current tasklet.

    Whatever would switch raises SwitchTrapError; what only makes others runnable is
    allowed. May be nested.
    """
    return Setting(_core.switch_trap, 1, -1)._made_by("no_switch()")
