"""Budgets of run() in ticks and switches: who is stopped, where, and who goes on."""

import contextlib
import gc
import random
import sys
import threading
import time
import weakref
from textwrap import dedent

import pytest
from children import run_program
from greenlet import greenlet
from runaways import FLAT, NESTED, OTHER_STACK, RUNAWAYS, Leash
from stoppable import Program, busy, mixed, places, unstopped

import tasklets
from tasklets import (
    SwitchTrapError,
    TaskletExit,
    atomic,
    channel,
    getcurrent,
    getmain,
    getruncount,
    run,
    schedule,
    schedule_remove,
    scheduler,
    spawn,
    switch_trap,
    tasklet,
)

pytestmark = pytest.mark.usefixtures("no_foreign_collector_callbacks")

LOTS = 10**6  # of ticks: more than any short tasklet here has


@pytest.fixture
def counter():
    """Return a function that makes a tasklet which counts up to a limit."""

    def count(name, limit):
        reached = 0
        while reached < limit:
            reached += 1
            counts[name] = reached
        return reached

    counts = {}

    def start(name="x", limit=10**9):
        victim = spawn(count, name, limit, name=name)
        victims.append(victim)
        return victim

    victims = []
    start.counts = counts
    yield start
    while victims:
        victims.pop().remove().kill()


def reason():
    return scheduler.last_run().reason


def ring():
    """Return the run queue from the current tasklet on."""
    result = [getcurrent()]
    while result[-1].next is not result[0]:
        result.append(result[-1].next)
    return result


def finish(victim, **budgets):
    """Run until it has ended, inserting it whenever it is stopped; return how often."""
    stops = 0
    while (found := scheduler.run(**budgets)) is not None:
        assert found is victim
        assert found.alive
        assert found.paused
        found.insert()
        stops += 1
    return stops


# A tasklet that does not give way is stopped.


@pytest.mark.parametrize("runaway", RUNAWAYS.values(), ids=RUNAWAYS)
def test_ticks_stop_a_runaway(runaway):
    leash, result = Leash(), []
    victim = tasklet(lambda: result.append(runaway(leash)))()
    rounds = []
    for _ in range(5):
        assert scheduler.run(1000) is victim
        assert reason() == "ticks"
        assert (victim.alive, victim.paused, victim.blocked) == (True, True, False)
        rounds.append(leash.rounds)
        victim.insert()
    assert rounds[0] > 0
    assert rounds == sorted(set(rounds)), "it has not gone on"
    leash.going = False
    assert scheduler.run(LOTS) is None
    assert result == [leash.rounds]


@pytest.mark.parametrize("runaway", RUNAWAYS.values(), ids=RUNAWAYS)
def test_a_runaway_stopped_anywhere_ends_as_if_it_were_not(runaway):
    leash, result = Leash(), []
    victim = tasklet(lambda: result.append(runaway(leash)))()
    for ticks in range(1, 60):
        assert scheduler.run(ticks) is victim
        victim.insert()
    leash.going = False
    finish(victim, ticks=1)
    assert result == [leash.rounds]


@pytest.mark.parametrize("runaway", RUNAWAYS.values(), ids=RUNAWAYS)
def test_a_runaway_can_be_killed_where_it_was_stopped(runaway, log):
    def work():
        try:
            runaway(leash)
        except TaskletExit:
            log.append("handler")
            raise
        finally:
            log.append("finally")

    for ticks in (300, 301, 302, 303):
        leash = Leash()
        victim = tasklet(work)()
        assert scheduler.run(ticks) is victim
        victim.kill()
        assert not victim.alive
        assert log == ["handler", "finally"]
        log.clear()


def test_ticks_stop_a_loop_without_a_body(log):
    def work():
        try:
            while True: pass  # noqa: E701  # fmt: skip
        finally:
            log.append("finally")

    victim = tasklet(work)()
    for _ in range(3):
        assert scheduler.run(1000) is victim
        assert reason() == "ticks"
        victim.insert()
    victim.remove().kill()
    assert log == ["finally"]


@pytest.mark.parametrize("budget", ["ticks", "slice_ticks"])
def test_ticks_stop_a_loop_that_was_suspended_before_anybody_counted(budget):
    """Its code has run without anybody counting, in a process where nobody ever has."""
    check_program(
        f"""
        def work():
            count = 0
            while going:
                count += 1
                if count == 5:
                    schedule_remove(None)
            out.append(count)

        going, out = True, []
        victim = tasklet(work)()
        run()
        assert victim.paused and not out
        for _ in range(3):
            victim.insert()
            assert scheduler.run({budget}=1000) is victim
        going = False
        victim.insert()
        assert scheduler.run() is None
        assert out[0] > 100
        """
    )


@pytest.mark.parametrize("suspend", ["generator", "greenlet", "outer frame"])
def test_ticks_stop_what_was_suspended_elsewhere_before_anybody_counted(suspend):
    check_program(
        f"""
        from greenlet import getcurrent as here, greenlet

        def loop(pause):
            count = 0
            while going:
                count += 1
                if count == 5:
                    pause()
            return count

        def generator():
            count = 0
            while going:
                count += 1
                if count == 5:
                    yield None
            yield count

        def work():
            if {suspend!r} == "generator":
                it = generator()
                next(it)
                schedule_remove(None)
                out.append(next(it))
            elif {suspend!r} == "greenlet":
                home = here()
                inner = greenlet(loop)
                inner.switch(home.switch)
                schedule_remove(None)
                out.append(inner.switch())
            else:
                def pause():
                    schedule_remove(None)
                def outer():
                    # The loop is further out than what is suspended.
                    return loop(pause)
                out.append(outer())

        going, out = True, []
        victim = tasklet(work)()
        run()
        assert victim.paused and not out
        for _ in range(3):
            victim.insert()
            assert scheduler.run(1000) is victim
        going = False
        victim.insert()
        assert scheduler.run() is None
        assert out[0] > 100
        """
    )


def test_ticks_stop_a_loop_again_after_code_has_been_at_full_speed():
    check_program(
        """
        import time

        def work():
            while going:
                pass
            out.append("end")

        going, out = True, []
        victim = tasklet(work)()
        for _ in range(3):
            assert scheduler.run(1000) is victim
            time.sleep(1)  # the counting is turned off meanwhile
            sum(1 for _ in range(1000))
            victim.insert()
        going = False
        assert scheduler.run(1000) is None
        assert out == ["end"]
        """
    )


PRELUDE = """
import tasklets
from tasklets import getcurrent, run, schedule, schedule_remove, scheduler, spawn
from tasklets import tasklet
"""


