"""tasklets.testing: settling, a clock that tests move, and seeded orders."""

import math
import threading

import pytest

from tasklets import (
    _core,
    channel,
    getcurrent,
    run,
    schedule,
    scheduler,
    sleep,
    spawn,
    tasklet,
    timeout,
)
from tasklets.testing import FakeClock, fake_clock, seeded, settle

# settle()


def test_settle_lets_the_others_run_until_all_wait(log):
    def work(number):
        schedule()
        log.append(number)
        channel().receive()

    tasklets = [spawn(work, number) for number in range(3)]
    settle()
    assert log == [0, 1, 2]
    assert all(each.blocked for each in tasklets)
    settle()
    for each in tasklets:
        each.kill()


def test_settle_waits_for_no_time(log):
    with fake_clock() as clock:
        sleeper = spawn(lambda: (sleep(1), log.append("woken")))
        settle()
        assert clock.now() == 0
        assert not log
        sleeper.kill()


def test_settle_takes_up_what_is_due(log):
    with fake_clock() as clock:
        spawn(lambda: (sleep(1), log.append("woken")))
        settle()
        _core.fake_clock(1)
        settle()
        assert log == ["woken"]
        assert clock.now() == 1


def test_a_tasklet_may_settle(log):
    def work():
        spawn(log.append, 1)
        settle()
        log.append(2)

    spawn(work).join()
    assert log == [1, 2]


def test_settle_goes_on_when_it_is_inserted(log):
    me = getcurrent()
    spawn(me.insert)
    spawn(log.append, 1)
    spawn(lambda: (schedule(), log.append(2)))
    settle()
    assert log == [1, 2]


def test_settle_raises_errors_of_tasklets(log):
    def fail():
        raise KeyError

    tasklet(fail)()
    other = spawn(log.append, 1)
    with pytest.raises(KeyError):
        settle()
    settle()
    assert other.done()


def test_settle_gives_up_on_a_tasklet_that_never_waits():
    def endless():
        while True:
            schedule()

    spinner = spawn(endless, name="spinner")
    with pytest.raises(RuntimeError, match="not settled after 100 switches.*spinner"):
        settle(switches=100)
    spinner.kill()
    with pytest.raises(ValueError, match="switches"):
        settle(switches=0)


# fake_clock()


def test_nobody_waits_for_a_fake_clock(clock_is_true):
    with fake_clock(100) as clock:
        assert isinstance(clock, FakeClock)
        assert clock.now() == 100
        sleep(1000)
        assert clock.now() == 1100
        with pytest.raises(TimeoutError):
            channel().receive(timeout=50)
        assert clock.now() == 1150


@pytest.fixture
def clock_is_true():
    yield
    assert _core.fake_clock(None) is None


def test_advance_goes_from_one_deadline_to_the_next(log, clock_is_true):
    def ticker(period):
        while True:
            sleep(period)
            log.append((clock.now(), period))

    with fake_clock() as clock:
        tickers = [spawn(ticker, period) for period in (2, 3)]
        clock.advance(0)
        clock.advance(6.5)
        assert clock.now() == 6.5
        assert log == [(2, 2), (3, 3), (4, 2), (6, 3), (6, 2)]
        clock.advance(1.5)
        assert log[5:] == [(8, 2)]
        for each in tickers:
            each.kill()


def test_advance_lets_what_is_runnable_run_first(log):
    with fake_clock() as clock:
        spawn(lambda: (log.append(clock.now()), sleep(1), log.append(clock.now())))
        clock.advance(5)
    assert log == [0, 1]


def test_an_error_stops_the_clock_where_it_happened(log):
    def fail():
        sleep(1)
        raise KeyError

    with fake_clock() as clock:
        tasklet(fail)()
        spawn(lambda: (sleep(2), log.append(clock.now())))
        with pytest.raises(KeyError):
            clock.advance(5)
        assert clock.now() == 1
        clock.advance(4)
        assert log == [2]
        assert clock.now() == 5


def test_timeouts_of_the_tasklet_that_advances_the_clock(log):
    with fake_clock() as clock, pytest.raises(TimeoutError), timeout(3):
        clock.advance(5)
    with fake_clock() as clock:

        def work():
            with timeout(3):
                clock.advance(5)

        with pytest.raises(TimeoutError):
            spawn(work).result()


def test_deadlines_that_no_float_can_tell_apart(log):
    with fake_clock(1e7) as clock:
        for number in range(50):
            spawn(lambda n: (sleep(n * 1e-9), log.append(n)), number)
        clock.advance(1)
    assert log == list(range(50))


def test_advance_says_what_is_wrong():
    with fake_clock() as clock:
        for bad in (-1, math.inf, math.nan):
            with pytest.raises(ValueError, match="seconds"):
                clock.advance(bad)
        with pytest.raises(TypeError):
            clock.advance("1")


