"""Locks: who gets them, in what order, what becomes of those who give up waiting."""

import copy
import gc
import pickle
import sys
import threading
import time
import warnings
import weakref

import greenlet
import pytest
from children import forks_beside_threads, run_program
from threads import SECONDS, in_thread, running, until

import tasklets
from tasklets import (
    DeadlockError,
    TaskletExit,
    _core,
    atomic,
    channel,
    getcurrent,
    run,
    schedule,
    spawn,
    timeout,
)
from tasklets.locks import (
    Barrier,
    BoundedSemaphore,
    BrokenBarrierError,
    Condition,
    Event,
    Lock,
    NLCondition,
    RLock,
    Semaphore,
)
from tasklets.testing import fake_clock, settle

LOCKS = [Lock, RLock]
MUTEXES = [Lock, RLock, Semaphore, BoundedSemaphore, Condition]
ALL = [*MUTEXES, Event, NLCondition, lambda: Barrier(2)]

every_lock = pytest.mark.parametrize("make", LOCKS)
every_mutex = pytest.mark.parametrize("make", MUTEXES)
every_type = pytest.mark.parametrize("make", ALL)


class Sub(Lock):
    pass


class Boom(Exception):
    pass


def caught(func, *args):
    """Return a tasklet whose result is the error of a call, or its value."""

    def call():
        try:
            return func(*args)
        except Exception as exc:
            return exc.with_traceback(None)

    return spawn(call)


def holder(lock):
    """Return a tasklet that has the lock until it is resumed by insert()."""

    def hold():
        with lock:
            tasklets.schedule_remove()

    task = spawn(hold, name="holder")
    settle()
    return task


def waiter(lock, log, name):
    """Return a tasklet that waits for the lock, notes its name and lets go."""

    def wait():
        try:
            with lock:
                log.append(name)
        except Boom:
            log.append("boom")

    task = spawn(wait, name=name)
    settle()
    return task


# ---- what all have in common


@every_type
def test_it_cannot_be_pickled_or_copied(make):
    for act in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="cannot pickle"):
            act(make())


@every_type
def test_it_can_be_weakly_referenced(make):
    lock = make()
    ref = weakref.ref(lock)
    assert ref() is lock
    del lock
    assert ref() is None


@every_type
def test_making_it_leaks_nothing(make, no_leak):
    no_leak(make)


@pytest.mark.parametrize(
    "cls", [Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event, NLCondition]
)
def test_a_subclass_has_attributes_and_an_init_of_its_own(cls):
    class Mine(cls):
        def __init__(self, name):
            super().__init__()
            self.name = name

    mine = Mine("mine")
    assert mine.name == "mine"
    mine.me = mine
    ref = weakref.ref(mine)
    del mine
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("cls", [Lock, RLock, Event, NLCondition])
def test_arguments_are_refused(cls):
    with pytest.raises(TypeError, match="takes no arguments"):
        cls(1)
    with pytest.raises(TypeError, match="takes no arguments"):
        cls(name=1)


def test_the_reprs_tell_the_state():
    assert repr(Lock()).startswith("<unlocked tasklets.locks.Lock object at 0x")
    lock = Lock()
    lock.acquire()
    assert repr(lock).startswith("<locked tasklets.locks.Lock object at 0x")
    assert repr(Sub()).startswith(f"<unlocked {__name__}.Sub object at 0x")
    rlock = RLock()
    with rlock, rlock:
        ident = threading.get_ident()
        assert f"<locked tasklets.locks.RLock object owner={ident} count=2 at" in repr(
            rlock
        )
    assert "owner=0 count=0" in repr(rlock)
    assert repr(Semaphore(3)).endswith(": value=3>")
    assert repr(BoundedSemaphore(3)).endswith(": value=3/3>")
    assert repr(Event()).startswith("<tasklets.locks.Event at 0x")
    assert repr(Event()).endswith(": unset>")
    assert repr(Barrier(3)).endswith(": waiters=0/3>")
    assert repr(Condition(lock)) == f"<tasklets.locks.Condition({lock!r}, 0)>"
    assert repr(NLCondition()).endswith(": waiters=0>")


def test_the_repr_names_a_tasklet_that_owns_it():
    lock = RLock()
    task = holder(lock)
    assert "owner='holder' count=1" in repr(lock)
    task.insert()
    settle()


def test_a_tasklet_tells_what_it_waits_for():
    lock, log = Lock(), []
    lock.acquire()
    task = waiter(lock, log, "one")
    assert "waits to acquire <tasklets.locks.Lock at" in repr(task)
    lock.release()
    settle()
    assert log == ["one"]


