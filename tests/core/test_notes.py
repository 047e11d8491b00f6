"""Errors name the culprit: notes of exceptions, and what a DeadlockError tells."""

import dataclasses
import re
import sys
import threading
import traceback

import pytest

import tasklets
from tasklets import (
    DeadlockError,
    QueueChannel,
    TaskGroup,
    channel,
    locks,
    run,
    schedule_remove,
    scheduler,
    sleep,
    spawn,
    tasklet,
    timeout,
)


def fail(error=KeyError):
    raise error


def notes(error):
    return getattr(error, "__notes__", [])


# ---- notes


def test_an_error_that_leaves_a_tasklet_has_its_name_and_place():
    t = spawn(fail, name="worker-3")
    line = sys._getframe().f_lineno - 1
    with pytest.raises(KeyError) as caught:
        run()
    assert notes(caught.value) == [
        f"in tasklet 'worker-3', spawned at {__file__}:{line}"
    ]
    assert f"\nin tasklet 'worker-3', spawned at {__file__}:{line}\n" in "".join(
        traceback.format_exception(caught.value)
    )
    assert t.exception() is caught.value
    assert len(notes(caught.value)) == 1


def test_without_spawn_the_place_is_not_known():
    tasklet(fail)()
    with pytest.raises(KeyError) as caught:
        run()
    assert notes(caught.value) == ["in tasklet 'fail'"]


def test_to_ask_for_the_result_adds_no_note():
    t = spawn(fail)
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            t.result()
        assert t.join()
    assert len(notes(caught.value)) == 1


def test_each_tasklet_that_an_error_leaves_adds_a_note():
    outer = spawn(lambda: inner.result(), name="outer")
    inner = spawn(fail, name="inner")
    with pytest.raises(KeyError) as caught:
        outer.result()
    assert [note.split(",")[0] for note in notes(caught.value)] == [
        "in tasklet 'inner'",
        "in tasklet 'outer'",
    ]


def test_a_note_follows_those_of_the_program():
    def body():
        error = KeyError("x")
        error.add_note("mine")
        raise error

    with pytest.raises(KeyError) as caught:
        spawn(body).result()
    assert notes(caught.value)[0] == "mine"
    assert notes(caught.value)[1].startswith("in tasklet 'test_a_note_follows")


def test_errors_of_a_group_name_their_tasklets():
    def fails_when_killed():
        try:
            channel().receive()
        finally:
            fail(ValueError)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fails_when_killed, name="two")
        group.spawn(fail, name="one")
    names = [notes(error)[0].split(",")[0] for error in caught.value.exceptions]
    assert names == ["in tasklet 'one'", "in tasklet 'two'"]
    assert notes(caught.value) == []


def test_the_error_handler_sees_the_note():
    seen = []
    tasklets.set_error_handler(lambda kind, error, tb: seen.append(notes(error)))
    try:
        spawn(fail, name="one")
        run()
    finally:
        tasklets.set_error_handler(None)
    assert [note.split(",")[0] for note in seen[0]] == ["in tasklet 'one'"]


def test_a_silent_end_has_no_note():
    seen = []

    def body():
        try:
            channel().receive()
        except tasklets.TaskletExit as error:
            seen.append(error)
            raise

    killed = spawn(body)
    run()
    killed.kill()
    with pytest.raises(TimeoutError) as caught, timeout(0.001):
        sleep(1)
    assert notes(caught.value) == []
    assert [notes(error) for error in seen] == [[]]


def test_what_comes_of_a_kill_that_an_error_replaces_has_a_note():
    def body():
        try:
            channel().receive()
        finally:
            fail(LookupError)

    t = spawn(body)
    run()
    with pytest.raises(LookupError) as caught:
        t.kill()
        run()
    assert len(notes(caught.value)) == 1


