"""The tasklet object: setting up, moving about, ending, and what it tells."""

import gc
import pickle
import sys
import weakref

import pytest

import tasklets
from tasklets import TaskletExit, channel, getcurrent, run, schedule, tasklet


def note(log, name, steps=1):
    """Append name and a step number to log, and yield after each step."""
    for step in range(1, steps + 1):
        log.append(f"{name}{step}")
        schedule()


@pytest.fixture
def make():
    """Return a function that makes a tasklet in the state that it is told."""
    made = []

    def make(state):
        work = {
            "blocked": lambda: channel().receive(),
            "paused": tasklets.schedule_remove,
            "ended": int,
        }
        t = tasklet(work[state])()
        run()
        made.append(t)
        return t

    yield make
    while made:
        made.pop().kill()


# Making one.


def test_a_new_tasklet_is_not_alive():
    assert not tasklet().alive


def test_a_tasklet_with_only_a_function_is_not_alive():
    assert not tasklet(int).alive


def test_a_tasklet_with_only_a_function_has_it_as_tempval():
    assert tasklet(int).tempval is int


def test_a_tasklet_with_arguments_is_alive_and_paused():
    t = tasklet(int, ("5",))
    assert (t.alive, t.paused, t.scheduled) == (True, True, False)


def test_a_tasklet_with_keyword_arguments_is_alive_and_paused():
    t = tasklet(int, None, {})
    assert (t.alive, t.paused) == (True, True)


def test_the_constructor_takes_keywords(log):
    tasklet(func=lambda *a, **k: log.append((a, k)), args=(1,), kwargs={"b": 2}).run()
    assert log == [((1,), {"b": 2})]


def test_a_new_object_without_init_is_an_unbound_tasklet():
    t = tasklet.__new__(tasklet, "whatever", nonsense=1)
    assert (t.alive, t.tempval, t.thread_id) == (False, None, getcurrent().thread_id)


def test_init_again_binds_again(log):
    t = tasklet(log.append)
    t.__init__(log.extend)
    t([1, 2])
    run()
    assert log == [1, 2]


@pytest.mark.parametrize("func", [3, "int", object()])
def test_a_tasklet_needs_a_callable(func):
    with pytest.raises(
        TypeError, match="^tasklet function must be a callable or None$"
    ):
        tasklet(func)


@pytest.mark.parametrize("args", [[1], 1, "a", {}])
def test_the_arguments_must_be_a_tuple(args):
    with pytest.raises(TypeError, match="tuple"):
        tasklet(int, args)


@pytest.mark.parametrize("kwargs", [[1], 1, ()])
def test_the_keyword_arguments_must_be_a_dict(kwargs):
    with pytest.raises(TypeError, match="dict"):
        tasklet(int, (), kwargs)


def test_the_base_type_has_no_dict():
    with pytest.raises(AttributeError):
        tasklet().note = 1


def test_a_subclass_may_have_attributes_and_slots():
    class Slotted(tasklet):
        __slots__ = ("a",)

    class Free(tasklet):
        pass

    slotted, free = Slotted(), Free()
    slotted.a = free.b = 1
    assert (slotted.a, free.b) == (1, 1)


def test_a_subclass_may_take_arguments_of_its_own(log):
    class Mine(tasklet):
        def __init__(self, first, second):
            super().__init__(log.append, ((first, second),))

    Mine(1, second=2).run()
    assert log == [(1, 2)]


def test_a_subclass_that_does_not_call_init_can_be_bound_later(log):
    class Mine(tasklet):
        def __init__(self):
            pass

    Mine().bind(log.append)(1)
    run()
    assert log == [1]


def test_a_tasklet_of_a_subclass_is_current_as_itself(log):
    class Mine(tasklet):
        pass

    t = Mine(lambda: log.append(getcurrent() is t))()
    run()
    assert log == [True]


def test_a_tasklet_is_hashable_and_equal_only_to_itself():
    a, b = tasklet(), tasklet()
    assert a == a != b
    assert len({a, b, a}) == 2


def test_a_tasklet_has_weak_references():
    t = tasklet(int)
    ref = weakref.ref(t)
    assert ref() is t
    del t
    assert ref() is None


