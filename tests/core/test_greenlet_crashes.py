"""Greenlets in programs that could crash or hang."""

import sys
from textwrap import dedent

import greenlet
import pytest
from children import run_program

from tasklets import run, schedule, tasklet

PROGRAMS = {
    "every greenlet that the collector knows is continued": """
        def work():
            schedule()
        def abuse():
            for g in [o for o in gc.get_objects() if isinstance(o, greenlet)]:
                if g is not here() and g is not here().parent:
                    for act in (g.switch, g.throw, lambda: g.throw(KeyError("x"))):
                        attempt(act)
        ch = channel()
        waiting = [tasklet(ch.receive)() for _ in range(5)]
        for _ in range(5):
            tasklet(work)()
        run()
        abuse()
        tasklet(abuse)()
        attempt(run)
        for _ in range(5):
            tasklet(work)()
        attempt(run)
        assert tasklets.getcurrent().is_main
        """,
    "a greenlet ends in another tasklet than it began in": """
        def inner():
            here().parent.switch()
            return "end"
        box = [begun(inner)]
        tasklet(attempt)(box[0].switch)
        run()
        """,
    "two tasklets continue one another's greenlets": """
        def inner():
            schedule()
        def victim(index):
            own[index] = here()
            greenlet(inner).switch()
            attempt(schedule)
            attempt(own[1 - index].switch)
            here().parent = greenlet(inner)
            attempt(schedule)
            attempt(own[1 - index].switch)
        own = {}
        for index in (0, 1):
            tasklet(victim)(index)
        for index in (0, 1):
            tasklet(lambda index: own[index].switch())(index)
        for _ in range(9):
            attempt(run)
        assert tasklets.getcurrent().is_main
        """,
    "main waits on the stack of a tasklet, and a tasklet on that of main": """
        def inner():
            schedule()
        def work():
            box.append(here())
            greenlet(inner).switch()
            attempt(schedule)
            attempt(box[0].switch)
            attempt(schedule)
        box = [here()]
        tasklet(work)()
        greenlet(inner).switch()
        for _ in range(3):
            for g in box[::-1]:
                attempt(g.switch)
                attempt(schedule)
            attempt(run)
        """,
    "a greenlet fails in another tasklet than it began in": """
        def inner():
            here().parent.switch()
            raise KeyError
        box = [begun(inner)]
        tasklet(attempt)(box[0].switch)
        run()
        """,
    "a greenlet blocks in another tasklet than it began in, and ends": """
        def inner():
            here().parent.switch()
            ch.receive()
        box, ch = [begun(inner)], channel()
        t = tasklet(attempt)(box[0].switch)
        run()
        assert t.blocked
        attempt(ch.send, 1)
        attempt(run)
        assert not t.alive
        """,
    "a greenlet blocks in another tasklet than it began in, and is killed": """
        def inner():
            here().parent.switch()
            ch.receive()
        box, ch = [begun(inner)], channel()
        t = tasklet(attempt)(box[0].switch)
        run()
        attempt(t.kill)
        attempt(run)
        assert not t.blocked
        """,
    "a function is continued out of turn, and ends its tasklet": """
        def work():
            box.append(here())
            greenlet(channel().receive).switch()
        box = []
        t = tasklet(work)()
        run()
        try:
            box.pop().switch("bogus")
        except RuntimeError as error:
            assert str(error).startswith("a tasklet's function was continued by")
        else:
            raise AssertionError
        assert (t.alive, t.scheduled) == (False, False)
        assert tasklets.getcurrent().is_main
        del t
        gc.collect()
        assert tasklets._core.live_counts()["channel"] == 0
        """,
    "a tasklets greenlet goes on in main": """
        def inner():
            box.append(here())
            here().parent.switch()
            schedule()
            ch.try_receive()
        def work():
            greenlet(inner).switch()
            ch.receive()
        box, ch = [], channel()
        t = tasklet(work)()
        run()
        attempt(box[0].switch)
        attempt(ch.send, 1)
        attempt(run)
        """,
    "a trace function of greenlet that switches": """
        import greenlet as module
        left = [100]
        def trace(event, args):
            left[0] -= 1
            if left[0] > 0:
                schedule()
        module.settrace(trace)
        for _ in range(3):
            tasklet(schedule)()
        attempt(run)
        module.settrace(None)
        attempt(run)
        assert tasklets.getruncount() == 1
        """,
    "a trace function of greenlet that fails": """
        import greenlet as module
        def fail(event, args):
            raise KeyError
        for i in range(5):
            module.settrace(fail)
            tasklet(schedule)()
            attempt(run)
        module.settrace(None)
        attempt(run)
        assert tasklets.getruncount() == 1
        """,
    "greenlets with contexts of their own": """
        import contextvars
        v = contextvars.ContextVar("v", default=0)
        def inner(n):
            v.set(n)
            schedule()
            assert v.get() == n
            here().parent.switch()
            schedule()
            assert v.get() == n
        def work(n):
            v.set(-n)
            g = greenlet(inner)
            g.switch(n)
            assert v.get() == -n
            schedule()
            g.switch()
            assert v.get() == -n
        for n in range(1, 5):
            t = tasklet(work)
            t.set_context(contextvars.copy_context())
            t(n)
        run()
        """,
    "a greenlet that is dropped by another thread": """
        import threading
        def inner():
            try:
                here().parent.switch()
            finally:
                attempt(schedule)
        def work():
            g = greenlet(inner)
            g.switch()
            box.append(g)
        box = []
        tasklet(work)()
        run()
        thread = threading.Thread(target=box.clear)
        thread.start()
        thread.join()
        for _ in range(3):
            tasklet(schedule)()
            run()
        """,
    "a thread that leaves greenlets and tasklets behind": """
        import threading
        def inner():
            try:
                ch.receive()
            finally:
                attempt(schedule)
        def work():
            box.append(here())
            greenlet(inner).switch()
        def thread_work():
            for _ in range(3):
                tasklet(work)()
            run()
        box, ch = [], channel()
        thread = threading.Thread(target=thread_work)
        thread.start()
        thread.join()
        for g in box:
            attempt(g.switch)
        box.clear()
        gc.collect()
        tasklet(schedule)()
        run()
        """,
}