def test_a_frozen_exception_has_a_note_too():
    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        x: int

    error = Frozen(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        error.__notes__ = []
    assert spawn(fail, error, name="fails").exception() is error
    assert notes(error)[0].startswith("in tasklet 'fails', ")


@pytest.mark.parametrize("odd", [None, (), "text", 5, {}])
def test_odd_notes_stay_as_they_are(odd):
    def body():
        error = KeyError()
        error.__notes__ = odd
        raise error

    t = spawn(body)
    assert t.exception().__notes__ is odd


def test_no_code_of_the_class_runs():
    class Odd(Exception):
        def __getattribute__(self, name):
            raise AssertionError("called")

        __setattr__ = __getattribute__

        def add_note(self, note):
            raise AssertionError("called")

    error = Odd()
    t = spawn(fail, error)
    assert t.exception() is error
    assert len(object.__getattribute__(error, "__dict__")["__notes__"]) == 1


def test_one_instance_that_is_raised_again_and_again_does_not_grow():
    error = KeyError()
    for _ in range(100):
        assert spawn(fail, error).exception() is error
    assert len(notes(error)) == 32


def test_a_note_without_memory_is_left_out():
    error = MemoryError()
    assert spawn(fail, error).exception() is error
    assert len(notes(error)) == 1


def test_errors_of_other_threads_name_their_tasklets():
    errors = []

    def thread():
        t = spawn(fail, name="across")
        errors.append(t.exception())

    one = threading.Thread(target=thread)
    one.start()
    one.join()
    assert notes(errors[0])[0].startswith("in tasklet 'across', ")


def test_a_callback_names_its_function():
    scheduler.call_soon(fail)
    with pytest.raises(KeyError) as caught:
        run()
    assert notes(caught.value) == ["in tasklet 'fail'"]


# ---- deadlocks


def deadlock(operation):
    """Return the lines of the DeadlockError that an operation raises."""
    with pytest.raises(DeadlockError) as caught:
        operation()
    return str(caught.value).splitlines()


def refused(operation):
    first, second, *_ = deadlock(operation)
    assert first == "Deadlock: the last runnable tasklet cannot be blocked."
    thread = threading.get_ident()
    found = re.fullmatch(rf"  refused: tasklet 'main' (.*), of thread {thread}", second)
    assert found, second
    # Whether it has begun to wait when the deadlock is seen depends on other threads.
    return re.sub(r"balance=-?\d+", "balance=?", found[1])


def shown(ch):
    return re.sub(r"balance=-?\d+", "balance=?", repr(ch))


def test_a_deadlock_names_the_operation_and_the_channel():
    ch = channel(name="jobs")
    assert refused(ch.receive) == f"waits to receive from {shown(ch)}"
    assert refused(lambda: ch.send(1)) == f"waits to send to {shown(ch)}"
    assert refused(lambda: list(ch)) == f"waits to receive from {shown(ch)}"
    full = QueueChannel(1, name="full")
    full.send(1)
    assert refused(lambda: full.send(2)) == f"waits to send to {shown(full)}"
    assert refused(
        lambda: tasklets.select(tasklets.recv(ch), tasklets.send(full, 2))
    ) == ("waits for the first of several channels")


def test_a_deadlock_of_a_tasklet_that_pauses_says_so():
    spawn(schedule_remove, name="pauses")
    lines = deadlock(channel(name="mine").receive)
    assert lines[0] == "Deadlock: the last runnable tasklet cannot be blocked."
    assert "refused: tasklet 'pauses' pauses itself: schedule_remove()" in lines[1]
    assert "'main' blocked, waits to receive from <tasklets.channel 'mine'" in lines[2]
    assert len(lines) == 3


def test_a_deadlock_names_the_tasklet_that_is_waited_for():
    other = spawn(channel().receive, name="other")
    run()
    text = refused(other.join)
    assert text == f"waits to join <tasklets.tasklet 'other' at {hex(id(other))}>"
    other.kill()


def test_the_error_of_a_subclass_does_not_run_its_repr():
    class Mine(channel):
        def __repr__(self):
            raise AssertionError("called")

    ch = Mine(name="mine")
    assert refused(ch.receive).startswith(f"waits to receive from <{__name__}.")
    assert "Mine 'mine' balance=? at 0x" in refused(ch.receive)


def test_a_deadlock_lists_every_other_waiter():
    jobs, lock = channel(name="jobs"), locks.Lock()
    lock.acquire()
    some = [spawn(jobs.receive, name="one"), spawn(lock.acquire, name="two")]
    run()
    lines = deadlock(channel(name="mine").receive)
    assert "refused: tasklet 'main' waits to receive from" in lines[1]
    assert "'mine'" in lines[1]
    assert len(lines) == 4
    assert f"'one' blocked, waits to receive from {jobs!r}, at" in lines[2]
    assert "'two' blocked, waits to acquire <tasklets.locks.Lock at 0x" in lines[3]
    for each in some:
        each.kill()


def test_a_deadlock_lists_fifty_of_many_and_counts_the_rest():
    ch = channel()
    some = [spawn(ch.receive) for _ in range(60)]
    run()
    lines = deadlock(channel().receive)
    assert len(lines) == 2 + 50 + 1
    assert lines[-1] == "  and 10 more"
    for each in some:
        each.kill()


def test_a_main_tasklet_that_is_left_alone_is_told_what_it_waits_for():
    jobs = channel(name="jobs")
    spawn(int)
    lines = deadlock(jobs.receive)
    assert lines[0] == "the main tasklet is receiving without a sender available."
    assert re.match(
        r"  refused: tasklet 'main' waits to receive from <tasklets.channel 'jobs' ",
        lines[1],
    )
    assert len(lines) == 2
