"""Pools of workers, as executors."""

import concurrent.futures
import contextlib
import pickle
import random
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor

import pytest
from pools import fail, settled, started, yield_until
from threads import SECONDS

import tasklets
from tasklets import (
    BlockTrapError,
    CancelledError,
    block_trap,
    schedule,
    spawn,
    workers,
)
from tasklets.workers import (
    WorkerFuture,
    WorkerPool,
    call_in_scheduler,
)

# ---- the executor


def test_a_pool_is_an_executor(pool):
    assert isinstance(pool, Executor)
    future = pool.submit(pow, 2, 5)
    assert isinstance(future, Future)
    assert future.result() == 32
    assert future.exception() is None
    assert future.done()
    assert list(pool.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]


def test_a_future_keeps_an_exception(pool):
    future = pool.submit(fail, "x")
    assert isinstance(future.exception(), KeyError)
    for _ in range(2):
        with pytest.raises(KeyError):
            future.result()


def test_futures_let_other_tasklets_run(one, gate):
    future = one.submit(gate.wait)
    waiting = [started(future.result), started(future.exception)]
    assert all(t.blocked for t in waiting)
    gate.set()
    assert [t.result() for t in waiting] == [True, None]


def test_a_future_may_take_too_long(one, gate):
    future = one.submit(gate.wait)
    for method in (future.result, future.exception):
        with pytest.raises(TimeoutError):
            method(0.01)
        with pytest.raises(TimeoutError):
            method(timeout=0)
    gate.set()
    assert future.result(SECONDS) is True


def test_the_standard_library_waits_for_the_futures(pool):
    futures = [pool.submit(time.sleep, 0.001 * i) for i in range(5)]
    done, rest = concurrent.futures.wait(futures, return_when=FIRST_COMPLETED)
    assert done
    assert len(done | rest) == 5
    assert set(concurrent.futures.as_completed(futures)) == set(futures)


def test_a_callback_is_called_on_the_worker(one):
    seen = []
    future = one.submit(threading.get_ident)
    future.add_done_callback(lambda f: seen.append((f, threading.get_ident())))
    one.shutdown()
    assert seen in ([(future, future.result())], [(future, threading.get_ident())])


def test_a_future_is_running_while_it_runs(one, gate):
    first, second = one.submit(gate.wait), one.submit(int)
    yield_until(first.running)
    assert not second.running()
    assert not first.cancel()


def test_a_call_can_be_cancelled_before_it_begins(one, gate):
    one.submit(gate.wait)
    ran, called = [], []
    future = one.submit(ran.append, 1)
    future.add_done_callback(called.append)
    t = started(lambda: future.exception())
    waits = started(t.exception)
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert called == [future]
    assert isinstance(waits.result(), concurrent.futures.CancelledError)
    assert concurrent.futures.wait([future]).done == {future}
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    gate.set()
    one.shutdown()
    assert ran == []


def test_after_shutdown_nothing_is_accepted(one):
    one.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        one.submit(int)
    with pytest.raises(RuntimeError, match="after shutdown"):
        one.call(int)
    one.shutdown()


def test_shutdown_waits_until_all_is_done(one, gate):
    ran = []
    one.submit(gate.wait)
    one.submit(ran.append, 1)
    t = started(one.shutdown)
    assert t.blocked
    gate.set()
    t.join()
    assert ran == [1]


def test_shutdown_need_not_wait(one, gate):
    future = one.submit(gate.wait)
    one.shutdown(wait=False)
    assert not future.done()
    gate.set()
    assert future.result() is True


def test_shutdown_may_cancel_what_has_not_begun(one, gate):
    first = one.submit(gate.wait)
    yield_until(first.running)
    second = one.submit(int)
    t = started(one.call, int)
    waits = started(t.exception)
    one.shutdown(wait=False, cancel_futures=True)
    assert second.cancelled()
    assert isinstance(waits.result(), CancelledError)
    gate.set()
    assert first.result() is True


def test_the_threads_end_with_the_pool(one):
    thread = one.call(threading.current_thread)
    one.shutdown()
    assert not thread.is_alive()


