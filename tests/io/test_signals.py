"""Signals that tasklets wait for."""

import os
import signal
import time
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, raise_signal

import pytest
from children import forks_beside_threads
from fifos import descriptors
from pools import yield_until
from program_ends import check
from threads import SECONDS, block_until, in_thread, running

import tasklets
from tasklets import (
    BlockTrapError,
    TaskGroup,
    block_trap,
    readable,
    run,
    scheduler,
    select,
    signals,
    spawn,
    timeout,
)

CAUGHT = (SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2)


@pytest.fixture(autouse=True)
def handlers_as_before():
    """Check that handlers and descriptors are in the end what they were before."""
    before, files = [signal.getsignal(each) for each in CAUGHT], descriptors()
    yield
    run()
    assert [signal.getsignal(each) for each in CAUGHT] == before
    assert not any(signals._listening.values())
    assert signals._interrupted == {}
    assert descriptors() == files


@pytest.fixture
def handler():
    """Set a handler for SIGUSR1 that notes its calls; give the handler and the list."""
    calls = []

    def note(signum, frame):
        calls.append((signum, frame is not None))

    before = signal.signal(SIGUSR1, note)
    yield note, calls
    signal.signal(SIGUSR1, before)


def waiting(*args, **options):
    """Return a tasklet that waits for signals."""
    waiter = spawn(signals.wait, *args, **options)
    yield_until(lambda: waiter.blocked)
    return waiter


def send_when_listened(signum):
    """Send a signal, on another thread, as soon as it has a listener."""

    def send():
        block_until(lambda: signals._listening.get(signum))
        block_until(lambda: isinstance(signal.getsignal(signum), signals._Handler))
        os.kill(os.getpid(), signum)

    return running(send)


# ---- one wait


def test_a_wait_returns_the_signal():
    waiter = waiting(SIGUSR1, SIGUSR2)
    os.kill(os.getpid(), SIGUSR2)
    assert waiter.result(timeout=SECONDS) is SIGUSR2


def test_a_realtime_signal_is_an_int():
    waiter = waiting(signal.SIGRTMIN + 1)
    raise_signal(signal.SIGRTMIN + 1)
    assert waiter.result(timeout=SECONDS) == signal.SIGRTMIN + 1


def test_every_waiter_gets_the_signal():
    waiters = [waiting(SIGUSR1) for _ in range(3)] + [waiting(SIGUSR2, SIGUSR1)]
    raise_signal(SIGUSR1)
    assert [each.result(timeout=SECONDS) for each in waiters] == [SIGUSR1] * 4


def test_run_and_pending_count_a_waiter():
    waiter = waiting(SIGUSR1)
    assert scheduler.pending() == 1
    with send_when_listened(SIGUSR1):
        scheduler.run(wait=True)
    assert waiter.done()


def test_main_may_wait_alone():
    with send_when_listened(SIGUSR1):
        assert signals.wait(SIGUSR1) is SIGUSR1


def test_other_tasklets_run_during_a_wait():
    turns = []
    waiter = waiting(SIGUSR1)
    spawn(turns.append, 1)
    run()
    assert turns == [1]
    assert waiter.blocked
    raise_signal(SIGUSR1)
    assert waiter.result() is SIGUSR1


@pytest.mark.parametrize("seconds", [0.01, 0, -1])
def test_a_wait_times_out(seconds):
    with pytest.raises(TimeoutError):
        signals.wait(SIGTERM, timeout=seconds)


def test_a_timeout_block_ends_a_wait():
    with pytest.raises(TimeoutError), timeout(0.01):
        signals.wait(SIGTERM)


def test_a_waiter_is_killed():
    waiter = waiting(SIGTERM)
    assert signal.getsignal(SIGTERM) is not signal.SIG_DFL
    waiter.kill()
    assert waiter.cancelled()
    assert signal.getsignal(SIGTERM) is signal.SIG_DFL


