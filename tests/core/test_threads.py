"""Several threads, each with a scheduler: channels between them, acts on each other."""

import contextlib
import gc
import random
import sys
import threading
import time
import weakref

import greenlet
import pytest
from children import run_program
from threads import in_thread

import tasklets
from tasklets import (
    ChannelClosed,
    DeadlockError,
    TaskletExit,
    channel,
    getcurrent,
    run,
    schedule,
    spawn,
    tasklet,
)

SECONDS = 60


class Worker(threading.Thread):
    """A thread that does what it is told, one thing after the other."""

    def __init__(self):
        super().__init__()
        self.orders = channel()
        self.answers = channel()
        self.start()

    def run(self):
        for order in self.orders:
            try:
                answer = order()
            except BaseException as error:
                answer = tasklets.bomb(type(error), error)
            self.answers.send(answer)
            del order, answer
        self.orders = self.answers = None

    def do(self, order):
        """Return what order returns there."""
        self.orders.send(order)
        del order
        return self.answers.receive()

    def begin(self, order):
        """Have it begin; end() returns what it returned."""
        self.orders.send(order)

    def end(self):
        return self.answers.receive()

    def close(self):
        orders = self.orders
        orders.close(wake=True)
        self.join(SECONDS)
        assert not self.is_alive()


@contextlib.contextmanager
def worker():
    thread = Worker()
    try:
        yield thread
    finally:
        thread.close()


def pause():
    tasklets.schedule_remove(None)


def paused(work=pause):
    """Return a started and paused tasklet of this thread."""
    t = tasklet(work)()
    run()
    return t


# One scheduler per thread.


def test_each_thread_has_a_main_tasklet_of_its_own(log):
    def work():
        main = tasklets.getmain()
        log.append((main is getcurrent(), main.is_main, main is tasklets.getmain()))
        return id(main)

    assert in_thread(work) != id(tasklets.getmain())
    assert log == [(True, True, True)]


def test_each_thread_has_a_run_queue_of_its_own():
    t = tasklet(int)()
    assert in_thread(tasklets.getruncount) == 1
    assert tasklets.getruncount() == 2
    t.kill()


def test_each_thread_has_a_trap_of_its_own():
    with tasklets.no_switch():
        assert in_thread(tasklets.switch_trap) == 0


@pytest.mark.parametrize("number", range(10))
def test_a_thread_without_memory_for_tasklets_leaves_nothing_behind(number):
    testcapi = pytest.importorskip("_testcapi")
    outcomes = []

    def work():
        greenlet.getcurrent()
        threading.local().made = "the dict of the thread state"
        testcapi.set_nomemory(number, number + 1)
        try:
            tasklets.getmain()
        except MemoryError:
            outcomes.append("refused")
        finally:
            testcapi.remove_mem_hooks()
        outcomes.append(tasklets.getmain().alive)

    before = tasklets._core.live_counts()
    in_thread(work)
    assert outcomes in (["refused", True], [True])
    assert tasklets._core.live_counts() == before


def test_a_tasklet_runs_on_the_thread_where_it_was_made(log):
    def work():
        tasklet(lambda: log.append(threading.get_ident()))()
        run()
        return threading.get_ident()

    assert in_thread(work) == log[0] != threading.get_ident()


def test_the_thread_id_is_that_of_the_home_thread():
    assert getcurrent().thread_id == threading.get_ident()
    assert tasklet().thread_id == threading.get_ident()
    assert in_thread(lambda: tasklet().thread_id == threading.get_ident())


def test_is_current_means_on_its_own_thread():
    main = tasklets.getmain()
    assert in_thread(lambda: main.is_current)


def test_callbacks_serve_all_threads(log):
    tasklets.set_channel_callback(lambda *args: log.append(threading.get_ident()))
    ident = in_thread(lambda: (channel().try_receive(), threading.get_ident())[1])
    assert log == [ident]


def test_the_error_handler_serves_all_threads(log):
    tasklets.set_error_handler(lambda kind, value, tb: log.append(kind))

    def work():
        tasklet(lambda: 1 / 0)()
        run()

    in_thread(work)
    assert log == [ZeroDivisionError]


def test_the_id_of_a_threads_main_is_the_threads():
    assert in_thread(lambda: tasklets.getcurrentid() == threading.get_ident())


# getthreads and get_thread_info.


def test_getthreads_lists_the_oldest_first():
    assert tasklets.getthreads()[0] == threading.main_thread().ident
    with worker() as a, worker() as b:
        listed = tasklets.getthreads()
        assert [x for x in listed if x in (a.ident, b.ident)] == [a.ident, b.ident]


def test_getthreads_lists_threads_that_never_used_tasklets():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.ident in tasklets.getthreads()
    done.set()
    thread.join()
    assert thread.ident not in tasklets.getthreads()


