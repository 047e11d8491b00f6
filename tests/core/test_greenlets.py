"""Tasklets whose code uses greenlets of its own, rightly and wrongly.

A tasklet runs on a greenlet of the pool. Its code may make greenlets and switch among
them as it likes. To continue another tasklet's greenlet is an error, and stays one.
"""

import gc
import threading
import weakref

import greenlet
import pytest

import tasklets
from tasklets import channel, getcurrent, run, schedule, tasklet

here = greenlet.getcurrent

WRONG = "^a greenlet's switch"


class Waiting:
    """A tasklet that waits on a channel, and its greenlet."""

    def __init__(self):
        self.channel, self.values = channel(), []
        self.tasklet = tasklet(self.work)()
        run()

    def work(self):
        self.greenlet = here()
        self.values.append(self.channel.receive())

    def finish(self):
        """Check that it has not noticed anything."""
        assert self.tasklet.blocked
        self.channel.send("value")
        run()
        assert self.values == ["value"]
        assert not self.tasklet.alive
        del self.greenlet


# Greenlets of a tasklet's own.


def test_a_tasklet_may_use_greenlets(log):
    def inner(value):
        while value:
            log.append(value)
            value = here().parent.switch(value + 1)
        return "end"

    def work():
        g = greenlet.greenlet(inner)
        log.extend([g.switch(1), g.switch(5), g.switch(0), g.dead])

    tasklet(work)()
    run()
    assert log == [1, 5, 2, 6, "end", True]


def test_an_operation_in_a_nested_greenlet_resumes_there(log):
    ch = channel()

    def inner():
        me = here()
        log.append(ch.receive())
        log.append(here() is me)
        here().parent.switch("up")
        log.append(ch.receive())
        return "end"

    def work():
        g = greenlet.greenlet(inner)
        log.append(g.switch())
        log.append(g.switch())

    t = tasklet(work)()
    run()
    ch.send("first")
    ch.send("second")
    assert log == ["first", True, "up", "second", "end"]
    assert not t.alive


@pytest.mark.parametrize("depth", [2, 10])
def test_an_operation_resumes_however_deep_it_is_nested(log, depth):
    ch = channel()

    def inner(left):
        if left:
            return greenlet.greenlet(inner).switch(left - 1)
        return ch.receive()

    tasklet(lambda: log.append(inner(depth)))()
    run()
    ch.send("value")
    assert log == ["value"]


def test_two_tasklets_each_use_greenlets_of_their_own(log):
    def inner(name):
        for _ in range(3):
            schedule()
            log.append(name)
            here().parent.switch()

    def work(name):
        g = greenlet.greenlet(inner)
        g.switch(name)
        g.switch()
        g.switch()

    tasklet(work)("a")
    tasklet(work)("b")
    run()
    assert "".join(log) == "ababab"


def test_a_greenlet_may_start_tasklets_and_run_them(log):
    def inner():
        tasklet(log.append)("child")
        run()
        return "end"

    tasklet(lambda: log.append(greenlet.greenlet(inner).switch()))()
    run()
    assert log == ["child", "end"]


def test_a_tasklet_is_current_in_its_greenlets(log):
    t = tasklet(
        lambda: greenlet.greenlet(lambda: log.append(getcurrent() is t)).switch()
    )()
    run()
    assert log == [True]


def test_main_may_work_in_a_greenlet(log):
    ch = channel()

    def inner():
        log.append(getcurrent().is_main)
        tasklet(ch.send)(1)
        log.append(ch.receive())
        log.append(here().parent.switch("pause"))
        run()
        return "end"

    g = greenlet.greenlet(inner)
    assert g.switch() == "pause"
    run()
    assert g.switch("again") == "end"
    assert log == [True, 1, "again"]


def test_a_thread_may_begin_with_tasklets_inside_a_greenlet(log):
    def inner():
        ch = channel()
        tasklet(ch.send)(1)
        log.append(ch.receive())
        run()
        return "end"

    def work():
        log.append(greenlet.greenlet(inner).switch())
        tasklet(log.append)("after")
        run()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert log == [1, "end", "after"]


def test_a_killed_tasklet_unwinds_through_its_greenlets(log):
    def inner():
        try:
            channel().receive()
        finally:
            log.append("inner")

    def work():
        try:
            greenlet.greenlet(inner).switch()
        finally:
            log.append("outer")

    t = tasklet(work)()
    run()
    t.kill()
    assert log == ["inner", "outer"]
    assert not t.alive


def test_an_error_is_thrown_where_the_tasklet_waits(log):
    def inner():
        try:
            channel().receive()
        except KeyError as error:
            return error.args

    t = tasklet(lambda: log.append(greenlet.greenlet(inner).switch()))()
    run()
    t.throw(KeyError, "thrown")
    assert log == [("thrown",)]


