"""Tasklets that import the same module: the second waits for the first."""

import importlib
import sys
import threading
import types

import pytest
from children import forks_beside_threads, run_program
from threads import SECONDS, in_thread

from tasklets import run, schedule, schedule_remove, scheduler, spawn, timeout
from tasklets.locks import RLock
from tasklets.testing import settle


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that makes a module, whose code may use `gate`."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def make(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        names.append(name)

    yield make
    for name in names:
        sys.modules.pop(name, None)


SLOW = """
import tasklets
for _ in range(3):
    tasklets.schedule()
value = 1
"""


def import_value(name):
    return getattr(importlib.import_module(name), "value", "not there")


def from_import(name):
    scope = {}
    exec(f"from {name} import value", scope)
    return scope["value"]


def plain_import(name):
    scope = {}
    exec(f"import {name}", scope)
    return getattr(scope[name], "value", "not there")


@pytest.mark.parametrize("way", [import_value, from_import, plain_import])
def test_no_importer_gets_a_module_before_its_code_has_run(module, way):
    module("tl_slow", SLOW)
    tasks = [spawn(way, "tl_slow") for _ in range(4)]
    run()
    assert [task.result() for task in tasks] == [1] * 4


def test_a_tasklet_that_is_killed_while_it_waits_leaves_the_import_alone(module):
    module("tl_slow", SLOW)
    first, second, third = (spawn(import_value, "tl_slow") for _ in range(3))
    schedule()
    second.kill()
    settle()
    assert not second.alive
    assert first.result() == third.result() == 1


def test_an_import_that_is_killed_is_done_by_the_next(module):
    module("tl_slow", SLOW)
    first = spawn(import_value, "tl_slow")
    schedule()
    first.kill()
    assert "tl_slow" not in sys.modules
    assert spawn(import_value, "tl_slow").result() == 1


def test_a_module_that_imports_itself_gets_what_there_is(module):
    module("tl_self", "import tl_self, tasklets\ntasklets.schedule()\nvalue = 1\n")
    tasks = [spawn(import_value, "tl_self") for _ in range(2)]
    run()
    assert [task.result() for task in tasks] == [1, 1]


@pytest.mark.parametrize("seconds", [None, SECONDS])
def test_circular_imports_by_two_tasklets_end(module, seconds):
    """One of them gets what there is of the other's module."""

    def work(name):
        with timeout(seconds):
            return import_value(name)

    for one, other in (("tl_a", "tl_b"), ("tl_b", "tl_a")):
        module(
            one,
            f"import tasklets\ntasklets.schedule()\nimport {other}\nvalue = 1\n",
        )
    tasks = [spawn(work, name) for name in ("tl_a", "tl_b")]
    run()
    assert [task.result() for task in tasks] == [1, 1]


def test_threads_wait_for_tasklets_and_tasklets_for_threads(module):
    module("tl_slow", SLOW)
    results = []
    first = spawn(import_value, "tl_slow")
    schedule()
    thread = threading.Thread(target=lambda: results.append(import_value("tl_slow")))
    thread.start()
    settle()
    thread.join(SECONDS)
    assert results == [1]
    assert first.result() == 1
    del sys.modules["tl_slow"]
    assert in_thread(import_value, "tl_slow") == 1


def test_what_must_not_wait_gets_what_there_is(module):
    """A callback cannot let the importing tasklet go on."""
    module("tl_slow", SLOW)
    first = spawn(import_value, "tl_slow")
    schedule()
    task = spawn(plain_import, "tl_slow")
    task.block_trap = True
    assert task.result() == "not there"
    assert first.result() == 1


def test_an_error_of_the_module_is_raised_in_its_importer(module):
    module("tl_broken", "import tasklets\ntasklets.schedule()\nraise KeyError(1)\n")
    first = spawn(import_value, "tl_broken")
    schedule()
    second = spawn(import_value, "tl_broken")
    with pytest.raises(KeyError):
        first.result()
    second.join()
    assert "tl_broken" not in sys.modules
    with pytest.raises(KeyError):
        import_value("tl_broken")


def test_a_submodule_waits_for_its_package(tmp_path, module):
    folder = tmp_path / "tl_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(SLOW)
    (folder / "part.py").write_text("from tl_package import value\n")
    importlib.invalidate_caches()
    tasks = [spawn(import_value, f"tl_package{tail}") for tail in ("", ".part")]
    try:
        run()
        assert [task.result() for task in tasks] == [1, 1]
    finally:
        sys.modules.pop("tl_package", None)
        sys.modules.pop("tl_package.part", None)


