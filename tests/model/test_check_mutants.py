"""The checks of a debug build notice when an invariant of the core is broken."""

import os
import signal

import pytest
from children import ROOT, SCRIPTS
from mutants import Builder, outcome

PROGRAM = SCRIPTS / "check_program.py"

# name: file, text, what stands there by mistake, which check notices it
MUTANTS = {
    "who_leaves_the_ring_is_still_counted": (
        "core/runq.c",
        "    t->place = TL_FLOATING;\n    s->runcount--;\n",
        "    t->place = TL_FLOATING;\n",
        "I1 of tl_sched",
    ),
    "who_was_woken_still_waits": (
        "sync/wait_queue.c",
        "        tl_task_end_wait(t);\n        tl_sched_ready(t);\n",
        "        tl_wait_end(&t->wait, &t->link);\n        tl_sched_ready(t);\n",
        "I1 of tasklet",
    ),
    "a_timer_stays_where_it_was_put": (
        "base/timer_heap.c",
        "        if (!is_before(&item, &heap->items[parent])) {",
        "        if (true) {",
        "I1 of tl_timer_heap",
    ),
    "a_lock_is_free_and_has_an_owner": (
        "sync/lock.c",
        "    if (--lock->count == 0) {\n        tl_lock_release_all(lock);\n    }\n",
        "    --lock->count;\n",
        "I1 of lock",
    ),
    "a_receiver_that_left_is_still_counted": (
        "sync/channel.c",
        "    t->sending = 0;\n    ch->waiting++;\n",
        "    t->sending = 0;\n",
        "I1 of channel",
    ),
    "a_job_that_is_over_is_among_the_running": (
        "worker/job.c",
        "    tl_link_remove(&job->link);\n    tl_job_check(job);\n    TL_CHECK",
        "    tl_job_check(job);\n    TL_CHECK",
        "I1 of job",
    ),
    "a_stack_that_is_taken_is_still_counted": (
        "core/stacks.h",
        "    s->npool--;\n",
        "",
        "I5 of tl_sched",
    ),
    "a_call_of_run_that_is_over_is_still_listed": (
        "core/run.c",
        "    frame->listed = false;\n",
        "",
        "I1 of tl_run_frame",
    ),
    "who_was_notified_stays_with_the_condition": (
        "sync/condition.c",
        "(PyObject *)lock, &lock->waiters,\n",
        "(PyObject *)lock, &cond->waiters,\n",
        "I1 of condition",
    ),
    "a_case_that_was_unlinked_is_still_counted": (
        "sync/channel.c",
        "    one->of->linked--;\n",
        "",
        "I2 of tl_selection",
    ),
    "who_waits_is_not_told_of_an_item": (
        "sync/simple_queue.c",
        "    if (!tl_link_is_single(&q->waiters)) {\n        promise(q);",
        "    if (false) {\n        promise(q);",
        "I3 of simple queue",
    ),
    "a_shield_that_was_left_still_counts": (
        "core/scope.c",
        "        scope->who->shields--;\n    }\n    scope->state = TL_SCOPE_IDLE;",
        "        ;\n    }\n    scope->state = TL_SCOPE_IDLE;",
        "I4 of tl_scope",
    ),
    "a_tasklet_that_left_its_group_still_counts": (
        "sync/group.c",
        "    PyMem_Free(member);\n    group->count--;\n",
        "    PyMem_Free(member);\n",
        "I1 of group",
    ),
    "a_request_that_is_over_is_in_flight": (
        "io/uv_loop.c",
        "    count(request->loop, -1);\n",
        "",
        "I1 of tl_uv_loop",
    ),
    "a_block_that_came_back_is_still_in_use": (
        "base/frame_slab.c",
        "        if (slab->used-- == slab->total) {",
        "        if (slab->used == slab->total) {",
        "I1 of slab",
    ),
}

# All of them take a minute or two: TASKLETS_MUTANTS=all.
SHARE = 1 if os.environ.get("TASKLETS_MUTANTS") == "all" else 8


def builder(folder):
    """Return what compiles a mutant, if the checks are in the build."""
    builder = Builder(folder)
    if "-UNDEBUG" not in builder.command:
        pytest.skip("needs a build with assertions")
    return builder


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_made_of_what_the_source_says_once(mutant):
    name, right, _, _ = MUTANTS[mutant]
    assert (ROOT / "csrc" / name).read_text().count(right) == 1


@pytest.mark.slow
@pytest.mark.parametrize("mutant", list(MUTANTS)[::SHARE])
def test_the_check_of_a_broken_invariant_names_it(tmp_path, mutant):
    *change, invariant = MUTANTS[mutant]
    lib = builder(tmp_path).build(*change)
    status, output = outcome(lib, PROGRAM)
    assert f": {invariant} " in output
    assert " violated: " in output
    assert status == -signal.SIGABRT


@pytest.mark.slow
def test_without_a_mistake_no_check_fails(tmp_path):
    lib = builder(tmp_path).build(
        "base/timer_heap.c", "static void\nmove_up", "static void move_up"
    )
    status, output = outcome(lib, PROGRAM)
    assert status == 0, output
