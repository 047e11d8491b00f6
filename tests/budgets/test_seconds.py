"""Budgets of run() in seconds: who is stopped, and what holds a stop off."""

import functools
import gc
import sys
import time

import pytest
from runaways import FLAT, RUNAWAYS, Leash
from seconds import LATE, LONGER, SOON, check_program, forever, run_until, spin
from stoppable import SUSPENDED, busy, reason, suspended

import tasklets
from tasklets import (
    TaskletExit,
    atomic,
    channel,
    getcurrent,
    getruncount,
    run,
    schedule,
    scheduler,
    spawn,
    switch_trap,
    tasklet,
)

# A tasklet that does not give way is stopped.


def let_run(runaway, leash, budgets, times):
    """Let a budget stop it that many times, then let it end, and compare."""
    result = []
    victim = tasklet(lambda: result.append(runaway(leash)))()
    rounds = []
    # On a busy machine a stop may come before the runaway has gone on at all.
    while len(rounds) < times or rounds[-1] == rounds[0]:
        assert scheduler.run(**budgets) is victim
        assert reason() == next(iter(budgets))
        assert (victim.alive, victim.paused, victim.blocked) == (True, True, False)
        rounds.append(leash.rounds)
        victim.insert()
    assert rounds == sorted(rounds)
    leash.going = False
    assert scheduler.run() is None
    assert result == [leash.rounds]


@pytest.mark.parametrize("budget", ["seconds", "slice_seconds"])
@pytest.mark.parametrize("runaway", RUNAWAYS.values(), ids=RUNAWAYS)
def test_time_stops_a_runaway(runaway, budget):
    let_run(runaway, Leash(), {budget: SOON}, 4)


@pytest.mark.parametrize("runaway", RUNAWAYS.values(), ids=RUNAWAYS)
def test_a_runaway_stopped_at_random_ends_as_if_it_were_not(runaway):
    let_run(runaway, Leash(), {"slice_seconds": 1e-5}, 40)


@pytest.mark.parametrize("runaway", RUNAWAYS.values(), ids=RUNAWAYS)
def test_a_runaway_can_be_killed_where_time_stopped_it(runaway, log):
    def work():
        try:
            runaway(leash)
        except TaskletExit:
            log.append("handler")
            raise
        finally:
            log.append("finally")

    for seconds in (0.0005, 0.0011, 0.002):
        leash = Leash()
        victim = tasklet(work)()
        while not leash.rounds:
            assert scheduler.run(seconds=seconds) is victim
            victim.insert()
        victim.remove().kill()
        assert not victim.alive
        assert log == ["handler", "finally"]
        log.clear()


@pytest.mark.parametrize("budget", ["seconds", "slice_seconds"])
def test_time_stops_a_loop_without_a_body(budget, log):
    def work():
        try:
            while True: pass  # noqa: E701  # fmt: skip
        finally:
            log.append("finally")

    victim = tasklet(work)()
    for _ in range(3):
        assert scheduler.run(**{budget: SOON}) is victim
        victim.insert()
    victim.remove().kill()
    assert log == ["finally"]


@pytest.mark.parametrize("runaway", FLAT, ids=lambda f: f.__name__.strip("_"))
def test_without_ignore_nesting_what_python_calls_is_stopped(runaway):
    victim = tasklet(runaway)(Leash())
    assert scheduler.run(seconds=SOON, ignore_nesting=False) is victim
    victim.kill()


@pytest.mark.parametrize("budget", ["seconds", "slice_seconds"])
@pytest.mark.parametrize("where", SUSPENDED)
def test_time_stops_what_was_suspended_before_there_was_a_budget(where, budget):
    check_program(suspended(where, f"{budget}=0.01"))


@pytest.mark.parametrize("shape", ["a call in a loop", "an empty loop", "a sort"])
def test_a_victim_goes_on_after_many_stops(shape, log):
    def call():
        while not log:
            busy(10)

    def empty():
        while not log:
            pass

    def sort():
        while not log:
            sorted(range(50), key=lambda item: -item)

    work = {"a call in a loop": call, "an empty loop": empty, "a sort": sort}[shape]
    victim = tasklet(work)()
    for _ in range(300):
        assert scheduler.run(slice_seconds=0.0002) is victim
        victim.insert()
    log.append("end")
    assert scheduler.run(seconds=LATE) is None
    assert not victim.alive


def test_times_are_not_too_short():
    for budget in ("seconds", "slice_seconds"):
        victim = tasklet(forever)()
        began = time.monotonic()
        assert scheduler.run(**{budget: 0.05}) is victim
        ended = time.monotonic()
        assert 0.05 <= scheduler.last_run().elapsed <= ended - began
        victim.kill()


@pytest.mark.parametrize("seconds", [1e-12, 1e-9, 1e-6])
def test_hardly_any_time_is_enough_to_stop_somebody_some_time(seconds):
    victim = tasklet(forever)()
    assert scheduler.run(seconds=seconds) is victim
    victim.kill()