def test_a_group_cancels_its_waiters():
    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        group.spawn(signals.wait, SIGTERM)
        group.spawn(signals.wait, SIGTERM, SIGHUP)
        yield_until(lambda: scheduler.pending() == 2)
        raise ValueError("enough")
    assert signal.getsignal(SIGTERM) is signal.SIG_DFL


def test_what_must_not_wait_changes_nothing():
    with pytest.raises(BlockTrapError), block_trap():
        signals.wait(SIGTERM)


# ---- a listener


def test_nothing_is_lost_between_two_waits():
    with signals.listen(SIGUSR1, SIGUSR2) as arrivals:
        sent = [SIGUSR1, SIGUSR2, SIGUSR1, SIGUSR1]
        for each in sent:
            raise_signal(each)
        assert [arrivals.wait(timeout=0) for _ in sent] == sent
        with pytest.raises(TimeoutError):
            arrivals.wait(timeout=0)
        raise_signal(SIGUSR2)
        assert arrivals.wait() is SIGUSR2


def test_a_loop_over_signals():
    found = []

    def serve():
        with signals.listen(SIGHUP, SIGTERM) as arrivals:
            for each in arrivals:
                found.append(each)
                if each == SIGTERM:
                    break

    server = spawn(serve)
    for number, each in enumerate((SIGHUP, SIGHUP, SIGTERM)):
        yield_until(lambda: server.blocked)
        raise_signal(each)
        yield_until(lambda n=number: len(found) > n)
    server.join()
    assert found == [SIGHUP, SIGHUP, SIGTERM]


def test_a_loop_ends_with_the_block():
    with signals.listen(SIGTERM) as arrivals:
        loop = spawn(list, arrivals)
        waiter = spawn(arrivals.wait)
        yield_until(lambda: loop.blocked and waiter.blocked)
        outcome = spawn(waiter.exception)
        run()
    assert loop.result() == []
    assert isinstance(outcome.result(), ValueError)


def test_a_signal_is_taken_once_by_waiters_of_one_listener():
    with signals.listen(SIGUSR1, SIGUSR2) as arrivals:
        waiters = [spawn(arrivals.wait) for _ in range(3)]
        yield_until(lambda: all(each.blocked for each in waiters))
        for each in (SIGUSR1, SIGUSR2, SIGUSR1):
            raise_signal(each)
        found = [each.result(timeout=SECONDS) for each in waiters]
        assert sorted(found) == [SIGUSR1, SIGUSR1, SIGUSR2]
        with pytest.raises(TimeoutError):
            arrivals.wait(timeout=0)


def test_a_listener_serves_tasklets_of_two_threads():
    many, found = 200, []

    def take():
        while (each := arrivals.wait()) != SIGUSR2:
            found.append(each)

    with signals.listen(SIGUSR1, SIGUSR2) as arrivals:
        with running(take):
            mine = spawn(take)
            for _ in range(many):
                raise_signal(SIGUSR1)
                tasklets.schedule()
            yield_until(lambda: len(found) == many)
            raise_signal(SIGUSR2)
            raise_signal(SIGUSR2)
            mine.result(timeout=SECONDS)
    assert found == [SIGUSR1] * many


def test_listeners_come_and_go_while_signals_arrive(handler):
    _, calls = handler
    many = 200

    def send():
        for number in range(many):
            os.kill(os.getpid(), SIGUSR1)
            block_until(lambda: len(calls) > number)  # noqa: B023

    with signals.listen(SIGUSR1) as arrivals, running(send) as threads:
        while threads[0].is_alive():
            victim = spawn(signals.wait, SIGUSR1, SIGUSR2)
            tasklets.schedule()
            victim.kill()
        found = [arrivals.wait(timeout=SECONDS) for _ in range(many)]
    assert found == [SIGUSR1] * many


