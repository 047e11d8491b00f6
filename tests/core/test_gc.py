"""Tasklets in reference cycles: what the cyclic collector does with them."""

import gc
import threading
import weakref

import pytest
from garbage import SEES_STACK, Thing, collect, pause

import tasklets
from tasklets import (
    TaskletExit,
    channel,
    getcurrent,
    locks,
    queues,
    run,
    schedule,
    scheduler,
    spawn,
    tasklet,
)

# Tasklets that nobody can reach any more: by the cyclic collector.


def unreachable(wait, log):
    """Start a tasklet that only its own frames know, and return a weak reference."""

    def work():
        me = getcurrent()
        thing = Thing()
        try:
            wait()
        finally:
            log.append((me is getcurrent(), type(thing)))

    t = tasklet(work)()
    ref = weakref.ref(t)
    del t
    run()
    return ref


def test_a_paused_tasklet_that_knows_only_itself_is_collected(log):
    ref = unreachable(pause, log)
    collect()
    assert log == [(True, Thing)]
    assert ref() is None


def test_a_tasklet_paused_with_its_own_value_is_collected(log):
    ref = unreachable(tasklets.schedule_remove, log)
    collect()
    assert log == [(True, Thing)]
    assert ref() is None


def test_no_python_of_a_tasklet_runs_inside_the_collector(log):
    unreachable(pause, log)
    gc.collect()
    assert log == []
    assert tasklets.getruncount() == 2
    run()
    assert log == [(True, Thing)]


def test_two_tasklets_that_know_each_other_are_collected(log):
    def work(box):
        try:
            pause()
        finally:
            log.append(len(box))

    box = []
    box.extend([tasklet(work)(box), tasklet(work)(box)])
    del box
    run()
    collect()
    assert log == [2, 2]


def test_a_tasklet_that_knows_itself_through_its_arguments_is_collected(log):
    def work(box):
        try:
            pause()
        finally:
            log.append("finally")

    box = []
    box.append(tasklet(work)(box))
    del box
    run()
    collect()
    assert log == ["finally"]


def test_a_tasklet_that_knows_itself_through_a_generator_is_collected(log):
    def generator():
        me = getcurrent()
        try:
            pause()
            yield
        finally:
            log.append(me is getcurrent())

    def work():
        for _ in generator():
            pass

    tasklet(work)()
    run()
    collect()
    if not log:
        # What the generator waits in cannot be seen while it runs.
        (t,) = scheduler.getuncollectables()
        t.kill()
    assert log == [True]


def test_a_tasklet_that_knows_itself_through_a_closure_is_collected(log):
    def work():
        me = getcurrent()

        def inner():
            try:
                pause()
            finally:
                log.append(me is getcurrent())

        inner()

    tasklet(work)()
    run()
    collect()
    assert log == [True]


def test_a_reachable_tasklet_is_not_collected(log):
    def work(thing):
        pause()
        log.append(thing)

    t = tasklet(work)(Thing())
    run()
    for _ in range(3):
        collect()
    assert log == []
    t.insert()
    run()
    assert isinstance(log.pop(), Thing)


def test_a_tasklet_that_another_tasklet_references_is_not_collected(log):
    def inner():
        me = getcurrent()
        pause()
        log.append(me is getcurrent())

    def outer():
        t = tasklet(inner)()
        schedule()
        pause()
        t.insert()

    t = tasklet(outer)()
    run()
    collect()
    assert log == []
    t.insert()
    run()
    assert log == [True]


def test_a_caller_of_run_is_not_collected(log):
    def inner():
        me = getcurrent()
        run()
        log.append(me is getcurrent())

    tasklet(inner)()
    tasklet(lambda: (gc.collect(), schedule(), gc.collect()))()
    run()
    assert log == [True]


def test_a_tasklet_blocked_on_a_living_channel_is_not_collected(log):
    ch = channel()
    tasklet(lambda: log.append(ch.receive()))()
    run()
    collect()
    ch.send("value")
    assert log == ["value"]


def test_a_tasklet_that_waits_for_a_living_one_is_not_collected(log):
    t = spawn(pause)
    spawn(lambda: (t.join(), log.append("joined")))
    run()
    collect()
    t.insert()
    run()
    assert log == ["joined"]


