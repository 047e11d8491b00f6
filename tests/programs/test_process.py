"""How whole programs end: exit status and output, to the letter."""

import os
import signal
import subprocess
import sys
import time
from textwrap import dedent

import pytest
from children import finish, run_program, start

SECONDS = 120

PRELUDE = """
import atexit, os, signal, sys, threading, time
import tasklets
from tasklets import channel, getcurrent, run, schedule, spawn, tasklet

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def pause():
    tasklets.schedule_remove(None)

def waiting(name, wait=lambda: channel().receive()):
    try:
        wait()
    finally:
        say(name, "finally")
"""


def check(program, status, output, errors=()):
    """Run a program and compare all that it does."""
    found = run_program(PRELUDE + dedent(program), seconds=SECONDS)
    assert found == (status, dedent(output).lstrip("\n"), list(errors))


TRACEBACK = "Traceback (most recent call last):"


# Uncaught errors.


def test_an_uncaught_error_of_a_tasklet_ends_the_program():
    check(
        """
        def work():
            raise KeyError("uncaught")
        tasklet(work)()
        run()
        say("not reached")
        """,
        1, "", [TRACEBACK, "KeyError: 'uncaught'", "in tasklet 'work'"],
    )  # fmt: skip


def test_an_uncaught_error_lets_the_finally_blocks_of_others_run():
    check(
        """
        def work():
            raise KeyError("uncaught")
        tasklet(waiting)("blocked")
        tasklet(work)()
        run()
        """,
        1, "blocked finally\n",
        [TRACEBACK, "KeyError: 'uncaught'", "in tasklet 'work'"],
    )  # fmt: skip


def test_an_uncaught_error_of_main_ends_the_program():
    check(
        """
        tasklet(waiting)("paused", pause)
        run()
        raise KeyError("main")
        """,
        1, "paused finally\n", [TRACEBACK, "KeyError: 'main'"],
    )  # fmt: skip


def test_an_uncaught_deadlock_ends_the_program():
    check(
        """
        tasklet(waiting)("blocked")
        try:
            channel().receive()
        except tasklets.DeadlockError as error:
            raise tasklets.DeadlockError(str(error).splitlines()[0]) from None
        """,
        1, "blocked finally\n",
        [TRACEBACK, "tasklets.DeadlockError: "
         "Deadlock: the last runnable tasklet cannot be blocked."],
    )  # fmt: skip


def test_an_uncaught_error_in_a_thread_ends_the_thread():
    check(
        """
        def work():
            tasklet(lambda: 1 / 0)()
            run()
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
        say("main goes on")
        """,
        0, "main goes on\n",
        ["Exception in thread worker:", TRACEBACK,
         "ZeroDivisionError: division by zero",
         "in tasklet 'work.<locals>.<lambda>'"],
    )  # fmt: skip


# sys.exit.


@pytest.mark.parametrize("make", ["tasklet(sys.exit)(3)", "spawn(sys.exit, 3)"])
@pytest.mark.parametrize(
    "wait", ["run()", "schedule()", "channel().receive()", "spawn(pause).join()"]
)
def test_sys_exit_in_a_tasklet_ends_the_program_with_its_status(make, wait):
    check(f"{make}\n{wait}\nsay('not reached')", 3, "")


@pytest.mark.parametrize(
    ("code", "status", "errors"),
    [("", 0, []), ("None", 0, []), ("True", 1, []), ("'message'", 1, ["message"])],
)
def test_sys_exit_takes_what_it_takes_elsewhere(code, status, errors):
    check(f"tasklet(lambda: sys.exit({code}))()\nrun()", status, "", errors)


def test_sys_exit_in_a_tasklet_runs_the_finally_blocks_of_all():
    check(
        """
        tasklet(waiting)("blocked")
        kept = tasklet(waiting)("paused", pause)
        tasklet(waiting)("exiting", lambda: sys.exit(3))
        try:
            run()
        finally:
            say("main finally")
        """,
        3,
        """
        exiting finally
        main finally
        blocked finally
        paused finally
        """,
    )


def test_sys_exit_in_a_tasklet_can_be_caught_by_main():
    check(
        """
        tasklet(sys.exit)(3)
        try:
            run()
        except SystemExit as error:
            say("caught", error.code)
        """,
        0, "caught 3\n",
    )  # fmt: skip