def test_a_tasklet_cannot_be_pickled():
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(tasklet(int))


# bind.


def test_bind_returns_the_tasklet():
    t = tasklet()
    assert t.bind(int) is t


def test_bind_replaces_the_function(log):
    tasklet(log.append).bind(log.extend)([1])
    run()
    assert log == [1]


def test_bind_with_none_keeps_the_function(log):
    tasklet(log.append).bind(None, (7,)).run()
    assert log == [7]


def test_bind_with_arguments_does_not_schedule():
    t = tasklet().bind(int, ())
    assert not t.scheduled
    assert tasklets.getruncount() == 1


def test_bind_copies_the_keyword_arguments(log):
    kwargs = {"a": 1}
    t = tasklet(lambda **k: log.append(k), (), kwargs)
    kwargs["a"] = 2
    t.run()
    assert log == [{"a": 1}]


def test_bind_without_arguments_unbinds():
    t = tasklet(int, ()).bind()
    assert (t.alive, t.tempval) == (False, None)


def test_an_unbound_tasklet_lets_go_of_its_arguments():
    class Thing:
        pass

    thing = Thing()
    ref = weakref.ref(thing)
    t = tasklet(int, (thing,))
    del thing
    t.bind(None)
    assert ref() is None


def test_bind_with_a_function_alone_forgets_the_arguments():
    t = tasklet(int, ("5",)).bind(int)
    assert (t.alive, t.tempval) == (False, int)


def test_bind_with_arguments_needs_a_function():
    with pytest.raises(RuntimeError, match="^the tasklet was not bound to a function$"):
        tasklet().bind(None, ())


def test_an_ended_tasklet_can_be_bound_again(make, log):
    ended = make("ended")
    ended.bind(log.append)(1)
    run()
    assert log == [1]
    assert not ended.alive


def test_the_current_tasklet_cannot_be_bound(log):
    def work():
        with pytest.raises(
            RuntimeError, match=r"^can't \(re\)bind the current tasklet$"
        ):
            getcurrent().bind(int)
        log.append("refused")

    tasklet(work)()
    run()
    assert log == ["refused"]


def test_a_runnable_tasklet_cannot_be_bound():
    t = tasklet(int)()
    with pytest.raises(RuntimeError, match="^tasklet is scheduled$"):
        t.bind(int)
    run()


def test_a_blocked_tasklet_cannot_be_bound(make):
    blocked = make("blocked")
    with pytest.raises(RuntimeError, match="^tasklet is scheduled$"):
        blocked.bind(int)


@pytest.mark.parametrize("args", [(), (int,), (int, ())])
def test_a_started_tasklet_cannot_be_bound(make, args):
    paused = make("paused")
    with pytest.raises(RuntimeError, match="^tasklet has C state on its stack$"):
        paused.bind(*args)


def test_the_main_tasklet_cannot_be_unbound(log):
    main = tasklets.getmain()
    with pytest.raises(RuntimeError, match=r"^can't \(re\)bind the current tasklet$"):
        main.bind(None)

    def work():
        with pytest.raises(RuntimeError, match="^tasklet has C state on its stack$"):
            main.bind(None)
        log.append("refused")

    tasklet(work)()
    run()
    assert log == ["refused"]


def test_a_wrong_type_is_found_before_a_wrong_state(make):
    blocked = make("blocked")
    with pytest.raises(TypeError, match="callable"):
        blocked.bind(1)
    with pytest.raises(TypeError, match="tuple"):
        blocked.bind(int, [])
    with pytest.raises(TypeError, match="dict"):
        blocked.bind(int, (), [])


def test_a_refused_bind_leaves_the_tasklet_as_it_is(log):
    t = tasklet(log.append)
    with pytest.raises(TypeError):
        t.bind(int, [])
    t(1)
    run()
    assert log == [1]


# setup.


def test_setup_makes_a_bound_tasklet_runnable():
    t = tasklet(int)
    assert t.setup() is t
    assert (t.alive, t.scheduled, t.paused, t.tempval) == (True, True, False, None)
    run()


def test_a_call_is_setup(log):
    t = tasklet(lambda *a, **k: log.append((a, k)))
    assert t(1, 2, self=3, func=4) is t
    run()
    assert log == [((1, 2), {"self": 3, "func": 4})]


