"""Locks: who gets them, and in what order."""

import copy
import gc
import pickle
import threading
import weakref

import greenlet
import pytest
from children import forks_beside_threads, run_program
from lock_kinds import LOCKS, MUTEXES, Boom, every_lock, every_mutex, waiter
from threads import SECONDS, in_thread, running

import tasklets
from tasklets import _core, getcurrent, spawn, timeout
from tasklets.locks import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    NLCondition,
    RLock,
    Semaphore,
)
from tasklets.testing import fake_clock, settle

ALL = [*MUTEXES, Event, NLCondition, lambda: Barrier(2)]
every_type = pytest.mark.parametrize("make", ALL)


class Sub(Lock):
    pass


def holder(lock):
    """Return a tasklet that has the lock until it is resumed by insert()."""

    def hold():
        with lock:
            tasklets.schedule_remove()

    task = spawn(hold, name="holder")
    settle()
    return task


# ---- what all have in common


@every_type
def test_a_lock_cannot_be_pickled_or_copied(make):
    for act in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="cannot pickle"):
            act(make())


@every_type
def test_a_lock_can_be_weakly_referenced(make):
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
def test_waiters_are_served_in_the_order_they_came(make):
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
def test_a_waiter_that_is_killed_leaves_the_queue(make):
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
def test_a_waiter_killed_after_it_got_the_lock_passes_it_on(make):
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
