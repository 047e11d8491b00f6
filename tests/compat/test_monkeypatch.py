"""patch_locks(): what it replaces, what it leaves, and that programs go on with it."""

import _thread
import concurrent.futures.thread  # makes a lock of its own
import logging
import queue
import sys
import threading
import types

import pytest
from children import forks_beside_threads, run_program

import tasklets
from stacklesslib_compat.monkeypatch import get_original, patch_locks, unpatched
from tasklets import locks, queues, schedule, spawn
from tasklets.testing import settle

LOCKS = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "Semaphore",
]
QUEUES = ["LifoQueue", "PriorityQueue", "Queue", "SimpleQueue"]

EVERY = [(threading, locks, name) for name in LOCKS]
EVERY += [(queue, queues, name) for name in QUEUES]
every_name = pytest.mark.parametrize(
    ("module", "ours", "name"), EVERY, ids=lambda part: getattr(part, "__name__", part)
)


@pytest.fixture
def report():
    """Patch for one test."""
    with patch_locks() as report:
        yield report


def snapshot():
    return {
        (module.__name__, name): value
        for module in (threading, queue, _thread, threading.Thread)
        for name, value in vars(module).items()
    }


@every_name
def test_ours_stands_in_the_place_of_theirs(report, module, ours, name):
    assert getattr(module, name) is getattr(ours, name)


@every_name
def test_undo_brings_theirs_back(module, ours, name):
    before = getattr(module, name)
    patch_locks().undo()
    assert getattr(module, name) is before


def test_nothing_else_is_replaced():
    before = snapshot()
    with patch_locks():
        changed = {key for key, value in snapshot().items() if before[key] != value}
    expected = {(module.__name__, name) for module, _, name in EVERY}
    assert changed == expected | {("Thread", "__init__")}
    assert snapshot() == before


def test_the_errors_are_the_same_ones():
    assert locks.BrokenBarrierError is threading.BrokenBarrierError
    assert queues.Empty is queue.Empty
    assert queues.Full is queue.Full
    assert queues.ShutDown is getattr(queue, "ShutDown", queues.ShutDown)


def test_undo_has_an_effect_once():
    report = patch_locks()
    report.undo()
    with patch_locks():
        report.undo()
        assert threading.Lock is locks.Lock