def test_setup_appends_to_the_run_queue(log):
    for name in "abc":
        tasklet(log.append).setup(name)
    run()
    assert log == ["a", "b", "c"]


@pytest.mark.parametrize("state", ["paused", "blocked"])
def test_setup_of_a_living_tasklet_is_refused(make, state):
    t = make(state)
    with pytest.raises(RuntimeError, match="^tasklet is alive$"):
        t.setup()


def test_setup_of_a_tasklet_with_arguments_is_refused():
    t = tasklet(int, ())
    with pytest.raises(RuntimeError, match="^tasklet is alive$"):
        t()


def test_setup_of_an_unbound_tasklet_is_refused():
    with pytest.raises(RuntimeError, match="^the tasklet was not bound to a function$"):
        tasklet()()


def test_setup_of_an_ended_tasklet_is_refused(make):
    ended = make("ended")
    with pytest.raises(RuntimeError, match="^the tasklet was not bound to a function$"):
        ended()


# insert and remove.


def test_insert_returns_the_tasklet():
    t = tasklet(int, ())
    assert t.insert() is t
    run()


def test_insert_appends_to_the_run_queue(log):
    first = tasklet(log.append, ("first",))
    tasklet(log.append)("second")
    first.insert()
    run()
    assert log == ["second", "first"]


def test_insert_of_a_runnable_tasklet_changes_nothing(log):
    a = tasklet(log.append)("a")
    tasklet(log.append)("b")
    a.insert()
    run()
    assert log == ["a", "b"]


def test_insert_of_the_current_tasklet_changes_nothing():
    assert getcurrent().insert() is getcurrent()
    assert tasklets.getruncount() == 1


def test_insert_of_a_blocked_tasklet_is_refused(make):
    blocked = make("blocked")
    with pytest.raises(RuntimeError, match="^You cannot run a blocked tasklet$"):
        blocked.insert()


@pytest.mark.parametrize("make", [tasklet, lambda: tasklet(int)])
def test_insert_of_a_tasklet_that_is_not_alive_is_refused(make):
    with pytest.raises(
        RuntimeError, match=r"^You cannot run an unbound\(dead\) tasklet$"
    ):
        make().insert()


def test_a_caller_of_run_may_be_inserted(log):
    main = getcurrent()
    tasklet(lambda: (main.insert(), schedule(), log.append("later")))()
    run()
    assert log == []
    run()
    assert log == ["later"]


def test_remove_pauses_a_runnable_tasklet(log):
    t = tasklet(log.append)("never")
    assert t.remove() is t
    assert (t.alive, t.paused, t.scheduled) == (True, True, False)
    run()
    assert log == []


def test_remove_of_a_paused_tasklet_does_nothing(make):
    paused = make("paused")
    assert paused.remove() is paused
    assert paused.paused


@pytest.mark.parametrize("make", [tasklet, lambda: tasklet(int)])
def test_remove_of_a_tasklet_that_is_not_alive_does_nothing(make):
    t = make()
    assert t.remove() is t


def test_remove_of_a_blocked_tasklet_is_refused(make):
    blocked = make("blocked")
    with pytest.raises(RuntimeError, match=r"^You cannot remove a blocked tasklet\.$"):
        blocked.remove()


def test_remove_of_the_current_tasklet_is_refused():
    with pytest.raises(
        RuntimeError, match=r"^The current tasklet cannot be removed\.$"
    ):
        getcurrent().remove()


def test_a_removed_and_inserted_tasklet_is_last(log):
    a = tasklet(note)(log, "a")
    tasklet(note)(log, "b")
    a.remove().insert()
    run()
    assert log == ["b1", "a1"]


# run and switch.


def test_run_enters_a_paused_tasklet_at_once(log):
    tasklet(log.append)("last")
    assert tasklet(log.append, ("first",)).run() is None
    assert log == ["first"]
    run()


def test_run_of_a_runnable_tasklet_turns_the_queue(log):
    _, b, _ = (tasklet(note)(log, name, 2) for name in "abc")
    b.run()
    log.append("M2")
    run()
    assert log == ["b1", "c1", "M2", "a1", "b2", "c2", "a2"]


