"""Call everything on every kind of object from every kind of place.

usage: misuse.py PLACE...     prints "ok" and how many cases there were

What a call does is not looked at: it may work or raise whatever it likes. After it the
scheduler must be whole. The case that is being tried is always in the file MISUSE_CASE,
so that a crash or a hang can be told.
"""

import contextlib
import faulthandler
import gc
import os
import queue
import signal
import sys
import threading
import time
import warnings
import weakref

import greenlet
from misuse_kinds import (
    Kinds,
    Watched,
    all_calls,
    calls_of_functions,
    everyone,
    failing,
    handles,
    kinds_here,
    main,
    nothing,
    refs,
    sensible_calls,
    sensible_functions,
    watch,
)

import tasklets
from tasklets import QueueChannel, channel, scheduler, tasklet

HANG_SECONDS = 100


# ---- places to call from


class Places:
    """Each method calls its argument in a certain place, once or never."""

    def main(self, call):
        call()

    def tasklet(self, call):
        Watched(call)()
        tasklets.run()

    def greenlet(self, call):
        Watched(lambda: greenlet.greenlet(call).switch())()
        tasklets.run()

    def trapped(self, call):
        tasklets.switch_trap(1)
        call()

    def trapped_tasklet(self, call):
        Watched(lambda: (tasklets.switch_trap(1), call()))()
        tasklets.run()

    def block_trapped(self, call):
        main.block_trap = True
        call()

    def schedule_callback(self, call):
        def callback(old, new):
            tasklets.set_schedule_callback(None)
            call()

        Watched(nothing)()
        tasklets.set_schedule_callback(callback)
        tasklets.schedule()

    def schedule_callback_of_run(self, call):
        def callback(old, new):
            tasklets.set_schedule_callback(None)
            call()

        Watched(nothing)()
        tasklets.set_schedule_callback(callback)
        tasklets.run()

    def schedule_callback_at_an_end(self, call):
        def callback(old, new):
            if not new.is_main:
                return
            tasklets.set_schedule_callback(None)
            call()

        Watched(nothing)()
        tasklets.set_schedule_callback(callback)
        tasklets.run()

    def channel_callback(self, call):
        def callback(*args):
            tasklets.set_channel_callback(None)
            call()

        ch = channel()
        Watched(ch.send)(1)
        tasklets.set_channel_callback(callback)
        tasklets.run()

    def channel_callback_of_a_receive(self, call):
        def callback(*args):
            tasklets.set_channel_callback(None)
            call()

        ch = channel()
        Watched(ch.send)(1)
        tasklets.schedule()
        tasklets.set_channel_callback(callback)
        ch.receive()

    def error_handler(self, call):
        def handler(*error):
            tasklets.set_error_handler(None)
            call()

        tasklets.set_error_handler(handler)
        Watched(failing)()
        tasklets.run()

    def done_callback(self, call):
        t = watch(tasklets.spawn(int))
        t.add_done_callback(lambda t: call())
        tasklets.run()

    def done_callback_of_a_killed_one(self, call):
        t = watch(tasklets.spawn(int))
        t.add_done_callback(lambda t: call())
        t.kill()

    def finalizer(self, call):
        finalized(call)

    def finalizer_in_a_tasklet(self, call):
        Watched(finalized, (call,)).run()

    def finalizer_of_an_argument(self, call):
        Watched(nothing)(Finalized(call))
        tasklets.run()

    def finalizer_of_a_result(self, call):
        Watched(lambda: Finalized(call))()
        tasklets.run()

    def finalizer_of_a_kept_result(self, call):
        watch(tasklets.spawn(lambda: Finalized(call)))
        tasklets.run()

    def finalizer_of_a_tempval(self, call):
        t = Watched(tasklets.schedule)()
        tasklets.schedule()
        t.tempval = Finalized(call)
        t.kill()

    def finalizer_of_a_dropped_tempval(self, call):
        t = Watched(tasklets.schedule_remove)()
        tasklets.run()
        t.tempval = Finalized(call)

    def finalizer_of_a_bound_function(self, call):
        Watched(Finalized(call)).bind(nothing, ()).run()

    def finalizer_of_an_error(self, call):
        def work():
            raise Failure(Finalized(call))

        Watched(work)()
        tasklets.run()

    def finalizer_of_a_waiting_value(self, call):
        ch = QueueChannel()
        ch.send(Finalized(call))

    def finalizer_of_a_callback(self, call):
        tasklets.set_schedule_callback(Finalized(call))
        tasklets.set_schedule_callback(None)

    def weakref_callback(self, call):
        thing = Watched()
        _ref = weakref.ref(thing, lambda ref: call())
        del thing

    def weakref_callback_of_an_ending_tasklet(self, call):
        refs.append(weakref.ref(Watched(nothing)(), lambda ref: call()))
        tasklets.run()
        refs.clear()

    def collection(self, call):
        cycle = Finalized(call)
        cycle.me = cycle
        del cycle
        gc.collect()

    def collection_callback(self, call):
        def callback(phase, info):
            gc.callbacks.remove(callback)
            call()

        gc.callbacks.append(callback)
        gc.collect()

    def collection_of_a_tasklet(self, call):
        def work():
            me = tasklets.getcurrent()  # noqa: F841 - the cycle
            try:
                tasklets.schedule_remove()
            finally:
                call()

        Watched(work)()
        tasklets.run()
        gc.collect()
        tasklets.run()

    def death_by_reference_count(self, call):
        def work():
            try:
                tasklets.schedule_remove(None)
            finally:
                call()

        Watched(work)()
        tasklets.run()  # nobody holds it any more

    def finally_block(self, call):
        def work():
            try:
                tasklets.schedule_remove()
            finally:
                call()

        t = Watched(work)()
        tasklets.run()
        t.kill()

    def generator_finally(self, call):
        def generator():
            try:
                yield
            finally:
                call()

        def work():
            g = generator()
            next(g)

        Watched(work)()
        tasklets.run()

    def context_run(self, call):
        main.context_run(call)

    def repr(self, call):
        class Shown(Watched):
            def __repr__(self):
                call()
                return "shown"

        t = Shown(channel().receive)()
        tasklets.run()
        with contextlib.suppress(tasklets.DeadlockError):
            channel().receive()
        t.kill()

    def signal_handler(self, call):
        signals.handle(call, lambda: signals.done.receive())

    def signal_handler_in_run(self, call):
        Watched(lambda: (signals.done.receive(), main.insert()))()
        signals.handle(call, lambda: scheduler.run(threadblock=True))

    def signal_handler_after_an_end(self, call):
        tasklets.spawn(int)
        signals.handle(call, lambda: signals.done.receive())

    def signal_handler_in_join(self, call):
        t = Watched(lambda: signals.done.receive())()
        signals.handle(call, t.join)


