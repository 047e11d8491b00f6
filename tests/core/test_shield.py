"""Interruptions: shield(), and traps."""

import contextlib
import gc
import pickle
import threading

import pytest
from interrupted import Boom

from tasklets import (
    BlockTrapError,
    TaskGroup,
    TimeoutExit,
    _core,
    block_trap,
    channel,
    deadline,
    getcurrent,
    no_switch,
    run,
    schedule,
    schedule_remove,
    shield,
    sleep,
    spawn,
    switch_trap,
    tasklet,
    timeout,
)
from tasklets.testing import settle

LATE = 1000


# ---- shield


def test_a_shield_holds_off_a_kill_until_it_is_left(clock, log):
    def work():
        with shield(1):
            sleep(0.1)
            log.append("clean")
        log.append("until it waits")
        sleep(0)
        log.append("not here")

    t = spawn(work)
    settle()
    t.kill()
    assert t.alive
    assert log == []
    t.join()
    assert log == ["clean", "until it waits"]
    assert t.cancelled()


def test_a_shield_ends_with_its_limit(clock, log):
    def work():
        with shield(0.05) as guard:
            try:
                sleep(LATE)
            finally:
                log.append(guard.expired)

    t = spawn(work)
    settle()
    t.kill()
    assert log == []
    sleep(0.1)
    assert log == [True]
    assert t.cancelled()


def test_a_shield_whose_limit_is_over_before_the_kill_protects_nothing(clock, log):
    def work():
        with shield(0.05):
            sleep(LATE)

    t = spawn(work)
    sleep(0.1)
    t.kill()
    assert t.cancelled()


@pytest.mark.parametrize("make", [timeout, deadline])
def test_a_shield_holds_off_outer_blocks_and_not_inner_ones(clock, log, make):
    from tasklets._core import now

    with pytest.raises(TimeoutError), make(0.05 + (now() if make is deadline else 0)):
        with shield(None):
            with pytest.raises(TimeoutError), timeout(0.1):
                sleep(LATE)
            sleep(0.1)
            log.append("clean")
        sleep(0)
        log.append("not here")
    assert log == ["clean"]


def test_a_shield_holds_off_a_group(clock, log):
    with TaskGroup() as group:
        group.spawn(group.cancel)
        with shield(None):
            sleep(0.1)
            log.append("clean")
        sleep(0)
        log.append("not here")
    assert log == ["clean"]


def test_nested_shields(clock, log):
    def work():
        with shield(None):
            with shield(0.01):
                sleep(0.05)
            log.append("inner")
            sleep(0.05)
            log.append("outer")
        sleep(0)
        log.append("not here")

    t = spawn(work)
    settle()
    t.kill()
    t.join()
    assert log == ["inner", "outer"]


def test_a_shield_does_not_hold_off_what_the_tasklet_does_itself(log):
    def work():
        with shield(None):
            try:
                getcurrent().kill()
            finally:
                log.append("left")

    t = spawn(work)
    t.join()
    assert log == ["left"]
    assert t.cancelled()


def test_a_throw_is_held_off_too(clock, log):
    def work():
        with shield(None):
            sleep(0.1)
            log.append("clean")
        with contextlib.suppress(Boom):
            sleep(0)
            log.append("not here")

    t = spawn(work)
    settle()
    t.throw(Boom)
    t.join()
    assert log == ["clean"]
    assert not t.cancelled()


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("exc", [KeyboardInterrupt, SystemExit])
def test_an_end_of_the_program_is_not_held_off(clock, log, exc, pending):
    def work():
        with shield(None):
            with contextlib.suppress(exc):
                sleep(LATE)
            log.append("interrupted")
            sleep(0)
            log.append("clean")
        sleep(0)
        log.append("not here")

    t = spawn(work)
    settle()
    t.kill()
    t.throw(exc, pending=pending)
    t.join()
    assert log == ["interrupted", "clean"]
    assert t.cancelled()


def test_a_shield_of_no_time_protects_nothing(clock):
    for seconds in (0, -1):
        with pytest.raises(TimeoutError), timeout(0.05), shield(seconds):
            sleep(LATE)


