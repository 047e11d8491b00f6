"""A call that promises to come back with a lock does so, whatever interrupts that."""

import os
import signal
from contextlib import suppress

import pytest
from threads import Gate, in_thread, running

from stacklesslib_compat import locks as compat
from tasklets import (
    GroupExit,
    QueueChannel,
    TaskGroup,
    TaskletExit,
    TimeoutExit,
    schedule,
    spawn,
    timeout,
)
from tasklets.locks import BoundedSemaphore, Condition, Lock, RLock, Semaphore
from tasklets.testing import fake_clock, settle


class SubLock(Lock):
    pass


class SubRLock(RLock):
    pass


class LockInPython(Lock):
    """A lock of ours whose methods are Python code."""

    def acquire(self, blocking=True, timeout=-1):
        return super().acquire(blocking, timeout)

    def release(self):
        return super().release()


class UserLock:
    """A lock that has nothing from ours but what it waits for."""

    def __init__(self):
        self.permit = Semaphore()

    def acquire(self, blocking=True):
        return self.permit.acquire(blocking)

    def release(self):
        self.permit.release()

    def __enter__(self):
        self.acquire()

    def __exit__(self, *error):
        self.release()


class Boom(Exception):
    pass


KINDS = {
    "Lock": Lock,
    "RLock": RLock,
    "SubLock": SubLock,
    "SubRLock": SubRLock,
    "LockInPython": LockInPython,
    "Semaphore": Semaphore,
    "BoundedSemaphore": BoundedSemaphore,
    "UserLock": UserLock,
    "compat.Lock": compat.Lock,
    "compat.RLock": compat.RLock,
    "compat.Semaphore": compat.Semaphore,
}


class Case:
    """A lock, and one way to give it away for a while and to come back with it."""

    def __init__(self, kind, way):
        if kind == "compat.Condition":
            self.cond = self.lock = compat.Condition()
        else:
            self.lock = KINDS[kind]()
            self.cond = Condition(self.lock)
        self.gate = QueueChannel()
        self.way = way
        self.ready = False
        self.seen = []

    def give_away(self):
        """Release the lock, wait until come_back() is called, and acquire it again."""
        if self.way == "wait":
            assert self.cond.wait()
        elif self.way == "wait with timeout":
            assert self.cond.wait(1000)
        elif self.way == "wait_for":
            assert self.cond.wait_for(lambda: self.ready)
        else:
            with compat.released(self.lock):
                self.gate.receive()

    def come_back(self):
        """End the wait in give_away(). The caller has the lock."""
        self.ready = True
        if self.way == "released":
            self.gate.send(None)
        else:
            self.cond.notify()

    def work(self):
        """Give the lock away while it is held, and note what that has raised."""
        with self.lock:
            try:
                self.give_away()
            except BaseException as error:
                self.note(error)
                raise
            self.note(None)

    def note(self, error):
        held = not in_thread(self.lock.acquire, False)
        self.seen.append((type(error), held))

    def check(self, kind):
        """Check that it was seen with the lock held, and the lock released once."""
        assert self.seen == [(kind, True)]
        assert self.lock.acquire(False)
        if not isinstance(self.lock, RLock | compat.Condition):
            assert not self.lock.acquire(False)  # nobody has released it twice
        self.lock.release()


def throw(task, clock, group):
    task.throw(Boom)


def kill(task, clock, group):
    task.kill()


def end_timeout(task, clock, group):
    clock.advance(10)


def cancel_group(task, clock, group):
    group.cancel()


INTERRUPTIONS = {
    throw: Boom,
    kill: TaskletExit,
    end_timeout: TimeoutExit,
    cancel_group: GroupExit,
}

every_kind = pytest.mark.parametrize("kind", [*KINDS, "compat.Condition"])
every_way = pytest.mark.parametrize(
    "way", ["wait", "wait with timeout", "wait_for", "released"]
)


def interrupted(case, *interruptions, before=()):
    """Interrupt a waiter, first of all before or while it re-acquires the lock."""
    groups = []

    def work():
        # A throw that is still requested is raised where the block ends.
        with suppress(TimeoutError, BaseExceptionGroup, Boom):
            with timeout(10), TaskGroup() as group:
                groups.append(group)
                case.work()

    with fake_clock() as clock:
        task = spawn(work)
        settle()
        with case.lock:
            for interrupt in before:
                interrupt(task, clock, groups[0])
            if not before:
                case.come_back()
            settle()
            for interrupt in interruptions:
                assert case.seen == []
                interrupt(task, clock, groups[0])
                settle()
            assert case.seen == []  # it waits for the lock whatever comes
        settle()


@every_kind
@every_way
@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
def test_the_lock_is_held_after_an_interruption(kind, way, interrupt):
    case = Case(kind, way)
    interrupted(case, interrupt)
    case.check(INTERRUPTIONS[interrupt])


