"""Random programs of two threads, on the core and on the model.

usage: model_threads.py MODULE FIRST LAST     compare these seeds, stop at a difference

Only one thread acts at a time. The main tasklet of each thread waits for commands, one
operation each; after every operation the actor waits until the threads it woke are at
rest: waits for a command again, or has an empty ring and waits for other threads. A
third thread gives the commands, so no thread is ever the last that can run.
"""

import importlib
import queue
import random
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import isgenerator

import model
from model_programs import Watched, difference, text, through

import tasklets

MOST_STEPS = 100
MOST_TASKLETS = 8

# How often each is drawn.
OPERATIONS = {
    "schedule": 4,
    "schedule_remove": 1,
    "send": 8,
    "receive": 8,
    "preference": 1,
    "insert": 4,
    "remove": 3,
    "run_it": 4,
    "switch": 2,
    "kill": 2,
    "kill_pending": 2,
    "throw": 2,
    "throw_pending": 2,
    "run": 4,
    "run_rounds": 4,
    "spawn": 4,
    "bind": 2,
    "unbind": 1,
    "setup": 2,
    "tempval": 1,
    "raise": 1,
    "system_exit": 1,
}


@dataclass
class Program:
    """What to run: channels by preference, (thread, operation), and bodies."""

    channels: list
    commands: list
    bodies: list


def random_program(seed):
    rnd = random.Random(seed)
    kinds = [*rnd.sample(list(OPERATIONS), rnd.randint(3, 8)), "spawn", "run"]
    kinds += rnd.choice([[], ["send", "receive"], ["insert", "run_it"]])
    weights = [OPERATIONS[kind] for kind in kinds]

    def operations(length):
        return [
            (kind, rnd.randint(0, 59), rnd.randint(0, 59))
            for kind in rnd.choices(kinds, weights, k=length)
        ]

    start = [(thread, ("spawn", 0, 0)) for thread in (0, 1, 0, 1)]
    return Program(
        channels=[rnd.choice([-1, 0, 1]) for _ in range(rnd.randint(1, 2))],
        commands=start + [(rnd.randint(0, 1), op) for op in operations(12)],
        bodies=[operations(rnd.randint(1, 6)) for _ in range(rnd.randint(2, 5))],
    )


class Stop(Exception):
    """Thrown at a main tasklet that waits without success."""


class Worker:
    """One of the threads; `asking` while its main tasklet waits for a command."""

    def __init__(self, number):
        self.number = number
        self.asking = False
        self.settling = 0
        self.done = False
        self.command = None
        self.main = None
        self.tasklets = []


class Run(Watched):
    """One program; the subclasses know how to have threads."""

    def __init__(self, module, program):
        super().__init__(module, program)
        for preference in program.channels:
            channel = module.channel()
            channel.preference = preference
            self.channels.append(channel)
        self.workers = [Worker(0), Worker(1)]

    # Operations.

    def spawn(self, worker):
        tasklet = self.module.tasklet(self.function(self.body))
        name = "abcdefghijkl"[len(self.tasklets) - 2]
        self.add(tasklet, name)
        worker.tasklets.append(tasklet)
        return tasklet, self.arguments(worker, name)

    def arguments(self, worker, name):
        bodies = self.program.bodies
        return worker, name, bodies[len(self.tasklets) % len(bodies)]

    def do(self, worker, me, kind, a, b):
        module = self.module
        channel = self.channels[a % len(self.channels)]
        tasklet = self.tasklets[a % len(self.tasklets)]
        full = len(self.tasklets) >= MOST_TASKLETS
        runs = tasklet.is_current and tasklet.scheduled and not tasklet.blocked
        runs_there = runs and tasklet is not module.getcurrent()
        # A value that goes back to a channel wakes a receiver in the middle of this.
        ready = tasklet.scheduled and not tasklet.blocked and not tasklet.is_current
        wakes = (
            ready
            and tasklet.tempval is not None
            and any(channel.balance < 0 for channel in self.channels)
        )
        match kind:
            case "schedule":
                return module.schedule(*([b] if b % 2 else []))
            case "schedule_remove":
                return module.schedule_remove()
            case "send":
                return channel.send((me, b))
            case "receive":
                return channel.receive()
            case "preference":
                channel.preference = b % 3 - 1
            case "insert":
                return tasklet.insert()
            case "remove":
                return tasklet.remove()
            case "run_it":
                return tasklet.run()
            case "switch":
                return tasklet.switch()
            # An error for a tasklet that runs elsewhere shows when it next calls us.
            case "kill" if not runs_there and not wakes:
                return tasklet.kill()
            case "kill_pending" if not runs_there and not wakes:
                return tasklet.kill(pending=True)
            case "throw" if not runs_there and not wakes:
                return tasklet.throw(ValueError, b)
            case "throw_pending" if not runs_there and not wakes:
                return tasklet.throw(ValueError, b, pending=True)
            case "run":
                return module.run()
            case "run_rounds":
                return self.run_rounds(b % 4)
            case "spawn" if not full:
                new, arguments = self.spawn(worker)
                return new(*arguments)
            case "bind" if not full:
                new, arguments = self.spawn(worker)
                return new.bind(None, arguments)
            case "unbind":
                return tasklet.bind(None)
            case "setup":
                if not tasklet.alive:
                    tasklet.bind(self.function(self.body))
                owner = next((w for w in self.workers if tasklet in w.tasklets), worker)
                return tasklet(*self.arguments(owner, self.name(tasklet)))
            case "tempval":
                if tasklet.alive and not runs:
                    tasklet.tempval = f"t{b}"
        return None

    def run_rounds(self, rounds):
        scheduler = self.module.scheduler
        outcome = scheduler.run(rounds=rounds)
        if isgenerator(outcome):
            outcome = yield from outcome
        return self.result(outcome) or scheduler.last_run().reason

    def body(self, worker, me, operations):
        for kind, a, b in operations:
            if self.steps >= MOST_STEPS:
                break
            self.steps += 1
            if kind in ("raise", "system_exit"):
                if me in "MN":
                    continue
                self.log(f"{me} {kind}")
                raise IndexError(me) if kind == "raise" else SystemExit(b)
            what = f"{me} {kind} {a} {b}"
            try:
                # A woken thread begins when this one has told what it did.
                with self.undisturbed():
                    try:
                        outcome = self.do(worker, me, kind, a, b)
                        if isgenerator(outcome):
                            outcome = yield from outcome
                        self.log(f"{what} = {self.value(self.result(outcome))}")
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        self.log(f"{what} ! {text(error)}")
                        raise
                    finally:
                        self.has_acted(worker)
            except GeneratorExit:
                raise
            except BaseException as error:
                if me not in "MN" and (b % 6 == 0 or "TaskletExit" in text(error)):
                    self.settle()
                    raise
            self.settle()
        self.log(f"{me} ends")

    def main_body(self, worker):
        """Be the main tasklet of a thread."""
        me = "MN"[worker.number]
        while True:
            yield from self.ask(worker)
            if worker.command is None:
                break
            yield from self.body(worker, me, [worker.command])
        for _ in range(20):
            left = [t for t in worker.tasklets if t.alive]
            if not left:
                break
            try:
                with self.undisturbed():
                    try:
                        if not left[0].blocked:
                            left[0].remove()
                            left[0].tempval = None  # it goes back to no channel
                        outcome = left[0].kill()
                        if isgenerator(outcome):
                            outcome = yield from outcome
                        self.result(outcome)
                    finally:
                        self.has_acted(worker)
            except GeneratorExit:
                raise
            except BaseException as error:
                self.log(f"{me} cleaning ! {text(error)}")
            self.settle()
        self.log(f"{me} is done, {len(left)} left")
        worker.done = True

    def run(self):
        """Run to the end and return the lines."""
        self.start()
        for number, command in self.program.commands:
            if self.workers[number].asking:
                self.give(self.workers[number], command)
        self.steps = MOST_STEPS
        for worker in self.workers:
            for _ in range(20):
                if worker.asking:
                    self.give(worker, None)
                if worker.done:
                    break
                self.stop(worker)
        self.finish()
        return self.lines