def test_misuse_of_a_shield():
    guard = shield(1)
    assert repr(guard).startswith("<tasklets.shield not entered, 1.000 s, at 0x")
    assert not guard.expired
    with pytest.raises(RuntimeError, match="this shield was not entered"):
        guard.__exit__(None, None, None)
    with guard:
        assert "active" in repr(guard)
        with pytest.raises(RuntimeError, match="each block needs its own"):
            guard.__enter__()
        other = spawn(guard.__exit__, None, None, None)
        with pytest.raises(RuntimeError, match="by the tasklet that entered it"):
            other.result()
    with guard:  # again
        pass
    with pytest.raises(TypeError, match="cannot pickle 'tasklets.shield' object: make"):
        pickle.dumps(guard)
    with pytest.raises(ValueError, match="NaN"):
        shield(float("nan"))
    with pytest.raises(TypeError):
        shield("long")
    with pytest.raises(TypeError):
        shield()
    shield(float("inf"))
    shield(1e300)


def test_a_shield_ends_with_its_tasklet():
    guards = []

    def work():
        guards.append(shield(None))
        guards[0].__enter__()

    t = spawn(work)
    t.join()
    assert guards[0].__exit__(None, None, None) is False
    t = tasklet(schedule_remove)(None)
    schedule()
    t.kill()
    assert not t.alive


def test_the_end_of_a_thread_goes_through_shields(log):
    def other():
        def work():
            with shield(None):
                try:
                    schedule_remove(None)
                finally:
                    log.append("left")

        spawn(work)
        run()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert log == ["left"]


def test_an_unreachable_tasklet_is_ended_in_spite_of_its_shield(log):
    def work():
        with shield(None):
            try:
                schedule_remove(None)
            finally:
                log.append("left")

    t = tasklet(work)()
    schedule()
    del t
    gc.collect()
    settle()
    assert log == ["left"]


# ---- traps


@block_trap()
def may_not_block():
    channel().receive()


def test_traps_are_decorators_and_each_block_has_its_own():
    for _ in range(2):
        with pytest.raises(BlockTrapError):
            may_not_block()
    assert not getcurrent().block_trap
    for trap in (block_trap(), no_switch()):
        with pytest.raises(RuntimeError, match="not entered"):
            trap.__exit__(None, None, None)
        with trap, pytest.raises(RuntimeError, match="entered already"):
            trap.__enter__()
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(trap)
    assert switch_trap() == 0
    with pytest.raises(TypeError):
        no_switch(1)


def test_no_switch_is_left_on_its_own_thread():
    caught = []

    def leave():
        try:
            trap.__exit__(None, None, None)
        except RuntimeError as error:
            caught.append(str(error))

    with no_switch() as _, no_switch():
        pass
    trap = no_switch()
    with trap:
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
    assert caught == ["this block can only be left on the thread that entered it"]
    assert switch_trap() == 0


def test_of_two_blocks_that_are_over_before_the_tasklet_runs_the_outer_one_ends(log):
    _core.fake_clock(1)
    try:
        with pytest.raises(TimeoutError), timeout(2) as outer:
            try:
                with timeout(1) as inner:
                    spawn(_core.fake_clock, 4)  # both are over when it runs again
                    sleep(LATE)
            except TimeoutError:
                log.append("the inner one's")
    finally:
        _core.fake_clock(None)
    assert (outer.expired, inner.expired) == (True, False)
    assert log == []


def wait_in_a_handler(*unhandled):
    """Wait in an except* clause, beside errors that no clause handles."""
    try:
        raise ExceptionGroup("several", [OSError(), *unhandled])
    except* OSError:
        sleep(LATE)


def test_a_wait_in_a_handler_of_a_group_of_errors_is_interrupted_as_any():
    with pytest.raises(TimeoutError), timeout(0.01):
        wait_in_a_handler()
    task = spawn(wait_in_a_handler)
    schedule()
    task.kill()
    assert task.cancelled()
    with TaskGroup() as group:
        spawn(group.cancel)
        wait_in_a_handler()


def test_errors_that_no_handler_takes_leave_a_block_together_with_its_interruption():
    """The interpreter makes one group of them, which is no longer the block's own."""
    with pytest.raises(BaseExceptionGroup) as caught, timeout(0.01):
        wait_in_a_handler(KeyError())
    interruption, rest = caught.value.exceptions
    assert isinstance(interruption, TimeoutExit)
    assert isinstance(rest.exceptions[0], KeyError)
    task = spawn(wait_in_a_handler, KeyError())
    schedule()
    with pytest.raises(BaseExceptionGroup):
        task.kill()
    assert not task.alive


def test_a_new_tempval_does_not_undo_the_interruption_of_a_block(log):
    groups = []

    def work():
        with TaskGroup() as group:
            groups.append(group)
            log.append(channel().receive())
            schedule()
            log.append("not interrupted")

    worker = spawn(work)
    schedule()
    groups[0].cancel()
    worker.tempval = "other"
    run()
    assert worker.done()
    assert log == ["other"]
