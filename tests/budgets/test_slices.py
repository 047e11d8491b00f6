"""Budgets of the whole call and of a slice, calls inside calls, and errors."""

import threading

import pytest
from stoppable import LOTS, busy, reason
from turns import ring

import tasklets
from tasklets import (
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
    tasklet,
)

pytestmark = pytest.mark.usefixtures("no_foreign_collector_callbacks")


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


def test_slice_ticks_do_not_stop_a_tasklet_that_gives_way():
    def work():
        for _ in range(1000):
            busy(10)
            schedule()

    for _ in range(3):
        spawn(work)
    assert scheduler.run(slice_ticks=200) is None
    assert reason() == "idle"


def test_slice_ticks_stop_a_tasklet_that_does_not_give_way_in_time(counter, log):
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


def test_the_reason_tells_a_tasklet_that_overran_from_the_last_to_run():
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


def test_a_budget_is_active_again_after_a_call_inside_has_ended(counter):
    def work():
        scheduler.run(50).kill()
        busy(10**9)

    worker = tasklet(work)()
    counter()
    assert scheduler.run(5000) is worker
    worker.kill()


def test_a_call_inside_without_budgets_keeps_the_outer_calls_budgets(counter):
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