def test_get_thread_info_tells_of_this_thread():
    here = (tasklets.getmain(), getcurrent(), 1)
    assert tasklets.get_thread_info() == here
    assert tasklets.get_thread_info(-1) == here
    assert tasklets.get_thread_info(threading.get_ident()) == here


def test_get_thread_info_tells_of_another_thread():
    ready, done = threading.Event(), threading.Event()
    info = []

    def work():
        tasklet(int)()
        info.extend((tasklets.getmain(), getcurrent()))
        ready.set()
        done.wait(SECONDS)
        run()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(SECONDS)
    main, current, count = tasklets.get_thread_info(thread.ident)
    assert (main is info[0], current is info[1], count) == (True, True, 2)
    done.set()
    thread.join()
    del main, current
    info.clear()


def test_get_thread_info_of_a_thread_without_tasklets_is_empty():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert tasklets.get_thread_info(thread.ident) == (None, None, 0)
    done.set()
    thread.join()


@pytest.mark.parametrize("ident", [0, 1, 12345, 2**70, -5])
def test_get_thread_info_of_an_unknown_thread_is_refused(ident):
    with pytest.raises(RuntimeError, match="^Thread id not found$"):
        tasklets.get_thread_info(ident)


@pytest.mark.parametrize("ident", [None, "1", 1.0])
def test_the_id_must_be_an_int(ident):
    with pytest.raises(TypeError):
        tasklets.get_thread_info(ident)


# Channels between threads.


def test_a_value_goes_to_another_thread():
    ch = channel()
    results = []
    thread = threading.Thread(target=lambda: results.append(ch.receive()))
    thread.start()
    ch.send("value")
    thread.join()
    assert results == ["value"]


def test_a_value_comes_from_another_thread():
    ch = channel()
    thread = threading.Thread(target=ch.send, args=("value",))
    thread.start()
    assert ch.receive() == "value"
    thread.join()


def test_an_error_goes_to_another_thread(log):
    ch = channel()

    def work():
        try:
            ch.receive()
        except KeyError as error:
            log.append(error.args)

    thread = threading.Thread(target=work)
    thread.start()
    ch.send_exception(KeyError, "x")
    thread.join()
    assert log == [("x",)]


def test_tasklets_of_two_threads_meet(log):
    ch = channel()

    def work():
        both = [spawn(lambda: log.append(ch.receive())) for _ in range(2)]
        for t in both:
            t.join()

    thread = threading.Thread(target=work)
    thread.start()
    ch.send(1)
    ch.send(2)
    thread.join()
    assert log == [1, 2]


@pytest.mark.parametrize("preference", [-1, 0, 1])
@pytest.mark.parametrize("schedule_all", [0, 1])
def test_the_actor_goes_on_if_the_partner_is_another_threads(
    log, preference, schedule_all
):
    ch = channel()
    ch.preference, ch.schedule_all = preference, schedule_all
    with worker() as other:
        other.do(lambda: (tasklet(lambda: log.append(ch.receive()))(), run())[1])
        tasklet(log.append)("not yet")
        ch.send("value")
        assert "not yet" not in log
        run()
        other.do(run)
    assert log == ["not yet", "value"] or log == ["value", "not yet"]


def test_the_partner_is_appended_to_its_own_queue(log):
    ch = channel()

    def wait():
        tasklet(lambda: (ch.receive(), log.append("partner")))()
        run()
        tasklet(log.append)("other")

    with worker() as other:
        other.do(wait)
        ready, go = threading.Event(), threading.Event()
        other.begin(lambda: (ready.set(), go.wait(SECONDS), run())[2])
        ready.wait(SECONDS)
        ch.send(None)
        go.set()
        other.end()
    assert log == ["other", "partner"]


def test_the_callback_is_called_after_a_meeting_with_another_thread(log):
    ch = channel()
    with worker() as other:
        other.do(lambda: (tasklet(ch.receive)(), run())[1])
        tasklets.set_channel_callback(
            lambda ch, t, sending, blocks: log.append((ch.balance, sending, blocks))
        )
        ch.send(1)
        tasklets.set_channel_callback(None)
        other.do(run)
    assert log == [(0, 1, 0)]


def test_a_waking_close_wakes_other_threads(log):
    ch = channel()

    def work():
        with pytest.raises(ChannelClosed):
            ch.receive()
        log.append("closed")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    while ch.balance > -3:
        schedule()
    ch.close(wake=True)
    for thread in threads:
        thread.join(SECONDS)
    assert log == ["closed"] * 3


