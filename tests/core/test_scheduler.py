"""The run queue: in which order tasklets run, run(), and what is in the queue."""

import threading

import pytest

import tasklets
from tasklets import (
    DeadlockError,
    channel,
    getcurrent,
    getruncount,
    run,
    schedule,
    schedule_remove,
    scheduler,
    tasklet,
)


@pytest.fixture
def start(log):
    """Return a function that starts tasklets which note their steps."""

    def steps(name, count):
        for step in range(1, count + 1):
            log.append(f"{name}{step}")
            schedule()

    def start(names, count=2):
        return [tasklet(steps)(name, count) for name in names]

    return start


# The order.


def test_run_goes_round_until_all_have_ended(start, log):
    start("abc")
    run()
    assert log == ["a1", "b1", "c1", "a2", "b2", "c2"]


def test_schedule_goes_round_once(start, log):
    start("abc")
    schedule()
    assert log == ["a1", "b1", "c1"]
    run()


def test_new_tasklets_come_last(log):
    def work(name, children):
        log.append(name)
        for child in children:
            tasklet(work)(child, ())

    tasklet(work)("a", "xy")
    tasklet(work)("b", "")
    run()
    assert log == ["a", "b", "x", "y"]


def test_tasklet_run_turns_the_queue(start, log):
    _, b, _ = start("abc")
    b.run()
    log.append("M2")
    run()
    assert log == ["b1", "c1", "M2", "a1", "b2", "c2", "a2"]


def test_tasklet_run_of_a_floating_one_goes_before_the_caller(start, log):
    _, b, _ = start("abc")
    b.remove().run()
    log.append("M2")
    run()
    assert log == ["b1", "M2", "a1", "c1", "b2", "a2", "c2"]


def test_switch_to_a_floating_one_takes_the_callers_place(start, log):
    main = getcurrent()
    start("ab")
    tasklet(lambda: (log.append("w"), main.insert()))()
    (x,) = start("x")
    x.remove().switch()
    log.append("M2")
    run()
    assert log == ["x1", "a1", "b1", "w", "x2", "a2", "b2", "M2"]


def test_a_kill_before_the_start_turns_the_queue(start, log):
    a, _, _ = start("abc", 1)
    a.kill()
    log.append("M2")
    assert log == ["b1", "c1", "M2"]


def test_a_kill_in_the_queue_turns_it(start, log):
    _, b, _ = start("abc", 3)
    schedule()
    log.append("M1")
    b.kill()
    log.append("M2")
    run()
    assert log == ["a1", "b1", "c1", "M1", "c2", "M2", "a2", "c3", "a3"]


def test_a_kill_out_of_the_queue_lets_nobody_else_run(start, log):
    _, b, _ = start("abc", 3)
    schedule()
    log.append("M1")
    b.remove().kill()
    log.append("M2")
    run()
    assert log == ["a1", "b1", "c1", "M1", "M2", "a2", "c2", "a3", "c3"]


def test_an_error_reaches_run_before_the_others_go_on(start, log):
    def fail():
        log.append("boom")
        raise KeyError

    start("a")
    tasklet(fail)()
    start("c")
    with pytest.raises(KeyError):
        run()
    log.append(f"caught {getruncount()}")
    run()
    assert log == ["a1", "boom", "caught 3", "c1", "a2", "c2"]


def test_an_error_that_reaches_main_in_the_queue_costs_the_others_their_turn(
    start, log
):
    def fail():
        log.append("boom")
        raise KeyError

    start("a")
    tasklet(fail)()
    start("c")
    with pytest.raises(KeyError):
        schedule()
    log.append("caught")
    schedule()
    log.append("M2")
    run()
    assert log == ["a1", "boom", "caught", "a2", "c1", "M2", "c2"]


def test_an_outer_run_comes_back_after_an_inner_one(start, log):
    def inner():
        log.append("i1")
        start("x")
        run()
        log.append("i2")

    tasklet(inner)()
    run()
    log.append("M")
    assert log == ["i1", "x1", "x2", "i2", "M"]


def test_an_inner_run_waits_for_the_tasklets_of_the_outer_one(start, log):
    def inner():
        log.append("i1")
        start("x")
        run()
        log.append("i2")

    tasklet(inner)()
    start("a", 3)
    run()
    log.append("M")
    assert log == ["i1", "a1", "x1", "a2", "x2", "a3", "i2", "M"]


def test_an_inner_run_ends_after_the_outer_one_that_came_first(start, log):
    def inner():
        log.append("r1")
        run()
        log.append("r2")

    log.append("M0")
    r = tasklet(inner)()
    start("a")
    schedule()
    log.append("M1")
    schedule()
    log.append("M2")
    schedule()
    log.append("M3")
    assert log == ["M0", "r1", "a1", "M1", "a2", "M2", "M3"]
    assert r.paused
    run()
    assert r.paused
    r.kill()
    assert log[-1] == "M3"


# schedule.


def test_schedule_alone_returns_at_once():
    assert schedule("value") == "value"


def test_schedule_returns_its_argument():
    tasklet(int)()
    assert schedule("value") == "value"


