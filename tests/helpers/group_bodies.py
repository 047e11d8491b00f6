"""Bodies of tasklets in groups."""

from tasklets import sleep

LATE = 1000  # seconds, of the fake clock


def fail(after=0, error=KeyError):
    if after:
        sleep(after)
    raise error


def slow_to_die(log, seconds=5):
    try:
        sleep(LATE)
    finally:
        sleep(seconds)
        log.append("died")