def test_the_frame_of_a_tasklet_is_that_of_its_greenlet():
    def inner():
        channel().receive()

    t = tasklet(lambda: greenlet.greenlet(inner).switch())()
    run()
    assert t.frame.f_code.co_name == "inner"
    t.kill()


def test_a_greenlet_may_throw_into_its_tasklets_own(log):
    def work():
        me = here()
        with pytest.raises(KeyError):
            greenlet.greenlet(lambda: me.throw(KeyError)).switch()
        log.append(greenlet.greenlet(lambda: me.switch("value")).switch())

    tasklet(work)()
    run()
    assert log == ["value"]


def test_greenlets_that_a_tasklet_leaves_behind_are_collected(log):
    def inner():
        try:
            here().parent.switch()
        finally:
            log.append("ended")

    def work():
        greenlet.greenlet(inner).switch()

    for _ in range(3):
        tasklet(work)()
        run()
    gc.collect()
    assert log == ["ended"] * 3


def test_a_dropped_greenlet_may_block_in_its_finally(log):
    ch = channel()

    def inner():
        try:
            here().parent.switch()
        finally:
            log.append(ch.receive())

    def work():
        g = greenlet.greenlet(inner)
        g.switch()
        del g
        log.append("after")

    t = tasklet(work)()
    run()
    assert (log, t.blocked) == ([], True)
    ch.send("value")
    assert log == ["value", "after"]


def test_greenlet_exit_in_a_tasklet_is_an_error_like_any_other(log):
    def work():
        raise greenlet.GreenletExit("bye")

    t = tasklet(work)()
    with pytest.raises(greenlet.GreenletExit, match="bye"):
        run()
    assert not t.alive


def test_a_trace_function_of_greenlet_sees_the_switches(log):
    greenlet.settrace(lambda event, args: log.append(event))
    tasklet(schedule)()
    run()
    greenlet.settrace(None)
    assert set(log) == {"switch"}


# Greenlets of other code.


@pytest.mark.parametrize(
    "act",
    [
        lambda g: g.switch("bogus"),
        lambda g: g.switch(),
        lambda g: g.throw(KeyError("bogus")),
        lambda g: g.throw(),
        lambda g: greenlet.greenlet(lambda: "bogus", g).switch(),
        lambda g: greenlet.greenlet(lambda: 1 / 0, g).switch(),
    ],
    ids=["switch", "empty", "throw", "exit", "end of a child", "error of a child"],
)
@pytest.mark.parametrize("place", ["main", "tasklet", "greenlet"])
def test_the_greenlet_of_a_waiting_tasklet_cannot_be_continued(log, act, place):
    waiting = Waiting()

    def work():
        with pytest.raises(RuntimeError, match=WRONG):
            if place == "greenlet":
                # Who did it is not known then: the tasklet's own stack is told.
                greenlet.greenlet(lambda: act(waiting.greenlet)).switch()
            act(waiting.greenlet)
        log.append("refused")

    if place == "main":
        work()
    else:
        tasklet(work)()
    run()
    assert log == ["refused"]
    waiting.finish()


@pytest.mark.parametrize("act", [lambda g: g.switch("bogus"), lambda g: g.throw()])
def test_a_waiting_tasklets_nested_greenlet_cannot_be_continued(log, act):
    ch, box = channel(), []

    def inner():
        box.append(here())
        return ch.receive()

    t = tasklet(lambda: log.append(greenlet.greenlet(inner).switch()))()
    run()
    with pytest.raises(RuntimeError, match=WRONG):
        act(box[0])
    assert t.blocked
    ch.send("value")
    assert log == ["value"]
    box.clear()


@pytest.mark.parametrize(
    "act", [lambda g: g.switch("bogus"), lambda g: g.throw(KeyError)]
)
def test_the_greenlet_of_main_cannot_be_continued_from_a_tasklet(log, act):
    main = here()

    def work():
        with pytest.raises(RuntimeError, match=WRONG):
            act(main)
        log.append("refused")

    tasklet(work)()
    run()
    ch = channel()
    tasklet(lambda: (work(), ch.send("value")))()
    assert ch.receive() == "value"
    assert log == ["refused", "refused"]
    run()


def test_the_greenlet_of_a_thread_cannot_be_continued_from_another(log):
    ready, done = threading.Event(), threading.Event()
    box = []

    def work():
        waiting = Waiting()
        box.append(waiting.greenlet)
        ready.set()
        done.wait(10)
        waiting.finish()
        log.append("finished")

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(10)
    for act in (box[0].switch, box[0].throw):
        with pytest.raises(greenlet.error, match="different thread"):
            act()
    done.set()
    thread.join()
    assert log == ["finished"]


