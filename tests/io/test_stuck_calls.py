"""Calls that block without bound take neither files nor addresses from the others."""

import os
import socket
import time
from contextlib import suppress

import pytest
from children import run_program
from fifos import LATE, let_go, settle_requests
from threads import in_thread, running

from tasklets import fs, net, schedule, spawn, timeout
from tasklets._core import live_counts

# More calls than libuv has threads, in whatever way it was set up.
MANY = 4 * int(os.environ.get("UV_THREADPOOL_SIZE", "4")) + 4


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    yield path
    end = time.monotonic() + LATE
    while live_counts()["request"]:
        assert time.monotonic() < end, "requests stay in flight"
        both = os.open(path, os.O_RDWR)  # who opens it goes on
        with suppress(TimeoutError):
            fs.stat("/", timeout=0.01)
        os.close(both)  # who reads from it goes on


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def open_without_peer(fifo):
    with pytest.raises(TimeoutError):
        fs.open(fifo, os.O_RDONLY, timeout=0.01)


def use(file):
    """Check that everything answers."""
    assert fs.stat(file, timeout=LATE).st_size == 7
    assert fs.read_bytes(file, timeout=LATE) == b"content"
    assert fs.listdir(file.parent, timeout=LATE)
    other, third = file.with_name("other"), file.with_name("third")
    assert fs.write_bytes(other, b"new", timeout=LATE) == 3
    fs.rename(other, third, timeout=LATE)
    fd = fs.open(third, os.O_RDONLY, timeout=LATE)
    assert fs.read(fd, 10, timeout=LATE) == b"new"
    assert fs.fstat(fd, timeout=LATE).st_size == 3
    fs.close(fd, timeout=LATE)
    fs.unlink(third, timeout=LATE)
    with pytest.raises(FileNotFoundError):
        fs.lstat(third, timeout=LATE)
    [(*_, address), *_] = net.getaddrinfo(
        "127.0.0.1", 80, type=socket.SOCK_STREAM, timeout=LATE
    )
    assert address == ("127.0.0.1", 80)


def test_calls_that_timed_out_one_after_the_other_do_not_stop_the_others(fifo, file):
    for _ in range(MANY):
        open_without_peer(fifo)
    use(file)


def test_calls_that_timed_out_at_once_do_not_stop_the_others(fifo, file):
    tasks = [spawn(open_without_peer, fifo) for _ in range(MANY)]
    for task in tasks:
        task.result()
    use(file)


def test_calls_of_killed_tasklets_do_not_stop_the_others(fifo, file):
    tasks = [spawn(fs.open, fifo, os.O_RDONLY) for _ in range(MANY)]
    schedule()
    for task in tasks:
        task.kill()
    use(file)


def test_calls_in_a_timeout_block_do_not_stop_the_others(fifo, file):
    for _ in range(MANY):
        with suppress(TimeoutError), timeout(0.01):
            fs.read_bytes(fifo)
    use(file)


def test_what_already_waits_for_a_thread_is_done_too(fifo, file):
    other = file.with_name("other")
    other.touch()
    stuck = [spawn(fs.open, fifo, os.O_RDONLY) for _ in range(MANY)]
    schedule()
    late = [
        spawn(fs.stat, file),
        spawn(fs.read_bytes, file),
        spawn(fs.rename, other, file.with_name("renamed")),
        spawn(fs.listdir, file.parent),
    ]
    schedule()
    for task in stuck:
        task.kill()
    assert late[0].result().st_size == 7
    assert late[1].result() == b"content"
    assert late[2].result() is None
    assert late[3].result()
    assert file.with_name("renamed").exists()


def test_a_close_is_done_though_its_tasklet_is_killed_and_no_thread_is_left(fifo):
    stuck = [spawn(fs.open, fifo, os.O_RDONLY) for _ in range(MANY)]
    read, write = os.pipe()
    closing = spawn(fs.close, write)
    schedule()
    closing.kill()
    for task in stuck:
        task.kill()
    assert fs.read(read, 1, timeout=LATE) == b""  # nobody has the other end
    os.close(read)


def test_calls_that_are_still_waited_for_do_not_stop_the_others(fifo, file):
    stuck = [spawn(fs.open, fifo, os.O_RDONLY) for _ in range(MANY)]
    schedule()
    end = time.monotonic() + LATE
    while True:
        # The threads count as blocked only after a while.
        with suppress(TimeoutError):
            fs.stat(file, timeout=0.1)
            break
        assert time.monotonic() < end
    use(file)
    let_go(fifo)
    for task in stuck:
        os.close(task.result())


def test_descriptors_that_come_too_late_are_closed(fifo, file):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(MANY):
        open_without_peer(fifo)
    use(file)
    let_go(fifo)
    assert len(os.listdir("/proc/self/fd")) == before


def test_stuck_calls_of_a_thread_that_has_ended_do_not_stop_others(fifo, file):
    def work():
        for _ in range(MANY):
            open_without_peer(fifo)

    in_thread(work)
    use(file)
    in_thread(use, file)


def test_the_calls_of_several_threads_are_done_while_others_are_stuck(fifo, file):
    for _ in range(MANY):
        open_without_peer(fifo)

    def work(name):
        folder = file.parent / name
        fs.mkdir(folder, timeout=LATE)
        own = folder / "file"
        fs.write_bytes(own, b"content", timeout=LATE)
        for _ in range(20):
            use(own)

    with running(lambda: work("a"), lambda: work("b"), lambda: work("c")):
        work("main")


def test_an_error_of_a_detoured_call_is_raised(fifo, file):
    for _ in range(MANY):
        open_without_peer(fifo)
    missing = file.with_name("missing")
    with pytest.raises(FileNotFoundError) as info:
        fs.stat(missing, timeout=LATE)
    assert info.value.filename == str(missing) or info.value.filename == missing
    with pytest.raises(FileNotFoundError):
        fs.read_bytes(missing, timeout=LATE)
    with pytest.raises(FileExistsError):
        fs.mkdir(file, timeout=LATE)


def test_the_threads_of_libuv_are_used_again_when_the_calls_have_ended(fifo, file):
    for _ in range(MANY):
        open_without_peer(fifo)
    let_go(fifo)
    settle_requests()
    use(file)


EXIT = """
import os, sys
from tasklets import fs, net
fifo = sys.argv[1]
for _ in range(20):
    try:
        fs.open(fifo, os.O_RDONLY, timeout=0.001)
    except TimeoutError:
        pass
print(len(net.getaddrinfo("127.0.0.1", 80, timeout=30)) > 0, fs.stat("/").st_size >= 0)
"""


def test_the_end_of_the_program_does_not_wait_for_stuck_calls(fifo):
    assert run_program(EXIT, fifo) == (0, "True True\n", [])


FORK = """
import os, sys, warnings
from tasklets import fs, net
warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: there are threads
fifo = sys.argv[1]
def stick():
    for _ in range(20):
        try:
            fs.open(fifo, os.O_RDONLY, timeout=0.001)
        except TimeoutError:
            pass
def use():
    assert fs.stat("/", timeout=30).st_size >= 0
    assert net.getaddrinfo("127.0.0.1", 80, timeout=30)
stick()
use()
pid = os.fork()
if pid == 0:
    use()
    stick()
    use()
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
use()
"""


def test_the_child_of_a_fork_has_threads_of_its_own(fifo):
    assert run_program(FORK, fifo) == (0, "3\n", [])