def check_program(source, *args, output="", errors=()):
    found = run_program(PRELUDE + dedent(source), *args, seconds=15)
    assert found == (0, output, list(errors))


# Where it is stopped.


def test_the_same_program_is_stopped_at_the_same_place_each_time():
    generator = random.Random(5)
    budgets = [generator.randrange(1, 300) for _ in range(50)]
    expected = places(budgets)
    assert len(set(expected)) > 25
    for _ in range(99):
        assert places(budgets) == expected


def test_a_program_is_stopped_at_the_same_place_in_every_process():
    program = """
    import stoppable
    print(hash("a"))
    print(stoppable.places([1000, 1, 2, 3, 777, 12345, 100, 99]))
    """
    found, hashes = set(), set()
    for seed in ("0", "1", "2", "3"):
        source = f"import os; os.environ['PYTHONHASHSEED'] = '{seed}'\n" + dedent(
            """
            import subprocess, sys
            child = subprocess.run([sys.executable, "-c", sys.argv[1]],
                                   text=True, capture_output=True)
            print(child.stdout, end="")
            print(child.stderr, end="", file=sys.stderr)
            """
        )
        status, output, errors = run_program(source, dedent(program))
        assert (status, errors) == (0, [])
        a_hash, place = output.splitlines()
        hashes.add(a_hash)
        found.add(place)
    assert len(hashes) == 4
    assert len(found) == 1


def test_no_tick_is_lost_or_counted_twice_between_two_runs(counter):
    one, other = counter("one"), counter("other")
    other.remove()
    assert scheduler.run(6000) is one
    other.insert()
    for _ in range(60):
        assert scheduler.run(100) is other
        other.insert()
    other.remove()
    assert abs(counter.counts["one"] - counter.counts["other"]) <= 1


def test_every_round_of_a_loop_and_every_call_has_a_tick(log):
    def work():
        for _ in range(1000):
            log.append(1)

    def recur(depth):
        log.append(1)
        if depth:
            recur(depth - 1)

    assert finish(tasklet(work)(), ticks=1) >= 1000
    assert finish(tasklet(recur)(400), ticks=1) >= 400


def test_what_the_caller_does_between_two_runs_is_not_counted():
    first = places([50] * 20)
    trace, second = [], []
    victim = tasklet(mixed)(trace)
    for _ in range(20):
        busy(1000)
        scheduler.run(50)
        frame = victim.frame
        second.append((len(trace), frame.f_code.co_name, frame.f_lineno, frame.f_lasti))
        busy(1000)
        victim.insert()
    victim.remove().kill()
    assert first == second


def test_a_collection_does_not_move_the_place():
    expected = places([333] * 20)
    old = gc.get_threshold()
    try:
        gc.set_threshold(1, 1, 1)
        assert places([333] * 20) == expected
        gc.disable()
        assert places([333] * 20) == expected
    finally:
        gc.enable()
        gc.set_threshold(*old)


def test_another_thread_does_not_move_the_place():
    def noise():
        while not stop:
            busy(100)

    expected = places([333] * 20)
    stop = []
    thread = threading.Thread(target=noise)
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        assert [places([333] * 20) for _ in range(5)] == [expected] * 5
    finally:
        stop.append(1)
        thread.join()
        sys.setswitchinterval(old)


def test_where_several_tasklets_are_stopped_is_the_same_each_time():
    def work(name):
        for number in range(200):
            log.append((name, number))
            if number % 7 == name:
                schedule()

    def once():
        stops = []
        for name in range(5):
            tasklet(work)(name)
        while True:
            victim = scheduler.run(37)
            stops.append((len(log), reason()))
            if victim is not None:
                victim.insert()
            elif reason() == "idle":
                return stops

    found = []
    for _ in range(20):
        log = []
        found.append((once(), log))
    assert len(found[0][0]) > 10
    assert all(each == found[0] for each in found)


# What the caller gets.


def test_the_victim_is_alive_paused_and_off_the_queue(counter):
    victim = counter()
    other = tasklet(busy)(10)
    assert scheduler.run(100) is victim
    assert (victim.alive, victim.paused, victim.scheduled) == (True, True, False)
    assert ring() == [getcurrent(), other]
    run()


def test_the_victim_is_returned_by_stackless_run_too(counter):
    victim = counter()
    assert run(100) is victim
    assert run() is None
    victim.insert()
    assert run(100) is victim


def test_insert_puts_the_victim_last(counter, log):
    victim = counter()
    assert scheduler.run(100) is victim
    tasklet(log.append)("other")
    victim.insert()
    assert scheduler.run(100) is victim
    assert log == ["other"]


def test_run_and_switch_resume_the_victim(log):
    def work():
        log.append(busy(1000))

    for resume in (tasklet.run, tasklet.switch):
        victim = tasklet(work)()
        assert scheduler.run(100) is victim
        resume(victim)
        assert log.pop() == busy(1000)


def test_the_victim_shows_its_frames(counter):
    victim = counter()
    scheduler.run(100)
    assert victim.frame.f_code.co_name == "count"
    assert victim.frame.f_locals["reached"] - counter.counts["x"] in (0, 1)


def test_the_victim_can_be_killed(log):
    def work():
        try:
            while True:
                busy(5)
        except TaskletExit:
            log.append("handler")
            raise
        finally:
            log.append("finally")

    for ticks in range(50, 80):
        victim = tasklet(work)()
        assert scheduler.run(ticks) is victim
        victim.kill()
        assert log == ["handler", "finally"]
        assert not victim.alive
        log.clear()


def test_the_victim_may_catch_what_is_thrown_and_go_on(log):
    def work():
        while len(log) < 5:
            try:
                while True:
                    busy(5)
            except KeyError as error:
                log.append(error.args[0])
        return "end"

    victim = spawn(work)
    for number in range(5):
        assert scheduler.run(123 + number) is victim
        victim.throw(KeyError(number), pending=True)
    assert scheduler.run(LOTS) is None
    assert log == [0, 1, 2, 3, 4]
    assert victim.result() == "end"


