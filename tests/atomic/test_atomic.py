"""The atomic flag of a tasklet: who sets it, who resets it, and what it holds off."""

import copy
import pickle
import sys
import threading
import time

import pytest
from children import run_program

import tasklets
from tasklets import (
    TaskletExit,
    atomic,
    channel,
    getcurrent,
    run,
    schedule,
    scheduler,
    tasklet,
)


def flag():
    return getcurrent().atomic


def pause():
    tasklets.schedule_remove(None)


# The flag.


def test_threads_are_held_off_on_this_interpreter():
    assert atomic.supported is True
    assert atomic.why_not is None


def test_a_block_sets_the_flag_and_puts_it_back():
    with atomic() as given:
        inside = flag()
    assert (inside, flag(), given) == (True, False, None)


def test_a_block_inside_a_block_leaves_the_flag_set():
    with atomic():
        with atomic():
            pass
        assert flag()
    assert not flag()


def test_a_block_puts_back_a_flag_that_was_set_before():
    old = getcurrent().set_atomic(True)
    with atomic():
        pass
    assert flag()
    assert getcurrent().set_atomic(old)
    assert not flag()


def test_a_block_puts_back_the_flag_that_was_reset_inside():
    with atomic():
        getcurrent().set_atomic(False)
        with atomic():
            assert flag()
        assert not flag()
    assert not flag()


def test_a_block_is_left_by_an_exception_which_it_does_not_swallow():
    with pytest.raises(ZeroDivisionError):
        with atomic():
            1 / 0  # noqa: B018
    assert not flag()


def test_a_block_is_left_by_an_exception_thrown_in_where_it_waits(log):
    def work():
        try:
            with atomic():
                channel().receive()
        except TimeoutError:
            log.append(flag())

    t = tasklet(work)()
    run()
    t.throw(TimeoutError("enough"))
    assert log == [False]


def test_a_kill_inside_leaves_the_block(log):
    def work():
        try:
            with atomic():
                try:
                    pause()
                finally:
                    log.append(flag())
        except TaskletExit:
            log.append(flag())
            raise

    t = tasklet(work)()
    run()
    t.kill()
    assert (log, t.alive, flag()) == ([True, False], False, False)


def test_a_tasklet_that_ends_inside_leaves_the_others_as_they_are(log):
    def end_inside():
        getcurrent().set_atomic(True)

    ended = tasklet(end_inside)()
    tasklet(lambda: log.append(flag()))()
    run()
    assert (ended.alive, log, flag()) == (False, [False], False)


def test_a_tasklet_can_be_atomic_before_it_begins(log):
    t = tasklet(lambda: log.append(flag()))()
    t.set_atomic(True)
    run()
    assert log == [True]


@pytest.mark.parametrize(
    "give_way",
    [
        pytest.param(schedule, id="schedule"),
        pytest.param(lambda: tasklet(int)().run(), id="run"),
        pytest.param(lambda: tasklet(int)().join(), id="join"),
        pytest.param(lambda: scheduler.run(switches=1), id="run() of other tasklets"),
    ],
)
def test_a_tasklet_that_switches_inside_is_inside_again_afterwards(give_way, log):
    tasklet(lambda: log.append(flag()))()
    with atomic():
        give_way()
        log.append(flag())
    while tasklets.getruncount() > 1:
        schedule()
    assert log[-2:] in ([False, True], [True, False])
    assert not flag()


def test_partners_of_a_channel_keep_their_flags(log):
    ch = channel()

    def work():
        for _ in range(3):
            ch.receive()
            log.append(flag())

    tasklet(work)()
    for _ in range(3):
        with atomic():
            ch.send(None)
            log.append(flag())
    run()
    assert log.count(True) == log.count(False) == 3


# One object, several users.


def test_one_object_serves_tasklets_that_interleave(log):
    shared = atomic()

    def work(turns):
        for _ in range(turns):
            with shared:
                schedule()
                log.append(flag())
                with shared:
                    schedule()
                    log.append(flag())
                schedule()
                log.append(flag())
            log.append(not flag())
            schedule()

    for turns in range(1, 8):
        tasklet(work)(turns)
    run()
    assert len(log) == 4 * sum(range(1, 8))
    assert all(log)


def test_one_object_serves_threads_that_interleave(log):
    shared = atomic()

    def work():
        for _ in range(50):
            with shared:
                time.sleep(0)
                with shared:
                    time.sleep(0)
                    log.append(flag())
                log.append(flag())
            log.append(not flag())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log) == 4 * 50 * 3
    assert all(log)


def test_an_object_can_be_entered_often():
    a = atomic()
    for _ in range(1000):
        a.__enter__()
    for _ in range(999):
        a.__exit__(None, None, None)
    assert flag()
    a.__exit__(None, None, None)
    assert not flag()


def test_the_repr_tells_whether_a_block_is_being_run():
    a = atomic()
    assert "not entered" in repr(a)
    with a:
        assert "not entered" not in repr(a)
    assert "not entered" in repr(a)


# Misuse.


def test_a_block_cannot_be_left_that_was_not_entered():
    a = atomic()
    with pytest.raises(RuntimeError, match="not entered"):
        a.__exit__(None, None, None)


def test_a_block_cannot_be_left_twice():
    a = atomic()
    with a:
        pass
    with pytest.raises(RuntimeError, match="not entered"):
        a.__exit__(None, None, None)
    assert not flag()


