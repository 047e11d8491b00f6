"""spawn(): names, results, waiting for the end and callbacks at it."""

import concurrent.futures
import sys
import threading
import weakref

import pytest

import tasklets
from tasklets import (
    BlockTrapError,
    CancelledError,
    DeadlockError,
    TaskletExit,
    channel,
    getcurrent,
    run,
    schedule,
    spawn,
    tasklet,
)


def fail(error=KeyError):
    raise error


def fail_later(error=KeyError):
    schedule()
    raise error


def attempt(ask):
    try:
        return ask()
    except KeyError as error:
        return error


def value():
    schedule()
    return "value"


# Starting.


def test_spawn_makes_a_runnable_tasklet():
    t = spawn(int)
    assert isinstance(t, tasklet)
    assert (t.alive, t.scheduled, t.blocked) == (True, True, False)
    run()


def test_spawn_passes_its_arguments(log):
    spawn(lambda *a, **k: log.append((a, k)), 1, 2, b=3)
    run()
    assert log == [((1, 2), {"b": 3})]


def test_spawn_appends_to_the_run_queue(log):
    for name in "abc":
        spawn(log.append, name)
    run()
    assert log == ["a", "b", "c"]


def test_the_function_may_have_a_parameter_of_any_other_name(log):
    spawn(lambda **k: log.append(k), func=1, args=2, self=3, kwargs=4)
    run()
    assert log == [{"func": 1, "args": 2, "self": 3, "kwargs": 4}]


@pytest.mark.parametrize("args", [(), (1,), (None,), ("int",)])
def test_spawn_needs_a_callable(args):
    with pytest.raises(TypeError, match="callable"):
        spawn(*args)


def test_spawn_needs_its_function_by_position():
    with pytest.raises(TypeError):
        spawn(func=int)


@pytest.mark.parametrize("name", [1, b"x", ["x"]])
def test_the_name_must_be_a_str(name):
    with pytest.raises(TypeError, match="name"):
        spawn(int, name=name)
    assert tasklets.getruncount() == 1


def test_a_keyword_dict_is_not_changed(log):
    options = {"a": 1, "name": "x"}
    spawn(lambda **k: log.append(k), **options)
    run()
    assert log == [{"a": 1}]
    assert options == {"a": 1, "name": "x"}


# Names.


def test_a_name_can_be_given():
    t = spawn(int, name="the name")
    assert t.name == "the name"
    run()
    assert t.name == "the name"


def test_without_a_name_it_is_that_of_the_function():
    assert spawn(value).name == "value"
    assert spawn(fail, TaskletExit).name == "fail"
    assert spawn(value, name=None).name == "value"
    run()


def test_a_callable_without_a_name_does():
    class Work:
        def __call__(self):
            pass

    assert isinstance(spawn(Work()).name, str)
    run()


def test_a_name_can_be_changed():
    t = spawn(int)
    t.name = "new"
    assert t.name == "new"
    assert "new" in repr(t)
    run()


@pytest.mark.parametrize("name", [1, None, b"x"])
def test_a_changed_name_must_be_a_str(name):
    with pytest.raises(TypeError, match="name"):
        tasklet().name = name


def test_a_name_cannot_be_deleted():
    with pytest.raises(TypeError, match="name"):
        del tasklet().name


def test_a_tasklet_of_stackless_has_a_name_too():
    assert tasklet(value).name == "value"
    assert isinstance(tasklet().name, str)


def test_the_main_tasklet_has_a_name():
    assert tasklets.getmain().name == "main"


def test_spawned_at_is_the_place_of_the_call():
    t = spawn(int)
    line = sys._getframe().f_lineno - 1
    assert t.spawned_at == (__file__, line)
    run()
    assert t.spawned_at == (__file__, line)


def test_a_tasklet_that_was_not_spawned_has_no_place():
    assert tasklet().spawned_at is None
    assert getcurrent().spawned_at is None


def test_spawned_at_keeps_no_frame_alive():
    class Thing:
        pass

    def work():
        thing = Thing()
        return weakref.ref(thing), spawn(int)

    ref, t = work()
    assert ref() is None
    t.kill()


# Results.


def test_result_waits_and_returns_the_value():
    assert spawn(value).result() == "value"


def test_result_can_be_asked_again():
    t = spawn(value)
    assert [t.result(), t.result()] == ["value", "value"]