@pytest.mark.parametrize("ticks", range(30, 60))
def test_what_is_thrown_finds_the_innermost_handler(ticks, log):
    """A loop on one line, in blocks of every kind, is left through all of them."""

    class Block:
        def __enter__(self):
            return self

        def __exit__(self, kind, *_):
            log.append(("exit", kind))

    def generate():
        try:
            while True: yield 1  # noqa: E701  # fmt: skip
        finally:
            log.append("generator")

    def work():
        try:
            with Block():
                try:
                    for _ in generate(): pass  # noqa: E701  # fmt: skip
                except ValueError:
                    log.append("wrong")
                finally:
                    log.append("finally")
        except KeyError:
            log.append("handler")
        while True: len(log)  # noqa: E701  # fmt: skip

    victim = tasklet(work)()
    assert scheduler.run(ticks) is victim
    victim.throw(KeyError, pending=True)
    assert scheduler.run(LOTS) is victim
    assert sorted(map(str, log)) == sorted(
        map(str, ["finally", "generator", ("exit", KeyError), "handler"])
    )
    victim.kill()


def test_what_is_thrown_into_a_stopped_generator_ends_it(log):
    def generate():
        try:
            while True:
                log.append(1)
        except KeyError:
            yield "caught"

    def work():
        log.append(next(it))
        log.append(list(it))

    it = generate()
    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    assert set(log) == {1}
    victim.throw(KeyError)
    assert log[-2:] == ["caught", []]


def test_a_generator_that_is_stopped_is_running_for_others(counter):
    def generate():
        while True:
            busy(3)
            if go:
                yield "value"

    go = []
    it = generate()
    victim = spawn(next, it)
    for _ in range(20):
        assert scheduler.run(7) is victim
        if it.gi_running:
            with pytest.raises(ValueError, match="generator already executing"):
                next(it)
        victim.insert()
    go.append(1)
    scheduler.run(LOTS)
    assert victim.result() == "value"
    it.close()


FORGOTTEN = "ignore:.* was stopped by a budget of run:ResourceWarning"


@pytest.mark.filterwarnings(FORGOTTEN)
def test_a_victim_that_is_forgotten_is_collected(log):
    class Thing:
        pass

    def work():
        thing = Thing()
        refs.append(weakref.ref(thing))
        try:
            while True:
                busy(3)
        finally:
            log.append("finally")

    refs = []
    victim = tasklet(work)()
    scheduler.run(1000)
    del victim
    gc.collect()
    schedule()
    assert refs[0]() is None
    assert log == ["finally"]


@pytest.mark.filterwarnings(FORGOTTEN)
def test_a_victim_in_a_cycle_is_collected():
    def work(box):
        box.append(getcurrent())
        while True:
            busy(3)

    victim = tasklet(work)([])
    ref = weakref.ref(victim)
    scheduler.run(1000)
    del victim
    gc.collect()
    schedule()
    gc.collect()
    assert ref() is None


def test_a_tasklet_can_be_stopped_while_it_handles_an_error(log):
    def work():
        try:
            raise KeyError("first")
        except KeyError:
            busy(200)
            log.append(sys.exc_info()[1].args)
            raise

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    try:
        raise ValueError
    except ValueError:
        victim.insert()
        with pytest.raises(KeyError, match="first"):
            scheduler.run(LOTS)
        assert isinstance(sys.exc_info()[1], ValueError)
    assert log == [("first",)]


def test_the_end_of_a_victim_is_told_to_who_waits_for_it():
    victim = spawn(busy, 1000)
    waiter = spawn(lambda: victim.result())
    victim.remove()
    schedule()
    victim.insert()
    assert scheduler.run(100) is victim
    assert waiter.blocked
    victim.insert()
    run()
    assert waiter.result() == busy(1000)


def test_main_is_stopped_when_another_runs_it(log):
    def work():
        log.append(scheduler.run(100))
        log.append(reason())
        log[0].insert()

    tasklet(work)()
    schedule()
    assert busy(1000) == 499500
    schedule()
    assert log == [getmain(), "ticks"]


def test_main_that_is_stopped_goes_on_when_nobody_else_can_run(log):
    def work():
        log.append(scheduler.run(100))

    tasklet(work)()
    schedule()
    assert busy(1000) == 499500
    assert log == [getcurrent()]


# Budgets of the whole call and of a slice.


def test_ticks_are_for_the_whole_call(log):
    def work(name):
        while True:
            busy(3)
            log.append(name)
            schedule()

    workers = [tasklet(work)(name) for name in "abc"]
    victims = set()
    for number in range(30):
        log.clear()
        victim = scheduler.run(1000 + number)
        assert reason() == "ticks"
        assert 20 < len(log) < 300
        victims.add(victim)
        if victim is not None:
            victim.insert()
    assert len(victims) > 1
    for worker in workers:
        worker.kill()


def test_slice_ticks_do_not_stop_who_gives_way():
    def work():
        for _ in range(1000):
            busy(10)
            schedule()

    for _ in range(3):
        spawn(work)
    assert scheduler.run(slice_ticks=200) is None
    assert reason() == "idle"


def test_slice_ticks_stop_who_does_not_give_way_in_time(counter, log):
    def work():
        while True:
            busy(10)
            log.append(1)
            schedule()

    fair = tasklet(work)()
    victim = counter()
    assert scheduler.run(slice_ticks=500) is victim
    assert counter.counts["x"] > 50
    fair.kill()


def test_a_tasklet_alone_begins_a_new_slice_with_schedule(log):
    def work():
        for _ in range(100):
            busy(20)
            schedule()
        log.append("end")
        busy(1000)

    victim = tasklet(work)()
    assert scheduler.run(slice_ticks=200) is victim
    assert log == ["end"]
    victim.kill()


def test_waiting_begins_a_new_slice(log):
    def send():
        for _ in range(100):
            busy(20)
            ch.send(1)

    def receive():
        for _ in range(100):
            busy(20)
            ch.receive()

    ch = channel()
    tasklet(send)()
    tasklet(receive)()
    assert scheduler.run(slice_ticks=300) is None


def test_the_timeout_of_stackless_run_is_for_a_slice():
    def work():
        for _ in range(100):
            busy(20)
            schedule()

    tasklet(work)()
    tasklet(work)()
    assert run(200) is None
    victim = tasklet(busy)(1000)
    assert run(200) is victim
    victim.kill()


def test_totaltimeout_is_for_the_whole_call():
    def work():
        for _ in range(1000):
            busy(20)
            schedule()

    both = [tasklet(work)() for _ in range(2)]
    victim = run(200, totaltimeout=True)
    assert reason_of_stop(victim, both)
    for each in both:
        each.kill()


def reason_of_stop(victim, tasklets_):
    """Whether it was stopped inside one of them, or between two."""
    return victim in tasklets_ if victim is not None else getruncount() > 1