def test_the_threads_of_a_forgotten_pool_end():
    pool = WorkerPool(1)
    thread = pool.call(threading.current_thread)
    del pool
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_the_calls_of_a_forgotten_pool_are_done(gate):
    pool = WorkerPool(1)
    futures = [pool.submit(gate.wait), pool.submit(int)]
    del pool
    gate.set()
    assert [future.result() for future in futures] == [True, 0]


def test_a_worker_does_not_wait_for_its_own_pool(one):
    with pytest.raises(RuntimeError, match="its own pool"):
        one.call(one.shutdown)


def test_threads_are_started_when_they_are_needed():
    with WorkerPool(3) as pool:
        assert pool._pool.workers == 0
        for _ in range(5):
            pool.call(int)
            settled(pool)
        assert pool._pool.workers == 1
        gate = threading.Barrier(3)
        assert sorted(pool.map(lambda _: gate.wait(SECONDS), range(3))) == [0, 1, 2]
        assert pool._pool.workers == 3


def test_a_pool_that_gets_no_thread_says_so(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    pool = WorkerPool(1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="start new thread"):
            pool.submit(int)
        with pytest.raises(RuntimeError, match="start new thread"):
            pool.call(int)
    assert pool._pool.queued == 0
    assert pool.call(int) == 0
    pool.shutdown()


def test_a_pool_makes_do_with_the_threads_that_it_gets(monkeypatch, gate):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    pool = WorkerPool(2)
    first = pool.submit(gate.wait)
    yield_until(first.running)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        second = pool.submit(int)
    gate.set()
    assert second.result() == 0
    pool.shutdown()


def test_an_interrupted_start_of_a_thread_does_no_harm(monkeypatch):
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    pool = WorkerPool(1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pool.submit(int)
    assert [pool.call(pow, i, 2) for i in range(5)] == [0, 1, 4, 9, 16]
    settled(pool)
    assert pool._pool.workers == 1
    pool.shutdown()


# ---- back-pressure


def test_submit_waits_while_the_queue_is_full(gate):
    with WorkerPool(1, max_queued=2) as pool:
        futures = []

        def feed():
            for i in range(6):
                futures.append(pool.submit(lambda i=i: (gate.wait(), i)[1]))

        t = started(feed)
        yield_until(lambda: len(futures) == 3)
        assert t.blocked
        assert pool._pool.queued == 3  # the last one waits with its submitter
        gate.set()
        t.join()
        assert [future.result() for future in futures] == list(range(6))


def test_submitters_are_let_in_in_order(gate):
    with WorkerPool(1, max_queued=1) as pool:
        order = []
        pool.submit(gate.wait)
        yield_until(lambda: pool._pool.queued == 0)
        pool.submit(int)
        waiting = [started(pool.submit, order.append, i) for i in range(5)]
        assert all(t.blocked for t in waiting)
        gate.set()
        for t in waiting:
            t.join()
    assert order == list(range(5))


def test_a_submitter_that_is_killed_has_not_submitted(gate):
    with WorkerPool(1, max_queued=1) as pool:
        order = []
        pool.submit(gate.wait)
        yield_until(lambda: pool._pool.queued == 0)
        pool.submit(int)
        waiting = [started(pool.submit, order.append, i) for i in range(3)]
        waiting[0].kill()
        waiting[2].kill()
        gate.set()
        waiting[1].join()
    assert order == [1]


def test_cancelling_makes_room(gate):
    with WorkerPool(1, max_queued=1) as pool:
        pool.submit(gate.wait)
        yield_until(lambda: pool._pool.queued == 0)
        stored = pool.submit(int)
        t = started(pool.submit, int)
        assert t.blocked
        assert stored.cancel()
        assert t.join()
        gate.set()


def test_shutdown_may_cancel_calls_that_wait_for_a_place(gate):
    pool = WorkerPool(1, max_queued=1)
    pool.submit(gate.wait)
    yield_until(lambda: pool._pool.queued == 0)
    pool.submit(int)
    t = started(pool.submit, int)
    assert t.blocked
    pool.shutdown(wait=False, cancel_futures=True)
    assert t.result().cancelled()
    gate.set()
    pool.shutdown()


def test_calls_do_not_wait_for_room_only_for_their_outcome(gate):
    with WorkerPool(1, max_queued=1) as pool:
        calls = [started(pool.call, lambda i=i: (gate.wait(), i)[1]) for i in range(5)]
        assert pool._pool.queued >= 4
        gate.set()
        assert [t.result() for t in calls] == list(range(5))


def test_a_full_queue_refuses_a_caller_that_must_not_wait(gate):
    with WorkerPool(1, max_queued=1) as pool:
        pool.submit(gate.wait)
        yield_until(lambda: pool._pool.queued == 0)
        pool.submit(int)
        with block_trap(), pytest.raises(BlockTrapError):
            pool.submit(int)
        assert pool._pool.queued == 1
        gate.set()


# ---- arguments


def test_the_environment_sets_the_number_of_workers(monkeypatch):
    monkeypatch.setenv("TASKLETS_WORKERS", "3")
    assert WorkerPool().max_workers == 3
    assert WorkerPool(2).max_workers == 2
    monkeypatch.setenv("TASKLETS_WORKERS", "")
    assert 5 <= WorkerPool().max_workers <= 32


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_bad_number_in_the_environment_is_refused(monkeypatch, text):
    monkeypatch.setenv("TASKLETS_WORKERS", text)
    with pytest.raises(ValueError, match="TASKLETS_WORKERS must be a positive int"):
        WorkerPool()


@pytest.mark.parametrize("name", ["max_workers", "max_queued"])
def test_sizes_must_be_positive_integers(name):
    for bad in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be positive"):
            WorkerPool(**{name: bad})
    for bad in ("1", 1.5, object()):
        with pytest.raises(TypeError):
            WorkerPool(**{name: bad})
    assert getattr(WorkerPool(**{name: 2**70}), name) > 2**30


def test_other_bad_arguments_are_refused(one):
    with pytest.raises(TypeError, match="on_abandoned"):
        WorkerPool(1, on_abandoned=1)
    with pytest.raises(TypeError):
        WorkerPool(1, 2)
    with pytest.raises(TypeError, match="callable"):
        one.submit(None)
    with pytest.raises(TypeError):
        one.submit()


def test_the_inner_pool_refuses_nonsense():
    inner = tasklets._core.worker_pool(lambda pool: None, 1)
    for args in ((), (1,), (1, ()), (int, []), (int, (), 5)):
        for method in (inner.call, inner.submit):
            with pytest.raises(TypeError):
                method(*args)
    for args in ((), (int,), (int, "x"), (int, 1, "x")):
        with pytest.raises(TypeError):
            tasklets._core.worker_pool(*args)
    for args in ((int, 0), (int, -5), (int, 1, -1)):
        with pytest.raises(ValueError, match="positive"):
            tasklets._core.worker_pool(*args)
    with pytest.raises(TypeError):
        tasklets._core.job()


def test_no_part_of_it_can_be_pickled(one):
    future = one.submit(int)
    for thing in (one, one._pool, future, future._job):
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(thing)


def test_reprs_say_how_it_stands(one, gate):
    assert "workers=0 of 1 idle=0 queued=0" in repr(one)
    futures = [one.submit(gate.wait), one.submit(int)]
    yield_until(futures[0].running)
    assert "workers=1 of 1 idle=0 queued=1" in repr(one)
    assert "workers=1 idle=0 queued=1" in repr(one._pool)
    assert "running" in repr(futures[0]._job)
    assert "queued" in repr(futures[1]._job)
    t = started(futures[1].result)
    assert "waits to get the outcome of <tasklets._core.job" in repr(t)
    futures[1].cancel()
    assert "cancelled" in repr(futures[1]._job)
    with pytest.raises(concurrent.futures.CancelledError):
        t.result()
    gate.set()
    one.shutdown()
    assert "done" in repr(futures[0]._job)
    assert repr(one).startswith("<tasklets.workers.WorkerPool shut down")


# ---- leaks and stress


class Operations:
    """Each method does one thing and leaves nothing behind."""

    def __init__(self):
        self.pool = WorkerPool(1)
        self.abandoning = WorkerPool(1, on_abandoned=lambda future: None)

    def close(self):
        self.pool.shutdown()
        self.abandoning.shutdown()

    def call(self):
        self.pool.call(dict, a=object())

    def call_that_fails(self):
        with pytest.raises(KeyError):
            self.pool.call(fail, object())

    def call_that_is_refused(self):
        with pytest.raises(TypeError):
            self.pool.call(5)

    def call_that_is_killed(self):
        t = spawn(self.pool.call, int)
        schedule()
        t.kill()
        self.pool.call(int)

    def call_that_times_out(self):
        with contextlib.suppress(TimeoutError):
            self.pool.call(int, timeout=0)
        self.pool.call(int)

    def call_that_is_abandoned(self):
        with contextlib.suppress(TimeoutError):
            self.abandoning.call(int, timeout=0)
        self.abandoning.call(int)

    def future(self):
        self.pool.submit(dict, a=object()).result()

    def future_that_fails(self):
        with pytest.raises(KeyError):
            self.pool.submit(fail).result()

    def future_that_is_cancelled(self):
        release = threading.Lock()
        with release:
            self.pool.submit(release.acquire).add_done_callback(
                lambda _: release.release()
            )
            assert self.pool.submit(int).cancel()
        self.pool.call(int)

    def nested_call(self):
        self.pool.call(self.pool.call, int)

    def call_in_scheduler(self):
        call_in_scheduler(threading.get_ident(), dict, a=object())

    def call_in_scheduler_that_fails(self):
        with pytest.raises(KeyError):
            call_in_scheduler(threading.get_ident(), fail)


@pytest.mark.parametrize("name", [n for n in vars(Operations) if n[0] != "_"][1:])
def test_an_operation_leaks_nothing(name, no_leak):
    operations = Operations()
    try:
        no_leak(getattr(operations, name), calls=200)
    finally:
        operations.close()


def test_pools_leak_nothing():
    def work():
        with WorkerPool(2) as pool:
            list(pool.map(int, range(4)))
        del pool

    before = threading.active_count()
    for _ in range(20):
        work()
    yield_until(lambda: threading.active_count() <= before)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_calls_kills_and_timeouts_in_any_order(seed, tiny_switch_interval):
    rng = random.Random(seed)
    abandoned, results = [], []

    def work(i, pause):
        time.sleep(pause)
        if i % 7 == 0:
            raise KeyError(i)
        return i

    def caller(pool, i):
        pause, timeout = rng.choice((0, 0, 0.001)), rng.choice((None, SECONDS, 0.001))
        try:
            if i % 3:
                value = pool.call(work, i, pause, timeout=timeout)
            else:
                value = pool.submit(work, i, pause).result(timeout)
        except KeyError as error:
            value = error.args[0]
        except TimeoutError:
            return
        results.append(value)
        assert value == i

    def thread():
        mine = [spawn(caller, pool, i) for i in range(200)]
        while not all(t.done() for t in mine):
            schedule()
            if rng.random() < 0.05:
                rng.choice(mine).kill()
            pool.call(int)

    with WorkerPool(3, max_queued=20, on_abandoned=abandoned.append) as pool:
        threads = [threading.Thread(target=thread) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert results
    assert all(future.done() for future in abandoned)
    assert pool._pool.queued == 0


@pytest.mark.slow
def test_pools_come_and_go_under_load(tiny_switch_interval):
    def work():
        for _ in range(10):
            with WorkerPool(3) as pool:
                assert sorted(pool.map(abs, range(-20, 0))) == list(range(1, 21))

    with ThreadPoolExecutor(3) as executor:
        for future in [executor.submit(work) for _ in range(3)]:
            future.result()


def test_the_module_says_what_is_public():
    assert sorted(workers.__all__) == workers.__all__
    assert issubclass(WorkerFuture, Future)