def test_a_clock_is_only_there_in_its_block(log):
    def work():
        with pytest.raises(RuntimeError, match="block's thread"):
            clock.now()
        log.append(_core.fake_clock(None))

    with fake_clock() as clock:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert log == [None]
    for use in (clock.now, lambda: clock.advance(1)):
        with pytest.raises(RuntimeError, match="in its block"):
            use()


def test_a_clock_starts_at_a_finite_time_from_0(clock_is_true):
    for bad, error in ((-1, ValueError), (math.nan, ValueError), ("x", TypeError)):
        with pytest.raises(error), fake_clock(bad):
            pass
    with pytest.raises(TypeError), fake_clock(None):
        pass


def test_a_sleep_across_the_beginning_or_the_end_lasts_as_long_as_before(log):
    early = spawn(sleep, 1000)
    run()
    with fake_clock() as clock:
        late = spawn(lambda: (sleep(0.01), log.append("woken")))
        clock.advance(999)
        assert log == ["woken"]
        assert early.alive
        clock.advance(1)
        assert not early.alive
        late = spawn(lambda: (sleep(0.01), log.append("late")))
        settle()
    assert not late.done()
    scheduler.run(wait=True)
    assert log == ["woken", "late"]


def test_clocks_may_be_nested(log, clock_is_true):
    with fake_clock(10) as outer:
        spawn(lambda: (sleep(5), log.append(outer.now())))
        settle()
        with fake_clock(1000) as inner:
            inner.advance(4)
            assert not log
            assert inner.now() == 1004
        assert outer.now() == 10
        outer.advance(1)
    assert log == [11]


def test_the_clock_is_put_back_after_an_error(clock_is_true):
    with pytest.raises(KeyError), fake_clock():
        raise KeyError


# seeded()


def order(seed, count=6):
    """Return in which order some tasklets run; None: without a seed."""
    log = []
    if seed is None:
        for number in range(count):
            spawn(log.append, number)
        settle()
    else:
        with seeded(seed):
            for number in range(count):
                spawn(log.append, number)
            settle()
    return tuple(log)


def test_a_seed_gives_an_order_of_its_own():
    assert order(None) == tuple(range(6))
    assert order(1) == order(1)
    assert order(None) == tuple(range(6))
    assert sorted(order(1)) == list(range(6))


def test_each_order_comes_as_often():
    counts = {}
    for seed in range(3000):
        found = order(seed, 4)
        counts[found] = counts.get(found, 0) + 1
    assert len(counts) == 24
    assert min(counts.values()) > 3000 / 24 / 2
    assert max(counts.values()) < 3000 / 24 * 2


def test_any_int_is_a_seed():
    assert len({order(seed) for seed in (0, -1, 2**64, 10**30, -(10**30))}) > 1
    for bad in (None, 1.5, "1"):
        with pytest.raises(TypeError, match="seed"), seeded(bad):
            pass


def test_the_running_tasklet_goes_on(log):
    """What becomes runnable comes behind it, and nothing runs before it waits."""
    for seed in range(50):
        with seeded(seed):
            for _ in range(5):
                spawn(log.append, seed)
            assert not log
            settle()
            log.clear()


def test_seeds_may_be_nested():
    with seeded(1):
        first = [order(None) for _ in range(4)]
    with seeded(1):
        second = [order(None)]
        with seeded(2):
            order(None)
        second += [order(None) for _ in range(3)]
    assert first == second
    assert _core.order_seed(None) is None


def test_a_seed_belongs_to_its_thread(log):
    def work():
        log.append(order(None))

    with seeded(1):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert log == [tuple(range(6))]


def test_raw_seeds_are_positive_and_have_64_bits():
    for bad, error in ((0, ValueError), (-1, OverflowError), (2**64, OverflowError)):
        with pytest.raises(error):
            _core.order_seed(bad)
    with pytest.raises(TypeError):
        _core.order_seed("1")
    assert _core.order_seed(2**64 - 1) is None
    assert _core.order_seed(None) == 2**64 - 1


def test_all_operations_work_in_any_order():
    """Meetings, kills, errors, sleeps, nested runs."""

    def producer(ch):
        for number in range(5):
            ch.send(number)
            if number % 2:
                schedule()

    def consumer(ch):
        return [ch.receive() for _ in range(5)]

    for seed in range(300):
        with seeded(seed), fake_clock():
            ch = channel()
            ch.preference = seed % 3 - 1
            ch.schedule_all = seed % 2
            victims = [spawn(sleep, 3) for _ in range(3)]
            consumers = [spawn(consumer, ch) for _ in range(3)]
            producers = [spawn(producer, ch) for _ in range(3)]
            spawn(run)
            settle()
            got = [number for each in consumers for number in each.result()]
            assert sorted(got) == sorted(list(range(5)) * 3)
            assert all(each.done() for each in producers)
            for victim in victims[:2]:
                victim.kill(pending=seed % 2 == 0)
            scheduler.run(wait=True)
            assert not any(each.alive for each in victims)