def test_sys_exit_in_main_runs_the_finally_blocks():
    check("tasklet(waiting)('blocked')\nrun()\nsys.exit(4)", 4, "blocked finally\n")


def test_sys_exit_in_a_tasklet_of_a_thread_is_silent():
    check(
        """
        def work():
            tasklet(sys.exit)(3)
            run()
            say("thread goes on")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
        0, "thread goes on\n",
    )  # fmt: skip


def test_os_exit_in_a_tasklet_ends_the_process_at_once():
    check(
        """
        tasklet(waiting)("blocked")
        tasklet(os._exit)(5)
        run()
        """,
        5, "",
    )  # fmt: skip


# Tasklets that are left at the end.


def test_the_finally_blocks_of_blocked_and_paused_tasklets_run_at_exit():
    check(
        """
        ch = channel()
        tasklet(waiting)("receiving", ch.receive)
        tasklet(waiting)("sending", lambda: channel().send(1))
        tasklet(waiting)("iterating", lambda: list(channel()))
        t = tasklet(pause)()
        tasklet(waiting)("joining", t.join)
        kept = tasklet(waiting)("paused", pause)
        run()
        say("end of main")
        """,
        0,
        """
        end of main
        receiving finally
        sending finally
        iterating finally
        joining finally
        paused finally
        """,
    )


def test_the_finally_blocks_of_runnable_tasklets_run_at_exit():
    check(
        """
        tasklet(waiting)("runnable", schedule)
        schedule()
        say("end of main")
        """,
        0, "end of main\nrunnable finally\n",
    )  # fmt: skip


def test_tasklets_that_have_not_started_do_not_start_at_exit():
    check(
        """
        tasklet(say)("never")
        t = tasklet(say, ("never",))
        say("end of main")
        """,
        0, "end of main\n",
    )  # fmt: skip


def test_a_tasklet_is_told_once_to_end_at_exit():
    check(
        """
        def stubborn():
            while True:
                try:
                    channel().receive()
                except tasklets.TaskletExit:
                    say("refused")
        tasklet(stubborn)()
        run()
        """,
        0, "refused\n",
    )  # fmt: skip


def test_a_tasklet_that_spins_for_ever_does_not_hold_the_exit():
    check(
        """
        def spinning():
            while True:
                try:
                    schedule()
                except tasklets.TaskletExit:
                    say("refused")
        tasklet(spinning)()
        schedule()
        """,
        0, "refused\n",
    )  # fmt: skip


def test_a_tasklet_may_switch_and_finish_at_exit():
    check(
        """
        def work(name):
            try:
                pause()
            finally:
                for n in range(2):
                    schedule()
                    say(name, n)
        kept = [tasklet(work)(name) for name in "ab"]
        run()
        """,
        0, "a 0\nb 0\na 1\nb 1\n",
    )  # fmt: skip


def test_an_error_in_a_finally_block_at_exit_is_reported():
    status, output, errors = run_program(
        PRELUDE
        + dedent("""
        def work():
            try:
                pause()
            finally:
                raise KeyError("late")
        kept = tasklet(work)()
        run()
        """)
    )
    assert (status, output) == (0, "")
    assert "KeyError: 'late'" in errors  # from 3.15 with notes below


def test_a_generator_in_a_tasklet_is_closed_at_exit():
    check(
        """
        def generator():
            try:
                yield 1
            finally:
                say("generator finally")
        def work():
            g = generator()
            next(g)
            pause()
        kept = tasklet(work)()
        run()
        """,
        0, "generator finally\n",
    )  # fmt: skip


def test_with_blocks_are_left_at_exit():
    check(
        """
        class Block:
            def __enter__(self):
                say("enter")
            def __exit__(self, *error):
                say("exit", error[0].__name__)
        def work():
            with Block():
                pause()
        kept = tasklet(work)()
        run()
        """,
        0, "enter\nexit TaskletExit\n",
    )  # fmt: skip


def test_ten_thousand_tasklets_that_wait_do_not_slow_the_exit():
    check(
        """
        ch = channel()
        for n in range(10000):
            tasklet(ch.receive)()
        run()
        say(ch.balance)
        """,
        0, "-10000\n",
    )  # fmt: skip


# atexit.


def test_tasklets_may_be_used_in_atexit_functions():
    check(
        """
        def at_exit():
            ch = channel()
            tasklet(ch.send)("value")
            say(ch.receive())
            run()
        atexit.register(at_exit)
        tasklet(waiting)("blocked")
        run()
        """,
        0, "value\nblocked finally\n",
    )  # fmt: skip


def test_atexit_functions_registered_before_the_import_may_use_tasklets():
    status, output, errors = run_program("""
        import atexit
        def at_exit():
            try:
                ch = tasklets.channel()
                tasklets.tasklet(ch.send)("value")
                print(ch.receive())
                tasklets.run()
                t = tasklets.tasklet(print)("tasklet")
                tasklets.run()
            except RuntimeError:
                print("refused")
        atexit.register(at_exit)
        import tasklets
        tasklets.run()
        """)
    assert (status, errors) == (0, [])
    assert output in ("value\ntasklet\n", "refused\n")


def test_atexit_functions_may_be_registered_in_tasklets():
    check(
        """
        def work():
            atexit.register(lambda: (tasklet(say)("in a tasklet"), run()))
            atexit.register(say, "plainly")
        tasklet(work)()
        run()
        """,
        0, "plainly\nin a tasklet\n",
    )  # fmt: skip


def test_an_object_that_dies_last_may_use_tasklets():
    status, output, errors = run_program(
        PRELUDE
        + dedent("""
        class Last:
            def __del__(
                self, tasklet=tasklet, run=run, channel=channel, write=os.write
            ):
                try:
                    t = tasklet(write)(1, b"tasklet\\n")
                    run()
                    channel().try_receive()
                except RuntimeError:
                    write(1, b"refused\\n")
                write(1, b"del\\n")
        tasklets.keep = Last()
        sys.keep = Last()
        run()
        """)
    )
    assert (status, errors) == (0, [])
    assert output.count("del\n") == 2
    assert output.count("tasklet\n") + output.count("refused\n") == 2


# Threads at the end.


def test_tasklets_blocked_in_three_threads_end_with_the_program():
    status, output, errors = run_program(
        PRELUDE
        + dedent("""
        ready = threading.Barrier(4)
        def work(n):
            tasklet(waiting)(f"thread {n}")
            kept = tasklet(waiting)(f"thread {n}", pause)
            run()
            ready.wait()
        for n in range(3):
            threading.Thread(target=work, args=(n,)).start()
        tasklet(waiting)("main")
        run()
        ready.wait()
        """)
    )
    expected = [f"thread {n} finally" for n in range(3)] * 2 + ["main finally"]
    assert (status, errors) == (0, [])
    assert sorted(output.splitlines()) == sorted(expected)


def test_a_thread_whose_main_blocks_for_ever_gets_a_deadlock_at_exit():
    check(
        """
        def work():
            tasklet(waiting)("thread")
            run()
            try:
                channel().receive()
            except tasklets.DeadlockError:
                say("deadlock")
        threading.Thread(target=work).start()
        say("end of main")
        """,
        0, "end of main\ndeadlock\nthread finally\n",
    )  # fmt: skip


def test_two_threads_that_wait_for_each_other_get_a_deadlock_at_exit():
    status, output, errors = run_program(
        PRELUDE
        + dedent("""
        a, b = channel(), channel()
        def work(mine, other):
            try:
                mine.receive()
            except tasklets.DeadlockError:
                say("deadlock")
            other.try_send(1)
        threading.Thread(target=work, args=(a, b)).start()
        threading.Thread(target=work, args=(b, a)).start()
        """)
    )
    assert (status, errors) == (0, [])
    assert output in ("deadlock\n", "deadlock\ndeadlock\n")


def test_a_daemon_thread_with_blocked_tasklets_does_not_hold_the_exit():
    check(
        """
        ready = threading.Event()
        def work():
            tasklet(waiting)("daemon")
            run()
            ready.set()
            channel().receive()
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
        kept = tasklet(waiting)("main")
        run()
        atexit.register(time.sleep, 0.2)  # time to notice that main has ended
        say("end of main")
        """,
        0, "end of main\nmain finally\n",
    )  # fmt: skip


def test_a_daemon_thread_that_sleeps_does_not_hold_the_exit():
    check(
        """
        ready = threading.Event()
        def work():
            tasklet(pause)()
            run()
            ready.set()
            time.sleep(1000)
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
        say("end of main")
        """,
        0, "end of main\n",
    )  # fmt: skip


def test_a_daemon_thread_that_runs_tasklets_does_not_hold_the_exit():
    check(
        """
        ready = threading.Event()
        def spin():
            while True:
                schedule()
                ready.set()
        def work():
            ch = channel()
            tasklet(spin)()
            tasklet(spin)()
            tasklet(lambda: [ch.send(1) for _ in iter(int, 1)])()
            tasklet(lambda: [ch.receive() for _ in iter(int, 1)])()
            run()
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        ready.wait()
        kept = tasklet(waiting)("main")
        run()
        say("end of main")
        """,
        0, "end of main\nmain finally\n",
    )  # fmt: skip


def test_daemon_threads_that_talk_to_main_do_not_hold_the_exit():
    check(
        """
        ch = channel()
        def work():
            while True:
                ch.send(1)
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        for _ in range(100):
            ch.receive()
        say("end of main")
        """,
        0, "end of main\n",
    )  # fmt: skip


def test_a_daemon_thread_that_waits_for_main_does_not_hold_the_exit():
    check(
        """
        ch = channel()
        def work():
            tasklet(waiting)("daemon", ch.receive)
            tasklets.scheduler.run(threadblock=True)
        threading.Thread(target=work, daemon=True).start()
        while not ch.balance:
            time.sleep(0.001)
        say("end of main")
        """,
        0, "end of main\n",
    )  # fmt: skip


@pytest.mark.parametrize("daemon", [False, True])
def test_a_lock_of_a_tasklet_of_main_does_not_hold_a_thread_at_exit(daemon):
    told = "owner finally\nback\nend\n" if not daemon else "end\nowner finally\n"
    check(
        f"""
        condition = tasklets.locks.Condition()
        begun = threading.Event()
        def work():
            with condition:
                begun.set()
                condition.wait()
            if not {daemon}:
                say("back")
        def own():
            with condition:
                condition.notify()
                waiting("owner", pause)
        if not {daemon}:
            atexit.register(say, "end")
        threading.Thread(target=work, daemon={daemon}).start()
        begun.wait()
        owner = spawn(own)
        while not owner.paused:
            schedule()
        if {daemon}:
            atexit.register(say, "end")
        """,
        0, told,
    )  # fmt: skip


def test_tasklets_of_main_live_until_the_end_where_no_thread_is_waited_for():
    check(
        """
        def last():
            t.insert()
            run()
            say("last")
        t = spawn(lambda: (pause(), say("went on")))
        schedule()
        atexit.register(last)
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        """,
        0, "went on\nlast\n",
    )  # fmt: skip


def test_a_foreign_tasklet_held_at_exit_does_no_harm():
    check(
        """
        ready = threading.Event()
        box = []
        def work():
            box.append(tasklet(pause)())
            run()
            ready.set()
            time.sleep(1000)
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
        box[0].kill()
        say(box[0].alive)
        """,
        0, "True\n",
    )  # fmt: skip


# Signals.

READY = "ready\n"


def interrupt(program, signum=signal.SIGINT, times=1):
    """Run a program, and send it a signal each time it says that it is ready.

    The signal may come before the program waits, so it says so where that does no harm.
    """
    child = start(
        "-X", "faulthandler", "-c", PRELUDE + dedent(program),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    for _ in range(times):
        assert child.stdout.readline() == READY
        time.sleep(0.05)  # as a rule it waits by then
        child.send_signal(signum)
    status, output, errors = finish(child, SECONDS)
    return status, output, [e for e in errors.splitlines() if e[:1] not in ("", " ")]


WAITS = {
    "a channel": "channel().receive()",
    "a send": "channel().send(1)",
    "an iteration": "list(channel())",
    "run": "tasklets.scheduler.run(threadblock=True)",
    "join": "spawn(channel().receive).join()",
    "a result": "spawn(lambda: channel().receive()).result()",
    "a run of spinning tasklets": "tasklet(spin)(); run()",
    "a pause": "tasklet(spin)(); tasklets.schedule_remove()",
}

HELPER = """
def spin():
    while True:
        schedule()
        time.sleep(0.001)
# Another thread could still send: so there is no deadlock.
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
"""


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_ctrl_c_interrupts_main_in(wait):
    status, output, errors = interrupt(
        HELPER
        + f"""
kept = tasklet(waiting)("other", pause)
schedule()
try:
    say("ready")
    {wait}
except KeyboardInterrupt:
    say("interrupted")
"""
    )
    assert (status, output, errors) == (0, "interrupted\nother finally\n", [])


def test_an_uncaught_ctrl_c_ends_the_program_by_the_signal():
    status, output, errors = interrupt(
        HELPER
        + """
kept = tasklet(waiting)("other", pause)
schedule()
say("ready")
channel().receive()
"""
    )
    assert (status, output) == (-signal.SIGINT, "other finally\n")
    assert errors == [TRACEBACK, "KeyboardInterrupt"]


def test_ctrl_c_is_raised_in_the_running_tasklet_and_goes_to_main():
    status, output, errors = interrupt(
        """
        def work():
            try:
                say("ready")
                while True:
                    time.sleep(0.01)
            finally:
                say("finally")
        tasklet(work)()
        try:
            run()
        except KeyboardInterrupt:
            say("interrupted")
        """
    )
    assert (status, output, errors) == (0, "finally\ninterrupted\n", [])


def test_ctrl_c_reaches_main_while_the_last_tasklet_waits_for_another_thread():
    status, output, errors = interrupt(
        HELPER
        + """
kept = spawn(channel().receive)
schedule()
try:
    say("ready")
    tasklets.scheduler.run(threadblock=True)
except KeyboardInterrupt:
    say("interrupted")
say(kept.alive)
kept.kill()
"""
    )
    assert (status, output, errors) == (0, "interrupted\nTrue\n", [])


def test_ctrl_c_wakes_main_that_waits_for_a_busy_thread():
    status, output, errors = interrupt(
        """
        def work():
            while not stop:
                pass
        stop = []
        threading.Thread(target=work).start()
        try:
            say("ready")
            channel().receive()
        except KeyboardInterrupt:
            say("interrupted")
        stop.append(1)
        """
    )
    assert (status, output, errors) == (0, "interrupted\n", [])


def test_a_signal_handler_may_send_to_a_blocked_main():
    status, output, errors = interrupt(
        HELPER
        + """
ch = channel()
def handler(signum, frame):
    ch.try_send("value")
signal.signal(signal.SIGUSR1, handler)
say("ready")
say(ch.receive())
""",
        signal.SIGUSR1,
    )
    assert (status, output, errors) == (0, "value\n", [])


def test_a_signal_handler_may_insert_a_tasklet():
    status, output, errors = interrupt(
        HELPER
        + """
ch = channel()
t = tasklet(ch.send, ("value",))
signal.signal(signal.SIGUSR1, lambda *args: t.insert())
say("ready")
say(ch.receive())
run()
""",
        signal.SIGUSR1,
    )
    assert (status, output, errors) == (0, "value\n", [])


def test_a_signal_whose_handler_does_nothing_leaves_main_waiting():
    status, output, errors = interrupt(
        """
        ch = channel()
        handled = threading.Semaphore(0)
        def work():
            for _ in range(3):
                handled.acquire()
            ch.send("value")
        threading.Thread(target=work).start()
        def handler(*args):
            # Not before it was handled is the next one sent: two could become one.
            handled.release()
            say("ready")
        signal.signal(signal.SIGUSR1, handler)
        say("ready")
        say(ch.receive())
        """,
        signal.SIGUSR1,
        times=3,
    )
    assert (status, output, errors) == (0, "ready\nvalue\n", [])


def test_an_error_in_a_signal_handler_is_raised_by_the_blocked_operation():
    status, output, errors = interrupt(
        HELPER
        + """
def handler(*args):
    raise KeyError("handler")
signal.signal(signal.SIGUSR1, handler)
ch = channel()
try:
    say("ready")
    ch.receive()
except KeyError as error:
    say(error.args[0], ch.balance)
tasklet(ch.send)("value")
say(ch.receive())
""",
        signal.SIGUSR1,
    )
    assert (status, output, errors) == (0, "handler 0\nvalue\n", [])


def test_a_wakeup_descriptor_of_the_program_still_gets_its_signals():
    status, output, errors = interrupt(
        HELPER
        + """
import socket
a, b = socket.socketpair()
a.setblocking(False)
b.settimeout(10)
signal.set_wakeup_fd(a.fileno())
main = getcurrent()
signal.signal(signal.SIGUSR1, lambda *args: main.throw(KeyError, pending=True))
try:
    say("ready")
    channel().receive()
except KeyError:
    say(b.recv(10) == bytes([signal.SIGUSR1]))
say(signal.set_wakeup_fd(-1) == a.fileno())
""",
        signal.SIGUSR1,
    )
    assert (status, output, errors) == (0, "True\nTrue\n", [])


def test_a_signal_that_another_thread_receives_is_seen_beside_a_wakeup_descriptor():
    check(
        """
        import socket
        done = threading.Event()
        def work():
            getcurrent()  # now this thread would tell of its end
            time.sleep(0.1)  # main has begun to wait
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
            say("in time" if done.wait(60) else "too late")
        a, b = socket.socketpair()
        a.setblocking(False)
        signal.set_wakeup_fd(a.fileno())
        main = getcurrent()
        signal.signal(signal.SIGUSR1, lambda *args: main.throw(KeyError, pending=True))
        thread = threading.Thread(target=work)
        thread.start()
        try:
            channel().receive()
        except KeyError:
            done.set()
        thread.join()
        """,
        0, "in time\n",
    )  # fmt: skip


def test_sigterm_ends_the_program_at_once():
    status, output, errors = interrupt(
        HELPER + "say('ready')\nchannel().receive()\n", signal.SIGTERM
    )
    assert (status, output, errors) == (-signal.SIGTERM, "", [])


def test_a_broken_pipe_in_a_tasklet_is_an_error_like_any_other():
    check(
        """
        def work():
            r, w = os.pipe()
            os.close(r)
            os.write(w, b"x")
        tasklet(work)()
        try:
            run()
        except BrokenPipeError:
            say("broken")
        """,
        0, "broken\n",
    )  # fmt: skip


# fork.

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads

def fork(child):
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            sys.stdout.flush()
            os._exit(0)
    say("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@needs_fork
def test_the_child_of_a_fork_in_a_tasklet_goes_on_in_it():
    check(
        FORK
        + """
def child():
    ch = channel()
    tasklet(ch.send)("child works")
    say(ch.receive())
    run()

def work():
    schedule()
    fork(child)
    schedule()
    say("parent goes on")

tasklet(work)()
tasklet(schedule)()
run()
""",
        0, "child works\nchild 0\nparent goes on\n",
    )  # fmt: skip


@needs_fork
def test_the_child_of_a_fork_has_all_tasklets_of_its_thread():
    check(
        FORK
        + """
ch = channel()
def receiver(name):
    say(name, ch.receive())

for name in "ab":
    tasklet(receiver)(name)
run()
fork(lambda: (ch.send(1), ch.send(2)))
ch.send(3)
ch.send(4)
""",
        0, "a 1\nb 2\nchild 0\na 3\nb 4\n",
    )  # fmt: skip


@needs_fork
def test_a_child_that_ends_normally_runs_its_finally_blocks():
    check(
        """
        kept = tasklet(waiting)("blocked")
        run()
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            say("parent")
        else:
            say("child")
        """,
        0, "child\nblocked finally\nparent\nblocked finally\n",
    )  # fmt: skip


@needs_fork
def test_the_child_of_a_fork_knows_that_the_other_threads_are_gone():
    check(
        FORK
        + """
ch, ready, done = channel(), threading.Event(), threading.Event()
box = []
def work():
    box.append(tasklet(ch.receive)())
    run()
    ready.set()
    done.wait()
    ch.queue and ch.queue.kill()
    run()

thread = threading.Thread(target=work)
thread.start()
ready.wait()

def child():
    say(len(tasklets.getthreads()), box[0].alive, ch.balance)
    try:
        channel().receive()
    except tasklets.DeadlockError:
        say("deadlock")

fork(child)
say(box[0].alive, ch.balance)
done.set()
thread.join()
""",
        0, "1 False 0\ndeadlock\nchild 0\nTrue -1\n",
    )  # fmt: skip


@needs_fork
def test_the_child_of_a_fork_in_a_thread_goes_on_as_its_main_thread():
    check(
        FORK
        + """
def child():
    ch = channel()
    tasklet(ch.send)("child works")
    say(ch.receive())
    run()

def work():
    tasklet(lambda: fork(child))()
    run()

tasklet(pause)()
run()
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
        0, "child works\nchild 0\n",
    )  # fmt: skip