@pytest.mark.parametrize("cls", LOCKS)
def test_arguments_of_acquire_are_checked_as_threadings(cls):
    lock = cls()
    for args, error in [
        ((False, 1), ValueError),
        ((False, 0), ValueError),
        ((True, -2), ValueError),
        ((True, float("nan")), ValueError),
        ((True, 1e100), OverflowError),
        ((True, threading.TIMEOUT_MAX + 1), OverflowError),
        ((True, "1"), TypeError),
        ((1, 2, 3), TypeError),
    ]:
        with pytest.raises(error):
            lock.acquire(*args)
    assert not lock.locked()
    assert lock.acquire(False, -1)
    lock.release()
    assert lock.acquire(timeout=threading.TIMEOUT_MAX)
    lock.release()


def test_releasing_what_is_not_acquired_is_an_error():
    for lock in (Lock(), RLock(), Condition()):
        with pytest.raises(RuntimeError):
            lock.release()
    with pytest.raises(ValueError, match="too many"):
        BoundedSemaphore().release()
    with pytest.raises(ValueError, match="one or more"):
        Semaphore().release(0)
    with pytest.raises(ValueError, match=">= 0"):
        Semaphore(-1)
    semaphore = BoundedSemaphore(3)
    semaphore.acquire()
    with pytest.raises(ValueError, match="too many"):
        semaphore.release(2)
    assert semaphore._value == 2


# ---- tasklets of one thread


@every_mutex
def test_those_who_wait_are_served_in_the_order_they_came(make):
    lock, log = make(), []
    lock.acquire()
    for name in "abc":
        waiter(lock, log, name)
    lock.release()
    assert log == []  # they run when their turn comes
    assert not lock.acquire(False)  # but the first has it already
    settle()
    assert log == ["a", "b", "c"]


@every_mutex
def test_one_that_is_killed_while_it_waits_leaves_the_queue(make):
    lock, log = make(), []
    lock.acquire()
    tasks = [waiter(lock, log, name) for name in "abc"]
    tasks[1].kill()
    lock.release()
    settle()
    assert log == ["a", "c"]
    assert lock.acquire(False)
    lock.release()


@every_mutex
def test_one_that_is_killed_after_it_got_the_lock_passes_it_on(make):
    lock, log = make(), []
    lock.acquire()
    tasks = [waiter(lock, log, name) for name in "abc"]
    lock.release()
    tasks[0].kill()
    settle()
    assert log == ["b", "c"]
    assert lock.acquire(False)
    lock.release()


@every_mutex
@pytest.mark.parametrize("pending", [False, True])
def test_an_error_thrown_after_it_got_the_lock_is_raised_and_the_lock_passed_on(
    make, pending
):
    lock, log = make(), []
    lock.acquire()
    task = waiter(lock, log, "a")
    waiter(lock, log, "b")
    lock.release()
    task.throw(Boom, pending=pending)
    settle()
    assert sorted(log) == ["b", "boom"]


@every_mutex
def test_a_timeout_block_ends_the_wait(make):
    lock, log = make(), []

    def wait():
        try:
            with timeout(1), lock:
                log.append("got it")
        except TimeoutError:
            log.append("late")

    lock.acquire()
    with fake_clock() as clock:
        spawn(wait)
        clock.advance(2)
    assert log == ["late"]
    lock.release()
    assert lock.acquire(False)
    lock.release()


@pytest.mark.parametrize("make", [*MUTEXES, Event, NLCondition])
def test_a_wait_with_a_timeout_returns_false_after_that_time(make):
    lock, log = make(), []

    def wait():
        wait = getattr(lock, "acquire", None) if make in MUTEXES else lock.wait
        log.append((wait(timeout=5), _core.now()))

    if make in MUTEXES:
        lock.acquire()
    with fake_clock() as clock:
        spawn(wait)
        clock.advance(4)
        assert log == []
        clock.advance(4)
    assert log == [(False, 5.0)]


def test_block_trap_forbids_to_wait_but_not_to_acquire():
    lock = Lock()
    with tasklets.block_trap():
        lock.acquire()
        with pytest.raises(tasklets.BlockTrapError):
            lock.acquire()
    lock.release()


def test_no_switch_forbids_to_wait():
    lock, log = Lock(), []
    lock.acquire()
    spawn(log.append, 1)
    with tasklets.no_switch(), pytest.raises(tasklets.SwitchTrapError):
        lock.acquire()
    settle()
    assert log == [1]


