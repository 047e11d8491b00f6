"""run(rounds=n): other threads, calls inside calls, other budgets."""

import contextlib
import random
import threading

import pytest
from stoppable import reason
from turns import turns

from tasklets import (
    atomic,
    channel,
    getcurrent,
    getmain,
    kill_all,
    run,
    schedule,
    schedule_remove,
    scheduler,
    sleep,
    spawn,
    tasklet,
    timeout,
)

# Other threads.


def test_what_another_thread_makes_runnable_is_in_the_next_round(entity, log):
    def busy():
        log.append("b")
        go.set()
        while not paused.scheduled:
            pass  # the other thread inserts it

    def other():
        go.wait()
        paused.insert()

    go = threading.Event()
    paused = tasklet(log.append).bind(None, ("p",))
    spawn(busy)
    entity("a")
    thread = threading.Thread(target=other)
    thread.start()
    assert (scheduler.run(rounds=1), turns(log)) == (None, "ba")
    thread.join()
    assert (scheduler.run(rounds=1), turns(log)) == (None, "pa")


@pytest.mark.parametrize(
    ("act", "first", "second"),
    [("remove", "ba", "a"), ("run", "bpa", "a"), ("kill", "ba", "a")],
)
def test_another_thread_acts_on_one_with_a_turn_left(entity, log, act, first, second):
    def busy():
        log.append("b")
        go.set()
        done.wait()

    def other():
        go.wait()
        getattr(waiting, act)()
        done.set()

    go, done = threading.Event(), threading.Event()
    spawn(busy)
    entity("a")
    waiting = spawn(log.append, "p")
    thread = threading.Thread(target=other)
    thread.start()
    assert (scheduler.run(rounds=1), turns(log)) == (None, first)
    thread.join()
    assert (scheduler.run(rounds=1), turns(log)) == (None, second)
    waiting.kill()


def test_threads_count_their_own_rounds():
    def work():
        def live():
            while True:
                counts[-1] += 1
                schedule()

        counts = []
        made = [spawn(live) for _ in range(3)]
        for _ in range(200):
            counts.append(0)
            scheduler.run(rounds=1)
        kill_all(made)
        found.append(set(counts))

    found = []
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{3}] * 3


