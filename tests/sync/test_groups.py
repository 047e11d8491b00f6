"""TaskGroup: tasklets that do not outlive a block, and what leaves it."""

import contextlib
import threading

import pytest
from group_bodies import LATE, fail, slow_to_die

from tasklets import (
    GroupExit,
    TaskGroup,
    TaskletExit,
    TimeoutExit,
    schedule,
    schedule_remove,
    sleep,
    spawn,
    timeout,
)
from tasklets.testing import settle

pytestmark = pytest.mark.usefixtures("clock")


# The usual end.


def test_a_block_ends_when_its_tasklets_have(clock, log):
    def work(seconds):
        sleep(seconds)
        log.append(seconds)
        return seconds

    with TaskGroup() as group:
        children = [group.spawn(work, seconds) for seconds in (3, 1, 2)]
        assert not log
    assert log == [1, 2, 3]
    assert clock.now() == 3
    assert [child.result() for child in children] == [3, 1, 2]
    assert "over" in repr(group)


def test_a_group_may_be_empty():
    with TaskGroup() as group:
        assert "active, 0 tasklets" in repr(group)


def test_arguments_go_to_the_function():
    def work(*args, **kwargs):
        return args, kwargs

    with TaskGroup() as group:
        child = group.spawn(work, 1, name="its name", func=2)
        assert child.spawned_at == (__file__, work.__code__.co_firstlineno + 4)
    assert child.result() == ((1,), {"func": 2})
    assert child.name == "its name"


def test_children_may_spawn_into_their_group(log):
    def work(depth):
        if depth > 0:
            sleep(1)
            group.spawn(work, depth - 1)
            group.spawn(work, depth - 1)
        log.append(depth)

    with TaskGroup() as group:
        group.spawn(work, 5)
    assert len(log) == 2**6 - 1


def test_a_group_belongs_to_its_block_not_to_the_tasklet_that_spawns(log):
    def outsider():
        group.spawn(log.append, "spawned")

    with TaskGroup() as group:
        spawn(outsider)
        sleep(1)
    assert log == ["spawned"]


def test_the_result_of_the_block_is_what_was_waited_for():
    with TaskGroup() as group:
        child = group.spawn(lambda: (sleep(1), 42)[1])
        assert child.result() == 42


# Errors.


def test_an_error_of_a_child_cancels_the_others(clock, log):
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail, 1)
        group.spawn(slow_to_die, log)
    assert [type(e) for e in caught.value.exceptions] == [KeyError]
    assert log == ["died"]
    assert clock.now() == 6


def test_the_body_is_interrupted_where_it_waits(clock, log):
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail, 1)
        try:
            sleep(LATE)
        except GroupExit:
            log.append(clock.now())
            raise
    assert log == [1]
    assert len(caught.value.exceptions) == 1


def test_a_body_that_does_not_wait_is_not_interrupted(log):
    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        group.spawn(fail)
        with contextlib.suppress(GroupExit):
            schedule()
            log.append("ran")
            schedule()
            log.append("not here")
        with pytest.raises(RuntimeError, match="being cancelled"):
            group.spawn(int)
        sleep(1)
        log.append("once only")
    assert log == ["ran", "once only"]


def test_spawn_is_where_a_body_is_interrupted():
    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        group.spawn(fail)
        schedule()
        schedule_me = group.spawn(int)
        pytest.fail(f"spawned {schedule_me}")


def test_all_errors_leave_together():
    def fail_when_killed(number):
        try:
            sleep(LATE)
        finally:
            sleep(number)
            raise ValueError(number)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        for number in range(3):
            group.spawn(fail_when_killed, number)
        group.spawn(fail, 1)
    assert [repr(e) for e in caught.value.exceptions] == [
        "KeyError()", "ValueError(0)", "ValueError(1)", "ValueError(2)",
    ]  # fmt: skip
    assert caught.value.message == "errors in a TaskGroup"


def test_an_error_of_the_body_alone_is_in_a_group_too(clock, log):
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(slow_to_die, log)
        schedule()
        raise ZeroDivisionError
    assert [type(e) for e in caught.value.exceptions] == [ZeroDivisionError]
    assert caught.value.__suppress_context__
    assert log == ["died"]
    assert clock.now() == 5


def test_errors_of_body_and_children_leave_together():
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail, 1)
        try:
            sleep(LATE)
        finally:
            raise ZeroDivisionError
    assert [type(e) for e in caught.value.exceptions] == [KeyError, ZeroDivisionError]


def test_an_error_that_the_body_got_from_a_child_is_there_once():
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        child = group.spawn(fail)
        child.result()
    assert len(caught.value.exceptions) == 1
    assert caught.value.exceptions[0] is child.exception()


def test_errors_that_are_no_exceptions_leave_in_a_base_group():
    with pytest.raises(BaseExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail, 0, GeneratorExit)
    assert not isinstance(caught.value, ExceptionGroup)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["child", "body", "both"])
