"""What tests with threads have in common."""

import contextlib
import threading
import time

# For what must happen: no wait takes that long.
SECONDS = 60


class Gate(threading.Event):
    """An event whose waiters give up in the end, so that a failed test ends."""

    def wait(self):
        """Wait, but not forever."""
        return super().wait(SECONDS)


def block_until(condition):
    """Wait, without running tasklets, until it is true."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.0005)


@contextlib.contextmanager
def running(*works):
    """Have each function run in a thread of its own; join them at the end.

    Gives the threads, and raises what one of them has raised.
    """
    errors = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def in_thread(work, *args):
    """Run work in a thread of its own, and return what it returns."""
    results = []
    with running(lambda: results.append(work(*args))):
        pass
    return results.pop()