def test_a_budget_that_ends_between_two_tasklets_stops_nobody(log):
    def work(name):
        for step in range(3):
            log.append(f"{name}{step}")
            schedule()

    for name in "abc":
        tasklet(work)(name)
    assert scheduler.run(switches=4) is None
    assert reason() == "switches"
    assert log == ["a0", "b0", "c0", "a1"]
    log.clear()
    assert scheduler.run() is None
    assert log == ["b1", "c1", "a2", "b2", "c2"]


def test_ticks_that_end_between_two_tasklets_stop_nobody(log):
    """Here they end while the tasklet may not be stopped until it gives way."""

    def work():
        with atomic():
            busy(1000)
            log.append("work")
            schedule()
            log.append("not yet")

    victim = tasklet(work)()
    other = tasklet(log.append)("other")
    assert scheduler.run(100) is None
    assert reason() == "ticks"
    assert log == ["work"]
    assert ring() == [getcurrent(), other, victim]
    run()


@pytest.mark.parametrize("ends", [lambda: None, lambda: schedule_remove(None)])
def test_ticks_that_are_over_when_a_tasklet_leaves_stop_nobody(ends, log):
    def work():
        tasklets.getcurrent().set_atomic(True)
        busy(1000)
        log.append("work")
        ends()

    victim = tasklet(work)()
    other = tasklet(log.append)("other")
    assert scheduler.run(100) is None
    assert reason() == "ticks"
    assert log == ["work"]
    assert ring() == [getcurrent(), other]
    run()
    victim.kill()


def test_slice_ticks_that_are_over_when_a_tasklet_leaves_are_forgotten(log):
    def work():
        with atomic():
            busy(1000)
            schedule()
        log.append("end")

    tasklet(work)()
    tasklet(work)()
    assert scheduler.run(slice_ticks=100) is None
    assert reason() == "idle"
    assert log == ["end", "end"]


def test_switches_count_the_tasklets_that_are_entered(log):
    def work():
        for step in range(10):
            log.append(step)
            schedule()

    tasklet(work)()
    for count in range(1, 5):
        log.clear()
        assert scheduler.run(switches=count) is None
        assert len(log) == count
        assert scheduler.last_run().switches >= count
    run()


def test_switches_do_not_stop_a_tasklet_that_runs(counter):
    assert counter(limit=1000).alive
    assert scheduler.run(switches=1) is None
    assert counter.counts["x"] == 1000


@pytest.mark.parametrize(
    ("budgets", "expected"),
    [
        ({"ticks": 500, "switches": 5}, "switches"),
        ({"ticks": 50, "switches": 10**6}, "ticks"),
        ({"ticks": 500, "slice_ticks": 10**6, "seconds": 100}, "ticks"),
        ({"ticks": 10**6, "slice_ticks": 500, "switches": 3}, "switches"),
        ({"ticks": 10**6, "seconds": 0.01}, "seconds"),
        ({"ticks": 10**9, "slice_seconds": 50, "switches": 100}, "switches"),
        ({"slice_ticks": 10**6, "seconds": 50}, "idle"),
    ],
)
def test_whichever_budget_ends_first_ends_the_call(budgets, expected):
    def work():
        for _ in range(1 if expected == "idle" else 10**5):
            busy(3)
            schedule()

    both = [tasklet(work)() for _ in range(2)]
    scheduler.run(**budgets)
    assert reason() == expected
    for each in both:
        each.remove().kill()


def test_the_reason_tells_who_overran_from_who_was_last():
    def well_behaved():
        while True:
            busy(30)
            schedule()

    both = [tasklet(well_behaved)() for _ in range(2)]
    ticks = 1000
    while (last := scheduler.run(ticks, slice_ticks=600)) is None:
        ticks += 1  # these ended between two tasklets
    assert last in both
    assert reason() == "ticks"
    for each in both:
        each.remove()
    bad = tasklet(busy)(10**9)
    for ticks in (10**6, 600):  # also if both are used up at the same tick
        assert scheduler.run(ticks, slice_ticks=600) is bad
        assert reason() == "slice_ticks"
        bad.insert()
    tasklets.kill_all([*both, bad])


@pytest.mark.parametrize("budgets", [{}, {"ticks": 10**9}, {"slice_ticks": 10**6}])
def test_schedule_of_a_tasklet_alone_counts_as_a_switch(budgets):
    def work():
        for _ in range(1000):
            steps.append(busy(3))
            schedule()

    steps = []
    worker = tasklet(work)()
    assert scheduler.run(switches=100, **budgets) is None
    assert reason() == "switches"
    assert len(steps) == 100
    worker.kill()


@pytest.mark.parametrize("first", ["ticks", "slice_ticks"])
def test_the_smaller_of_two_tick_budgets_counts(counter, first):
    second = {"ticks": "slice_ticks", "slice_ticks": "ticks"}[first]
    one, both = counter("one"), counter("both")
    both.remove()
    assert scheduler.run(**{first: 600}) is one
    both.insert()
    assert scheduler.run(**{first: 600, second: 5000}) is both
    assert counter.counts["one"] == counter.counts["both"]


# What holds a stop off.


def test_an_atomic_block_holds_a_stop_off_until_it_ends(log):
    def work():
        with atomic():
            for step in range(1000):
                log.append(step)
        log.append("end")

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    assert log == list(range(1000))
    victim.insert()
    run()
    assert log[-1] == "end"


def test_an_inner_atomic_block_does_not_end_the_outer_one(log):
    def work():
        with atomic():
            with atomic():
                busy(1000)
            log.append("still")
            busy(1000)
            log.append("held")
        log.append("end")

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    assert log == ["still", "held"]
    victim.kill()


def test_set_atomic_holds_a_stop_off_until_it_is_reset(log):
    def work():
        me = getcurrent()
        assert me.set_atomic(True) is False
        for step in range(1000):
            log.append(step)
        assert me.set_atomic(False) is True
        log.append("end")

    victim = tasklet(work)()
    assert run(100) is victim
    assert log == list(range(1000))
    victim.insert()
    run()
    assert log[-1] == "end"


def test_what_is_thrown_at_the_end_of_an_atomic_block_is_raised_there(log):
    def work():
        try:
            with atomic():
                busy(1000)
        except KeyError:
            log.append(getcurrent().atomic)

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    victim.throw(KeyError)
    assert log == [False]


def test_a_tasklet_that_another_set_atomic_is_not_stopped():
    victim = spawn(busy, 1000)
    victim.set_atomic(True)
    assert scheduler.run(100) is None
    assert victim.result() == busy(1000)


