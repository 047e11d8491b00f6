"""Budgets in seconds: nested calls, waits, threads, signals, forks and exits."""

import os
import sys
import threading
import time

import pytest
from children import forks_beside_threads
from runaways import RUNAWAYS, Leash
from seconds import LATE, LONGER, SOON, check_program, forever, run_until, spin
from stoppable import Program, busy, reason, unstopped

import tasklets
from tasklets import (
    DeadlockError,
    channel,
    getcurrent,
    run,
    schedule_remove,
    scheduler,
    spawn,
    tasklet,
)

SOAK = float(os.environ.get("TASKLETS_SOAK_SECONDS", "2"))  # .ci/run: more


def in_threads(work, count=4, interval=None):
    """Call work(0), work(1), ... each in a thread of its own; return the results."""

    def call(number):
        try:
            results[number] = work(number)
        except BaseException as error:
            results[number] = error

    results = [None] * count
    threads = [threading.Thread(target=call, args=(n,)) for n in range(count)]
    old = sys.getswitchinterval()
    if interval is not None:
        sys.setswitchinterval(interval)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(old)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


# Calls inside calls, errors.


def test_the_outermost_goes_on_if_its_time_is_up(log):
    def inner():
        log.append(scheduler.run(seconds=LATE))

    inner = tasklet(inner)()
    victim = tasklet(spin)(LATE)
    while (found := scheduler.run(seconds=0.05)) is not victim:
        assert found is inner  # before its own call
        found.insert()
    assert log == []
    run()
    assert log == [None]
    assert not inner.alive
    victim.kill()


def test_the_inner_call_ends_first_if_its_time_does(log):
    def inner():
        log.append(scheduler.run(seconds=SOON))
        log.append(reason())

    tasklet(inner)()
    victim = tasklet(spin)(LATE)
    assert scheduler.run(seconds=LATE) is None
    assert log == [victim, "seconds"]
    victim.kill()


@pytest.mark.timing
def test_the_time_of_the_outer_call_goes_on_after_an_inner_one(log):
    def inner():
        scheduler.run(slice_seconds=SOON).kill()
        log.append("inner")
        spin(LATE)

    for seconds in LONGER:
        worker, runaway = tasklet(inner)(), tasklet(forever)()
        found = scheduler.run(seconds=seconds)
        if log:
            break
        runaway.kill()
        worker.kill()
    assert found is worker
    assert log == ["inner"]
    worker.kill()


def test_an_error_ends_the_time(log):
    def fail():
        raise KeyError

    tasklet(fail)()
    with pytest.raises(KeyError):
        while True:
            scheduler.run(seconds=0.01, slice_seconds=0.01).insert()
    worker = spawn(spin, 0.05)
    assert scheduler.run() is None
    assert worker.done()


def test_a_call_that_ended_leaves_no_alarm_behind():
    for _ in range(100):
        tasklet(busy)(5)
        stopped = scheduler.run(seconds=0.1)
        if stopped is not None:
            stopped.insert()
    worker = spawn(spin, 0.2)
    assert scheduler.run() is None
    assert worker.done()
    spin(0.01)  # nor does it hit us


# Waiting.


def test_time_ends_a_wait_for_other_threads():
    ch = channel()
    receiver = tasklet(ch.receive)()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    began = time.monotonic()
    assert scheduler.run(seconds=0.05, threadblock=True) is None
    assert reason() == "seconds"
    assert time.monotonic() - began >= 0.05
    assert receiver.blocked
    stop.set()
    thread.join()
    receiver.kill()


def test_a_slice_does_not_pass_while_nobody_runs(log):
    def give():
        time.sleep(0.4)
        ch.send("value")

    ch = channel()
    tasklet(lambda: log.append(ch.receive()))()
    thread = threading.Thread(target=give)
    thread.start()
    assert scheduler.run(slice_seconds=0.2, threadblock=True) is None
    if not log:
        assert reason() == "idle"
    thread.join()
    run()
    assert log == ["value"]


