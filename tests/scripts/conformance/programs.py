"""Random single-thread programs over a Stackless-like module, one trace each.

usage: programs.py MODULE FIRST LAST     prints '#seed' and the trace of each program

A trace line shows, after each step, the run queue from the running tasklet on,
each channel's balance and queue, the run count, and for each tasklet the flags
Alive, Scheduled/Paused, Blocked. M is the main tasklet.

The bodies are generators so that the model of the tests can run them as well. On a
real module they are run to their end in one go, and every call simply returns.
"""

import builtins
import importlib
import os
import random
import signal
import sys
from inspect import isgenerator

PROGRAM_SECONDS = 20

CHANNEL = ["send"] * 5 + ["recv"] * 5 + ["sched"] * 2
RING = (
    ["sched"] * 4 + ["srem"] + ["insert"] * 3 + ["remove"] * 2 + ["trun"] * 3
    + ["switch"] * 2 + ["spawn"]
)  # fmt: skip
MIXED = (
    ["send"] * 3 + ["recv"] * 3 + ["sched"] * 3
    + ["srem", "insert", "insert", "trun", "switch", "spawn", "kill", "pkill"]
    + ["throw", "pref", "raise"]
)  # fmt: skip
ALL = (
    ["send"] * 3 + ["recv"] * 3 + ["sched"] * 3
    + ["srem", "insert", "insert", "insert", "trun", "trun", "switch", "spawn"]
    + ["kill", "pkill", "throw", "pthrow", "pref", "raise", "run", "sexc", "close"]
    + ["open", "trap", "btrap", "seq", "next", "rexc", "exit", "temp"]
)  # fmt: skip
OPERATIONS = {"chan": CHANNEL, "ring": RING, "mix": MIXED, "all": ALL}
FEATURES = ["chan", "chan", "ring", "ring", "mix", "mix", "all", "all", "all"]


def through(steps):
    """Run a body on a module whose calls switch by themselves."""
    try:
        next(steps)
    except StopIteration as stop:
        if stop.value is not None:
            raise stop.value from None
    else:
        raise AssertionError("only a model gives a body something to yield")