@every_lock
def test_only_the_owner_counts_as_such(make):
    lock = RLock()
    task = holder(lock)
    assert not lock._is_owned()
    assert lock._recursion_count() == 0
    assert lock.locked()
    with pytest.raises(RuntimeError):
        lock.release()
    with pytest.raises(RuntimeError):
        lock._release_save()
    task.insert()
    settle()
    with lock, lock:
        assert lock._is_owned()
        assert lock._recursion_count() == 2
        saved = lock._release_save()
        assert not lock.locked()
        lock._acquire_restore(saved)
        assert lock._recursion_count() == 2
    assert not lock.locked()


def test_what_an_rlock_restores_is_checked():
    lock = RLock()
    for wrong, error in (("x", TypeError), (0, ValueError), (-1, OverflowError)):
        with pytest.raises(error):
            lock._acquire_restore(wrong)
        assert not lock._is_owned()
    lock._acquire_restore(2)
    lock._acquire_restore(1)
    for _ in range(3):
        lock.release()
    assert not lock._is_owned()


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


def test_greenlets_in_a_tasklet_are_that_tasklet():
    lock, log = RLock(), []

    def outer():
        with lock:
            greenlet.greenlet(inner).switch()

    def inner():
        log.append(lock.acquire(False))
        lock.release()

    spawn(outer)
    settle()
    assert log == [True]
    assert not lock.locked()


def test_a_lock_taken_before_the_thread_had_tasklets_is_still_its_own():
    lock, log = RLock(), []

    def work():
        with lock:
            getcurrent()  # from here on the thread has tasklets
            log.append(lock._is_owned())
            with lock:
                log.append(lock._recursion_count())
        log.append(lock.locked())

    in_thread(work)
    assert log == [True, 2, False]


# ---- conditions


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


def test_who_is_notified_waits_for_the_lock(make_cond):
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


def test_a_wait_with_no_time_lets_others_have_the_lock(make_cond):
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
def test_one_that_is_killed_while_it_waits_owns_the_lock_when_it_leaves(make_cond):
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
def test_one_that_leaves_though_it_was_notified_notifies_the_next(make_cond):
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
def test_one_that_is_killed_in_the_locks_queue_waits_on_and_notifies_the_next(make):
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
def test_the_time_of_one_who_is_notified_does_not_run_on(make):
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
            until(lambda cond=cond: len(cond._waiters) == 1)
            with cond:
                cond.notify()
        assert log == [True]


def test_a_condition_shows_who_waits(make_cond):
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
    with pytest.raises(RuntimeError, match="somebody waits"):
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


# ---- semaphores, events, barriers


def test_permits_that_come_back_together_go_to_the_first_who_wait():
    semaphore, log = Semaphore(0), []
    for name in "abc":
        spawn(lambda name=name: log.append((name, semaphore.acquire())))
    settle()
    semaphore.release(2)
    assert semaphore._value == 0
    settle()
    assert log == [("a", True), ("b", True)]
    semaphore.release(3)
    settle()
    assert semaphore._value == 2


def test_a_semaphore_takes_the_timeouts_that_threadings_takes():
    semaphore = Semaphore(0)
    assert semaphore.acquire(timeout=0) is False
    assert semaphore.acquire(timeout=-1) is False
    assert semaphore.acquire(False) is False
    assert semaphore.acquire(False, None) is False
    with pytest.raises(ValueError, match="non-blocking"):
        semaphore.acquire(False, 1)


def test_an_event_wakes_all_and_those_woken_need_not_hurry():
    event, log = Event(), []
    for _ in range(3):
        spawn(lambda: log.append(event.wait()))
    settle()
    event.set()
    event.clear()
    settle()
    assert log == [True] * 3
    assert not event.is_set()
    event.set()
    assert event.wait() is True
    assert event.wait(0) is True


def test_an_event_has_a_condition_as_threadings():
    event = Event()
    cond = event._cond
    assert event._cond is cond
    with cond:
        assert not cond.acquire(False)
        event._at_fork_reinit()
        assert cond.acquire(False)


def test_a_barrier_can_be_used_again_at_once():
    barrier, log = Barrier(3), []

    def work(name):
        for turn in range(4):
            log.append(turn)
            assert 0 <= barrier.wait() < 3

    for name in "abc":
        spawn(work, name)
    settle()
    assert log == [turn for turn in range(4) for _ in range(3)]


def test_each_who_passes_a_barrier_gets_another_number():
    barrier = Barrier(4)
    tasks = [spawn(barrier.wait) for _ in range(4)]
    settle()
    assert sorted(task.result() for task in tasks) == [0, 1, 2, 3]
    assert barrier.n_waiting == 0