@pytest.mark.parametrize(
    "make", [lambda: atomic(1), lambda: atomic(flag=True), lambda: atomic.__new__()]
)
def test_arguments_are_refused(make):
    with pytest.raises(TypeError):
        make()


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_atomic_object_cannot_be_copied_or_pickled(way):
    with pytest.raises(TypeError, match="atomic"):
        way(atomic())


def test_atomic_cannot_be_subclassed():
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Mine", (atomic,), {})


@pytest.mark.parametrize("bad", ["yes", None, 1.5, []])
def test_a_flag_of_the_wrong_type_is_refused(bad):
    with pytest.raises(TypeError):
        getcurrent().set_atomic(bad)
    assert not flag()


# Budgets that end inside.


BUDGETS = {
    "ticks": {"ticks": 50},
    "slice_ticks": {"slice_ticks": 50},
    "seconds": {"seconds": 0.05},
    "slice_seconds": {"slice_seconds": 0.05},
}
each_budget = pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)


def compute():
    """Use up any of the budgets above."""
    end, loops = time.monotonic() + compute.seconds, 0
    while time.monotonic() < end or loops < 1000:
        loops += 1


compute.seconds = 0.15


def is_stopped(budget, work, log):
    """Return whether work is stopped.

    On a busy machine the thread that watches the time may come late, so that work must
    compute for longer.
    """
    for compute.seconds in (0.15, 0.6, 2.4, 9.6):
        log.clear()
        if stopped(budget, work):
            return True
    return False


def stopped(budget, work):
    """Return whether work was stopped, and end it."""
    begun = []
    while not begun:  # on a busy machine, the time may be up before
        t = tasklet(lambda: (begun.append(True), work()))()
        victim = scheduler.run(**budget)
        assert victim in (None, t)
        if not begun:
            t.kill()
    if victim is not None:
        victim.kill()
    return victim is not None


@each_budget
def test_a_budget_stops_a_tasklet_outside_of_sections(budget, log):
    assert is_stopped(budget, lambda: (compute(), log.append("went on")), log)
    assert log == []


@each_budget
def test_a_budget_that_ends_inside_stops_where_the_block_ends(budget, log):
    def work():
        with atomic():
            compute()
            log.append("the block went on")
        log.append("and what follows")

    assert is_stopped(budget, work, log)
    assert log == ["the block went on"]


@each_budget
def test_a_budget_that_ends_in_an_inner_block_stops_where_the_outer_ends(budget, log):
    def work():
        with atomic():
            with atomic():
                compute()
            log.append("the outer block went on")
        log.append("and what follows")

    assert is_stopped(budget, work, log)
    assert log == ["the outer block went on"]


@each_budget
def test_a_budget_that_ends_inside_stops_where_the_flag_is_reset(budget, log):
    def work():
        getcurrent().set_atomic(True)
        compute()
        log.append("inside")
        getcurrent().set_atomic(False)
        log.append("and what follows")

    assert is_stopped(budget, work, log)
    assert log == ["inside"]


@each_budget
def test_a_budget_that_ends_inside_also_stops_a_tasklet_that_raises(budget, log):
    def work():
        try:
            with atomic():
                compute()
                log.append("inside")
                raise KeyError
        except KeyError:
            log.append("and what follows")

    assert is_stopped(budget, work, log)
    assert log == ["inside"]


@each_budget
def test_a_budget_that_ends_inside_does_not_stop_a_tasklet_that_ends_there(budget, log):
    def work():
        getcurrent().set_atomic(True)
        compute()
        log.append("the end")

    assert not stopped(budget, work)
    assert log == ["the end"]


@each_budget
def test_a_budget_stops_a_tasklet_that_switches_inside_only_afterwards(budget, log):
    def work():
        with atomic():
            compute()
            log.append("before")
            schedule()
            compute()
            log.append("after")
        compute()
        log.append("and what follows")

    t = tasklet(work)()
    while t.alive:
        victim = scheduler.run(**budget)
        if victim is not None and not victim.atomic:
            victim.kill()
    assert log in (["before", "after"], ["before", "after", "and what follows"])


# What is not held off.


def test_signal_handlers_run_inside():
    source = """
import os, signal
from tasklets import atomic
seen = []
signal.signal(signal.SIGUSR1, lambda *args: seen.append("handled"))
with atomic():
    os.kill(os.getpid(), signal.SIGUSR1)
    while not seen:
        pass
    print(*seen, "inside")
"""
    assert run_program(source)[:2] == (0, "handled inside\n")


def test_finalizers_run_inside(log):
    class Closing:
        def __del__(self):
            log.append(flag())

    with atomic():
        closing = Closing()
        del closing
    assert log == [True]


def test_an_interpreter_with_a_lock_of_its_own_refuses_the_import():
    if sys.version_info < (3, 12):
        pytest.skip("all interpreters share the GIL")
    source = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
new = interpreters.create()
code = "try:\\n import tasklets\\nexcept ImportError as e:\\n print('refused', e)"
run = interpreters.exec if sys.version_info >= (3, 13) else interpreters.run_string
run(new, code)
interpreters.destroy(new)
"""
    status, output, errors = run_program(source)
    assert (status, errors) == (0, [])
    assert output.startswith("refused")
