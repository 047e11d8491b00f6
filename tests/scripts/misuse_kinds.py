"""Objects of every kind, and every call on them: see misuse.py."""

import contextlib
import gc
import itertools
import os
import sys
import threading
import weakref

import greenlet

import tasklets
from tasklets import QueueChannel, TaskletExit, channel, scheduler, tasklet

pipe = os.pipe()
handles = []

main = tasklets.getmain()
everyone = weakref.WeakSet()
refs = []


class Watched(tasklet):
    """A tasklet that the cleaning up finds."""

    def __init__(self, *args, **kwargs):
        everyone.add(self)
        super().__init__(*args, **kwargs)


def watch(t):
    everyone.add(t)
    return t


class Index:
    def __index__(self):
        raise KeyError("index")

    __bool__ = __int__ = __index__


# ---- objects of every kind


def refusing():
    for _ in range(3):
        with contextlib.suppress(BaseException):
            tasklets.schedule_remove()


def failing():
    raise KeyError


def nothing(*args, **kwargs):
    pass


class Kinds:
    """Each method makes a tasklet or a channel."""

    def tasklet_by_new(self):
        return tasklet.__new__(tasklet)

    def subclass_by_new(self):
        return Watched.__new__(Watched)

    def unbound(self):
        return Watched()

    def bound(self):
        return Watched(nothing)

    def paused_before_start(self):
        return Watched(nothing, ())

    def runnable_before_start(self):
        return Watched(nothing)()

    def paused(self):
        return self.started(tasklets.schedule_remove)

    def runnable(self):
        def work():
            tasklets.schedule_remove()
            tasklets.schedule()

        return self.started(work).insert()

    def refusing(self):
        return self.started(refusing)

    def receiving(self):
        return self.started(channel().receive)

    def sending(self):
        return self.started(channel().send, 1)

    def iterating(self):
        return self.started(lambda: list(channel()))

    def sleeping(self):
        return self.started(lambda: tasklets.sleep(0.002))

    def selecting(self):
        cases = tasklets.recv(channel()), tasklets.send(channel(), 1)
        return self.started(lambda: tasklets.select(*cases))

    def waiting_for_a_descriptor(self):
        def work():
            with contextlib.suppress(TimeoutError):
                scheduler.wait_readable(pipe[0], 0.002)

        return self.started(work)

    def in_a_timeout(self):
        def work():
            with contextlib.suppress(TimeoutError), tasklets.timeout(0.002):
                channel().receive()

        return self.started(work)

    def due(self):
        def work():
            with contextlib.suppress(TimeoutError), tasklets.timeout(0):
                tasklets.schedule_remove()

        return Watched(work)()

    def joining(self):
        other = self.started(tasklets.schedule_remove)
        return self.started(other.join)

    def running_others(self):
        stop = []

        def work():
            Watched(lambda: stop or tasklets.schedule_remove())()
            tasklets.run()

        return self.started(work)

    def in_a_greenlet(self):
        return self.started(
            lambda: greenlet.greenlet(tasklets.schedule_remove).switch()
        )

    def killed_pending(self):
        t = self.started(channel().receive)
        t.kill(pending=True)
        return t

    def ended(self):
        return self.started(int)

    def failed(self):
        return self.started(failing)

    def killed(self):
        t = Watched(nothing)()
        t.kill()
        return t

    def spawned(self):
        return watch(tasklets.spawn(nothing))

    def spawned_and_ended(self):
        t = watch(tasklets.spawn(int))
        tasklets.run()
        return t

    def spawned_and_failed(self):
        t = watch(tasklets.spawn(failing))
        with contextlib.suppress(KeyError):
            tasklets.run()
        return t

    def main(self):
        return main

    def current(self):
        return tasklets.getcurrent()

    def started(self, work, *args):
        t = Watched(work)(*args)
        with contextlib.suppress(KeyError):
            tasklets.run()
        return t

    def new_channel(self):
        return channel.__new__(channel)

    def channel_with_receivers(self):
        ch = channel()
        self.started(ch.receive)
        self.started(lambda: list(ch))
        return ch

    def channel_with_senders(self):
        ch = channel()
        self.started(ch.send, 1)
        self.started(ch.send, 2)
        return ch

    def channel_with_error(self):
        ch = channel()
        Watched(ch.send_exception)(KeyError, 1)
        tasklets.schedule()
        return ch

    def closed_channel(self):
        ch = channel()
        ch.close()
        return ch

    def scheduling_channel(self):
        ch = self.channel_with_receivers()
        ch.schedule_all = 1
        return ch

    def queue_channel_by_new(self):
        return QueueChannel.__new__(QueueChannel)

    def full_queue_channel(self):
        ch = QueueChannel(1)
        ch.send(1)
        self.started(ch.send, 2)
        return ch

    def empty_queue_channel(self):
        ch = QueueChannel(1)
        self.started(ch.receive)
        return ch

    def bomb(self):
        return tasklets.bomb(KeyError, KeyError(1))

    def bomb_by_new(self):
        return tasklets.bomb.__new__(tasklets.bomb)

    def atomic(self):
        return tasklets.atomic()

    def timeout(self):
        return tasklets.timeout(1000)

    def entered_timeout(self, seconds=0.002):
        def work():
            with contextlib.suppress(TimeoutError), tasklets.timeout(seconds) as limit:
                entered.append(limit)
                tasklets.schedule_remove(None)

        entered = []
        self.started(work)
        return entered.pop()

    def outlived_timeout(self):
        limit = tasklets.timeout(0.002)
        refs.append(limit)
        tasklets.spawn(limit.__enter__).join()
        return limit

    def short_timeout(self):
        limit = tasklets.timeout(0.001)
        refs.append(limit)
        return limit

    def due_timeout(self):
        return self.entered_timeout(seconds=0)

    def handle(self):
        handles.append(scheduler.call_soon(nothing))
        return handles[-1]

    def later_handle(self):
        handles.append(scheduler.call_later(0.002, nothing))
        return handles[-1]

    def recv_case(self):
        return tasklets.recv(channel())

    def send_case(self):
        return tasklets.send(channel(), 1)

    def entered_atomic(self):
        a = tasklets.atomic()
        a.__enter__()
        return a