def test_a_switch_trap_holds_a_stop_off_until_it_is_taken_away(log):
    def work():
        switch_trap(1)
        for step in range(1000):
            log.append(step)
        switch_trap(-1)
        for _ in range(1000):
            log.append("after")

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    assert log[:1000] == list(range(1000))
    assert len(log) < 1010
    victim.kill()


def test_a_channel_callback_holds_a_stop_off(log):
    def callback(ch, who, sending, willblock):
        for step in range(1000):
            log.append(step)

    def work():
        ch.send(1)
        for _ in range(1000):
            log.append("after")

    ch = channel()
    ch.preference = 1  # the sender goes on
    tasklet(ch.receive)()
    run()
    tasklets.set_channel_callback(callback)
    victim = tasklet(work)()
    try:
        assert scheduler.run(100) is victim
    finally:
        tasklets.set_channel_callback(None)
    assert log[:1000] == list(range(1000))
    assert len(log) < 1010
    victim.kill()


def test_a_schedule_callback_holds_a_stop_off(log):
    def callback(before, after):
        if after is victim or before is victim:
            log.append(busy(1000))

    def work():
        log.append("work")
        busy(1000)

    victim = tasklet(work)()
    tasklets.set_schedule_callback(callback)
    try:
        assert scheduler.run(100) is victim
    finally:
        tasklets.set_schedule_callback(None)
    assert log.count(busy(1000)) == 2
    victim.kill()


def test_a_finalizer_that_the_collector_calls_holds_a_stop_off(log):
    class Thing:
        def __init__(self):
            self.me = self

        def __del__(self):
            for step in range(1000):
                log.append(step)

    def work():
        Thing()
        gc.collect()
        for _ in range(1000):
            log.append("after")

    victim = tasklet(work)()
    assert scheduler.run(200) is victim
    assert log[:1000] == list(range(1000))
    assert len(log) < 1010
    gc.collect()  # would do nothing if one were still under way
    victim.kill()


def test_nobody_is_stopped_in_a_callback_of_the_collector(log):
    def callback(phase, info):
        log.append(phase)
        busy(1000)
        log.append(phase)

    def work():
        gc.collect()
        log.append("work")
        busy(1000)

    victim = tasklet(work)()
    gc.callbacks.insert(0, callback)
    try:
        assert scheduler.run(200) is victim
    finally:
        gc.callbacks.remove(callback)
    assert log[:4] == ["start", "start", "stop", "stop"]
    gc.collect()  # would do nothing if one were still under way
    victim.kill()


def test_the_collector_works_while_a_victim_is_stopped():
    class Thing:
        def __init__(self):
            self.me = self

        def __del__(self):
            busy(5)

    def work():
        while True:
            Thing()

    old = gc.get_threshold()
    gc.set_threshold(3)
    try:
        victim = tasklet(work)()
        for ticks in range(100, 200):
            assert scheduler.run(ticks) is victim
            thing = Thing()
            ref = weakref.ref(thing)
            del thing
            gc.collect()
            assert ref() is None
            victim.insert()
    finally:
        gc.set_threshold(*old)
        victim.remove().kill()


def test_a_finalizer_without_the_collector_may_be_stopped(log):
    class Thing:
        def __del__(self):
            for step in range(1000):
                log.append(step)

    def work():
        Thing()
        log.append("end")

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    assert 0 < len(log) < 1000
    victim.insert()
    run()
    assert log == [*range(1000), "end"]


