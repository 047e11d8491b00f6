"""What dies, when, and what its finally blocks see: counts and collections."""

import gc
import sys
import threading
import weakref

import pytest

import tasklets
from tasklets import (
    TaskletExit,
    channel,
    getcurrent,
    locks,
    queues,
    run,
    schedule,
    scheduler,
    spawn,
    tasklet,
)

# From 3.14 on the interpreter stores what the evaluation stack of a suspended frame
# holds where the collector can see it.
SEES_STACK = sys.version_info >= (3, 14)


class Thing:
    """Something with weak references that cannot be in a cycle by itself."""


@pytest.fixture
def no_collector():
    """Switch the cyclic collector off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def pause():
    """Pause the current tasklet, which keeps no reference to itself."""
    tasklets.schedule_remove(None)


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
def test_a_finished_tasklet_lets_go_of_function_and_arguments():
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


# Tasklets that nobody can reach any more: by the cyclic collector.


def unreachable(wait, log):
    """Start a tasklet that only its own frames know, and return a weak reference."""

    def work():
        me = getcurrent()
        thing = Thing()
        try:
            wait()
        finally:
            log.append((me is getcurrent(), type(thing)))

    t = tasklet(work)()
    ref = weakref.ref(t)
    del t
    run()
    return ref


def collect():
    """Collect, and let those that were found be killed."""
    gc.collect()
    run()


def test_a_paused_tasklet_that_knows_only_itself_is_collected(log):
    ref = unreachable(pause, log)
    collect()
    assert log == [(True, Thing)]
    assert ref() is None


def test_a_tasklet_paused_with_its_own_value_is_collected(log):
    ref = unreachable(tasklets.schedule_remove, log)
    collect()
    assert log == [(True, Thing)]
    assert ref() is None


def test_no_python_of_a_tasklet_runs_inside_the_collector(log):
    unreachable(pause, log)
    gc.collect()
    assert log == []
    assert tasklets.getruncount() == 2
    run()
    assert log == [(True, Thing)]


def test_two_tasklets_that_know_each_other_are_collected(log):
    def work(box):
        try:
            pause()
        finally:
            log.append(len(box))

    box = []
    box.extend([tasklet(work)(box), tasklet(work)(box)])
    del box
    run()
    collect()
    assert log == [2, 2]


def test_a_tasklet_that_knows_itself_through_its_arguments_is_collected(log):
    def work(box):
        try:
            pause()
        finally:
            log.append("finally")

    box = []
    box.append(tasklet(work)(box))
    del box
    run()
    collect()
    assert log == ["finally"]


def test_a_tasklet_that_knows_itself_through_a_generator_is_collected(log):
    def generator():
        me = getcurrent()
        try:
            pause()
            yield
        finally:
            log.append(me is getcurrent())

    def work():
        for _ in generator():
            pass

    tasklet(work)()
    run()
    collect()
    if not log:
        # What the generator waits in cannot be seen while it runs.
        (t,) = scheduler.getuncollectables()
        t.kill()
    assert log == [True]


def test_a_tasklet_that_knows_itself_through_a_closure_is_collected(log):
    def work():
        me = getcurrent()

        def inner():
            try:
                pause()
            finally:
                log.append(me is getcurrent())

        inner()

    tasklet(work)()
    run()
    collect()
    assert log == [True]


def test_a_reachable_tasklet_is_not_collected(log):
    def work(thing):
        pause()
        log.append(thing)

    t = tasklet(work)(Thing())
    run()
    for _ in range(3):
        collect()
    assert log == []
    t.insert()
    run()
    assert isinstance(log.pop(), Thing)


def test_a_tasklet_that_another_one_knows_is_not_collected(log):
    def inner():
        me = getcurrent()
        pause()
        log.append(me is getcurrent())

    def outer():
        t = tasklet(inner)()
        schedule()
        pause()
        t.insert()

    t = tasklet(outer)()
    run()
    collect()
    assert log == []
    t.insert()
    run()
    assert log == [True]


def test_a_caller_of_run_is_not_collected(log):
    def inner():
        me = getcurrent()
        run()
        log.append(me is getcurrent())

    tasklet(inner)()
    tasklet(lambda: (gc.collect(), schedule(), gc.collect()))()
    run()
    assert log == [True]


def test_a_tasklet_blocked_on_a_living_channel_is_not_collected(log):
    ch = channel()
    tasklet(lambda: log.append(ch.receive()))()
    run()
    collect()
    ch.send("value")
    assert log == ["value"]


def test_a_tasklet_that_waits_for_a_living_one_is_not_collected(log):
    t = spawn(pause)
    spawn(lambda: (t.join(), log.append("joined")))
    run()
    collect()
    t.insert()
    run()
    assert log == ["joined"]


def test_objects_that_main_uses_too_are_not_collected(log):
    thing = Thing()
    thing.me = thing
    ref = weakref.ref(thing)

    def work(thing):
        me = getcurrent()  # noqa: F841 - makes it unreachable, not dead
        pause()

    tasklet(work)(thing)
    run()
    collect()
    assert ref() is thing is thing.me


def collected_or_listed(log):
    """Check that the tasklet was found, or is listed where it cannot be."""
    collect()
    left = scheduler.getuncollectables()
    if SEES_STACK:
        assert left == []
    else:
        assert len(left) == 1
        assert left[0].blocked
    while left:
        left.pop().kill()
    assert len(log) == 1


def test_a_tasklet_blocked_on_a_channel_that_only_it_knows(log):
    def work():
        ch = channel()
        try:
            ch.receive()
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_a_tasklet_blocked_on_a_channel_without_a_name(log):
    def work():
        try:
            channel().receive()
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_a_tasklet_blocked_in_a_send_to_a_channel_that_only_it_knows(log):
    def work():
        ch = channel()
        try:
            ch.send(ch)
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_a_tasklet_blocked_in_an_iteration_over_a_channel_that_only_it_knows(log):
    def work():
        ch = channel()
        try:
            for _ in ch:
                pass
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_a_tasklet_blocked_deep_in_calls(log):
    def wait(ch, levels):
        return wait(ch, levels - 1) if levels else ch.receive()

    def work():
        try:
            wait(channel(), 20)
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_two_tasklets_that_wait_for_each_other_to_send(log):
    def work(mine, other):
        try:
            other.send(mine.receive())
        finally:
            log.append("finally")

    a, b = channel(), channel()
    tasklet(work)(a, b)
    tasklet(work)(b, a)
    del a, b
    run()
    collect()
    left = scheduler.getuncollectables()
    assert len(left) == (0 if SEES_STACK else 2)
    while left:
        left.pop().kill()
    assert log == ["finally", "finally"]


def test_a_collected_tasklet_may_refuse_and_be_collected_again(log):
    def work():
        me = getcurrent()  # noqa: F841 - the cycle
        for _ in range(3):
            try:
                pause()
            except TaskletExit:
                log.append("refused")
        log.append("end")

    tasklet(work)()
    run()
    for _ in range(3):
        collect()
    assert log == ["refused", "refused", "refused", "end"]


def test_a_collected_tasklet_may_save_itself(log):
    def work():
        me = getcurrent()
        try:
            pause()
        except TaskletExit:
            log.append(me)
            pause()
        log.append("goes on")

    tasklet(work)()
    run()
    collect()
    t = log.pop()
    collect()
    assert t.paused
    t.insert()
    run()
    assert log == ["goes on"]


def test_an_unreachable_tasklet_of_another_thread_is_killed_there(log):
    ready, collected = threading.Event(), threading.Event()

    def work():
        me = getcurrent()
        try:
            pause()
        finally:
            log.append((me is getcurrent(), threading.get_ident() == home[0]))

    def thread():
        home.append(threading.get_ident())
        tasklet(work)()
        run()
        ready.set()
        collected.wait(10)
        run()

    home = []
    worker = threading.Thread(target=thread)
    worker.start()
    ready.wait(10)
    gc.collect()
    assert log == []
    collected.set()
    worker.join()
    assert log == [(True, True)]


def test_a_cycle_of_a_finished_tasklet_is_collected():
    def work(t):
        pass

    t = tasklet(work)
    t.bind(work, (t,))
    t.run()
    t.tempval = [t]
    ref = weakref.ref(t)
    del t
    gc.collect()
    assert ref() is None


def test_a_kept_error_in_a_cycle_with_its_tasklet_is_collected():
    def work():
        me = t  # noqa: F821, F841 - the traceback knows the tasklet, which keeps the error
        raise KeyError

    t = spawn(work)
    t.join()
    run()
    ref = weakref.ref(t)
    del t
    gc.collect()
    assert ref() is None


def test_a_done_callback_in_a_cycle_is_collected():
    t = spawn(pause)
    t.add_done_callback(lambda arg: t)  # noqa: F821 - deleted below
    run()
    ref = weakref.ref(t)
    t.kill()
    del t
    gc.collect()
    assert ref() is None


def test_a_waiter_in_a_channel_keeps_its_tasklet_not_the_other_way_round():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    ref = weakref.ref(t)
    del t
    assert ref() is ch.queue
    ch.queue.kill()
    assert ref() is None


# getuncollectables.


def test_the_started_tasklets_are_listed():
    waiting = channel()
    never = tasklet(int)()
    never.remove()
    a, b = tasklet(waiting.receive)(), tasklet(pause)()
    run()
    listed = scheduler.getuncollectables()
    assert [x is y for x, y in zip(listed, (a, b), strict=True)] == [True, True]
    del listed
    a.kill()
    b.kill()


def test_main_and_ended_tasklets_are_not_listed():
    tasklet(int)()
    run()
    assert scheduler.getuncollectables() == []


def test_the_tasklets_of_other_threads_are_listed():
    ready, done = threading.Event(), threading.Event()

    def thread():
        t = tasklet(pause)()
        run()
        ready.set()
        done.wait(10)
        t.kill()

    worker = threading.Thread(target=thread)
    worker.start()
    ready.wait(10)
    listed = scheduler.getuncollectables()
    assert [t.thread_id for t in listed] == [worker.ident]
    del listed
    done.set()
    worker.join()


# The collector and the frames of others.


def test_a_collection_while_many_wait_does_no_harm(log):
    def work(n):
        things = [Thing() for _ in range(n % 5)]
        for _ in range(3):
            gc.collect(n % 3)
            schedule()
        log.append(len(things))

    for n in range(20):
        tasklet(work)(n)
    run()
    assert log == [n % 5 for n in range(20)]


def test_a_collection_sees_frames_in_every_state(log):
    """Frames in a call, an iteration, a comprehension, a with block, a generator."""

    class Waiter:
        def __iter__(self):
            pause()
            return iter(())

        def __enter__(self):
            pause()

        def __exit__(self, *args):
            pause()

        def __add__(self, other):
            pause()
            return 1

        def __del__(self):
            log.append("del")

    def calls(w):
        return max(1, 2, key=lambda x: pause() or 0)

    def iterates(w):
        return [x for x in w]  # noqa: C416 - the frame is meant

    def unpacks(w):
        (*_,) = w

    def enters(w):
        with w:
            pause()

    def adds(w):
        return (1, 2, w, [w + w, w + 1])

    def generates(w):
        def generator():
            yield 1
            pause()
            yield 2

        return list(generator())

    def formats(w):
        return f"{w} {pause()} {w + w}"

    def handles(w):
        try:
            raise KeyError
        except KeyError:
            pause()
        finally:
            pause()

    many = [calls, iterates, unpacks, enters, adds, generates, formats, handles]
    started = [tasklet(work)(Waiter()) for work in many]
    while any(t.alive for t in started):
        run()
        gc.collect()
        for t in started:
            if t.paused:
                t.insert()
    run()
    gc.collect()
    assert log == ["del"] * len(many)


def test_unreachable_frames_in_every_state_are_collected(log):
    def add(a, b):
        pause()

    def work(kind):
        me = getcurrent()
        thing = Thing()
        thing.me = me
        try:
            if kind == 0:
                [pause() for _ in (1, 2, thing)]
            elif kind == 1:
                add(thing, [thing, pause(), {thing: me}])
            elif kind == 2:
                sorted([thing, me], key=lambda x: pause() or 1)
            elif kind == 3:
                with contextmanager(thing):
                    pause()
            else:
                try:
                    raise KeyError(thing)
                except KeyError:
                    pause()
        finally:
            log.append(kind)

    class contextmanager:
        def __init__(self, thing):
            self.thing = thing

        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

    for kind in range(5):
        tasklet(work)(kind)
    run()
    collect()
    found = sorted(log)
    for t in scheduler.getuncollectables():
        t.kill()
    # Nobody can see the list that sorted() keeps, nor the exception being handled.
    assert found == ([0, 1, 3] if SEES_STACK else [])
    assert sorted(log) == list(range(5))


# Blocked on locks and queues that nobody else knows.


def acquired(lock):
    """Return a way to wait for a lock that somebody has who is gone."""
    spawn(lock.acquire)
    run()
    return lock.acquire


def waiting(condition):
    def wait():
        with condition:
            condition.wait()

    return wait


def full(queue):
    queue.put(queue)
    return lambda: queue.put(None)


def undone(queue):
    queue.put(queue)
    return queue.join


def with_mutex(queue):
    acquired(queue.mutex)
    return queue.qsize


def among_others(event):
    return lambda: tasklets.wait([event])


def in_a_select(event):
    return lambda: tasklets.select(event)


ALONE = {
    "Lock": lambda: acquired(locks.Lock()),
    "RLock": lambda: acquired(locks.RLock()),
    "Semaphore": lambda: locks.Semaphore(0).acquire,
    "BoundedSemaphore": lambda: locks.BoundedSemaphore(0).acquire,
    "Event": lambda: locks.Event().wait,
    "NLCondition": lambda: locks.NLCondition().wait,
    "Condition": lambda: waiting(locks.Condition()),
    "Condition of a Lock": lambda: waiting(locks.Condition(locks.Lock())),
    "Barrier": lambda: locks.Barrier(2).wait,
    "Queue": lambda: queues.Queue().get,
    "LifoQueue": lambda: queues.LifoQueue().get,
    "PriorityQueue": lambda: queues.PriorityQueue().get,
    "SimpleQueue": lambda: queues.SimpleQueue().get,
    "Queue that is full": lambda: full(queues.Queue(1)),
    "Queue that is not done": lambda: undone(queues.Queue()),
    "Queue with a mutex": lambda: with_mutex(queues.Queue()),
    "Event among others": lambda: among_others(locks.Event()),
    "Event in a select": lambda: in_a_select(locks.Event()),
}


@pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)
def test_a_tasklet_blocked_on_an_object_that_only_it_knows(make, log):
    def work(wait):
        try:
            wait()
        finally:
            log.append("finally")

    tasklet(work)(make())
    run()
    (waiter,) = scheduler.getuncollectables()
    assert waiter.blocked
    del waiter
    collected_or_listed(log)


def test_tasklets_at_a_barrier_whose_action_never_ends(log):
    def work(wait, peers):
        try:
            wait()
        except BaseException as error:
            log.append(type(error).__name__)

    barrier, peers = locks.Barrier(2, tasklets.schedule_remove), []
    for _ in range(3):  # one to leave, one in the action, one at the gate
        peers.append(tasklet(work)(barrier.wait, peers))
        run()
    del barrier, peers
    collect()
    left = scheduler.getuncollectables()
    assert len(left) == (0 if SEES_STACK else 3)
    while left:
        left.pop().kill()
    assert len(log) == 3
    assert set(log) <= {"TaskletExit", "BrokenBarrierError"}


@pytest.mark.parametrize("cls", [locks.Lock, locks.RLock, locks.Semaphore])
def test_who_waits_for_a_lock_that_somebody_knows_is_not_collected(cls, log):
    lock = cls()
    lock.acquire()
    tasklet(lambda: log.append(lock.acquire()))()
    run()
    collect()
    assert log == []
    lock.release()
    run()
    assert log == [True]
