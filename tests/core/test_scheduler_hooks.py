"""switch_trap() and the schedule callback."""

import threading

import pytest
from turns import ring

import tasklets
from tasklets import (
    SwitchTrapError,
    channel,
    getcurrent,
    getruncount,
    run,
    schedule,
    schedule_remove,
    scheduler,
    tasklet,
)

# switch_trap.


def test_switch_trap_returns_the_old_count():
    assert [tasklets.switch_trap(n) for n in (0, 1, 2, 0, -3)] == [0, 0, 1, 3, 3]
    assert tasklets.switch_trap() == 0


@pytest.mark.parametrize("value", ["1", None, 1.0])
def test_switch_trap_takes_an_int(value):
    with pytest.raises(TypeError):
        tasklets.switch_trap(value)


@pytest.mark.parametrize("value", [2**31, -(2**31), 2**100])
def test_switch_trap_refuses_what_it_cannot_count(value):
    with pytest.raises(OverflowError):
        tasklets.switch_trap(value)
    assert tasklets.switch_trap() == 0


MOVES = {
    "schedule": lambda t: schedule(),
    "schedule_remove": lambda t: schedule_remove(),
    "run": lambda t: run(),
    "tasklet.run": lambda t: t.run(),
    "tasklet.switch": lambda t: t.switch(),
    "kill": lambda t: t.kill(),
    "throw": lambda t: t.throw(KeyError),
    "raise_exception": lambda t: t.raise_exception(KeyError),
    "receive": lambda t: channel().receive(),
    "send": lambda t: channel().send(1),
    "join": lambda t: t.join(),
    "scheduler.run": lambda t: scheduler.run(switches=3),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("floating", [False, True])
def test_a_trapped_thread_does_not_switch(move, floating):
    t, other = tasklet(int)(), tasklet(int)()
    if floating:
        t.remove()
    before = [x is y for x in ring() for y in (t, other, getcurrent())]
    with tasklets.no_switch(), pytest.raises(SwitchTrapError, match="switch_trap"):
        move(t)
    assert [x is y for x in ring() for y in (t, other, getcurrent())] == before
    assert (t.alive, t.scheduled) == (True, not floating)
    assert getcurrent().tempval is None
    t.kill()
    other.kill()


@pytest.mark.parametrize("move", ["schedule", "run", "scheduler.run"])
def test_a_trap_does_no_harm_where_nobody_else_can_run(move):
    with tasklets.no_switch():
        MOVES[move](None)


def test_a_trapped_thread_does_not_wait_for_others_in_run():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with tasklets.no_switch(), pytest.raises(SwitchTrapError):
        scheduler.run(threadblock=True)
    done.set()
    thread.join()


def test_a_trap_allows_to_switch_to_oneself():
    with tasklets.no_switch():
        getcurrent().run()
        getcurrent().switch()


def test_a_trap_allows_insert_and_remove():
    t = tasklet(int)
    with tasklets.no_switch():
        t().remove().insert()
        t.throw(KeyError, pending=True)
    with pytest.raises(KeyError):
        run()


def test_a_tasklet_that_ends_while_trapped_goes_to_the_next(log):
    def work():
        tasklets.switch_trap(1)

    tasklet(work)()
    tasklet(lambda: log.append(tasklets.switch_trap(-1)))()
    run()
    assert log == [1]


def test_a_trap_is_seen_by_all_tasklets_of_the_thread(log):
    def work():
        tasklets.switch_trap(1)
        schedule()

    t = tasklet(work)()
    other = tasklet(int)()
    with pytest.raises(SwitchTrapError):
        run()
    assert tasklets.switch_trap(-1) == 1
    assert (t.alive, other.alive) == (False, True)
    run()


def test_a_switch_trap_error_is_a_runtime_error():
    assert issubclass(SwitchTrapError, RuntimeError)


def test_no_switch_nests():
    with tasklets.no_switch():
        with tasklets.no_switch():
            assert tasklets.switch_trap() == 2
        assert tasklets.switch_trap() == 1
    assert tasklets.switch_trap() == 0


# The schedule callback.


@pytest.fixture
def switches(log):
    """Note every switch as the names of who is left and who is entered."""
    getcurrent().name = "M"
    tasklets.set_schedule_callback(
        lambda old, new: log.append(f"{old.name}->{new.name}")
    )
    yield log
    tasklets.set_schedule_callback(None)
    getcurrent().name = "main"


def named(name, work=int):
    t = tasklet(work)
    t.name = name
    return t()


def test_the_schedule_callback_is_told_of_each_switch(switches):
    named("a", schedule)
    named("b")
    run()
    assert switches == ["M->a", "a->b", "b->a", "a->M"]


def test_the_schedule_callback_is_not_told_of_a_switch_to_oneself(switches):
    schedule()
    getcurrent().run()
    assert switches == []


def test_the_schedule_callback_sees_the_previous_tasklet_as_current(log):
    t = tasklet(int)()
    tasklets.set_schedule_callback(
        lambda old, new: log.append((getcurrent() is old, new is t, getruncount()))
    )
    schedule()
    tasklets.set_schedule_callback(None)
    assert log == [(True, True, 2), (True, False, 1)]


def test_the_schedule_callback_counts_the_tasklet_that_is_entered(log):
    t = tasklet(int, ())
    tasklets.set_schedule_callback(lambda old, new: log.append(getruncount()))
    t.run()
    tasklets.set_schedule_callback(None)
    assert log == [2, 1]


def test_an_error_of_the_schedule_callback_is_reported(monkeypatch, log):
    monkeypatch.setattr("sys.unraisablehook", lambda args: log.append(args.exc_type))

    def fail(old, new):
        raise KeyError

    t = tasklet(int)()
    tasklets.set_schedule_callback(fail)
    run()
    tasklets.set_schedule_callback(None)
    assert log == [KeyError, KeyError]
    assert not t.alive


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_the_schedule_callback_may_not_switch(move, log):
    t, other = tasklet(int)(), tasklet(int, ())

    def misuse(old, new):
        log.append(f"{old.is_main} {new.is_main}")
        try:
            move(other)
        except RuntimeError:
            log.append("refused")

    tasklets.set_schedule_callback(misuse)
    schedule()
    tasklets.set_schedule_callback(None)
    assert log[:3] == ["True False", "refused", "False True"]
    assert (t.alive, other.paused) == (False, True)
    other.kill()


def test_the_schedule_callback_may_insert(log):
    t = tasklet(log.append, (1,))

    def insert(old, new):
        if t.alive:
            t.insert()

    tasklet(int)()
    tasklets.set_schedule_callback(insert)
    run()
    tasklets.set_schedule_callback(None)
    assert log == [1]


def test_the_schedule_callback_may_not_remove_the_next_tasklet(log):
    def misuse(old, new):
        for t in (old, new):
            try:
                t.remove()
            except RuntimeError as error:
                log.append(str(error))

    t = tasklet(int)()
    tasklets.set_schedule_callback(misuse)
    schedule()
    tasklets.set_schedule_callback(None)
    assert log == ["The current tasklet cannot be removed."] * len(log)
    assert len(log) >= 3
    assert not t.alive


def test_the_schedule_callback_may_throw_pending_to_the_next_tasklet(log):
    def work():
        try:
            schedule()
        except KeyError:
            log.append("thrown")

    t = tasklet(work)()
    schedule()

    def throw(old, new):
        if new is t:
            tasklets.set_schedule_callback(None)
            t.throw(KeyError, pending=True)

    tasklets.set_schedule_callback(throw)
    run()
    assert log == ["thrown"]


def test_the_schedule_callback_may_use_channels_that_do_not_block(log):
    ch = channel()
    ch.preference = 0
    tasklet(lambda: log.append(ch.receive()))()
    run()

    def send(old, new):
        tasklets.set_schedule_callback(None)
        ch.send("value")

    tasklet(int)()
    tasklets.set_schedule_callback(send)
    run()
    assert log == ["value"]


def test_set_schedule_callback_returns_the_previous_one():
    assert tasklets.set_schedule_callback(print) is None
    assert tasklets.get_schedule_callback() is print
    assert tasklets.set_schedule_callback(None) is print
    assert tasklets.get_schedule_callback() is None


@pytest.mark.parametrize("value", [1, "print"])
def test_the_schedule_callback_must_be_callable(value):
    with pytest.raises(TypeError, match="^schedule callback must be callable$"):
        tasklets.set_schedule_callback(value)


def test_the_schedule_callback_is_told_of_a_new_threads_main(log):
    tasklets.set_schedule_callback(lambda old, new: log.append((old, new.is_main)))
    thread = threading.Thread(target=getcurrent)
    thread.start()
    thread.join()
    tasklets.set_schedule_callback(None)
    assert log == [(None, True)]
