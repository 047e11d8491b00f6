"""run(rounds=n): whose turn it is, and when the round is over.

test_model.py compares random programs with a model; here is each rule by itself.
"""

import random

import pytest
from stoppable import reason
from turns import turns

import tasklets
from tasklets import (
    TaskGroup,
    channel,
    getmain,
    kill_all,
    run,
    schedule,
    schedule_remove,
    scheduler,
    sleep,
    spawn,
    tasklet,
)
from tasklets.testing import seeded

# Each has one turn.


def test_each_has_one_turn_in_the_order_of_the_queue(entity, log):
    for name in "abc":
        entity(name)
    for _ in range(3):
        assert scheduler.run(rounds=1) is None
        assert scheduler.last_run()[::2] == ("rounds", 3)
        assert turns(log) == "abc"


@pytest.mark.parametrize("rounds", [1, 2, 5, 100])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_n_rounds_are_n_turns(entity, log, rounds, count):
    names = "abcdefg"[:count]
    for name in names:
        entity(name)
    scheduler.run(rounds=rounds)
    assert scheduler.last_run()[::2] == ("rounds", rounds * count)
    assert turns(log) == rounds * names


def test_a_spawned_tasklet_has_its_first_turn_in_the_next_round(entity, log):
    def parent():
        log.append("p")
        entity("c")

    entity("a")
    spawn(parent)
    entity("b")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "apb")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "acb")


def test_a_round_ends_though_everybody_spawns_another(log):
    def live(depth):
        log.append("x")
        if depth < 9:
            spawn(live, depth + 1)

    spawn(live, 0)
    for _ in range(9):
        scheduler.run(rounds=1)
        assert (turns(log), reason()) == ("x", "rounds")
    scheduler.run(rounds=1)
    assert (turns(log), reason()) == ("x", "idle")


def test_a_woken_tasklet_has_its_turn_in_the_next_round(entity, log):
    def waiter():
        ch.receive()
        log.append("w")

    def waker():
        ch.send(1)
        log.append("k")

    ch = channel()
    ch.preference = 1  # the sender goes on
    spawn(waiter)
    run()
    spawn(waker)
    entity("a")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "ka")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "wa")


def test_a_tasklet_that_waits_and_is_woken_in_the_same_round_has_one_turn(entity, log):
    def waiter():
        while True:
            log.append("w")
            ch.receive()

    ch = channel()
    ch.preference = 1
    waits = spawn(waiter)
    entity("a")
    spawn(ch.send, 1)
    assert (scheduler.run(rounds=1), turns(log)) == (None, "wa")
    assert not waits.blocked
    assert (scheduler.run(rounds=1), turns(log)) == (None, "aw")
    waits.kill()


@pytest.mark.parametrize(
    "leave",
    [lambda t: t.remove(), lambda t: t.remove().kill(), lambda t: kill_all([t])],
    ids=["remove", "remove and kill", "kill_all"],
)
@pytest.mark.parametrize("victim", "bcd")
def test_a_tasklet_that_leaves_before_its_turn_has_none(entity, log, victim, leave):
    def first():
        log.append("f")
        leave(others[victim])

    spawn(first)
    others = {name: entity(name) for name in "bcd"}
    left = "bcd".replace(victim, "")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "f" + left)
    assert reason() == "rounds"
    assert (scheduler.run(rounds=1), turns(log)) == (None, left)
    others[victim].kill()


def test_the_round_ends_when_all_that_are_left_are_removed(entity, log):
    """Nobody who had a turn is entered in place of those."""

    def first():
        log.append("f")
        for other in others:
            other.remove()
        schedule()

    early = [entity(name) for name in "xy"]
    worker = spawn(first)
    others = [entity(name) for name in "bcdef"]
    assert (scheduler.run(rounds=1), turns(log)) == (None, "xyf")
    assert (reason(), early[0].scheduled) == ("rounds", True)
    worker.kill()


def test_a_tasklet_removed_and_inserted_again_waits_for_the_next_round(entity, log):
    def first():
        other.remove().insert()
        log.append("f")

    spawn(first)
    other = entity("b")
    entity("c")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "fc")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "bc")