def test_result_of_an_ended_tasklet_does_not_switch(log):
    t = spawn(value)
    run()
    u = spawn(log.append, 1)
    assert t.result() == "value"
    assert log == []
    u.kill()


def test_result_raises_the_error():
    error = KeyError("x")
    t = spawn(fail, error)
    with pytest.raises(KeyError) as caught:
        t.result()
    assert caught.value is error
    with pytest.raises(KeyError):
        t.result()


def test_exception_returns_the_error():
    error = KeyError("x")
    assert spawn(fail, error).exception() is error


def test_exception_of_a_success_is_none():
    assert spawn(value).exception() is None


def test_result_of_a_killed_tasklet_is_cancelled():
    t = spawn(value)
    t.kill()
    for ask in (t.result, t.exception):
        with pytest.raises(CancelledError, match="killed"):
            ask()


def test_cancelled_error_is_that_of_concurrent_futures():
    assert issubclass(CancelledError, concurrent.futures.CancelledError)
    assert issubclass(CancelledError, RuntimeError)


def test_result_of_a_tasklet_killed_during_the_wait_is_cancelled():
    t = spawn(tasklets.schedule_remove)
    spawn(t.kill)
    with pytest.raises(CancelledError):
        t.result()


@pytest.mark.parametrize("ask", [tasklet.result, tasklet.exception])
def test_only_spawned_tasklets_keep_their_result(ask):
    t = tasklet(value)()
    with pytest.raises(RuntimeError, match="spawn"):
        ask(t)
    run()
    with pytest.raises(RuntimeError, match="spawn"):
        ask(t)


def test_a_kept_value_dies_with_the_tasklet():
    class Thing:
        pass

    t = spawn(Thing)
    run()
    ref = weakref.ref(t.result())
    assert ref() is not None
    del t
    assert ref() is None


def test_a_tasklet_that_is_bound_again_forgets_its_result():
    t = spawn(value)
    run()
    t.bind(int)("5")
    assert not t.done()
    assert t.result() == 5


# done and cancelled.


def test_done_is_true_at_the_end():
    t = spawn(value)
    assert (t.done(), t.cancelled()) == (False, False)
    schedule()
    assert (t.done(), t.cancelled()) == (False, False)
    run()
    assert (t.done(), t.cancelled()) == (True, False)


def test_a_failed_tasklet_is_done():
    t = spawn(fail)
    t.join()
    assert (t.done(), t.cancelled()) == (True, False)


def test_a_killed_tasklet_is_done_and_cancelled():
    t = spawn(value)
    t.kill()
    assert (t.done(), t.cancelled()) == (True, True)


def test_a_tasklet_of_stackless_knows_when_it_is_done():
    t = tasklet(value)
    assert not t.done()
    t()
    assert not t.done()
    run()
    assert t.done()


def test_main_is_never_done():
    assert not tasklets.getmain().done()


# join.


def test_join_waits_for_the_end(log):
    t = spawn(value)
    assert t.join() is True
    assert t.done()


def test_join_of_an_ended_tasklet_returns_at_once():
    t = spawn(value)
    run()
    assert t.join() is True


def test_join_does_not_raise_the_error():
    t = spawn(fail)
    assert t.join() is True
    assert isinstance(t.exception(), KeyError)


def test_join_of_a_tasklet_of_stackless_works():
    t = tasklet(value)()
    assert t.join() is True
    assert not t.alive


def test_the_error_of_a_joined_tasklet_of_stackless_is_not_lost():
    t = tasklet(fail)()
    with pytest.raises(KeyError):
        t.join()
    assert t.join() is True


def test_many_tasklets_may_join_one(log):
    def wait(name):
        log.append((name, t.result()))

    t = spawn(value)
    for name in "abc":
        spawn(wait, name)
    run()
    assert log == [("a", "value"), ("b", "value"), ("c", "value")]


def test_joiners_run_in_the_order_in_which_they_came(log):
    t = spawn(value)
    for name in "abc":
        spawn(lambda name=name: (t.join(), log.append(name)))
    spawn(log.append, "other")
    run()
    assert log == ["other", "a", "b", "c"]


def test_a_joiner_is_blocked():
    t = spawn(tasklets.schedule_remove)
    waiter = spawn(t.join)
    run()
    assert (waiter.blocked, waiter.scheduled, waiter._channel) == (True, True, None)
    assert "join" in repr(waiter)
    t.insert()
    run()
    assert not waiter.alive


