"""kill_all() and TaskGroup.cancel(): many ends at the price of as many switches."""

import threading

import pytest

import tasklets
from tasklets import (
    SwitchTrapError,
    TaskGroup,
    TaskletExit,
    channel,
    getcurrent,
    getmain,
    kill_all,
    run,
    schedule,
    schedule_remove,
    scheduler,
    shield,
    sleep,
    spawn,
    switch_trap,
    tasklet,
)

MANY = 5000


def switches():
    return scheduler.statistics()["switches"]


@pytest.fixture
def log():
    return []


@pytest.fixture
def bystanders():
    """Return how many turns three runnable tasklets have had, which nobody kills."""

    def count():
        while True:
            turns[0] += 1
            schedule()

    turns = [0]
    made = [spawn(count) for _ in range(3)]
    yield turns
    kill_all(made)
    made.clear()


def live(log, name):
    try:
        while True:
            schedule()
    finally:
        log.append(name)


def wait_forever(log, name):
    try:
        channel().receive()
    finally:
        log.append(name)


def pause(log, name):
    try:
        schedule_remove(None)
    finally:
        log.append(name)


STATES = {"runnable": live, "blocked": wait_forever, "paused": pause}


# What it costs.


@pytest.mark.parametrize("state", STATES)
def test_many_end_in_as_many_switches_and_nobody_else_has_a_turn(
    state, log, bystanders
):
    entities = [spawn(STATES[state], log, number) for number in range(MANY)]
    scheduler.run(rounds=1)
    before, bystanders[0] = switches(), 0
    kill_all(entities)
    assert switches() - before == MANY + 1  # the last one is back to the caller
    assert bystanders == [0]
    assert log == list(range(MANY))
    assert not any(each.alive for each in entities)


def test_many_tasklets_that_have_not_begun_end_without_other_turns(log, bystanders):
    entities = [spawn(live, log, number) for number in range(MANY)]
    before = switches()
    kill_all(entities)
    assert switches() - before == MANY + 1
    assert (log, bystanders) == ([], [0])
    assert all(each.cancelled() for each in entities)


@pytest.mark.parametrize("state", STATES)
def test_pending_kills_enter_nobody(state, log, bystanders):
    entities = [spawn(STATES[state], log, number) for number in range(MANY)]
    scheduler.run(rounds=1)
    before, bystanders[0] = switches(), 0
    kill_all(entities, pending=True)
    assert switches() == before
    assert log == []
    scheduler.run(rounds=1)
    assert sorted(log) == list(range(MANY))
    assert bystanders == [3]


@pytest.mark.parametrize("state", STATES)
def test_to_cancel_a_group_enters_nobody(state, log, bystanders):
    with TaskGroup() as group:
        for number in range(MANY):
            group.spawn(STATES[state], log, number)
        scheduler.run(rounds=1)
        before, bystanders[0] = switches(), 0
        group.cancel()
        assert switches() == before
        assert bystanders == [0]
        assert log == []
    # All end before anybody who became runnable later has a turn.
    assert switches() - before <= MANY + 10
    assert bystanders[0] <= 6  # two turns of each until the parent's
    assert sorted(log) == list(range(MANY))


def test_a_kill_of_each_by_itself_lets_all_others_run(log):
    """What kill_all() is there for: the queue is turned for each runnable victim."""
    entities = [spawn(live, log, number) for number in range(50)]
    scheduler.run(rounds=1)
    before = switches()
    for each in entities:
        each.kill()
    assert switches() - before > 50 * 49 / 2


# What happens.


def test_all_have_ended_when_it_returns_in_the_order_given(log):
    x = spawn(live, log, "x")
    y = spawn(wait_forever, log, "y")
    z = spawn(pause, log, "z")
    scheduler.run(rounds=1)
    assert kill_all([z, x, y]) is None
    assert log == ["z", "x", "y"]
    assert [each.alive for each in (x, y, z)] == [False] * 3