def test_the_only_tasklet_has_one_turn_a_round(entity, log):
    entity("a")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "a")
    assert (scheduler.run(rounds=4), turns(log)) == (None, "aaaa")


def test_a_round_of_nobody_is_idle(entity):
    assert scheduler.run(rounds=5) is None
    assert scheduler.last_run()[::2] == ("idle", 0)


@pytest.mark.parametrize("rounds", [1, 3, 2**40])
def test_a_round_after_which_nobody_is_runnable_is_idle(log, rounds):
    for name in "ab":
        spawn(log.append, name)
    assert scheduler.run(rounds=rounds) is None
    assert scheduler.last_run()[::2] == ("idle", 2)
    assert turns(log) == "ab"


# Tasklets that are chosen to run next.


def test_a_preferred_receiver_runs_within_the_round(entity, log):
    def receiver():
        while True:
            log.append(ch.receive())

    def sender():
        while True:
            ch.send("r")
            log.append("s")
            schedule()

    ch = channel()
    worker = spawn(receiver)
    run()
    spawned = spawn(sender)
    entity("a")
    # The sender gives way to the receiver, and goes on in the next round.
    assert (scheduler.run(rounds=1), turns(log)) == (None, "ra")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "sa")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "ra")
    kill_all([worker, spawned])


@pytest.mark.parametrize("pairs", [1, 2, 50])
def test_hand_overs_do_not_shorten_the_round(entity, log, pairs):
    def receiver(ch):
        while True:
            ch.receive()

    def sender(ch):
        while True:
            for _ in range(5):
                ch.send(1)
            log.append("s")

    made = []
    for _ in range(pairs):
        ch = channel()
        made += [spawn(receiver, ch), spawn(sender, ch)]
    entity("a")
    for _ in range(60):
        scheduler.run(rounds=1)
        assert turns(log).count("a") == 1
    kill_all(made)


@pytest.mark.parametrize("begun", [False, True])
def test_run_of_a_paused_tasklet_is_part_of_the_callers_turn(entity, log, begun):
    def helper():
        if begun:
            schedule_remove()
        log.append("h")

    def caller():
        log.append("<")
        paused.run()
        log.append(">")
        schedule()
        log.append("!")

    paused = tasklet(helper).bind(None, ())
    if begun:
        paused.run()
    spawn(caller)
    entity("a")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "<h>a")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "!a")


def test_run_of_a_runnable_tasklet_takes_its_turn_and_loses_nobodys(entity, log):
    def caller():
        log.append("<")
        other.run()
        log.append(">")

    entity("a")
    spawn(caller)
    entity("b")
    other = entity("c")
    entity("d")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "a<cbd")
    # Without rounds the queue is turned, and the caller is last, too.
    assert (scheduler.run(rounds=1), turns(log)) == (None, "a>cbd")


def test_run_of_a_tasklet_that_has_had_its_turn_gives_it_another(entity, log):
    def caller():
        log.append("<")
        early.run()
        log.append(">")

    early = entity("a")
    spawn(caller)
    entity("b")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "a<ab")
    assert (scheduler.run(rounds=1), turns(log)) == (None, ">ab")


def test_switch_to_another_pauses_the_caller(entity, log):
    def caller():
        log.append("<")
        other.switch()
        log.append(">")

    worker = spawn(caller)
    entity("b")
    other = entity("c")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "<cb")
    assert worker.paused
    assert (scheduler.run(rounds=1), turns(log)) == (None, "cb")
    worker.kill()


def test_kill_and_throw_run_their_victim_within_the_round(entity, log):
    def victim(name):
        try:
            ch.receive()
        except ValueError:
            log.append(name.upper())
        finally:
            log.append(name)

    def killer():
        log.append("<")
        x.kill()
        y.throw(ValueError)
        log.append(">")

    ch = channel()
    x, y = spawn(victim, "x"), spawn(victim, "y")
    run()
    spawn(killer)
    entity("a")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "<xYy>a")


def test_kill_all_is_part_of_the_callers_turn(entity, log):
    def victim():
        try:
            schedule_remove(None)
        finally:
            log.append("x")

    def killer():
        log.append("<")
        kill_all(made)
        log.append(">")
        schedule()

    made = [spawn(victim) for _ in range(3)]
    run()
    for each in made[1:]:
        each.insert()  # these are runnable
    spawn(killer)
    entity("a")
    assert (scheduler.run(rounds=1), turns(log)[:5]) == (None, "xx<x>")


