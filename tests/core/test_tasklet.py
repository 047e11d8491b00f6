"""The tasklet object: setting up and moving about."""

import pickle
import weakref

import pytest
from turns import note

import tasklets
from tasklets import getcurrent, run, schedule, tasklet

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


def test_an_unbound_tasklet_releases_its_arguments():
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
