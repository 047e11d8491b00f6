"""scheduler.all_tasklets() and scheduler.dump(): what every tasklet does."""

import contextlib
import gc
import io
import os
import re
import signal
import sys
import threading
import time
import weakref

import pytest
from children import run_program

from tasklets import (
    QueueChannel,
    channel,
    getcurrent,
    getmain,
    run,
    schedule,
    schedule_remove,
    scheduler,
    sleep,
    spawn,
    tasklet,
)
from tasklets.testing import fake_clock

LATE = 30  # seconds until something is badly wrong


def dumped(**options):
    out = io.StringIO()
    scheduler.dump(out, **options)
    return out.getvalue()


def entry(text, name):
    """Return the lines of a dump that are about the tasklet of that name."""
    found = re.search(rf"^  '{name}' .*\n(    .*\n)*", text, re.M)
    assert found, text
    return found[0]


@contextlib.contextmanager
def beside(body):
    """Run a function on another thread until the block tells it to return."""
    ready, done = threading.Event(), QueueChannel()
    thread = threading.Thread(target=body, args=(ready, done))
    thread.start()
    assert ready.wait(LATE)
    try:
        yield thread
    finally:
        done.send(None)
        thread.join(LATE)
    assert not thread.is_alive()


def wait_on_thread(ready, done):
    """Wait in one tasklet of a thread, and in its main one."""
    spawn(channel().receive, name="across")
    run()
    ready.set()
    done.receive()


# ---- all_tasklets()


def test_all_tasklets_are_those_that_are_runnable_or_have_started():
    ch = channel()
    before = scheduler.all_tasklets()
    waits, paused = spawn(ch.receive), spawn(schedule_remove, None)
    run()
    fresh, bound = spawn(int), tasklet(int)
    ended = spawn(int)
    ended.kill()
    new = [t for t in scheduler.all_tasklets() if t not in before]
    assert sorted(map(id, new)) == sorted(map(id, [waits, paused, fresh]))
    assert bound not in scheduler.all_tasklets()
    assert scheduler.all_tasklets().count(getmain()) == 1
    assert getcurrent() in scheduler.all_tasklets()
    for each in waits, paused, fresh:
        each.kill()
    assert set(scheduler.all_tasklets()) == set(before)


def test_all_tasklets_has_those_of_other_threads():
    before = scheduler.all_tasklets()
    with beside(wait_on_thread) as thread:
        new = [t for t in scheduler.all_tasklets() if t not in before]
        assert {t.thread_id for t in new} == {thread.ident}
        assert sorted(t.name for t in new) == ["across", "main"]


def test_the_list_is_a_snapshot():
    t = spawn(int)
    found = scheduler.all_tasklets()
    run()
    assert t in found
    assert t not in scheduler.all_tasklets()


# ---- dump()


def test_a_dump_tells_name_state_wait_place_and_stack():
    ch = channel()

    def waiter():
        inner()

    def inner():
        ch.receive()

    t = spawn(waiter, name="worker-3")
    line = sys._getframe().f_lineno - 1
    run()
    text = entry(dumped(), "worker-3")
    first, *stack = text.splitlines()
    assert f"waits to receive from {ch!r}, for 0." in first
    assert first.startswith("  'worker-3' blocked: ")
    assert first.endswith(f"spawned at {__file__}:{line}")
    assert [each.strip() for each in stack if not each.lstrip().startswith("^")] == [
        f'File "{__file__}", line {waiter.__code__.co_firstlineno + 1}, in waiter',
        "inner()",
        f'File "{__file__}", line {inner.__code__.co_firstlineno + 1}, in inner',
        "ch.receive()",
    ]
    t.kill()


def test_a_dump_tells_what_is_runnable_and_what_runs():
    def yields():
        schedule()

    begun, fresh = spawn(yields, name="begun"), None
    texts = []

    def look():
        nonlocal fresh
        fresh = spawn(int, name="fresh")
        texts.append(dumped())

    spawn(look, name="looks")
    run()
    assert entry(texts[0], "begun").startswith("  'begun' runnable; spawned at")
    assert "in yields" in entry(texts[0], "begun")
    assert entry(texts[0], "fresh").startswith("  'fresh' runnable, not begun; ")
    assert entry(texts[0], "looks").startswith("  'looks' running; ")
    assert "in look\n" in entry(texts[0], "looks")
    assert entry(texts[0], "main").startswith("  'main' paused\n")
    assert begun.done()
    assert fresh.done()


def test_a_dump_tells_since_when_a_tasklet_waits_and_when_that_ends():
    sleeper, forever = spawn(sleep, LATE), spawn(channel().receive, name="forever")
    run()
    time.sleep(0.05)
    texts = [entry(dumped(), name) for name in ("sleep", "forever")]
    for text in texts:
        assert float(re.search(r", for ([\d.]+) s", text)[1]) >= 0.05
    left = float(re.search(r", ([\d.]+) s left", texts[0])[1])
    assert 0 <= left <= LATE - 0.05
    assert "left" not in texts[1]
    sleeper.kill()
    forever.kill()


def test_a_wait_after_a_rest_is_not_as_old_as_the_rest():
    """Idle time, and waits in quick succession before it, do not count."""
    ch, busy = channel(), []

    def quick():
        for _ in range(2000):
            busy.append(ch.receive())

    spawn(quick)
    run()
    for i in range(2000):
        ch.send(i)
    sleep(0.3)  # the thread is idle
    began = time.monotonic()
    late = spawn(ch.receive, name="late")
    run()
    text = entry(dumped(), "late")
    took = time.monotonic() - began
    assert float(re.search(r", for ([\d.]+) s", text)[1]) <= took + 0.001
    late.kill()