class ModelRun(Run):
    """On the model."""

    undisturbed = nullcontext

    def function(self, body):
        return body

    def start(self):
        for worker, name in zip(self.workers, "MN", strict=True):
            worker.thread = self.module.new_thread()
            worker.main = worker.thread.main
            self.add(worker.main, name)
        for worker in self.workers:
            self.module.drive(self.main_body(worker), worker.thread)

    def ask(self, worker):
        worker.asking = True
        yield model.COMMAND
        worker.asking = False

    def has_acted(self, worker):
        pass

    def settle(self):
        self.module.drive_woken()

    def give(self, worker, command):
        worker.command = command
        self.module.drive(thread=worker.thread)
        self.settle()

    def stop(self, worker):
        worker.main.throw(Stop)
        self.settle()

    def finish(self):
        pass


class RealRun(Run):
    """On a module with real threads."""

    undisturbed = tasklets.atomic

    def function(self, body):
        return lambda *args: through(body(*args))

    def start(self):
        self.over, self.acts = threading.Event(), 0
        for worker in self.workers:
            worker.inbox = queue.SimpleQueue()
            worker.thread = threading.Thread(
                target=self.thread_main, args=(worker,), daemon=True
            )
            worker.thread.start()
        self.settle()
        for worker, name in zip(self.workers, "MN", strict=True):
            self.add(worker.main, name)

    def thread_main(self, worker):
        worker.main = self.module.getmain()
        through(self.main_body(worker))
        # The end of a thread is another matter: all are there until all are done.
        self.over.wait()

    def ask(self, worker):
        worker.asking = True
        worker.command = worker.inbox.get()
        return
        yield

    def at_rest(self, worker):
        if worker.main is None:
            return False
        if worker.asking or worker.done:
            return True
        return self.module.get_thread_info(worker.thread.ident)[2] == 0

    def has_acted(self, worker):
        self.acts += 1
        worker.settling = self.acts

    def settle(self):
        here = threading.current_thread()
        me = next((w for w in self.workers if w.thread is here), None)
        for worker in self.workers:
            # A thread that acted before waits for this one.
            while not (
                worker is me
                or self.at_rest(worker)
                or (me and 0 < worker.settling < me.settling)
            ):
                time.sleep(0)  # let it have the GIL
        if me is not None:
            me.settling = 0

    def give(self, worker, command):
        worker.asking = False
        worker.inbox.put(command)
        self.settle()

    def stop(self, worker):
        worker.main.throw(Stop)
        self.settle()

    def finish(self):
        self.over.set()
        for worker in self.workers:
            worker.thread.join()


def run(kind, module, program):
    """Return the lines of a program, the last one an error if it could not end."""
    this = kind(module, program)
    try:
        return this.run()
    except BaseException as error:
        return [*this.lines, f"stopped by {text(error)}"]


def compare(module, program):
    """Run a program on both; return a description of the first difference, or ''."""
    return difference(
        program,
        run(RealRun, module, program),
        run(ModelRun, model.Model(), program),
    )


if __name__ == "__main__":
    tested = importlib.import_module(sys.argv[1])
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        print(f"seed {number}", flush=True)
        found = compare(tested, random_program(number))
        if found:
            print(found)
            sys.exit(1)