def test_main_waits_for_a_thread_that_has_not_used_tasklets_yet():
    ch, go = channel(), threading.Event()

    def work():
        go.wait(SECONDS)
        ch.send("late")

    thread = threading.Thread(target=work)
    thread.start()
    tasklet(go.set)()
    assert ch.receive() == "late"
    thread.join()


def test_what_nobody_needs_dies_before_main_waits_for_another_thread():
    class Thing:
        pass

    ch, thing = channel(), Thing()
    ref = weakref.ref(thing)

    def work():
        while not ch.balance:
            schedule()
        ch.send(ref() is None)

    getcurrent().tempval = thing
    del thing
    thread = threading.Thread(target=work)
    thread.start()
    assert ch.receive()
    thread.join()


def test_a_tasklet_runs_while_its_main_waits_for_another_thread(log):
    ch = channel()
    with worker() as other:
        tasklet(lambda: [log.append(n) or schedule() for n in range(3)])()
        other.begin(lambda: ch.receive())
        ch.send("value")
        assert other.end() == "value"
        run()
    assert log == [0, 1, 2]


# insert, remove, setup, bind from another thread.


def test_a_tasklet_is_inserted_in_its_own_threads_queue():
    t = tasklet(int, ())
    in_thread(t.insert)
    assert (t.scheduled, getcurrent().next is t) == (True, True)
    run()


def test_a_tasklet_is_set_up_in_its_own_threads_queue(log):
    t = tasklet(lambda: log.append(threading.get_ident()))
    in_thread(t)
    assert (getcurrent().next is t, log) == (True, [])
    run()
    assert log == [threading.get_ident()]


@pytest.mark.parametrize("act", ["insert", "setup", "run"])
def test_it_wakes_a_thread_that_waits(act, log):
    ch = channel()
    with worker() as other:
        t = other.do(lambda: tasklet(lambda: log.append(1)))
        if act != "setup":
            t.bind(None, ())
        # The worker waits for its next order now, its main blocked.
        while not other.orders.balance:
            schedule()
        getattr(t, act)()
        while not log:
            schedule()
        assert (t.alive, ch.balance) == (False, 0)


def test_a_tasklet_is_removed_from_its_own_threads_queue(log):
    t = tasklet(log.append)(1)
    in_thread(t.remove)
    assert (t.paused, tasklets.getruncount()) == (True, 1)
    run()
    assert log == []
    t.kill()


def test_the_current_tasklet_of_another_thread_cannot_be_removed():
    main = getcurrent()

    def work():
        with pytest.raises(RuntimeError, match="current tasklet cannot be removed"):
            main.remove()
        return "refused"

    assert in_thread(work) == "refused"


def test_a_tasklet_is_bound_from_another_thread(log):
    t = tasklet()
    in_thread(lambda: t.bind(log.append, (1,)))
    assert (t.thread_id, t.paused) == (threading.get_ident(), True)
    t.run()
    assert log == [1]


def test_a_tasklet_is_unbound_from_another_thread():
    t = tasklet(int, ())
    in_thread(lambda: t.bind(None))
    assert not t.alive


def test_the_current_tasklet_of_another_thread_cannot_be_bound():
    main = getcurrent()

    def work():
        with pytest.raises(RuntimeError, match=r"can't \(re\)bind the current tasklet"):
            main.bind(int)
        return "refused"

    assert in_thread(work) == "refused"


# run and switch from another thread.


def test_run_puts_it_behind_the_running_one(log):
    a, b = tasklet(log.append)("a"), tasklet(log.append)("b")
    c = tasklet(log.append, ("c",))
    assert in_thread(c.run) is None
    in_thread(b.run)
    assert log == []
    run()
    assert log == ["b", "c", "a"]
    assert not a.alive


def test_run_puts_it_behind_the_one_that_a_schedule_callback_announces(log):
    def callback(prev, next):
        if next is b:
            tasklets.set_schedule_callback(None)
            in_thread(c.run)

    def work(name):
        log.append(name)
        schedule()

    a, b, c = tasklet(work)("a"), tasklet(work)("b"), tasklet(work, ("c",))
    tasklet(work)("d")
    tasklets.set_schedule_callback(callback)
    run()
    assert log == ["a", "b", "c", "d"]
    assert not a.alive


def test_run_puts_it_first_in_a_thread_that_waits(log):
    with worker() as other:

        def prepare():
            return tasklet(log.append, ("first",)), tasklet(log.append, ("second",))

        first, second = other.do(prepare)
        with tasklets.no_switch():
            second.insert()
            first.run()
        while len(log) < 2:
            schedule()
        del first, second
    # Woken by the first act already, it may have gone on before the second.
    assert sorted(log) == ["first", "second"]


def test_run_on_another_thread_does_not_switch(log):
    t = tasklet(log.append, (1,))

    def work():
        tasklet(log.append)("not run")
        t.run()
        assert log == []
        tasklets.getcurrent().next.kill()

    in_thread(work)
    run()
    assert log == [1]