# The whole call and a slice.


def test_seconds_that_end_between_two_tasklets_stop_nobody(log):
    def work(name):
        while True:
            log.append(name)
            schedule()

    workers = [tasklet(work)(name) for name in "abc"]
    runs = 0
    while runs < 20 or set(log) != set("abc"):
        runs += 1
        victim = scheduler.run(seconds=0.001)
        assert reason() == "seconds"
        if victim is not None:
            victim.insert()
        assert getruncount() == 4
    for worker in workers:
        worker.remove().kill()


def test_seconds_are_for_the_whole_call():
    def work():
        while True:
            spin(0.001)
            schedule()

    # Each gives way long before 0.05 seconds, so no turn of any would end the call.
    workers = [tasklet(work)() for _ in range(3)]
    switches = 0
    while switches <= 3:
        began = time.monotonic()
        victim = scheduler.run(seconds=0.05)
        assert time.monotonic() - began >= 0.05
        switches = scheduler.last_run().switches
        if victim is not None:
            victim.insert()
    for worker in workers:
        worker.remove().kill()


def test_slice_seconds_do_not_stop_a_tasklet_that_gives_way():
    def work():
        for _ in range(300):
            spin(0.0002)
            schedule()

    for _ in range(3):
        tasklet(work)()
    assert scheduler.run(slice_seconds=LATE / 2) is None
    assert reason() == "idle"


@pytest.mark.timing
def test_slice_seconds_find_the_tasklet_that_does_not_give_way(log):
    def work():
        nonlocal began
        while True:
            began = time.monotonic()
            busy(10)
            schedule()

    began = None
    fair = [tasklet(work)() for _ in range(3)]
    victim = tasklet(forever)()
    while (found := scheduler.run(slice_seconds=0.1)) is not victim:
        assert found in fair
        assert time.monotonic() - began >= 0.1  # the machine was busy with others
        found.insert()
    for each in [*fair, victim]:
        each.remove().kill()


def test_a_tasklet_alone_begins_a_new_slice_with_schedule():
    def work():
        for _ in range(100):
            spin(0.001)
            schedule()
        return "end"

    worker = spawn(work)
    assert scheduler.run(slice_seconds=LATE / 2) is None
    assert worker.result() == "end"


def test_a_slice_after_many_others_is_bounded_too(log):
    def work():
        for _ in range(2000):
            schedule()
        log.append("spin")
        spin(LATE)

    other = tasklet(work)()
    other.remove()
    victim = tasklet(work)()
    run_until(log, victim, slice_seconds=0.02)
    assert log == ["spin"]
    victim.kill()
    other.kill()


@pytest.mark.parametrize(
    ("budgets", "expected"),
    [
        ({"seconds": 0.01, "ticks": 10**12}, "seconds"),
        ({"slice_seconds": 0.01, "ticks": 10**12}, "slice_seconds"),
        ({"seconds": 0.01, "slice_seconds": LATE}, "seconds"),
        ({"seconds": LATE, "slice_seconds": 0.01}, "slice_seconds"),
        ({"seconds": LATE, "slice_seconds": LATE, "ticks": 5000}, "ticks"),
        ({"seconds": LATE, "slice_seconds": LATE, "slice_ticks": 5000}, "slice_ticks"),
        ({"seconds": 0.01, "switches": 5}, "seconds"),
    ],
)
def test_whichever_budget_ends_first_ends_the_call(budgets, expected):
    victim = tasklet(spin)(LATE)
    assert scheduler.run(**budgets) is victim
    assert reason() == expected
    victim.kill()


def test_a_budget_of_more_than_a_life_is_none():
    for seconds in (1e8, 1e30, float("inf")):
        worker = spawn(busy, 100)
        assert scheduler.run(seconds=seconds, slice_seconds=seconds) is None
        assert worker.result() == busy(100)


@pytest.mark.parametrize("name", ["seconds", "slice_seconds"])
def test_a_time_that_is_nan_is_refused(name, log):
    worker = tasklet(log.append)(1)
    with pytest.raises(ValueError, match=f"{name} must be a number of seconds, not N"):
        scheduler.run(**{name: float("nan")})
    assert log == []
    worker.remove()


@pytest.mark.parametrize("name", ["seconds", "slice_seconds"])
@pytest.mark.parametrize("value", ["1", [], 1j])
def test_a_time_that_is_no_number_is_refused(name, value):
    with pytest.raises(TypeError):
        scheduler.run(**{name: value})


# What holds a stop off.


@pytest.mark.parametrize(
    "call",
    [
        lambda: time.sleep(0.05),
        lambda: sum(range(3_000_000)),
        lambda: sorted(range(1_000_000), reverse=True),
        lambda: "a" * 1000 in "ab" * 1_000_000,
        lambda: pow(7, 100_000) % 10,
    ],
    ids=["sleep", "sum", "sort", "search", "power"],
)
def test_a_long_call_of_c_code_is_stopped_behind_it(call, log):
    def work():
        call()
        log.append("called")
        spin(LATE)

    victim = tasklet(work)()
    assert scheduler.run(seconds=0.001) is victim
    victim.insert()
    assert scheduler.run(seconds=0.1) is victim
    assert log in (["called"], [])
    victim.kill()