@pytest.mark.parametrize("kind", [list, tuple, set, iter, dict.fromkeys])
def test_any_iterable_of_tasklets_will_do(kind, log):
    entities = [spawn(live, log, number) for number in range(3)]
    scheduler.run(rounds=1)
    kill_all(kind(entities))
    assert sorted(log) == [0, 1, 2]


def test_nobody_is_nothing():
    kill_all([])
    kill_all([], pending=True)
    kill_all(iter(()))


def test_tasklets_that_are_not_alive_are_left_alone(log):
    done = spawn(log.append, 1)
    run()
    kill_all([done, tasklet(), done])
    assert (log, done.result()) == ([1], None)


def test_twice_the_same_is_one_kill(log):
    def stubborn():
        for _ in range(2):
            try:
                schedule_remove(None)
            except TaskletExit:
                log.append("killed")

    one = spawn(stubborn)
    run()
    kill_all([one, one, one])
    assert log == ["killed"]
    assert one.alive
    one.kill()


def test_a_tasklet_that_catches_its_kill_lives_on(log):
    def stubborn():
        try:
            schedule_remove(None)
        except TaskletExit:
            log.append("no")
        schedule_remove(None)

    one = spawn(stubborn)
    two = spawn(pause, log, "two")
    run()
    kill_all([one, two])
    assert log == ["no", "two"]
    assert (one.alive, two.alive) == (True, False)
    one.kill()


def test_a_clean_up_that_waits_goes_on_later(log, bystanders):
    def careful():
        try:
            schedule_remove(None)
        finally:
            log.append("begins")
            schedule()
            log.append("ends")

    made = [spawn(careful), spawn(pause, log, "two")]
    scheduler.run(rounds=1)
    bystanders[0] = 0
    kill_all(made)
    assert (log, bystanders) == (["begins", "two"], [0])
    assert made[0].alive
    scheduler.run(rounds=1)
    assert log[-1] == "ends"


def test_what_a_clean_up_makes_runnable_waits_for_its_turn(log):
    def starts_another():
        try:
            schedule_remove(None)
        finally:
            spawn(log.append, "child")

    made = [spawn(starts_another) for _ in range(3)]
    run()
    kill_all(made)
    assert log == []
    run()
    assert log == ["child"] * 3


def test_all_are_told_before_the_first_runs(log):
    def rescues():
        try:
            schedule_remove(None)
        finally:
            log.append("first")
            with pytest.raises(RuntimeError, match="scheduled"):
                made[1].bind()
            made[1].kill()  # a second kill of a tasklet that is being killed

    made = [spawn(rescues), spawn(pause, log, "second")]
    run()
    kill_all(made)
    assert log == ["first", "second"]


def test_a_killed_tasklet_may_kill_the_others(log):
    def kills():
        try:
            schedule_remove(None)
        finally:
            kill_all(made)

    made = [spawn(kills)] + [spawn(pause, log, number) for number in range(3)]
    run()
    kill_all(made)
    assert log == [0, 1, 2]
    assert not any(each.alive for each in made)


def test_the_caller_is_killed_last(log):
    def caller():
        try:
            kill_all([getcurrent(), *made])
        finally:
            log.append("caller")

    made = [spawn(pause, log, number) for number in range(3)]
    run()
    me = spawn(caller)
    run()
    assert log == [0, 1, 2, "caller"]
    assert me.cancelled()


@pytest.mark.parametrize("pending", [False, True])
def test_the_caller_alone_is_killed_at_once(pending, log):
    def caller():
        try:
            kill_all([getcurrent()], pending=pending)
        finally:
            log.append("caller")
        log.append("not here")

    spawn(caller)
    run()
    assert log == ["caller"]


def test_a_shield_holds_the_kill_off(log, bystanders):
    def shielded():
        try:
            with shield(None):
                ch.receive()
                log.append("received")
            schedule()
        finally:
            log.append("killed")

    ch = channel()
    one = spawn(shielded)
    two = spawn(pause, log, "two")
    scheduler.run(rounds=1)
    bystanders[0] = 0
    kill_all([one, two])
    assert (log, bystanders) == (["two"], [0])
    assert one.blocked
    ch.preference = 1
    ch.send(1)
    scheduler.run(rounds=2)
    assert log == ["two", "received", "killed"]