def test_schedule_returns_the_current_tasklet_by_default():
    assert schedule() is getcurrent()
    tasklet(int)()
    assert schedule() is getcurrent()


def test_schedule_takes_a_keyword():
    assert schedule(retval=5) == 5


def test_schedule_returns_none_if_told():
    assert schedule(None) is None


def test_schedule_returns_the_tempval_that_somebody_set():
    main = getcurrent()

    def work():
        assert main.tempval == "old"
        main.tempval = "new"

    tasklet(work)()
    assert schedule("old") == "new"


@pytest.mark.parametrize("args", [(1, 2)])
@pytest.mark.parametrize("function", [schedule, schedule_remove])
def test_there_is_one_return_value(function, args):
    with pytest.raises(TypeError):
        function(*args)
    with pytest.raises(TypeError):
        function(value=1)


# schedule_remove.


def test_schedule_remove_pauses(log):
    t = tasklet(schedule_remove)()
    run()
    assert t.paused
    t.insert()
    run()
    assert not t.alive


def test_schedule_remove_returns_its_argument_or_the_tempval(log):
    def work():
        log.append(schedule_remove("first"))
        log.append(schedule_remove("second"))

    t = tasklet(work)()
    run()
    t.insert()
    run()
    t.tempval = "new"
    t.insert()
    run()
    assert log == ["first", "new"]


def test_schedule_remove_returns_the_current_tasklet_by_default(log):
    t = tasklet(lambda: log.append(schedule_remove() is getcurrent()))()
    run()
    t.run()
    assert log == [True]


def test_schedule_remove_of_main_ends_when_nobody_can_run(log):
    tasklet(log.append)(1)
    schedule_remove()
    assert log == [1]


def test_schedule_remove_of_main_alone_returns():
    assert schedule_remove("value") == "value"


def test_schedule_remove_of_the_last_while_main_waits_is_a_deadlock(log):
    ch = channel()

    def work():
        with pytest.raises(DeadlockError, match="^Deadlock"):
            schedule_remove()
        log.append(getcurrent().tempval)
        ch.send("value")

    tasklet(work)()
    assert ch.receive() == "value"
    assert log == [None]
    run()


def test_the_block_trap_does_not_stop_schedule_remove():
    main = getcurrent()
    tasklet(main.insert)()
    with tasklets.block_trap():
        schedule_remove()


# run.


def test_run_with_nothing_to_do_returns_none():
    assert run() is None


def test_run_returns_none_whatever_the_tempval():
    main = getcurrent()

    def work():
        main.tempval = "value"

    tasklet(work)()
    assert run() is None


def test_run_raises_a_bomb_in_the_callers_tempval():
    main = getcurrent()
    tasklet(lambda: main.throw(KeyError, "thrown"))()
    with pytest.raises(KeyError, match="thrown"):
        run()
    run()


def test_run_leaves_paused_and_blocked_tasklets(log):
    paused, blocked = tasklet(schedule_remove)(), tasklet(channel().receive)()
    run()
    assert (paused.paused, blocked.blocked) == (True, True)
    paused.kill()
    blocked.kill()


def test_run_comes_back_early_if_its_caller_is_inserted(log):
    main = getcurrent()
    tasklet(lambda: (main.insert(), schedule(), log.append("rest")))()
    run()
    assert log == []
    run()
    assert log == ["rest"]


def test_run_comes_back_early_if_its_caller_is_run(log):
    main = getcurrent()
    tasklet(lambda: (main.run(), log.append("rest")))()
    run()
    assert log == []
    run()
    assert log == ["rest"]


def test_run_in_a_tasklet_waits_for_the_others(start, log):
    tasklet(lambda: (start("ab", 1), run(), log.append("end")))()
    run()
    assert log == ["a1", "b1", "end"]


def test_runs_nest_to_any_depth(log):
    def work(depth):
        if depth:
            tasklet(work)(depth - 1)
            run()
        log.append(depth)

    tasklet(work)(50)
    run()
    assert log == list(range(51))


def test_a_killed_inner_run_leaves_the_outer_one_working(start, log):
    inner = tasklet(run)()
    tasklet(inner.kill)()
    start("a")
    run()
    assert log == ["a1", "a2"]
    assert not inner.alive


def test_an_error_reaches_the_innermost_run(log):
    def fail():
        raise KeyError

    def inner():
        tasklet(fail)()
        with pytest.raises(KeyError):
            run()
        log.append("inner")

    tasklet(inner)()
    run()
    assert log == ["inner"]


def test_the_callers_of_run_are_listed():
    seen = []

    def info():
        return tasklets.get_thread_info(-1, 1 << 31)[3]

    def inner():
        tasklet(lambda: seen.append([t and t.is_main for t in info()]))()
        run()

    tasklet(inner)()
    run()
    assert seen == [[None, True, False]]
    assert info() == [None]


@pytest.mark.parametrize(
    "options",
    [{"threadblock": True}, {"soft": 1}, {"ignore_nesting": 1}, {"totaltimeout": 1}],
)
def test_run_takes_the_options_of_stackless(options):
    assert run(0, **options) is None
    assert run(timeout=0, **options) is None