def test_budgets_do_not_hide_a_deadlock():
    def work():
        channel().receive()

    victim = tasklet(spin)(LATE)
    assert scheduler.run(seconds=SOON) is victim
    victim.kill()
    waiter = tasklet(work)()
    assert scheduler.run(seconds=LATE) is None
    assert waiter.blocked
    with pytest.raises(DeadlockError):
        channel().receive()
    waiter.kill()


def test_the_thread_that_watches_the_time_is_not_seen():
    before = tasklets.getthreads(), threading.active_count(), len(sys._current_frames())
    victim = tasklet(spin)(LATE)
    scheduler.run(seconds=SOON)
    after = tasklets.getthreads(), threading.active_count(), len(sys._current_frames())
    victim.kill()
    assert before == after


# Threads.


def stop_some(number, times=20, seconds=0.001):
    """Stop runaways of every shape, and check what they computed."""
    shapes = list(RUNAWAYS.values())
    for step in range(times):
        leash, result = Leash(), []
        runaway = shapes[(number * 7 + step) % len(shapes)]

        def work(runaway=runaway, leash=leash, result=result):
            result.append(runaway(leash))

        victim = tasklet(work)()
        for _ in range(5):
            assert scheduler.run(slice_seconds=seconds) is victim
            victim.insert()
        leash.going = False
        assert scheduler.run() is None
        assert result == [leash.rounds]
        del work, victim
    return "right"


def test_time_stops_a_runaway_in_any_thread():
    assert in_threads(lambda n: stop_some(n, times=3), count=1) == ["right"]


@pytest.mark.parametrize("interval", [None, 1e-6, 0.05])
def test_time_stops_runaways_in_several_threads_at_once(interval):
    assert in_threads(lambda n: stop_some(n, times=4), 4, interval) == ["right"] * 4


def test_a_busy_thread_that_has_no_budget_is_left_alone():
    def noise():
        count = 0
        while not stop:
            count += 1
        return count

    stop = []
    thread = threading.Thread(target=noise)
    thread.start()
    try:
        assert stop_some(0, times=5) == "right"
    finally:
        stop.append(1)
        thread.join()


def test_threads_may_use_all_kinds_of_budgets_at_once():
    def work(number):
        budgets = [
            {"ticks": 500}, {"slice_ticks": 500}, {"seconds": 0.002},
            {"slice_seconds": 0.002}, {"ticks": 10**9, "seconds": 0.002},
        ]  # fmt: skip
        for step in range(30):
            leash, result = Leash(), []
            runaway = list(RUNAWAYS.values())[(number * 5 + step) % len(RUNAWAYS)]
            victim = tasklet(lambda r=runaway, k=leash, o=result: o.append(r(k)))()
            for _ in range(3):
                assert scheduler.run(**budgets[(number + step) % 5]) is victim
                victim.insert()
            leash.going = False
            assert scheduler.run() is None
            assert result == [leash.rounds]
        return "right"

    assert in_threads(work, 4, 1e-5) == ["right"] * 4


def test_threads_that_talk_may_be_stopped(log):
    there, back = channel(), channel()

    def echo():
        def work():
            for _ in range(200):
                value = there.receive()
                busy(100)
                back.send(value + 1)
            home.insert()  # or it would wait for the other thread

        home = getcurrent()
        worker = tasklet(work)()
        while worker.alive:
            victim = scheduler.run(slice_ticks=50, threadblock=True)
            if victim is not None:
                victim.insert()

    def ask():
        for number in range(200):
            there.send(number)
            busy(100)
            log.append(back.receive())
        here.insert()

    here = getcurrent()
    thread = threading.Thread(target=echo)
    thread.start()
    asker = tasklet(ask)()
    while asker.alive:
        victim = scheduler.run(slice_seconds=0.0005, threadblock=True)
        if victim is not None:
            victim.insert()
    thread.join()
    assert log == list(range(1, 201))


def test_a_thread_may_end_with_victims(log):
    def work(number):
        def runaway():
            try:
                started.append(number)
                while True:
                    pass
            finally:
                log.append(number)

        started = []
        victim = tasklet(runaway)()
        kept.append(victim)
        run_until(started, victim, seconds=SOON)
        return "right"

    kept = []
    assert in_threads(work, 3) == ["right"] * 3
    assert sorted(log) == [0, 1, 2]
    assert not any(each.alive for each in kept)


