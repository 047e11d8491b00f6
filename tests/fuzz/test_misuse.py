"""Nothing that Python code can do to tasklets crashes or hangs the process."""

import sys
import textwrap

import misuse
import pytest
from children import run_cases, run_program


def try_all(tmp_path, monkeypatch, name):
    """Run one group of cases, and name the case that broke."""
    output = run_cases(tmp_path, monkeypatch, "misuse.py", name)
    # What is printed before comes from the calls themselves.
    ok, count = output.splitlines()[-1].split()
    assert ok == "ok"
    assert int(count) > 1000


@pytest.mark.parametrize("place", misuse.place_names())
def test_nothing_crashes_in_any_place(tmp_path, monkeypatch, place):
    try_all(tmp_path, monkeypatch, place)


def test_objects_of_another_thread_do_not_crash(tmp_path, monkeypatch):
    try_all(tmp_path, monkeypatch, "foreign")


def test_objects_of_an_ended_thread_do_not_crash(tmp_path, monkeypatch):
    try_all(tmp_path, monkeypatch, "orphaned")


def test_no_argument_of_a_function_crashes(tmp_path, monkeypatch):
    try_all(tmp_path, monkeypatch, "functions")


@pytest.mark.slow
def test_no_argument_of_a_method_and_no_value_of_an_attribute_crashes(
    tmp_path, monkeypatch
):
    try_all(tmp_path, monkeypatch, "arguments")


def try_rows(tmp_path, monkeypatch, mode, seed, count):
    args = "misuse_sequences.py", mode, seed, count
    output = run_cases(tmp_path, monkeypatch, *args)
    assert output.splitlines()[-1] == f"ok {count}"


MODES = ["plain", "handlers", "threads"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(2))
def test_no_row_of_calls_crashes_or_hangs(tmp_path, monkeypatch, mode, seed):
    try_rows(tmp_path, monkeypatch, mode, seed, 300)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(100, 104))
def test_no_long_row_of_calls_crashes_or_hangs(tmp_path, monkeypatch, mode, seed):
    try_rows(tmp_path, monkeypatch, mode, seed, 1500)


# Programs that broke once, or easily could. Each prints "ok" as its last line.