def kinds_here():
    kinds = Kinds()
    for name in vars(Kinds):
        if not name.startswith("_") and name != "started":
            yield name, getattr(kinds, name)


# ---- calls of every kind

SKIPPED = {"__del__", "__subclasshook__", "__init_subclass__", "__class_getitem__"}
TYPES = [
    tasklet,
    Watched,
    channel,
    QueueChannel,
    tasklets.bomb,
    tasklets.atomic,
    tasklets.timeout,
    scheduler.Handle,
    type(tasklets.recv(channel())),
    object,
]


def values(target):
    """Return what to pass and to assign, sensible or not."""
    return [
        None, 0, 1, -1, True, "x", 1.5, (), (1,), {}, [], 2**31, 2**70, -(2**70),
        nothing, failing, int, KeyError, KeyError(1), TaskletExit, TaskletExit(),
        StopIteration, tasklets.bomb(KeyError), tasklets.bomb(), target, main,
        channel(), threading.get_ident(), Index(), b"x",
    ]  # fmt: skip


def argument_lists(target):
    """Return what to call a method with: (args, kwargs)."""
    few = [None, (), nothing, KeyError]
    return [
        ((), {}),
        *(((value,), {}) for value in values(target)),
        *((pair, {}) for pair in itertools.product(few, repeat=2)),
        ((nothing, (), {}), {}),
        ((nothing, (1,), {"a": 1}), {}),
        ((KeyError, None, None, True), {}),
        ((KeyError, None, None, False), {}),
        ((KeyError, 1, 2, 3, 4), {}),
        ((None,) * 6, {}),
        ((), {"nonsense": 1}),
        ((), {"pending": True}),
        ((), {"wake": True}),
        ((), {"func": nothing, "args": (), "kwargs": {}}),
    ]


SENSIBLE = {
    "bind": [(), (None,), (int,), (nothing, ()), (None, ())],
    "throw": [(KeyError,), (TaskletExit,), (KeyError, None, None, True)],
    "raise_exception": [(KeyError, 1), (TaskletExit,)],
    "kill": [(), (True,)],
    "send": [(1,)],
    "try_send": [(1,)],
    "send_exception": [(KeyError, 1)],
    "send_throw": [(KeyError(1),)],
    "send_sequence": [((1, 2),)],
    "set_atomic": [(True,)],
    "set_ignore_nesting": [(True,)],
    "context_run": [(int,)],
    "add_done_callback": [(nothing,)],
    "remove_done_callback": [(nothing,)],
    "bind_thread": [(), (-1,), (threading.get_ident(),)],
}


