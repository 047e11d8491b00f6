"""Fixtures shared by every test."""

import gc
import os
import signal
import sys
import time

import pytest
from fifos import let_go
from parallel import Processes
from threads import Gate

import tasklets
from tasklets import _core
from tasklets.testing import fake_clock
from tasklets.workers import WorkerPool

FAILED = pytest.StashKey[bool]()
COLLECTED = pytest.StashKey[bool]()  # right now: once is enough between two tests


def pytest_addoption(parser):
    """Add the option of parallel.py."""
    parser.addoption("--processes", type=int, default=1, help="that run the tests")


def pytest_configure(config):
    """Handle SIGINT, which a shell ignores in what it starts in the background."""
    if config.option.processes > 1:
        config.pluginmanager.register(Processes(config.option.processes))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session):
    """Leave all that is imported out of the collections round each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def descriptors_of_the_thread():
    """Let the thread make the descriptors that it keeps: some tests count them."""
    reading, writing = os.pipe()
    with pytest.raises(TimeoutError):
        tasklets.scheduler.wait_readable(reading, timeout=0.02)
    os.close(reading)
    os.close(writing)


@pytest.fixture(autouse=True, scope="module")
def what_stays_is_frozen():
    """Leave what a module leaves, reports for the most part, out of the later ones."""
    yield
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Note that a test failed: its traceback keeps objects alive."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


def grown_since(before):
    """Say of which kinds of objects there are more than before."""
    return {
        kind: f"{before.get(kind, 0)} -> {count}"
        for kind, count in _core.live_counts().items()
        if count > before.get(kind, 0)
    }


@pytest.fixture(autouse=True)
def nothing_left_alive(request):
    """Fail a test that leaves one of our C objects behind."""
    if not request.session.stash.get(COLLECTED, False):
        gc.collect()
    before = _core.live_counts()
    request.session.stash[COLLECTED] = False
    yield
    gc.collect()
    failed = request.node.stash.get(FAILED, False)
    request.session.stash[COLLECTED] = not failed
    if not failed:
        # A worker drops a job that is done in its own time.
        end = time.monotonic() + 2
        while (grown := grown_since(before)) and time.monotonic() < end:
            time.sleep(0.01)
        assert not grown, f"still alive after the test: {grown}"


@pytest.fixture(autouse=True)
def scheduler_as_new(nothing_left_alive):
    """Undo what a test did to the scheduler, callbacks and traps of this thread."""
    yield
    tasklets.set_channel_callback(None)
    tasklets.set_schedule_callback(None)
    tasklets.set_error_handler(None)
    tasklets.switch_trap(-tasklets.switch_trap())
    here = tasklets.getcurrent()
    for _ in range(tasklets.getruncount() - 1):
        if here.next is here:
            break
        # Off the ring first, so that nobody else runs while this one ends.
        here.next.remove().kill()
    assert tasklets.getruncount() == 1, "the test left runnable tasklets behind"


@pytest.fixture(autouse=True)
def turns(request):
    """Have a stress build yield, but in a test, and its children, that counts turns."""
    counts = request.node.get_closest_marker("exact_turns") is not None
    if counts and _core.stress:
        monkeypatch = request.getfixturevalue("monkeypatch")
        monkeypatch.setenv("TASKLETS_NO_YIELDS", "1")
    before = _core.stress_yields(not counts)
    yield
    _core.stress_yields(before)


@pytest.fixture
def log():
    """Give a list for notes, which holds no tasklet longer than the test."""
    log = []
    yield log
    log.clear()


@pytest.fixture
def clock():
    """Have a fake clock: nobody waits."""
    with fake_clock() as clock:
        yield clock


@pytest.fixture
def gate():
    """Give a gate that is opened at the end."""
    event = Gate()
    yield event
    event.set()


@pytest.fixture
def one():
    """Give a pool of one worker."""
    with WorkerPool(1) as made:
        yield made


@pytest.fixture
def pool():
    """Give a pool of two workers."""
    with WorkerPool(2) as made:
        yield made


@pytest.fixture
def fifo(tmp_path):
    """Give a path that blocks who opens it to read; nobody may do that in the end."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    yield path
    let_go(path)


@pytest.fixture
def no_foreign_collector_callbacks():
    """Have no Python code in collections: it has ticks. Other tools' may be there."""
    before = gc.callbacks[:]
    gc.callbacks[:] = [func for func in before if func.__module__ == "tasklets._core"]
    yield
    gc.callbacks[:] = before


@pytest.fixture
def growth():
    """Return a function that measures the blocks leaked by one call of its argument.

    Under a foreign allocator there are no blocks to count, and the answer is 0.
    """

    def measure(work, calls=500, warm_up=20):
        for _ in range(warm_up):
            work()
        before = blocks()
        for _ in range(calls):
            work()
        # A thread that has been joined still has a few to free, in its own time.
        end = time.monotonic() + 2
        while (more := (blocks() - before) / calls) >= 0.1 and time.monotonic() < end:
            time.sleep(0.01)
        return more

    def blocks():
        gc.collect()
        return sys.getallocatedblocks()

    return measure


@pytest.fixture
def no_leak(growth):
    """Return a function that fails if calling its argument leaks."""

    def check(work, calls=500, warm_up=20):
        blocks = growth(work, calls, warm_up)
        assert blocks < 0.1, f"{work.__name__} leaks {blocks:.2f} blocks a call"

    return check


@pytest.fixture
def tiny_switch_interval():
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