PROGRAMS = {
    "bind while the old tempval sets the tasklet up": """
        t = tasklets.tasklet()
        class Meddler:
            def __del__(self):
                t.setup()
        t.tempval = Meddler()
        t.bind(int)
        tasklets.run()
        """,
    "bind while the old context sets the tasklet up": """
        import contextvars
        t = tasklets.tasklet()
        class Meddler:
            def __del__(self):
                t.setup()
        def work():
            contextvars.ContextVar("v").set(Meddler())
            t.bind(int)
        contextvars.copy_context().run(work)
        gc.collect()
        t.bind(int)
        tasklets.run()
        """,
    "setup while the kept result binds the tasklet": """
        class Meddler:
            def __del__(self):
                with contextlib.suppress(RuntimeError):
                    t.bind(int, ())
                with contextlib.suppress(RuntimeError):
                    t.setup()
        t = tasklets.spawn(Meddler)
        tasklets.run()
        t.bind(int)()
        tasklets.run()
        """,
    "exit while the tempval of a blocked tasklet kills it": """
        ch = tasklets.channel()
        class Meddler:
            def __del__(self):
                t.kill()
        t = tasklets.tasklet(ch.receive)()
        tasklets.run()
        t.tempval = Meddler()
        """,
    "a finalizer that kills the tasklet it is finalized with": """
        class Meddler:
            def __del__(self):
                ref().kill()
        t = tasklets.tasklet(tasklets.schedule_remove)(None)
        tasklets.run()
        ref = weakref.ref(t)
        t.tempval = Meddler()
        del t
        """,
    "a deadlock error that lists a tasklet whose repr kills it": """
        class Shown(tasklets.tasklet):
            def __repr__(self):
                self.kill()
                return "shown"
        ch = tasklets.channel()
        shown = [Shown(ch.receive)() for i in range(5)]
        tasklets.run()
        with contextlib.suppress(RuntimeError):
            ch.receive()
        """,
    "a deadlock error that lists a function whose name kills its tasklet": """
        class Work:
            def __call__(self):
                ch.receive()
            def __getattr__(self, name):
                for t in shown:
                    t.kill()
                tasklets.schedule()
                return "work"
        ch = tasklets.channel()
        shown = [tasklets.tasklet(Work())() for i in range(5)]
        tasklets.run()
        with contextlib.suppress(RuntimeError):
            ch.receive()
        """,
    "a deadlock between threads whose error has a repr that switches": """
        class Shown(tasklets.tasklet):
            def __repr__(self):
                for move in (tasklets.schedule, tasklets.schedule_remove, ch.receive,
                             tasklets.run, other[0].run, self.kill):
                    with contextlib.suppress(BaseException):
                        move()
                return "shown"
        ch, other = tasklets.channel(), []
        def work():
            other.append(tasklets.tasklet(int, ()))
            Shown(ch.receive)()
            Shown(ch.receive)()
            tasklets.run()
            with contextlib.suppress(RuntimeError):
                ch.receive()
        thread = threading.Thread(target=work)
        thread.start()
        with contextlib.suppress(RuntimeError):
            ch.receive()
        while ch.balance < 0:
            ch.send(1)
        thread.join()
        """,
    "operations in collections that start anywhere": """
        inside, turn = False, 0
        def callback(phase, info):
            global inside, turn
            if not inside and phase == "start":
                inside, turn = True, turn + 1
                with contextlib.suppress(BaseException):
                    moves[turn % len(moves)]()
                inside = False
        ch = tasklets.channel()
        moves = [tasklets.schedule, ch.receive, tasklets.schedule_remove, tasklets.run,
                 lambda: ch.send(1), lambda: tasklets.getcurrent().kill(),
                 lambda: tasklets.getmain().run(),
                 lambda: tasklets.tasklet(int)(1).kill()]
        def fail():
            raise ValueError
        def join():
            with contextlib.suppress(RuntimeError):
                tasklets.spawn(fail).join()
        gc.callbacks.append(callback)
        threshold = gc.get_threshold()
        gc.set_threshold(1)
        for i in range(100):
            for work in (fail, join, tasklets.schedule, join):
                with contextlib.suppress(BaseException):
                    tasklets.tasklet(work)()
            for i in range(3):
                with contextlib.suppress(BaseException):
                    tasklets.run()
            while ch.balance:
                with contextlib.suppress(BaseException):
                    ch.queue.kill()
        gc.set_threshold(*threshold)
        gc.callbacks.clear()
        """,
    "a signal handler that kills the blocked sender and forgets it": """
        import os, signal, time
        ch, main = tasklets.channel(), tasklets.getcurrent()
        def handler(*args):
            with contextlib.suppress(tasklets.TaskletExit, RuntimeError):
                main.kill()
            handled.set()
        handled = threading.Event()
        signal.signal(signal.SIGUSR1, handler)
        def work():
            while not main.blocked:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGUSR1)
            handled.wait(10)
            got.append(ch.try_receive())
        got = []
        thread = threading.Thread(target=work)
        thread.start()
        with contextlib.suppress(tasklets.TaskletExit):
            ch.send("value")
        thread.join()
        assert got == ["value"], got
        """,
    "a schedule callback that makes and kills tasklets": """
        def callback(old, new):
            tasklets.tasklet(int)()
            for t in (old, new):
                with contextlib.suppress(BaseException):
                    t.kill()
                t.kill(pending=True) if not t.is_current else None
        tasklets.set_schedule_callback(callback)
        tasklets.tasklet(tasklets.schedule)()
        for i in range(10):
            with contextlib.suppress(BaseException):
                tasklets.schedule()
        tasklets.set_schedule_callback(None)
        while tasklets.getruncount() > 1:
            with contextlib.suppress(BaseException):
                tasklets.run()
        """,
    "a tasklet that blocks in the finalizer of its own argument": """
        ch = tasklets.channel()
        class Meddler:
            def __del__(self):
                got.append(ch.receive())
        got = []
        t = tasklets.tasklet(lambda m: None)(Meddler())
        tasklets.run()
        assert t.blocked
        ch.send("value")
        assert got == ["value"], got
        tasklets.run()
        """,
    "tasklets that end while other stacks are still being made": """
        def work(depth):
            if depth:
                tasklets.tasklet(work)(depth - 1).run()
        for i in range(20):
            tasklets.tasklet(work)(200)
            tasklets.run()
        """,
    "a class of exception that switches as it is made": """
        class Switching(Exception):
            def __init__(self):
                tasklets.schedule()
                ch.receive()
        ch = tasklets.channel()
        def work():
            with contextlib.suppress(Switching):
                tasklets.schedule_remove(None)
        t = tasklets.tasklet(work)()
        tasklets.run()
        t.throw(Switching)
        ch.send(1)
        tasklets.run()
        assert not t.alive
        """,
    "a tasklet that binds and starts itself in its done callback": """
        def again(t):
            with contextlib.suppress(RuntimeError):
                t.bind(int, ())
            with contextlib.suppress(RuntimeError):
                t.insert()
            tasklets.schedule()
        t = tasklets.spawn(int)
        t.add_done_callback(again)
        tasklets.run()
        """,
    "a done callback that adds itself forever is called once": """
        calls = []
        def again(t):
            calls.append(1)
            if len(calls) < 1000:
                t.add_done_callback(again)
        t = tasklets.spawn(int)
        t.add_done_callback(again)
        tasklets.run()
        """,
    "remove_done_callback whose comparison changes the list": """
        class Meddler:
            def __eq__(self, other):
                t.remove_done_callback(int)
                t.add_done_callback(int)
                return False
            __hash__ = None
            def __call__(self, t):
                pass
        t = tasklets.spawn(int)
        for i in range(5):
            t.add_done_callback(Meddler())
            t.add_done_callback(int)
        with contextlib.suppress(RecursionError):
            t.remove_done_callback(print)
        tasklets.run()
        """,
    "an iterable that closes the channel it is sent to": """
        ch = tasklets.channel()
        def items():
            yield 1
            ch.close(wake=True)
            yield 2
        t = tasklets.tasklet(lambda: list(ch))()
        tasklets.run()
        with contextlib.suppress(ValueError):
            ch.send_sequence(items())
        tasklets.run()
        """,
    "values that use the queue channel as they are dropped with it": """
        class Meddler:
            def __del__(self):
                ref() and ref().try_send(Meddler())
        q = tasklets.QueueChannel()
        ref = weakref.ref(q)
        for i in range(10):
            q.send(Meddler())
        del q
        """,
    "a tasklet that drops the only reference to its channel while it waits": """
        box = [tasklets.channel()]
        def work():
            box[0].receive()
        t = tasklets.tasklet(work)()
        tasklets.run()
        box.clear()
        gc.collect()
        tasklets.run()
        t.kill()
        """,
    "ten thousand blocked tasklets that are dropped at once": """
        chs = []
        def work():
            ch = tasklets.channel()
            chs.append(weakref.ref(ch))
            ch.receive()
        for i in range(10000):
            tasklets.tasklet(work)()
        tasklets.run()
        gc.collect()
        tasklets.run()
        for t in tasklets.scheduler.getuncollectables():
            t.kill()
        """,
    "a trace function that switches": """
        def trace(frame, event, arg):
            tasklets.schedule()
            return trace
        def work():
            for i in range(10):
                tasklets.schedule()
        for i in range(3):
            tasklets.tasklet(work)()
        sys.settrace(trace)
        tasklets.run()
        sys.settrace(None)
        tasklets.run()
        """,
    "a profile function that switches": """
        def profile(frame, event, arg):
            tasklets.schedule()
        def work():
            for i in range(10):
                tasklets.schedule()
        for i in range(3):
            tasklets.tasklet(work)()
        sys.setprofile(profile)
        tasklets.run()
        sys.setprofile(None)
        tasklets.run()
        """,
    "an audit hook that switches": """
        def hook(event, args):
            if event.startswith("object"):
                tasklets.schedule()
        sys.addaudithook(hook)
        t = tasklets.tasklet(lambda: tasklets.getcurrent().frame.f_code)()
        tasklets.run()
        """,
    "atomic blocks that are left in another tasklet": """
        a = tasklets.atomic()
        def enter():
            a.__enter__()
            tasklets.schedule()
        def leave():
            a.__exit__(None, None, None)
        for i in range(3):
            tasklets.tasklet(enter)()
            tasklets.tasklet(leave)()
        tasklets.run()
        """,
    "a bomb that holds itself": """
        b = tasklets.bomb(ValueError)
        b.value = b
        b.traceback = b
        t = tasklets.tasklet(tasklets.schedule)()
        tasklets.schedule()
        t.tempval = b
        with contextlib.suppress(BaseException):
            tasklets.run()
        """,
    "a bomb that loses its type while it is on its way": """
        b = tasklets.bomb(ValueError)
        t = tasklets.tasklet(tasklets.schedule)()
        tasklets.schedule()
        t.tempval = b
        b.type = None
        with contextlib.suppress(BaseException):
            tasklets.run()
        """,
    "a pending kill of a tasklet that is bound again before": """
        t = tasklets.tasklet(int)()
        t.kill(pending=True)
        t.remove()
        t.bind(int, ())
        t.insert()
        tasklets.run()
        """,
}

