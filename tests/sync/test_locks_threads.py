"""Locks: deadlocks, and several threads."""

import gc
import threading
import time
import warnings

import pytest
from lock_kinds import LOCKS, every_mutex, waiter
from threads import SECONDS, block_until, in_thread, running

import tasklets
from tasklets import DeadlockError, _core, atomic, channel, run, spawn, timeout
from tasklets.locks import Condition, Event, Lock, NLCondition, RLock, Semaphore
from tasklets.testing import fake_clock, settle

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
def test_a_cycle_of_owners_is_an_error_for_the_tasklet_that_closes_it(one, two):
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


def test_a_waiter_with_a_timeout_closes_no_cycle():
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
                block_until(lambda: True)
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


def test_a_wait_for_a_channel_is_a_deadlock_if_the_others_only_wait_for_locks():
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


def test_a_running_tasklet_overtakes_a_waiter_of_another_thread_twice_at_most():
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
            block_until(lambda: tasks and (tasks[0].blocked or log))
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
        block_until(lambda: len(tasks) == 2 and all(task.blocked for task in tasks))
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

    def has_no_owner():
        in_thread(lambda: Lock().acquire())  # sweeps what the first has left
        return "owner=0 count=1" in repr(rlock)

    in_thread(work)
    block_until(has_no_owner)  # join() may return before the thread has ended
    assert lock.locked()
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


def test_a_tasklet_that_is_killed_with_a_lock_releases_it():
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