def test_tasklets_that_name_each_other_are_bounded_by_switches(entity, log):
    def one(other):
        while True:
            log.append("x")
            both[other].run()

    both = [spawn(one, 1), spawn(one, 0)]
    entity("a")
    scheduler.run(rounds=1, switches=50)
    assert (turns(log), reason()) == ("x" * 50, "switches")
    for each in both:
        each.remove()
    kill_all(both)


def test_an_order_that_is_shuffled_keeps_to_the_rounds(log):
    def live(name):
        while True:
            log.append(name)
            if rnd.random() < 0.3:
                spawned.append(spawn(log.append, "z"))
            sleep(0) if rnd.random() < 0.3 else schedule()

    rnd, spawned = random.Random(5), []
    made = [spawn(live, name) for name in "abcdefgh"]
    with seeded(7):
        for _ in range(200):
            before = sum(not each.done() for each in spawned)
            scheduler.run(rounds=1)
            found = turns(log)
            assert sorted(found.replace("z", "")) == sorted("abcdefgh")
            assert found.count("z") == before
    kill_all(made)


# What comes due.


def test_what_is_due_when_a_round_begins_is_in_it(entity, log, still_clock):
    scheduler.call_later(1, log.append, "l")
    scheduler.call_later(3, log.append, "m")
    entity("a")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "a")
    still_clock.advance(1)
    assert scheduler.run(rounds=1) is None
    assert sorted(turns(log)) == ["a", "l"]
    still_clock.advance(2)
    assert scheduler.run(rounds=1) is None
    assert sorted(turns(log)) == ["a", "m"]


def test_what_is_called_soon_comes_in_the_next_round(entity, log):
    def caller():
        log.append("c")
        scheduler.call_soon(log.append, "s")

    spawn(caller)
    entity("a")
    scheduler.run(rounds=1)
    assert turns(log) == "ca"
    scheduler.run(rounds=1)
    assert turns(log) == "sa"


def test_each_of_several_rounds_begins_with_what_is_due(entity, log):
    def caller():
        for _ in range(3):
            log.append("c")
            scheduler.call_soon(log.append, "s")
            schedule()

    spawn(caller)
    entity("a")
    scheduler.run(rounds=2)
    # As in the test before, it was due when the second round began.
    assert turns(log)[:2] == "ca"
    scheduler.run(rounds=4)
    assert turns(log).count("a") == 4
    assert scheduler.pending() == 0


def test_a_sleeper_that_wakes_has_its_turn_in_the_next_round(entity, log, still_clock):
    def sleeper():
        while True:
            log.append("s")
            sleep(1)

    waits = spawn(sleeper)
    entity("a")
    for _ in range(5):
        assert scheduler.run(rounds=1) is None
        assert sorted(turns(log)) == ["a", "s"]
        still_clock.advance(1)
    waits.kill()


# wait=True


def test_with_wait_a_round_begins_when_somebody_is_runnable(log, still_clock):
    def sleeper():
        sleep(5)
        log.append("s")
        sleep(5)
        log.append("t")

    waits = spawn(sleeper)
    run()
    assert scheduler.run(rounds=1, wait=True) is None
    assert (turns(log), still_clock.now()) == ("s", 5)
    assert reason() == "rounds"  # something is still to come: not idle
    assert scheduler.run(rounds=1, wait=True) is None
    assert (turns(log), still_clock.now()) == ("t", 10)
    assert reason() == "idle"
    assert waits.done()


def test_with_wait_the_rounds_wait_for_one_another(log, still_clock):
    def sleeper():
        for name in "abcde":
            sleep(2)
            log.append(name)

    waits = spawn(sleeper)
    assert scheduler.run(rounds=4, wait=True) is None
    assert (turns(log), reason(), still_clock.now()) == ("abc", "rounds", 6)
    assert scheduler.run(rounds=100, wait=True) is None
    assert (turns(log), reason(), still_clock.now()) == ("de", "idle", 10)
    assert waits.done()


