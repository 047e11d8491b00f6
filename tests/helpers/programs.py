"""Whole programs that wait for something, while something else happens."""

import os
import textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from children import forks_beside_threads, run_program

SECONDS = 90  # each ends in a fraction of one, on an idle machine

# Then a program has `waits`: what main waits in, and how a tasklet ends that.
PRELUDE = """
import os, signal, sys, threading, time, warnings
from tasklets import atomic, channel, run, schedule, scheduler, sleep, spawn, tasklet
from tasklets.workers import call_on_worker

warnings.simplefilter("ignore")

class Spot:
    # One waits, another one ends that.
    def __init__(self): self.ch = channel()
    def wait(self): self.ch.receive()
    def end(self): self.ch.send(None)

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

# For each: what happens, the exit status and the output.
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
                spawn(Spot().wait)
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
        other = Spot()
        def work():
            other.wait()
            say("woken")
            end()
        def live():
            time.sleep(0.1)
            other.end()
        spawn(work)
        keep = later(sleep, 0.3)
        threading.Thread(target=live).start()
        waits.wait()
        say("end")
        """,
        0,
        "woken\nend\n",
    ),
    "a fork": (
        """
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
        """,
        0,
        "child\nchild ended with 7\nend\n",
    ),
}


def every_event(events):
    """Return the parameters of a test that is run for each."""
    return pytest.mark.parametrize(
        "event",
        [
            pytest.param(name, marks=forks_beside_threads if "os.fork" in text else ())
            for name, (text, *_) in events.items()
        ],
    )


def written(*parts):
    """Return the program of these parts."""
    return "\n".join(textwrap.dedent(part) for part in parts)


def run_all(request, write):
    """Run the programs of a module's tests, several at once, and return the outcomes.

    For a fixture of that module. write: returns the program for the arguments that a
    test is parametrized with; the outcome is found under these.
    """
    cases = [i.callspec.params for i in request.session.items if i.path == request.path]
    programs = {tuple(case.values()): write(**case) for case in cases}
    with ThreadPoolExecutor((os.cpu_count() or 1) + 2) as pool:
        found = pool.map(partial(run_program, seconds=SECONDS), programs.values())
        return dict(zip(programs, found, strict=True))


def check_outcome(request, outcomes, events):
    """Check the outcome for the test that runs, with the event among its parameters."""
    case = tuple(request.node.callspec.params.values())
    _, status, output = events[request.node.callspec.params["event"]]
    found, printed, errors = outcomes[case]
    assert (found, printed) == (status, output), (found, printed, errors)
    # Only the interruption that nobody catches is reported. A note may follow: which
    # tasklet it has left.
    errors = [line for line in errors if not line.startswith("in tasklet ")]
    assert errors[-1:] == (["KeyboardInterrupt"] if status == -2 else []), errors
