"""The tests of interruptions notice when one line of the core is another one."""

import os

import pytest
from children import ROOT, SCRIPTS, TESTS
from mutants import Builder, outcome

PROGRAMS = 700
TRAFFIC = 250

# name: file, text, what stands there by mistake
MUTANTS = {
    "a_pending_request_is_dropped": (
        "core/interrupt.c",
        "    PyObject *drop = put_in_line(t, bomb);\n"
        "    tl_interrupt_update(t);\n"
        "    return drop;\n",
        "    return bomb;\n",
    ),
    "a_displaced_kill_is_dropped": (
        "core/interrupt.c",
        "        return put_in_line(t, old);\n",
        "        return old;\n",
    ),
    "a_displaced_block_is_forgotten": (
        "core/interrupt.c",
        "            scope->state = TL_SCOPE_DUE;\n        }\n    } else if (channel",
        "            scope->state = TL_SCOPE_SPENT;\n        }\n    } else if (channel",
    ),
    "the_value_of_a_killed_receiver_is_lost": (
        "core/interrupt.c",
        "        t->home->state->take_back(channel, old);\n        return NULL;\n",
        "        return old;\n",
    ),
    "a_throw_takes_the_place_of_a_kill": (
        "core/interrupt.c",
        "    if (rank > wanted || (rank == wanted && rank >= TL_RANK_KILL ",
        "    if (false && (rank == wanted ",
    ),
    "two_kills_are_two": (
        "core/interrupt.c",
        "    bool kill = is_plain_kill(t, bomb);\n",
        "    bool kill = false;\n",
    ),
    "of_two_throws_both_count": (
        "core/interrupt.c",
        "        if (rank == TL_RANK_THROW && bomb_of(*link)->rank == rank) {",
        "        if (false) {",
    ),
    "requests_come_in_their_order": (
        "core/interrupt.c",
        "    while (*link != NULL && bomb_of(*link)->rank >= rank) {",
        "    while (*link != NULL) {",
    ),
    "a_shield_holds_off_nothing": (
        "core/interrupt.c",
        "    return t->shields > 0 && bomb_of(bomb)->rank < TL_RANK_EXIT;",
        "    return false;",
    ),
    "a_shield_holds_off_the_end_of_the_program": (
        "core/interrupt.c",
        "    return t->shields > 0 && bomb_of(bomb)->rank < TL_RANK_EXIT;",
        "    return t->shields > 0;",
    ),
    "a_shield_does_not_hold_off_outer_blocks": (
        "core/interrupt.c",
        "i = t->scopes; i != shield; i = i->outer) {\n",
        "i = t->scopes; (void)shield, i != NULL; i = i->outer) {\n",
    ),
    "a_shield_holds_off_only_if_it_is_the_innermost_block": (
        "core/interrupt.c",
        "    while (i != NULL && (i->kind != TL_SCOPE_SHIELD || ",
        "    while (false && (i->kind != TL_SCOPE_SHIELD || ",
    ),
    "the_innermost_block_goes_first": (
        "core/interrupt.c",
        "            due = i;\n",
        "            return i;\n",
    ),
    "an_inner_block_that_was_first_goes_before_the_outer_one": (
        "core/interrupt.c",
        "    return coming == TL_RANK_SCOPE && i == NULL;",
        "    return false;",
    ),
    "a_block_that_was_first_goes_before_a_kill": (
        "core/interrupt.c",
        "        return bomb_of(*place)->rank > coming;",
        "        return false;",
    ),
    "a_kill_that_a_group_put_off_does_not_come_again": (
        "core/interrupt.c",
        "        tl_sched_drop_later(t->home, tl_interrupt_add(t, bomb));",
        "        tl_sched_drop_later(t->home, bomb);",
    ),
    "a_block_that_a_group_put_off_does_not_come_again": (
        "core/interrupt.c",
        "            i->state = TL_SCOPE_DUE;\n"
        "            tl_interrupt_update(t);\n"
        "            Py_DECREF(exc);",
        "            Py_DECREF(exc);",
    ),
    "a_lock_that_is_acquired_again_holds_off_nothing": (
        "core/interrupt.c",
        "    return t->holds > 0 || is_shielded(t, bomb) ||",
        "    return is_shielded(t, bomb) ||",
    ),
    "who_runs_beside_a_suspended_generator_is_interrupted": (
        "core/interrupt.c",
        "    if (tl_location_is_suspended(&scope->where, s->ts)) {",
        "    if (false) {",
    ),
    "a_kill_that_comes_again_has_no_context": (
        "core/interrupt.c",
        "    if (rank == TL_RANK_KILL && has_traceback) {",
        "    if (false) {",
    ),
    "what_was_handled_before_the_block_counts": (
        "core/interrupt.c",
        "i != NULL && i != until && left > 0",
        "i != NULL && left > 0",
    ),
    "a_kill_is_stronger_than_the_end_of_the_program": (
        "core/interrupt.c",
        "STRENGTH_EXIT = 1 << 25",
        "STRENGTH_EXIT = 1 << 23",
    ),
    "an_inner_block_is_stronger": (
        "core/interrupt.c",
        "i != NULL; i = i->outer, place++)",
        "i != NULL; i = i->outer, place--)",
    ),
    "what_a_finalizer_swallowed_is_over": (
        "core/interrupt.c",
        "    if (TL_UNLIKELY(again)) {\n        keep_for_later(me, bomb, NULL);",
        "    if (false) {\n        keep_for_later(me, bomb, NULL);",
    ),
    "a_timeout_that_a_finalizer_swallowed_is_over": (
        "core/interrupt.c",
        "        if (TL_UNLIKELY(again) && scope != NULL) {",
        "        if (false) {",
    ),
    "an_interruption_without_a_block_ends_its_tasklet_silently": (
        "core/interrupt.c",
        "    if (!PyErr_GivenExceptionMatches(exc, state->timeout_exit) &&\n"
        "        !PyErr_GivenExceptionMatches(exc, state->group_exit)) {\n"
        "        return NULL;",
        "    if (true) {\n        return NULL;",
    ),
    "a_shield_has_no_limit": (
        "core/scope.c",
        "    shield->state = TL_SCOPE_SPENT;\n",
        "    return;\n    shield->state = TL_SCOPE_SPENT;\n",
    ),
    "the_end_of_a_shield_by_its_limit_wakes_nobody": (
        "core/scope.c",
        "    tl_interrupt_wake(shield->who);\n",
        "    tl_interrupt_update(shield->who);\n",
    ),
    "what_a_shield_held_off_is_forgotten": (
        "core/scope.c",
        "    if (TL_UNLIKELY(who->thrown || shield)) {",
        "    if (TL_UNLIKELY(who->thrown)) {",
    ),
    "the_time_of_a_block_does_not_end_a_wait": (
        "core/scope.c",
        "        tl_interrupt_wake(scope->who);\n",
        "        tl_interrupt_update(scope->who);\n",
    ),
    "a_block_forgets_what_was_handled_before": (
        "core/scope.c",
        "    scope->handled = tl_gil_handled(s->ts);",
        "    scope->handled = NULL;",
    ),
    "a_kill_is_a_timeout_if_it_has_the_address_of_one": (
        "core/scope.c",
        "    if (scope->raised == NULL || exc == NULL ||\n"
        "        !PyErr_GivenExceptionMatches(",
        "    if (scope->raised == NULL || exc == NULL ||\n"
        "        scope->raised != exc && !PyErr_GivenExceptionMatches(",
    ),
    "the_interruption_of_any_block_is_the_blocks_own": (
        "core/scope.c",
        "    return scope->raised == exc || (",
        "    return true || (",
    ),
    "a_weaker_interruption_replaces_a_stronger_one": (
        "core/scope.c",
        "        stronger = tl_interrupt_replaced(s->current, ",
        "        if (false) tl_interrupt_replaced(s->current, ",
    ),
    "a_block_that_has_ended_by_itself_waits_for_what_is_requested": (
        "python/timeout_type.c",
        "    } else if (tl_sched_check_thrown(s) == 0) {",
        "    } else {",
    ),
    "whatever_leaves_a_block_that_was_interrupted_is_a_timeout": (
        "python/timeout_type.c",
        "    if (!own) {",
        "    if (!own && (exc == Py_None || !self->scope.expired)) {",
    ),
    "errors_of_a_group_replace_the_interruption": (
        "sync/group.c",
        "        if (exit != leaving && tl_interrupt_strength(",
        "        if (false && tl_interrupt_strength(",
    ),
    "the_weakest_interruption_leaves_a_group": (
        "sync/group.c",
        "        if (found == NULL || strength >= most) {",
        "        if (found == NULL || strength < most) {",
    ),
    "the_first_interruption_leaves_a_group": (
        "sync/group.c",
        "        if (found == NULL || strength >= most) {",
        "        if (found == NULL) {",
    ),
    "errors_of_a_group_have_the_kill_as_their_context": (
        "sync/group.c",
        "has(group->exits, exc) ? PyException_GetContext(exc)",
        "false                  ? PyException_GetContext(exc)",
    ),
    "a_groups_block_is_not_interrupted": (
        "sync/group.c",
        "    if (group->in_body && group->home == tl_sched_mine &&",
        "    if (false && group->home == tl_sched_mine &&",
    ),
    "a_group_that_is_interrupted_leaves_its_tasklets_alone": (
        "sync/group.c",
        "        interrupted(group, error, refusals);\n        Py_DECREF(error);\n",
        "        interrupted(group, error, refusals);\n"
        "        Py_DECREF(error);\n"
        "        break;\n",
    ),
    "a_groups_own_interruption_hides_the_stronger_one": (
        "sync/group.c",
        "        exc = replaced;\n",
        "        exc = NULL;\n",
    ),
    "a_second_keyboard_interrupt_kills_nobody": (
        "sync/group.c",
        "        kill_children(group);\n    }\n    tl_group_abort(group);\n",
        "    }\n    tl_group_abort(group);\n",
    ),
    "a_group_that_was_cancelled_waits_for_what_is_requested": (
        "python/group_type.c",
        "        if (exc != NULL && tl_sched_check_thrown(s) < 0) {",
        "        if (false) {",
    ),
    "a_condition_that_is_interrupted_does_not_have_its_lock": (
        "sync/condition.c",
        "    if (TL_UNLIKELY(!(given & TL_GIVEN_OWNERSHIP))) {",
        "    if (TL_UNLIKELY(!(given & TL_GIVEN_OWNERSHIP)) && result == 0) {",
    ),
    "a_notification_is_lost_with_its_waiter": (
        "sync/condition.c",
        "    if (result < 0 && (given & TL_GIVEN_NOTIFICATION) && cond->own == lock) {",
        "    if (false) {",
    ),
    "what_came_while_a_lock_was_acquired_again_waits": (
        "sync/reacquire.c",
        "    return s == NULL || tl_sched_is_held(s) ? 0 : tl_sched_check_thrown(s);",
        "    (void)s;\n    return 0;",
    ),
    "a_lock_that_was_given_to_a_killed_waiter_stays_locked": (
        "sync/lock.c",
        "            if (result < 0) {\n                tl_lock_release_all(lock);\n",
        "            if (false) {\n                tl_lock_release_all(lock);\n",
    ),
    "the_value_of_a_receiver_that_gave_way_is_lost": (
        "sync/channel.c",
        "        (value != NULL ? partner : s->current)->handed = partner->wait.on;\n",
        "        partner->handed = value != NULL ? partner->wait.on : NULL;\n",
    ),
    "the_value_of_a_receiver_that_waited_is_lost": (
        "sync/channel.c",
        "    partner->handed = value != NULL ? partner->wait.on : NULL;\n",
        "    partner->handed = NULL;\n",
    ),
    "a_value_that_comes_back_is_the_last": (
        "sync/channel.c",
        "        tl_items_put_back(ch, value);\n",
        "        (void)tl_items_push(ch, value);\n        drop(value);\n",
    ),
    "a_value_that_comes_with_a_signal_is_lost": (
        "core/sched.c",
        "        tl_sched_drop_later(s, tl_interrupt_displace(me));",
        "        tl_sched_drop_later(s, tl_task_swap(me, NULL));",
    ),
    "a_kill_replaces_the_end_of_the_program_at_the_tasklets_end": (
        "core/tasklet_end.c",
        "    PyObject *other = tl_interrupt_replaced(t, exc, NULL, strength);",
        "    PyObject *other = NULL;\n    (void)strength;",
    ),
    "kill_does_not_ask_for_shields": (
        "python/tasklet_methods.c",
        "        if (t->home != s || pending || tl_interrupt_is_held_off(t, bomb)) {",
        "        if (t->home != s || pending) {",
    ),
}


