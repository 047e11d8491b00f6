"""Nothing that Python code can do to locks, queues and the like crashes or hangs."""

import os
import textwrap

import pytest
from children import run_cases, run_program

CASES = 250


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_nothing_crashes_or_hangs_on_random_objects(tmp_path, monkeypatch, seed):
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path))
    output = run_cases(tmp_path, monkeypatch, "misuse_objects.py", seed, CASES)
    assert output.splitlines()[-1] == f"ok {CASES}"


# Programs that broke once. Each prints "ok" as its last line.

PROGRAMS = {
    "a condition that gets another lock while one waits for the old one": """
        c = locks.Condition()
        c.acquire()
        t = tasklets.tasklet(c.acquire)()
        tasklets.run()
        c.__init__()
        assert t.blocked
        t.kill()
        """,
    "a condition that gets another lock while one enters it": """
        c = locks.Condition()
        c.acquire()
        t = tasklets.tasklet(c.__enter__)()
        tasklets.run()
        c.__init__(threading.Lock())
        t.kill()
        """,
    "a condition that gets another lock while the notified one wants the old one": """
        def work():
            with c:
                c.wait()
        for new in (None, threading.Lock()):
            c = locks.Condition()
            old = c._lock
            t = tasklets.tasklet(work)()
            tasklets.run()
            c.acquire()
            c.notify()
            c.__init__(new)
            ref = weakref.ref(old)
            del old
            assert ref() is not None
            t.kill(pending=True)
            ref().release()
            with contextlib.suppress(RuntimeError):
                tasklets.run()
            assert not t.alive
        """,
    "a foreign lock whose attributes give its condition another lock": """
        class Lock:
            def __getattribute__(self, name):
                if in_use:
                    c.__init__()
                    raise AttributeError(name)
            def __getattr__(self, name):
                raise AttributeError(name)
        for name in ("_is_owned", "wait", "notify", "_release_save", "acquire"):
            in_use = False
            c = locks.Condition(Lock())
            in_use = True
            with contextlib.suppress(AttributeError, RuntimeError):
                getattr(c, name)()
            assert isinstance(c._lock, locks.RLock)
        """,
    "a condition whose lock gives it another one as it is shown": """
        class Lock:
            acquire = release = None
            def __repr__(self):
                c.__init__()
                return "shown"
        c = locks.Condition(Lock())
        assert "shown" in repr(c)
        """,
    "a timeout that gives its condition a foreign lock": """
        class Seconds:
            def __float__(self):
                c.__init__(threading.Lock())
                return 1.0
        c = locks.Condition()
        with contextlib.suppress(TypeError):
            c.acquire(timeout=Seconds())
        assert c._lock.__class__ is not locks.RLock
        """,
    "a barrier whose timeout makes it anew": """
        class Seconds:
            def __float__(self):
                if not in_use:
                    return 1.0
                b.__init__(2)
                return 1e12
        in_use = False
        b = locks.Barrier(2, None, Seconds())
        in_use = True
        try:
            b.wait()
        except OverflowError:
            pass
        else:
            raise AssertionError
        """,
    "a cycle of locks whose owner has a name that is no UTF-8": """
        def work(first, second):
            with first:
                tasklets.schedule()
                with contextlib.suppress(RuntimeWarning):
                    second.acquire()
        work.__qualname__ = chr(0xD800)
        warnings.simplefilter("error")
        tasklets._core._report_lock_cycles(True)
        a, b = locks.Lock(), locks.Lock()
        ts = [tasklets.tasklet(work)(a, b), tasklets.tasklet(work)(b, a)]
        for _ in range(5):
            tasklets.schedule()
        for t in ts:
            t.kill()
        """,
    "a condition whose list of waiters the collector has shown": """
        c = locks.Condition(threading.Lock())
        def work():
            with c:
                c.wait()
        t = tasklets.tasklet(work)()
        tasklets.schedule()
        shown = [r for r in gc.get_referents(c) if isinstance(r, list)]
        assert len(shown) == 1
        shown[0].insert(0, object())
        with c:
            c.notify_all()
        t.kill()
        """,
}

PRELUDE = """
import contextlib
import faulthandler
import gc
import sys
import threading
import warnings
import weakref

import tasklets
from tasklets import locks

faulthandler.dump_traceback_later(25, exit=True)
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_crashes_or_hangs_in(name):
    program = PRELUDE + textwrap.dedent(PROGRAMS[name]) + "\nprint('ok')\n"
    status, output, errors = run_program(program)
    assert (status, output, errors) == (0, "ok\n", [])