def test_other_threads_insert_and_remove_while_rounds_go_on():
    """However they interfere, a round ends, and enters nobody twice."""

    def live(number):
        while True:
            entered[number] = entered.get(number, 0) + 1
            schedule()

    def meddle(seed):
        rnd = random.Random(seed)
        while not over.is_set():
            one = rnd.choice(made)
            with contextlib.suppress(RuntimeError):  # the current one stays
                one.remove() if rnd.random() < 0.5 else one.insert()

    entered, over = {}, threading.Event()
    steady = [spawn(live, -1 - number) for number in range(3)]
    made = [spawn(live, number) for number in range(20)]
    threads = [threading.Thread(target=meddle, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3000):
            entered.clear()
            assert scheduler.run(rounds=1) is None
            assert max(entered.values()) == 1
            assert all(entered[-1 - number] == 1 for number in range(3))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    kill_all(steady + made)


# Calls inside calls.


def test_an_inner_call_counts_its_own_round(entity, log):
    def inner():
        log.append("(")
        scheduler.run(rounds=1)
        log.append(")" + reason()[0])

    entity("a")
    spawn(inner)
    entity("b")
    scheduler.run(rounds=1)
    # Its round and the outer one end at once: the outer caller goes first.
    assert turns(log) == "a(b"
    assert reason() == "rounds"
    scheduler.run(rounds=1)
    assert turns(log) == "ab)s"  # it was put back, and its call ends without a budget


def test_an_inner_round_within_an_outer_call_without_budgets(entity, log):
    def inner():
        for _ in range(2):
            log.append("(")
            scheduler.run(rounds=1)
            log.append(")" + reason()[0])
        kill_all(made)

    made = [entity("a")]
    spawn(inner)
    made.append(entity("b"))
    run()
    assert turns(log) == "a(ba)r(ba)r"


def test_an_inner_round_within_an_outer_round_of_several(entity, log):
    def inner():
        log.append("(")
        scheduler.run(rounds=3)
        log.append(")")
        schedule_remove(None)

    entity("a")
    caller = spawn(inner)
    scheduler.run(rounds=6)
    assert reason() == "rounds"
    found = turns(log)
    assert found.startswith("a(aaa")
    assert found.count("a") == 6
    caller.kill()


def test_when_nobody_is_runnable_the_inner_call_ends(log):
    def inner():
        scheduler.run(rounds=5)
        log.append(reason())
        schedule()
        log.append("!")

    spawn(inner)
    spawn(log.append, "x")
    scheduler.run(rounds=2)
    assert log == ["x", "idle", "!"]


def test_an_inner_call_without_budgets_does_not_prolong_the_round(entity, log):
    def inner():
        run()
        log.append("i")

    waits = spawn(inner)
    entity("a")
    assert (scheduler.run(rounds=1), turns(log)) == (None, "a")
    assert waits.scheduled  # it was put back
    waits.remove().kill()


# Together with other budgets.


def test_switches_may_end_a_round_half_way(entity, log):
    for name in "abcde":
        entity(name)
    assert scheduler.run(rounds=1, switches=2) is None
    assert (turns(log), reason()) == ("ab", "switches")
    # The next call begins a round of all, with the tasklets that had no turn.
    assert scheduler.run(rounds=1) is None
    assert (turns(log), reason()) == ("cdeab", "rounds")


def test_switches_for_just_the_round_leave_it_whole(entity, log):
    for name in "abc":
        entity(name)
    scheduler.run(rounds=1, switches=3)
    assert (turns(log), reason()) == ("abc", "rounds")
    scheduler.run(rounds=2, switches=3)
    assert (turns(log), reason()) == ("abc", "switches")


@pytest.mark.parametrize("budget", ["ticks", "slice_ticks"])
def test_a_runaway_ends_the_call_and_the_rest_come_first_in_the_next(
    entity, log, budget
):
    def runaway():
        while True:
            pass

    entity("a")
    bad = spawn(runaway)
    entity("b")
    assert scheduler.run(rounds=1, **{budget: 2000}) is bad
    assert (turns(log), reason()) == ("a", budget)
    bad.kill()
    scheduler.run(rounds=1)
    assert (turns(log), reason()) == ("ba", "rounds")


@pytest.mark.parametrize("budget", ["seconds", "slice_seconds"])
def test_time_stops_a_runaway_in_a_round(entity, log, budget):
    def runaway():
        while True:
            pass

    bad = spawn(runaway)
    entity("b")
    while (victim := scheduler.run(rounds=1, **{budget: 0.01})) is None:
        pass  # on a busy machine the time may be up before anybody runs
    assert victim is bad
    assert (turns(log), reason()) == ("", budget)
    bad.kill()
    scheduler.run(rounds=1)
    assert (turns(log), reason()) == ("b", "rounds")


def test_soft_finishes_the_turn(entity, log):
    def slow():
        for _ in range(5000):
            pass
        log.append("s")
        schedule()

    entity("a")
    worker = spawn(slow)
    entity("b")
    assert scheduler.run(rounds=1, ticks=1000, soft=True) is None
    assert (turns(log), reason()) == ("as", "ticks")
    worker.kill()


def test_stop_ends_a_round(entity, log):
    def stops():
        log.append("s")
        scheduler.stop()
        schedule()

    entity("a")
    worker = spawn(stops)
    entity("b")
    scheduler.run(rounds=3)
    assert (turns(log), reason()) == ("as", "stopped")
    scheduler.run(rounds=1)
    assert (turns(log), reason()) == ("ba", "rounds")
    worker.kill()


def test_a_caller_that_is_inserted_goes_on_in_its_turn(entity, log):
    def inserts():
        log.append("i")
        getmain().insert()

    entity("a")
    spawn(inserts)
    entity("b")
    scheduler.run(rounds=9)
    assert (turns(log), reason()) == ("aiba", "stopped")


def test_an_error_ends_a_round_and_the_rest_come_first_in_the_next(entity, log):
    def fails():
        raise LookupError("failed")

    entity("a")
    spawn(fails)
    entity("b")
    with pytest.raises(LookupError, match="failed"):
        scheduler.run(rounds=1)
    assert (turns(log), reason()) == ("a", "error")
    scheduler.run(rounds=1)
    assert (turns(log), reason()) == ("ba", "rounds")


def test_a_timeout_around_rounds_ends_them(entity, log, still_clock):
    def advance():
        while True:
            still_clock.advance(1)
            schedule()

    ticks = spawn(advance)
    with pytest.raises(TimeoutError), timeout(20):
        scheduler.run(rounds=10**9)
    ticks.kill()


def test_rounds_without_a_round_inside_an_atomic_block(entity, log):
    entity("a")
    with atomic():
        scheduler.run(rounds=2)
    assert turns(log) == "aa"


# A storm.


class Storm:
    """Tasklets that do everything to each other, and a count of each one's turns."""

    def __init__(self, seed):
        self.rnd = random.Random(seed)
        self.channels = [channel() for _ in range(3)]
        for each, preference in zip(self.channels, (-1, 0, 1), strict=True):
            each.preference = preference
        self.steady = [spawn(self.steadily, number) for number in range(5)]
        self.wild = []
        self.counts = [0] * 5
        for _ in range(10):
            self.add()

    def steadily(self, number):
        """Give way and do nothing else: it is to have one turn in each round."""
        while True:
            self.counts[number] += 1
            schedule()

    def add(self):
        with atomic():  # a budget might end inside
            self.wild = [each for each in self.wild if each.alive]
            if len(self.wild) < 30:
                self.wild.append(spawn(self.wildly))

    def wildly(self):
        # An error ends it, and the call of run(), and is not handled here: CPython 3.11
        # loses a reference to an exception if another one is raised in the first line
        # of its handler by anybody's trace function.
        for _ in range(self.rnd.randrange(30)):
            other = self.rnd.choice(self.wild)
            self.act(other, other.alive and not other.blocked)

    def act(self, other, free):
        rnd, ch = self.rnd, self.rnd.choice(self.channels)
        match rnd.randrange(14):
            case 0:
                self.add()
            case 1 if free:
                other.run()
            case 2:
                other.kill()
            case 3:
                other.kill(pending=True)
            case 4 | 5 if free:
                other.insert()
            case 6 if free and other is not getcurrent():
                other.remove()
            case 7:
                ch.try_send(1)
            case 8:
                ch.send(1, timeout=0.0001)
            case 9:
                ch.receive(timeout=0.0001)
            case 10:
                scheduler.run(rounds=rnd.randrange(3), switches=rnd.randrange(1, 9))
            case 11:
                kill_all(rnd.choices(self.wild, k=2), pending=rnd.random() < 0.5)
            case 12:
                sleep(0.0001)
            case _:
                schedule()


@pytest.mark.parametrize("seed", range(10))
def test_in_a_storm_a_tasklet_that_only_gives_way_has_one_turn_a_round(seed):
    storm = Storm(seed)
    rnd = random.Random(seed)
    for _ in range(400):
        storm.add()
        before = list(storm.counts)
        rounds = rnd.randrange(1, 4)
        try:
            scheduler.run(rounds=rounds)
        except (TimeoutError, RuntimeError):
            continue
        if reason() == "rounds":
            now = [new - old for new, old in zip(storm.counts, before, strict=True)]
            assert now == [rounds] * 5
    kill_all(storm.steady + storm.wild)
    run()


@pytest.mark.parametrize("seed", range(10))
def test_budgets_in_a_storm_keep_the_turns_together(seed):
    """Whatever ends the calls half way, nobody is left out."""
    storm = Storm(seed)
    rnd = random.Random(seed)
    for _ in range(300):
        storm.add()
        budget = rnd.choice(["switches", "ticks", "slice_ticks", "seconds"])
        value = 0.0002 if budget == "seconds" else rnd.randrange(1, 60)
        try:
            victim = scheduler.run(rounds=1, **{budget: value})
        except (TimeoutError, RuntimeError):
            continue
        if victim is not None:
            victim.insert()
    kill_all(storm.wild)
    run_out(storm)
    assert max(storm.counts) > 10
    kill_all(storm.steady)
    run()


def run_out(storm):
    scheduler.run(rounds=1)  # who was stopped between its count and schedule() goes on
    before = list(storm.counts)
    for _ in range(3):
        scheduler.run(rounds=1)
        assert reason() == "rounds"
    assert [n - b for n, b in zip(storm.counts, before, strict=True)] == [3] * 5
