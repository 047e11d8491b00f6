"""Context managers that forbid the current tasklet to block, or to be left."""

from contextlib import ContextDecorator
from typing import Self

from tasklets import _core


class block_trap(_core.block_trap, ContextDecorator):
    __doc__ = _core.block_trap.__doc__
    __slots__ = ()

    def _recreate_cm(self) -> Self:
        return type(self)(self.trap)


class no_switch(_core.no_switch, ContextDecorator):
    __doc__ = _core.no_switch.__doc__
    __slots__ = ()

    def _recreate_cm(self) -> Self:
        return type(self)()