def test_select_waits_for_a_listener():
    never = tasklets.channel()
    with signals.listen(SIGUSR1) as arrivals:
        with send_when_listened(SIGUSR1):
            case, _ = select(readable(arrivals), tasklets.recv(never), timeout=SECONDS)
        assert isinstance(case, readable)
        assert arrivals.wait(timeout=0) is SIGUSR1
        assert select(readable(arrivals), default=0) == (None, 0)


def test_a_listener_is_used_again_but_not_twice_at_a_time():
    listener = signals.listen(SIGUSR1)
    assert listener.signals == (SIGUSR1,)
    for call in (listener.wait, listener.fileno):
        with pytest.raises(ValueError, match="not in its block"):
            call()
    for _ in range(2):
        with listener:
            with pytest.raises(RuntimeError, match="in use"):
                listener.__enter__()
            raise_signal(SIGUSR1)
            assert "SIGUSR1 unread=1" in repr(listener)
            assert listener.wait() is SIGUSR1
    assert "closed" in repr(listener)


# ---- handlers of the program


def test_a_handler_still_runs(handler):
    note, calls = handler
    with signals.listen(SIGUSR1) as first, signals.listen(SIGUSR1) as second:
        raise_signal(SIGUSR1)
        assert calls == [(SIGUSR1, True)]
        assert first.wait() is second.wait() is SIGUSR1
    assert signal.getsignal(SIGUSR1) is note


def test_a_handler_is_not_called_again_for_what_nobody_took(handler):
    _, calls = handler
    with signals.listen(SIGUSR1):
        raise_signal(SIGUSR1)
    assert calls == [(SIGUSR1, True)]


def test_an_error_of_a_handler_is_raised_and_the_signal_arrives():
    def fail(signum, frame):
        raise KeyError("handler")

    before = signal.signal(SIGUSR1, fail)
    try:
        with signals.listen(SIGUSR1) as arrivals:
            with pytest.raises(KeyError):
                raise_signal(SIGUSR1)
            assert arrivals.wait() is SIGUSR1
    finally:
        assert signal.signal(SIGUSR1, before) is fail


def test_a_handler_that_is_set_during_the_block_is_kept():
    calls = []

    def late(signum, frame):
        calls.append(signum)
        if callable(older):
            older(signum, frame)

    before = signal.getsignal(SIGUSR1)
    with signals.listen(SIGUSR1) as first:
        older = signal.signal(SIGUSR1, late)
        raise_signal(SIGUSR1)
        assert first.wait() is SIGUSR1
        with signals.listen(SIGUSR1) as second:
            raise_signal(SIGUSR1)
            assert first.wait() is second.wait() is SIGUSR1
            for arrivals in (first, second):
                with pytest.raises(TimeoutError):
                    arrivals.wait(timeout=0)
    assert calls == [SIGUSR1, SIGUSR1]
    assert signal.signal(SIGUSR1, before) is late


def test_a_signal_inside_a_handler_arrives_too():
    def again(signum, frame):
        if len(calls) < 3:
            calls.append(signum)
            raise_signal(signum)

    calls = []
    before = signal.signal(SIGUSR1, again)
    try:
        with signals.listen(SIGUSR1) as arrivals:
            raise_signal(SIGUSR1)
            assert [arrivals.wait(timeout=0) for _ in range(4)] == [SIGUSR1] * 4
    finally:
        signal.signal(SIGUSR1, before)


def test_a_handler_may_listen():
    found = []

    def listening(signum, frame):
        with signals.listen(SIGUSR1) as arrivals:
            raise_signal(SIGUSR1)
            found.append(arrivals.wait(timeout=0))

    before = signal.signal(SIGUSR2, listening)
    try:
        with signals.listen(SIGUSR1) as arrivals:
            raise_signal(SIGUSR2)
            assert found == [arrivals.wait()] == [SIGUSR1]
    finally:
        signal.signal(SIGUSR2, before)