PRELUDE = """
import contextlib, faulthandler, gc, sys, weakref
from greenlet import getcurrent as here, greenlet
import tasklets
from tasklets import channel, run, schedule, tasklet

faulthandler.dump_traceback_later(60, exit=True)

def attempt(function, *args):
    with contextlib.suppress(Exception):
        function(*args)

def begun(inner):
    "Return a greenlet that a tasklet has begun, and that has switched back to it."
    def work():
        g = greenlet(inner)
        box.append(g)
        g.switch()
    box = []
    tasklet(work)()
    run()
    return box[0]
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_crashes_or_hangs_when(name):
    program = PRELUDE + dedent(PROGRAMS[name]) + "\nprint('ok')\n"
    status, output, errors = run_program(program)
    assert (status, output) == (0, "ok\n")
    # What such a function raises cannot go anywhere: it is reported.
    reported = "a trace function of greenlet" in name
    assert bool(errors) == reported, errors


# Up to Python 3.12 the finalizer runs when the tasklets of the thread have ended.
THREAD = """
import threading

class Last:
    def __del__(self):
        kept.clear()
        for g in self.greenlets:
            if g is not here() and not g.dead:
                ACT

def thread():
    run()
    greenlets = []
    work(greenlets)
    local.last = Last()
    local.last.greenlets = greenlets

local, kept = threading.local(), []
for _ in range(5):
    t = threading.Thread(target=thread)
    t.start()
    t.join()
print("ok")
"""

KEPT = {
    "of an ended tasklet": """
        def work(greenlets):
            tasklet(lambda: greenlets.append(here()))()
            run()
        """,
    "that a trace function has seen": """
        from greenlet import settrace
        def work(greenlets):
            settrace(lambda event, pair: greenlets.extend(pair))
            for _ in range(5):
                tasklet(schedule)()
            run()
            settrace(None)
        """,
    "of a tasklet that refuses to end": """
        def stubborn(greenlets):
            greenlets.append(here())
            for _ in range(3):
                with contextlib.suppress(RuntimeError, tasklets.TaskletExit):
                    tasklets.schedule_remove(None)
        def work(greenlets):
            kept.append(tasklet(stubborn)(greenlets))
            run()
        """,
}


@pytest.mark.parametrize(
    "act", ["attempt(g.switch)", "attempt(g.throw, KeyError)", "pass"]
)
@pytest.mark.parametrize("work", KEPT.values(), ids=KEPT)
def test_the_end_of_a_thread_takes_no_harm_from_a_kept_greenlet(work, act):
    program = PRELUDE + dedent(work) + THREAD.replace("ACT", act)
    assert run_program(program) == (0, "ok\n", [])


def test_a_stack_of_main_that_goes_on_in_a_tasklet_does_not_crash():
    program = PRELUDE + dedent("""
        def inner():
            box.append(here())
            return ch.receive()
        def work():
            attempt(box[0].switch, "bogus")
            box[0].parent.switch("bogus")  # nothing of ours waits there
        box, ch = [], channel()
        tasklet(work)()
        attempt(greenlet(inner).switch)
        attempt(run)
        print("ok")
        """)
    assert run_program(program)[:2] == (0, "ok\n")


def test_the_error_of_a_trace_function_of_greenlet_is_not_lost(monkeypatch, log):
    monkeypatch.setattr(sys, "unraisablehook", lambda args: log.append(args.exc_type))

    def fail(event, args):
        greenlet.settrace(None)
        raise KeyError

    greenlet.settrace(fail)
    t = tasklet(schedule)()
    try:
        run()
    except KeyError:
        log.append(KeyError)
    run()
    assert log == [KeyError]
    assert not t.alive
