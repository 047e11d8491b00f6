"""Callbacks that run soon or at a time: call_soon(), call_later(), and from threads."""

import contextvars
import gc
import math
import pickle
import threading
import weakref

import pytest
from children import run_program

from tasklets import channel, getcurrent, run, schedule, scheduler, sleep, tasklet
from tasklets._core import fake_clock

LATE = 30


@pytest.fixture
def clock():
    """Let no time pass but what the tests say."""
    fake_clock(1000)
    yield
    while scheduler.pending():
        scheduler.run(wait=True)
    fake_clock(None)


def test_callbacks_run_in_turn_in_tasklets_of_their_own(log):
    tasklet(log.append)("first")
    scheduler.call_soon(log.append, "second")
    scheduler.call_soon(lambda: log.append(getcurrent().is_main))
    assert not log
    run()
    assert log == ["first", "second", False]


def test_a_callback_may_wait(log):
    ch = channel()
    scheduler.call_soon(lambda: log.append(ch.receive()))
    run()
    ch.send("value")
    run()
    assert log == ["value"]


def test_a_callbacks_error_goes_to_run():
    scheduler.call_soon(int, "x")
    with pytest.raises(ValueError, match="invalid literal"):
        run()


def test_a_callback_has_a_copy_of_the_context(log):
    variable = contextvars.ContextVar("variable")
    variable.set("caller")
    scheduler.call_soon(lambda: (log.append(variable.get()), variable.set("callback")))
    variable.set("later")
    run()
    assert log == ["caller"]
    assert variable.get() == "later"


@pytest.mark.usefixtures("clock")
def test_callbacks_come_at_their_time(log):
    for delay in (3, 1, 2, 1):
        scheduler.call_later(delay, log.append, delay)
    run()
    assert not log
    assert scheduler.pending() == 4
    assert scheduler.next_deadline() == 1001
    scheduler.run(wait=True)
    assert log == [1, 1, 2, 3]
    assert scheduler.pending() == 0


@pytest.mark.usefixtures("clock")
def test_no_delay_is_soon(log):
    for delay in (0, -1):
        handle = scheduler.call_later(delay, log.append, delay)
        assert handle.when() is None
    run()
    assert log == [0, -1]


@pytest.mark.usefixtures("clock")
def test_a_callback_can_be_cancelled(log):
    later = scheduler.call_later(5, log.append, "later")
    soon = scheduler.call_soon(log.append, "soon")
    assert (later.when(), soon.when()) == (1005, None)
    for handle in (later, soon):
        assert not handle.cancelled()
        handle.cancel()
        handle.cancel()
        assert handle.cancelled()
        assert "cancelled" in repr(handle)
    assert scheduler.pending() == 0
    scheduler.run(wait=True)
    assert not log


def test_a_callback_that_has_begun_is_not_cancelled(log):
    def work():
        handle.cancel()
        schedule()
        log.append("done")

    handle = scheduler.call_soon(work)
    run()
    handle.cancel()
    assert not handle.cancelled()
    assert log == ["done"]
    assert "ended" in repr(handle)


def test_a_handle_need_not_be_kept(log):
    scheduler.call_later(0.001, log.append, 1)
    scheduler.call_soon(log.append, 2)
    gc.collect()
    scheduler.run(wait=True)
    assert log == [2, 1]


def test_a_cancelled_callback_releases_its_arguments():
    class Thing:
        pass

    for start in (scheduler.call_soon, lambda *a: scheduler.call_later(LATE, *a)):
        thing = Thing()
        seen = weakref.ref(thing)
        handle = start(id, thing)
        del thing
        assert seen() is not None
        handle.cancel()
        assert seen() is None


def test_from_another_thread(log):
    def work():
        scheduler.call_soon_threadsafe(log.append, "called")
        scheduler.call_soon_threadsafe(scheduler.stop, thread=main)

    main = threading.main_thread()
    thread = threading.Timer(0.02, work)
    thread.start()
    scheduler.run_forever()
    thread.join()
    assert log == ["called"]


def test_for_another_thread(log):
    def serve():
        sleep(0)
        ready.set()
        scheduler.run_forever()

    ready = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    ident = thread.ident
    note = threading.get_ident
    scheduler.call_soon_threadsafe(lambda: log.append(note()), thread=thread)
    cancelled = scheduler.call_soon_threadsafe(log.append, "no", thread=ident)
    cancelled.cancel()
    scheduler.call_soon_threadsafe(scheduler.stop, thread=ident)
    thread.join(LATE)
    assert not thread.is_alive()
    assert log == [ident] or (log == [ident, "no"] and not cancelled.cancelled())


def test_a_thread_that_ends_forgets_its_callbacks(log):
    def work():
        handles.append(scheduler.call_later(LATE, log.append, "later"))
        handles.append(scheduler.call_soon(log.append, "soon"))

    handles = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    run()
    assert not log
    for handle in handles:
        handle.cancel()


def test_many_threads_call(log):
    def work(number):
        for each in range(200):
            scheduler.call_soon_threadsafe(log.append, (number, each))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while len(log) < 800:
        sleep(0.001)
    for thread in threads:
        thread.join()
    for number in range(4):
        assert [each for who, each in log if who == number] == list(range(200))


def test_a_refusal_says_what_is_wrong():
    for call in (
        lambda: scheduler.call_soon(),
        lambda: scheduler.call_soon(1),
        lambda: scheduler.call_later(),
        lambda: scheduler.call_later(1),
        lambda: scheduler.call_later("1", int),
        lambda: scheduler.call_soon_threadsafe(int, other=1),
        lambda: scheduler.call_soon_threadsafe(int, thread="main"),
        lambda: scheduler.Handle(),
        lambda: pickle.dumps(scheduler.call_soon(int)),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="NaN"):
        scheduler.call_later(math.nan, int)
    with pytest.raises(RuntimeError, match="no scheduler"):
        scheduler.call_soon_threadsafe(int, thread=1)
    run()


def test_callbacks_that_never_came_are_no_trouble_at_exit():
    status, output, errors = run_program(
        """
        from tasklets import scheduler
        scheduler.call_later(100, print, "later")
        scheduler.call_soon(print, "soon")
        print("end")
        """
    )
    assert (status, output) == (0, "end\n")
    assert errors == [
        "tasklets:1: RuntimeWarning: 1 tasklet never ran before the program ended"
    ]
