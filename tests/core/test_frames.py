"""What frames hold: the collector's view of them, and frames that outlive tasklets.

TASKLETS_FRAME_PROGRAMS is how many random programs of each kind run: the many that take
hours are for a machine that has nothing else to do.
"""

import contextlib
import gc
import os
import weakref

import pytest
from children import run_cases
from garbage import SEES_STACK

import tasklets
from tasklets import TaskletExit, run, schedule, schedule_remove, tasklet

PROGRAMS = int(os.environ.get("TASKLETS_FRAME_PROGRAMS", 300))
PROGRAMS_PER_CHILD = 300


def test_no_instruction_shows_a_reference_that_is_not_there(tmp_path, monkeypatch):
    output = run_cases(tmp_path, monkeypatch, "frame_instructions.py")
    assert output.startswith("ok ")
    assert int(output.split()[1]) > 700


class Live:
    pass


class Pauses:
    def __del__(self):
        with contextlib.suppress(TaskletExit):  # when its tasklet is collected
            schedule_remove(None)


def test_an_object_that_replaces_a_dying_one_is_not_collected():
    def work(box):
        x = Pauses()

        def inner():
            return x

        x = box.pop()  # the reference moves from the stack into the cell

    live = Live()
    ref = weakref.ref(live)
    tasklet(work)([live])
    schedule()
    gc.collect()
    assert ref() is live


def test_arguments_that_a_refused_call_has_taken_are_not_collected():
    def takes_one(first):
        pass

    def work(live):
        with contextlib.suppress(TypeError):
            takes_one(Pauses(), live.pop(), live.pop())

    live = [Live(), Live()]
    refs = [weakref.ref(one) for one in live]
    one, two = live
    tasklet(work)(live)
    schedule()
    gc.collect()
    assert [ref() for ref in refs] == [one, two]


def test_an_argument_that_dies_after_a_call_is_not_cleared(log):
    class Dies:
        def __init__(self):
            self.me = 1

        def __del__(self):
            with contextlib.suppress(TaskletExit):
                schedule_remove(None)
            log.append(self.me)

    def work():
        id(Dies())

    tasklet(work)()
    schedule()
    gc.collect()
    schedule()
    assert log == [1]


# Only what is surely owned is shown; that is enough to find these.


def test_a_tasklet_in_a_call_with_stars_is_collected(log):
    def wraps(*args, **kwargs):
        return schedule_remove(*args, **kwargs)

    def work():
        try:
            wraps(tasklets.getcurrent())
        finally:
            log.append("finally")

    tasklet(work)()
    run()
    gc.collect()
    schedule()
    assert log == (["finally"] if SEES_STACK else [])
    for t in tasklets.scheduler.getuncollectables():
        t.kill()


@pytest.mark.parametrize("seed", range(0, PROGRAMS, PROGRAMS_PER_CHILD))
def test_no_random_program_over_frames_crashes(tmp_path, monkeypatch, seed):
    output = run_cases(
        tmp_path, monkeypatch, "frame_programs.py", seed, PROGRAMS_PER_CHILD
    )
    assert output.splitlines()[-1] == f"ok {PROGRAMS_PER_CHILD}"
