"""The tasklet object: kill(), throw() and the end."""

import gc
import weakref

import pytest
from turns import note

from tasklets import TaskletExit, channel, getcurrent, run, schedule, tasklet

# kill.


def test_kill_runs_the_finally_blocks(log):
    def work():
        try:
            schedule()
        finally:
            log.append("finally")

    t = tasklet(work)()
    schedule()
    assert t.kill() is None
    assert log == ["finally"]
    assert not t.alive


def test_kill_of_a_blocked_tasklet_takes_it_off_the_channel():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    t.kill()
    assert (ch.balance, ch.queue, t.blocked) == (0, None, False)


def test_kill_of_a_never_started_tasklet_does_not_run_its_function(log):
    t = tasklet(log.append)("ran")
    t.kill()
    assert (log, t.alive, t.scheduled) == ([], False, False)


def test_kill_of_a_never_started_tasklet_turns_the_queue(log):
    a, _, _ = (tasklet(note)(log, name) for name in "abc")
    a.kill()
    log.append("M")
    assert log == ["b1", "c1", "M"]
    run()


@pytest.mark.parametrize("state", [tasklet, lambda: tasklet(int)])
def test_kill_of_a_tasklet_that_is_not_alive_does_nothing(state):
    t = state()
    assert t.kill() is None
    assert not t.alive


def test_kill_of_an_ended_tasklet_does_nothing(make):
    ended = make("ended")
    assert ended.kill() is None


def test_kill_of_the_current_tasklet_raises_there(log):
    def work():
        try:
            getcurrent().kill()
        except TaskletExit:
            log.append("raised")
            raise
        log.append("not reached")

    tasklet(work)()
    run()
    assert log == ["raised"]


def test_kill_of_the_current_tasklet_raises_at_once_also_when_pending(log):
    def work():
        with pytest.raises(TaskletExit):
            getcurrent().kill(pending=True)
        log.append("raised")

    tasklet(work)()
    run()
    assert log == ["raised"]


def test_main_can_be_killed_by_itself():
    with pytest.raises(TaskletExit):
        getcurrent().kill()


def test_main_can_be_killed_by_another():
    main = getcurrent()
    t = tasklet(main.kill)()
    with pytest.raises(TaskletExit):
        schedule()
    run()
    assert not t.alive


def test_a_tasklet_may_refuse_to_be_killed(log):
    ch = channel()

    def stubborn():
        while True:
            try:
                log.append(ch.receive())
                return
            except TaskletExit:
                log.append("refused")

    t = tasklet(stubborn)()
    run()
    t.kill()
    t.kill()
    assert t.blocked
    ch.send("value")
    assert log == ["refused", "refused", "value"]


def test_a_pending_kill_waits_for_the_turn_of_the_tasklet(log):
    tasklet(note)(log, "a")
    t = tasklet(note)(log, "b")
    tasklet(note)(log, "c")
    t.kill(pending=True)
    log.append("M")
    run()
    assert log == ["M", "a1", "c1"]
    assert not t.alive


def test_a_pending_kill_puts_a_paused_tasklet_at_the_end(make, log):
    paused = make("paused")
    tasklet(lambda: log.append(paused.alive))()
    paused.kill(pending=True)
    assert paused.scheduled
    run()
    assert log == [True]
    assert not paused.alive


def test_a_pending_kill_unblocks_at_once(log):
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    t.kill(True)
    assert (ch.balance, t.blocked, t.scheduled) == (0, False, True)
    run()
    assert not t.alive


def test_a_tasklet_killed_twice_with_pending_ends_once(log):
    def work():
        try:
            schedule()
        except TaskletExit:
            log.append("killed")

    t = tasklet(work)()
    schedule()
    t.kill(pending=True)
    t.kill(pending=True)
    run()
    assert log == ["killed"]


# throw and raise_exception.


def test_throw_raises_in_the_tasklet(log):
    def work():
        try:
            schedule()
        except KeyError as error:
            log.append(error.args)

    t = tasklet(work)()
    schedule()
    t.throw(KeyError, 5)
    assert log == [(5,)]


@pytest.mark.parametrize(
    ("args", "seen"),
    [
        (lambda: (ValueError,), ()),
        (lambda: (ValueError, None), ()),
        (lambda: (ValueError, "a"), ("a",)),
        (lambda: (ValueError, ("a", "b")), ("a", "b")),
        (lambda: (ValueError("c"),), ("c",)),
        (lambda: (ValueError("c"), None, None), ("c",)),
        (lambda: (ValueError, ValueError("d")), ("d",)),
    ],
)
def test_throw_takes_what_a_raise_of_three_parts_takes(args, seen):
    t = tasklet(int, ())
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any
        t.throw(*args())
    assert caught.value.args == seen


def test_throw_delivers_the_very_instance():
    error = ValueError()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any
        tasklet(int, ()).throw(error)
    assert caught.value is error


def test_throw_puts_the_traceback_behind_that_of_the_tasklet():
    def origin():
        raise ValueError

    try:
        origin()
    except ValueError as error:
        traceback = error.__traceback__
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any
        tasklet(int, ()).throw(ValueError, None, traceback)
    names = [entry.name for entry in caught.traceback]
    assert names[-1] == "origin"


