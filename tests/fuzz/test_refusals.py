"""Every argument of a wrong type or value is refused at the call, and nothing is done.

What is taken for its truth (wake=, pending=, soft= and the like), what stands for
itself (values that are sent, callbacks to be removed, what a bomb carries) and what
queue.Queue does not look at either (the timeout of a queue without a limit) is not in
the table.
"""

import copy
import functools
import gc
import os
import pickle
import threading
import warnings

import pytest
from children import run_program

import tasklets
from tasklets import (
    QueueChannel,
    TaskGroup,
    bomb,
    channel,
    deadline,
    getcurrent,
    local,
    locks,
    queues,
    recv,
    run,
    scheduler,
    select,
    send,
    shield,
    sleep,
    spawn,
    tasklet,
    testing,
    timeout,
    workers,
)
from tasklets.workers import WorkerPool, call_in_scheduler, call_on_worker

NAN = float("nan")
REFUSALS = TypeError, ValueError, RuntimeError, OverflowError

# Values by what they are no instance of.
NO_NUMBER = ["x", b"x", [], object(), 1j]
NO_TIME = [*NO_NUMBER, NAN]
NO_INT = [*NO_NUMBER, 2.5]
NO_STR = [5, b"x", [], object()]
NO_FUNCTION = [5, "x", [], object()]


def full(cls=QueueChannel):
    one = cls(1)
    one.send(0)
    return one


def started():
    t = tasklet(int)
    t.setup()
    return t


def condition():
    one = locks.Condition()
    one.acquire()
    return one