def test_a_call_that_was_too_long_is_not_repeated(log):
    def work():
        step = 0
        while step < 5 or stops < 4:
            time.sleep(0.01)
            log.append(step)
            step += 1
        return "end"

    worker, stops = spawn(work), 0
    while (victim := scheduler.run(seconds=0.002)) is not None:
        stops += 1
        assert victim is worker
        victim.insert()
    assert log == list(range(len(log)))
    assert worker.result() == "end"


def test_an_atomic_block_holds_a_stop_off_until_it_ends(log):
    def work():
        with atomic():
            spin(0.03)
            log.append("atomic")
        while not over:
            pass
        log.append("end")

    over = False
    victim = tasklet(work)()
    run_until(log, victim, seconds=SOON)
    assert log == ["atomic"]
    over = True
    victim.insert()
    run()
    assert log == ["atomic", "end"]


def test_set_atomic_holds_a_stop_off_until_it_is_reset(log):
    def work():
        getcurrent().set_atomic(True)
        spin(0.03)
        log.append("atomic")
        getcurrent().set_atomic(False)
        spin(LATE)

    victim = tasklet(work)()
    run_until(log, victim, slice_seconds=SOON)
    assert log == ["atomic"]
    victim.kill()


def test_a_switch_trap_holds_a_stop_off_until_it_is_taken_away(log):
    def work():
        switch_trap(1)
        spin(0.03)
        log.append("trapped")
        switch_trap(-1)
        spin(LATE)

    victim = tasklet(work)()
    run_until(log, victim, seconds=SOON)
    assert log == ["trapped"]
    victim.kill()


def test_callbacks_hold_a_stop_off(log):
    def callback(*_):
        spin(0.03)
        log.append("callback")

    def work():
        ch.send(1)
        spin(LATE)

    ch = channel()
    ch.preference = 1
    tasklet(ch.receive)()
    run()
    tasklets.set_channel_callback(callback)
    victim = tasklet(work)()
    try:
        found = None
        while not log or found is None:
            if found is not None:
                found.insert()  # the time was up before it came to the callback
            found = scheduler.run(seconds=SOON)
    finally:
        tasklets.set_channel_callback(None)
    assert found is victim
    assert log == ["callback"]
    victim.kill()


def test_a_finalizer_that_the_collector_calls_holds_a_stop_off(log):
    class Thing:
        def __init__(self):
            self.me = self

        def __del__(self):
            spin(0.03)
            log.append("finalized")

    def work():
        Thing()
        gc.collect()
        spin(LATE)

    victim = tasklet(work)()
    run_until(log, victim, seconds=SOON)
    if not log:  # it was stopped before, on a busy machine
        victim.insert()
        run_until(log, victim, seconds=SOON)
    assert log == ["finalized"]
    gc.collect()
    victim.kill()


def test_an_import_holds_a_stop_off(tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text(
        "import time\nend = time.monotonic() + 0.05\n"
        "while time.monotonic() < end: pass\ndone = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def work():
        import slow_module

        assert slow_module.done
        spin(LATE)

    victim = tasklet(work)()
    try:
        assert scheduler.run(seconds=0.01) is victim
        module = sys.modules.get("slow_module")
        assert module is None or module.done
        import slow_module  # nobody holds its lock

        assert slow_module.done
    finally:
        sys.modules.pop("slow_module", None)
        victim.kill()


def test_a_key_function_holds_a_stop_off_without_ignore_nesting(log):
    def key(item):
        spin(0.03)
        log.append(item)
        return item

    def work():
        sorted([1], key=key)
        functools.reduce(lambda a, b: key(b), [1, 2])
        spin(LATE)

    victim = tasklet(work)()
    run_until(log, victim, seconds=SOON, ignore_nesting=False)
    assert log[0] == 1
    victim.kill()


@pytest.mark.timing
@pytest.mark.parametrize("others", [True, False], ids=["among others", "alone"])
@pytest.mark.parametrize("budget", ["seconds", "slice_seconds"])
def test_soft_waits_until_the_tasklet_gives_way(budget, others, log):
    def work(seconds):
        spin(seconds)
        log.append("done")
        schedule()
        log.append("not yet")

    for seconds in LONGER:
        log.clear()
        worker = tasklet(work)(seconds)
        other = tasklet(log.append)("other") if others else None
        assert scheduler.run(**{budget: 0.05}, soft=True) is None
        if log == ["done"]:
            break
        run()
    assert reason() == budget
    assert log == ["done"]
    assert worker.scheduled
    assert other is None or other.scheduled
    run()