def test_run_of_a_removed_tasklet_puts_it_before_the_caller(log):
    _, b, _ = (tasklet(note)(log, name, 2) for name in "abc")
    b.remove()
    b.run()
    log.append("M2")
    run()
    assert log == ["b1", "M2", "a1", "c1", "b2", "a2", "c2"]


def test_run_of_the_current_tasklet_returns_at_once(log):
    t = tasklet(log.append)(1)
    assert getcurrent().run() is None
    assert log == []
    t.kill()


def test_run_returns_the_tempval_that_somebody_set(log):
    main = getcurrent()

    def work():
        main.tempval = "set"

    assert tasklet(work, ()).run() == "set"


def test_run_of_a_blocked_tasklet_is_refused(make):
    blocked = make("blocked")
    with pytest.raises(RuntimeError, match="^You cannot run a blocked tasklet$"):
        blocked.run()


def test_run_of_a_tasklet_that_is_not_alive_is_refused(make):
    ended = make("ended")
    with pytest.raises(
        RuntimeError, match=r"^You cannot run an unbound\(dead\) tasklet$"
    ):
        ended.run()


def test_switch_pauses_the_caller(log):
    main = getcurrent()

    def work():
        log.append((main.paused, main.scheduled))
        main.insert()

    tasklet(work, ()).switch()
    assert log == [(True, False)]


def test_switch_to_a_runnable_tasklet_turns_the_queue(log):
    main = getcurrent()
    _, x, _ = (tasklet(note)(log, name) for name in "axb")
    tasklet(lambda: (log.append("w"), main.insert()))()
    x.switch()
    log.append("M")
    assert log == ["x1", "b1", "w", "a1", "M"]
    run()


def test_a_switch_away_from_main_ends_when_nobody_else_can_run(log):
    tasklet(log.append, ("x",)).switch()
    assert log == ["x"]


def test_switch_to_itself_with_others_in_the_queue_does_nothing(log):
    t = tasklet(log.append)(1)
    assert getcurrent().switch() is None
    assert log == []
    assert (t.next, t.prev) == (getcurrent(), getcurrent())
    run()


def test_switch_to_itself_alone_does_nothing():
    assert getcurrent().switch() is None
    assert not getcurrent().paused


def test_switch_to_a_blocked_tasklet_is_refused(make):
    blocked = make("blocked")
    with pytest.raises(RuntimeError, match="^You cannot run a blocked tasklet$"):
        blocked.switch()


def test_switch_to_a_tasklet_that_is_not_alive_is_refused():
    with pytest.raises(
        RuntimeError, match=r"^You cannot run an unbound\(dead\) tasklet$"
    ):
        tasklet(int).switch()


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


# Flags.


@pytest.mark.parametrize("name", ["atomic", "ignore_nesting", "block_trap"])
def test_a_flag_starts_false(name):
    assert getattr(tasklet(), name) is False


@pytest.mark.parametrize("name", ["atomic", "ignore_nesting"])
def test_a_setter_returns_the_old_flag(name):
    t = tasklet()
    setter = getattr(t, f"set_{name}")
    assert [setter(True), setter(7), setter(0), setter(False)] == [
        False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["atomic", "ignore_nesting"])
@pytest.mark.parametrize("value", [None, 1.0, "1", []])
def test_a_setter_takes_only_bool_and_int(name, value):
    with pytest.raises(TypeError, match=f"^set_{name} needs exactly one bool or int"):
        getattr(tasklet(), f"set_{name}")(value)


@pytest.mark.parametrize("name", ["atomic", "ignore_nesting"])
def test_a_flag_with_a_setter_is_read_only(name):
    with pytest.raises(AttributeError):
        setattr(tasklet(), name, True)


def test_block_trap_can_be_set():
    t = tasklet()
    t.block_trap = 5
    assert t.block_trap is True
    t.block_trap = 0
    assert t.block_trap is False


@pytest.mark.parametrize("value", [None, 1.0, "1"])
def test_block_trap_takes_only_bool_and_int(value):
    with pytest.raises(
        TypeError, match="^block_trap must be set to a bool or integer$"
    ):
        tasklet().block_trap = value