def test_an_import_holds_a_stop_off(tmp_path, monkeypatch, log):
    (tmp_path / "slow_to_import.py").write_text(
        "steps = []\nfor step in range(1000):\n    steps.append(step)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def work():
        import slow_to_import

        log.append(len(slow_to_import.steps))
        busy(1000)

    victim = tasklet(work)()
    try:
        assert scheduler.run(100) is victim
        assert len(sys.modules["slow_to_import"].steps) == 1000
        import slow_to_import  # nobody holds its lock

        assert len(slow_to_import.steps) == 1000
    finally:
        sys.modules.pop("slow_to_import", None)
        victim.kill()


@pytest.mark.parametrize("ticks", [20, 100, 250, 400, 600])
def test_a_tasklet_that_imports_can_be_killed(ticks, tmp_path, monkeypatch):
    name = f"imported_{ticks}"
    (tmp_path / f"{name}.py").write_text("steps = [n for n in range(100)]\n")
    monkeypatch.syspath_prepend(tmp_path)

    def work():
        while True:
            sys.modules.pop(name, None)
            __import__(name)

    victim = tasklet(work)()
    try:
        for _ in range(5):
            assert scheduler.run(ticks) is victim
            victim.insert()
        victim.remove().kill()
        sys.modules.pop(name, None)
        assert len(__import__(name).steps) == 100
    finally:
        sys.modules.pop(name, None)


def test_a_stop_that_is_due_when_the_tasklet_waits_finds_no_victim(log):
    def work():
        with atomic():
            busy(1000)
            log.append(ch.receive())

    ch = channel()
    tasklet(work)()
    assert scheduler.run(100) is None
    assert reason() in ("ticks", "idle")
    ch.send("value")
    run()
    assert log == ["value"]


# ignore_nesting.


@pytest.mark.parametrize("runaway", FLAT, ids=lambda f: f.__name__.strip("_"))
def test_without_ignore_nesting_what_python_calls_is_stopped(runaway):
    leash = Leash()
    victim = tasklet(runaway)(leash)
    assert scheduler.run(1000, ignore_nesting=False) is victim
    victim.kill()


@pytest.mark.parametrize("runaway", NESTED, ids=lambda f: f.__name__.strip("_"))
def test_without_ignore_nesting_what_c_code_calls_is_not_stopped(runaway):
    """Somebody else, who ends the budget first, lets it off then."""
    leash = Leash()

    def work():
        runaway(leash)
        busy(10**9)

    def stop():
        end = time.monotonic() + 60
        while leash.rounds < 3000 and time.monotonic() < end:
            time.sleep(0.001)
        leash.going = False

    thread = threading.Thread(target=stop)
    thread.start()
    victim = tasklet(work)()
    assert scheduler.run(1000, ignore_nesting=False) is victim
    assert leash.rounds >= 3000
    thread.join()
    victim.kill()


@pytest.mark.parametrize("runaway", NESTED, ids=lambda f: f.__name__.strip("_"))
def test_the_flag_of_a_tasklet_overrules_the_call(runaway):
    victim = tasklet(runaway)(Leash())
    assert victim.set_ignore_nesting(True) is False
    assert run(1000) is victim
    victim.kill()


def test_the_flag_of_the_call_holds_for_stackless_run(log):
    def key(_):
        log.append(busy(500))
        return 0

    victim = tasklet(lambda: [sorted([1], key=key), busy(1000)])()
    assert run(100) is victim
    assert log == [busy(500)]
    victim.kill()
    log.clear()
    victim = tasklet(lambda: sorted([1], key=key))()
    assert run(100, ignore_nesting=True) is victim
    assert log == []
    victim.kill()


def test_setting_ignore_nesting_lets_a_stop_that_is_due_happen(log):
    def key(_):
        busy(500)
        log.append("before")
        getcurrent().set_ignore_nesting(True)
        log.append("after")

    victim = tasklet(lambda: sorted([1], key=key))()
    assert run(100) is victim
    assert log == ["before"]
    victim.insert()
    run()
    assert log == ["before", "after"]


def test_a_generator_that_a_loop_resumes_is_no_nesting(log):
    def generate():
        for step in range(1000):
            log.append(step)
            yield step

    def work():
        for _ in generate():
            pass

    victim = tasklet(work)()
    assert run(100) is victim
    assert len(log) < 200
    victim.kill()


# soft.


@pytest.mark.parametrize("budget", ["ticks", "slice_ticks"])
def test_soft_waits_until_the_tasklet_gives_way(budget, log):
    def work():
        busy(1000)
        log.append("done")
        schedule()
        log.append("not yet")

    worker = tasklet(work)()
    other = tasklet(log.append)("other")
    assert scheduler.run(**{budget: 100}, soft=True) is None
    assert reason() == budget
    assert log == ["done"]
    assert ring() == [getcurrent(), other, worker]
    run()


def test_soft_waits_until_the_tasklet_ends(log):
    def work():
        log.append(busy(1000))

    tasklet(work)()
    other = tasklet(log.append)("other")
    assert run(100, soft=True) is None
    assert log == [busy(1000)]
    assert ring() == [getcurrent(), other]
    run()


def test_soft_waits_until_the_tasklet_waits(log):
    ch = channel()

    def work():
        busy(1000)
        ch.receive()

    worker = tasklet(work)()
    other = tasklet(log.append)("other")
    assert run(100, soft=True) is None
    assert worker.blocked
    assert ring() == [getcurrent(), other]
    ch.send(1)
    run()


def test_soft_does_not_end_the_run_while_all_give_way_in_time(log):
    def work():
        for _ in range(50):
            busy(5)
            schedule()
        log.append("end")

    for _ in range(3):
        tasklet(work)()
    assert run(100, soft=True) is None
    assert log == ["end"] * 3


def test_soft_passes_over_a_hand_over_to_the_partner(log):
    def receive():
        log.append(ch.receive())
        log.append("receiver")
        schedule()
        log.append("not yet")

    def send():
        busy(1000)
        ch.send("value")  # the receiver runs at once
        log.append("sender")

    ch = channel()
    tasklet(receive)()
    tasklet(send)()
    assert run(100, soft=True) is None
    assert log == ["value", "receiver"]
    run()


def test_soft_is_shown_to_the_schedule_callback(log):
    def work():
        busy(1000)
        schedule()

    worker = tasklet(work)()
    tasklet(busy)(1)
    tasklets.set_schedule_callback(lambda *pair: log.append(pair))
    try:
        run(100, soft=True)
    finally:
        tasklets.set_schedule_callback(None)
    assert log == [(getcurrent(), worker), (worker, getcurrent())]
    run()


# Calls inside calls.


def inside(work):
    """Return a tasklet that runs the others, and what came of it."""

    def call():
        found.append(work())
        found.append(reason())

    found = []
    return tasklet(call)(), found


def test_the_outermost_of_two_that_end_at_once_goes_on(counter, log):
    inner, found = inside(lambda: scheduler.run(10**6))
    victim = counter()
    assert scheduler.run(1000) is victim
    assert found == []
    assert ring() == [getcurrent(), inner]
    run()
    assert found[0] is None


def test_the_inner_call_ends_first_if_its_budget_does(counter):
    inner, found = inside(lambda: scheduler.run(1000))
    victim = counter()
    assert scheduler.run(10**6) is None
    assert reason() == "idle"
    assert found == [victim, "ticks"]
    assert not inner.alive


def test_the_innermost_goes_on_when_nobody_can_run(log):
    def work(name):
        run()
        log.append(name)

    def first():
        tasklet(second)()
        work("first")

    def second():
        tasklet(busy)(5)
        work("second")

    tasklet(first)()
    assert scheduler.run(LOTS) is None
    assert log == ["second", "first"]


def test_both_may_end_one_after_the_other(counter):
    def work():
        found = []
        while len(found) < 3:
            victim = scheduler.run(100)
            found.append(victim)
            victim.insert()
        return found

    inner, found = inside(work)
    victim = counter()
    assert scheduler.run(100_000) is victim
    assert found == [[victim] * 3, "ticks"]
    assert not inner.alive


def test_callers_further_in_are_put_back_innermost_first(counter, log):
    def level(depth):
        if depth:
            tasklet(level)(depth - 1)
        else:
            log.append(counter())
        scheduler.run()
        log.append(depth)

    tasklet(level)(3)
    victim = scheduler.run(2000)
    assert victim is log.pop()
    run()
    assert log == [0, 1, 2, 3]


def test_a_slice_that_ends_wakes_the_one_that_bounds_it(counter):
    _, found = inside(lambda: scheduler.run(slice_ticks=500))
    victim = counter()
    assert scheduler.run(slice_ticks=5000) is None
    assert found == [victim, "slice_ticks"]


def test_a_slice_that_ends_wakes_the_outermost_that_bounds_it(counter):
    _, found = inside(lambda: scheduler.run(slice_ticks=5000))
    victim = counter()
    assert scheduler.run(slice_ticks=500) is victim
    assert found == []
    run()
    assert found[0] is None


def test_only_the_first_timeout_of_stackless_run_counts(counter):
    _, found = inside(lambda: run(50))
    victim = counter()
    assert run(1000) is victim
    assert found == []
    assert counter.counts["x"] > 100
    run()
    assert found[0] is None


def test_a_timeout_of_stackless_run_counts_inside_one_without(counter):
    _, found = inside(lambda: run(1000))
    victim = counter()
    assert run() is None
    assert found[0] is victim


def test_the_owner_of_a_timeout_is_listed(log):
    def work():
        log.append(tasklets.get_thread_info(-1, 1 << 31)[3])
        tasklet(lambda: log.append(tasklets.get_thread_info(-1, 1 << 31)[3]))()
        run(500)

    worker = tasklet(work)()
    run(1000)
    main = getmain()
    assert log == [[main, main], [main, main, worker]]


def test_a_budget_is_in_force_again_after_a_call_inside_has_ended(counter):
    def work():
        scheduler.run(50).kill()
        busy(10**9)

    worker = tasklet(work)()
    counter()
    assert scheduler.run(5000) is worker
    worker.kill()


def test_a_call_inside_without_budgets_keeps_those_of_the_outer_one(counter):
    tasklet(run)()
    victim = counter()
    assert scheduler.run(1000) is victim
    run()


def test_the_caller_of_an_inner_run_may_be_stopped_later(log):
    def work():
        scheduler.run(100).kill()
        while not log:
            busy(5)

    worker = tasklet(work)()
    tasklet(busy)(10**9)
    assert scheduler.run(1000) is worker
    log.append("go")
    worker.insert()
    run()
    assert not worker.alive


def test_a_caller_that_somebody_inserts_says_so(counter):
    def work():
        main.insert()
        schedule()

    main = getcurrent()
    victim = counter()
    victim.remove()
    tasklet(work)()
    assert scheduler.run(LOTS) is None
    assert reason() == "stopped"
    run()
    victim.insert()
    assert scheduler.run(1000) is victim


def test_a_caller_that_was_put_back_is_no_watchdog_any_more(counter):
    """Stopped by the outer call, the inner one's budget is over, too."""
    _, found = inside(lambda: scheduler.run(2000))
    victim = counter()
    assert scheduler.run(1000) is victim
    victim.insert()
    assert scheduler.run(5000) is victim
    assert found == [None, "stopped"]


@pytest.mark.parametrize("depth", [1, 2, 20])
def test_budgets_in_many_levels_end_the_outermost(depth, counter):
    def level(depth):
        if depth == 0:
            counter()
        else:
            tasklet(level)(depth - 1)
        scheduler.run(100_000, slice_ticks=50_000)

    tasklet(level)(depth)
    victim = scheduler.run(5000)
    assert victim.name == "x"
    victim.kill()
    while getruncount() > 1:
        run()


def test_a_budget_that_ends_while_the_current_tasklet_is_its_caller_waits(counter):
    """Its caller goes on by chance: then it returns, and nobody is stopped."""

    def work():
        main.insert()
        busy(1000)

    main = getcurrent()
    tasklet(work)()
    victim = scheduler.run(100)
    assert victim is not None
    victim.insert()
    run()


# Errors.


def test_an_error_inside_ends_the_call(counter):
    def work():
        busy(10)
        raise KeyError("inside")

    tasklet(work)()
    other = counter()
    with pytest.raises(KeyError, match="inside"):
        scheduler.run(1000)
    assert reason() == "error"
    assert ring() == [getcurrent(), other]
    assert scheduler.run(1000) is other


def test_an_error_inside_an_inner_call_leaves_the_outer_budget(counter, log):
    def work():
        tasklet(fail)()
        with pytest.raises(KeyError):
            scheduler.run(50_000)
        log.append("caught")
        busy(10**9)

    def fail():
        raise KeyError

    worker = tasklet(work)()
    assert scheduler.run(5000) is worker
    assert log == ["caught"]
    worker.kill()


def test_an_error_after_a_stop_is_raised_where_it_belongs():
    def work():
        busy(1000)
        raise KeyError("late")

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    victim.insert()
    with pytest.raises(KeyError, match="late"):
        scheduler.run(LOTS)
    assert not victim.alive


def test_an_error_handler_may_be_slow():
    def handle(*_):
        busy(1000)

    def fail():
        raise KeyError

    tasklets.set_error_handler(handle)
    victim = tasklet(fail)()
    found = scheduler.run(100)
    while found is not None:
        assert found is victim
        found.insert()
        found = scheduler.run(100)
    assert not victim.alive


def test_an_error_thrown_into_the_caller_comes_before_the_victim(counter):
    def work():
        main.throw(KeyError, pending=True)
        busy(1000)

    main = getcurrent()
    victim = tasklet(work)()
    with pytest.raises(KeyError):
        scheduler.run(100)
    assert reason() == "error"
    assert victim.scheduled
    run()
    assert not victim.alive


# last_run.


def test_a_thread_that_has_not_run_has_no_last_run():
    found = []
    thread = threading.Thread(target=lambda: found.append(scheduler.last_run()))
    thread.start()
    thread.join()
    assert found == [None]


def test_last_run_is_that_of_the_thread(counter):
    def work():
        scheduler.run()

    victim = counter()
    assert scheduler.run(100) is victim
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reason() == "ticks"


def test_last_run_tells_the_switches_and_the_time():
    def work():
        for _ in range(4):
            schedule()

    tasklet(work)()
    tasklet(work)()
    assert scheduler.run() is None
    last = scheduler.last_run()
    assert last.reason == "idle"
    assert last.switches >= 10
    assert 0 <= last.elapsed < 10


def test_an_idle_run_says_so():
    assert scheduler.run(100) is None
    assert reason() == "idle"
    assert scheduler.run(seconds=5) is None
    assert reason() == "idle"


# Misuse.


COUNTS = ["ticks", "slice_ticks", "switches", "rounds"]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", ["1", 1.5, [], b"1", float("nan")])
def test_budgets_that_are_no_ints_are_refused(name, value, log):
    worker = tasklet(log.append)(1)
    with pytest.raises(TypeError, match=f"{name} must be an int, not "):
        scheduler.run(**{name: value})
    assert log == []
    worker.remove()


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [2**63 - 1, 2**63, 2**100])
def test_a_number_beyond_all_counting_is_endless(name, value):
    done = spawn(busy, 100)
    assert scheduler.run(**{name: value}) is None
    assert reason() == "idle"
    assert done.result() == busy(100)


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_may_be_anything_that_is_an_index(name):
    class One:
        def __index__(self):
            return 1

    class Bad:
        def __index__(self):
            raise LookupError("bad index")

    worker = spawn(busy, 100)
    with pytest.raises(LookupError, match="bad index"):
        scheduler.run(**{name: Bad()})
    assert not worker.done()
    scheduler.run(**{name: One()}, soft=True)
    assert worker.done()