class Finalized:
    """Makes a call when it dies."""

    def __init__(self, call):
        self.call = call

    def __del__(self):
        self.call()

    def __call__(self, *args):
        pass


class Failure(Exception):
    pass


def finalized(call):
    Finalized(call)


class Round:
    """One call from a signal handler, and the wait that the signal ends."""

    def __init__(self, call):
        self.call = call  # None once the handler has it
        self.waits = True
        self.over = False


class Signals:
    """Sends this process signals while its main tasklet waits for another thread."""

    def __init__(self):
        self.done = channel()
        self.rounds = queue.SimpleQueue()
        signal.signal(signal.SIGUSR1, self.on_signal)
        threading.Thread(target=self.work, daemon=True).start()

    def on_signal(self, *args):
        call, self.round.call = self.round.call, None
        call()

    def handle(self, call, wait):
        self.round = this = Round(call)
        # What the handler raises may come anywhere below, but only once: if one
        # finish() is left out or interrupted, the other one is not.
        try:
            try:
                self.rounds.put(this)
                wait()
            finally:
                self.finish(this)
        finally:
            self.finish(this)

    def finish(self, this):
        this.waits = False
        end = time.monotonic() + HANG_SECONDS
        while not this.over:  # the signal may come only now
            time.sleep(0.0001)
            assert time.monotonic() < end

    def work(self):
        while True:
            this = self.rounds.get()
            while this.waits and not self.done.balance:
                time.sleep(0)
            os.kill(os.getpid(), signal.SIGUSR1)
            while this.call is not None:
                time.sleep(0)
            while this.waits:
                with contextlib.suppress(Exception):
                    self.done.try_send(None)
                with contextlib.suppress(RuntimeError):
                    main.insert()
                time.sleep(0)
            this.over = True


# ---- other threads


class Foreign:
    """A thread that makes objects of every kind and keeps them."""

    def __init__(self):
        self.orders, self.answers = channel(), channel()
        self.kinds = Kinds()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while True:
            try:
                thing = self.make(self.orders.receive())
                self.answers.send(thing)
            except tasklets.DeadlockError:
                return  # the case waits for the end of this thread
            except BaseException:
                pass  # thrown from the other thread
            thing = None
            with contextlib.suppress(BaseException):
                tasklets.run()
            tidy_thread()

    def make(self, name):
        if name == "main":
            return tasklets.getmain()
        return getattr(self.kinds, name)()


