"""No operation leaks references or memory, however often it is done."""

import contextvars
import gc
import resource
import sys
import threading

import greenlet
import pytest
from threads import in_thread

import tasklets
from tasklets import (
    QueueChannel,
    TaskletExit,
    channel,
    getcurrent,
    run,
    schedule,
    scheduler,
    spawn,
    tasklet,
)


def fail():
    raise KeyError


def pause():
    tasklets.schedule_remove(None)


def started(work, *args):
    t = tasklet(work)(*args)
    schedule()
    return t


def attempt(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except (Exception, TaskletExit):
        return None


class Operations:
    """Each method does one thing and leaves nothing behind."""

    def birth_and_death(self):
        tasklet(int)()
        run()

    def never_started(self):
        tasklet(int, ("5",), {"base": 10})

    def bind_and_unbind(self):
        tasklet().bind(int).bind(None, ("5",), {"base": 10}).bind(None)

    def setup_again(self):
        t = tasklet(int)()
        run()
        t.bind(int)("5")
        run()

    def bad_bind(self):
        for args in ((1,), (int, 1), (int, (), 1), (None, ())):
            attempt(tasklet().bind, *args)

    def insert_and_remove(self):
        tasklet(int)().remove().insert().remove().bind(None)

    def tasklet_run(self):
        tasklet(int, ()).run()

    def tasklet_switch(self):
        tasklet(int, ()).switch()

    def schedule(self):
        t = tasklet(schedule)(object())
        schedule(object())
        schedule()
        assert not t.alive

    def schedule_remove(self):
        t = tasklet(tasklets.schedule_remove)()
        run()
        t.tempval = object()
        t.insert()
        run()

    def nested_runs(self):
        tasklet(lambda: (tasklet(run)(), run()))()
        run()

    def budget(self):
        tasklet(schedule)()
        scheduler.run(switches=1)
        run()

    def error(self):
        tasklet(fail)()
        attempt(run)

    def error_in_a_nested_run(self):
        tasklet(lambda: (tasklet(fail)(), attempt(run)))()
        run()

    def error_handler(self):
        tasklets.set_error_handler(lambda *error: None)
        tasklet(fail)()
        run()
        tasklets.set_error_handler(None)

    def failing_error_handler(self):
        tasklets.set_error_handler(lambda *error: fail())
        tasklet(fail)()
        attempt(run)
        tasklets.set_error_handler(None)

    def kill(self):
        started(pause).kill()

    def kill_of_a_new_one(self):
        tasklet(int, ()).kill()

    def kill_pending(self):
        started(pause).kill(pending=True)
        run()

    def kill_of_itself(self):
        tasklet(lambda: getcurrent().kill())()
        run()

    def kill_of_a_blocked_one(self):
        started(channel().receive).kill()

    def kill_of_a_sender(self):
        started(channel().send, object()).kill()

    def kill_of_a_caller_of_run(self):
        t = started(lambda: (tasklet(schedule)(), run()))
        t.kill()
        run()

    def throw(self):
        attempt(started(pause).throw, KeyError("x"))

    def throw_a_class(self):
        attempt(started(pause).throw, KeyError, ("x", object()))

    def throw_pending(self):
        started(pause).throw(KeyError, "x", pending=True)
        attempt(run)

    def raise_exception(self):
        attempt(started(pause).raise_exception, KeyError, object())

    def throw_on_itself(self):
        attempt(getcurrent().throw, KeyError)

    def bad_throw(self):
        for args in ((1,), (KeyError(), 1), (KeyError, 1, 1), ()):
            attempt(tasklet(int, ()).throw, *args)

    def send_and_receive(self):
        ch = channel()
        tasklet(ch.send)(object())
        ch.receive()
        run()

    def receive_and_send(self):
        ch = channel()
        started(ch.receive)
        ch.send(object())

    def prefer_sender(self):
        ch = channel()
        ch.preference = 1
        started(ch.receive)
        ch.send(object())
        run()

    def schedule_all(self):
        ch = channel()
        ch.schedule_all = 1
        started(ch.receive)
        tasklet(int)()
        ch.send(object())
        run()

    def send_exception(self):
        ch = channel()
        tasklet(ch.send_exception)(KeyError, object())
        attempt(ch.receive)
        run()

    def send_throw(self):
        ch = channel()
        tasklet(ch.send_throw)(KeyError("x"))
        attempt(ch.receive)
        run()

    def send_sequence(self):
        ch = channel()
        started(list, ch)
        ch.send_sequence([object(), object()])
        ch.send_exception(StopIteration)
        run()

    def iteration_woken(self):
        ch = channel()
        started(list, ch)
        ch.close(wake=True)
        run()

    def receive_woken(self):
        ch = channel()
        started(attempt, ch.receive)
        ch.close(wake=True)
        run()

    def try_operations(self):
        ch = channel()
        ch.try_send(object())
        ch.try_receive(object())
        ch.close()
        attempt(ch.try_receive)

    def closed(self):
        ch = channel()
        ch.close()
        attempt(ch.send, object())
        attempt(ch.receive)

    def deadlock(self):
        attempt(channel().receive)
        attempt(channel().send, object())

    def deadlock_that_lists(self):
        t = started(channel().receive)
        attempt(channel().receive)
        t.kill()

    def stranded_main(self):
        tasklet(int)()
        attempt(channel().receive)

    def block_trap(self):
        with tasklets.block_trap():
            attempt(channel().send, object())

    def switch_trap(self):
        t = tasklet(int)()
        with tasklets.no_switch():
            attempt(schedule)
            attempt(t.run)
            attempt(t.kill)
            attempt(channel().send, object())
        run()

    def queue_channel(self):
        q = QueueChannel(2)
        for _ in range(3):
            tasklet(q.send)(object())
        run()
        for _ in range(2):
            q.receive()
        run()

    def dropped_queue_channel(self):
        q = QueueChannel()
        q.send_sequence([object()] * 20)

    def channel_callback(self):
        tasklets.set_channel_callback(lambda *args: None)
        ch = channel()
        tasklet(ch.send)(object())
        ch.receive()
        run()
        tasklets.set_channel_callback(None)

    def failing_channel_callback(self):
        tasklets.set_channel_callback(lambda *args: fail())
        attempt(channel().send, object())
        tasklets.set_channel_callback(None)

    def schedule_callback(self):
        tasklets.set_schedule_callback(lambda old, new: None)
        tasklet(schedule)()
        run()
        tasklets.set_schedule_callback(None)

    def spawn(self):
        spawn(int, "5", base=10, name="name")
        run()

    def result(self):
        spawn(object).result()

    def result_of_a_failure(self):
        attempt(spawn(fail).result)

    def result_of_a_killed_one(self):
        t = spawn(int)
        t.kill()
        attempt(t.result)

    def join(self):
        t = spawn(schedule)
        spawn(t.join)
        run()

    def killed_join(self):
        t = started(pause)
        started(t.join).kill()
        t.kill()

    def done_callback(self):
        t = spawn(int)
        t.add_done_callback(lambda t: None)
        t.add_done_callback(str)
        t.remove_done_callback(str)
        run()
        t.add_done_callback(str)

    def name(self):
        t = tasklet(int)
        t.name = "a" * 50
        t.name = "b" * 50
        repr(t)

    def spawned_at(self):
        t = spawn(int)
        assert t.spawned_at
        run()

    def attributes(self):
        t = started(pause)
        for name in dir(t):
            if not name.startswith("__"):
                getattr(t, name)
        assert t.frame.f_lineno
        t.kill()

    def neighbours(self):
        a, b = tasklet(int)(), tasklet(int)()
        assert a.next is b
        assert b.prev is a
        run()

    def tempval(self):
        t = started(pause)
        t.tempval = object()
        t.tempval = object()
        t.kill()

    def tempval_bomb(self):
        t = started(schedule)
        t.tempval = tasklets.bomb(KeyError, KeyError())
        attempt(run)

    def bomb(self):
        b = tasklets.bomb((KeyError, KeyError(), None))
        b.__reduce__()
        repr(b)

    def contexts(self):
        t = tasklet(pause).set_context(contextvars.copy_context())
        t()
        run()
        t.set_context(contextvars.Context())
        t.context_run(variable.set, object())
        assert t.context_id
        t.kill()

    def spawned_contexts(self):
        spawn(variable.set, object())
        run()

    def atomic(self):
        with tasklets.atomic():
            pass

    def dropped_by_reference_count(self):
        started(pause)

    def collected(self):
        t = started(pause)
        t.tempval = t
        del t
        gc.collect(0)
        run()

    def recursion(self):
        def down(levels):
            return down(levels - 1) if levels else schedule()

        tasklet(down)(150)
        run()

    def many_at_once(self):
        ch = channel()
        for _ in range(20):
            tasklet(ch.receive)()
        run()
        ch.send_sequence(range(20))

    def greenlets(self):
        def inner():
            schedule()
            greenlet.getcurrent().parent.switch()
            return object()

        def work():
            g = greenlet.greenlet(inner)
            g.switch()
            g.switch()

        tasklet(work)()
        run()

    def kept_greenlet(self):
        box = []
        tasklet(lambda: box.append(greenlet.getcurrent()))()
        run()

    def wrong_greenlet(self):
        box = []
        t = started(lambda: (box.append(greenlet.getcurrent()), pause()))
        attempt(box[0].switch)
        attempt(box[0].throw, KeyError())
        t.kill()

    def information(self):
        tasklets.get_thread_info(-1, 1 << 31)
        tasklets.getthreads()
        scheduler.statistics()
        scheduler.getuncollectables()
        tasklets.getcurrentid()

    def bind_thread(self):
        tasklet(int).bind_thread()
        attempt(tasklet(int).bind_thread, 1)


variable = contextvars.ContextVar("variable")

NAMES = [name for name in vars(Operations) if not name.startswith("_")]


def check(growth, work, calls, warm_up):
    """Fail if work leaks each time that it is looked at.

    The interpreter keeps up to 255 dead objects of some types for use again, and may
    begin to do so at any time.
    """
    for _ in range(3):
        blocks = growth(work, calls, warm_up)
        if blocks < 0.1:
            return
    pytest.fail(f"{work.__name__} leaks {blocks:.2f} blocks a call")


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_does_not_leak(growth, name):
    check(growth, getattr(Operations(), name), calls=200, warm_up=300)


class ThreadOperations:
    """Each method starts one thread, which ends."""

    def a_thread_with_tasklets(self):
        in_thread(lambda: (tasklet(schedule)(), run()))

    def a_thread_that_leaves_a_paused_tasklet(self):
        in_thread(lambda: started(pause))

    def a_thread_that_leaves_a_blocked_tasklet(self):
        in_thread(lambda: started(channel().receive))

    def a_thread_that_leaves_a_new_tasklet(self):
        in_thread(lambda: tasklet(int)())

    def a_tasklet_that_outlives_its_thread(self):
        box = []
        in_thread(lambda: box.append(started(pause)))

    def a_new_tasklet_that_outlives_its_thread(self):
        box = []
        in_thread(lambda: box.append(tasklet(int)()))
        box[0].bind_thread()
        box[0].insert()
        run()

    def a_channel_between_threads(self):
        ch = channel()
        thread = threading.Thread(target=lambda: ch.send(ch.receive()))
        thread.start()
        ch.send(object())
        ch.receive()
        thread.join()

    def a_kill_from_another_thread(self):
        t = started(pause)
        in_thread(t.kill)
        run()

    def a_result_from_another_thread(self):
        t = spawn(object)
        thread = threading.Thread(target=t.result)
        thread.start()
        run()
        thread.join()


@pytest.mark.parametrize(
    "name", [name for name in vars(ThreadOperations) if not name.startswith("_")]
)
def test_a_thread_does_not_leak(growth, name):
    check(growth, getattr(ThreadOperations(), name), calls=60, warm_up=20)


# Memory that is not Python's.


def test_a_trace_function_of_greenlet_does_not_leak_the_memory_of_stacks():
    def births():
        for _ in range(1500):  # more than are kept
            tasklet(schedule)()
        run()
        gc.collect()
        return scheduler.statistics()["slabs"]

    greenlet.settrace(lambda event, pair: None)
    try:
        births()
        before = births()
        for _ in range(3):
            births()
        assert births() <= before
    finally:
        greenlet.settrace(None)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.slow
def test_births_and_deaths_do_not_need_more_and_more_memory():
    def rounds(n):
        for _ in range(n):
            ch = channel()
            for _ in range(500):
                tasklet(ch.receive)()
            run()
            ch.send_sequence(range(500))

    rounds(20)
    before = peak()
    rounds(60)
    assert peak() - before < 4000  # kilobytes, for 30000 tasklets


@pytest.mark.slow
def test_ten_million_switches_change_nothing():
    def work():
        for _ in range(count):
            schedule()

    count = 5_000_000
    before = scheduler.statistics()
    gc.collect()
    blocks, memory = sys.getallocatedblocks(), peak()
    tasklet(work)()
    tasklet(work)()
    run()
    gc.collect()
    after = scheduler.statistics()
    assert after["switches"] - before["switches"] >= 2 * count
    assert sys.getallocatedblocks() - blocks < 500
    assert peak() - memory < 4000
    for name in ("tasklets", "channels", "threads", "started", "slabs"):
        assert after[name] == before[name]


@pytest.mark.slow
def test_a_million_messages_change_nothing():
    def consume():
        for _ in ch:
            pass

    ch = channel()
    tasklet(consume)()
    run()
    gc.collect()
    blocks = sys.getallocatedblocks()
    for i in range(1_000_000):
        ch.send(i)
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 500
    ch.close(wake=True)
    run()