def test_block_trap_cannot_be_deleted():
    with pytest.raises(TypeError, match="block_trap"):
        del tasklet().block_trap


def test_the_atomic_flag_is_the_tasklets_own(log):
    def work():
        with tasklets.atomic():
            schedule()
            log.append(getcurrent().atomic)

    t = tasklet(work)()
    schedule()
    assert (t.atomic, getcurrent().atomic) == (True, False)
    run()
    assert log == [True]
    assert not t.atomic


def test_atomic_objects_nest_and_can_be_used_again():
    a = tasklets.atomic()
    seen = []
    for _ in range(2):
        with a:
            with a:
                seen.append(getcurrent().atomic)
            seen.append(getcurrent().atomic)
        seen.append(getcurrent().atomic)
    assert seen == [True, True, False] * 2


# What it tells.


def test_the_states_of_a_tasklet_from_birth_to_end(log):
    ch = channel()

    def state():
        return "".join(
            letter
            for letter, flag in [
                ("A", t.alive),
                ("S", t.scheduled),
                ("B", t.blocked),
                ("P", t.paused),
                ("C", t.is_current),
            ]
            if flag
        )

    def work():
        log.append(state())
        ch.receive()
        tasklets.schedule_remove()

    t = tasklet()
    log.append(state())
    t.bind(work)
    log.append(state())
    t.bind(None, ())
    log.append(state())
    t.insert()
    log.append(state())
    run()
    log.append(state())
    ch.send(1)
    log.append(state())
    t.run()
    log.append(state())
    assert log == ["", "", "AP", "AS", "ASC", "ASB", "AP", ""]


def test_main_is_alive_and_current():
    main = getcurrent()
    assert (main.alive, main.is_current, main.is_main) == (True, True, True)
    assert (main.scheduled, main.paused, main.blocked) == (True, False, False)


def test_a_tasklet_is_not_main():
    assert not tasklet().is_main


def test_a_caller_of_run_is_paused(log):
    main = getcurrent()
    tasklet(lambda: log.append((main.paused, main.is_current, main.next)))()
    run()
    assert log == [(True, False, None)]


def test_a_tasklet_is_restorable_until_it_starts(make):
    paused = make("paused")
    ended = make("ended")
    assert tasklet().restorable
    assert tasklet(int, ()).restorable
    assert not paused.restorable
    assert ended.restorable


def test_next_and_prev_go_round_the_run_queue():
    main, a, b = getcurrent(), tasklet(int)(), tasklet(int)()
    assert [t.next for t in (main, a, b)] == [a, b, main]
    assert [t.prev for t in (main, a, b)] == [b, main, a]
    run()


def test_the_only_runnable_tasklet_is_its_own_neighbour():
    assert getcurrent().next is getcurrent().prev is getcurrent()


def test_next_and_prev_go_along_a_channels_queue():
    ch = channel()
    a, b = tasklet(ch.receive)(), tasklet(ch.receive)()
    run()
    assert [a.prev, a.next, b.prev, b.next] == [None, b, a, None]
    a.kill()
    b.kill()


@pytest.mark.parametrize("make", [tasklet, lambda: tasklet(int, ())])
def test_a_floating_tasklet_has_no_neighbours(make):
    t = make()
    assert (t.next, t.prev) == (None, None)


def test_the_channel_that_a_tasklet_waits_on_is_known(make):
    blocked = make("blocked")
    paused = make("paused")
    assert blocked._channel.queue is blocked
    assert paused._channel is None


def test_the_tempval_of_a_blocked_sender_is_what_it_sends():
    ch = channel()
    t = tasklet(ch.send)("value")
    run()
    assert t.tempval == "value"
    assert ch.receive() == "value"
    run()


def test_the_tempval_of_a_blocked_receiver_is_none(make):
    blocked = make("blocked")
    assert blocked.tempval is None


def test_a_changed_tempval_is_what_a_sender_delivers():
    ch = channel()
    t = tasklet(ch.send)("old")
    run()
    t.tempval = "new"
    assert ch.receive() == "new"
    run()