# Greenlets that are kept.


def test_a_kept_greenlet_of_an_ended_tasklet_is_not_used_again(log):
    box = []
    tasklet(lambda: box.append(here()))()
    run()
    tasklet(lambda: log.append(here() is box[0]))()
    run()
    assert log == [False]


def test_a_greenlet_that_nobody_keeps_is_used_again(log):
    def work():
        schedule()

    tasklet(work)()
    run()
    before = tasklets.scheduler.statistics()["pooled_stacks"]
    for _ in range(10):
        tasklet(work)()
        run()
    assert tasklets.scheduler.statistics()["pooled_stacks"] == before


def test_a_kept_greenlet_of_an_ended_tasklet_does_no_harm(log):
    box = []
    for _ in range(3):
        tasklet(lambda: box.append(here()))()
        run()
    for g in box:
        for act in (
            lambda g=g: g.switch("bogus"),
            lambda g=g: g.throw(KeyError),
            g.throw,
        ):
            try:
                act()
            except (RuntimeError, KeyError):
                pass
            tasklet(log.append)(1)
            run()
    assert log == [1] * 9


def test_attributes_of_a_greenlet_do_not_reach_the_next_tasklet(log):
    def mark():
        here().note = "note"

    tasklet(mark)()
    run()
    tasklet(lambda: log.append(hasattr(here(), "note")))()
    run()
    assert log == [False]


def test_a_weak_reference_to_a_greenlet_does_not_find_the_next_tasklet(log):
    refs = []
    tasklet(lambda: refs.append(weakref.ref(here())))()
    run()
    tasklet(lambda: log.append(refs[0]() is here()))()
    run()
    assert log == [False]


def test_a_child_of_a_kept_greenlet_ends_with_an_error_or_quietly(log):
    box = []
    tasklet(lambda: box.append(here()))()
    run()
    child = greenlet.greenlet(lambda: log.append("child"), box[0])

    def work():
        try:
            child.switch()
        except RuntimeError:
            log.append("refused")

    tasklet(work)()
    run()
    tasklet(log.append)("next")
    run()
    assert (log[0], log[-1]) == ("child", "next")


def test_a_parent_may_be_set_and_does_no_harm(log):
    waiting = Waiting()

    def work():
        here().parent = waiting.greenlet
        raise KeyError

    t = tasklet(work)()
    with pytest.raises(KeyError):
        run()
    assert not t.alive
    waiting.finish()
    tasklet(log.append)(1)
    run()
    assert log == [1]


def test_a_tasklets_greenlet_cannot_be_its_own_ancestor():
    def work():
        here().parent = greenlet.greenlet(int)

    tasklet(work)()
    with pytest.raises(ValueError, match="cyclic"):
        run()


ELSEWHERE = "^a greenlet's switch.* reached the stack of another tasklet"


WAITS = [schedule, tasklets.schedule_remove, channel().receive]


@pytest.mark.parametrize("wait", WAITS)
def test_a_tasklet_cannot_wait_on_the_stack_of_another(log, wait):
    def inner():
        schedule()
        log.append("inner goes on")

    def victim():
        box.append(here())
        greenlet.greenlet(inner).switch()
        log.append(getcurrent())
        with pytest.raises(RuntimeError, match=ELSEWHERE):
            wait()
        log.append("after")
        with pytest.raises(RuntimeError, match=ELSEWHERE):
            schedule()

    box = []
    tasklet(victim)()
    thief = tasklet(lambda: box[0].switch())()
    with pytest.raises(RuntimeError, match="ended, while another tasklet was running"):
        run()
    assert log == [thief, "after"]
    tasklet(log.append)("next")
    run()
    assert log[2:] == ["next"]
    assert not thief.alive
    assert tasklets.getruncount() == 1


def test_a_run_in_a_greenlet_is_over_when_its_tasklet_has_ended():
    own, kept, log = [], [], []

    def work():
        own.append(greenlet.getcurrent())
        kept.append(greenlet.greenlet(tasklets.run))
        kept[0].switch()
        log.append("the function goes on")

    def disturb():
        with pytest.raises(RuntimeError, match="continued by greenlet's switch"):
            own[0].switch()
        log.append("told")

    ended, other = tasklets.spawn(work), tasklets.spawn(disturb)
    tasklets.run()
    assert log == ["the function goes on", "told"]
    assert not ended.alive
    assert not other.alive
    assert tasklets.scheduler.run(seconds=0.01) is None
