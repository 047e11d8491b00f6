"""Whole programs whose main waits in a lock: what happens during that."""

import pytest
from programs import EVENTS, PRELUDE, check_outcome, every_event, run_all, written

# Where the locks come from.
SOURCES = {
    "tasklets": """
        from tasklets.locks import Condition, Lock
        from tasklets.queues import Queue
    """,
    "patched": """
        from stacklesslib_compat.monkeypatch import patch_locks
        patch_locks()
        from threading import Condition, Lock
        from queue import Queue
    """,
}

# What main waits in, and how another one ends that.
WAITS = {
    "lock": """
        class Spot:
            def __init__(self): self.lock = Lock(); self.lock.acquire()
            def wait(self): self.lock.acquire()
            def end(self): self.lock.release()
        waits = Spot()
    """,
    "condition": """
        class Spot:
            def __init__(self): self.condition, self.ended = Condition(), False
            def wait(self):
                with self.condition: self.condition.wait_for(lambda: self.ended)
            def end(self):
                with self.condition:
                    self.ended = True
                    self.condition.notify()
        waits = Spot()
    """,
    "queue": """
        class Spot:
            def __init__(self): self.queue = Queue()
            def wait(self): self.queue.get()
            def end(self): self.queue.put(None)
        waits = Spot()
    """,
}

# What happens without any tasklet, so that nobody at all can run.
ALONE = {
    "Ctrl-C, alone": (
        """
        interrupt = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        try:
            interrupt.start()
            waits.wait()
            say("not interrupted")
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(4)
        """,
        4,
        "interrupted\n",
    ),
    "a signal handler, alone": (
        """
        signal.signal(signal.SIGALRM, lambda *args: end())
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        waits.wait()
        say("end")
        """,
        0,
        "end\n",
    ),
    "a plain thread, alone": (
        """
        threading.Timer(0.1, end).start()
        waits.wait()
        say("end", scheduler.statistics()["threads"])
        """,
        0,
        "end 1\n",
    ),
    "the same after a signal": (
        """
        signal.signal(signal.SIGALRM, lambda *args: say("signal"))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        threading.Timer(0.2, end).start()
        waits.wait()
        say("end")
        """,
        0,
        "signal\nend\n",
    ),
    "a fork with the wait taken over": (
        """
        def work():
            child = os.fork()
            end()
            if child:
                os.waitpid(child, 0)
        later(work)
        waits.wait()
        say("end")
        """,
        0,
        "end\nend\n",
    ),
}

ALL = EVENTS | ALONE


@pytest.fixture(scope="module")
def outcomes(request):
    """Run all of these programs."""

    def write(source, wait, event):
        return written(SOURCES[source], PRELUDE, WAITS[wait], ALL[event][0])

    return run_all(request, write)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("wait", WAITS)
@every_event(ALL)
def test_a_program_ends_as_it_should(request, outcomes, source, wait, event):
    check_outcome(request, outcomes, ALL)
