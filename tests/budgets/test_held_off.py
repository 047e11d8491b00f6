"""What holds a stop off: no_switch(), C code, nesting; and soft stops."""

import gc
import sys
import threading
import time
import weakref

import pytest
from runaways import FLAT, NESTED, Leash
from stoppable import busy, reason
from turns import ring

import tasklets
from tasklets import (
    atomic,
    channel,
    getcurrent,
    run,
    schedule,
    scheduler,
    spawn,
    switch_trap,
    tasklet,
)

pytestmark = pytest.mark.usefixtures("no_foreign_collector_callbacks")


# What holds a stop off.


def test_an_atomic_block_holds_a_stop_off_until_it_ends(log):
    def work():
        with atomic():
            for step in range(1000):
                log.append(step)
        log.append("end")

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    assert log == list(range(1000))
    victim.insert()
    run()
    assert log[-1] == "end"


def test_an_inner_atomic_block_does_not_end_the_outer_one(log):
    def work():
        with atomic():
            with atomic():
                busy(1000)
            log.append("still")
            busy(1000)
            log.append("held")
        log.append("end")

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    assert log == ["still", "held"]
    victim.kill()


def test_set_atomic_holds_a_stop_off_until_it_is_reset(log):
    def work():
        me = getcurrent()
        assert me.set_atomic(True) is False
        for step in range(1000):
            log.append(step)
        assert me.set_atomic(False) is True
        log.append("end")

    victim = tasklet(work)()
    assert run(100) is victim
    assert log == list(range(1000))
    victim.insert()
    run()
    assert log[-1] == "end"


def test_what_is_thrown_at_the_end_of_an_atomic_block_is_raised_there(log):
    def work():
        try:
            with atomic():
                busy(1000)
        except KeyError:
            log.append(getcurrent().atomic)

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    victim.throw(KeyError)
    assert log == [False]


def test_a_tasklet_that_another_set_atomic_is_not_stopped():
    victim = spawn(busy, 1000)
    victim.set_atomic(True)
    assert scheduler.run(100) is None
    assert victim.result() == busy(1000)


def test_a_switch_trap_holds_a_stop_off_until_it_is_taken_away(log):
    def work():
        switch_trap(1)
        for step in range(1000):
            log.append(step)
        switch_trap(-1)
        for _ in range(1000):
            log.append("after")

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    assert log[:1000] == list(range(1000))
    assert len(log) < 1010
    victim.kill()


def test_a_channel_callback_holds_a_stop_off(log):
    def callback(ch, who, sending, willblock):
        for step in range(1000):
            log.append(step)

    def work():
        ch.send(1)
        for _ in range(1000):
            log.append("after")

    ch = channel()
    ch.preference = 1  # the sender goes on
    tasklet(ch.receive)()
    run()
    tasklets.set_channel_callback(callback)
    victim = tasklet(work)()
    try:
        assert scheduler.run(100) is victim
    finally:
        tasklets.set_channel_callback(None)
    assert log[:1000] == list(range(1000))
    assert len(log) < 1010
    victim.kill()


def test_a_schedule_callback_holds_a_stop_off(log):
    def callback(before, after):
        if after is victim or before is victim:
            log.append(busy(1000))

    def work():
        log.append("work")
        busy(1000)

    victim = tasklet(work)()
    tasklets.set_schedule_callback(callback)
    try:
        assert scheduler.run(100) is victim
    finally:
        tasklets.set_schedule_callback(None)
    assert log.count(busy(1000)) == 2
    victim.kill()


def test_a_finalizer_that_the_collector_calls_holds_a_stop_off(log):
    class Thing:
        def __init__(self):
            self.me = self

        def __del__(self):
            for step in range(1000):
                log.append(step)

    def work():
        Thing()
        gc.collect()
        for _ in range(1000):
            log.append("after")

    victim = tasklet(work)()
    assert scheduler.run(200) is victim
    assert log[:1000] == list(range(1000))
    assert len(log) < 1010
    gc.collect()  # would do nothing if one were still under way
    victim.kill()