FIRST = """
import sys
sys.path.insert(0, sys.argv[1])
import tl_first
"""
TL_FIRST = """
import tasklets
def other():
    import tl_first
    print(tl_first.value)
tasklets.spawn(other)
for _ in range(3):
    tasklets.schedule()
value = 1
print("imported")
tasklets.run()
"""


def test_the_module_that_imports_tasklets_first_is_waited_for_too(tmp_path):
    (tmp_path / "tl_first.py").write_text(TL_FIRST)
    status, output, errors = run_program(FIRST, tmp_path)
    assert (status, errors) == (0, [])
    # run() is called inside the import: its end is not waited for any more.
    assert output.splitlines()[0] == "imported"


def test_imports_work_when_the_program_ends():
    source = """
    import atexit, sys, tasklets
    atexit.register(lambda: print("atexit", __import__("colorsys").__name__))
    """
    assert run_program(source) == (0, "atexit colorsys\n", [])


def test_the_locks_of_modules_do_not_stay_behind(module):
    bootstrap = importlib._bootstrap
    module("tl_slow", SLOW)
    tasks = [spawn(import_value, "tl_slow") for _ in range(2)]
    run()
    assert [task.result() for task in tasks] == [1, 1]
    assert "tl_slow" not in bootstrap._module_locks


def test_a_run_that_waits_goes_on_while_another_thread_imports(tmp_path, monkeypatch):
    """It waits for files, and so for a module that the work on them needs."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_there.py").write_text(
        "import slow_events\nslow_events.begun.set()\nslow_events.go_on.wait(30)\n"
    )
    events = types.ModuleType("slow_events")
    events.begun, events.go_on = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "slow_events", events)
    thread = threading.Thread(target=importlib.import_module, args=("slow_there",))
    thread.start()
    events.begun.wait(30)
    done = []

    def work():
        importlib.import_module("slow_there")
        done.append(True)

    spawn(work)
    opener = threading.Timer(0.1, events.go_on.set)
    opener.start()
    scheduler.run(wait=True)
    assert done == [True]
    thread.join()
    opener.join()


def test_a_run_waits_for_the_import_of_a_thread_that_came_in_between():
    """Both it and a tasklet wait for a tasklet of this thread."""
    lock = RLock()
    lock._be_strict()
    begun, go_on = threading.Event(), threading.Event()
    done = []

    def own():
        with lock:
            schedule_remove()

    def elsewhere():
        spawn(begun.set)
        with lock:  # not free: the thread has its tasklets run
            go_on.wait(30)
            done.append("elsewhere")

    def work():
        with lock:
            done.append("here")

    owner = spawn(own)
    schedule()
    thread = threading.Thread(target=elsewhere)
    thread.start()
    begun.wait(30)
    waiter = spawn(work)
    schedule()
    assert waiter.blocked
    opener = threading.Timer(0.1, go_on.set)
    opener.start()
    owner.insert()
    scheduler.run(wait=True)
    assert not waiter.alive
    thread.join()
    opener.join()
    assert sorted(done) == ["elsewhere", "here"]


# In the child of a fork: the lock of an import is there, and not its owner.

HALF = """
import sys
here = sys.modules['__main__']
here.begun.set()
here.go_on.wait()
value = 7
"""

BEGIN = """
import os, sys, threading
import tasklets
sys.path.insert(0, sys.argv[1])
begun, go_on = threading.Event(), threading.Event()
thread = threading.Thread(target=__import__, args=("half",))
thread.start()
begun.wait()
"""

END = """
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
go_on.set()
thread.join()
"""

IMPORT = """
pid = os.fork()
if pid == 0:
    go_on.set()
    import half
    os._exit(half.value)
"""

WAIT = """
got = []

def work():
    import half
    got.append(half.value)

waiters = [tasklets.spawn(work) for _ in range(3)]
tasklets.schedule()
assert all(waiter.blocked for waiter in waiters)
pid = os.fork()
if pid == 0:
    go_on.set()
    tasklets.scheduler.run(wait=True)
    os._exit(sum(got))
"""


@forks_beside_threads
@pytest.mark.parametrize(
    ("use", "value"), [(IMPORT, 7), (WAIT, 21)], ids=["new", "old"]
)
def test_an_import_of_a_thread_that_did_not_come_along_is_begun_anew(
    tmp_path, use, value
):
    (tmp_path / "half.py").write_text(HALF)
    status, output, _ = run_program(BEGIN + use + END, tmp_path)
    assert (status, output) == (0, f"{value}\n")