# name: what is called with the value, the values that are refused
TABLE = {
    # Starting work.
    "spawn()": (spawn, [*NO_FUNCTION, None]),
    "spawn(name=)": (lambda x: spawn(int, name=x), NO_STR),
    "TaskGroup(limit)": (TaskGroup, [*NO_INT, 0, -1]),
    "TaskGroup(limit=)": (lambda x: TaskGroup(limit=x), [*NO_INT, 0, -1]),
    "call_soon()": (scheduler.call_soon, [*NO_FUNCTION, None]),
    "call_later(delay)": (lambda x: scheduler.call_later(x, int), [*NO_TIME, None]),
    "call_later(func)": (lambda x: scheduler.call_later(0, x), [*NO_FUNCTION, None]),
    "call_soon_threadsafe()": (scheduler.call_soon_threadsafe, [*NO_FUNCTION, None]),
    "call_soon_threadsafe(thread=)": (
        lambda x: scheduler.call_soon_threadsafe(int, thread=x),
        [*NO_INT, -1, 0],
    ),
    # Waiting for several.
    "wait(objects)": (tasklets.wait, [5, "x", object(), [5], [None], [print]]),
    "wait(timeout)": (lambda x: tasklets.wait([], x), NO_TIME),
    "wait(count)": (lambda x: tasklets.wait([], 0, x), [*NO_INT, -1, 1]),
    "as_completed(objects)": (tasklets.as_completed, [5, "x", object(), [5], [None]]),
    "as_completed(timeout)": (lambda x: tasklets.as_completed([], x), NO_TIME),
    "select()": (select, [5, "x", None, object(), [], int]),
    "select(timeout=)": (lambda x: select(recv(full()), timeout=x), NO_TIME),
    "recv()": (recv, [5, "x", None, object(), channel]),
    "send()": (lambda x: send(x, 1), [5, "x", None, object(), channel]),
    "readable()": (tasklets.readable, [*NO_INT, None, -1]),
    "writable()": (tasklets.writable, [*NO_INT, None, -1]),
    "wait_readable()": (scheduler.wait_readable, [*NO_INT, None, -1]),
    "wait_readable(timeout)": (lambda x: scheduler.wait_readable(0, x), NO_TIME),
    "wait_writable()": (scheduler.wait_writable, [*NO_INT, None, -1]),
    "wait_writable(timeout)": (lambda x: scheduler.wait_writable(1, x), NO_TIME),
    # Time.
    "sleep()": (sleep, [*NO_TIME, None, -1]),
    "timeout()": (timeout, NO_TIME),
    "timeout(exc)": (lambda x: timeout(1, x), [5, "x", object(), int]),
    "timeout.reschedule()": (lambda x: timeout(1).reschedule(x), NO_TIME),
    "deadline()": (deadline, NO_TIME),
    "deadline(exc)": (lambda x: deadline(1, x), [5, "x", object(), int]),
    "shield()": (shield, NO_TIME),
    "shift_clock()": (scheduler.shift_clock, [*NO_TIME, None]),
    # tasklet.
    "tasklet()": (tasklet, NO_FUNCTION),
    "tasklet(args)": (lambda x: tasklet(int, x), [5, "x", [], {}]),
    "tasklet(kwargs)": (lambda x: tasklet(int, (), x), [5, "x", [], ()]),
    "bind()": (lambda x: tasklet().bind(x), NO_FUNCTION),
    "bind(args)": (lambda x: tasklet().bind(int, x), [5, "x", [], {}]),
    "bind_thread()": (lambda x: tasklet(int).bind_thread(x), [*NO_INT, None, -2]),
    "set_context()": (lambda x: tasklet(int).set_context(x), [5, "x", None, {}]),
    "context_run()": (lambda x: tasklet(int).context_run(x), [*NO_FUNCTION, None]),
    "throw()": (lambda x: started().throw(x, pending=True), [5, "x", None, int]),
    "throw(tb)": (
        lambda x: started().throw(KeyError, None, x, pending=True),
        [5, "x", object()],
    ),
    "raise_exception()": (lambda x: started().raise_exception(x), [5, "x", int]),
    "join()": (lambda x: spawn(int).join(x), NO_TIME),
    "result()": (lambda x: spawn(int).result(x), NO_TIME),
    "exception()": (lambda x: spawn(int).exception(x), NO_TIME),
    "add_done_callback()": (
        lambda x: spawn(int).add_done_callback(x),
        [*NO_FUNCTION, None],
    ),
    "set_atomic()": (lambda x: tasklet(int).set_atomic(x), [*NO_INT, None]),
    "set_ignore_nesting()": (
        lambda x: tasklet(int).set_ignore_nesting(x),
        [*NO_INT, None],
    ),
    "tasklet.name": (lambda x: setattr(tasklet(int), "name", x), [*NO_STR, None]),
    "tasklet.block_trap": (
        lambda x: setattr(tasklet(int), "block_trap", x),
        [*NO_INT, None],
    ),
    "tasklet.trace_function": (
        lambda x: setattr(tasklet(int), "trace_function", x),
        NO_FUNCTION,
    ),
    "tasklet.profile_function": (
        lambda x: setattr(tasklet(int), "profile_function", x),
        NO_FUNCTION,
    ),
    # Channels.
    "channel()": (channel, [*NO_INT, None, 5]),
    "channel(maxsize=)": (lambda x: channel(maxsize=x), [None, 5]),
    "channel(name=)": (lambda x: channel(name=x), NO_STR),
    "QueueChannel()": (QueueChannel, [*NO_INT, None]),
    "QueueChannel(name=)": (lambda x: QueueChannel(name=x), NO_STR),
    "channel.name": (lambda x: setattr(channel(), "name", x), NO_STR),
    "channel.preference": (
        lambda x: setattr(channel(), "preference", x),
        [*NO_INT, None],
    ),
    "channel.schedule_all": (
        lambda x: setattr(channel(), "schedule_all", x),
        [*NO_INT, None],
    ),
    "channel.send(timeout=)": (lambda x: full().send(1, timeout=x), NO_TIME),
    "channel.receive(timeout=)": (lambda x: full().receive(timeout=x), NO_TIME),
    "channel.send_exception()": (lambda x: full().send_exception(x), [5, "x", int]),
    "channel.send_throw()": (lambda x: full().send_throw(x), [5, "x", None, int]),
    "channel.send_throw(tb)": (
        lambda x: full().send_throw(KeyError, None, x),
        [5, "x", object()],
    ),
    "channel.send_sequence()": (lambda x: full().send_sequence(x), [5, None, object()]),
    # Asking, traps and callbacks.
    "get_thread_info()": (tasklets.get_thread_info, [*NO_INT, None, 0, -2]),
    "get_thread_info(flags)": (
        lambda x: tasklets.get_thread_info(-1, x),
        [*NO_INT, None],
    ),
    "block_trap()": (tasklets.block_trap, [*NO_INT, None]),
    "switch_trap()": (tasklets.switch_trap, [*NO_INT, None, 2**70]),
    "set_channel_callback()": (tasklets.set_channel_callback, NO_FUNCTION),
    "set_schedule_callback()": (tasklets.set_schedule_callback, NO_FUNCTION),
    "set_error_handler()": (tasklets.set_error_handler, NO_FUNCTION),
    "atomic()": (tasklets.atomic, [5, None]),
    "local()": (local, [5, None]),
    "dump()": (scheduler.dump, NO_FUNCTION),
    # The scheduler.
    "run()": (run, [*NO_INT, None]),
    "scheduler.run(ticks)": (scheduler.run, NO_INT),
    "scheduler.run(seconds=)": (lambda x: scheduler.run(seconds=x), NO_TIME),
    "scheduler.run(switches=)": (lambda x: scheduler.run(switches=x), NO_INT),
    "scheduler.run(slice_ticks=)": (lambda x: scheduler.run(slice_ticks=x), NO_INT),
    "scheduler.run(slice_seconds=)": (
        lambda x: scheduler.run(slice_seconds=x),
        NO_TIME,
    ),
    "scheduler.stop()": (scheduler.stop, [*NO_INT, 0, -1]),
    # testing.
    "settle(switches=)": (lambda x: testing.settle(switches=x), [*NO_INT, None, 0, -1]),
    "fake_clock()": (testing.fake_clock, [*NO_TIME, None, -1, float("inf")]),
    "seeded()": (testing.seeded, [*NO_INT, None]),
    # locks.
    "Lock()": (locks.Lock, [5, None]),
    "RLock()": (locks.RLock, [5, None]),
    "Event()": (locks.Event, [5, None]),
    "NLCondition()": (locks.NLCondition, [5, None]),
    "Lock.acquire(timeout)": (lambda x: locks.Lock().acquire(True, x), [*NO_TIME, -2]),
    "Condition()": (locks.Condition, [5, "x", object(), []]),
    "Condition.notify()": (lambda x: condition().notify(x), [*NO_INT, None]),
    "Condition.wait()": (lambda x: condition().wait(x), NO_TIME),
    "Condition.wait_for()": (lambda x: condition().wait_for(x), [*NO_FUNCTION, None]),
    "Semaphore()": (locks.Semaphore, [*NO_INT, None, -1]),
    "Semaphore.acquire(timeout)": (
        lambda x: locks.Semaphore().acquire(True, x),
        NO_TIME,
    ),
    "Semaphore.release()": (lambda x: locks.Semaphore().release(x), [*NO_INT, None, 0]),
    "BoundedSemaphore()": (locks.BoundedSemaphore, [*NO_INT, None, -1]),
    "Event.wait()": (lambda x: locks.Event().wait(x), NO_TIME),
    "Event.add_done_callback()": (
        lambda x: locks.Event().add_done_callback(x),
        [*NO_FUNCTION, None],
    ),
    "Barrier()": (locks.Barrier, [*NO_INT, None, 0, -1]),
    "Barrier(action)": (lambda x: locks.Barrier(1, x), NO_FUNCTION),
    "Barrier(timeout)": (lambda x: locks.Barrier(1, None, x), NO_TIME),
    "Barrier.wait()": (lambda x: locks.Barrier(2).wait(x), NO_TIME),
    "NLCondition.notify()": (lambda x: locks.NLCondition().notify(x), [*NO_INT, None]),
    "NLCondition.wait()": (lambda x: locks.NLCondition().wait(x), NO_TIME),
    # queues.
    "Queue()": (queues.Queue, [*NO_NUMBER, None]),
    "Queue.put(timeout)": (
        lambda x: queues.Queue(1).put(1, True, x),
        [*NO_TIME, -1],
    ),
    "Queue.get(timeout)": (lambda x: queues.Queue(1).get(True, x), [*NO_TIME, -1]),
    "SimpleQueue()": (queues.SimpleQueue, [5, None]),
    "SimpleQueue.get(timeout)": (
        lambda x: queues.SimpleQueue().get(True, x),
        [*NO_TIME, -1],
    ),
    # workers.
    "WorkerPool()": (WorkerPool, [*NO_INT, 0, -1]),
    "WorkerPool(max_queued=)": (
        lambda x: WorkerPool(1, max_queued=x),
        [*NO_INT, 0, -1],
    ),
    "WorkerPool(on_abandoned=)": (
        lambda x: WorkerPool(1, on_abandoned=x),
        NO_FUNCTION,
    ),
    "WorkerPool.submit()": (WorkerPool(1).submit, [*NO_FUNCTION, None]),
    "WorkerPool.call()": (WorkerPool(1).call, [*NO_FUNCTION, None]),
    "call_on_worker()": (call_on_worker, [*NO_FUNCTION, None]),
    "call_on_worker(timeout=)": (lambda x: call_on_worker(int, timeout=x), NO_TIME),
    "call_in_scheduler(thread)": (
        lambda x: call_in_scheduler(x, int),
        [*NO_INT, None, True, 0, -1],
    ),
    "call_in_scheduler(func)": (
        lambda x: call_in_scheduler(threading.get_ident(), x),
        [*NO_FUNCTION, None],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_does_not_fit_is_refused_at_the_call(name):
    call, values = TABLE[name]
    before = tasklets.getruncount()
    for value in values:
        with pytest.raises(REFUSALS) as caught:
            call(value)
        assert str(caught.value), f"{name} says nothing of {value!r}"
    # Tasklets that the table made to be called.
    run()
    gc.collect()
    assert tasklets.getruncount() == before


def test_every_refusal_says_what_it_needs():
    """A few texts, word by word."""
    texts = {
        "readable() needs a descriptor: an int, or an object with fileno(), not str": (
            lambda: tasklets.readable("x")
        ),
        "writable() needs a descriptor, which is not negative: -1": (
            lambda: tasklets.writable(-1)
        ),
        "error handler must be callable": lambda: tasklets.set_error_handler(5),
        "channel() takes no argument but name=: it stores nothing, a "
        "QueueChannel(maxsize) does": lambda: channel(5),
        "action must be callable or None, not int": lambda: locks.Barrier(1, 5),
        "a condition's lock must have acquire() and release(), not int": (
            lambda: locks.Condition(5)
        ),
        "delay must be a number of seconds, not None: for as soon as possible there is "
        "call_soon()": lambda: scheduler.call_later(None, int),
        "a tasklet's name must be a str, not int: if name is an argument of the "
        "function, pass functools.partial(f, name=...)": lambda: spawn(int, name=5),
    }
    for text, call in texts.items():
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert str(caught.value) == text


def test_a_descriptor_may_be_any_object_with_fileno():
    class File:
        def fileno(self):
            raise AssertionError("asked too soon")

    file = File()
    assert tasklets.readable(file).fd is file
    assert tasklets.readable(0) == tasklets.readable(fd=0)
    assert repr(tasklets.writable(3)) == "writable(fd=3)"
    (fd,) = tasklets.writable(3)
    assert fd == 3


def test_a_lock_of_a_condition_may_be_any_that_has_its_methods():
    class Lock:
        acquire = release = None

    assert locks.Condition(threading.Lock())
    assert locks.Condition(Lock())

    class Odd:
        @property
        def acquire(self):
            raise KeyError("odd")

    with pytest.raises(KeyError):
        locks.Condition(Odd())


# ---- what is async


async def coroutine_function():
    raise AssertionError("called")


async def async_generator():
    raise AssertionError("called")
    yield


class Async:
    async def method(self):
        raise AssertionError("called")

    async def __call__(self):
        raise AssertionError("called")

    @classmethod
    async def of_class(cls):
        raise AssertionError("called")


ASYNC = {
    "function": coroutine_function,
    "generator": async_generator,
    "method": Async().method,
    "class method": Async.of_class,
    "object": Async(),
    "partial": functools.partial(functools.partial(coroutine_function)),
    "partial of a method": functools.partial(Async().method, 1),
}


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(1) as pool:
        yield pool


def takers(pool):
    """Return everything that has a function called."""
    return {
        "spawn": spawn,
        "tasklet": tasklet,
        "call_soon": scheduler.call_soon,
        "call_later": functools.partial(scheduler.call_later, 0),
        "call_soon_threadsafe": scheduler.call_soon_threadsafe,
        "call": call_on_worker,
        "submit": pool.submit,
        "call_in_scheduler": functools.partial(
            call_in_scheduler, threading.get_ident()
        ),
    }


@pytest.mark.parametrize("kind", ASYNC)
def test_an_async_function_is_refused(kind, pool):
    for name, call in takers(pool).items():
        with pytest.raises(TypeError) as caught:
            call(ASYNC[kind])
        assert str(caught.value) == (
            f"{name}() needs a plain function, not an async one: tasklets wait without "
            "await; write def, or run it with asyncio.run()"
        )
    with pytest.raises(TypeError, match=r"^tasklet\(\) needs a plain function"):
        tasklet().bind(ASYNC[kind])
    with TaskGroup() as group, pytest.raises(TypeError, match=r"^spawn\(\) needs a"):
        group.spawn(ASYNC[kind])
    assert tasklets.getruncount() == 1


def generator(*args):
    yield from args


class Generating:
    def method(self):
        yield

    def __call__(self):
        yield


GENERATING = {
    "generator": generator,
    "Generating.method": Generating().method,
    "Generating.__call__": Generating(),
}


@pytest.mark.parametrize("name", GENERATING)
def test_a_generator_function_is_warned_of_at_the_call(name, pool):
    for taker, call in takers(pool).items():
        for func in (GENERATING[name], functools.partial(GENERATING[name])):
            with pytest.warns(RuntimeWarning) as caught:
                call(func)
            (one,) = caught
            assert str(one.message) == (
                f"{taker}(): {name}() is a generator function: its call only makes a "
                "generator, and nothing of its body runs. A tasklet waits without "
                "yield: remove yield, or pass a function that iterates over the "
                "generator"
            )
            assert one.filename == __file__
    with pytest.warns(RuntimeWarning, match=r"^tasklet\(\): "):
        tasklet().bind(GENERATING[name])
    with TaskGroup() as group, pytest.warns(RuntimeWarning, match=r"^spawn\(\): "):
        group.spawn(GENERATING[name])
    tasklets.run()


def test_a_generator_as_a_result_needs_no_warning():
    assert list(spawn(lambda: generator(1, 2)).result()) == [1, 2]


def test_what_iterates_over_a_generator_needs_no_warning():
    assert spawn(list, generator(1, 2)).result() == [1, 2]
    assert spawn(sum, generator(1, 2)).result() == 3


def test_a_generator_function_is_refused_if_warnings_are_errors(pool):
    # As they are in these tests: nothing is called, and nothing is half done.
    for call in takers(pool).values():
        with pytest.raises(RuntimeWarning, match="is a generator function"):
            call(generator)
    t = tasklet()
    with pytest.raises(RuntimeWarning, match="is a generator function"):
        t.bind(generator)
    assert not t.alive
    with TaskGroup(limit=1) as group:
        for _ in range(2):
            with pytest.raises(RuntimeWarning, match="is a generator function"):
                group.spawn(generator)
    assert tasklets.getruncount() == 1


def test_a_function_that_only_its_look_up_makes_is_looked_at_safely(monkeypatch):
    # What is freed is overwritten. A sanitizer, which wants malloc, finds its use, too.
    if os.environ.get("PYTHONMALLOC") != "malloc":
        monkeypatch.setenv("PYTHONMALLOC", "debug")
    status, output, errors = run_program(
        """
        import tasklets

        class Fresh:
            def __get__(self, instance, owner):
                return lambda: None

        class Callable:
            __call__ = Fresh()

        # Its name is that of a type that is looked into, too.
        Partial = type(
            "functools.partial", (),
            {"func": property(lambda self: lambda: None), "__call__": Fresh()},
        )
        for _ in range(100):
            print(*[tasklets.spawn(kind()).name[:0] for kind in (Callable, Partial)])
        tasklets.run()
        """
    )
    assert (status, errors) == (0, [])
    assert output.count("\n") == 100


def test_a_coroutine_is_refused_and_closed(pool):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "was never awaited"
        for name, call in takers(pool).items():
            with pytest.raises(TypeError) as caught:
                call(coroutine_function())
            assert str(caught.value) == (
                f"{name}() needs a plain function, not a coroutine: tasklets wait "
                "without await; make 'coroutine_function' a def and pass the function "
                "itself"
            )
            gc.collect()
    assert tasklets.getruncount() == 1


def test_a_coroutine_that_has_begun_is_not_closed():
    class Pause:
        def __await__(self):
            yield "paused"

    async def begins():
        await Pause()
        return "over"

    one = begins()
    assert one.send(None) == "paused"
    with pytest.raises(TypeError, match="not a coroutine"):
        spawn(one)
    with pytest.raises(StopIteration, match="over"):
        one.send(None)


@pytest.mark.parametrize("value", [None, 5, "text"])
def test_what_a_call_returned_is_refused_with_what_to_write(value, pool):
    said = "None" if value is None else type(value).__name__
    for name, call in takers(pool).items():
        if name == "tasklet":
            continue  # as in Stackless: None unbinds, and the text is Stackless's
        with pytest.raises(TypeError) as caught:
            call(value)
        assert str(caught.value) == (
            f"{name}(): the function must be callable, not {said}; pass it and its "
            "arguments, (f, x), not what a call of it returned, (f(x))"
        )


def test_classes_and_builtins_may_be_spawned():
    class Called:
        def __call__(self):
            return "called"

    assert spawn(Called()).result() == "called"
    assert isinstance(spawn(Called).result(), Called)
    assert spawn(Async).result().__class__ is Async
    assert spawn(len, "abc").result() == 3
    assert spawn(functools.partial(len, "abc")).result() == 3


def test_a_swallowed_keyword_reaches_the_function_as_a_partial():
    def greet(name):
        return f"hello {name}"

    t = spawn(functools.partial(greet, name="bob"), name="greeter")
    assert (t.name, t.result()) == ("greeter", "hello bob")

    def wait(timeout):
        return timeout

    assert call_on_worker(functools.partial(wait, timeout=5), timeout=60) == 5
    assert workers.call_on_worker.__doc__.count("functools.partial") == 1
    assert "functools.partial" in spawn.__doc__


# ---- reprs


def test_reprs_have_the_module_and_what_matters():
    class Group(TaskGroup):
        pass

    assert repr(TaskGroup()).startswith("<tasklets.TaskGroup not entered, 0 tasklets,")
    assert ", limit 3, at 0x" in repr(TaskGroup(limit=3))
    assert repr(Group()).startswith(f"<{__name__}.{Group.__qualname__} not entered,")
    assert repr(queues.Queue(3)).endswith(": 0 items, maxsize 3>")
    assert repr(queues.Queue()).endswith(": 0 items>")
    assert " items=0 maxsize=3 balance=0 at 0x" in repr(QueueChannel(3))
    assert repr(bomb(KeyError)) == "<tasklets.bomb of <class 'KeyError'>>"
    with WorkerPool(2) as pool:
        assert repr(pool).startswith("<tasklets.workers.WorkerPool workers=0 of 2 ")
    handle = scheduler.call_later(60, int)
    assert repr(handle).startswith("<tasklets.scheduler.Handle of <tasklets.tasklet")
    handle.cancel()
    assert repr(getcurrent()).startswith("<tasklets.tasklet 'main' running at 0x")


def test_reprs_of_blocks_show_the_seconds_that_are_left():
    with testing.fake_clock() as clock:
        block = timeout(3)
        assert repr(block).startswith("<tasklets.timeout not entered, 3.000 s, at 0x")
        with block:
            clock.advance(1)
            assert "timeout active, 2.000 s left, at 0x" in repr(block)
            block.reschedule(None)
            assert repr(block).startswith("<tasklets.timeout active at 0x")
        assert repr(timeout(None)).startswith("<tasklets.timeout not entered at 0x")
        until = deadline(5)
        assert repr(until).startswith(
            "<tasklets.deadline not entered, 4.000 s left, at"
        )
        with until:
            assert "deadline active, 4.000 s left, at 0x" in repr(until)
        guard = shield(2)
        assert repr(guard).startswith("<tasklets.shield not entered, 2.000 s, at 0x")
        with guard:
            clock.advance(0.5)
            assert "shield active, 1.500 s left, at 0x" in repr(guard)
        assert repr(guard).startswith("<tasklets.shield not entered, 2.000 s, at 0x")


UNIQUE = {
    "atomic": tasklets.atomic,
    "channel": channel,
    "QueueChannel": QueueChannel,
    "TaskGroup": TaskGroup,
    "recv": lambda: recv(channel()),
    "send": lambda: send(channel(), 0),
    "local": local,
    "shield": lambda: shield(3),
    "tasklet": tasklet,
    "timeout": lambda: timeout(3),
    "deadline": lambda: deadline(3),
    "WorkerPool": lambda: WorkerPool(1),
    **{name: getattr(locks, name) for name in locks.__all__ if "Error" not in name},
    **{name: getattr(queues, name) for name in queues.__all__ if "Queue" in name},
    "Barrier": lambda: locks.Barrier(2),
}


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("make", UNIQUE.values(), ids=UNIQUE)
def test_what_is_of_this_process_cannot_be_copied_or_pickled(make, way):
    with pytest.raises(TypeError, match="cannot pickle"):
        way(make())