def test_nobody_is_stopped_in_a_callback_of_the_collector(log):
    def callback(phase, info):
        log.append(phase)
        busy(1000)
        log.append(phase)

    def work():
        gc.collect()
        log.append("work")
        busy(1000)

    victim = tasklet(work)()
    gc.callbacks.insert(0, callback)
    try:
        assert scheduler.run(200) is victim
    finally:
        gc.callbacks.remove(callback)
    assert log[:4] == ["start", "start", "stop", "stop"]
    gc.collect()  # would do nothing if one were still under way
    victim.kill()


def test_the_collector_works_while_a_victim_is_stopped():
    class Thing:
        def __init__(self):
            self.me = self

        def __del__(self):
            busy(5)

    def work():
        while True:
            Thing()

    old = gc.get_threshold()
    gc.set_threshold(3)
    try:
        victim = tasklet(work)()
        for ticks in range(100, 200):
            assert scheduler.run(ticks) is victim
            thing = Thing()
            ref = weakref.ref(thing)
            del thing
            gc.collect()
            assert ref() is None
            victim.insert()
    finally:
        gc.set_threshold(*old)
        victim.remove().kill()


def test_a_finalizer_without_the_collector_may_be_stopped(log):
    class Thing:
        def __del__(self):
            for step in range(1000):
                log.append(step)

    def work():
        Thing()
        log.append("end")

    victim = tasklet(work)()
    assert scheduler.run(100) is victim
    assert 0 < len(log) < 1000
    victim.insert()
    run()
    assert log == [*range(1000), "end"]


