"""Calls that block as long as a test likes: to open a pipe that nobody writes to."""

import os
import time
from contextlib import suppress

from tasklets import fs, scheduler
from tasklets._core import live_counts

LATE = 60


def settle_requests():
    """Wait until libuv has reported all that it was asked for."""
    end = time.monotonic() + LATE
    while live_counts()["request"]:
        assert time.monotonic() < end, "requests stay in flight"
        fs.stat("/", timeout=LATE)


def let_go(fifo):
    """Let all go on that open a pipe, or are about to."""
    both = os.open(fifo, os.O_RDWR)
    settle_requests()
    os.close(both)


def descriptors():
    """Return which are open once this thread has opened what it keeps."""
    read, write = os.pipe()
    with suppress(TimeoutError):
        scheduler.wait_readable(read, timeout=0.001)
    os.close(read)
    os.close(write)
    fs.stat("/")
    return sorted(os.listdir("/proc/self/fd"), key=int)