def test_throw_takes_keywords(make):
    paused = make("paused")
    with pytest.raises(KeyError):
        paused.throw(exc=KeyError, val=1, tb=None, pending=False)


@pytest.mark.parametrize("pending", [False, True])
def test_throw_on_the_current_tasklet_raises_at_once(pending):
    with pytest.raises(KeyError):
        getcurrent().throw(KeyError, pending=pending)


def test_throw_on_a_never_started_tasklet_does_not_run_it(log):
    t = tasklet(log.append)(1)
    with pytest.raises(ValueError, match="boo"):
        t.throw(ValueError, "boo")
    assert (log, t.alive) == ([], False)


def test_throw_on_a_dead_tasklet_is_refused(make):
    ended = make("ended")
    with pytest.raises(RuntimeError, match="^You cannot throw to a dead tasklet$"):
        ended.throw(ValueError)


def test_tasklet_exit_may_be_thrown_on_a_dead_tasklet(make):
    ended = make("ended")
    assert ended.throw(TaskletExit) is None
    assert ended.throw(TaskletExit()) is None
    assert ended.raise_exception(TaskletExit) is None


def test_a_subclass_of_tasklet_exit_may_be_thrown_on_a_dead_tasklet(make):
    ended = make("ended")

    class Quietly(TaskletExit):
        pass

    assert ended.throw(Quietly) is None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((ValueError(), 1), "^instance exception may not have a separate value$"),
        ((5,), "^exceptions must be classes, or instances, not int$"),
        ((int,), "^exceptions must be classes, or instances, not type$"),
        ((None,), "^exceptions must be classes, or instances, not NoneType$"),
        ((ValueError, 1, 2), "^third argument must be a traceback object$"),
        ((), "exc"),
    ],
)
def test_throw_of_something_else_is_refused(make, args, message):
    blocked = make("blocked")
    with pytest.raises(TypeError, match=message):
        blocked.throw(*args)
    assert blocked.blocked


def test_a_pending_throw_waits_for_the_turn_of_the_tasklet(log):
    def work():
        try:
            schedule()
        except ValueError:
            log.append("thrown")

    t = tasklet(work)()
    schedule()
    tasklet(log.append)("other")
    t.throw(ValueError, pending=True)
    log.append("M")
    run()
    assert log == ["M", "thrown", "other"]


def test_a_pending_throw_on_a_floating_tasklet_inserts_it(make):
    paused = make("paused")
    paused.throw(ValueError, "later", pending=True)
    assert paused.scheduled
    with pytest.raises(ValueError, match="later"):
        run()


def test_the_class_is_called_on_the_side_of_the_tasklet(log):
    class Mine(Exception):
        def __init__(self, *args):
            log.append((getcurrent() is t, args))

    def work():
        with pytest.raises(Mine):
            schedule()

    t = tasklet(work)()
    schedule()
    t.raise_exception(Mine, 1, 2)
    assert log == [(True, (1, 2))]


def test_a_class_that_fails_raises_its_error_in_the_tasklet(log):
    class Bad(Exception):
        def __init__(self):
            raise KeyError("no")

    def work():
        try:
            schedule()
        except BaseException as error:
            log.append(type(error))

    t = tasklet(work)()
    schedule()
    t.throw(Bad)
    assert log == [KeyError]


def test_raise_exception_needs_an_argument():
    with pytest.raises(
        TypeError, match=r"^raise_exception\(\) takes at least 1 argument$"
    ):
        tasklet().raise_exception()


@pytest.mark.parametrize("cls", [5, int, ValueError(), None])
def test_raise_exception_needs_an_exception_class(make, cls):
    blocked = make("blocked")
    with pytest.raises(
        TypeError,
        match="^tasklet.raise_exception needs Exception or string subclass "
        "as first parameter$",
    ):
        blocked.raise_exception(cls)


def test_raise_exception_has_no_pending(make):
    blocked = make("blocked")
    with pytest.raises(TypeError):
        blocked.raise_exception(ValueError, pending=True)


# Ending.


def test_the_return_value_is_dropped():
    class Thing:
        pass

    refs = []

    def work():
        thing = Thing()
        refs.append(weakref.ref(thing))
        return thing

    t = tasklet(work)()
    run()
    assert refs[0]() is None
    assert not t.alive


def test_arguments_die_with_the_tasklet():
    class Thing:
        pass

    def work(thing, *, other):
        pass

    a, b = Thing(), Thing()
    refs = [weakref.ref(a), weakref.ref(b)]
    t = tasklet(work)(a, other=b)
    del a, b
    run()
    assert [ref() for ref in refs] == [None, None]
    assert not t.alive


def test_an_ended_tasklet_can_be_made_to_run_any_number_of_times(log):
    t = tasklet()
    for i in range(5):
        t.bind(log.append)(i)
        run()
    assert log == [0, 1, 2, 3, 4]


def test_a_tasklet_may_start_itself_again_as_it_ends(log):
    def work(left):
        log.append(left)
        if left:
            tasklet(again)(me, left - 1)

    def again(t, left):
        t.bind(work)(left)

    me = tasklet(work)(3)
    run()
    assert log == [3, 2, 1, 0]


def test_tasklets_in_a_cycle_with_their_arguments_are_collected():
    t = tasklet(int)
    t.bind(int, (t,))
    ref = weakref.ref(t)
    del t
    gc.collect()
    assert ref() is None