@every_kind
@pytest.mark.parametrize("way", ["wait", "released"])
@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
@pytest.mark.parametrize("again", INTERRUPTIONS)
def test_the_lock_is_held_after_two_interruptions(kind, way, interrupt, again):
    case = Case(kind, way)
    interrupted(case, interrupt, again)
    [(_, held)] = case.seen
    assert held
    case.check(case.seen[0][0])


@every_kind
@every_way
@pytest.mark.parametrize("first", [throw, kill])
@pytest.mark.parametrize("second", [end_timeout, cancel_group])
def test_a_kill_is_not_replaced_by_the_end_of_a_block(kind, way, first, second):
    case = Case(kind, way)
    interrupted(case, first, second)
    case.check(INTERRUPTIONS[first])


@every_kind
@pytest.mark.parametrize("way", ["wait", "wait with timeout", "wait_for"])
@pytest.mark.parametrize("second", [end_timeout, cancel_group])
def test_a_kill_before_the_lock_is_missed_is_not_replaced_either(kind, way, second):
    case = Case(kind, way)
    interrupted(case, second, before=[kill])
    case.check(TaskletExit)


@every_kind
def test_a_wait_that_is_killed_does_not_report_its_timeout(kind):
    case = Case(kind, "wait")
    results = []

    def work():
        with case.lock:
            try:
                results.append(case.cond.wait(1))
            except BaseException as error:
                case.note(error)
                raise

    with fake_clock() as clock:
        task = spawn(work)
        settle()
        with case.lock:
            task.kill()
            clock.advance(5)
            settle()
            assert case.seen == []
        settle()
    assert results == []
    case.check(TaskletExit)


@every_kind
@every_way
def test_an_interruption_that_gave_way_comes_at_the_next_wait(kind, way):
    case = Case(kind, way)
    seen = []

    def work():
        try:
            with timeout(10):
                try:
                    case.work()
                except Boom:
                    seen.append("Boom")
                schedule()
                QueueChannel().receive()
        except TimeoutError:
            seen.append("TimeoutError")

    with fake_clock() as clock:
        task = spawn(work)
        settle()
        with case.lock:
            case.come_back()
            settle()
            task.throw(Boom)
            clock.advance(10)
            settle()
        settle()
    assert seen == ["Boom", "TimeoutError"]
    case.check(Boom)


@every_kind
@every_way
def test_many_kills_do_not_wear_it_out(kind, way):
    case = Case(kind, way)
    interrupted(case, *[kill] * 200)
    case.check(TaskletExit)


@every_kind
@every_way
def test_block_trap_does_not_keep_it_from_the_lock(kind, way):
    case = Case(kind, way)
    task = spawn(case.work)
    settle()
    with case.lock:
        task.block_trap = True
        case.come_back()
        settle()
        assert case.seen == []
    settle()
    case.check(type(None))


@every_kind
@every_way
def test_a_signal_handler_that_raises_leaves_the_lock_held(kind, way):
    case = Case(kind, way)
    has_begun, handled = Gate(), Gate()

    def handler(number, frame):
        handled.set()
        raise KeyboardInterrupt

    def other_thread():
        has_begun.wait()
        with case.lock:
            case.come_back()
            os.kill(os.getpid(), signal.SIGINT)
            handled.wait()

    def work():
        with case.lock:
            try:
                has_begun.set()
                case.give_away()
            except BaseException as error:
                case.note(error)
                raise

    old = signal.signal(signal.SIGINT, handler)
    try:
        with running(other_thread), pytest.raises(KeyboardInterrupt):
            work()
    finally:
        signal.signal(signal.SIGINT, old)
    case.check(KeyboardInterrupt)


@every_kind
@every_way
def test_an_exit_is_stronger_than_a_kill_that_comes_later(kind, way):
    case = Case(kind, way)
    task = spawn(case.work)
    settle()
    with case.lock:
        case.come_back()
        settle()
        task.throw(KeyboardInterrupt)
        task.kill()
        settle()
        assert case.seen == []
    with pytest.raises(KeyboardInterrupt):
        settle()
    case.check(KeyboardInterrupt)


# ---- locks that refuse


class Refusal(Exception):
    pass


class RefusingLock(UserLock):
    """A lock whose acquire() does not work a number of times once it was released."""

    def __init__(self, times, refuse):
        super().__init__()
        self.times = times
        self.refuse = refuse
        self.refusals = 0

    def release(self):
        super().release()
        self.refusals = self.times

    def acquire(self, blocking=True):
        if blocking and self.refusals > 0:
            self.refusals -= 1
            return self.refuse()
        return super().acquire(blocking)


def raise_refusal():
    raise Refusal("not now")