def test_switch_to_another_thread_is_refused():
    t = tasklet(int, ())

    def work():
        with pytest.raises(
            RuntimeError, match=r"^can't switch to a different thread\.$"
        ):
            t.switch()
        return "refused"

    assert in_thread(work) == "refused"
    t.kill()


# kill and throw from another thread.


@pytest.mark.parametrize("pending", [False, True])
def test_a_kill_from_another_thread_waits_for_the_owner(log, pending):
    def work():
        try:
            pause()
        finally:
            log.append(threading.get_ident() == home)

    home = threading.get_ident()
    t = paused(work)
    in_thread(lambda: t.kill(pending))
    assert (log, t.scheduled) == ([], True)
    run()
    assert (log, t.alive) == ([True], False)


def test_a_kill_from_another_thread_unblocks_at_once():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    in_thread(t.kill)
    assert (t.blocked, t.scheduled, ch.balance) == (False, True, 0)
    run()
    assert not t.alive


def test_a_kill_from_another_thread_wakes_one_that_waits(log):
    ch = channel()

    def work():
        try:
            ch.receive()
        except TaskletExit:
            log.append("killed")

    thread = threading.Thread(target=work)
    thread.start()
    while not ch.balance:
        schedule()
    ch.queue.kill()
    thread.join(SECONDS)
    assert log == ["killed"]


def test_a_never_started_tasklet_is_killed_from_another_thread(log):
    t = tasklet(log.append)(1)
    in_thread(t.kill)
    run()
    assert (log, t.alive) == ([], False)


def test_an_error_thrown_from_another_thread_shows_on_the_owner():
    t = paused()
    in_thread(lambda: t.throw(KeyError, "x"))
    with pytest.raises(KeyError, match="x"):
        run()


def test_a_class_thrown_from_another_thread_is_called_on_the_owner(log):
    class Mine(Exception):
        def __init__(self):
            log.append(threading.get_ident())

    t = paused()
    in_thread(lambda: t.raise_exception(Mine))
    with pytest.raises(Mine):
        run()
    assert log == [threading.get_ident()]


@pytest.mark.parametrize(
    "operation",
    [
        schedule,
        tasklets.schedule_remove,
        run,
        lambda: channel().receive(),
        lambda: channel().try_receive(),
        lambda: getcurrent().run(),
        lambda: tasklet(int, ()).run(),
        lambda: spawn(int).join(),
    ],
)
def test_a_running_tasklet_sees_a_throw_at_its_next_operation(operation, log):
    ready, go = threading.Event(), threading.Event()
    box = []

    def work():
        box.append(getcurrent())
        ready.set()
        go.wait(SECONDS)
        log.append("still running")
        try:
            operation()
        except KeyError:
            log.append("thrown")
        for t in list(box[1:]):
            t.kill()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(SECONDS)
    box.pop().throw(KeyError)
    go.set()
    thread.join(SECONDS)
    assert log == ["still running", "thrown"]


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="an allocation does not collect at once"
)
@pytest.mark.parametrize(
    "operation",
    [
        lambda ch: schedule(),
        lambda ch: tasklets.schedule_remove(),
        lambda ch: ch.send("value"),
    ],
)
def test_a_throw_that_comes_while_the_next_one_gets_its_stack_is_seen(operation, log):
    class Last:
        def __init__(self):
            self.itself, self.main = self, getcurrent()

        def __del__(self):
            in_thread(lambda: self.main.throw(KeyError))

    def work():
        ch = channel()
        ch.schedule_all = True
        tasklet(ch.receive)()
        run()
        t = tasklet(int)()  # there is no other stack yet
        gc.collect()
        Last()
        thresholds = gc.get_threshold()
        gc.set_threshold(1)
        try:
            operation(ch)
        except KeyError:
            log.append("thrown")
        finally:
            gc.set_threshold(*thresholds)
        t.kill()

    in_thread(work)
    assert log == ["thrown"]