def test_one_of_the_joiners_may_be_killed(log):
    t = spawn(tasklets.schedule_remove)
    waiters = [spawn(lambda n=n: (t.join(), log.append(n))) for n in "abc"]
    run()
    waiters[1].kill()
    t.insert()
    run()
    assert log == ["a", "c"]


def test_joiners_are_neighbours():
    t = spawn(tasklets.schedule_remove)
    a, b = spawn(t.join), spawn(t.join)
    run()
    assert (a.prev is None, a.next is b, b.prev is a, b.next is None) == (True,) * 4
    t.kill()
    run()


def test_a_tasklet_cannot_wait_for_itself():
    for ask in (getcurrent().join, spawn(value).join):
        if ask.__self__ is getcurrent():
            with pytest.raises(RuntimeError, match="own end"):
                ask()
    run()


def test_two_tasklets_that_wait_for_each_other_are_a_deadlock(log):
    ch = channel()

    def work(number):
        try:
            pair[1 - number].join()
        except DeadlockError:
            log.append(number)
            ch.send("deadlock")

    pair = [spawn(work, 0), spawn(work, 1)]
    assert ch.receive() == "deadlock"
    run()
    assert log == [1]
    assert [t.alive for t in pair] == [False, False]


def test_join_of_a_paused_tasklet_is_a_deadlock():
    t = tasklet(int, ())
    with pytest.raises(DeadlockError, match="^Deadlock"):
        t.join()


def test_join_with_a_block_trap_is_refused():
    t = spawn(value)
    with tasklets.block_trap(), pytest.raises(BlockTrapError):
        t.join()
    run()


def test_join_of_an_ended_tasklet_with_a_block_trap_is_allowed():
    t = spawn(value)
    run()
    with tasklets.block_trap():
        assert t.join()


@pytest.mark.parametrize("method", ["done", "cancelled"])
def test_a_question_takes_no_argument(method):
    with pytest.raises(TypeError):
        getattr(spawn(int), method)(1)
    run()


def test_main_can_wait_for_a_tasklet_of_another_thread():
    box, made = [], threading.Event()

    def work():
        box.append(spawn(value))
        made.set()
        box[0].join()

    thread = threading.Thread(target=work)
    thread.start()
    made.wait(10)
    assert box.pop().result() == "value"
    thread.join()


def test_a_tasklet_of_an_ended_thread_is_done_and_cancelled():
    box = []
    thread = threading.Thread(target=lambda: box.append(spawn(value)))
    thread.start()
    thread.join()
    t = box.pop()
    assert t.done()
    assert t.join()
    with pytest.raises(CancelledError):
        t.result()


# Who hears of an error.


def test_an_unheard_error_goes_to_run():
    t = spawn(fail)
    with pytest.raises(KeyError):
        run()
    assert isinstance(t.exception(), KeyError)


def test_a_heard_error_does_not_disturb_run(log):
    t = spawn(fail_later)
    spawn(lambda: log.append(type(t.exception())))
    run()
    assert log == [KeyError]


@pytest.mark.parametrize("ask", ["join", "result", "exception"])
def test_every_joiner_gets_the_error(ask):
    t = spawn(fail_later)
    waiter = spawn(lambda: attempt(getattr(t, ask)))
    run()
    assert (t.alive, waiter.alive) == (False, False)


def test_a_done_callback_hears_of_the_error(log):
    t = spawn(fail)
    t.add_done_callback(lambda t: log.append(type(t.exception())))
    run()
    assert log == [KeyError]


def test_an_error_is_heard_if_somebody_waits_at_the_moment_of_death():
    t = spawn(tasklets.schedule_remove)
    waiter = spawn(t.join)
    run()
    t.throw(KeyError)
    assert not t.alive
    run()
    assert not waiter.alive


def test_a_late_joiner_does_not_count_as_told_of_the_error():
    t = spawn(fail)
    with pytest.raises(KeyError):
        schedule()
    assert isinstance(t.exception(), KeyError)