@pytest.mark.parametrize("name", [*COUNTS, "seconds", "slice_seconds"])
def test_none_is_no_budget(name):
    done = spawn(busy, 100)
    assert scheduler.run(**{name: None}) is None
    assert done.result() == busy(100)


@pytest.mark.parametrize("timeout", [0, -5])
def test_stackless_run_without_a_timeout_has_no_budget(timeout):
    done = spawn(busy, 1000)
    assert run(timeout) is None
    assert done.result() == busy(1000)


def test_budgets_are_refused_where_run_is(log):
    def callback(*_):
        try:
            scheduler.run(100)
        except RuntimeError:
            log.append("refused")

    worker = tasklet(busy)(5)
    tasklets.set_schedule_callback(callback)
    try:
        schedule()
    finally:
        tasklets.set_schedule_callback(None)
    assert "refused" in log
    assert not worker.alive


def test_a_trap_refuses_a_run_with_a_budget(counter):
    counter()
    with switch_trapped(), pytest.raises(SwitchTrapError):
        scheduler.run(100)


@contextlib.contextmanager
def switch_trapped():
    switch_trap(1)
    try:
        yield
    finally:
        switch_trap(-1)


def test_a_call_that_is_refused_leaves_no_budget_behind(counter):
    victim = counter(limit=1000)
    nan = float("nan")
    for bad in ({"ticks": 10, "slice_seconds": nan}, {"rounds": 1, "seconds": nan}):
        with pytest.raises(ValueError, match="must be"):
            scheduler.run(**bad)
    for nothing in ({"ticks": 10, "switches": 0}, {"ticks": 10, "seconds": -1}):
        assert scheduler.run(**nothing) is None
    assert scheduler.run() is None
    assert victim.result() == 1000


