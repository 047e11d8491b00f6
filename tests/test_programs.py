"""Whole programs: what main waits in, and what happens meanwhile."""

import pytest
from children import forks_beside_threads, run_program

SECONDS = 20  # each ends in a fraction of one

PRELUDE = """
import os, signal, sys, threading, time, warnings
from tasklets import atomic, channel, run, schedule, scheduler, sleep, spawn, tasklet
from tasklets.workers import call_on_worker

warnings.simplefilter("ignore")
done = channel()

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def end():
    # What main waits for comes.
    waits.end()

def later(work, *args):
    def run_later():
        sleep(0.05)
        work(*args)
    return tasklet(run_later)()
"""

# For each: how main waits, and how a tasklet ends that.
WAITS = {
    "channel": """
        class waits:
            def wait(): done.receive()
            def end(): done.send(None)
    """,
    "sleep": """
        class waits:
            def wait(): sleep(0.5)
            def end(): pass
    """,
    "join": """
        class waits:
            task = spawn(done.receive)
            def wait(): waits.task.join()
            def end(): done.send(None)
    """,
    "worker": """
        class waits:
            def wait(): call_on_worker(time.sleep, 0.5)
            def end(): pass
    """,
    "run": """
        class waits:
            def wait(): scheduler.run(wait=True)
            def end(): pass
    """,
    "forever": """
        class waits:
            def wait(): scheduler.run_forever()
            def end(): scheduler.stop()
    """,
}

# For each: what happens, the exit status and the output. None: an error's status.
EVENTS = {
    "Ctrl-C": (
        """
        def work():
            os.kill(os.getpid(), signal.SIGINT)
            sleep(5)
        later(work)
        try:
            waits.wait()
            say("not interrupted")
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(4)
        """,
        4,
        "interrupted\n",
    ),
    "Ctrl-C uncaught": (
        """
        def work():
            os.kill(os.getpid(), signal.SIGINT)
            sleep(5)
        later(work)
        waits.wait()
        """,
        -2,
        "",
    ),
    "exit in a tasklet": (
        """
        later(sys.exit, 3)
        waits.wait()
        say("not ended")
        """,
        3,
        "",
    ),
    "error in a tasklet": (
        """
        def fail():
            raise KeyError("here")
        later(fail)
        try:
            waits.wait()
            say("no error")
        except KeyError as error:
            say("caught", error)
        """,
        0,
        "caught 'here'\n",
    ),
    "threads with blocked tasklets": (
        """
        def live():
            for _ in range(3):
                spawn(channel().receive)
                spawn(sleep, 30)
            run()
            ready.release()
        ready = threading.Semaphore(0)
        threads = [threading.Thread(target=live) for _ in range(3)]
        for thread in threads: thread.start()
        for _ in threads: ready.acquire()
        later(end)
        waits.wait()
        say("end")
        """,
        0,
        "end\n",
    ),
    "daemon in a section": (
        """
        def live():
            with atomic():
                inside.set()
                time.sleep(30)
        inside = threading.Event()
        threading.Thread(target=live, daemon=True).start()
        inside.wait()
        later(end)
        waits.wait()
        say("end")
        """,
        0,
        "end\n",
    ),
    "a plain thread wakes a tasklet": (
        """
        ch = channel()
        def work():
            say("got", ch.receive())
            end()
        def live():
            time.sleep(0.1)
            ch.send("value")
        spawn(work)
        keep = later(sleep, 0.3)
        threading.Thread(target=live).start()
        waits.wait()
        say("end")
        """,
        0,
        "got value\nend\n",
    ),
}

FORK = """
def work():
    child = os.fork()
    if child == 0:
        say("child")
        sys.exit(7)
    say("child ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    end()
later(work)
waits.wait()
say("end")
"""

every_wait = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)


def check(wait, event):
    program = "\n".join([PRELUDE, *(undent(part) for part in (wait, event))])
    status, output, errors = run_program(program, seconds=SECONDS)
    return status, output, errors


def undent(text):
    lines = text.splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[margin:] for line in lines)


@every_wait
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_a_program_ends_as_it_should(wait, event):
    source, status, output = event
    found, printed, errors = check(wait, source)
    assert (found, printed) == (status, output), errors
    # Only the interruption that nobody catches is reported.
    assert errors[-1:] == (["KeyboardInterrupt"] if status == -2 else [])


@forks_beside_threads
@every_wait
def test_a_fork_in_a_tasklet(wait):
    found, printed, errors = check(wait, FORK)
    expected = "child\nchild ended with 7\nend\n"
    assert (found, printed, errors) == (0, expected, [])