def test_the_action_runs_before_anybody_goes():
    log = []

    def action():
        log.append("action")
        schedule()
        log.append("end")

    barrier = Barrier(2, action)
    for _ in range(2):
        spawn(lambda: (barrier.wait(), log.append("gone")))
    settle()
    assert log == ["action", "end", "gone", "gone"]


def test_who_comes_during_the_action_is_of_the_next_turn():
    log = []

    def action():
        log.append("action")
        schedule()
        schedule()

    barrier = Barrier(2, action)
    tasks = [spawn(barrier.wait) for _ in range(4)]
    settle()
    assert sorted(task.result() for task in tasks) == [0, 0, 1, 1]
    assert log == ["action", "action"]


def test_an_error_of_the_action_breaks_the_barrier():
    def action():
        raise Boom

    barrier = Barrier(2, action)
    tasks = [caught(barrier.wait) for _ in range(2)]
    settle()
    errors = [type(task.result()) for task in tasks]
    assert sorted(error.__name__ for error in errors) == ["Boom", "BrokenBarrierError"]
    assert barrier.broken
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken


def test_a_barrier_is_broken_by_one_whose_time_is_up():
    barrier = Barrier(3, timeout=5)
    with fake_clock() as clock:
        tasks = [caught(barrier.wait, 10), caught(barrier.wait)]
        clock.advance(6)
    assert [type(task.result()) for task in tasks] == [BrokenBarrierError] * 2
    assert barrier.broken


def test_a_reset_turns_those_away_who_wait():
    barrier = Barrier(2)
    task = caught(barrier.wait)
    settle()
    assert barrier.n_waiting == 1
    barrier.reset()
    assert barrier.n_waiting == 0
    tasks = [caught(barrier.wait) for _ in range(2)]
    settle()
    assert isinstance(task.result(), BrokenBarrierError)
    assert sorted(task.result() for task in tasks) == [0, 1]


@pytest.mark.exact_turns
def test_a_reset_during_the_action_turns_all_away():
    def action():
        schedule()

    barrier = Barrier(2, action)
    tasks = [caught(barrier.wait) for _ in range(2)]
    schedule()
    barrier.reset()
    settle()
    assert [type(task.result()) for task in tasks] == [BrokenBarrierError] * 2
    assert not barrier.broken
    assert barrier.n_waiting == 0


def test_one_that_is_killed_in_a_barrier_is_not_counted_any_more():
    barrier = Barrier(2)
    task = spawn(barrier.wait)
    settle()
    task.kill()
    assert barrier.n_waiting == 0
    tasks = [spawn(barrier.wait) for _ in range(2)]
    settle()
    assert sorted(task.result() for task in tasks) == [0, 1]


def test_a_barrier_needs_parties():
    for parties in (0, -1):
        with pytest.raises(ValueError, match="parties"):
            Barrier(parties)
    with pytest.raises(TypeError):
        Barrier("3")
    assert Barrier(3).parties == 3


def test_a_condition_without_a_lock():
    cond, log = NLCondition(), []
    for name in "abc":
        spawn(lambda name=name: log.append((name, cond.wait())))
    settle()
    with cond:
        cond.notify()
    settle()
    assert log == [("a", True)]
    cond.notify_all()
    settle()
    assert log[1:] == [("b", True), ("c", True)]
    assert cond.acquire()
    cond.release()
    assert cond.wait_for(lambda: 0, timeout=0) == 0


def test_one_that_is_killed_though_it_was_notified_passes_that_on_without_a_lock():
    cond, log = NLCondition(), []
    tasks = [spawn(lambda name=name: log.append((name, cond.wait()))) for name in "ab"]
    settle()
    cond.notify()
    tasks[0].kill(pending=True)
    settle()
    assert log == [("b", True)]


# ---- callbacks of events


def test_a_callback_is_called_once_when_the_event_is_set():
    event, log = Event(), []
    event.add_done_callback(log.append)
    assert log == []
    event.set()
    assert log == [event]
    event.clear()
    event.set()
    assert log == [event]
    event.add_done_callback(log.append)  # at once
    assert log == [event, event]


def test_callbacks_are_called_in_order_when_those_who_wait_have_been_woken():
    event, log = Event(), []
    waiter = spawn(event.wait)
    settle()
    event.add_done_callback(lambda _: log.append(("first", waiter.blocked)))
    event.add_done_callback(lambda _: (event.clear(), log.append("second")))
    event.add_done_callback(lambda _: event.add_done_callback(log.append))
    event.set()
    assert log == [("first", False), "second"]
    assert waiter.result() is True
    assert event.remove_done_callback(log.append) == 1


