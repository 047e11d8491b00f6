"""Several threads, each with a scheduler: what they have, and how they end."""

import contextlib
import random
import sys
import threading

import greenlet
import pytest
from children import run_program
from remote import pause, paused, worker
from threads import SECONDS, in_thread

import tasklets
from tasklets import TaskletExit, channel, getcurrent, run, schedule, spawn, tasklet

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


# Threads that end.


def test_started_tasklets_are_killed_when_their_thread_ends(log):
    def work():
        for wait in (pause, schedule, lambda: channel().receive()):

            def wait_forever(wait=wait):
                try:
                    wait()
                finally:
                    log.append(threading.get_ident())

            tasklet(wait_forever)()
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
    # What its frames hold stays forever: not in this process.
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


# Stress.


@pytest.mark.usefixtures("tiny_switch_interval")
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


@pytest.mark.usefixtures("tiny_switch_interval")
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
import contextlib, faulthandler, random, sys, threading, warnings
import tasklets
from tasklets import channel, run, schedule, scheduler, tasklet

# Some tasklets have not started when their thread ends.
warnings.simplefilter("ignore", RuntimeWarning)
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
    # A tasklet that was thrown something as its thread ended may wait again: it stays
    # there until another tasklet kills it.
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


@pytest.mark.usefixtures("tiny_switch_interval")
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
