"""Conditions: who is notified, and what becomes of waiters that give up."""

import threading

import pytest
from lock_kinds import LOCKS, Boom, every_lock
from threads import SECONDS, block_until, in_thread, running

from tasklets import _core, spawn
from tasklets.locks import Condition, Event, Lock, RLock
from tasklets.testing import fake_clock, settle


class Sub(Lock):
    pass


@pytest.fixture(params=["Lock", "RLock", "threading.Lock", "threading.RLock", "sub"])
def make_cond(request):
    locks = {
        "Lock": Lock,
        "RLock": RLock,
        "threading.Lock": threading.Lock,
        "threading.RLock": threading.RLock,
        "sub": Sub,
    }
    return lambda: Condition(locks[request.param]())


def sleeper(cond, log, name, **options):
    def wait():
        with cond:
            try:
                log.append((name, cond.wait(**options)))
            except BaseException:
                log.append((name, "left"))
                assert cond._is_owned()
                raise

    task = spawn(wait, name=name)
    settle()
    return task


def test_notify_wakes_in_the_order_they_came(make_cond):
    cond = make_cond()
    log = []
    for name in "abcd":
        sleeper(cond, log, name)
    with cond:
        cond.notify(2)
    settle()
    assert log == [("a", True), ("b", True)]
    with cond:
        cond.notify_all()
        cond.notify(5)
    settle()
    assert log[2:] == [("c", True), ("d", True)]


def test_a_notified_waiter_waits_for_the_lock(make_cond):
    cond = make_cond()
    log = []
    sleeper(cond, log, "a")
    with cond:
        cond.notify()
        if isinstance(cond._lock, Lock | RLock):
            settle()  # at another lock the whole thread would wait
        assert log == []
    settle()
    assert log == [("a", True)]


def test_a_wait_times_out(make_cond):
    cond = make_cond()
    log = []
    with fake_clock() as clock:
        sleeper(cond, log, "a", timeout=2)
        sleeper(cond, log, "b", timeout=4)
        clock.advance(3)
        assert log == [("a", False)]
        with cond:
            cond.notify()
        settle()
    assert log == [("a", False), ("b", True)]


def test_a_wait_with_a_timeout_of_zero_releases_the_lock(make_cond):
    cond = make_cond()
    log = []

    def other():
        with cond:
            log.append("other")

    with cond:
        spawn(other)
        if isinstance(cond._lock, Lock | RLock):
            settle()  # at another lock the whole thread would wait
        assert cond.wait(0) is False
        assert cond.wait(-1) is False
        assert cond._is_owned()
    settle()
    assert log == ["other"]


@pytest.mark.exact_turns
def test_a_waiter_that_is_killed_owns_the_lock_when_it_leaves(make_cond):
    cond = make_cond()
    log = []
    tasks = [sleeper(cond, log, name) for name in "ab"]
    tasks[0].kill()
    assert log == [("a", "left")]
    with cond:
        cond.notify()
    settle()
    assert log == [("a", "left"), ("b", True)]
    assert in_thread(lambda: cond.acquire(False) and not cond.release())


@pytest.mark.exact_turns
def test_a_notified_waiter_that_leaves_notifies_the_next(make_cond):
    cond = make_cond()
    log = []
    tasks = [sleeper(cond, log, name) for name in "abc"]
    with cond:
        cond.notify()
    tasks[0].kill(pending=True)
    settle()
    assert log == [("a", "left"), ("b", True)]
    tasks[2].kill()


@every_lock
def test_a_waiter_killed_in_the_locks_queue_waits_on_and_notifies_the_next(make):
    cond, log = Condition(make()), []
    tasks = [sleeper(cond, log, name) for name in "abc"]
    with cond:
        cond.notify()  # a is in the lock's queue now
        tasks[0].kill()
        assert log == []
        tasks[0].throw(Boom)  # weaker than the kill, which comes first
        assert log == []
    settle()
    assert log == [("a", "left"), ("b", True)]
    assert not tasks[0].alive
    tasks[2].kill()