def test_a_stopped_tasklet_can_be_killed_from_another_thread(log):
    def runaway():
        try:
            log.append("started")
            while True:
                pass
        finally:
            log.append("finally")

    victim = tasklet(runaway)()
    run_until(log, victim, seconds=SOON)
    thread = threading.Thread(target=victim.kill)
    thread.start()
    thread.join()
    run()
    assert log == ["started", "finally"]


# Signals, fork, exit.


def test_ctrl_c_reaches_main_through_a_budget():
    check_program(
        """
        import signal
        victim = tasklet(forever)()
        try:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            scheduler.run(seconds=15, ticks=10**12)
        except KeyboardInterrupt:
            say("interrupted", scheduler.last_run().reason)
        """,
        "finally\ninterrupted error\n",
    )


def test_a_signal_handler_may_be_stopped_with_its_tasklet():
    check_program(
        """
        import signal

        def handler(*_):
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                pass
            say("handled")
            handled.append(1)

        handled = []
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.02)

        def work():
            while not handled:
                pass
            say("end")

        tasklet(work)()
        while (victim := scheduler.run(slice_seconds=0.01)) is not None:
            victim.insert()
        """,
        "handled\nend\n",
    )


@forks_beside_threads
def test_a_fork_between_two_stops_leaves_both_processes_right():
    check_program(
        """
        counts = [0]
        def work():
            try:
                while counts[0] < 10**9:
                    counts[0] += 1
            finally:
                say(who, "finally")

        who = "parent"
        victim = tasklet(work)()
        assert scheduler.run(seconds=0.2) is victim
        pid = os.fork()
        who = "parent" if pid else "child"
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        for budgets in ({"seconds": 0.01}, {"slice_seconds": 0.01}, {"ticks": 1000}):
            before = counts[0]
            while counts[0] == before:
                victim.insert()
                assert scheduler.run(**budgets) is victim
        victim.kill()
        say(who, "end")
        """,
        "child finally\nchild end\nparent finally\nparent end\n",
    )


@forks_beside_threads
@pytest.mark.parametrize(
    "budgets", ["seconds=0.3", "slice_seconds=0.3", "ticks=30000", "slice_ticks=30000"]
)
def test_the_child_of_a_fork_in_a_tasklet_is_stopped_as_well(budgets):
    check_program(
        f"""
        def work():
            forked.append(os.fork())
            while True:
                pass

        forked = []
        victim = tasklet(work)()
        assert scheduler.run({budgets}) is victim
        while not forked:
            victim.insert()
            assert scheduler.run({budgets}) is victim
        (pid,) = forked
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        victim.kill()
        say("parent" if pid else "child")
        """,
        "child\nparent\n",
    )


@forks_beside_threads
def test_the_child_of_a_fork_in_another_thread_is_stopped():
    check_program(
        """
        def work():
            pid = os.fork()
            if pid == 0:
                victim = tasklet(forever)()
                assert scheduler.run(seconds=0.2) is victim
                victim.kill()
                assert scheduler.run() is None
                say("child")
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0

        busy = tasklet(forever)()
        assert scheduler.run(seconds=0.2) is busy
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        say("parent")
        """,
        "finally\nchild\nparent\nfinally\n",
    )


def test_victims_are_told_to_end_at_exit():
    check_program(
        """
        kept = [tasklet(forever)() for _ in range(3)]
        for budgets in ({"ticks": 1000}, {"seconds": 0.2}, {"slice_seconds": 0.2}):
            scheduler.run(**budgets)
        say("end")
        """,
        "end\nfinally\nfinally\nfinally\n",
    )


@pytest.mark.parametrize("budgets", ["ticks=10**12", "seconds=100", "slice_seconds=50"])
def test_a_program_may_end_while_a_daemon_thread_has_a_budget(budgets):
    check_program(
        f"""
        def work():
            def runaway():
                started.set()
                while True:
                    pass
            tasklet(runaway)()
            scheduler.run({budgets})

        started = threading.Event()
        threading.Thread(target=work, daemon=True).start()
        started.wait()
        say("end")
        """,
        "end\n",
    )