# What a tasklet is about to do, what another thread does just then, and the result.
WINDOWS = {
    "receive": (lambda ch: ch.receive(), lambda ch: ch.send("value"), "value"),
    "send": (lambda ch: ch.send("value"), lambda ch: ch.receive(), None),
    "select": (
        lambda ch: tasklets.select(tasklets.recv(ch))[1],
        lambda ch: ch.send("value"),
        "value",
    ),
    "select to send": (
        lambda ch: tasklets.select(tasklets.send(ch, "value"))[1],
        lambda ch: ch.receive(),
        None,
    ),
}


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="an allocation does not collect at once"
)
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_a_partner_that_comes_while_the_next_one_gets_its_stack_is_met(window):
    operation, other, result = window

    class Last:
        def __init__(self, ch):
            self.itself, self.channel = self, ch

        def __del__(self):
            threads.append(threading.Thread(target=other, args=(self.channel,)))
            threads[0].start()
            while not self.channel.balance:
                time.sleep(0.001)

    def work():
        ch = channel()
        t = tasklet(int)()  # there is no other stack yet
        gc.collect()
        Last(ch)
        thresholds = gc.get_threshold()
        gc.set_threshold(1)
        try:
            return operation(ch), ch.balance
        finally:
            gc.set_threshold(*thresholds)
            t.kill()

    threads = []
    assert in_thread(work) == (result, 0)
    threads[0].join(SECONDS)


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="an allocation does not collect at once"
)
def test_an_end_that_comes_while_the_next_one_gets_its_stack_is_seen():
    class Last:
        def __init__(self):
            self.itself = self

        def __del__(self):
            end.set()
            while victim.alive:
                time.sleep(0.001)

    def live():
        nonlocal victim
        victim = tasklet(int)()
        ready.set()
        end.wait()
        run()

    def work():
        t = tasklet(int)()  # there is no other stack yet
        gc.collect()
        Last()
        thresholds = gc.get_threshold()
        gc.set_threshold(1)
        try:
            return victim.join()
        finally:
            gc.set_threshold(*thresholds)
            t.kill()

    victim, ready, end = None, threading.Event(), threading.Event()
    thread = threading.Thread(target=live)
    thread.start()
    ready.wait()
    assert in_thread(work) is True
    thread.join()


def test_a_dead_tasklet_of_another_thread_cannot_be_thrown_at():
    t = tasklet(int)()
    run()

    def work():
        with pytest.raises(RuntimeError, match="^You cannot throw to a dead tasklet$"):
            t.throw(KeyError)
        t.kill()
        return "refused"

    assert in_thread(work) == "refused"


# Waiting for tasklets of other threads.


def test_a_result_comes_from_another_thread():
    def work():
        schedule()
        return "value"

    with worker() as other:
        t = other.do(lambda: spawn(work))
        assert t.result() == "value"


def test_an_error_comes_from_another_thread():
    ch = channel()

    def fail():
        ch.receive()
        raise KeyError

    with worker() as other:
        t = other.do(lambda: spawn(fail))
        while not ch.balance:
            schedule()
        tasklet(ch.send)(None)
        assert isinstance(t.exception(), KeyError)
        del t


def test_who_waits_is_woken_when_the_thread_ends():
    go = threading.Event()
    box = channel()

    def work():
        box.send((spawn(pause), tasklet(int, ()), tasklet(int)()))
        go.wait(SECONDS)

    thread = threading.Thread(target=work)
    thread.start()
    started, waiting, runnable = box.receive()
    tasklet(go.set)()
    assert started.join()
    assert runnable.join()
    assert started.done()
    thread.join()
    assert waiting.join()


# bind_thread.


def test_a_bound_tasklet_moves_to_the_calling_thread(log):
    t = tasklet(lambda: log.append(threading.get_ident()), ())

    def work():
        assert t.bind_thread() is None
        assert t.thread_id == threading.get_ident()
        t.insert()
        run()
        return threading.get_ident()

    assert in_thread(work) == log[0]


def test_a_tasklet_moves_to_the_thread_with_the_id(log):
    with worker() as other:
        t = tasklet(lambda: log.append(threading.get_ident()), ())
        other.do(int)
        t.bind_thread(other.ident)
        assert t.thread_id == other.ident
        t.insert()
        while not log:
            schedule()
        assert log == [other.ident]


def test_a_move_to_where_it_is_does_nothing():
    t = tasklet(int)()
    t.bind_thread()
    t.bind_thread(-1)
    t.bind_thread(threading.get_ident())
    assert t.scheduled
    getcurrent().bind_thread()
    run()


@pytest.mark.parametrize("make", [tasklet, lambda: tasklet(int)])
def test_a_tasklet_that_is_not_alive_may_move(make):
    t = make()

    def work():
        t.bind_thread()
        return t.thread_id == threading.get_ident()

    assert in_thread(work)


def refused_to_move(t, message):
    def work():
        with pytest.raises(RuntimeError, match=message):
            t.bind_thread()
        return t.thread_id

    assert in_thread(work) == threading.get_ident()


def test_a_runnable_tasklet_does_not_move():
    t = tasklet(int)()
    refused_to_move(t, r"^can't \(re\)bind a runnable tasklet$")
    run()


def test_a_started_tasklet_does_not_move():
    t = paused()
    refused_to_move(t, "^tasklet has C state on its stack$")
    t.kill()


def test_main_does_not_move():
    refused_to_move(tasklets.getmain(), "C state")