def test_objects_that_main_uses_too_are_not_collected(log):
    thing = Thing()
    thing.me = thing
    ref = weakref.ref(thing)

    def work(thing):
        me = getcurrent()  # noqa: F841 - makes it unreachable, not dead
        pause()

    tasklet(work)(thing)
    run()
    collect()
    assert ref() is thing is thing.me


def collected_or_listed(log):
    """Check that the tasklet was found, or is listed where it cannot be."""
    collect()
    left = scheduler.getuncollectables()
    if SEES_STACK:
        assert left == []
    else:
        assert len(left) == 1
        assert left[0].blocked
    while left:
        left.pop().kill()
    assert len(log) == 1


def test_a_tasklet_blocked_on_a_channel_that_only_it_knows(log):
    def work():
        ch = channel()
        try:
            ch.receive()
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_a_tasklet_blocked_on_a_channel_without_a_name(log):
    def work():
        try:
            channel().receive()
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_a_tasklet_blocked_in_a_send_to_a_channel_that_only_it_knows(log):
    def work():
        ch = channel()
        try:
            ch.send(ch)
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_a_tasklet_blocked_in_an_iteration_over_a_channel_that_only_it_knows(log):
    def work():
        ch = channel()
        try:
            for _ in ch:
                pass
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_a_tasklet_blocked_deep_in_calls(log):
    def wait(ch, levels):
        return wait(ch, levels - 1) if levels else ch.receive()

    def work():
        try:
            wait(channel(), 20)
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    collected_or_listed(log)


def test_two_tasklets_that_wait_for_each_other_to_send(log):
    def work(mine, other):
        try:
            other.send(mine.receive())
        finally:
            log.append("finally")

    a, b = channel(), channel()
    tasklet(work)(a, b)
    tasklet(work)(b, a)
    del a, b
    run()
    collect()
    left = scheduler.getuncollectables()
    assert len(left) == (0 if SEES_STACK else 2)
    while left:
        left.pop().kill()
    assert log == ["finally", "finally"]


def test_a_collected_tasklet_may_refuse_and_be_collected_again(log):
    def work():
        me = getcurrent()  # noqa: F841 - the cycle
        for _ in range(3):
            try:
                pause()
            except TaskletExit:
                log.append("refused")
        log.append("end")

    tasklet(work)()
    run()
    for _ in range(3):
        collect()
    assert log == ["refused", "refused", "refused", "end"]


def test_a_collected_tasklet_may_save_itself(log):
    def work():
        me = getcurrent()
        try:
            pause()
        except TaskletExit:
            log.append(me)
            pause()
        log.append("goes on")

    tasklet(work)()
    run()
    collect()
    t = log.pop()
    collect()
    assert t.paused
    t.insert()
    run()
    assert log == ["goes on"]


def test_an_unreachable_tasklet_of_another_thread_is_killed_there(log):
    ready, collected = threading.Event(), threading.Event()

    def work():
        me = getcurrent()
        try:
            pause()
        finally:
            log.append((me is getcurrent(), threading.get_ident() == home[0]))

    def thread():
        home.append(threading.get_ident())
        tasklet(work)()
        run()
        ready.set()
        collected.wait(10)
        run()

    home = []
    worker = threading.Thread(target=thread)
    worker.start()
    ready.wait(10)
    gc.collect()
    assert log == []
    collected.set()
    worker.join()
    assert log == [(True, True)]


def test_a_cycle_of_a_finished_tasklet_is_collected():
    def work(t):
        pass

    t = tasklet(work)
    t.bind(work, (t,))
    t.run()
    t.tempval = [t]
    ref = weakref.ref(t)
    del t
    gc.collect()
    assert ref() is None


def test_a_kept_error_in_a_cycle_with_its_tasklet_is_collected():
    def work():
        me = t  # noqa: F821, F841 - the traceback knows the tasklet, which keeps the error
        raise KeyError

    t = spawn(work)
    t.join()
    run()
    ref = weakref.ref(t)
    del t
    gc.collect()
    assert ref() is None


def test_a_done_callback_in_a_cycle_is_collected():
    t = spawn(pause)
    t.add_done_callback(lambda arg: t)  # noqa: F821 - deleted below
    run()
    ref = weakref.ref(t)
    t.kill()
    del t
    gc.collect()
    assert ref() is None


def test_a_waiter_in_a_channel_keeps_its_tasklet_not_the_other_way_round():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    ref = weakref.ref(t)
    del t
    assert ref() is ch.queue
    ch.queue.kill()
    assert ref() is None