@every_lock
def test_the_timeout_of_a_notified_waiter_does_not_run_on(make):
    cond, log = Condition(make()), []
    with fake_clock() as clock:
        sleeper(cond, log, "a", timeout=1)
        with cond:
            cond.notify()
            clock.advance(5)
            assert log == []
        settle()
    assert log == [("a", True)]


def test_an_rlock_is_released_whole_and_acquired_as_often():
    cond, log = Condition(), []

    def wait():
        with cond, cond, cond:
            assert cond.wait()
            log.append(cond._lock._recursion_count())

    spawn(wait)
    settle()
    with cond:
        cond.notify()
    settle()
    assert log == [3]
    assert not cond._lock.locked()


def test_wait_for_asks_until_it_is_true(make_cond):
    cond = make_cond()
    log, values = [], iter([0, "", "yes"])

    def wait():
        with cond:
            log.append(cond.wait_for(lambda: next(values)))

    spawn(wait)
    settle()
    for _ in range(2):
        assert log == []
        with cond:
            cond.notify()
        settle()
    assert log == ["yes"]


def test_wait_for_has_one_timeout_for_all_its_waits(make_cond):
    cond = make_cond()
    log = []

    def wait():
        with cond:
            log.append((cond.wait_for(lambda: 0, timeout=3), _core.now()))

    with fake_clock() as clock:
        spawn(wait)
        settle()
        for _ in range(3):
            clock.advance(1)
            with cond:
                cond.notify()
            settle()
        clock.advance(1)
    assert log == [(0, 3.0)]


def test_waiting_and_notifying_need_the_lock(make_cond):
    cond = make_cond()
    for act in (cond.wait, cond.notify, cond.notify_all):
        with pytest.raises(RuntimeError, match="un-acquired"):
            act()


def test_our_locks_work_in_threadings_condition():
    for make in LOCKS:
        cond, log = threading.Condition(make()), []

        def wait(cond=cond, log=log):
            with cond:
                log.append(cond.wait(SECONDS))

        with running(wait):
            block_until(lambda cond=cond: len(cond._waiters) == 1)
            with cond:
                cond.notify()
        assert log == [True]


def test_a_condition_shows_its_waiters(make_cond):
    cond, log = make_cond(), []
    tasks = [sleeper(cond, log, name) for name in "ab"]
    assert len(cond._waiters) == 2
    assert repr(cond).endswith(", 2)>")
    if isinstance(cond._lock, Lock | RLock) and not isinstance(cond._lock, Sub):
        assert cond._waiters == tuple(tasks)
    with cond:
        cond.notify_all()
    assert cond._waiters == ()
    settle()


def test_a_condition_in_use_is_not_made_anew():
    cond, log = Condition(), []
    sleeper(cond, log, "a")
    with pytest.raises(RuntimeError, match="has waiters"):
        cond.__init__(Lock())
    with cond:
        cond.notify()
    settle()
    cond.__init__(Lock())
    assert isinstance(cond._lock, Lock)


def test_a_subclass_that_does_not_call_init_is_told():
    class Mine(Condition):
        def __init__(self):
            pass

    for name in ("acquire", "release", "wait", "notify", "notify_all", "locked"):
        with pytest.raises(RuntimeError, match="__init__"):
            getattr(Mine(), name)()


def test_a_lock_whose_methods_raise_passes_that_on():
    class Bad:
        def acquire(self, *args):
            raise Boom

        release = acquire

    cond = Condition(Bad())
    for act in (cond.acquire, cond.release, cond.wait, cond.notify):
        with pytest.raises(Boom):
            act()


def test_deprecated_names_warn():
    cond, event = Condition(), Event()
    with cond, pytest.warns(DeprecationWarning, match="deprecated"):
        cond.notifyAll()
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert event.isSet() is False


def test_a_condition_restores_its_lock():
    condition = Condition()
    condition.acquire()
    condition.acquire()
    saved = condition._release_save()
    assert not condition._is_owned()
    condition._acquire_restore(saved)
    condition.release()
    assert condition._is_owned()
    condition.release()
    assert not condition._is_owned()