@pytest.mark.parametrize("ident", [0, 1, 12345])
def test_a_move_to_an_unknown_thread_is_refused(ident):
    with pytest.raises(ValueError, match="^bad thread$"):
        tasklet().bind_thread(ident)


@pytest.mark.parametrize("ident", [-2, -(2**70), 2**70])
def test_a_move_to_what_is_no_id_is_refused(ident):
    with pytest.raises((OverflowError, ValueError)):
        tasklet().bind_thread(ident)


@pytest.mark.parametrize("ident", [None, "1", 1.0])
def test_a_move_needs_an_int(ident):
    with pytest.raises(TypeError):
        tasklet().bind_thread(ident)


# Threads that end.


def test_started_tasklets_are_killed_when_their_thread_ends(log):
    def work():
        for wait in (pause, schedule, lambda: channel().receive()):

            def wait_for_ever(wait=wait):
                try:
                    wait()
                finally:
                    log.append(threading.get_ident())

            tasklet(wait_for_ever)()
        schedule()
        return threading.get_ident()

    ident = in_thread(work)
    assert log == [ident] * 3


def test_a_paused_tasklet_that_somebody_holds_is_killed_too(log):
    def work():
        try:
            pause()
        finally:
            log.append("finally")

    t = in_thread(lambda: paused(work))
    assert (log, t.alive, t.thread_id) == (["finally"], False, -1)


def test_a_never_started_tasklet_loses_its_thread(log):
    t = in_thread(lambda: tasklet(log.append)(1))
    assert (log, t.alive, t.scheduled, t.thread_id) == ([], False, False, -1)


def test_a_tasklet_that_refuses_to_end_loses_its_thread(log):
    def stubborn():
        while True:
            try:
                pause()
            except TaskletExit:
                log.append("refused")

    t = in_thread(lambda: paused(stubborn))
    assert (log, t.alive, t.thread_id, t.frame) == (["refused"], False, -1, None)


def test_a_blocked_tasklet_that_refuses_to_end_is_not_served():
    # What its frames hold stays for ever: not in this process.
    program = """
        import threading
        import tasklets
        ch, box = tasklets.channel(), []
        def stubborn():
            while True:
                try:
                    ch.receive()
                except tasklets.TaskletExit:
                    print("refused")
        def work():
            box.append(tasklets.tasklet(stubborn)())
            tasklets.run()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        t = box[0]
        print(t.alive, t.thread_id)
        try:
            ch.send(1)
        except RuntimeError as error:
            print(type(error).__name__ if not t.blocked else error)
        t.kill()
        print(t.blocked, ch.balance)
        """
    status, output, errors = run_program(program)
    assert (status, errors) == (0, [])
    lines = output.splitlines()
    assert lines[:2] == ["refused", "False -1"]
    assert lines[2] in ("tasklet has no thread", "DeadlockError")
    assert lines[3:] == ["False 0"]


def test_a_dying_tasklet_may_still_switch(log):
    def work():
        try:
            pause()
        finally:
            schedule()
            log.append("finally")

    box = []
    in_thread(lambda: box.append(paused(work)))
    assert log == ["finally"]


def test_a_dying_tasklet_may_start_others(log):
    def other():
        try:
            log.append("other")
            schedule()
        finally:
            log.append("end")

    def work():
        try:
            pause()
        finally:
            tasklet(other)()
            schedule()

    box = []
    in_thread(lambda: box.append(paused(work)))
    assert log in ([], ["other", "end"])


def test_the_main_tasklet_of_an_ended_thread_is_dead():
    main = in_thread(tasklets.getmain)
    assert (main.alive, main.thread_id, main.scheduled) == (False, -1, False)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda t: t.insert(), "^Target thread isn't initialized$"),
        (lambda t: t.run(), "^tasklet has no thread$"),
        (lambda t: t.switch(), "thread"),
        (lambda t: t.throw(KeyError), "^tasklet has no thread$"),
        (lambda t: t.bind(int, ()), "thread"),
    ],
)
def test_a_tasklet_without_a_thread_cannot_run(act, message):
    t = in_thread(lambda: tasklet(int)())
    with pytest.raises(RuntimeError, match=message):
        act(t)


def test_a_tasklet_without_a_thread_may_be_killed_and_removed():
    t = in_thread(lambda: tasklet(int)())
    assert t.kill() is None
    assert t.remove() is t


def test_a_never_started_tasklet_revives_on_another_thread(log):
    t = in_thread(lambda: tasklet(log.append)(1))
    t.bind_thread()
    assert (t.alive, t.paused) == (True, True)
    t.insert()
    run()
    assert log == [1]


