"""The tasklet object: its flags, and what it tells."""

import sys

import pytest

import tasklets
from tasklets import channel, getcurrent, run, schedule, tasklet

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