class Scenario:
    """One program; the draws from `rnd` are what a seed means: keep their order."""

    def __init__(self, stackless, seed, log):
        self.stackless = stackless
        self.log = log
        self.exit = getattr(stackless, "TaskletExit", None) or builtins.TaskletExit
        self.modelled = hasattr(stackless, "drive")
        self.rnd = rnd = random.Random(seed)
        nchannels, self.ntasklets = rnd.randint(1, 3), rnd.randint(2, 5)
        self.choice = OPERATIONS[rnd.choice(FEATURES)]
        self.channels = []
        for _ in range(nchannels):
            channel = stackless.channel()
            channel.preference = rnd.choice([-1, -1, 0, 1])
            if rnd.random() < 0.15:
                channel.schedule_all = 1
            self.channels.append(channel)
        self.main = stackless.getcurrent()
        self.tasklets = [self.main]
        self.names = {id(self.main): "M"}
        self.steps = 0

    def name(self, tasklet):
        return "None" if tasklet is None else self.names.get(id(tasklet), "?")

    def value(self, value):
        if isinstance(value, self.stackless.tasklet):
            return "t:" + self.name(value)
        return repr(value)

    def state(self):
        current = self.stackless.getcurrent()
        ring = [self.name(current)]
        tasklet = current.next
        while tasklet is not None and tasklet is not current and len(ring) < 51:
            ring.append(self.name(tasklet))
            tasklet = tasklet.next
        queues = []
        for channel in self.channels:
            names = ""
            tasklet = channel.queue
            while tasklet is not None:
                names += self.name(tasklet)
                tasklet = tasklet.next
            queues.append(f"{channel.balance}:{names}")
        flags = "".join(
            self.name(t)
            + ("A" if t.alive else "-")
            + ("S" if t.scheduled else "P" if t.paused else "-")
            + ("B" if t.blocked else "-")
            + " "
            for t in self.tasklets
        )
        return (
            f"{','.join(ring)} | {' '.join(queues)} "
            f"| rc={self.stackless.getruncount()} | {flags}"
        )

    def operations(self, count):
        rnd, choice = self.rnd, self.choice
        return [
            (rnd.choice(choice), rnd.randint(0, 99), rnd.randint(0, 99))
            for _ in range(count)
        ]

    def spawn(self, count):
        operations = self.operations(count)
        n = len(self.tasklets)
        name = "abcdefghijklmnopqrstuvwxyz"[n - 1] if n < 27 else f"z{n}"
        tasklet = self.stackless.tasklet(
            self.body if self.modelled else lambda *args: through(self.body(*args))
        )
        self.names[id(tasklet)] = name
        self.tasklets.append(tasklet)
        return tasklet, (name, operations)

    def do(self, name, op, a, b):
        stackless = self.stackless
        channel = self.channels[a % len(self.channels)]
        tasklet = self.tasklets[a % len(self.tasklets)]
        match op:
            case "sched":
                return stackless.schedule(*([b] if b % 2 else []))
            case "srem":
                return stackless.schedule_remove(*([b] if b % 2 else []))
            case "send":
                return channel.send((name, b))
            case "recv":
                return channel.receive()
            case "insert":
                return tasklet.insert()
            case "remove":
                return tasklet.remove()
            case "trun":
                return tasklet.run()
            case "switch":
                alone = stackless.getruncount() == 1
                if tasklet is not stackless.getcurrent() or alone:
                    return tasklet.switch()
            case "kill":
                if tasklet is not self.main:
                    return tasklet.kill()
            case "pkill":
                if tasklet is not self.main:
                    return tasklet.kill(pending=True)
            case "throw":
                return tasklet.throw(ValueError, f"th{b}")
            case "pthrow":
                return tasklet.throw(ValueError, f"pth{b}", pending=True)
            case "rexc":
                return tasklet.raise_exception(KeyError, b)
            case "pref":
                channel.preference = b % 3 - 1
            case "sexc":
                return channel.send_exception(LookupError, b)
            case "close":
                return channel.close()
            case "open":
                return channel.open()
            case "next":
                return next(channel)
            case "seq":
                return channel.send_sequence([1, 2])
            case "run":
                return stackless.run()
            case "temp":
                tasklet.tempval = ("tv", b)
            case "btrap":
                stackless.getcurrent().block_trap = bool(b % 2)
            case "trap":
                old = stackless.switch_trap(0)
                stackless.switch_trap(1 if old == 0 and b % 2 else -old)
            case "spawn":
                if len(self.tasklets) > 9:
                    return None
                new, args = self.spawn(self.rnd.randint(0, 4))
                if b % 3 == 0:
                    new.bind(None, args)
                else:
                    new(*args)
            case _:
                raise AssertionError(op)
        return None

    def body(self, name, operations):
        log = self.log
        for op, a, b in operations:
            if self.steps > 150:
                return None
            self.steps += 1
            if op == "raise":
                log(f"{name} raise")
                raise IndexError(name)
            if op == "exit":
                log(f"{name} exit")
                raise self.exit
            log(f"{name} {op} {a} {b} [{self.state()}]")
            try:
                outcome = self.do(name, op, a, b)
                if isgenerator(outcome):
                    outcome = yield from outcome
                outcome = self.result(outcome)
                log(f"{name} ={self.value(outcome)} [{self.state()}]")
            except GeneratorExit:
                raise
            except self.exit:
                log(f"{name} killed in {op} [{self.state()}]")
                raise
            except BaseException as error:
                log(f"{name} !{kind(error)} {error} [{self.state()}]")
                if b % 7 == 0 and name != "M":
                    log(f"{name} reraise")
                    # Returned, because a generator cannot raise StopIteration.
                    return error
        log(f"{name} end")
        return None

    def result(self, outcome):
        """Return what an operation of a model came to, or raise it."""
        if isinstance(outcome, self.stackless.bomb):
            raise outcome.error()
        return outcome

    def program(self):
        """Be the main tasklet."""
        stackless, log = self.stackless, self.log
        if self.rnd.random() < 0.3:
            stackless.set_schedule_callback(
                lambda previous, following: log(
                    f"CB {self.name(previous)}->{self.name(following)}"
                )
            )
            stackless.set_channel_callback(
                lambda channel, tasklet, sending, willblock: log(
                    f"CC {self.channels.index(channel)} {self.name(tasklet)} "
                    f"{sending} {willblock}"
                )
            )
        for _ in range(self.ntasklets):
            tasklet, args = self.spawn(self.rnd.randint(1, 7))
            tasklet(*args)
        try:
            operations = self.operations(self.rnd.randint(1, 5))
            yield from self.body(
                "M", [o for o in operations if o[0] not in ("raise", "exit")]
            )
            for _ in range(4):
                stackless.switch_trap(-stackless.switch_trap(0))
                try:
                    outcome = stackless.run()
                    if isgenerator(outcome):
                        outcome = yield from outcome
                    outcome = self.result(outcome)
                    log(f"M run={self.value(outcome)} [{self.state()}]")
                except GeneratorExit:
                    raise
                except BaseException as error:
                    log(f"M run!{kind(error)} {error} [{self.state()}]")
        finally:
            stackless.set_schedule_callback(None)
            stackless.set_channel_callback(None)
            stackless.switch_trap(-stackless.switch_trap(0))
            self.main.block_trap = False
        for _ in range(3):
            for tasklet in self.tasklets[1:]:
                try:
                    outcome = tasklet.kill()
                    if isgenerator(outcome):
                        outcome = yield from outcome
                    self.result(outcome)
                except GeneratorExit:
                    raise
                except BaseException as error:
                    log(f"final {kind(error)}")


def kind(error):
    return type(error).__name__


def trace(stackless, seed):
    """Run one program and return its trace, a list of lines."""
    lines = []
    scenario = Scenario(stackless, seed, lines.append)
    try:
        if scenario.modelled:
            stackless.drive(scenario.program())
        else:
            through(scenario.program())
    except BaseException as error:
        lines.append(f"TOP {kind(error)} {error}")
    return lines


def trace_in_a_child(stackless, seed):
    """Run one program in a process of its own, and print its trace there."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(PROGRAM_SECONDS)
        print(f"#{seed}", *trace(stackless, seed), sep="\n", flush=True)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if status:
        print(f"#{seed}\nDIED {status & 127}")


if __name__ == "__main__":
    module = importlib.import_module(sys.argv[1])
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        trace_in_a_child(module, number)
