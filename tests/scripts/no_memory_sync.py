"""Scenarios of no_memory.py: time, groups, locks and queues."""

import queue
from contextlib import suppress
from functools import partial

from no_memory_base import scenario

import tasklets
from tasklets import (
    DeadlockError,
    GroupExit,
    TaskGroup,
    TaskletExit,
    _core,
    channel,
    deadline,
    run,
    schedule,
    scheduler,
    sleep,
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
from tasklets.queues import LifoQueue, PriorityQueue, Queue, SimpleQueue
from tasklets.testing import fake_clock

# ---- time


@scenario()
def sleeps():
    log = []

    def work(seconds):
        sleep(seconds)
        log.append(seconds)

    with fake_clock() as clock:
        made = [spawn(work, seconds / 4) for seconds in range(6, 0, -1)]
        sleep(2)
        log.append("half")
        clock.advance(10)
        for t in made:
            t.result()
    return log


@scenario()
def timeouts():
    log = []
    with fake_clock():
        with timeout(5):
            sleep(1)
        try:
            with timeout(1):
                sleep(5)
        except TimeoutError:
            log.append("outer")
        try:
            with timeout(3), timeout(2, ValueError):
                try:
                    channel().receive()
                finally:
                    log.append("finally")
        except ValueError:
            log.append("value")
        with suppress(TimeoutError), timeout(2) as block:
            sleep(3)
        log.append(block.expired)
        with deadline(None) as block:
            block.reschedule(1)
            log.append(block.when is not None)
        with suppress(TimeoutError), deadline(_core.now() + 1):
            sleep(2)
    return log


@scenario()
def timeouts_in_tasklets():
    log = []

    def work(i):
        with suppress(TimeoutError), timeout(i):
            channel().receive()
        log.append(i)

    with fake_clock():
        made = [spawn(work, i) for i in range(1, 6)]
        for t in made:
            t.result()
    return log


@scenario()
def calls_later():
    log = []
    with fake_clock() as clock:
        scheduler.call_soon(log.append, 1)
        late = scheduler.call_later(1, log.append, 2)
        never = scheduler.call_later(2, log.append, 3)
        scheduler.call_soon_threadsafe(log.append, 4)
        run()
        clock.advance(1)
        never.cancel()
        clock.advance(5)
    return log, late.cancelled(), never.cancelled()


@scenario()
def many_timers():
    with fake_clock():
        made = [scheduler.call_later(i, int) for i in range(70)]
        for one in made:
            one.cancel()
        return scheduler.next_deadline()


# ---- groups


@scenario(BaseExceptionGroup)
def groups():
    with TaskGroup() as group:
        made = [group.spawn(pow, 2, i) for i in range(4)]
        spawn(group.spawn, int)
    return [t.result() for t in made]


@scenario(BaseExceptionGroup)
def groups_that_wait():
    log = []

    def work(i):
        for _ in range(i):
            schedule()
        log.append(i)

    with TaskGroup() as group:
        for i in range(4):
            group.spawn(work, i)
    return log


@scenario(BaseExceptionGroup, DeadlockError)
def groups_with_errors():
    log = []

    def fail():
        schedule()
        raise KeyError(1)

    def wait():
        try:
            channel().receive()
        except TaskletExit:
            log.append("killed")
            raise

    try:
        with TaskGroup() as group:
            group.spawn(fail)
            group.spawn(wait)
            group.spawn(wait)
            channel().receive()
    except* KeyError as errors:
        log.append(len(errors.exceptions))
    return log


@scenario(BaseExceptionGroup, DeadlockError, GroupExit)
def groups_cancelled():
    log = []

    def wait():
        try:
            sleep(100)
        finally:
            log.append("end")

    with TaskGroup() as group:
        for _ in range(3):
            group.spawn(wait)
        schedule()
        group.cancel()
        schedule()
        log.append("not reached")
    with fake_clock(), suppress(TimeoutError), timeout(1), TaskGroup() as group:
        group.spawn(wait)
    return log


@scenario(BaseExceptionGroup, DeadlockError)
def groups_with_a_limit():
    log = []

    def work(i):
        schedule()
        log.append(i)

    with TaskGroup(2) as group:
        for i in range(6):
            group.spawn(work, i)
    return sorted(log)


@scenario(DeadlockError)
def waits_for_several():
    event = Event()
    made = [spawn(lambda i=i: [schedule() for _ in range(i)]) for i in range(3)]
    spawn(event.set)
    finished = tasklets.wait([*made, event])
    some = tasklets.wait([spawn(int), spawn(sleep, 0)], count=1)
    with fake_clock():
        none = tasklets.wait([Event()], timeout=1)
    for t in made:
        t.result()
    return len(finished), len(some) >= 1, none


@scenario(DeadlockError)
def as_they_complete():
    made = [spawn(lambda i=i: [schedule() for _ in range(i)]) for i in (3, 1, 2)]
    order = [made.index(t) for t in tasklets.as_completed(made)]
    for t in made:
        t.result()
    return order


# ---- locks and queues


def contend(lock, log, count=3):
    """Let tasklets take a lock in turn; return when all have had it."""

    def work(i):
        with lock:
            schedule()
            log.append(i)

    made = [spawn(work, i) for i in range(count)]
    schedule()
    for t in made:
        t.result()
    with lock:
        log.append("free")


@scenario(DeadlockError)
def locks():
    log = []
    for kind in (Lock, RLock, Semaphore, partial(BoundedSemaphore, 2), Condition):
        contend(kind(), log)
    return log


@scenario()
def locks_out_of_time():
    log = []
    with fake_clock():
        for kind in (Lock, RLock, Semaphore):
            lock = kind()
            lock.acquire()
            t = spawn(lock.acquire, timeout=1)
            log.append(t.result())
            lock.release()
            log.append(lock.acquire(timeout=1))
            lock.release()
        condition = Condition()
        with condition:
            log.append(condition.wait(timeout=1))
        log.append(Event().wait(1))
    return log


@scenario(DeadlockError)
def conditions():
    condition = Condition()
    log = []

    def wait(i):
        with condition:
            condition.wait_for(lambda: ready)
            log.append(i)

    ready = []
    made = [spawn(wait, i) for i in range(3)]
    schedule()
    with condition:
        condition.notify()
    schedule()
    with condition:
        ready.append(True)
        condition.notify_all()
    for t in made:
        t.result()
    other = NLCondition()
    t = spawn(other.wait)
    schedule()
    other.notify_all()
    t.result()
    return log


@scenario(DeadlockError, BrokenBarrierError)
def events_and_barriers():
    event = Event()
    made = [spawn(event.wait) for _ in range(3)]
    schedule()
    event.add_done_callback(lambda e: log.append("set"))
    log = []
    event.set()
    log += [t.result() for t in made]
    barrier = Barrier(3, action=lambda: log.append("action"))
    made = [spawn(barrier.wait) for _ in range(2)]
    log.append(barrier.wait())
    log += [t.result() for t in made]
    t = spawn(barrier.wait)
    schedule()
    barrier.abort()
    try:
        t.result()
    except BrokenBarrierError:
        log.append("broken")
    return log


@scenario(DeadlockError)
def queues():
    log = []
    for kind in (Queue, LifoQueue, PriorityQueue):
        q = kind(2)

        def produce(q=q):
            for i in range(4):
                q.put(i)

        t = spawn(produce)
        log += [q.get() for _ in range(4)]
        for _ in range(4):
            q.task_done()
        q.join()
        t.result()
    return log


@scenario(DeadlockError)
def simple_queues():
    q = SimpleQueue()
    made = [spawn(q.get) for _ in range(3)]
    schedule()
    for i in range(40):
        q.put(i)
    first = [t.result() for t in made]
    return first, [q.get() for _ in range(37)]


@scenario(queue.Empty, queue.Full)
def queues_out_of_time():
    log = []
    with fake_clock():
        for q in (Queue(1), SimpleQueue()):
            try:
                q.get(timeout=1)
            except queue.Empty:
                log.append("empty")
        q = Queue(1)
        q.put(1)
        try:
            q.put(2, timeout=1)
        except queue.Full:
            log.append("full")
    return log, q.get_nowait()