def test_a_callback_can_be_removed():
    event, log = Event(), []
    for func in (log.append, print, log.append):
        event.add_done_callback(func)
    assert event.remove_done_callback(log.append) == 2
    assert event.remove_done_callback(log.append) == 0
    assert event.remove_done_callback(print) == 1
    event.set()
    assert log == []
    with pytest.raises(TypeError, match="callable"):
        event.add_done_callback(None)


def test_a_comparison_may_change_the_callbacks():
    class Func:
        def __call__(self, event):
            log.append(event)

        def __eq__(self, other):
            event.set()
            return True

        __hash__ = None

    class Bad(Func):
        def __eq__(self, other):
            raise Boom

        __hash__ = None

    event, log = Event(), []
    event.add_done_callback(Func())
    event.remove_done_callback(Func())
    assert log == [event]
    event.clear()
    event.add_done_callback(Bad())
    with pytest.raises(Boom):
        event.remove_done_callback(Bad())
    event.set()
    assert log == [event, event]


def test_an_error_of_a_callback_is_reported(monkeypatch):
    def fail(event):
        raise Boom

    event, log = Event(), []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: log.append(args.exc_type))
    event.add_done_callback(fail)
    event.add_done_callback(lambda _: log.append("called"))
    event.set()
    event.add_done_callback(fail)
    assert log == [Boom, "called", Boom]


def test_a_kill_in_a_callback_gets_through():
    event, log = Event(), []
    event.add_done_callback(lambda _: tasklets.schedule_remove())
    event.add_done_callback(log.append)
    setter = spawn(event.set)
    settle()
    assert setter.blocked is False
    setter.kill()
    assert setter.cancelled()
    assert log == [event]
    with pytest.raises(TaskletExit):
        event.add_done_callback(lambda _: getcurrent().kill())


def test_an_event_that_its_callback_knows_is_collected():
    event = Event()
    event.add_done_callback(event.remove_done_callback)
    ref = weakref.ref(event)
    del event
    gc.collect()
    assert ref() is None


def test_callbacks_leak_nothing(no_leak):
    def use():
        event = Event()
        event.add_done_callback(repr)
        event.add_done_callback(ascii)
        event.remove_done_callback(repr)
        event.set()

    no_leak(use, calls=5000)


# ---- deadlocks


def crossed(first, second, log):
    """Return a tasklet that has the second lock and waits for the first."""

    def work():
        with second:
            tasklets.schedule_remove()
            try:
                with first:
                    log.append("got it")
            except DeadlockError as exc:
                log.append(str(exc))

    task = spawn(work, name="other")
    settle()
    return task


@pytest.mark.parametrize("one", LOCKS)
@pytest.mark.parametrize("two", LOCKS)
def test_a_cycle_of_owners_is_an_error_for_the_one_who_closes_it(one, two):
    first, second, log = one(), two(), []
    first.acquire()
    task = crossed(first, second, log)
    task.insert()
    settle()
    with pytest.raises(DeadlockError) as info:
        second.acquire()
    text = str(info.value)
    assert text.index("tasklet 'other'") < text.index("thread 'MainThread'")
    assert repr(second).split(" at ")[1] in text
    assert second.locked()
    first.release()
    settle()
    assert log == ["got it"]
    assert not second.locked()


def test_a_longer_cycle_is_found_too():
    locks, log = [Lock() for _ in range(4)], []

    def work(mine, other):
        with mine:
            tasklets.schedule_remove()
            with other:
                log.append("got it")

    tasks = [spawn(work, locks[i], locks[i + 1]) for i in range(3)]
    locks[3].acquire()
    settle()
    for task in tasks:
        task.insert()
    settle()
    with pytest.raises(DeadlockError) as info:
        locks[0].acquire()
    assert str(info.value).count("is held by") == 4
    locks[3].release()
    settle()
    assert log == ["got it"] * 3


def test_one_who_waits_with_a_timeout_closes_no_cycle():
    first, second, log = Lock(), Lock(), []
    first.acquire()
    crossed(first, second, log).insert()
    settle()
    with fake_clock():
        assert not second.acquire(timeout=1)
        with pytest.raises(TimeoutError), timeout(1):
            second.acquire()
    first.release()
    settle()


def test_a_lock_that_others_release_is_a_signal_and_in_no_cycle():
    first, second, log = Lock(), Lock(), []
    first.acquire()
    spawn(first.release)
    settle()
    first.acquire()
    task = crossed(first, second, log)
    task.insert()
    settle()
    spawn(first.release)
    with second:  # which the tasklet lets go when it has the first
        log.append("main")
    assert log == ["got it", "main"]


