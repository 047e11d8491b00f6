"""The module selectors, over selects that let other tasklets run."""

import selectors as _standard
from selectors import (
    EVENT_READ,
    EVENT_WRITE,
    BaseSelector,
    SelectorKey,
)
from typing import Any

from tasklets._cooperative import select as _select

__all__ = [
    "EVENT_READ",
    "EVENT_WRITE",
    "BaseSelector",
    "DefaultSelector",
    "EpollSelector",
    "PollSelector",
    "SelectSelector",
    "SelectorKey",
]


class SelectSelector(_standard.SelectSelector):
    """A SelectSelector whose select() lets other tasklets run."""

    _select = staticmethod(_select.select)


class PollSelector(_standard.PollSelector):
    """A PollSelector whose select() lets other tasklets run."""

    _selector_cls = _select.poll


class EpollSelector(_standard.EpollSelector):
    """An EpollSelector whose select() lets other tasklets run."""

    _selector_cls = _select.epoll


DefaultSelector = EpollSelector


def __getattr__(name: str) -> Any:
    return getattr(_standard, name)