def test_a_bomb_as_tempval_is_raised(log):
    def work():
        with pytest.raises(LookupError, match="bang"):
            schedule()
        log.append("raised")

    t = tasklet(work)()
    schedule()
    t.tempval = tasklets.bomb(LookupError, LookupError("bang"))
    run()
    assert log == ["raised"]


def test_a_bomb_without_an_exception_raises_type_error(log):
    def work():
        with pytest.raises(TypeError, match="bomb"):
            schedule()
        log.append("raised")

    t = tasklet(work)()
    schedule()
    t.tempval = tasklets.bomb()
    run()
    assert log == ["raised"]


def test_an_ended_tasklet_has_no_tempval():
    t = tasklet(lambda: "returned")()
    run()
    assert t.tempval is None


def test_tempval_cannot_be_deleted():
    with pytest.raises(TypeError):
        del tasklet().tempval


@pytest.mark.parametrize(
    "name",
    [
        "alive", "scheduled", "blocked", "paused", "restorable", "is_current",
        "is_main", "thread_id", "next", "prev", "frame", "recursion_depth",
        "nesting_level", "context_id", "_channel", "spawned_at",
    ],
)  # fmt: skip
def test_what_a_tasklet_tells_cannot_be_set(name):
    t = tasklet()
    with pytest.raises(AttributeError):
        setattr(t, name, getattr(t, name))


def test_the_frame_of_a_paused_tasklet_is_its_innermost():
    def inner():
        tasklets.schedule_remove()

    def outer():
        inner()

    t = tasklet(outer)()
    run()
    assert t.frame.f_code.co_name == "inner"
    assert t.frame.f_back.f_code.co_name == "outer"
    t.kill()


def test_the_frames_of_a_paused_tasklet_end_at_its_function():
    def outer():
        tasklets.schedule_remove()

    t = tasklet(outer)()
    run()
    assert t.frame.f_back is None
    t.kill()


def test_the_frame_of_the_current_tasklet_is_the_callers():
    assert getcurrent().frame is sys._getframe()


def test_a_tasklet_that_does_not_run_python_has_no_frame(make):
    ended = make("ended")
    assert tasklet().frame is None
    assert tasklet(int, ()).frame is None
    assert ended.frame is None


def test_the_frame_of_main_is_seen_from_a_tasklet(log):
    main, here = getcurrent(), sys._getframe()
    tasklet(lambda: log.append(main.frame is here))()
    run()
    assert log == [True]


def test_the_recursion_depth_begins_at_nothing(log):
    def down(levels):
        if levels:
            down(levels - 1)
        else:
            log.append(getcurrent().recursion_depth)

    def deep(work, levels):
        return deep(work, levels - 1) if levels else work()

    tasklet(down)(0)
    tasklet(down)(10)
    deep(run, 50)
    assert log[0] < 5
    assert 8 <= log[1] - log[0] <= 12


def test_the_recursion_depth_of_a_paused_tasklet_is_where_it_left():
    def down(levels):
        return down(levels - 1) if levels else tasklets.schedule_remove()

    shallow, deep = tasklet(down)(0), tasklet(down)(20)
    run()
    # The interpreter may or may not count the call of schedule_remove().
    assert 18 <= deep.recursion_depth - shallow.recursion_depth <= 22
    shallow.kill()
    deep.kill()


def test_a_tasklet_that_does_not_run_python_has_no_recursion_depth(make):
    ended = make("ended")
    assert tasklet(int, ()).recursion_depth == 0
    assert ended.recursion_depth == 0


def test_the_nesting_level_is_positive_once_started(make):
    paused = make("paused")
    ended = make("ended")
    assert tasklet(int, ()).nesting_level == 0
    assert paused.nesting_level >= 1
    assert ended.nesting_level == 0


def test_the_repr_tells_name_and_state(make):
    blocked = make("blocked")
    paused = make("paused")
    ended = make("ended")

    def work():
        pass

    assert "unbound" in repr(tasklet())
    assert "bound" in repr(tasklet(work))
    assert "work" in repr(tasklet(work))
    assert "paused" in repr(paused)
    assert "blocked" in repr(blocked)
    assert "receive" in repr(blocked)
    assert "ended" in repr(ended)
    assert "running" in repr(getcurrent())
    assert "main" in repr(getcurrent())


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