PRELUDE = """
import contextlib
import faulthandler
import gc
import sys
import threading
import weakref

import tasklets

faulthandler.dump_traceback_later(60, exit=True)
sys.unraisablehook = lambda args: None
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_crashes_or_hangs_in(name):
    program = PRELUDE + textwrap.dedent(PROGRAMS[name]) + "\nprint('ok')\n"
    status, output, errors = run_program(program)
    assert (status, output, errors) == (0, "ok\n", [])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs sys.monitoring")
def test_nothing_crashes_in_a_monitoring_callback_that_switches():
    program = (
        PRELUDE
        + """
def look(*args):
    tasklets.schedule()

def work():
    for i in range(10):
        tasklets.schedule()

tool = 3
sys.monitoring.use_tool_id(tool, "test")
for event in ("LINE", "PY_START", "PY_RETURN", "CALL"):
    event = getattr(sys.monitoring.events, event)
    sys.monitoring.register_callback(tool, event, look)
for i in range(3):
    tasklets.tasklet(work)()
E = sys.monitoring.events
sys.monitoring.set_events(tool, E.LINE | E.PY_START | E.PY_RETURN)
tasklets.run()
sys.monitoring.set_events(tool, 0)
sys.monitoring.free_tool_id(tool)
tasklets.run()
print("ok")
"""
    )
    assert run_program(program) == (0, "ok\n", [])
