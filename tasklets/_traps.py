"""block_trap() and no_switch(): forbid a tasklet to block, or a thread to switch."""

from contextlib import ContextDecorator
from typing import Any, Self

from tasklets import _core


class Setting(_core.setting, ContextDecorator):
    """A block with a changed setting; also a decorator."""

    def __new__(cls, *args: Any) -> Self:
        """Keep the arguments, for _recreate_cm()."""
        self = super().__new__(cls, *args)
        self._args = args
        return self

    _args: tuple[Any, ...]
    _call = "setting()"  # for the repr

    def _made_by(self, call: str) -> Self:
        """Set the call that the repr shows, and return self."""
        self._call = call
        return self

    def __repr__(self) -> str:
        word = "active" if self.active else "not active"
        return f"<tasklets.{self._call} {word} at {id(self):#x}>"

    def _recreate_cm(self) -> Self:
        """Return a new block for each call of a decorated function."""
        return type(self)(*self._args)._made_by(self._call)


def block_trap(trap: bool = True) -> Setting:
    """Set the current tasklet's block_trap for a block; restore it at the end.

    Inside the block, an operation that would block raises BlockTrapError. The end
    restores the flag of the tasklet that was current at the beginning. Raises TypeError
    if trap is neither a bool nor an int.
    """
    if not isinstance(trap, int):
        raise TypeError("block_trap must be set to a bool or integer")
    return Setting(_core.swap_block_trap, trap)._made_by(f"block_trap({trap!r})")


def no_switch() -> Setting:
    """Forbid this thread to leave the current tasklet during a block.

    Any operation that would switch raises SwitchTrapError; making other tasklets
    runnable is allowed. May be nested.
    """
    return Setting(_core.switch_trap, 1, -1)._made_by("no_switch()")
