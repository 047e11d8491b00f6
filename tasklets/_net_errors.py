"""The exceptions of tasklets.net, which the C code raises by name."""

import errno
from typing import Any


class ClosedError(OSError):
    """A stream or listener was used after it was closed, or closed during the call."""

    def __init__(self, target: Any = "the object", /) -> None:
        is_text = isinstance(target, str)
        self._name = target if is_text else f"this {type(target).__name__}"
        super().__init__(errno.EBADF, f"{self._name} is closed")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._name,)


class IncompleteReadError(EOFError):
    """The stream has ended before a read was complete.

    partial: the bytes that came; expected: the number that was wanted, None for a read
    up to a separator.
    """

    def __init__(self, partial: bytes, expected: int | None, /) -> None:
        wanted = "a separator" if expected is None else f"{expected} bytes"
        super().__init__(
            f"the stream has ended after {len(partial)} bytes, before {wanted}"
        )
        self.partial = partial
        self.expected = expected

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.partial, self.expected)


class LimitError(ValueError):
    """No separator came within the limit; nothing was taken from the stream.

    separator and limit are those of the read.
    """

    def __init__(self, separator: bytes, limit: int, /) -> None:
        what = "line" if separator == b"\n" else f"part up to {separator!r}"
        super().__init__(f"the {what} is longer than the limit of {limit} bytes")
        self.separator = separator
        self.limit = limit

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.separator, self.limit)