def test_what_ends_the_program_leaves_bare(error, where, log):
    with pytest.raises(error), TaskGroup() as group:
        group.spawn(slow_to_die, log)
        schedule()
        if where != "body":
            group.spawn(fail, 1, error)
        if where != "child":
            raise error
    assert log == ["died"]


def test_system_exit_of_a_child_in_another_thread_leaves_bare(log):
    def work():
        try:
            with TaskGroup() as group:
                group.spawn(fail, 0, SystemExit(3))
                sleep(10)
        except SystemExit as error:
            log.append(error.code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert log == [3]


def test_errors_are_heard_by_the_group_alone(log):
    import tasklets

    tasklets.set_error_handler(lambda *args: log.append(args))
    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        group.spawn(fail)
    assert not log


def test_a_child_killed_by_another_tasklet_has_no_error():
    with TaskGroup() as group:
        child = group.spawn(sleep, LATE)
        other = group.spawn(sleep, 2)
        sleep(1)
        child.kill()
        assert child.cancelled()
    assert other.result() is None


# cancel()


def test_cancel_ends_children_and_body_without_an_error(clock, log):
    with TaskGroup() as group:
        group.spawn(slow_to_die, log)
        sleep(1)
        group.cancel()
        assert "being cancelled, 1 tasklets" in repr(group)
        group.cancel()
        log.append("goes on until it waits")
        sleep(1)
        log.append("not here")
    assert log == ["goes on until it waits", "died"]
    assert clock.now() == 6
    group.cancel()


def test_a_child_may_cancel_its_group(log):
    def child():
        try:
            group.cancel()
        finally:
            log.append("killed")

    with TaskGroup() as group:
        group.spawn(child)
        group.spawn(sleep, LATE)
        sleep(LATE)
    assert log == ["killed"]


def test_an_outsider_may_cancel_a_group(clock):
    with TaskGroup() as group:
        spawn(lambda: (sleep(2), group.cancel()))
        group.spawn(sleep, LATE)
    assert clock.now() == 2


def test_a_child_that_has_not_begun_does_not_run(log):
    with TaskGroup() as group:
        group.spawn(log.append, "ran")
        group.cancel()
    assert not log


def test_the_group_waits_for_a_child_that_refuses_to_die(clock, log):
    def stubborn():
        for _ in range(3):
            try:
                sleep(10)
            except TaskletExit:
                log.append("not me")

    with TaskGroup() as group:
        group.spawn(stubborn)
        sleep(1)
        group.cancel()
    assert clock.now() == 21
    assert log == ["not me"]


def test_a_paused_child_is_killed_too(log):
    def paused():
        try:
            schedule_remove(None)
        finally:
            log.append("killed")

    with TaskGroup() as group:
        group.spawn(paused)
        schedule()
        group.cancel()
    assert log == ["killed"]


def test_cancelling_takes_no_tasklets_from_children():
    def late():
        try:
            sleep(LATE)
        finally:
            group.spawn(int)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(late)
        schedule()
        group.cancel()
    (error,) = caught.value.exceptions
    assert "being cancelled" in str(error)


# The parent is killed, or thrown into.


def parent_of(log, **kwargs):
    """Spawn a tasklet that waits in a group; note how that ends."""

    def parent():
        try:
            with TaskGroup() as group:
                group.spawn(slow_to_die, log, **kwargs)
                schedule()
        except BaseException as error:
            log.append(type(error))
            raise

    return spawn(parent)


def test_a_kill_of_the_parent_kills_the_children_and_goes_on(clock, log):
    parent = parent_of(log)
    settle()
    parent.kill()
    assert not parent.done()
    parent.kill()  # once more, while it waits for them
    clock.advance(10)
    assert log == ["died", TaskletExit]
    assert parent.cancelled()


def test_a_kill_in_the_body_is_no_interruption_of_the_group(clock, log):
    def parent():
        with TaskGroup() as group:
            group.spawn(slow_to_die, log)
            sleep(LATE)
        log.append("not here")

    killed = spawn(parent)
    settle()
    killed.kill()
    killed.join()
    assert killed.cancelled()
    assert log == ["died"]
    assert clock.now() == 5


def test_a_kill_is_not_lost_in_a_later_timeout(clock, log):
    def parent():
        with pytest.raises(TaskletExit), timeout(3) as limit:
            try:
                with TaskGroup() as group:
                    group.spawn(slow_to_die, log)
            except TimeoutExit:
                pytest.fail("the timeout's")
            finally:
                assert limit.expired

    killed = spawn(parent)
    settle()
    clock.advance(1)
    killed.kill(pending=True)
    assert killed.result() is None
    assert log == ["died"]


def test_a_kill_is_not_lost_when_the_group_is_cancelled_at_once(log):
    def parent(order):
        with TaskGroup() as group:
            groups.append(group)
            sleep(LATE)
        log.append("not here")

    for kill_first in (True, False):
        groups = []
        killed = spawn(parent, kill_first)
        settle()
        actions = [groups[0].cancel, lambda t=killed: t.kill(pending=True)]
        for action in reversed(actions) if kill_first else actions:
            action()
        settle()
        assert killed.cancelled()
    assert not log


def test_errors_of_children_go_before_a_kill():
    def fail_when_killed():
        try:
            sleep(LATE)
        finally:
            raise KeyError

    def parent():
        with TaskGroup() as group:
            group.spawn(fail_when_killed)

    killed = spawn(parent)
    settle()
    killed.kill(pending=True)
    assert isinstance(killed.exception(), ExceptionGroup)


def test_an_exception_thrown_into_a_waiting_parent_is_an_error_of_the_group(log):
    parent = parent_of(log)
    settle()
    parent.throw(ZeroDivisionError, pending=True)
    (error,) = parent.exception().exceptions
    assert isinstance(error, ZeroDivisionError)
    assert log == ["died", ExceptionGroup]


def test_an_interrupt_of_the_waiting_parent_kills_once_more(log):
    def stubborn():
        for _ in range(2):
            try:
                sleep(LATE)
            except TaskletExit:
                log.append("not me")

    def parent():
        with pytest.raises(KeyboardInterrupt), TaskGroup() as group:
            group.spawn(stubborn)

    waiting = spawn(parent)
    settle()
    for _ in range(2):
        waiting.throw(KeyboardInterrupt, pending=True)
        settle()
    assert waiting.done()
    assert log == ["not me"] * 2


# Timeouts.


def test_a_timeout_round_a_group_cancels_it_and_leaves_alone(clock, log):
    with pytest.raises(TimeoutError) as caught, timeout(1) as limit:
        with TaskGroup() as group:
            group.spawn(slow_to_die, log)
    assert type(caught.value) is TimeoutError
    assert limit.expired
    assert log == ["died"]
    assert clock.now() == 6


def test_a_timeout_hits_the_body(clock, log):
    with pytest.raises(TimeoutError), timeout(1):
        with TaskGroup() as group:
            group.spawn(slow_to_die, log)
            sleep(LATE)
    assert log == ["died"]


def test_a_timeout_inside_a_group_stays_inside(clock):
    with TaskGroup() as group:
        child = group.spawn(sleep, 5)
        with pytest.raises(TimeoutError), timeout(1):
            child.join()
        assert clock.now() == 1
    assert clock.now() == 5


def test_a_timeout_of_the_body_is_an_error_of_the_group():
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(sleep, LATE)
        with timeout(1):
            sleep(LATE)
    assert [type(e) for e in caught.value.exceptions] == [TimeoutError]


def test_a_timeout_while_the_group_is_being_cancelled(clock, log):
    with pytest.raises(TimeoutError), timeout(3) as limit:
        with TaskGroup() as group:
            group.spawn(slow_to_die, log)
            sleep(1)
            group.cancel()
            sleep(LATE)
    assert limit.expired
    assert clock.now() == 6


def test_errors_of_children_go_before_a_timeout():
    with pytest.raises(ExceptionGroup), timeout(3) as limit, TaskGroup() as group:
        group.spawn(fail, 1)
        group.spawn(slow_to_die, [])
    assert limit.expired


def test_a_group_that_is_cancelled_in_a_timeout_that_has_expired(clock):
    """The outer group's interruption replaces the timeout's, which is inside it."""

    def when_it_dies():
        try:
            sleep(LATE)
        finally:
            outer.cancel()

    with TaskGroup() as outer:
        with timeout(1) as limit, TaskGroup() as inner:
            inner.spawn(when_it_dies)
        pytest.fail("went on")
    assert limit.expired
    assert clock.now() == 1


# Nested groups.


def test_nested_groups_cancel_from_the_outside_in(clock, log):
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as outer:
        outer.spawn(fail, 1)
        with TaskGroup() as inner:
            inner.spawn(slow_to_die, log)
        log.append("not here")
    assert [type(e) for e in caught.value.exceptions] == [KeyError]
    assert log == ["died"]
    assert clock.now() == 6


def test_errors_of_an_inner_group_are_a_group_inside():
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as outer:
        outer.spawn(sleep, LATE)
        with TaskGroup() as inner:
            inner.spawn(fail, 1)
    (error,) = caught.value.exceptions
    assert [type(e) for e in error.exceptions] == [KeyError]


def test_an_inner_group_that_is_cancelled_does_not_take_the_outer_ones_place(log):
    """Both interrupt the body; the outer one's goes on where the inner block ends."""
    with TaskGroup() as outer:
        with TaskGroup() as inner:
            try:
                outer.spawn(outer.cancel)
                sleep(LATE)
            finally:
                spawn(inner.cancel)
                sleep(LATE)
        log.append("not here")
    assert log == []


def test_groups_in_children(clock, log):
    def work(depth):
        with TaskGroup() as group:
            if depth > 0:
                group.spawn(work, depth - 1)
                group.spawn(work, depth - 1)
            else:
                group.spawn(slow_to_die, log, 1)

    with pytest.raises(TimeoutError), timeout(5):
        work(4)
    assert log == ["died"] * 16
    assert clock.now() == 6
