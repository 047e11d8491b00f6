"""Tasklets that get several requests."""

import contextlib

from tasklets import TaskletExit, schedule, sleep, spawn


class Boom(Exception):
    """Thrown by tests."""


def pending(*requests):
    """Return what a tasklet gets that is sent these while it cannot run."""
    got = []

    def work():
        for _ in range(len(requests) + 1):
            try:
                sleep(0)
                got.append(None)
            except BaseException as error:
                got.append(type(error))

    t = spawn(work)
    schedule()
    for request in requests:
        if request is TaskletExit:
            t.kill(pending=True)
        else:
            t.throw(request, pending=True)
    t.join()
    return [what for what in got if what is not None]


def stop(t, how):
    with contextlib.suppress(Boom):
        if how == "kill":
            t.kill()
        elif how == "kill_pending":
            t.kill(pending=True)
        else:
            t.throw(Boom)
        t.join()