def test_undo_leaves_what_somebody_else_has_changed(monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(threading, "Barrier", threading.Barrier)
        with patch_locks():
            threading.Barrier = "theirs"
        assert threading.Barrier == "theirs"


def test_what_is_patched_is_not_patched_again(report):
    again = patch_locks()
    assert report
    assert not again
    assert again.patched == []
    assert again.holders == report.holders
    again.undo()
    assert threading.Lock is locks.Lock


def test_the_report_names_what_it_replaced(report):
    expected = {f"{module.__name__}.{name}" for module, _, name in EVERY}
    assert set(report.patched) == expected | {"threading.Thread.__init__"}
    assert "threading.Semaphore" in str(report)


def test_the_report_names_modules_that_hold_originals():
    late = types.ModuleType("late")
    late.Later, late.other = threading.Event, threading.local
    sys.modules["late"] = late
    try:
        with patch_locks() as report:
            held = [holder for holder in report.holders if holder.module == "late"]
            assert held == [("late", "Later", "threading.Event")]
            assert "late.Later is the original threading.Event" in str(report)
    finally:
        del sys.modules["late"]


def test_an_importer_of_a_module_holds_no_original(report):
    # It says threading.Lock, and finds ours.
    assert not [h for h in report.holders if h.module in ("logging", "threading")]


def test_the_originals_can_be_had(report):
    assert get_original("threading", "Event").__module__ == "threading"
    assert get_original(queue, "SimpleQueue") is not queue.SimpleQueue
    assert get_original("threading", "Thread") is threading.Thread
    with pytest.raises(AttributeError):
        get_original("threading", "nothing")
    with pytest.raises(KeyError):
        get_original("no.such.module", "Lock")


def test_a_block_can_be_unpatched(report):
    with unpatched():
        assert threading.Lock is get_original("threading", "Lock")
        assert "__wrapped__" not in vars(threading.Thread.__init__)
        with unpatched():
            assert threading.Lock is not locks.Lock
        assert threading.Lock is not locks.Lock
    assert threading.Lock is locks.Lock


def test_what_is_undone_in_an_unpatched_block_stays_so():
    report = patch_locks()
    original = get_original("threading", "Lock")
    with unpatched():
        report.undo()
    assert threading.Lock is original


def test_a_thread_starts_by_means_of_its_own(report):
    thread = threading.Thread(target=int)
    event = thread._started
    assert type(event) is get_original("threading", "Event")
    assert type(event._cond) is get_original("threading", "Condition")
    assert isinstance(event._cond._lock, _thread.LockType)
    thread.start()
    thread.join()
    assert not thread.is_alive()


def test_a_start_of_a_thread_lets_nobody_else_run(report):
    ran = []
    spawn(ran.append, 1)
    with tasklets.block_trap():
        thread = threading.Thread(target=int)
        thread.start()
    assert ran == []
    thread.join()
    settle()


def test_a_timer_is_cancelled_by_a_tasklet(report):
    called = []
    timer = threading.Timer(1000, called.append)
    timer.start()
    spawn(timer.cancel)
    settle()
    timer.join()
    assert called == []


def test_a_lock_lets_other_tasklets_run(report):
    lock, done = threading.Lock(), []

    def hold():
        with lock:
            schedule()
            done.append("held")

    spawn(hold)
    schedule()
    with lock:
        done.append("got")
    assert done == ["held", "got"]


def test_a_type_of_theirs_that_was_kept_serves_tasklets():
    kept = threading.Event, threading.Semaphore
    with patch_locks():
        # It looks up the locks it is made of when it is made.
        event, semaphore = kept[0](), kept[1](0)
    tasks = [spawn(event.wait), spawn(semaphore.acquire)]
    settle()
    assert all(task.blocked for task in tasks)
    event.set()
    semaphore.release()
    assert [task.result() for task in tasks] == [True, True]


@pytest.mark.exact_turns
def test_a_cycle_of_owners_is_reported_and_not_raised(report):
    first, second = threading.Lock(), threading.Lock()

    def cross():
        with second:
            schedule()
            first.acquire()
            first.release()

    first.acquire()
    task = spawn(cross)
    schedule()
    schedule()
    # It waits as threading's do: another thread may release.
    spawn(first.release)
    with pytest.warns(RuntimeWarning, match="[Ll]ock"):
        second.acquire()
    second.release()
    assert task.join()


def test_a_cycle_is_an_error_after_the_undo():
    before = tasklets._core._report_lock_cycles(False)
    patch_locks().undo()
    assert tasklets._core._report_lock_cycles(before) is False


def test_a_future_is_waited_for_while_tasklets_run(report):
    go = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        future = pool.submit(go.wait, 30)
        spawn(go.set)
        assert future.result() is True


def test_a_handler_of_logging_serves_tasklets(report):
    lines = []

    class Slow(logging.Handler):
        def emit(self, record):
            schedule()
            lines.append(record.getMessage())

    handler = Slow()
    assert type(handler.lock) is locks.RLock
    log = logging.Logger("tasklets")
    log.addHandler(handler)
    for number in range(5):
        spawn(log.info, "line %d", number)
    settle()
    assert lines == [f"line {number}" for number in range(5)]
    handler.close()


@every_name
def test_what_is_made_while_patched_is_used_later(module, ours, name):
    with patch_locks():
        made = getattr(module, name)(*([1] if name == "Barrier" else []))
    assert type(made) is getattr(ours, name)


FORK = """
import os, sys, threading
from stacklesslib_compat.monkeypatch import get_original, patch_locks
from tasklets import spawn, run

patch_locks()

def fork():
    child = os.fork()
    if child == 0:
        theirs = type(get_original("threading", "RLock")())
        assert type(threading._active_limbo_lock) is theirs
        thread = threading.Thread(target=os.write, args=(1, b"child\\n"))
        thread.start()
        thread.join()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

lock = threading.Lock()
thread = threading.Thread(target=lock.acquire)
thread.start()
thread.join()
spawn(fork)
run()
print("end")
"""


@forks_beside_threads
def test_a_child_process_starts_threads():
    status, output, errors = run_program(FORK)
    assert (status, output) == (0, "child\nend\n"), errors


PATCHED_FIRST = """
from stacklesslib_compat.monkeypatch import patch_locks
report = patch_locks()
import {module}
print([str(h) for h in report.holders if h.module.startswith({module!r})])
import threading, queue
{use}
print("end")
"""

USES = {
    "asyncio": "asyncio.run(asyncio.to_thread(print, 'thread'))",
    "concurrent.futures": """
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    print(sum(pool.map(int, "12345")) == 15 and "thread")
""",
    "logging.handlers": """
import logging
q = queue.Queue()
import sys
listener = logging.handlers.QueueListener(q, logging.StreamHandler(sys.stdout))
listener.start()
logging.getLogger().addHandler(logging.handlers.QueueHandler(q))
logging.warning("thread")
listener.stop()
""",
    "socketserver": """
handler = socketserver.StreamRequestHandler
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
thread = threading.Thread(target=server.serve_forever, args=(0.01,))
thread.start()
server.shutdown()
thread.join()
server.server_close()
print("thread")
""",
    "multiprocessing.pool": """
with multiprocessing.pool.ThreadPool(2) as pool:
    print(pool.map(len, [()]) == [0] and "thread")
""",
}


@pytest.mark.parametrize("module", USES)
def test_a_module_of_the_standard_library_runs_on_ours(module):
    program = PATCHED_FIRST.format(module=module, use=USES[module])
    status, output, errors = run_program(program)
    assert (status, output) == (0, "[]\nthread\nend\n"), errors