# getuncollectables.


def test_the_started_tasklets_are_listed():
    waiting = channel()
    never = tasklet(int)()
    never.remove()
    a, b = tasklet(waiting.receive)(), tasklet(pause)()
    run()
    listed = scheduler.getuncollectables()
    assert [x is y for x, y in zip(listed, (a, b), strict=True)] == [True, True]
    del listed
    a.kill()
    b.kill()


def test_main_and_ended_tasklets_are_not_listed():
    tasklet(int)()
    run()
    assert scheduler.getuncollectables() == []


def test_the_tasklets_of_other_threads_are_listed():
    ready, done = threading.Event(), threading.Event()

    def thread():
        t = tasklet(pause)()
        run()
        ready.set()
        done.wait(10)
        t.kill()

    worker = threading.Thread(target=thread)
    worker.start()
    ready.wait(10)
    listed = scheduler.getuncollectables()
    assert [t.thread_id for t in listed] == [worker.ident]
    del listed
    done.set()
    worker.join()


# Blocked on locks and queues that nobody else knows.


def acquired(lock):
    """Return a way to wait for a lock whose owner is gone."""
    spawn(lock.acquire)
    run()
    return lock.acquire


def waiting(condition):
    def wait():
        with condition:
            condition.wait()

    return wait


def full(queue):
    queue.put(queue)
    return lambda: queue.put(None)


def undone(queue):
    queue.put(queue)
    return queue.join


def with_mutex(queue):
    acquired(queue.mutex)
    return queue.qsize


def among_others(event):
    return lambda: tasklets.wait([event])


def in_a_select(event):
    return lambda: tasklets.select(event)


ALONE = {
    "Lock": lambda: acquired(locks.Lock()),
    "RLock": lambda: acquired(locks.RLock()),
    "Semaphore": lambda: locks.Semaphore(0).acquire,
    "BoundedSemaphore": lambda: locks.BoundedSemaphore(0).acquire,
    "Event": lambda: locks.Event().wait,
    "NLCondition": lambda: locks.NLCondition().wait,
    "Condition": lambda: waiting(locks.Condition()),
    "Condition of a Lock": lambda: waiting(locks.Condition(locks.Lock())),
    "Barrier": lambda: locks.Barrier(2).wait,
    "Queue": lambda: queues.Queue().get,
    "LifoQueue": lambda: queues.LifoQueue().get,
    "PriorityQueue": lambda: queues.PriorityQueue().get,
    "SimpleQueue": lambda: queues.SimpleQueue().get,
    "Queue that is full": lambda: full(queues.Queue(1)),
    "Queue that is not done": lambda: undone(queues.Queue()),
    "Queue with a mutex": lambda: with_mutex(queues.Queue()),
    "Event among others": lambda: among_others(locks.Event()),
    "Event in a select": lambda: in_a_select(locks.Event()),
}


@pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)
def test_a_tasklet_blocked_on_an_object_that_only_it_knows(make, log):
    def work(wait):
        try:
            wait()
        finally:
            log.append("finally")

    tasklet(work)(make())
    run()
    (waiter,) = scheduler.getuncollectables()
    assert waiter.blocked
    del waiter
    collected_or_listed(log)


def test_tasklets_at_a_barrier_whose_action_never_ends(log):
    def work(wait, peers):
        try:
            wait()
        except BaseException as error:
            log.append(type(error).__name__)

    barrier, peers = locks.Barrier(2, tasklets.schedule_remove), []
    for _ in range(3):  # one to leave, one in the action, one at the gate
        peers.append(tasklet(work)(barrier.wait, peers))
        run()
    del barrier, peers
    collect()
    left = scheduler.getuncollectables()
    assert len(left) == (0 if SEES_STACK else 3)
    while left:
        left.pop().kill()
    assert len(log) == 3
    assert set(log) <= {"TaskletExit", "BrokenBarrierError"}


@pytest.mark.parametrize("cls", [locks.Lock, locks.RLock, locks.Semaphore])
def test_a_waiter_for_a_lock_that_is_still_referenced_is_not_collected(cls, log):
    lock = cls()
    lock.acquire()
    tasklet(lambda: log.append(lock.acquire()))()
    run()
    collect()
    assert log == []
    lock.release()
    run()
    assert log == [True]