def test_an_ignored_signal_arrives_and_is_ignored_again():
    before = signal.signal(SIGUSR1, signal.SIG_IGN)
    try:
        with signals.listen(SIGUSR1) as arrivals:
            raise_signal(SIGUSR1)
            assert arrivals.wait() is SIGUSR1
            raise_signal(SIGUSR1)  # taken by no one
        raise_signal(SIGUSR1)
        assert signal.getsignal(SIGUSR1) is signal.SIG_IGN
    finally:
        signal.signal(SIGUSR1, before)


def test_ctrl_c_is_a_signal_only_while_it_has_a_listener():
    with signals.listen(SIGINT) as arrivals:
        raise_signal(SIGINT)
        assert arrivals.wait() is SIGINT
    with pytest.raises(KeyboardInterrupt):
        raise_signal(SIGINT)
        time.sleep(SECONDS)


def test_a_ctrl_c_that_nobody_took_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt):
        with signals.listen(SIGINT):
            raise_signal(SIGINT)


def test_another_listener_takes_what_the_first_left():
    with signals.listen(SIGINT) as second:
        with signals.listen(SIGINT):
            raise_signal(SIGINT)
        assert second.wait() is SIGINT


def test_the_default_action_is_back_after_the_wait():
    check(
        """
        from tasklets import signals
        t = spawn(signals.wait, signal.SIGTERM)
        run()
        os.kill(os.getpid(), signal.SIGTERM)
        say(t.result().name)
        os.kill(os.getpid(), signal.SIGTERM)
        say("not reached")
        """,
        -SIGTERM,
        "SIGTERM\n",
    )


def test_the_program_ends_while_tasklets_listen():
    check(
        """
        from tasklets import signals
        spawn(waiting, "waiter", lambda: signals.wait(signal.SIGTERM))
        run()
        """,
        0,
        "waiter finally\n",
    )


# ---- other threads


def test_a_tasklet_of_another_thread_waits():
    found = []
    with running(lambda: found.append(signals.wait(SIGUSR1, SIGUSR2))):
        yield_until(lambda: signal.getsignal(SIGUSR2) is not signal.SIG_DFL)
        raise_signal(SIGUSR2)
        yield_until(lambda: found)
    assert found == [SIGUSR2]


def test_the_main_thread_need_not_run_for_the_signal_itself():
    found = []
    with signals.listen(SIGUSR1):
        with running(lambda: found.append(signals.wait(SIGUSR1, timeout=SECONDS))):
            block_until(lambda: len(signals._listening[SIGUSR1]) == 2)
            os.kill(os.getpid(), SIGUSR1)
            block_until(lambda: found)
        assert found == [SIGUSR1]
        signals._listening[SIGUSR1].copy().popitem()[0].wait()


def test_a_main_thread_that_does_not_run_is_a_precise_error(monkeypatch):
    monkeypatch.setattr(signals, "_MAIN_THREAD_SECONDS", 0.05)
    errors = []

    def work():
        try:
            signals.wait(SIGTERM)
        except RuntimeError as error:
            errors.append(str(error))

    with running(work):
        block_until(lambda: errors)
    assert "only the main thread can set the handler of SIGTERM" in errors[0]
    assert "has not run its tasklets for 0.05 s" in errors[0]


def test_a_timeout_counts_the_wait_for_the_main_thread():
    outcome = []

    def work():
        try:
            signals.wait(SIGTERM, timeout=0.05)
        except TimeoutError:
            outcome.append("timed out")

    with running(work):
        block_until(lambda: outcome)
    assert outcome == ["timed out"]


def test_a_thread_that_is_gone_listens_no_more():
    def work():
        spawn(signals.wait, SIGTERM)
        deadline = time.monotonic() + SECONDS
        while signal.getsignal(SIGTERM) is signal.SIG_DFL:
            assert time.monotonic() < deadline
            tasklets.sleep(0.001)

    with running(work) as threads:
        yield_until(lambda: not threads[0].is_alive())
    run()
    assert signal.getsignal(SIGTERM) is signal.SIG_DFL


