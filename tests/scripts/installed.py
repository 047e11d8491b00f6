"""What an installation must be able to do anywhere: each part is used once.

Prints where libuv comes from. That has to be the wheel, unless the only argument is
"system".
"""

import sys
import threading
from pathlib import Path

import stacklesslib_compat.monkeypatch
import tasklets
import tasklets.fs
import tasklets.net
from tasklets import scheduler, workers

HOME = Path(tasklets.__file__).parent.parent


def mapped(word):
    """Return the paths of the mapped files whose names contain a word."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = {Path(line[line.index("/") :]) for line in lines if "/" in line}
    return {path for path in paths if word in path.name}


def relay(source, target):
    """Pass on what comes, one more each time."""
    for value in source:
        target.send(value + 1)


def compute():
    """Never give way."""
    while True:
        pass


def main():
    """Use each part once."""
    first, last = tasklets.channel(), tasklets.channel()
    tasklets.spawn(relay, first, last)
    first.send(1)
    assert last.receive() == 2

    runaway = tasklets.spawn(compute)
    assert scheduler.run(seconds=0.01) is runaway
    runaway.kill()

    with tasklets.TaskGroup() as group:
        asked = group.spawn(workers.call_on_worker, threading.get_ident)
        slept = group.spawn(tasklets.sleep, 0.001)
    assert asked.result() != threading.get_ident()
    assert slept.result() is None

    assert tasklets.fs.read_bytes(__file__) == Path(__file__).read_bytes()
    assert tasklets.net.getaddrinfo("127.0.0.1", 80)
    with tasklets.atomic():
        assert tasklets.atomic.supported, tasklets.atomic.why_not
    assert callable(stacklesslib_compat.monkeypatch.patch_locks)

    (libuv,) = mapped("libuv")
    assert libuv.is_relative_to(HOME) != (sys.argv[1:] == ["system"]), libuv
    print(libuv)


if __name__ == "__main__":
    main()