@needs_fork
def test_the_child_of_a_fork_may_start_threads_that_talk():
    check(
        FORK
        + """
def child():
    ch = channel()
    thread = threading.Thread(target=ch.send, args=("from a new thread",))
    thread.start()
    say(ch.receive())
    thread.join()

ch = channel()
thread = threading.Thread(target=ch.receive)
thread.start()
while not ch.balance:
    time.sleep(0.001)
fork(child)
ch.send(1)
thread.join()
""",
        0, "from a new thread\nchild 0\n",
    )  # fmt: skip


@needs_fork
def test_a_fork_in_a_done_callback_a_handler_and_a_finalizer_works():
    check(
        FORK
        + """
def child():
    tasklet(say)("child")
    run()

class Last:
    def __del__(self):
        fork(child)

t = spawn(int)
t.add_done_callback(lambda t: fork(child))
run()
tasklets.set_error_handler(lambda *error: fork(child))
tasklet(lambda: 1 / 0)()
run()
tasklet(lambda last: None)(Last())
run()
""",
        0, "child\nchild 0\n" * 3,
    )  # fmt: skip


@needs_fork
def test_ctrl_c_interrupts_the_child_of_a_fork():
    check(
        FORK
        + """
def child():
    def interrupt():
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        channel().receive()
    except KeyboardInterrupt:
        say("interrupted")
        os._exit(0)

fork(child)
""",
        0, "interrupted\nchild 0\n",
    )  # fmt: skip