def foreign_kinds():
    foreign = Foreign()

    def make(name):
        while True:
            try:
                foreign.orders.send(name)
                return foreign.answers.receive()
            except (RuntimeError, KeyError):  # it has not got over the last case
                foreign.__init__()

    for name, _ in kinds_here():
        if "atomic" not in name and "bomb" not in name:
            yield f"foreign {name}", lambda name=name: make(name)


def orphaned_kinds():
    def make(name):
        things = []

        def work():
            thing = getattr(Kinds(), name)()
            things.append(tasklets.getmain() if name == "main" else thing)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return things.pop()

    for name, _ in kinds_here():
        if "atomic" not in name and "bomb" not in name:
            yield f"orphaned {name}", lambda name=name: make(name)


# ---- trying


def tidy_thread():
    here = tasklets.getcurrent()
    tasklets.switch_trap(-tasklets.switch_trap())
    for t in list(everyone):
        for _ in range(4):
            if t.thread_id == here.thread_id and not (t.is_current or t.is_main):
                with contextlib.suppress(BaseException):
                    if t.scheduled and not t.blocked:
                        tasklet.remove(t)
                    tasklet.kill(t)
        if not t.alive:
            everyone.discard(t)
    here.block_trap = False
    here.set_atomic(False)
    for _ in range(20):
        if here.next is here:
            break
        with contextlib.suppress(BaseException):
            tasklet.kill(tasklet.remove(here.next))


def tidy():
    tasklets.set_channel_callback(None)
    tasklets.set_schedule_callback(None)
    tasklets.set_error_handler(None)
    refs.clear()
    while handles:
        handles.pop().cancel()
    with contextlib.suppress(BaseException):
        tidy_thread()
    gc.garbage.clear()


def check_health():
    for _ in range(20):
        # The collector may find a tasklet of an earlier case, before or after this.
        with contextlib.suppress(BaseException):
            tasklets.run()
        if tasklets.getruncount() == 1:
            break
    assert tasklets.getcurrent() is main, "main is not current"
    assert tasklets.getruncount() == 1, "a tasklet stays in the queue"
    watches = tasklets.get_thread_info(-1, 1 << 31)[3]
    assert watches in (None, [None]), "a tasklet is still inside run()"
    ch = channel()
    t = tasklet(ch.send)("healthy")
    assert ch.receive() == "healthy", "a value was lost"
    tasklets.run()
    assert not t.alive


def attempt(place, make, call):
    """Try one case. The place may raise whatever it likes."""
    try:
        target = make()
        place(lambda: call(target))
    except BaseException as error:
        if isinstance(error, AssertionError):
            raise
    # First of all: a call may be traced by what raises.
    del main.trace_function, main.profile_function
    target = None
    tidy()
    check_health()


def cases(names):
    places = Places()
    for name in names:
        if name == "arguments":
            for kind, make in kinds_here():
                for text, call in all_calls(make()):
                    yield places.main, f"{kind}{text}", make, call
                tidy()
        elif name == "functions":
            for text, call in calls_of_functions():
                yield places.main, text, places_nothing, call
        elif name == "foreign":
            for kind, make in foreign_kinds():
                for text, call in sensible_calls(make()):
                    for place in (
                        places.main,
                        places.tasklet,
                        places.schedule_callback,
                    ):
                        yield place, f"{kind}{text}", make, call
        elif name == "orphaned":
            for kind, make in orphaned_kinds():
                for text, call in sensible_calls(make()):
                    yield places.main, f"{kind}{text}", make, call
        else:
            place = getattr(places, name)
            for text, call in sensible_functions():
                yield place, text, places_nothing, call
            for kind, make in kinds_here():
                for text, call in sensible_calls(make()):
                    yield place, f"{kind}{text}", make, call
                tidy()


def places_nothing():
    return main


def place_names():
    return [name for name in vars(Places) if not name.startswith("_")]


def run_cases(names):
    sys.unraisablehook = lambda args: None
    warnings.simplefilter("ignore")  # of a bool that is used as a descriptor
    threading.excepthook = lambda args: None
    gc.collect()
    gc.freeze()
    note = os.open(os.environ["MISUSE_CASE"], os.O_WRONLY | os.O_CREAT)
    count = 0
    for place, text, make, call in cases(names):
        case = f"{text} in {place.__name__}"
        os.pwrite(note, case.encode().ljust(200), 0)
        if count % 50 == 0:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        attempt(place, make, call)
        count += 1
    faulthandler.cancel_dump_traceback_later()
    os.pwrite(note, b"at exit".ljust(200), 0)
    print("ok", count)


if __name__ == "__main__":
    faulthandler.enable()
    if any(name.startswith("signal") for name in sys.argv[1:]):
        signals = Signals()
    run_cases(sys.argv[1:])