def test_an_action_is_back_before_the_main_thread_has_its_turn():
    check(
        """
        from tasklets import signals
        def work():
            try:
                signals.wait(signal.SIGTERM, timeout=0.2)
            except TimeoutError:
                say("timed out")
                over.set()
        over = threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            tasklets.sleep(0.001)
        over.wait()  # without a turn for tasklets
        os.kill(os.getpid(), signal.SIGTERM)
        say("not reached")
        """,
        -SIGTERM,
        "timed out\n",
    )


def test_the_main_thread_must_use_tasklets(monkeypatch):
    def refuse(*args, **options):
        raise ValueError("thread 1 does not use tasklets")

    monkeypatch.setattr(signals, "call_in_scheduler", refuse)
    with pytest.raises(RuntimeError, match="it does not use tasklets; listen in"):
        in_thread(signals.wait, SIGTERM)


# ---- fork


@forks_beside_threads
def test_the_child_of_a_fork_has_listeners_of_its_own():
    check(
        """
        import warnings
        from tasklets import signals
        warnings.simplefilter("ignore")  # of forks beside threads
        def other():
            try:
                signals.wait(signal.SIGTERM)
            except BaseException:
                pass
        threading.Thread(target=other, daemon=True).start()
        while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            tasklets.sleep(0.001)
        with signals.listen(signal.SIGUSR1) as arrivals:
            waiter = spawn(arrivals.wait)
            run()
            child = os.fork()
            if child == 0:
                say("child default", signal.getsignal(signal.SIGTERM).name)
                os.kill(os.getpid(), signal.SIGUSR1)
                say("child", waiter.result(timeout=60).name)
                os._exit(0)
            os.waitpid(child, 0)
            say("parent", waiter.done())
            os.kill(os.getpid(), signal.SIGUSR1)
            say("parent", waiter.result(timeout=60).name)
        os._exit(0)
        """,
        0,
        """
        child default SIG_DFL
        child SIGUSR1
        parent False
        parent SIGUSR1
        """,
    )


# ---- refusals


def test_a_refusal_says_what_is_wrong():
    for args, error, message in (
        ((), TypeError, "at least one"),
        (("SIGTERM",), TypeError, "not str"),
        ((True,), TypeError, "not bool"),
        ((15.0,), TypeError, "not float"),
        ((0,), ValueError, "0 is not"),
        ((-1,), ValueError, "-1 is not"),
        ((10**30,), ValueError, "is not"),
        ((SIGTERM, signal.SIGKILL), ValueError, "SIGKILL cannot be caught"),
        ((signal.SIGSTOP,), ValueError, "SIGSTOP cannot be caught"),
        ((signal.SIGSEGV,), ValueError, "SIGSEGV is not waited for"),
    ):
        for call in (signals.wait, signals.listen, signals.SignalListener):
            with pytest.raises(error, match=f"(?i){message}"):
                call(*args)
    with pytest.raises(ValueError, match="NaN"):
        signals.wait(SIGTERM, timeout=float("nan"))
    with pytest.raises(TypeError):
        signals.wait(SIGTERM, timeout="1")


def test_a_handler_that_python_cannot_restore_is_refused(monkeypatch):
    """C code had set it before Python started: getsignal() returns None."""
    getsignal = signal.getsignal
    monkeypatch.setattr(
        signal, "getsignal", lambda s: None if s == SIGUSR1 else getsignal(s)
    )
    with pytest.raises(RuntimeError, match="SIGUSR1 has a handler that was not set"):
        signals.wait(SIGTERM, SIGUSR1)
    monkeypatch.undo()
    assert signal.getsignal(SIGTERM) is signal.SIG_DFL


def test_waits_do_not_leak(no_leak):
    def take_one():
        with signals.listen(SIGUSR1) as arrivals:
            raise_signal(SIGUSR1)
            arrivals.wait()
        with pytest.raises(TimeoutError):
            signals.wait(SIGUSR1, timeout=0)

    no_leak(take_one, calls=200)