CHECKS = {
    "programs": (SCRIPTS / "interruption_programs.py", 0, PROGRAMS, "quick"),
    "traffic": (SCRIPTS / "interruption_traffic.py", "clock", 0, TRAFFIC),
    "tests": (
        "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
        TESTS / "core" / "test_interruptions.py",
        TESTS / "core" / "test_interruption_values.py",
        TESTS / "core" / "test_shield.py",
    ),
}  # fmt: skip


# All of them take some minutes: TASKLETS_MUTANTS=all.
SHARE = 1 if os.environ.get("TASKLETS_MUTANTS") == "all" else 9


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_made_of_what_the_source_says_once(mutant):
    name, right, _ = MUTANTS[mutant]
    assert (ROOT / "csrc" / name).read_text().count(right) == 1


@pytest.mark.slow
@pytest.mark.parametrize("mutant", list(MUTANTS)[::SHARE])
def test_a_mistake_in_one_line_is_noticed(tmp_path, mutant):
    lib = Builder(tmp_path).build(*MUTANTS[mutant])
    assert any(outcome(lib, *check)[0] != 0 for check in CHECKS.values())


@pytest.mark.slow
def test_without_a_mistake_nothing_is_noticed(tmp_path):
    heading = "// ---- times\n"
    lib = Builder(tmp_path).build("core/scope.c", heading, heading + "\n")
    for check in CHECKS.values():
        status, output = outcome(lib, *check)
        assert status == 0, output
