"""TaskGroup: its limit, what is refused, deadlocks, leaks and ends of threads."""

import contextlib
import gc
import threading
import weakref

import pytest
from children import run_program
from group_bodies import LATE, fail

from tasklets import (
    BlockTrapError,
    DeadlockError,
    SwitchTrapError,
    TaskGroup,
    TaskletExit,
    block_trap,
    channel,
    no_switch,
    schedule,
    sleep,
    spawn,
)
from tasklets.testing import settle

pytestmark = pytest.mark.usefixtures("clock")


# The limit.


def test_at_most_limit_children_run_at_a_time(clock):
    running, most = 0, 0

    def work(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        sleep(1 + number % 3)
        running -= 1

    with TaskGroup(limit=3) as group:
        for number in range(20):
            group.spawn(work, number)
    assert most == 3


def test_waiting_spawners_are_served_in_order(log):
    def spawner(number):
        group.spawn(log.append, number)

    with TaskGroup(2) as group:
        group.spawn(sleep, 1)
        group.spawn(sleep, 2)
        for number in range(10):
            spawn(spawner, number)
        sleep(3)
    assert log == list(range(10))


def test_a_spawner_that_is_killed_leaves_its_place_to_the_next(log):
    with TaskGroup(1) as group:
        group.spawn(sleep, 2)
        waiting = [spawn(group.spawn, log.append, number) for number in range(4)]
        sleep(1)
        waiting[0].kill()
        spawn(lambda: (sleep(1), waiting[1].kill(pending=True)))
        sleep(1)  # the place is its own by now
        sleep(1)
    assert log == [2, 3]


def test_a_place_is_given_back_if_nothing_was_spawned(log):
    with TaskGroup(1) as group:
        for bad in (None, 3):
            with pytest.raises(TypeError, match="callable"):
                group.spawn(bad)
        with pytest.raises(TypeError, match="name"):
            group.spawn(int, name=3)
        group.spawn(log.append, 1)
    assert log == [1]


def test_a_waiter_for_a_place_is_told_that_there_will_be_none(log):
    def outsider():
        with pytest.raises(RuntimeError, match="being cancelled"):
            group.spawn(int)
        log.append("told")

    with TaskGroup(1) as group:
        group.spawn(sleep, LATE)
        told = spawn(outsider)
        schedule()
        group.cancel()
    told.join()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup(1) as group:
        group.spawn(fail, 1)
        group.spawn(int)
    assert len(caught.value.exceptions) == 1
    assert log == ["told"]


def test_children_that_all_wait_for_a_place_are_a_deadlock():
    def child():
        group.spawn(int)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup(2) as group:
        group.spawn(child)
        group.spawn(child)
    assert any(isinstance(e, DeadlockError) for e in caught.value.exceptions)


def test_a_limit_is_a_positive_int():
    for bad, error in ((0, ValueError), (-1, ValueError), ("1", TypeError)):
        with pytest.raises(error):
            TaskGroup(bad)
    with pytest.raises(TypeError):
        TaskGroup(1.5)
    with TaskGroup(True) as group:
        group.spawn(int)


# What is wrong.


def test_a_group_is_entered_once():
    group = TaskGroup()
    with pytest.raises(RuntimeError, match="has not been entered"):
        group.spawn(int)
    with pytest.raises(RuntimeError, match="has not been entered"):
        group.cancel()
    with pytest.raises(RuntimeError, match="only be left"):
        group.__exit__(None, None, None)
    with group:
        with pytest.raises(RuntimeError, match="has been entered"):
            group.__enter__()
    with pytest.raises(RuntimeError, match="has been entered"):
        group.__enter__()
    with pytest.raises(RuntimeError, match="over"):
        group.spawn(int)
    with pytest.raises(RuntimeError, match="only be left"):
        group.__exit__(None, None, None)


def test_a_group_is_left_by_the_tasklet_that_entered_it(log):
    def other():
        with pytest.raises(RuntimeError, match="only be left"):
            group.__exit__(None, None, None)
        log.append("told")

    with TaskGroup() as group:
        spawn(other).join()
    assert log == ["told"]


def test_a_group_belongs_to_its_thread(log):
    def work():
        for use in (lambda: group.spawn(int), group.cancel):
            with pytest.raises(RuntimeError, match="belongs to the thread"):
                use()
        log.append("told")

    with TaskGroup() as group:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert log == ["told"]


def test_a_parent_that_may_not_block(log):
    with pytest.raises(ExceptionGroup) as caught, block_trap(), TaskGroup() as group:
        child = group.spawn(sleep, LATE)
    assert [type(e) for e in caught.value.exceptions] == [BlockTrapError]
    settle()
    assert child.cancelled()
    with pytest.raises(ExceptionGroup) as caught, no_switch(), TaskGroup() as group:
        child = group.spawn(sleep, LATE)
    assert [type(e) for e in caught.value.exceptions] == [SwitchTrapError]
    settle()
    assert child.cancelled()


def test_a_child_that_can_never_end_is_reported():
    def hopeless():
        while True:
            try:
                channel().receive()
            except TaskletExit:
                pass

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(hopeless)
    assert any(isinstance(e, DeadlockError) for e in caught.value.exceptions)


def test_children_that_wait_for_each_other_are_a_deadlock(log):
    def work(other):
        try:
            channel().receive()
        finally:
            log.append(other)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(work, 1)
        group.spawn(work, 2)
    assert any(isinstance(e, DeadlockError) for e in caught.value.exceptions)
    assert sorted(log) == [1, 2]


def test_a_group_leaves_nothing_behind(no_leak):
    def work():
        with contextlib.suppress(ExceptionGroup), TaskGroup(2) as group:
            for _ in range(3):
                group.spawn(sleep, 1)
            group.spawn(fail, 2)
            group.spawn(sleep, 1)

    no_leak(work, calls=100)


def test_a_group_and_its_errors_are_freed_without_the_collector():
    class Error(Exception):
        pass

    def work():
        with TaskGroup() as group:
            alive.append(weakref.ref(group))
            group.spawn(fail, 0, Error)

    alive = []
    gc.collect()
    gc.disable()
    try:
        try:
            work()
        except ExceptionGroup as error:
            alive.append(weakref.ref(error))
        assert [each() for each in alive] == [None, None]
    finally:
        gc.enable()


def test_a_child_is_not_kept_after_its_end():
    with TaskGroup() as group:
        seen = weakref.ref(group.spawn(int))
        sleep(1)
        gc.collect()
        assert seen() is None


# Ends of threads and of the program.

PROGRAM = """
import threading
from tasklets import TaskGroup, run, sleep, spawn

def child(name):
    try:
        sleep(1000)
    finally:
        print(name, "died")

def parent():
    with TaskGroup() as group:
        group.spawn(child, "one")
        group.spawn(child, "two")

def work():
    spawn(parent)
    run()

work()
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("thread over")
"""


def test_the_ends_of_a_thread_and_of_the_program_end_groups():
    status, output, errors = run_program(PROGRAM)
    assert (status, errors) == (0, [])
    lines = output.splitlines()
    assert sorted(lines[:2]) == ["one died", "two died"]
    assert lines[2] == "thread over"
    assert sorted(lines[3:]) == ["one died", "two died"]
