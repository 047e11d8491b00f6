"""Budgets of run() in ticks: who is stopped, where, and what the caller gets."""

import gc
import random
import sys
import threading
import weakref
from textwrap import dedent

import pytest
from children import run_program
from runaways import RUNAWAYS, Leash
from stoppable import LOTS, SUSPENDED, busy, mixed, places, reason, suspended
from turns import ring

from tasklets import (
    TaskletExit,
    getcurrent,
    getmain,
    run,
    schedule,
    scheduler,
    spawn,
    tasklet,
)

pytestmark = pytest.mark.usefixtures("no_foreign_collector_callbacks")


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
@pytest.mark.parametrize("where", SUSPENDED)
def test_ticks_stop_what_was_suspended_before_anybody_counted(where, budget):
    """Its code has run without anybody counting, in a process where nobody ever has."""
    check_program(suspended(where, f"{budget}=1000"))


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
            time.sleep(1)  # the counting is turned off during this
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
def test_an_exception_thrown_finds_the_innermost_handler(ticks, log):
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


def test_an_exception_thrown_into_a_stopped_generator_ends_it(log):
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


def test_the_end_of_a_victim_wakes_its_joiners():
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