def attributes(target):
    for name in dir(type(target)):
        if name not in SKIPPED:
            yield name, getattr(type(target), name)


def sensible_calls(target):
    """Yield the calls that mean something: (text, function of the target)."""
    for name, attribute in attributes(target):
        if not callable(attribute):
            yield f".{name}", lambda t, name=name: getattr(t, name)
        elif name in ("__repr__", "__iter__", "__next__", "__call__", "__enter__"):
            yield f".{name}()", lambda t, name=name: getattr(t, name)()
        elif not name.startswith("__"):
            for args in SENSIBLE.get(name, [()]):
                yield (
                    f".{name}{args}",
                    lambda t, name=name, args=args: getattr(t, name)(*args),
                )
    if isinstance(target, tasklet):
        yield ".tempval = 1", lambda t: setattr(t, "tempval", 1)
        yield (
            ".tempval = bomb",
            lambda t: setattr(t, "tempval", tasklets.bomb(KeyError)),
        )
        yield ".block_trap = 1", lambda t: setattr(t, "block_trap", 1)
        yield ".throw(t)", lambda t: t.throw(KeyError, pending=True)


def all_calls(target):
    """Yield every method with every list of arguments, and every assignment."""
    for name, attribute in attributes(target):
        yield f".{name}", lambda t, name=name: getattr(t, name)
        if name != "__class__" and callable(attribute):
            for i in range(len(argument_lists(target))):

                def call(t, name=name, i=i):
                    args, kwargs = argument_lists(t)[i]
                    waits = name in ("join", "result", "exception")
                    with tasklets.timeout(0.002 if waits else None):
                        getattr(t, name)(*args, **kwargs)

                yield f".{name}() with argument list {i}", call
        if not name.startswith("__") or name in ("__class__", "__dict__"):
            for i in range(len(values(target))):

                def assign(t, name=name, i=i):
                    setattr(t, name, values(t)[i])

                yield f".{name} = value {i}", assign
            yield f"del .{name}", lambda t, name=name: delattr(t, name)
    for cls in TYPES:
        yield f"{cls.__name__}.__init__", lambda t, cls=cls: cls.__init__(t)
        yield (
            f".__class__ = {cls.__name__}",
            lambda t, cls=cls: setattr(t, "__class__", cls),
        )


def calls_of_functions():
    """Yield every function of the package with every list of arguments."""
    for module in (tasklets, scheduler):
        for name in module.__all__:
            function = getattr(module, name)
            if callable(function):
                for i in range(len(argument_lists(main))):

                    def call(t, function=function, i=i):
                        args, kwargs = argument_lists(t)[i]
                        with tasklets.timeout(0.01):  # some wait forever
                            result = function(*args, **kwargs)
                        if isinstance(result, scheduler.Handle):
                            result.cancel()

                    yield f"{module.__name__}.{name}() with argument list {i}", call


def sensible_functions():
    ch = channel()
    return [
        ("schedule()", lambda t: tasklets.schedule()),
        ("schedule_remove()", lambda t: tasklets.schedule_remove()),
        ("run()", lambda t: tasklets.run()),
        ("scheduler.run(switches=1)", lambda t: scheduler.run(switches=1)),
        ("scheduler.run(threadblock)", lambda t: scheduler.run(threadblock=True)),
        ("switch_trap(1)", lambda t: tasklets.switch_trap(1)),
        ("set_channel_callback", lambda t: tasklets.set_channel_callback(None)),
        ("set_schedule_callback", lambda t: tasklets.set_schedule_callback(None)),
        ("set_error_handler", lambda t: tasklets.set_error_handler(None)),
        ("spawn(nothing)", lambda t: watch(tasklets.spawn(nothing))),
        ("spawn(failing)", lambda t: watch(tasklets.spawn(failing))),
        ("getuncollectables()", lambda t: scheduler.getuncollectables()),
        ("statistics()", lambda t: scheduler.statistics()),
        ("get_thread_info()", lambda t: tasklets.get_thread_info(-1, 1 << 31)),
        ("getthreads()", lambda t: tasklets.getthreads()),
        ("receive() of nobody", lambda t: channel().receive()),
        ("send() to nobody", lambda t: channel().send(1)),
        ("send() to itself", lambda t: ch.send(t)),
        ("gc.collect()", lambda t: gc.collect()),
        ("raise", lambda t: failing()),
        ("exit", lambda t: sys.exit(5)),
        ("TaskletExit", lambda t: tasklets.getcurrent().kill()),
    ]