def test_a_program_may_end_while_daemon_threads_are_stopped_again_and_again():
    check_program(
        """
        def work():
            def runaway():
                while True:
                    pass
            victim = tasklet(runaway)()
            while True:
                scheduler.run(slice_seconds=0.0001)
                victim.insert()
                scheduler.run(ticks=50)
                victim.insert()
                started.set()

        started = threading.Event()
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        started.wait()
        time.sleep(0.05)
        say("end")
        """,
        "end\n",
    )


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise SystemExit(3)"])
def test_a_tasklet_may_end_the_program_under_a_budget(end):
    check_program(
        f"""
        def work():
            {end}

        kept = tasklet(forever)()
        assert scheduler.run(seconds=0.2) is kept
        tasklet(work)()
        scheduler.run(1000, seconds=5, slice_seconds=5)
        """,
        "finally\n",
        status=3,
    )


def test_budgets_may_be_used_at_exit():
    check_program(
        """
        import atexit

        def last():
            victim = tasklet(forever)()
            assert scheduler.run(1000) is victim
            victim.insert()
            assert scheduler.run(seconds=0.01) is victim
            victim.kill()
            say("last")

        atexit.register(last)
        """,
        "finally\nlast\n",
    )


# For a long time.


@pytest.mark.slow
def test_many_stops_at_random_leave_everything_right():
    end = time.monotonic() + SOAK
    seed = stops = 0
    while time.monotonic() < end or stops <= 50:
        seed += 1
        program = Program(seed)
        expected = program.results(unstopped)

        def drive(tasklets_, seconds=1e-6 * (1 + seed % 50)):
            nonlocal stops
            while any(t.alive for t in tasklets_):
                victim = scheduler.run(slice_seconds=seconds)
                if victim is not None:
                    stops += 1
                    victim.insert()

        assert program.results(drive) == expected


@pytest.mark.slow
def test_many_stops_in_several_threads_leave_everything_right():
    expected = {seed: Program(seed).results(unstopped) for seed in range(20)}

    def work(number):
        end = time.monotonic() + SOAK
        seed = stops = 0
        kinds = [{"slice_seconds": 2e-5}, {"seconds": 2e-5}, {"slice_ticks": 23}]
        while time.monotonic() < end or stops <= 10:
            seed += 1

            def drive(tasklets_, budgets=kinds[(seed + number) % 3]):
                nonlocal stops
                while any(t.alive for t in tasklets_):
                    victim = scheduler.run(**budgets, threadblock=False)
                    if victim is not None:
                        stops += 1
                        victim.insert()

            assert Program(seed % 20).results(drive) == expected[seed % 20]

    in_threads(work, 4, 1e-6)


def test_many_stops_of_a_paused_generator_are_safe():
    def numbers():
        for number in range(300):
            busy(20)
            yield number

    def work():
        total = 0
        for number in numbers():
            total += number
            if number % 50 == 0:
                schedule_remove(None)
        return total

    worker = spawn(work)
    while worker.alive:
        victim = scheduler.run(slice_seconds=1e-5)
        (victim or worker).insert() if worker.alive else None
    assert worker.result() == sum(range(300))


def test_no_code_runs_on_the_thread_that_watches_the_time():
    """A frame that it has looked at may be all that keeps an object."""
    finalized_on = []

    class Noting:
        def __del__(self):
            finalized_on.append(threading.get_ident())

    def use():
        noting = Noting()  # noqa: F841 - kept by the frame
        end = time.perf_counter() + 0.006
        while time.perf_counter() < end:
            pass

    def work():
        with tasklets.no_switch():
            for _ in range(20):
                use()

    spawn(work)
    while (victim := scheduler.run(slice_seconds=0.001)) is not None:
        victim.insert()  # before it held the stop off, or behind it
    assert finalized_on == [threading.get_ident()] * 20
