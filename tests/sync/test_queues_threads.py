"""Queues between threads, and in signal handlers and forks."""

import random
import signal
import threading

import pytest
from children import forks_beside_threads, run_program
from queue_kinds import IN_ORDER, bounded, every, getter, waiting
from threads import SECONDS, block_until, in_thread, running

import tasklets
import tasklets.locks
from tasklets import TaskletExit, _core, schedule, spawn, timeout
from tasklets.queues import Empty, Full, Queue, ShutDown, SimpleQueue
from tasklets.testing import fake_clock, seeded, settle

# Threads.


@every
@pytest.mark.parametrize("with_tasklets", [0, 1, 2])
def test_items_between_threads(make, with_tasklets):
    """0: plain threads; 1: the consumer is a tasklet; 2: both are."""
    q = make(3) if make is not SimpleQueue else make()
    seen = []

    def produce():
        for i in range(500):
            q.put(i)

    def consume():
        seen.extend(q.get() for _ in range(500))

    def as_tasklet(work):
        return lambda: (spawn(work).join(), None)

    with running(
        as_tasklet(produce) if with_tasklets > 1 else produce,
        as_tasklet(consume) if with_tasklets > 0 else consume,
    ):
        pass
    assert sorted(seen) == list(range(500))
    if make in IN_ORDER:
        assert seen == list(range(500))


@every
def test_a_plain_thread_gets_no_tasklets(make):
    q, answer = make(), make()
    schedulers = _core.live_counts()["scheduler"]

    def work():
        answer.put(q.get() + 1)
        q.get()

    thread = threading.Thread(target=work)
    thread.start()
    q.put(1)
    assert answer.get() == 2
    assert _core.live_counts()["scheduler"] == schedulers
    q.put(1)
    thread.join(SECONDS)


@bounded
def test_join_between_threads(make):
    q = make()
    done = []

    def work():
        for _ in range(50):
            q.get()
            done.append(1)
            q.task_done()

    for i in range(100):
        q.put(i)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    q.join()
    assert len(done) == 100
    for thread in threads:
        thread.join(SECONDS)


@bounded
def test_shutdown_wakes_threads(make):
    q = make()

    def work():
        with pytest.raises(ShutDown):
            q.get()

    with running(work, work, lambda: spawn(work).join()):
        block_until(lambda: waiting(q) == 3)
        q.shutdown()


@every
def test_a_thread_that_ends_with_waiters_leaves_the_queue_usable(make):
    q = make()

    def work():
        for _ in range(3):
            spawn(q.get)
        settle()

    in_thread(work)
    q.put(1)
    assert q.get() == 1


@every
def test_a_thread_that_ends_before_its_tasklet_gets_the_item(make):
    q = make()

    def work():
        spawn(q.get)
        settle()
        q.put(1)

    in_thread(work)
    assert q.get(timeout=SECONDS) == 1


@every
def test_a_paused_tasklet_that_was_woken_gives_its_item_back(make, log):
    q = make()
    t = getter(log, q)
    settle()
    q.put(1)
    t.remove()
    t.kill()
    assert (log, q.get_nowait()) == ([TaskletExit], 1)


@every
def test_a_random_order_loses_nothing(make, log):
    for seed in range(20):
        q = make()
        with seeded(seed):
            for i in range(5):
                getter(log, q)
                spawn(q.put, i)
            settle()
        assert (sorted(log), q.qsize()) == ([0, 1, 2, 3, 4], 0)
        log.clear()


def mess(make, seed, items=300):
    """Put and get with kills, throws and timeouts at random, in four threads.

    Return what was put, what was got, and what is left.
    """
    q = make() if make is SimpleQueue else make(3)
    put, got, stop = [], [], threading.Event()

    def get(rng):
        choice = rng.random()
        if choice < 0.5:
            got.append(q.get())
        elif choice < 0.8:
            got.append(q.get(timeout=rng.random() / 1000))
        else:
            with timeout(rng.random() / 1000):
                got.append(q.get())

    def one_get(rng):
        try:
            get(rng)
        except (Empty, KeyError, TimeoutError):
            pass

    def in_tasklets(number):
        rng = random.Random(seed * 10 + number)
        alive = []
        while not stop.is_set():
            alive = [t for t in alive if not t.done()]
            if len(alive) < 4:
                alive.append(spawn(one_get, rng))
            schedule()
            victim = rng.choice(alive)
            if rng.random() < 0.3:
                victim.kill()
            elif rng.random() < 0.3 and victim.blocked:
                victim.throw(KeyError, pending=True)
            tasklets.sleep(0.0002)
        for t in alive:
            t.kill()

    def plain():
        rng = random.Random(seed)
        while not stop.is_set():
            try:
                got.append(q.get(timeout=rng.random() / 500))
            except Empty:
                pass

    def produce(number):
        for i in range(items):
            q.put((number, i))
            put.append((number, i))

    def produce_all():
        try:
            t = spawn(produce, 0)
            produce(1)
            t.join()
            block_until(q.empty)
        finally:
            stop.set()

    with running(lambda: in_tasklets(1), lambda: in_tasklets(2), plain, produce_all):
        pass
    while not q.empty():
        got.append(q.get())
    return put, got


