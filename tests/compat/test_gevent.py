"""Workers and locks in programs whose standard library gevent has patched."""

import sys
from importlib.util import find_spec

import pytest
from children import run_program

pytestmark = pytest.mark.skipif(
    find_spec("gevent") is None,
    reason="gevent is not installed; it has no wheel for Python "
    f"{sys.version_info.major}.{sys.version_info.minor}",
)

ORDERS = {
    "patched first": "patch()\nimport tasklets.workers",
    "imported first": "import tasklets.workers\npatch()",
    "locks patched by us": """
import tasklets.workers
patch(thread=False)
from stacklesslib_compat.monkeypatch import patch_locks
patch_locks()
""",
    "threads left alone": "patch(thread=False)\nimport tasklets.workers",
    "not patched": "import tasklets.workers",
}

PROGRAM = """
import sys
from gevent.monkey import patch_all as patch, get_original
exec(sys.argv[1])
import concurrent.futures, contextvars, threading, time
from tasklets import locks, run, scheduler, spawn, wait
from tasklets.workers import WorkerPool, call_in_scheduler, call_on_worker

get_ident = get_original("_thread", "get_ident")
really_sleep = get_original("time", "sleep")
here = get_ident()


def fail():
    raise KeyError("an error")


assert call_on_worker(get_ident, timeout=20) != here
assert call_on_worker(time.sleep, 0.01, timeout=20) is None
for call, error in ((fail, KeyError), (lambda: really_sleep(1), TimeoutError)):
    try:
        call_on_worker(call, timeout=0.1 if error is TimeoutError else 20)
    except error:
        print(error.__name__)

# Tasklets go on while workers are busy.
turns = []
waiting = spawn(call_on_worker, really_sleep, 0.05)
spawn(turns.append, "a turn")
waiting.result(timeout=20)
print(*turns)

with WorkerPool(2) as pool:
    print(list(pool.map(abs, range(-3, 3))))
    futures = [pool.submit(pow, 2, each) for each in range(4)]
    print([each.result(timeout=20) for each in futures])
    print(len(wait([pool.submit(really_sleep, 0.01) for _ in range(4)], timeout=20)))
    slow = [pool.submit(really_sleep, 0.01) for _ in range(4)]
    print(len(concurrent.futures.wait(slow, timeout=20).done))
    assert not any(each.cancel() for each in slow)
    called = []
    slow[0].add_done_callback(lambda _: called.append(1))
    assert called == [1]
print(pool._pool.workers, len(pool._threads))

main = threading.main_thread()
print(call_on_worker(lambda: call_in_scheduler(main, get_ident) == here, timeout=20))
calls = []
scheduler.call_soon_threadsafe(calls.append, "a call", thread=main)
run()
scheduler.call_soon(scheduler.stop, main)
scheduler.call_later(60, print, "stop() has not ended run()")
scheduler.run(wait=True)
print(*calls, scheduler.last_run().reason)

# A lock that another thread releases.
lock = locks.Lock()
lock.acquire()
busy = spawn(call_on_worker, lambda: (really_sleep(0.01), lock.release()))
spawn(lambda: (lock.acquire(), print("acquired"))).result(timeout=20)
busy.result(timeout=20)
print("end")
"""


@pytest.mark.parametrize("order", ORDERS)
def test_workers_are_threads_whatever_is_patched(order):
    status, output, errors = run_program(PROGRAM, ORDERS[order], seconds=120)
    assert (status, errors) == (0, [])
    assert output.splitlines() == [
        "KeyError",
        "TimeoutError",
        "a turn",
        "[3, 2, 1, 0, 1, 2]",
        "[1, 2, 4, 8]",
        "4",
        "4",
        "0 0",
        "True",
        "a call stopped",
        "acquired",
        "end",
    ]


def test_a_module_that_patches_while_it_is_imported(tmp_path, monkeypatch):
    """Its import began under another name of this thread."""
    (tmp_path / "program.py").write_text(
        "import gevent.monkey\n"
        "gevent.monkey.patch_all()\n"
        "import tasklets\n"
        "from tasklets import spawn, run\n"
        "def again():\n"
        "    import program\n"
        "    return program.__name__\n"
        "print(spawn(again).done())\n"
        "def here():\n"
        "    import program\n"
        "    return program.__name__\n"
        "print(here())\n"
    )
    status, output, errors = run_program(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import program; "
        "from tasklets import run; run(); print('end')"
    )
    assert (status, output, errors) == (0, "False\nprogram\nend\n", [])


def test_greenlets_run_while_nobody_waits_for_a_worker():
    status, output, errors = run_program(
        """
        from gevent import monkey
        monkey.patch_all()
        import gevent
        from tasklets.workers import WorkerPool
        with WorkerPool(1) as pool:
            future = pool.submit(monkey.get_original("time", "sleep"), 0.05)
            greenlet = gevent.spawn(lambda: print("greenlet"))
            while not future.done():
                gevent.sleep(0.001)
            greenlet.join()
            print(future.result())
        """
    )
    assert (status, output, errors) == (0, "greenlet\nNone\n", [])


def test_the_locks_cannot_be_patched_twice():
    status, output, errors = run_program(
        """
        from gevent import monkey
        monkey.patch_all()
        import threading
        from stacklesslib_compat.monkeypatch import patch_locks
        before = dict(vars(threading))
        try:
            patch_locks()
        except RuntimeError as error:
            print(error)
        print(before == dict(vars(threading)))
        """
    )
    assert (status, errors) == (0, [])
    assert output == (
        "patch_locks() cannot be used with the threads of gevent: patch with "
        "gevent.monkey.patch_all(thread=False), or leave the locks to gevent\nTrue\n"
    )
