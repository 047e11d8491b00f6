"""Calls in the scheduler of another thread."""

import contextvars
import threading
import traceback

import pytest
from pools import fail, started, yield_until
from threads import SECONDS

import tasklets
from tasklets import (
    CancelledError,
    channel,
    getcurrent,
)
from tasklets.workers import (
    call_in_scheduler,
)


class Serving:
    """A thread whose tasklets run until the end of a with block."""

    def __enter__(self):
        self.end = channel()
        self.thread = threading.Thread(target=self.end.receive)
        self.thread.start()
        yield_until(lambda: self.end.balance < 0)
        return self.thread

    def __exit__(self, *error):
        self.end.send(None)
        self.thread.join()


def test_a_call_runs_as_a_tasklet_of_the_other_thread():
    with Serving() as thread:
        for which in (thread, thread.ident):
            assert call_in_scheduler(which, threading.get_ident) == thread.ident
        assert call_in_scheduler(thread, lambda: getcurrent().is_main) is False
        assert call_in_scheduler(thread, dict, a=1, thread=2) == {"a": 1, "thread": 2}


def test_a_call_in_the_own_scheduler_works():
    assert call_in_scheduler(threading.get_ident(), lambda: 5) == 5


def test_it_may_wait_there_while_both_threads_go_on():
    with Serving() as thread:
        ch = channel()
        t = started(call_in_scheduler, thread, ch.receive)
        assert t.blocked
        assert call_in_scheduler(thread, lambda: 5) == 5
        ch.send("value")
        assert t.result() == "value"


def test_an_exception_in_the_other_scheduler_comes_back():
    with Serving() as thread:
        with pytest.raises(KeyError, match="why") as caught:
            call_in_scheduler(thread, fail, "why")
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert frames[-1].name == "fail"
        assert call_in_scheduler(thread, int) == 0


def test_a_call_that_is_killed_there_is_cancelled():
    with Serving() as thread:
        with pytest.raises(CancelledError, match="killed"):
            call_in_scheduler(thread, lambda: getcurrent().kill())


def test_a_call_in_a_thread_that_ends_is_cancelled():
    with Serving() as thread:
        never = channel()
        t = started(call_in_scheduler, thread, never.receive)
        outcome = started(t.exception)
    assert isinstance(outcome.result(), CancelledError)


def test_a_plain_thread_may_call_a_scheduler():
    found = []
    here = threading.get_ident()
    thread = threading.Thread(
        target=lambda: found.append(call_in_scheduler(here, threading.get_ident))
    )
    thread.start()
    yield_until(lambda: found)
    thread.join()
    assert found == [here]


def test_a_worker_may_call_back(one):
    here = threading.get_ident()
    assert one.call(call_in_scheduler, here, threading.get_ident) == here


def test_a_call_there_may_take_too_long_and_its_outcome_is_dropped():
    with Serving() as thread:
        ch = channel()

        def work():
            ch.receive()
            raise KeyError

        with pytest.raises(TimeoutError):
            call_in_scheduler(thread, work, timeout=0.01)
        ch.send(None)
        assert call_in_scheduler(thread, int, timeout=SECONDS) == 0


def test_a_killed_caller_leaves_the_call_running():
    with Serving() as thread:
        ch, ran = channel(), []
        t = started(call_in_scheduler, thread, lambda: ran.append(ch.receive()))
        yield_until(lambda: ch.balance < 0)
        t.kill()
        ch.send(1)
        call_in_scheduler(thread, int)
    assert ran == [1]


def test_a_call_there_sees_a_copy_of_the_callers_context():
    var = contextvars.ContextVar("var")
    var.set("mine")

    def work():
        found = var.get()
        var.set("theirs")
        return found

    with Serving() as thread:
        assert call_in_scheduler(thread, work) == "mine"
    assert var.get() == "mine"


def test_a_thread_that_is_none_is_refused():
    ended = threading.Thread(target=tasklets.getcurrent)
    ended.start()
    ended.join()
    for bad in (ended, ended.ident, 0, -1, 5, 2**100, threading.Thread()):
        with pytest.raises(ValueError, match="thread|started"):
            call_in_scheduler(bad, int)
    for bad in ("x", None, 1.5, True):
        with pytest.raises(TypeError, match="a Thread or a thread's ident"):
            call_in_scheduler(bad, int)
    with pytest.raises(TypeError, match="callable"):
        call_in_scheduler(threading.get_ident(), 5)


def test_a_thread_without_tasklets_is_refused(gate):
    thread = threading.Thread(target=gate.wait)
    thread.start()
    with pytest.raises(ValueError, match="does not use tasklets"):
        call_in_scheduler(thread, int)
    gate.set()
    thread.join()