def test_the_error_handler_is_asked_only_about_unheard_errors(log):
    tasklets.set_error_handler(lambda kind, value, tb: log.append(kind))
    heard, unheard = spawn(fail, KeyError), spawn(fail, ValueError)
    heard.join()
    run()
    assert log == [ValueError]
    assert isinstance(unheard.exception(), ValueError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_reaches_main_as_well(error, log):
    t = spawn(fail_later, error)
    spawn(lambda: log.append(type(t.exception())))
    with pytest.raises(error):
        run()
    run()
    assert log == [error]


def test_the_system_exit_of_a_spawned_tasklet_in_a_thread_is_its_outcome(log):
    def work():
        t = spawn(sys.exit, 5)
        log.append(type(t.exception()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert log == [SystemExit]


# Done callbacks.


def test_a_done_callback_gets_the_tasklet(log):
    t = spawn(value)
    t.add_done_callback(lambda arg: log.append((arg is t, t.done(), t.result())))
    run()
    assert log == [(True, True, "value")]


def test_add_done_callback_returns_none():
    t = spawn(value)
    assert t.add_done_callback(int.__class__) is None
    run()


def test_a_done_callback_added_at_the_end_is_called_at_once(log):
    t = spawn(value)
    run()
    t.add_done_callback(lambda t: log.append("called"))
    assert log == ["called"]


def test_done_callbacks_are_called_in_order(log):
    t = spawn(value)
    for name in "abc":
        t.add_done_callback(lambda t, name=name: log.append(name))
    run()
    assert log == ["a", "b", "c"]


def test_a_done_callback_is_called_once(log):
    t = spawn(value)
    t.add_done_callback(lambda t: log.append(1))
    run()
    t.bind(int)()
    run()
    assert log == [1]


def test_a_done_callback_of_a_killed_tasklet_is_called(log):
    t = spawn(value)
    t.add_done_callback(lambda t: log.append(t.cancelled()))
    t.kill()
    assert log == [True]


def test_a_done_callback_of_a_tasklet_of_stackless_is_called(log):
    t = tasklet(value)()
    t.add_done_callback(lambda t: log.append(t.done()))
    run()
    assert log == [True]


def test_a_done_callback_may_switch(log):
    def callback(t):
        schedule()
        log.append("callback")

    t = spawn(value)
    t.add_done_callback(callback)
    spawn(log.append, "other")
    run()
    assert log == ["other", "callback"]


def test_an_error_of_a_done_callback_is_reported(monkeypatch, log):
    monkeypatch.setattr(sys, "unraisablehook", lambda args: log.append(args.exc_type))
    t = spawn(value)
    t.add_done_callback(lambda t: fail())
    t.add_done_callback(lambda t: log.append("next"))
    run()
    assert log == [KeyError, "next"]
    t.add_done_callback(lambda t: fail(ValueError))
    assert log == [KeyError, "next", ValueError]


@pytest.mark.parametrize("callback", [None, 1, "int"])
def test_a_done_callback_must_be_callable(callback):
    with pytest.raises(TypeError, match="callable"):
        tasklet().add_done_callback(callback)


def test_remove_done_callback_counts_what_it_removed(log):
    t = spawn(value)
    t.add_done_callback(log.append)
    t.add_done_callback(log.append)
    assert t.remove_done_callback(log.append) == 2
    assert t.remove_done_callback(log.append) == 0
    run()
    assert log == []


def test_remove_done_callback_leaves_the_others(log):
    t = spawn(value)
    t.add_done_callback(lambda t: log.append("a"))
    t.add_done_callback(len)
    t.add_done_callback(lambda t: log.append("b"))
    t.remove_done_callback(len)
    run()
    assert log == ["a", "b"]


def test_remove_done_callback_of_an_ended_tasklet_finds_nothing():
    t = spawn(value)
    t.add_done_callback(str)
    run()
    assert t.remove_done_callback(str) == 0


def test_a_removed_callback_hears_of_nothing():
    t = spawn(fail)
    t.add_done_callback(str)
    t.remove_done_callback(str)
    with pytest.raises(KeyError):
        run()


def test_a_done_callback_runs_before_the_joiners_go_on(log):
    t = spawn(value)
    t.add_done_callback(lambda t: log.append("callback"))
    spawn(lambda: (t.join(), log.append("waiter")))
    run()
    assert log == ["callback", "waiter"]


def test_a_channel_may_be_used_in_a_done_callback(log):
    ch = channel()
    t = spawn(value)
    t.add_done_callback(lambda t: ch.send(t.result()))
    assert ch.receive() == "value"
    run()


def test_a_done_callback_is_not_stopped_by_a_budget(log):
    def note(one):
        for number in range(100):
            log.append(number)

    for ticks in range(1, 40):
        log.clear()
        spawn(int).add_done_callback(note)
        stopped = tasklets.scheduler.run(ticks)
        assert log == [*range(100)]
        assert stopped is None
