"""What a thread does to the tasklets of another thread."""

import gc
import sys
import threading
import time

import pytest
from remote import pause, paused, worker
from threads import SECONDS, in_thread

import tasklets
from tasklets import TaskletExit, channel, getcurrent, run, schedule, spawn, tasklet

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
def test_an_insert_wakes_a_thread_that_waits(act, log):
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


def test_a_kill_from_another_thread_wakes_a_waiting_tasklet(log):
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


def test_a_joiner_is_woken_when_the_thread_ends():
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