def test_ones_own_lock_can_be_waited_for():
    lock, log = Lock(), []

    def work():
        lock.acquire()
        lock.acquire()
        log.append("again")

    spawn(work)
    settle()
    assert log == []
    lock.release()
    settle()
    assert log == ["again"]


def test_threads_without_tasklets_are_in_cycles_too():
    first, second, log = Lock(), RLock(), []
    ready = threading.Event()

    def work():
        with second:
            ready.set()
            with first:
                log.append("got it")

    with first, running(work) as [worker]:
        ready.wait(SECONDS)
        for _ in range(100):
            try:
                if second.acquire(timeout=0.01):
                    second.release()
                until(lambda: True)
                second.acquire()
            except DeadlockError as exc:
                log.append(str(exc))
                break
            second.release()
        first.release()
        worker.join(SECONDS)
        first.acquire()
    assert f"thread '{worker.name}'" in log[0]
    assert log[1] == "got it"


@pytest.mark.exact_turns
def test_cycles_can_be_reported_instead():
    first, second, log = Lock(), Lock(), []
    first.acquire()
    crossed(first, second, log).insert()
    settle()
    assert _core._report_lock_cycles(True) is False
    try:

        def help():
            first.release()

        spawn(help)
        with pytest.warns(RuntimeWarning, match="wait for each other"):
            second.acquire()
        second.release()
    finally:
        assert _core._report_lock_cycles(False) is True
    settle()
    assert log == ["got it"]


