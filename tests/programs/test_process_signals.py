"""Whole programs that get signals, or fork."""

import os
import signal
import subprocess
import time
from textwrap import dedent

import pytest
from children import finish, start
from program_ends import PRELUDE, SECONDS, TRACEBACK, check

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
        time.sleep(0.05)  # normally it waits by then
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
