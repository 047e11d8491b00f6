"""What dies with its last reference, when, and what its finally blocks see."""

import gc
import sys
import threading
import weakref

import pytest
from garbage import Thing, pause

import tasklets
from tasklets import TaskletExit, channel, getcurrent, run, schedule, spawn, tasklet


@pytest.fixture
def no_collector():
    """Switch the cyclic collector off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# With the cyclic collector off, what a tasklet had in its frames dies with it.


def in_frame(refs, end):
    thing = Thing()
    refs.append(weakref.ref(thing))
    deeper(refs, end)


def deeper(refs, end):
    thing = Thing()
    refs.append(weakref.ref(thing))
    end()


def fail():
    raise KeyError


def fail_with_context():
    try:
        raise KeyError
    except KeyError as error:
        raise ValueError from error


def kill_myself():
    getcurrent().kill()


ENDS = {
    "returns": int,
    "fails": fail,
    "fails twice": fail_with_context,
    "is killed by itself": kill_myself,
    "exits": lambda: sys.exit(1),
    "overflows": lambda: recurse(),
}


def recurse():
    recurse()


def caught_run():
    """Run, and catch whatever comes as if it were handled and done with."""
    try:
        run()
    except BaseException:
        pass


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("make", [lambda *a: tasklet(in_frame)(*a),
                                  lambda *a: spawn(in_frame, *a)])  # fmt: skip
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_objects_in_frames_die_with_a_tasklet_that(make, end):
    refs = []
    t = make(refs, end)
    caught_run()
    assert not t.alive
    del t
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("wait", [pause, schedule, lambda: channel().receive()])
def test_objects_in_frames_die_with_a_killed_tasklet(wait, pending):
    refs = []
    t = tasklet(in_frame)(refs, wait)
    schedule()
    t.kill(pending=pending)
    run()
    assert not t.alive
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.usefixtures("no_collector")
def test_objects_in_frames_die_with_a_tasklet_that_gets_an_error():
    refs = []
    t = tasklet(in_frame)(refs, pause)
    run()
    with pytest.raises(KeyError):
        t.throw(KeyError)
    # pytest.raises() has kept the error, whose traceback has the frames.
    del t
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.usefixtures("no_collector")
def test_objects_in_frames_die_when_the_error_handler_is_done():
    refs = []
    tasklets.set_error_handler(lambda kind, value, tb: None)
    tasklet(in_frame)(refs, fail)
    run()
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.usefixtures("no_collector")
def test_objects_in_frames_die_when_the_waiter_has_handled_the_error():
    def wait():
        try:
            t.result()  # noqa: F821 - deleted below, for its own sake
        except KeyError:
            pass

    refs = []
    t = spawn(in_frame, refs, fail)
    wait()
    del t
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.usefixtures("no_collector")
def test_objects_in_frames_die_when_a_tasklet_has_handled_the_error(log):
    def work():
        try:
            in_frame(log, fail)
        except KeyError:
            schedule()
        pause()

    t = tasklet(work)()
    run()
    assert [ref() for ref in log] == [None, None]
    t.kill()


@pytest.mark.usefixtures("no_collector")
def test_an_error_dies_when_it_is_handled():
    refs = []

    class Error(Exception):
        def __init__(self):
            refs.append(weakref.ref(self))

    def work():
        raise Error

    t = tasklet(work)()
    caught_run()
    assert refs[0]() is None
    assert not t.alive


@pytest.mark.usefixtures("no_collector")
def test_a_sent_error_dies_when_it_is_handled():
    class Error(Exception):
        pass

    def receive(ch):
        try:
            ch.receive()
        except Error:
            pass

    ch, error = channel(), Error()
    ref = weakref.ref(error)
    tasklet(ch.send_throw)(error)
    del error
    receive(ch)
    run()
    assert ref() is None


@pytest.mark.usefixtures("no_collector")
def test_a_thrown_error_that_nobody_gets_dies_at_once():
    error = KeyError()
    thing = error.thing = Thing()
    ref = weakref.ref(thing)
    t = tasklet(int, ())
    t.throw(error, pending=True)
    t.remove()
    del error, thing
    t.bind(int)
    assert ref() is None


@pytest.mark.usefixtures("no_collector")
def test_a_finished_tasklet_releases_its_function_and_arguments():
    class Work:
        def __call__(self, thing, *, other):
            pass

    work, thing, other = Work(), Thing(), Thing()
    refs = [weakref.ref(x) for x in (work, thing, other)]
    t = tasklet(work)(thing, other=other)
    del work, thing, other
    run()
    assert [ref() for ref in refs] == [None, None, None]
    assert not t.alive


@pytest.mark.usefixtures("no_collector")
def test_a_tasklet_that_ends_dies_when_nobody_holds_it():
    ref = weakref.ref(tasklet(int)())
    run()
    assert ref() is None


@pytest.mark.usefixtures("no_collector")
def test_a_delivered_value_dies_when_the_receiver_drops_it():
    ch, thing = channel(), Thing()
    ref = weakref.ref(thing)
    tasklet(ch.send)(thing)
    del thing
    ch.receive()
    run()
    assert ref() is None


@pytest.mark.usefixtures("no_collector")
def test_the_value_of_a_killed_sender_dies_with_it():
    ch, thing = channel(), Thing()
    ref = weakref.ref(thing)
    t = tasklet(ch.send)(thing)
    del thing
    run()
    t.kill()
    assert ref() is None


@pytest.mark.usefixtures("no_collector")
def test_an_undelivered_value_of_main_dies_at_once():
    ch, thing = channel(), Thing()
    ref = weakref.ref(thing)
    with pytest.raises(RuntimeError):
        ch.send(thing)
    del thing
    gc.collect()
    assert ref() is None


@pytest.mark.usefixtures("no_collector")
def test_a_callback_dies_when_it_is_replaced():
    callback = Thing()
    callback.__class__ = type("Callback", (Thing,), {"__call__": lambda *args: None})
    ref = weakref.ref(callback)
    for setter in (
        tasklets.set_channel_callback,
        tasklets.set_schedule_callback,
        tasklets.set_error_handler,
    ):
        setter(callback)
        setter(None)
    del callback
    assert ref() is None


# Tasklets that nobody can reach any more: by reference count.


def test_a_paused_tasklet_that_nobody_holds_is_killed_at_once(log):
    def work():
        try:
            pause()
        except TaskletExit:
            log.append("killed")
            raise
        finally:
            log.append("finally")

    t = tasklet(work)()
    run()
    assert log == []
    del t
    assert log == ["killed", "finally"]


def test_a_tasklet_that_is_removed_and_dropped_is_killed(log):
    def work():
        try:
            schedule(None)
        finally:
            log.append("finally")

    t = tasklet(work)()
    schedule()
    t.remove()
    del t
    assert log == ["finally"]


def test_a_never_started_tasklet_that_nobody_holds_does_not_run(log):
    t = tasklet(log.append, (1,))
    ref = weakref.ref(t)
    del t
    assert (ref(), log) == (None, [])


def test_a_runnable_tasklet_lives_without_references(log):
    tasklet(lambda: (schedule(), log.append(1)))()
    gc.collect()
    run()
    assert log == [1]


def test_the_waiters_on_a_dropped_channel_are_killed(log):
    class Box:
        ch = channel()

    def work():
        receive = Box.ch.receive
        try:
            receive()
        finally:
            log.append("finally")

    t = tasklet(work)()
    run()
    t.kill()
    assert log == ["finally"]


def test_the_value_on_its_way_survives_the_death_of_another(log):
    def victim():
        try:
            pause()
        finally:
            log.append("finally")

    def drop():
        box.clear()
        return "value"

    t = tasklet(victim)()
    run()
    box = [t]
    del t
    assert drop() == "value"
    assert log == ["finally"]


def test_what_is_being_received_survives_the_death_of_another(log):
    def victim():
        try:
            pause()
        finally:
            log.append("finally")

    t = tasklet(victim)()
    run()
    ch = channel()
    box = [t]
    del t
    tasklet(lambda: (box.clear(), ch.send("value")))()
    assert ch.receive() == "value"
    assert log == ["finally"]
    run()


def test_a_tasklet_may_switch_as_it_is_killed_by_the_last_reference(log):
    def work():
        try:
            pause()
        finally:
            schedule()
            log.append("finally")

    t = tasklet(work)()
    run()
    tasklet(log.append)("other")
    del t
    run()
    assert log == ["other", "finally"] or log == ["finally", "other"]


def test_a_tasklet_that_refuses_to_die_ends_in_gc_garbage(log):
    def work():
        while True:
            try:
                pause()
            except TaskletExit:
                log.append("refused")
                if box:
                    return

    t, box = tasklet(work)(), []
    run()
    del t
    assert len(log) == 10
    assert [x.alive for x in gc.garbage] == [True]
    box.append("enough")
    gc.garbage.pop().kill()


def test_a_tasklet_may_refuse_a_few_times(log):
    def work():
        for _ in range(3):
            try:
                pause()
            except TaskletExit:
                log.append("refused")

    t = tasklet(work)()
    run()
    del t
    assert log == ["refused"] * 3
    assert gc.garbage == []


def test_a_tasklet_may_block_on_a_channel_as_it_is_killed(log):
    ch = channel()

    def work():
        try:
            pause()
        finally:
            log.append(ch.receive())

    t = tasklet(work)()
    run()
    del t
    assert ch.balance == -1
    ch.send("value")
    assert log == ["value"]


def test_a_tasklet_may_be_saved_by_its_finally_block(log):
    def work():
        try:
            pause()
        finally:
            log.append(getcurrent())
            schedule(None)
            log.append("goes on")

    t = tasklet(work)()
    ref = weakref.ref(t)
    run()
    del t
    assert ref() is log[0]
    assert log[0].scheduled
    run()
    assert log[1] == "goes on"
    log.clear()
    assert ref() is None


def test_a_weak_reference_lives_until_the_tasklet_has_ended(log):
    def work():
        try:
            pause()
        finally:
            log.append(ref() is getcurrent())

    t = tasklet(work)()
    ref = weakref.ref(t, lambda ref: log.append("dead"))
    run()
    del t
    assert log == [True, "dead"]
    assert ref() is None


def test_a_subclass_with_a_finalizer_is_finalized_once(log):
    class Mine(tasklet):
        def __del__(self):
            log.append("del")

    t = Mine(int)()
    run()
    del t
    assert log == ["del"]


def test_an_error_in_a_dying_tasklet_is_not_raised_where_it_was_dropped(
    monkeypatch, log
):
    def work():
        try:
            pause()
        finally:
            raise KeyError

    t = tasklet(work)()
    run()
    monkeypatch.setattr(sys, "unraisablehook", lambda args: log.append(args.exc_type))
    del t
    assert log == [KeyError]


def test_a_tasklet_dropped_while_an_error_is_raised_leaves_that_alone():
    def work():
        try:
            pause()
        finally:
            schedule()

    def dropping():
        t = tasklet(work)()
        run()
        assert t.paused
        raise KeyError("mine")

    def call():
        try:
            dropping()
        except KeyError as error:
            return error.args

    assert call() == ("mine",)
    gc.collect()
    run()


def test_a_tasklet_dropped_in_another_thread_is_killed_by_its_own(log):
    def work():
        try:
            pause()
        finally:
            log.append(threading.get_ident() == home)

    home = threading.get_ident()
    box = [tasklet(work)()]
    run()
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert log == []
    run()
    assert log == [True]


def test_a_tasklet_dropped_under_a_switch_trap_is_killed_later(log):
    def work():
        try:
            pause()
        finally:
            log.append("finally")

    t = tasklet(work)()
    run()
    with tasklets.no_switch():
        del t
        assert log == []
    run()
    assert log == ["finally"]


def test_a_tasklet_dropped_in_a_callback_is_killed_later(log):
    def work():
        try:
            pause()
        finally:
            log.append("finally")

    box = [tasklet(work)()]
    run()
    tasklet(int)()
    tasklets.set_schedule_callback(lambda a, b: (box.clear(), log.append("cleared")))
    schedule()
    tasklets.set_schedule_callback(None)
    run()
    assert "finally" in log
    assert log[0] == "cleared"