@pytest.mark.parametrize("budget", ["switches", "rounds"])
def test_with_wait_a_budget_that_is_used_up_waits_for_nothing(budget, still_clock):
    sleeper = spawn(sleep, 1000)
    assert scheduler.run(**{budget: 1}, wait=True) is None
    assert (reason(), still_clock.now()) == (budget, 0)
    sleeper.kill()


def test_a_round_is_over_though_an_inner_run_waits(log, still_clock):
    def inner():
        scheduler.run(wait=True)
        log.append("i")

    sleeper = spawn(sleep, 1000)
    waits = spawn(inner)
    assert scheduler.run(rounds=1) is None
    assert (reason(), still_clock.now()) == ("rounds", 0)
    kill_all([sleeper, waits])
    assert log == []


# Nothing to run, and bad input.


@pytest.mark.parametrize(
    "name", ["ticks", "seconds", "switches", "rounds", "slice_ticks", "slice_seconds"]
)
@pytest.mark.parametrize("value", [0, -1, -(2**62), -(2**100), False])
def test_a_budget_of_nothing_returns_at_once(entity, log, still_clock, name, value):
    scheduler.call_later(1, log.append, "due")
    still_clock.advance(2)
    entity("a")
    assert scheduler.run(**{name: value}) is None
    last = scheduler.last_run()
    assert (last.reason, last.switches) == (name, 0)
    assert 0 <= last.elapsed < 1
    assert log == []
    assert scheduler.run(**{name: value}, wait=True, threadblock=True) is None
    assert log == []
    assert scheduler.pending() == 1
    scheduler.run(rounds=2)


@pytest.mark.parametrize("name", ["seconds", "slice_seconds"])
@pytest.mark.parametrize("value", [0.0, -0.0, -1e-300, float("-inf")])
def test_a_time_of_nothing_returns_at_once(entity, log, name, value):
    entity("a")
    assert scheduler.run(**{name: value}) is None
    assert (reason(), log) == (name, [])


def test_a_budget_of_nothing_counts_though_others_allow_something(entity, log):
    entity("a")
    assert scheduler.run(rounds=3, seconds=-0.001) is None
    assert (reason(), log) == ("seconds", [])
    assert scheduler.run(rounds=0, seconds=5, slice_ticks=0) is None
    assert (reason(), log) == ("rounds", [])


def test_a_budget_of_nothing_is_refused_where_run_is(entity, log):
    def callback(*_):
        try:
            scheduler.run(rounds=0)
        except RuntimeError as error:
            log.append(str(error))

    entity("a")
    tasklets.set_schedule_callback(callback)
    schedule()
    tasklets.set_schedule_callback(None)
    assert "callback" in log[0]


def test_stop_comes_before_a_budget_of_nothing():
    scheduler.stop()
    scheduler.run(rounds=0)
    assert reason() == "stopped"
    scheduler.run(rounds=0)
    assert reason() == "rounds"


def test_true_is_one_round(entity, log):
    entity("a")
    scheduler.run(rounds=True)
    assert turns(log) == "a"


def test_rounds_are_given_by_name(entity):
    with pytest.raises(TypeError):
        scheduler.run(None, 1)


def test_main_that_is_run_by_a_tasklet_ends_the_round(entity, log):
    def back():
        log.append("x")
        getmain().run()
        log.append("y")

    entity("a")
    spawn(back)
    entity("b")
    scheduler.run(rounds=5)
    assert (turns(log), reason()) == ("ax", "stopped")
    scheduler.run(rounds=1)
    assert sorted(turns(log)) == ["a", "b", "y"]


def test_a_tasklet_that_only_main_could_serve_waits_on(entity, log):
    ch = channel()
    waits = spawn(ch.receive)
    entity("a")
    scheduler.run(rounds=3)
    assert waits.blocked
    assert turns(log) == "aaa"
    waits.kill()


def test_a_group_in_rounds(log):
    def work(name):
        for _ in range(3):
            log.append(name)
            schedule()

    def parent():
        with TaskGroup() as group:
            for name in "abc":
                group.spawn(work, name)
        log.append("end")

    spawn(parent)
    found = []
    while (scheduler.run(rounds=1), reason())[1] != "idle":
        found.append(turns(log))
    assert found[:4] == ["", "abc", "abc", "abc"]
    assert turns(log) == "end"