@pytest.mark.parametrize("timeout", [None, "1", 1.0, []])
def test_the_timeout_of_run_must_be_an_int(timeout):
    with pytest.raises(TypeError):
        run(timeout)


def test_run_takes_five_arguments_at_most():
    with pytest.raises(TypeError):
        run(0, 0, 0, 0, 0, 0)


# scheduler.run.


def test_a_budget_of_switches_ends_the_run(start, log):
    start("abc")
    assert scheduler.run(switches=2) is None
    assert log == ["a1", "b1"]
    run()


def test_a_budget_leaves_the_queue_as_it_is(start, log):
    start("abc")
    scheduler.run(switches=2)
    scheduler.run(switches=2)
    assert log == ["a1", "b1", "c1", "a2"]
    run()


def test_a_budget_larger_than_needed_does_no_harm(start, log):
    start("ab", 1)
    scheduler.run(switches=1000)
    assert log == ["a1", "b1"]


def test_a_nested_run_may_have_a_smaller_budget(start, log):
    def inner():
        start("xy", 5)
        scheduler.run(switches=3)
        log.append("inner")

    tasklet(inner)()
    scheduler.run(switches=50)
    assert log[:4] == ["x1", "y1", "x2", "inner"]
    run()


def test_an_outer_budget_ends_an_inner_run(log):
    def ticking():
        while True:
            log.append("tick")
            schedule()

    def inner():
        run()
        log.append("never")

    three = [tasklet(work)() for work in (inner, ticking, ticking)]
    scheduler.run(switches=5)
    assert log == ["tick"] * 4
    for t in three:
        t.remove().kill()


def test_a_lone_tasklet_that_yields_uses_up_the_budget(log):
    def ticking():
        while True:
            log.append("tick")
            schedule()

    t = tasklet(ticking)()
    scheduler.run(switches=3)
    assert len(log) == 3
    assert t.scheduled
    t.remove().kill()


@pytest.mark.parametrize("switches", [0, -1])
def test_a_budget_of_nothing_lets_nobody_run(switches, start, log):
    start("a", 1)
    assert scheduler.run(switches=switches) is None
    assert log == []
    run()


@pytest.mark.parametrize("switches", ["1", 1.5, []])
def test_a_budget_must_be_an_int(switches):
    with pytest.raises(TypeError):
        scheduler.run(switches=switches)


def test_no_budget_is_none(start, log):
    start("a", 1)
    scheduler.run(switches=None)
    assert log == ["a1"]


def test_threadblock_returns_when_no_other_thread_could_help():
    assert scheduler.run(threadblock=True) is None


def test_threadblock_waits_for_other_threads(log):
    main = getcurrent()
    ch = channel()
    t = tasklet(lambda: log.append(ch.receive()))()
    schedule()
    go = threading.Event()

    def work():
        go.wait(10)
        ch.send("from the other thread")
        main.insert()

    thread = threading.Thread(target=work)
    thread.start()
    tasklet(go.set)()
    scheduler.run(threadblock=True)
    thread.join()
    run()
    assert log == ["from the other thread"]
    assert not t.alive


# Who is there.


def test_main_is_current_outside_of_all_tasklets():
    assert getcurrent() is tasklets.getmain()
    assert getcurrent().is_main


def test_getcurrent_is_the_running_tasklet(log):
    t = tasklet(lambda: log.append(getcurrent() is t))()
    run()
    assert log == [True]


def test_getmain_is_the_same_in_all_tasklets(log):
    main = getcurrent()
    tasklet(lambda: log.append(tasklets.getmain() is main))()
    run()
    assert log == [True]


def test_the_run_count_counts_the_runnable_ones(log):
    assert getruncount() == 1
    a = tasklet(lambda: log.append(getruncount()))()
    b = tasklet(int)()
    assert getruncount() == 3
    b.remove()
    assert getruncount() == 2
    run()
    assert log == [1]  # main is inside run()
    assert getruncount() == 1
    b.kill()
    assert not a.alive


def test_the_current_id_of_main_is_that_of_its_thread():
    assert tasklets.getcurrentid() == threading.get_ident()


def test_the_current_id_is_each_tasklets_own(log):
    for _ in range(3):
        tasklet(lambda: (log.append(tasklets.getcurrentid()), schedule()))()
    run()
    assert len({*log, tasklets.getcurrentid()}) == 4


def test_the_current_id_stays_the_same(log):
    def work():
        first = tasklets.getcurrentid()
        schedule()
        log.append(first == tasklets.getcurrentid())

    tasklet(work)()
    run()
    assert log == [True]


def test_the_statistics_count():
    def grown(name):
        return scheduler.statistics()[name] - before[name]

    before = scheduler.statistics()
    t = tasklets.spawn(schedule_remove)
    assert (grown("runnable"), grown("tasklets"), grown("spawned")) == (1, 1, 1)
    run()
    assert (grown("runnable"), grown("started"), grown("finished")) == (0, 1, 0)
    t.kill()
    assert (grown("started"), grown("finished")) == (0, 1)
    assert grown("switches") >= 4


# The schedule callback.
