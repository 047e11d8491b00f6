"""The comparisons with the model notice when one rule is another one.

Each mistake is planted in the source of the model, and the programs that compare the
core with the model must tell the two models apart.
"""

import functools
import inspect
import sys
import types
from unittest import mock

import model
import model_parts
import model_programs
import model_threads
import pytest

PROGRAMS = 1500

# name: text of the model, what stands there by mistake
MISTAKES = {
    "inserted_ones_run_next": (
        "tasklet.thread.ring.append(tasklet)",
        "tasklet.thread.ring.insert(1, tasklet)",
    ),
    "preference_is_inverted": (
        "elif channel.preference == -direction:",
        "elif channel.preference == direction:",
    ),
    "preference_is_ignored": ("elif channel.preference == -direction:", "elif False:"),
    "a_preferred_partner_runs_but_the_caller_stays_second": (
        "order = [partner, *here.ring[1:], me]",
        "order = [partner, *here.ring]",
    ),
    "schedule_all_lets_the_partner_run_first": (
        "order = [*order[1:], me]",
        "order = [partner, *here.ring[1:], me]",
    ),
    "schedule_all_yields_to_nobody": ("if channel.schedule_all:", "if False:"),
    "the_youngest_waiter_is_served_first": (
        "return self.waiting[0] if self.waiting else None",
        "return self.waiting[-1] if self.waiting else None",
    ),
    "blocking_goes_to_the_front_of_the_channel_queue": (
        "queue.waiting.append(me)",
        "queue.waiting.insert(0, me)",
    ),
    "partners_do_not_swap_tempvals": (
        "me.held, partner.held = partner.held, me.held",
        "me.held, partner.held = (None, me.held) if direction == SEND"
        " else (partner.held, None)",
    ),
    "errors_go_to_the_outermost_run": (
        "return self.watchdogs[-1] if self.watchdogs else self.main",
        "return self.watchdogs[0] if self.watchdogs else self.main",
    ),
    "errors_go_to_main": (
        "            if isinstance(error, SystemExit):\n",
        "            if True:\n",
    ),
    "system_exit_stops_at_a_run": (
        "            if isinstance(error, SystemExit):\n",
        "            if False:\n",
    ),
    "tasklet_exit_is_an_error": (
        "        if isinstance(error, TaskletExit):\n",
        "        if False:\n",
    ),
    "an_error_wakes_its_receiver_without_turning_the_ring": (
        "            self.put_first(here, watchdog)\n        elif not here.ring and",
        "            self.take_out(watchdog)\n"
        "            self.put_first(here, watchdog)\n        elif not here.ring and",
    ),
    "kill_waits_for_its_turn": (
        "if pending or self.thread is not model.here:",
        "if pending or issubclass(bomb.type, TaskletExit):",
    ),
    "throw_is_never_pending": (
        "if pending or self.thread is not model.here:",
        "if self.thread is not model.here:",
    ),
    "pending_throws_leave_a_ghost_in_the_channel": (
        "                model.take_out_of_queue(self)\n"
        "                model.append(self)",
        "                model.append(self)",
    ),
    "a_killed_beginner_just_ends": (
        "            if isinstance(first, Bomb):\n",
        "            if isinstance(first, Bomb) and first.type is not TaskletExit:\n",
    ),
    "throwing_at_a_dead_tasklet_is_ignored": (
        "            if issubclass(bomb.type, TaskletExit):\n",
        "            if True:\n",
    ),
    "run_moves_one_tasklet_and_turns_nothing": (
        "        if tasklet.place is None:\n            tasklet.place = thread.ring",
        "        self.take_out(tasklet)\n"
        "        if tasklet.place is None:\n            tasklet.place = thread.ring",
    ),
    "switch_leaves_the_caller_in_the_ring": (
        "        if caller_leaves:\n            self.take_out(me)",
        "        if caller_leaves:\n            pass",
    ),
    "switch_puts_the_caller_last": (
        "        if caller_leaves:\n            self.take_out(me)",
        "        if caller_leaves:\n"
        "            self.take_out(me)\n"
        "            self.append(me)",
    ),
    "the_end_of_a_run_keeps_those_above_it_on_the_stack": (
        "            while (above := here.watchdogs.pop()) is not me:\n"
        "                self.append(above)",
        "            here.watchdogs.remove(me)",
    ),
    "the_end_of_a_run_forgets_those_above_it": (
        "                self.append(above)\n",
        "                pass\n",
    ),
    "those_above_an_ended_run_come_back_outermost_first": (
        "            while (above := here.watchdogs.pop()) is not me:\n"
        "                self.append(above)",
        "            at = here.watchdogs.index(me)\n"
        "            for above in here.watchdogs[at + 1:]:\n"
        "                self.append(above)\n"
        "            del here.watchdogs[at:]",
    ),
    "run_returns_a_tempval": (
        "        return outcome if isinstance(outcome, Bomb) else None\n\n"
        "    def run_rounds",
        "        return outcome\n\n    def run_rounds",
    ),
    "send_exception_returns_a_tempval": (
        "        return outcome if isinstance(outcome, Bomb) else None\n\n"
        "    def send_sequence",
        "        return outcome\n\n    def send_sequence",
    ),
    "run_of_another_always_returns_none": (
        "        return (yield from self.enter_first())\n\n    def join",
        "        outcome = yield from self.enter_first()\n"
        "        return outcome if isinstance(outcome, Bomb) else None\n\n"
        "    def join",
    ),
    "schedule_returns_none": ("value = value[0] if value else me", "value = None"),
    "nobody_is_woken_when_the_last_one_leaves": (
        "        if watchdog.place is None:\n            return watchdog\n",
        "",
    ),
    "a_waiting_senders_bomb_is_raised_by_run": (
        "        return isinstance(me.held, Bomb) and (paused or self.stackless)\n",
        "        return isinstance(me.held, Bomb)\n",
    ),
    "a_deadlock_leaves_the_caller_in_the_channel_queue": (
        "        except RuntimeError:\n            self.take_out_of_queue(me)\n",
        "        except RuntimeError:\n",
    ),
    "a_deadlock_puts_the_caller_last": (
        "            here.ring.insert(0, me)\n            raise",
        "            here.ring.append(me)\n            raise",
    ),
    "a_failed_action_leaves_its_value_behind": (
        "            me.held = before\n            raise\n        if remote:",
        "            raise\n        if remote:",
    ),
    "the_last_one_ends_and_a_waiting_main_gets_nothing": (
        "            watchdog.force(Bomb(RuntimeError, (message,), THROW))",
        "            watchdog.held = None",
    ),
    "main_is_always_told_that_it_was_receiving": (
        "{SEND: SENDING, RECEIVE: RECEIVING, None: JOINING}",
        "{SEND: RECEIVING, RECEIVE: RECEIVING, None: JOINING}",
    ),
    "switch_trap_lets_everything_pass": (
        "            if self.here.trap:\n",
        "            if False:\n",
    ),
    "switch_trap_refuses_what_switches_to_nobody_else": (
        "        if target is not self.current:\n"
        "            if self.in_schedule_callback",
        "        if True:\n            if self.in_schedule_callback",
    ),
    "a_trapped_throw_leaves_its_error": (
        "        self.check_trap(target)\n        if bomb is not None:\n",
        "        if bomb is not None:\n            target.held = bomb\n"
        "        self.check_trap(target)\n        if bomb is not None:\n",
    ),
    "a_trapped_hand_over_loses_the_partner": (
        "            self.check_trap(order[0])\n"
        "        self.take_out_of_queue(partner)",
        "            self.take_out_of_queue(partner)\n"
        "            self.check_trap(order[0])\n"
        "        self.take_out_of_queue(partner)",
    ),
    "block_trap_is_ignored": (
        "        if self.current.block_trap and blocks:",
        "        if False:",
    ),
    "block_trap_is_asked_after_closing": (
        "        if self.current.block_trap and blocks:\n"
        "            raise RuntimeError(BLOCKED)\n"
        "        if channel.closing:\n"
        "            raise ValueError(CLOSED)\n",
        "        if channel.closing:\n"
        "            raise ValueError(CLOSED)\n"
        "        if self.current.block_trap and blocks:\n"
        "            raise RuntimeError(BLOCKED)\n",
    ),
    "a_closing_channel_refuses_its_waiting_partners": (
        "        remote = partner is not None",
        "        if channel.closing:\n"
        "            raise ValueError(CLOSED)\n"
        "        remote = partner is not None",
    ),
    "iteration_ends_before_the_waiting_senders_are_served": (
        "if self.closing and self.balance <= 0:",
        "if self.closing:",
    ),
    "iteration_ends_only_when_nobody_waits_at_all": (
        "if self.closing and self.balance <= 0:",
        "if self.closed:",
    ),
    "the_schedule_callback_sees_switches_to_oneself": (
        "if self.schedule_callback and previous is not following:",
        "if self.schedule_callback:",
    ),
    "the_schedule_callback_comes_after_the_switch": (
        "            self.notify(me, here.ring[0])\n            if here.ring[0] is me:",
        "            here.current = here.ring[0]\n"
        "            self.notify(me, here.ring[0])\n"
        "            if here.ring[0] is me:",
    ),
    "endings_are_not_told_to_the_schedule_callback": (
        "        self.notify(me, here.ring[0])\n        here.current = here.ring[0]\n",
        "        here.current = here.ring[0]\n",
    ),
    "the_channel_callback_comes_only_if_the_action_can_be_done": (
        "willblock=partner is None)\n            if partner",
        "willblock=partner is None) if partner else None\n            if partner",
    ),
    "the_channel_callback_does_not_see_the_value": (
        "        before, me.held = me.held, value\n        try:\n"
        "            if not remote:\n"
        "                self.notify_channel"
        "(channel, direction, willblock=partner is None)\n",
        "        before, me.held = me.held, None\n        try:\n"
        "            if not remote:\n"
        "                self.notify_channel"
        "(channel, direction, willblock=partner is None)\n"
        "            me.held = value\n",
    ),
    "channel_actions_may_nest_in_their_callback": (
        "        if self.in_channel_callback:\n",
        "        if False:\n",
    ),
    "the_error_handler_is_asked_for_its_own_errors": (
        "        if me.in_handler:\n",
        "        if False:\n",
    ),
    "the_error_handler_is_asked_for_tasklet_exit": (
        "if self.error_handler is None or isinstance(error, SystemExit):",
        "if self.error_handler is None:",
    ),
    "the_error_handler_is_never_asked": (
        "if self.error_handler is None or isinstance(error, SystemExit):",
        "if True:",
    ),
    "errors_of_the_error_handler_are_dropped": (
        "                self.ended(me, error)\n",
        "                self.ended(me, None if me.in_handler else error)\n",
    ),
    "trying_to_send_is_always_said_to_have_worked": (
        "else outcome is not NOBODY",
        "else True",
    ),
    "trying_blocks": ("if not blocks and not channel.closing:", "if False:"),
    "a_join_does_not_wait_for_the_last_step": (
        "        if self.ended:\n            return True\n",
        "        if self.ended or self.started:\n            return True\n",
    ),
    "those_who_join_come_back_youngest_first": (
        "for joiner in list(me.joiners.waiting):",
        "for joiner in me.joiners.waiting[::-1]:",
    ),
    "unbinding_keeps_the_function": (
        "            self.forget()\n            self.held = function\n",
        "            self.forget()\n            self.held = function or max\n",
    ),
    "a_throw_goes_before_a_pending_kill": (
        "elif rank > bomb.rank or rank == bomb.rank >= KILL:",
        "elif False:",
    ),
    "a_kill_drops_a_pending_throw": (
        "            if rank != bomb.rank:\n",
        "            if False:\n",
    ),
    "an_earlier_throw_is_kept": (
        "            if rank != bomb.rank:\n",
        "            if True:\n",
    ),
    "the_value_of_a_killed_receiver_is_lost": (
        "            channel.take_back(old)\n",
        "            pass\n",
    ),
    "the_value_of_a_killed_receiver_wakes_no_other": (
        "if self.direction == RECEIVE and self.waiting:",
        "if False:",
    ),
    "remove_takes_the_blocked_out_of_their_channel": (
        '            raise RuntimeError("You cannot remove a blocked tasklet.")',
        "            self.model.take_out_of_queue(self)",
    ),
    "who_became_runnable_meanwhile_has_a_turn_in_the_round": (
        "            tasklet.thread.ring.append(tasklet)\n",
        "            tasklet.thread.ring.append(tasklet)\n"
        "            self.name_next(tasklet)\n",
    ),
    "a_round_is_over_one_turn_early": (
        "        self.turns = set(ring)\n",
        "        self.turns = set(ring[:-1])\n",
    ),
    "the_next_round_has_the_turns_of_the_first_only": (
        "                rounds.turns = set(here.ring)\n",
        "                rounds.turns = set(here.ring[:1])\n",
    ),
    "who_is_removed_keeps_its_turn": (
        "                rounds.turns.discard(tasklet)\n",
        "                pass\n",
    ),
    "the_innermost_of_two_rounds_ends_first": (
        "        for caller in here.watchdogs:\n            first",
        "        for caller in here.watchdogs[::-1]:\n            first",
    ),
    "who_runs_another_goes_on_in_the_next_round": (
        "            else:\n                self.name_next(me)\n",
        "            else:\n                pass\n",
    ),
    "who_runs_a_runnable_one_stays_before_the_others": (
        "                ring.append(ring.pop(1))",
        "                self.name_next(me)",
    ),
    "a_preferred_partner_waits_for_the_next_round": (
        "                self.name_next(partner)\n",
        "                pass\n",
    ),
    "insert_moves_a_queued_one_to_the_end": (
        "    def append(self, tasklet):\n",
        "    def append(self, tasklet):\n"
        "        if tasklet is not tasklet.thread.current:\n"
        "            self.take_out(tasklet)\n",
    ),
}