@pytest.mark.timing
def test_since_when_a_tasklet_waits_is_within_what_ran_before():
    """Whatever ran before the waits: they are not older than the last clock reading."""
    ch = channel()
    ages = []
    for pause in (0, 0.002, 0, 0.02):
        sleep(0.001)
        began = time.monotonic()

        def wait(pause=pause):
            time.sleep(pause)
            ch.receive()

        some = [spawn(wait, name="some") for _ in range(3)]
        run()
        text = dumped(all_threads=False)
        took = time.monotonic() - began
        ages = [float(age) for age in re.findall(r"'some'.*, for ([\d.]+) s", text)]
        assert len(ages) == 3
        assert max(ages) <= took + 0.002
        for each in some:
            each.kill()


def test_the_time_left_follows_a_fake_clock():
    with fake_clock():
        sleeper = spawn(sleep, 1000)
        run()
        assert ", 1000.000 s left" in entry(dumped(), "sleep")
        sleeper.kill()


def test_a_dump_shows_all_threads_or_one():
    with beside(wait_on_thread) as thread:
        text, mine = dumped(), dumped(all_threads=False)
    assert f"\nthread {thread.ident} {thread.name!r}:\n" in text
    assert "waits to receive from <tasklets.channel" in entry(text, "across")
    assert "across" not in mine
    assert re.match(r"\d+ tasklets of 2 threads\n", text)


def test_a_dump_shows_where_a_thread_waits_that_has_nothing_to_run():
    with beside(wait_on_thread) as thread:
        section = dumped().split(f"thread {thread.ident}")[1]
        (main,) = [
            t
            for t in scheduler.all_tasklets()
            if t.thread_id == thread.ident and t.name == "main"
        ]
        assert main.frame is not None
        assert main.recursion_depth > 0
        del main
    line = wait_on_thread.__code__.co_firstlineno + 5
    assert f"line {line}, in wait_on_thread" in section


def test_a_dump_goes_to_stderr(capsys):
    scheduler.dump()
    assert "'main' running" in capsys.readouterr().err


def test_a_program_without_a_console_dumps_nowhere(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert scheduler.dump() is None


@pytest.mark.parametrize("file", [5, "x", b"x", object()])
def test_a_file_that_cannot_be_written_to_is_refused(file):
    with pytest.raises(TypeError, match=r"^file must be open for writing text, not "):
        scheduler.dump(file)


def test_options_of_a_dump_are_given_by_keyword():
    with pytest.raises(TypeError):
        scheduler.dump(io.StringIO(), True)


def test_a_dump_keeps_no_tasklet_alive():
    ch = channel()
    t = spawn(ch.receive)
    run()
    gone = weakref.ref(t)
    dumped()
    del t, ch
    gc.collect()
    run()  # what the collector has found ends here
    assert gone() is None


def test_a_dump_changes_no_order():
    def program(look):
        log = []

        def body(n):
            for _ in range(5):
                look()
                log.append((n, scheduler.statistics()["switches"] - start))
                schedule()
                ch.send(n) if n % 2 else ch.receive()

        ch = channel()
        start = scheduler.statistics()["switches"]
        for n in range(6):
            spawn(body, n)
        run()
        return log

    assert program(dumped) == program(lambda: None)


def test_a_signal_handler_dumps_whatever_the_program_does():
    texts = []

    def handler(*_):
        texts.append(dumped())

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        # In a tasklet that runs,
        spawn(os.kill, os.getpid(), signal.SIGUSR1, name="kills")
        run()
        # and while all of them wait.
        ch = QueueChannel()
        t = spawn(ch.receive, name="waits")
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        while len(texts) < 2:
            sleep(0.01)
        timer.join()
        assert ch.try_send(1)
        assert t.result() == 1
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "in handler" in texts[0]
    assert "waits to receive" in entry(texts[1], "waits")


def test_a_handler_that_interrupts_a_write_to_stderr_dumps_all_the_same():
    status, output, errors = run_program(
        """
        import io, os, sys
        from tasklets import scheduler

        class Raw(io.RawIOBase):
            def writable(self):
                return True
            def fileno(self):
                return 2
            def write(self, data):
                if b"first" in bytes(data):
                    scheduler.dump()  # as a handler would, in the middle of it
                return os.write(2, data)

        sys.stderr = io.TextIOWrapper(io.BufferedWriter(Raw()), line_buffering=True)
        print("first", file=sys.stderr)
        """
    )
    assert (status, output) == (0, "")
    assert errors[0] == "1 tasklet of 1 thread"
    assert errors[-1] == "first"


def test_dumps_beside_threads_that_run():
    over = time.monotonic() + 1
    errors = []

    def busy(seed):
        ch = QueueChannel(3)
        try:
            while time.monotonic() < over:
                some = [spawn(ch.receive) for _ in range(seed + 2)]
                some.append(spawn(sleep, 0.0001))
                for n in range(seed + 2):
                    ch.send(n)
                for each in some:
                    each.join()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=busy, args=(n,)) for n in range(3)]
    for each in threads:
        each.start()
    count = 0
    while time.monotonic() < over:
        assert "'main' running" in dumped()
        assert getcurrent() in scheduler.all_tasklets()
        count += 1
    for each in threads:
        each.join()
    assert not errors
    assert count > 0