def test_a_thread_may_end_inside_a_tasklet_that_it_began_in_main(log):
    def work():
        t = tasklet(sys.exit)()
        run()
        log.append(t.alive)

    in_thread(work)
    assert log == [False]


def test_a_thread_may_be_started_and_joined_in_a_tasklet(log):
    def work():
        log.append(in_thread(lambda: tasklet(int, ()).run() or "thread"))

    tasklet(work)()
    run()
    assert log == ["thread"]


def test_a_thread_local_finalizer_may_use_tasklets(log):
    class Last:
        def __del__(self):
            tasklet(log.append)("tasklet")
            with contextlib.suppress(RuntimeError):
                run()
            log.append("del")

    local = threading.local()

    def work():
        local.last = Last()
        tasklet(int)()
        run()

    in_thread(work)
    assert log[-1] == "del"


@pytest.mark.parametrize(
    "begin", ["threading.Thread(target=work).start()", "start_new_thread(work, ())"]
)
@pytest.mark.parametrize("use", ["", "tasklets.tasklet(pause)(); tasklets.run()"])
def test_a_thread_that_begins_with_tasklets_as_it_ends_is_not_waited_for(begin, use):
    program = f"""
        import os, threading
        from _thread import start_new_thread
        import tasklets
        def pause():
            tasklets.schedule_remove(None)
        class Last:
            def __del__(self):
                try:
                    mains.append(tasklets.getcurrent())
                    {use}
                except RuntimeError:
                    pass  # on Python 3.12 it is too late to begin
                done.release()
        def work():
            local.last = Last()
        local, mains, done = threading.local(), [], threading.Lock()
        done.acquire()
        {begin}
        done.acquire()
        try:
            tasklets.channel().receive()
        except tasklets.DeadlockError:
            print("deadlock")
        for main in mains:
            print(main.alive, main.frame, main.thread_id)
        threads = tasklets.scheduler.statistics()["threads"]
        print(threads, len(tasklets.getthreads()), flush=True)
        os._exit(0)  # on Python 3.11 the interpreter leaks a dict for such a thread
        """
    status, output, errors = run_program(program)
    assert (status, errors) == (0, [])
    assert output in ("deadlock\n1 1\n", "deadlock\nFalse None -1\n1 1\n")


def test_the_next_thread_with_the_same_id_begins_anew():
    for _ in range(5):
        assert in_thread(lambda: (paused(), tasklets.getruncount())[1]) == 1


# Deadlocks across threads.


def test_two_threads_that_wait_for_each_other_are_a_deadlock(log):
    a, b = channel(), channel()

    def wait(mine, other, name):
        try:
            mine.receive()
        except DeadlockError:
            log.append(name)
            other.send(None)

    thread = threading.Thread(target=wait, args=(a, b, "thread"))
    thread.start()
    wait(b, a, "main")
    thread.join(SECONDS)
    assert len(log) == 1


def test_a_thread_that_ends_leaves_a_deadlock_behind():
    ch, ready = channel(), threading.Event()

    def work():
        tasklet(int)()
        run()
        ready.wait(SECONDS)

    thread = threading.Thread(target=work)
    thread.start()
    tasklet(ready.set)()
    with pytest.raises(DeadlockError):
        ch.receive()
    thread.join()
    assert ch.balance == 0


def test_a_plain_thread_that_ends_leaves_a_deadlock_behind():
    ch, ready = channel(), threading.Event()
    thread = threading.Thread(target=ready.wait)
    thread.start()
    tasklet(ready.set)()
    with pytest.raises(DeadlockError):
        ch.receive()
    thread.join()


def test_a_deadlock_error_lists_the_waiters_of_all_threads(log):
    ch = channel()

    def wait(name):
        t = spawn(ch.receive, name=name)
        while not t.blocked:
            schedule()
        try:
            ch.receive()
        except DeadlockError as error:
            log.append(str(error))
        ch.close(wake=True)
        with contextlib.suppress(ChannelClosed):
            run()

    def work():
        with contextlib.suppress(ChannelClosed):
            wait("in the thread")

    thread = threading.Thread(target=work)
    thread.start()
    while ch.balance > -2:
        schedule()
    with contextlib.suppress(ChannelClosed):
        wait("in main")
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert len(log) == 1
    assert "in the thread" in log[0]
    assert "in main" in log[0]


def test_threads_in_a_deadlock_may_go_on(log):
    def work(name, mine, other):
        for _ in range(3):
            try:
                mine.receive()
            except DeadlockError:
                log.append(name)
                other.try_send(None)

    a, b = channel(), channel()
    thread = threading.Thread(target=work, args=("thread", a, b))
    thread.start()
    work("main", b, a)
    while thread.is_alive():
        a.try_send(None)
    thread.join(SECONDS)
    assert 1 <= len(log) <= 6