BETWEEN_THREADS = {
    "a_partner_on_another_thread_goes_first_there": (
        "        self.append(partner)\n        if partner.thread is here:",
        "        self.append(partner)\n"
        "        if partner.thread is not here:\n"
        "            order = partner.thread.ring\n"
        "            order.insert(min(1, len(order) - 1), order.pop())\n"
        "        if partner.thread is here:",
    ),
    "run_on_another_thread_goes_last_there": (
        "thread.ring.insert(0 if thread.idle() else 1, tasklet)",
        "thread.ring.append(tasklet)",
    ),
    "run_on_another_thread_does_not_move_a_queued_one": (
        "        if tasklet is not thread.current:\n            self.take_out(tasklet)",
        "        if tasklet.place is None:\n            self.take_out(tasklet)",
    ),
    "switch_may_go_to_another_thread": (
        "        if self.thread is not model.here:\n            raise RuntimeError",
        "        if self.thread is not model.here:\n"
        "            return model.make_next(self)\n"
        "        if False:\n            raise RuntimeError",
    ),
    "throwing_at_another_thread_goes_first_there": (
        "                model.append(self)\n                self.force(bomb)",
        "                model.append(self)\n"
        "                if self.thread is not model.here and"
        " self.place.index(self) > 1:\n"
        "                    self.place.remove(self)\n"
        "                    self.place.insert(1, self)\n"
        "                self.force(bomb)",
    ),
    "a_thread_does_not_wait_for_others": (
        "        if self.another_thread_can_run():\n            return None\n",
        "",
    ),
    "a_waiting_main_is_told_that_nobody_can_help": (
        "            if self.another_thread_can_run():\n"
        "                here.current = None\n",
        "            if False:\n                here.current = None\n",
    ),
    "remove_does_nothing_on_another_thread": (
        "        self.model.take_out(self)\n        return self",
        "        if self.thread is self.model.here:\n"
        "            self.model.take_out(self)\n"
        "        return self",
    ),
    "system_exit_of_any_thread_reaches_its_main": (
        "isinstance(error, SystemExit) and here is not self.threads[0]",
        "isinstance(error, SystemExit) and False",
    ),
    "a_thread_of_its_own_does_not_wake_with_insert": (
        "            if thread.idle() and thread.ring:\n",
        "            if thread.idle() and len(thread.ring) > 1:\n",
    ),
}