# Other ways to begin and end.


def test_a_program_may_import_the_package_in_a_thread_first():
    status, output, errors = run_program("""
        import threading
        def work():
            import tasklets
            tasklets.tasklet(print)("thread")
            tasklets.run()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        import tasklets
        tasklets.tasklet(print)("main")
        tasklets.run()
        """)
    assert (status, output, errors) == (0, "thread\nmain\n", [])


def test_a_program_that_only_imports_ends_quietly():
    assert run_program("import tasklets") == (0, "", [])


def test_the_core_can_be_dropped_from_sys_modules_and_imported_again():
    status, output, errors = run_program("""
        import sys
        import tasklets
        kept = tasklets.tasklet(tasklets.schedule_remove)(None)
        tasklets.run()
        for name in [n for n in sys.modules if n.split(".")[0] == "tasklets"]:
            del sys.modules[name]
        del tasklets
        try:
            import tasklets
        except ImportError:
            print("refused")
        else:
            tasklets.tasklet(print)("again")
            tasklets.run()
        """)
    assert (status, errors) == (0, [])
    assert output in ("again\n", "refused\n")


def test_a_sub_interpreter_cannot_import_the_core():
    name = "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters"
    status, output, errors = run_program(f"""
        import tasklets
        interpreters = __import__("{name}")
        ident = interpreters.create()
        try:
            error = interpreters.run_string(ident, "import tasklets")
        except Exception as caught:
            error = caught
        print("ImportError" in str(error) or "ImportError" in repr(error)
              or "main interpreter" in str(error))
        interpreters.destroy(ident)
        tasklets.tasklet(print)("main works")
        tasklets.run()
        """)
    assert (status, output, errors) == (0, "True\nmain works\n", [])


def test_a_program_may_end_inside_a_nested_greenlet():
    check(
        """
        import greenlet
        def inner():
            tasklet(waiting)("blocked")
            run()
            sys.exit(6)
        greenlet.greenlet(inner).switch()
        """,
        6, "blocked finally\n",
    )  # fmt: skip


def test_a_program_may_end_inside_a_switch_trap():
    check(
        """
        kept = tasklet(waiting)("blocked")
        run()
        tasklets.switch_trap(1)
        """,
        0, "blocked finally\n",
    )  # fmt: skip


def test_a_program_may_end_with_callbacks_set():
    check(
        """
        def callback(*args):
            pass
        tasklets.set_schedule_callback(callback)
        tasklets.set_channel_callback(callback)
        tasklets.set_error_handler(callback)
        kept = tasklet(waiting)("blocked")
        run()
        """,
        0, "blocked finally\n",
    )  # fmt: skip


def test_exec_in_a_tasklet_replaces_the_program():
    check(
        """
        kept = tasklet(waiting)("blocked")
        tasklet(os.execv)(sys.executable, [sys.executable, "-c", "print('new')"])
        run()
        """,
        0, "new\n",
    )  # fmt: skip