@every
@pytest.mark.parametrize("seed", range(3))
def test_no_item_is_lost_or_got_twice(make, seed):
    put, got = mess(make, seed)
    assert sorted(got) == sorted(put)


def mess_in_one_thread(make, seed):
    """Do the same in one thread, where each moment can be hit exactly."""
    rng = random.Random(seed)
    q = make() if make is SimpleQueue else make(2)
    put, got, numbers = [], [], iter(range(10**6))

    def get():
        try:
            got.append(q.get(timeout=rng.choice([None, 1, 2])))
        except (Empty, KeyError):
            pass

    def give():
        item = next(numbers)
        try:
            q.put(item, timeout=rng.choice([None, 1, 2]))
        except (Full, KeyError):
            return
        put.append(item)

    with fake_clock() as clock:
        alive = []
        for _ in range(300):
            choice = rng.random()
            if choice < 0.25:
                alive.append(spawn(get))
            elif choice < 0.5:
                alive.append(spawn(give))
            elif choice < 0.6 and alive:
                rng.choice(alive).kill(pending=rng.random() < 0.5)
            elif choice < 0.7 and alive:
                t = rng.choice(alive)
                if t.blocked:
                    t.throw(KeyError, pending=True)
            elif choice < 0.8:
                clock.advance(rng.random())
            elif choice < 0.9 and make is not SimpleQueue:
                with q.mutex:
                    schedule()
                    rng.choice([q.not_empty, q.not_full]).notify(rng.randrange(3))
            else:
                schedule()
            alive = [t for t in alive if not t.done()]
        settle()
        # Nobody sleeps beside what it waits for.
        stuck = not q.empty() and any("get from" in repr(t) for t in alive)
        for t in alive:
            t.kill()
        settle()
        while not q.empty():
            got.append(q.get_nowait())
    return put, got, stuck


@every
@pytest.mark.parametrize("seed", range(20))
def test_no_item_is_lost_in_any_order_of_events(make, seed):
    put, got, stuck = mess_in_one_thread(make, seed)
    assert sorted(got) == sorted(put)
    assert not stuck


# Signals and forks.


@pytest.mark.parametrize("make", [Queue, SimpleQueue])
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_signal_handler_may_put_what_main_waits_for(make):
    q = make()
    before = signal.signal(signal.SIGALRM, lambda *args: q.put("from the handler"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert q.get(timeout=SECONDS) == "from the handler"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("make", ["Queue", "PriorityQueue", "SimpleQueue"])
@pytest.mark.parametrize("with_tasklets", [False, True])
def test_ctrl_c_arrives(make, with_tasklets):
    status, output, errors = run_program(
        f"""
        import os, signal, threading, time
        import tasklets
        from tasklets.queues import {make}

        q = {make}()
        if {with_tasklets}:
            tasklets.spawn(q.get)
            tasklets.schedule()

        def interrupt():
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

        try:
            threading.Thread(target=interrupt).start()
            q.get()
        except KeyboardInterrupt:
            print("interrupted")
        q.put(1)
        q.put(2)
        if {with_tasklets}:
            tasklets.schedule()
        print(q.get())
        """
    )
    assert (status, errors) == (0, [])
    assert output.split() == ["interrupted", "2" if with_tasklets else "1"]


@forks_beside_threads
def test_the_child_of_a_fork_has_the_items_promised_to_lost_waiters():
    status, output, errors = run_program(
        """
        import os, threading, time, warnings
        import tasklets
        from tasklets.queues import Queue, SimpleQueue

        warnings.simplefilter("ignore", DeprecationWarning)
        queues = [Queue(), SimpleQueue()]
        for q in queues:
            for _ in range(2):
                threading.Thread(target=q.get, daemon=True).start()
        time.sleep(0.2)
        for q in queues:
            q.put(1)
        pid = os.fork()
        if pid == 0:
            for q in queues:
                q.put(2)
                print(q.get(timeout=5), flush=True)
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
        for q in queues:
            q.put(3)
        """
    )
    assert (status, errors) == (0, [])
    printed = output.split()
    assert printed[-1] == "0"
    assert len(printed) == 3


@every
def test_no_operation_leaks(make, no_leak):
    q = make()

    def work():
        q.put(1)
        q.get()
        t = spawn(q.get)
        settle()
        q.put(2)
        t.join()
        t = spawn(q.get)
        settle()
        t.kill()
        try:
            q.get(timeout=0)
        except Empty:
            pass
        make().put([])

    no_leak(work, calls=200)