# Stress.


@pytest.fixture
def busy_interpreter():
    """Have the threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_interpreter")
@pytest.mark.parametrize("preference", [-1, 0, 1])
def test_no_value_is_lost_or_doubled_between_two_threads(preference):
    ch = channel()
    ch.preference = preference

    def produce():
        def work(first):
            for value in range(first, 400, 4):
                ch.send(value)

        four = [spawn(work, first) for first in range(4)]
        for t in four:
            t.join()

    received = []
    thread = threading.Thread(target=produce)
    thread.start()
    for _ in range(400):
        received.append(ch.receive())
    thread.join(SECONDS)
    assert sorted(received) == list(range(400))


@pytest.mark.usefixtures("busy_interpreter")
def test_threads_play_ping_pong():
    ping, pong = channel(), channel()

    def play():
        for value in ping:
            pong.send(value + 1)

    thread = threading.Thread(target=play)
    thread.start()
    value = 0
    for _ in range(300):
        ping.send(value)
        value = pong.receive()
    ping.close(wake=True)
    thread.join(SECONDS)
    assert value == 300


STRESS = """
import contextlib, faulthandler, random, sys, threading
import tasklets
from tasklets import channel, run, schedule, scheduler, tasklet

faulthandler.dump_traceback_later(25, exit=True)
sys.setswitchinterval(1e-6)
sys.unraisablehook = lambda args: None
seed = int(sys.argv[1])
shared = [channel() for _ in range(3)]
for ch in shared:
    ch.preference = seed % 3 - 1
everyone = []
stop = False

class Stray(Exception):
    pass

ODDITIES = (Stray, RuntimeError, ValueError, IndexError)

def act(rnd):
    kind = rnd.randrange(12)
    ch = rnd.choice(shared)
    t = rnd.choice(everyone) if everyone else None
    if kind < 2:
        ch.send(rnd.random())
    elif kind < 4:
        ch.receive()
    elif kind == 4:
        schedule()
    elif kind == 5:
        everyone.append(tasklet(body)(rnd.random()))
    elif t is None or t.is_main:
        schedule()
    elif kind == 6:
        t.kill(pending=bool(rnd.randrange(2)))
    elif kind == 7:
        t.throw(Stray, pending=bool(rnd.randrange(2)))
    elif kind == 8:
        t.insert()
    elif kind == 9:
        t.remove()
    elif kind == 10:
        t.run()
    else:
        ch.close(wake=True)
        ch.open()
    if len(everyone) > 60:
        del everyone[:30]

def body(seed):
    rnd = random.Random(seed)
    for _ in range(20):
        with contextlib.suppress(*ODDITIES):
            act(rnd)

def iter_queue(ch):
    t = ch.queue
    while t is not None:
        yield t
        t = t.next

def thread(number):
    rnd = random.Random(seed * 10 + number)
    for _ in range(60):
        for _ in range(3):
            everyone.append(tasklet(body)(rnd.random()))
        with contextlib.suppress(*ODDITIES, tasklets.TaskletExit):
            scheduler.run(switches=200)

threads = [threading.Thread(target=thread, args=(n,)) for n in range(2)]
for t in threads:
    t.start()
for t in threads:
    t.join()
everyone.clear()
for t in scheduler.getuncollectables():
    with contextlib.suppress(BaseException):
        t.kill()
for ch in shared:
    # One that was thrown something as its thread ended may have waited again: it stays
    # there until somebody kills it.
    for t in list(iter_queue(ch)):
        assert t.thread_id == -1 and not t.alive, t
        t.kill()
    while ch.balance > 0:  # values of receivers that were killed
        with contextlib.suppress(*ODDITIES):
            assert ch.try_receive("nothing") != "nothing", ch
    assert ch.balance == 0, ch
print("ok")
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_two_threads_that_act_on_each_other_stay_whole(seed):
    assert run_program(STRESS, seed) == (0, "ok\n", [])


def test_two_threads_that_act_on_each_other_stay_whole_for_a_moment():
    assert run_program(STRESS, 100) == (0, "ok\n", [])


@pytest.mark.usefixtures("busy_interpreter")
def test_threads_come_and_go_while_their_tasklets_wait():
    ch = channel()
    rnd = random.Random(1)

    def work(n):
        for _ in range(n):
            tasklet(ch.receive)()
        schedule()

    sent = 0
    for _ in range(30):
        threads = [
            threading.Thread(target=work, args=(rnd.randrange(4),)) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for _ in range(rnd.randrange(5)):
            sent += ch.try_send(None)
        for thread in threads:
            thread.join()
    # What a receiver did not come to take before its thread ended has come back.
    assert 0 <= ch.balance <= sent
    while ch.balance:
        ch.receive()