@functools.cache
def expected(seed):
    program = model_programs.random_program(seed)
    return model_programs.run(model.Model(), program)


@functools.cache
def expected_between_threads(seed):
    program = model_threads.random_program(seed)
    return model_threads.run(model_threads.ModelRun, model.Model(), program)


def mistaken_model(right, wrong):
    """Return the model's module, made again with one rule changed."""
    sources = [
        (part.__name__, inspect.getsource(part)) for part in (model_parts, model)
    ]
    found = sum(source.count(right) for _, source in sources)
    assert found == 1, "the model no longer says this exactly once"
    with mock.patch.dict(sys.modules):
        for name, source in sources:
            sys.modules[name] = module = types.ModuleType(name)
            exec(source.replace(right, wrong), module.__dict__)
    return module


def first_noticed(right, wrong):
    module = mistaken_model(right, wrong)
    for seed in range(PROGRAMS):
        program = model_programs.random_program(seed)
        if model_programs.run(module.Model(), program) != expected(seed):
            return seed
    return None


def first_noticed_between_threads(right, wrong):
    module = mistaken_model(right, wrong)
    for seed in range(PROGRAMS):
        program = model_threads.random_program(seed)
        lines = model_threads.run(model_threads.ModelRun, module.Model(), program)
        if lines != expected_between_threads(seed):
            return seed
    return None


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_one_rule_is_noticed(mistake):
    assert first_noticed(*MISTAKES[mistake]) is not None


@pytest.mark.slow
@pytest.mark.parametrize("mistake", BETWEEN_THREADS)
def test_a_mistake_in_one_rule_between_threads_is_noticed(mistake):
    assert first_noticed_between_threads(*BETWEEN_THREADS[mistake]) is not None
