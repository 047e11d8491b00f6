"""Budgets: bad arguments, other stacks, and random programs that are stopped."""

import contextlib
import random
import sys
import threading

import pytest
from greenlet import greenlet
from runaways import OTHER_STACK, Leash
from stoppable import LOTS, Program, busy, places, reason, unstopped

import tasklets
from tasklets import (
    SwitchTrapError,
    run,
    schedule,
    scheduler,
    spawn,
    switch_trap,
    tasklet,
)

pytestmark = pytest.mark.usefixtures("no_foreign_collector_callbacks")


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