# Other stacks, other ways to be at work.


@pytest.mark.parametrize("runaway", OTHER_STACK, ids=lambda f: f.__name__)
def test_a_tasklet_stopped_in_a_greenlet_of_its_own_can_be_killed(runaway, log):
    def work():
        try:
            runaway(Leash())
        finally:
            log.append("finally")

    victim = tasklet(work)()
    assert scheduler.run(500) is victim
    victim.kill()
    assert log == ["finally"]


def test_greenlets_may_be_switched_by_several_tasklets_that_are_stopped(log):
    def inner(home):
        total = 0
        while True:
            total += busy(10)
            home.switch(total)

    def work():
        from greenlet import getcurrent as here

        mine = greenlet(inner)
        found = [mine.switch(here())]
        found += [mine.switch() for _ in range(50)]
        return found

    def unstopped():
        worker = spawn(work)
        run()
        return worker.result()

    expected = unstopped()
    workers = [spawn(work) for _ in range(4)]
    victim, stops = None, 0
    while (victim := scheduler.run(17)) is not None or reason() != "idle":
        stops += 1
        if victim is not None:
            victim.insert()
    assert stops > 50
    assert [worker.result() for worker in workers] == [expected] * 4


def test_a_stop_does_not_change_the_context(counter):
    import contextvars

    var = contextvars.ContextVar("var", default="main")

    def work():
        var.set("victim")
        busy(1000)
        return var.get()

    victim = spawn(work)
    assert scheduler.run(100) is victim
    assert var.get() == "main"
    victim.insert()
    run()
    assert victim.result() == "victim"


def test_many_victims_may_wait_at_once():
    victims = [spawn(busy, 500) for _ in range(500)]
    for victim in victims:
        assert scheduler.run(50) is victim
    for victim in victims:
        victim.insert()
    assert scheduler.run(LOTS * 100) is None
    assert {victim.result() for victim in victims} == {busy(500)}


def test_threads_count_for_themselves():
    def work():
        found.append(places([333] * 20))

    expected, found = places([333] * 20), []
    threads = [threading.Thread(target=work) for _ in range(4)]
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(old)
    assert found == [expected] * 4


def test_a_stop_leaks_nothing(no_leak):
    def stopped():
        victim = tasklet(busy)(10**9)
        scheduler.run(100)
        victim.insert()
        scheduler.run(50)
        victim.kill()

    no_leak(stopped)


def test_a_budget_that_nobody_uses_up_leaks_nothing(no_leak):
    def unstopped():
        tasklet(busy)(10)
        scheduler.run(1000, slice_ticks=500, seconds=100, slice_seconds=50)

    no_leak(unstopped)


# Random programs: what is stopped again and again computes what it should.


def stopped(seed, trace, most=200, ignore_nesting=True):
    """Return a way to drive tasklets that stops them at random."""

    def drive(tasklets_):
        generator = random.Random(seed)
        while any(t.alive for t in tasklets_):
            kind = generator.choice(["ticks", "slice_ticks"])
            victim = scheduler.run(
                **{kind: generator.randrange(1, most)},
                soft=generator.random() < 0.1,
                ignore_nesting=ignore_nesting or generator.random() < 0.5,
            )
            trace.append((reason(), victim and tasklets_.index(victim)))
            if victim is not None:
                victim.insert()

    return drive


def check_random_program(seed, most=200):
    program = Program(seed)
    expected = program.results(unstopped)
    # What counts as nested differs once the interpreter knows the code.
    assert program.results(stopped(seed, [], most, ignore_nesting=False)) == expected
    traces = []
    for _ in range(2):
        trace = []
        assert program.results(stopped(seed, trace, most)) == expected
        traces.append(trace)
    assert traces[0] == traces[1]
    return len(traces[0])


@pytest.mark.parametrize("seed", range(20))
def test_a_random_program_that_is_stopped_computes_the_same(seed):
    assert check_random_program(seed) > 2


@pytest.mark.slow
def test_many_random_programs_that_are_stopped_compute_the_same():
    assert sum(check_random_program(seed, most=30) for seed in range(100, 250)) > 5_000


@pytest.mark.slow
def test_a_million_stops_leave_everything_right():
    expected, stops, seed = {}, 0, 0
    while stops < 10**6:
        seed += 1
        program = Program(seed % 20)
        if seed % 20 not in expected:
            expected[seed % 20] = program.results(unstopped)
        trace = []
        drive = stopped(seed, trace, most=2 + seed % 3)
        assert program.results(drive) == expected[seed % 20]
        stops += len(trace)
        del trace, drive


@pytest.mark.slow
def test_random_programs_in_several_threads_compute_the_same():
    def work(number):
        try:
            for seed in range(300 + number, 340, 4):
                program = Program(seed)
                trace = []
                results = program.results(stopped(seed, trace))
                found[seed] = (results, trace)
        except BaseException as error:
            found[number] = error

    expected, found = {}, {}
    for seed in range(300, 340):
        program = Program(seed)
        trace = []
        assert program.results(unstopped) == program.results(stopped(seed, trace))
        expected[seed] = (program.results(unstopped), trace)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(old)
    assert found == expected