def test_a_shielded_tasklet_that_is_runnable_has_no_turn(log):
    def shielded():
        with shield(None):
            schedule()
            log.append("on")

    one = spawn(shielded)
    scheduler.run(rounds=1)
    kill_all([one])
    assert log == []
    run()
    assert (log, one.alive) == (["on"], False)


def test_an_error_is_raised_and_the_rest_end_in_their_turn(log):
    def fails():
        try:
            schedule_remove(None)
        finally:
            raise LookupError("in the clean-up")

    made = [spawn(pause, log, "x"), spawn(fails), spawn(pause, log, "y")]
    run()
    with pytest.raises(LookupError, match="in the clean-up"):
        kill_all(made)
    assert log == ["x"]
    run()
    assert log == ["x", "y"]
    assert not any(each.alive for each in made)


def test_a_value_that_was_handed_over_goes_back(log):
    def receiver():
        log.append(ch.receive())

    ch = channel()
    ch.preference = 1
    made = [spawn(receiver) for _ in range(2)]
    run()
    ch.send("kept")
    kill_all(made)
    assert log == []
    assert ch.receive() == "kept"


def test_main_may_be_among_them(log):
    def killer():
        kill_all([getmain(), other])

    other = spawn(pause, log, "other")
    run()
    spawn(killer)
    with pytest.raises(TaskletExit):
        run()
    run()
    assert log == ["other"]


def test_tasklets_of_another_thread_end_there(log):
    def work():
        made.extend(spawn(wait_forever, log, number) for number in range(3))
        run()
        ready.set()
        here.receive()
        run()
        found.append([each.alive for each in made])

    made, found, ready, here = [], [], threading.Event(), channel()
    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    mine = spawn(pause, log, "mine")
    run()
    kill_all([*made, mine])
    assert "mine" in log
    here.send(None)
    thread.join()
    assert found == [[False] * 3]
    assert sorted(log, key=str) == [0, 1, 2, "mine"]


def test_sleepers_wake_to_die(log):
    made = [spawn(sleep, 1000) for _ in range(100)]
    run()
    kill_all(made)
    assert not any(each.alive for each in made)
    assert scheduler.pending() == 0


# Bad input: nobody is killed.


@pytest.fixture
def victims(log):
    """Return a list of one tasklet that is to live until the end of the test."""
    made = [spawn(pause, log, "killed")]
    run()
    yield made
    assert log == []
    made.pop().kill()


@pytest.mark.parametrize("bad", [None, 3, "x", getmain], ids=repr)
def test_an_object_that_is_no_tasklet_is_refused(victims, bad):
    with pytest.raises(TypeError, match="kill_all.*item 1 is"):
        kill_all([*victims, bad])


def test_one_tasklet_is_no_collection(victims):
    with pytest.raises(TypeError, match=r"not a tasklet: use its kill\(\)"):
        kill_all(victims[0])


@pytest.mark.parametrize("bad", [None, 3, getmain])
def test_an_object_that_is_not_iterable_is_refused(bad):
    with pytest.raises(TypeError, match="iterable"):
        kill_all(bad)


def test_an_error_of_the_iterable_is_raised(victims):
    def broken():
        yield victims[0]
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        kill_all(broken())


def test_arguments_are_checked(victims):
    with pytest.raises(TypeError):
        kill_all()
    with pytest.raises(TypeError):
        kill_all(victims, False, 3)
    with pytest.raises(TypeError):
        kill_all(victims, patience=3)


def test_a_trap_refuses_it(victims):
    switch_trap(1)
    try:
        with pytest.raises(SwitchTrapError):
            kill_all(victims)
    finally:
        switch_trap(-1)


def test_a_callback_refuses_it(victims):
    def callback(*_):
        try:
            kill_all(victims)
        except RuntimeError as error:
            refused.append(error)

    refused = []
    spawn(int)
    tasklets.set_schedule_callback(callback)
    run()
    tasklets.set_schedule_callback(None)
    assert refused
    refused.clear()