def test_a_report_that_is_an_error_is_raised():
    first, second, log = Lock(), Lock(), []
    first.acquire()
    crossed(first, second, log).insert()
    settle()
    _core._report_lock_cycles(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(RuntimeWarning):
                second.acquire()
    finally:
        _core._report_lock_cycles(False)
    first.release()
    settle()


def test_run_ends_though_somebody_waits_for_a_lock():
    lock, log = Lock(), []
    lock.acquire()
    waiter(lock, log, "a")
    assert run() is None
    tasklets.scheduler.run(wait=True)
    assert log == []
    lock.release()
    settle()
    assert log == ["a"]


def test_who_waits_for_a_channel_is_told_that_the_others_only_wait_for_locks():
    lock, log = Lock(), []
    lock.acquire()
    task = waiter(lock, log, "a")
    with pytest.raises(DeadlockError, match="waits to acquire"):
        channel().receive()
    lock.acquire(False)

    def work():
        lock.acquire()  # the last to go, and main waits for a channel

    last = spawn(work)
    with pytest.raises(DeadlockError):
        channel().receive()
    last.kill()
    task.kill()
    lock.release()


# ---- threads


@every_mutex
def test_a_thread_that_waits_for_a_lock_gets_no_tasklets(make):
    lock, log = make(), []

    def work():
        with lock:
            log.append(tasklets.get_thread_info(threading.get_ident()))

    before = _core.live_counts()["scheduler"]
    lock.acquire()
    with running(work):
        time.sleep(0.01)
        assert log == []
        assert _core.live_counts()["scheduler"] == before
        lock.release()
    # What it asked gave none to it either.
    assert len(log) == 1


@every_mutex
def test_many_threads_exclude_each_other(make):
    lock, count, inside = make(), [0], []

    def work():
        for _ in range(300):
            with lock:
                assert not inside
                inside.append(1)
                count[0] += 1
                if count[0] % 50 == 0:
                    time.sleep(0)
                inside.pop()

    def both():
        tasks = [spawn(work) for _ in range(2)]
        for task in tasks:
            task.result()

    with running(work, both, work):
        both()
    assert count == [300 * 6]
    assert lock.acquire(False)


def test_a_condition_between_threads_and_tasklets():
    cond, items, got = Condition(), [], []

    def produce():
        for i in range(200):
            with cond:
                cond.wait_for(lambda: len(items) < 3)
                items.append(i)
                cond.notify_all()

    def consume():
        for _ in range(200):
            with cond:
                cond.wait_for(lambda: items)
                got.append(items.pop())
                cond.notify_all()

    with running(produce, consume, produce):
        tasks = [spawn(consume), spawn(produce), spawn(consume)]
        for task in tasks:
            task.result()
    assert sorted(got) == sorted(list(range(200)) * 3)
    assert items == []


def test_a_thread_waits_with_a_timeout():
    log = []

    def work():
        lock = Lock()
        lock.acquire()
        start = time.monotonic()
        log.append(lock.acquire(timeout=0.02))
        log.append(Semaphore(0).acquire(timeout=0.001))
        log.append(Event().wait(0.001))
        cond = Condition()
        with cond:
            log.append(cond.wait(0.001))
        log.append(NLCondition().wait(0.001))
        log.append(time.monotonic() - start >= 0.02)

    in_thread(work)
    assert log == [False] * 5 + [True]


def test_one_who_runs_is_faster_than_one_of_another_thread_twice_at_most():
    if not atomic.supported:
        pytest.skip("without atomic sections nobody can be sure to be faster")
    lock, tasks, log = Lock(), [], []

    def work():
        def wait():
            with lock:
                log.append("got it")

        tasks.append(spawn(wait))
        tasks[0].result()

    lock.acquire()
    faster = 0
    with running(work):
        while True:
            until(lambda: tasks and (tasks[0].blocked or log))
            with atomic():
                lock.release()
                if not lock.acquire(False):
                    break
            faster += 1
    assert faster == (1 if _core.stress else 2)
    assert log == ["got it"]


def test_a_tasklet_of_another_thread_that_is_killed_when_called_calls_the_next():
    lock, tasks, log = Lock(), [], []

    def work():
        def wait(name):
            with lock:
                log.append(name)

        tasks.extend([spawn(wait, name) for name in "ab"])
        tasks[1].join()

    lock.acquire()
    with running(work):
        until(lambda: len(tasks) == 2 and all(task.blocked for task in tasks))
        with atomic():
            lock.release()
            tasks[0].kill()
    assert log == ["b"]
    assert not lock.locked()


def test_a_thread_that_ends_with_a_lock_leaves_it_locked_and_without_an_owner():
    lock, rlock = Lock(), RLock()

    def work():
        lock.acquire()
        rlock.acquire()

    in_thread(work)
    in_thread(lambda: Lock().acquire())  # sweeps what the first has left
    assert lock.locked()
    assert "owner=0 count=1" in repr(rlock)
    assert not rlock.acquire(False)
    with pytest.raises(RuntimeError):
        rlock.release()
    lock.release()
    rlock._at_fork_reinit()
    assert rlock.acquire(False)


def test_a_tasklet_that_dies_with_a_lock_leaves_it_locked_and_without_an_owner():
    lock = RLock()
    task = spawn(lock.acquire)
    settle()
    assert lock.locked()
    del task
    gc.collect()
    assert "owner=0 count=1" in repr(lock)
    lock._at_fork_reinit()
    with lock:
        pass


def test_a_lock_may_die_while_somebody_owns_it():
    def work():
        locks = [Lock(), RLock()]
        for lock in locks:
            lock.acquire()

    work()
    task = spawn(work)
    settle()
    task.result()


def test_a_tasklet_that_is_killed_with_a_lock_lets_go():
    lock, log = Lock(), []

    def work():
        with lock:
            channel().receive()

    task = spawn(work)
    settle()
    waiter(lock, log, "next")
    task.kill()
    settle()
    assert log == ["next"]
    assert not lock.locked()


# ---- where no tasklet can be switched


def test_a_callback_may_wait_for_another_thread():
    event, started, log = Event(), threading.Event(), []

    def callback(before, after):
        if before is not None and not log:
            started.set()
            log.append(event.wait(SECONDS))

    def work():
        started.wait(SECONDS)
        event.set()

    with running(work):
        tasklets.set_schedule_callback(callback)
        spawn(lambda: None)
        settle()
        tasklets.set_schedule_callback(None)
    assert log == [True]


def test_a_callback_does_not_wait_for_a_tasklet_that_cannot_run():
    lock, log = Lock(), []
    task = holder(lock)

    def callback(before, after):
        if not log:
            log.append(None)
            try:
                lock.acquire()
            except RuntimeError as exc:
                log[0] = str(exc)

    tasklets.set_schedule_callback(callback)
    spawn(lambda: None)
    settle()
    tasklets.set_schedule_callback(None)
    assert "cannot switch" in log[0]
    task.insert()
    settle()
    assert not lock.locked()


# ---- processes


MAIN_WAITS = """
    import os, signal, sys, threading, time
    import tasklets
    from tasklets.locks import *

    def wait_in(kind):
        if kind == "condition":
            cond = Condition()
            with cond:
                cond.wait()
        elif kind == "event":
            Event().wait()
        elif kind == "semaphore":
            Semaphore(0).acquire()
        elif kind == "barrier":
            Barrier(2).wait()
        else:
            lock = Lock()
            lock.acquire()
            lock.acquire()

    def interrupt():
        time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT) \\
            if sys.argv[3] == "thread" else os.kill(os.getpid(), signal.SIGINT)

    if sys.argv[2] == "tasklets":
        tasklets.getcurrent()
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        wait_in(sys.argv[1])
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize("how", ["tasklets", "plain"])
@pytest.mark.parametrize("kind", ["lock", "condition", "event", "semaphore", "barrier"])
def test_main_alone_in_a_lock_can_be_interrupted(kind, how):
    to = "thread" if kind in ("lock", "event") else "process"
    assert run_program(MAIN_WAITS, kind, how, to) == (0, "interrupted\n", [])


@pytest.mark.parametrize("how", ["tasklets", "plain"])
def test_a_signal_handler_may_release_what_main_waits_for(how):
    program = """
        import signal, sys
        import tasklets
        from tasklets.locks import *

        lock, other = Lock(), RLock()

        def handle(*args):
            with other:
                lock.release()

        if sys.argv[1] == "tasklets":
            tasklets.getcurrent()
        signal.signal(signal.SIGALRM, handle)
        lock.acquire()
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            lock.acquire()
        print("done")
    """
    assert run_program(program, how) == (0, "done\n", [])


def test_a_signal_handler_may_wait_while_main_waits():
    program = """
        import signal, threading
        from tasklets.locks import *

        outer, inner, seen = Lock(), Event(), []

        def handle(*args):
            threading.Timer(0.05, inner.set).start()
            seen.append(inner.wait())
            outer.release()

        signal.signal(signal.SIGALRM, handle)
        outer.acquire()
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        outer.acquire()
        print(seen)
    """
    assert run_program(program) == (0, "[True]\n", [])


def test_an_error_of_a_signal_handler_leaves_the_queue_as_it_was():
    program = """
        import signal
        from tasklets.locks import *

        class Boom(Exception):
            pass

        def handle(*args):
            raise Boom

        signal.signal(signal.SIGALRM, handle)
        cond = Condition()
        for wait in (Semaphore(0).acquire, Event().wait, cond.wait):
            with cond:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.02)
                    wait()
                except Boom:
                    print("boom", cond._is_owned(), cond)
    """
    status, output, errors = run_program(program)
    assert (status, errors) == (0, [])
    assert [line.split()[:2] for line in output.splitlines()] == [["boom", "True"]] * 3
    assert all(line.endswith(", 0)>") for line in output.splitlines())


def test_daemon_threads_in_locks_do_not_keep_the_program():
    program = """
        import threading, time
        import tasklets
        from tasklets.locks import *

        def wait(tasks):
            if tasks:
                tasklets.getcurrent()
            Event().wait()

        for tasks in (False, True):
            threading.Thread(target=wait, args=(tasks,), daemon=True).start()
        time.sleep(0.05)
        tasklets.spawn(Event().wait)
        tasklets.schedule()
        print("end")
    """
    assert run_program(program) == (0, "end\n", [])


@forks_beside_threads
def test_a_child_has_nobody_else_in_the_queues():
    program = """
        import os, threading, time, warnings
        warnings.simplefilter("ignore")
        import tasklets
        from tasklets.locks import *

        lock, cond, event = Lock(), Condition(), Event()
        held = RLock()

        def wait():
            with lock:
                pass

        def wait_cond():
            with cond:
                cond.wait()

        def hold():
            with held:
                event.wait()

        def tasks():
            tasklets.spawn(wait)
            tasklets.spawn(wait_cond)
            tasklets.run()
            event.wait()

        lock.acquire()
        threads = [threading.Thread(target=func, daemon=True)
                   for func in (wait, wait_cond, hold, tasks)]
        for one in threads:
            one.start()
        while cond._is_owned() or " 2)>" not in repr(cond) or not held.locked():
            time.sleep(0.001)
        time.sleep(0.02)
        child = os.fork()
        if child == 0:
            assert " 0)>" in repr(cond), cond
            lock.release()
            with lock, cond:
                cond.notify_all()
            assert not held.acquire(False)
            held._at_fork_reinit()
            with held:
                task = tasklets.spawn(lock.acquire)
                tasklets.run()
                assert lock.locked()
                one = threading.Thread(target=wait)
                one.start()
                lock.release()
                one.join()
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        lock.release()
        with cond:
            cond.notify_all()
        event.set()
        for one in threads:
            one.join()
        print(lock.locked(), held.locked())
    """
    assert run_program(program) == (0, "7\nFalse False\n", [])


def test_a_lock_is_free_in_a_child_that_reinitialises_it():
    for make in [*MUTEXES[:2], Condition]:
        lock = make()
        lock.acquire()
        lock._at_fork_reinit()
        assert lock.acquire(False)
        lock.release()