def return_false():
    return False


def give_away(lock, way):
    """Give a lock away by a wait that ends at once."""
    if way == "wait":
        assert Condition(lock).wait(0) is False
    else:
        with compat.released(lock):
            pass


every_short_way = pytest.mark.parametrize("way", ["wait", "released"])


@every_short_way
@pytest.mark.parametrize("times", [1, 5])
def test_what_a_lock_raises_before_it_is_acquired_is_raised_with_the_lock(way, times):
    lock = RefusingLock(times, raise_refusal)
    lock.acquire()
    with pytest.raises(Refusal, match="not now"):
        give_away(lock, way)
    assert not lock.acquire(False)
    lock.release()


@every_short_way
def test_a_lock_that_returns_false_is_asked_again(way):
    lock = RefusingLock(5, return_false)
    lock.acquire()
    give_away(lock, way)
    assert not lock.acquire(False)
    lock.release()


@every_short_way
def test_a_lock_that_always_raises_is_given_up_with_its_error_as_the_cause(way):
    lock = RefusingLock(10**9, raise_refusal)
    super(RefusingLock, lock).acquire()
    with pytest.raises(RuntimeError, match="could not be re-acquired") as info:
        give_away(lock, way)
    assert isinstance(info.value.__cause__, Refusal)
    assert lock.acquire(False)


@every_short_way
def test_a_lock_that_always_returns_false_is_given_up(way):
    lock = RefusingLock(10**9, return_false)
    super(RefusingLock, lock).acquire()
    with pytest.raises(RuntimeError, match="could not be re-acquired"):
        give_away(lock, way)
    assert lock.acquire(False)


@every_short_way
def test_a_lock_that_is_always_interrupted_is_given_up(way):
    def interrupt():
        raise KeyboardInterrupt

    lock = RefusingLock(10**9, interrupt)
    super(RefusingLock, lock).acquire()
    with pytest.raises(RuntimeError, match="could not be re-acquired") as info:
        give_away(lock, way)
    assert isinstance(info.value.__cause__, KeyboardInterrupt)


def test_a_lock_without_acquire_is_given_up():
    class Half:
        def release(self):
            pass

    with pytest.raises(RuntimeError, match="could not be re-acquired") as info:
        with compat.released(Half()):
            pass
    assert isinstance(info.value.__cause__, AttributeError)


def test_a_lock_that_cannot_be_released_is_not_acquired():
    lock = Lock()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        with compat.released(lock):
            raise AssertionError("the block was entered")
    assert not lock.locked()


@pytest.mark.parametrize("base", [Lock, RLock, compat.RLock])
def test_an_interruption_right_after_the_release_does_not_lose_the_lock(base):
    class Interrupted(base):
        def release(self):
            super().release()
            raise Boom

        def _release_save(self):
            super()._release_save()
            raise Boom

    if base is Lock:
        del Interrupted._release_save
    lock = Interrupted()
    lock.acquire()
    with pytest.raises(Boom):
        Condition(lock).wait()
    assert not in_thread(lock.acquire, False)


@pytest.mark.parametrize("base", [Lock, RLock, compat.RLock])
def test_an_interruption_right_after_the_lock_was_acquired_is_no_second_attempt(base):
    class Interrupted(base):
        attempts = 0

        def acquire(self, *args, **kwargs):
            result = super().acquire(*args, **kwargs)
            self.interrupt()
            return result

        def _acquire_restore(self, state):
            super()._acquire_restore(state)
            self.interrupt()

        def interrupt(self):
            self.attempts += 1
            if self.attempts == 2:
                raise Boom

    if base is Lock:
        del Interrupted._acquire_restore
    lock = Interrupted()
    lock.acquire()
    with pytest.raises(Boom):
        Condition(lock).wait(0)
    assert lock.attempts == 2
    assert lock.locked()
    lock.release()
    assert not lock.locked()


def test_an_rlock_is_restored_for_the_condition_of_threading_though_it_is_killed():
    lock = RLock()
    seen = []

    def work():
        try:
            lock._acquire_restore(3)
        except TaskletExit:
            seen.append(lock._recursion_count())
            lock._release_save()

    with lock:
        task = spawn(work)
        settle()
        task.kill()
        assert seen == []
    settle()
    assert seen == [3]
    assert not lock.locked()


@every_kind
def test_the_condition_may_get_another_lock_before_its_waiter_is_back(kind):
    case = Case(kind, "wait")
    if kind == "compat.Condition":
        case.lock = case.cond._lock
    other = Lock()
    task = spawn(case.work)
    settle()
    with case.lock:
        case.come_back()
        case.cond.__init__(other)
        settle()
        task.kill()
        assert case.seen == []
    settle()
    assert not other.locked()
    case.check(TaskletExit)