def test_an_import_holds_a_stop_off(tmp_path, monkeypatch, log):
    (tmp_path / "slow_to_import.py").write_text(
        "steps = []\nfor step in range(1000):\n    steps.append(step)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def work():
        import slow_to_import

        log.append(len(slow_to_import.steps))
        busy(1000)

    victim = tasklet(work)()
    try:
        assert scheduler.run(100) is victim
        assert len(sys.modules["slow_to_import"].steps) == 1000
        import slow_to_import  # nobody holds its lock

        assert len(slow_to_import.steps) == 1000
    finally:
        sys.modules.pop("slow_to_import", None)
        victim.kill()


@pytest.mark.parametrize("ticks", [20, 100, 250, 400, 600])
def test_a_tasklet_that_imports_can_be_killed(ticks, tmp_path, monkeypatch):
    name = f"imported_{ticks}"
    (tmp_path / f"{name}.py").write_text("steps = [n for n in range(100)]\n")
    monkeypatch.syspath_prepend(tmp_path)

    def work():
        while True:
            sys.modules.pop(name, None)
            __import__(name)

    victim = tasklet(work)()
    try:
        for _ in range(5):
            assert scheduler.run(ticks) is victim
            victim.insert()
        victim.remove().kill()
        sys.modules.pop(name, None)
        assert len(__import__(name).steps) == 100
    finally:
        sys.modules.pop(name, None)


def test_a_stop_that_is_due_when_the_tasklet_waits_finds_no_victim(log):
    def work():
        with atomic():
            busy(1000)
            log.append(ch.receive())

    ch = channel()
    tasklet(work)()
    assert scheduler.run(100) is None
    assert reason() in ("ticks", "idle")
    ch.send("value")
    run()
    assert log == ["value"]


# ignore_nesting.


@pytest.mark.parametrize("runaway", FLAT, ids=lambda f: f.__name__.strip("_"))
def test_without_ignore_nesting_what_python_calls_is_stopped(runaway):
    leash = Leash()
    victim = tasklet(runaway)(leash)
    assert scheduler.run(1000, ignore_nesting=False) is victim
    victim.kill()


@pytest.mark.parametrize("runaway", NESTED, ids=lambda f: f.__name__.strip("_"))
def test_without_ignore_nesting_what_c_code_calls_is_not_stopped(runaway):
    """Another tasklet ends the budget first, and spares it."""
    leash = Leash()

    def work():
        runaway(leash)
        busy(10**9)

    def stop():
        end = time.monotonic() + 60
        while leash.rounds < 3000 and time.monotonic() < end:
            time.sleep(0.001)
        leash.going = False

    thread = threading.Thread(target=stop)
    thread.start()
    victim = tasklet(work)()
    assert scheduler.run(1000, ignore_nesting=False) is victim
    assert leash.rounds >= 3000
    thread.join()
    victim.kill()


@pytest.mark.parametrize("runaway", NESTED, ids=lambda f: f.__name__.strip("_"))
def test_the_flag_of_a_tasklet_overrules_the_call(runaway):
    victim = tasklet(runaway)(Leash())
    assert victim.set_ignore_nesting(True) is False
    assert run(1000) is victim
    victim.kill()


def test_the_flag_of_the_call_holds_for_stackless_run(log):
    def key(_):
        log.append(busy(500))
        return 0

    victim = tasklet(lambda: [sorted([1], key=key), busy(1000)])()
    assert run(100) is victim
    assert log == [busy(500)]
    victim.kill()
    log.clear()
    victim = tasklet(lambda: sorted([1], key=key))()
    assert run(100, ignore_nesting=True) is victim
    assert log == []
    victim.kill()


def test_setting_ignore_nesting_lets_a_stop_that_is_due_happen(log):
    def key(_):
        busy(500)
        log.append("before")
        getcurrent().set_ignore_nesting(True)
        log.append("after")

    victim = tasklet(lambda: sorted([1], key=key))()
    assert run(100) is victim
    assert log == ["before"]
    victim.insert()
    run()
    assert log == ["before", "after"]


def test_a_generator_that_a_loop_resumes_is_no_nesting(log):
    def generate():
        for step in range(1000):
            log.append(step)
            yield step

    def work():
        for _ in generate():
            pass

    victim = tasklet(work)()
    assert run(100) is victim
    assert len(log) < 200
    victim.kill()


# soft.


@pytest.mark.parametrize("budget", ["ticks", "slice_ticks"])
def test_soft_waits_until_the_tasklet_gives_way(budget, log):
    def work():
        busy(1000)
        log.append("done")
        schedule()
        log.append("not yet")

    worker = tasklet(work)()
    other = tasklet(log.append)("other")
    assert scheduler.run(**{budget: 100}, soft=True) is None
    assert reason() == budget
    assert log == ["done"]
    assert ring() == [getcurrent(), other, worker]
    run()


def test_soft_waits_until_the_tasklet_ends(log):
    def work():
        log.append(busy(1000))

    tasklet(work)()
    other = tasklet(log.append)("other")
    assert run(100, soft=True) is None
    assert log == [busy(1000)]
    assert ring() == [getcurrent(), other]
    run()


def test_soft_waits_until_the_tasklet_waits(log):
    ch = channel()

    def work():
        busy(1000)
        ch.receive()

    worker = tasklet(work)()
    other = tasklet(log.append)("other")
    assert run(100, soft=True) is None
    assert worker.blocked
    assert ring() == [getcurrent(), other]
    ch.send(1)
    run()


def test_soft_does_not_end_the_run_while_all_give_way_in_time(log):
    def work():
        for _ in range(50):
            busy(5)
            schedule()
        log.append("end")

    for _ in range(3):
        tasklet(work)()
    assert run(100, soft=True) is None
    assert log == ["end"] * 3


def test_soft_passes_over_a_hand_over_to_the_partner(log):
    def receive():
        log.append(ch.receive())
        log.append("receiver")
        schedule()
        log.append("not yet")

    def send():
        busy(1000)
        ch.send("value")  # the receiver runs at once
        log.append("sender")

    ch = channel()
    tasklet(receive)()
    tasklet(send)()
    assert run(100, soft=True) is None
    assert log == ["value", "receiver"]
    run()


def test_soft_is_shown_to_the_schedule_callback(log):
    def work():
        busy(1000)
        schedule()

    worker = tasklet(work)()
    tasklet(busy)(1)
    tasklets.set_schedule_callback(lambda *pair: log.append(pair))
    try:
        run(100, soft=True)
    finally:
        tasklets.set_schedule_callback(None)
    assert log == [(getcurrent(), worker), (worker, getcurrent())]
    run()
