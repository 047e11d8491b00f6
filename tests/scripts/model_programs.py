"""Random programs that run on the core and on the model, and what both show.

usage: model_programs.py MODULE FIRST LAST     compare these seeds, stop at a difference

A program is plain data, so that hypothesis can shrink it: how the channels are, what
the main tasklet does, and one list of operations for each tasklet. An operation is
(name, a, b): `a` picks the tasklet or channel it is about, `b` varies it.

`run` gives one line a step: what the operation came to, and all that can be seen.
"""

import contextlib
import importlib
import itertools
import random
import sys
from dataclasses import dataclass
from inspect import isgenerator

import model

MOST_STEPS = 120
MOST_TASKLETS = 9

# How often each is drawn.
OPERATIONS = {
    "schedule": 8,
    "schedule_remove": 2,
    "send": 9,
    "receive": 9,
    "send_sequence": 2,
    "send_exception": 2,
    "send_throw": 2,
    "iterate": 3,
    "next": 2,
    "close": 1,
    "open": 1,
    "preference": 2,
    "schedule_all": 1,
    "join": 2,
    "try_send": 1,
    "try_receive": 1,
    "insert": 4,
    "remove": 4,
    "run_it": 5,
    "switch": 4,
    "kill": 3,
    "kill_pending": 2,
    "remove_kill": 2,
    "throw": 2,
    "throw_pending": 3,
    "raise_exception": 1,
    "throw_at_main": 1,
    "run": 4,
    "run_rounds": 5,
    "tempval": 3,
    "tempval_bomb": 1,
    "block_trap": 2,
    "switch_trap": 2,
    "spawn": 3,
    "bind": 2,
    "bind_function": 1,
    "unbind": 1,
    "setup": 2,
    "raise": 2,
    "exit": 1,
    "system_exit": 1,
    "end": 1,
    "schedule_callback": 2,
    "channel_callback": 2,
    "error_handler": 2,
}
# Operations that are interesting together.
THEMES = [
    [
        "send", "receive", "send_sequence", "send_exception", "send_throw", "iterate",
        "next", "tempval",
    ],
    ["send", "receive", "iterate", "next", "close", "open", "schedule"],
    ["send", "receive", "try_send", "try_receive", "close", "block_trap", "schedule"],
    ["send", "receive", "preference", "schedule_all", "schedule", "run", "spawn"],
    [
        "schedule", "schedule_remove", "insert", "remove", "run_it", "switch", "spawn",
        "run",
    ],
    [
        "kill", "kill_pending", "remove_kill", "throw", "throw_pending", "schedule",
        "receive",
    ],
    [
        "raise", "exit", "system_exit", "end", "throw_at_main", "error_handler", "run",
        "schedule",
    ],
    [
        "switch_trap", "block_trap", "send", "receive", "schedule", "run_it", "throw",
        "run",
    ],
    ["spawn", "bind", "bind_function", "unbind", "setup", "run_it", "schedule", "kill"],
    ["join", "kill", "run", "schedule", "spawn", "setup"],
    [
        "run_rounds", "schedule", "spawn", "insert", "remove", "run_it", "switch",
        "kill", "send", "receive",
    ],
    [
        "run_rounds", "run", "schedule", "raise", "throw", "kill_pending", "send",
        "receive",
    ],
    [
        "schedule_callback", "channel_callback", "error_handler", "send", "receive",
        "run_it",
    ],
]  # fmt: skip
OUTSIDE_MAIN = {"raise", "exit", "system_exit", "end"}
ERRORS = [ValueError, KeyError, StopIteration, GeneratorExit, KeyboardInterrupt]
THROWN = [ValueError, KeyError, StopIteration, KeyboardInterrupt, SystemExit]


@dataclass
class Program:
    """What to run; `started` of the bodies are tasklets from the beginning."""

    channels: list
    main: list
    bodies: list
    started: int


def random_program(seed):
    """Draw a program; each uses only some of the operations, so that these meet."""
    rnd = random.Random(seed)
    kinds = rnd.sample(list(OPERATIONS), rnd.randint(0, 5))
    for theme in rnd.sample(THEMES, rnd.randint(1, 2)):
        kinds += rnd.sample(theme, rnd.randint(3, len(theme)))
    weights = [OPERATIONS[kind] for kind in kinds]

    def operations(longest):
        length = rnd.randint(1, longest)
        return [
            (kind, rnd.randint(0, 59), rnd.randint(0, 59))
            for kind in rnd.choices(kinds, weights, k=length)
        ]

    return Program(
        channels=[
            (rnd.choice([-1, -1, 0, 1]), rnd.random() < 0.15)
            for _ in range(rnd.randint(1, 3))
        ],
        main=operations(9),
        bodies=[operations(10) for _ in range(rnd.randint(2, 7))],
        started=rnd.randint(1, 5),
    )


def kind_name(kind):
    """Return the name of an exception class; of ours the builtin one it refines."""
    if kind.__name__ != "TaskletExit":
        kind = next(c for c in kind.__mro__ if c.__module__ == "builtins")
    return kind.__name__


def text(error):
    """Return class and message; of that the first line, ours tell more."""
    return f"{kind_name(type(error))}: {str(error).partition(chr(10))[0]}"


class Watched:
    """One program on one module, and what it shows."""

    def __init__(self, module, program):
        self.module = module
        self.program = program
        self.lines = []
        self.channels = []
        self.tasklets = []
        self.names = {}
        self.steps = 0

    def add(self, tasklet, name):
        self.names[id(tasklet)] = name
        self.tasklets.append(tasklet)

    def name(self, tasklet):
        return "-" if tasklet is None else self.names.get(id(tasklet), "?")

    def value(self, value):
        if isinstance(value, self.module.tasklet):
            return self.name(value)
        if isinstance(value, self.module.bomb):
            return f"bomb {kind_name(value.type)}"
        return "function" if callable(value) else repr(value)

    def see_tasklets(self):
        """Describe each tasklet: flags, place, neighbours, tempval."""
        for tasklet in self.tasklets:
            flags = (
                "ca"[tasklet.alive]
                + "-s"[tasklet.scheduled]
                + "-b"[tasklet.blocked]
                + "-p"[tasklet.paused]
                + "-c"[tasklet.is_current]
                + "-m"[tasklet.is_main]
                + "-t"[tasklet.block_trap]
            )
            where = tasklet._channel
            if where is not None:
                flags += str(self.channels.index(where))
            yield (
                f"{self.name(tasklet)}:{flags}"
                f"<{self.name(tasklet.prev)}>{self.name(tasklet.next)}"
                f"={self.value(tasklet.tempval)}"
            )

    def see_channels(self):
        """Describe each channel: balance, queue, state, settings."""
        for channel in self.channels:
            waiting = ""
            tasklet = channel.queue
            while tasklet is not None and len(waiting) <= len(self.tasklets):
                waiting += self.name(tasklet)
                tasklet = tasklet.next
            yield (
                f"({channel.balance}:{waiting} {channel.closing:d}{channel.closed:d}"
                f" {channel.preference} {channel.schedule_all:d})"
            )

    def see(self):
        return " ".join([*self.see_tasklets(), *self.see_channels()])

    def log(self, line):
        self.lines.append(f"{line} | {self.see()}")

    def result(self, outcome):
        """Return what an operation of the model came to, or raise it."""
        if isinstance(outcome, self.module.bomb):
            raise outcome.error()
        return outcome


class Run(Watched):
    """One program of one thread."""

    def __init__(self, module, program):
        super().__init__(module, program)
        self.modelled = hasattr(module, "drive")
        for preference, schedule_all in program.channels:
            channel = module.channel()
            channel.preference = preference
            channel.schedule_all = schedule_all
            self.channels.append(channel)
        self.main = module.getcurrent()
        self.add(self.main, "M")
        self.bodies = itertools.cycle(program.bodies)
        self.in_callback = False
        self.ended = False

    def see(self):
        current = self.name(self.module.getcurrent())
        return f"{current} rc={self.module.getruncount()} {super().see()}"

    # Operations. What may switch is not called here but returned to the body.

    def new_tasklet(self):
        tasklet = self.module.tasklet(self.function(self.body))
        letter = "abcdefghijklmnop"[len(self.tasklets) - 1]
        self.add(tasklet, letter)
        return tasklet, letter

    def function(self, body):
        return body if self.modelled else lambda *args: through(body(*args))

    def channel(self, a):
        return self.channels[a % len(self.channels)]

    def tasklet(self, a):
        return self.tasklets[a % len(self.tasklets)]

    def do_schedule(self, me, a, b):
        return self.module.schedule(*([b] if b % 2 else []))

    def do_schedule_remove(self, me, a, b):
        return self.module.schedule_remove(*([b] if b % 2 else []))

    def do_send(self, me, a, b):
        return self.channel(a).send((me, b))

    def do_receive(self, me, a, b):
        return self.channel(a).receive()

    def do_send_sequence(self, me, a, b):
        return self.channel(a).send_sequence(range(b % 4))

    def do_send_exception(self, me, a, b):
        return self.channel(a).send_exception(ERRORS[b % 5], b)

    def do_send_throw(self, me, a, b):
        kind = ERRORS[b % 5]
        if b % 2:
            return self.channel(a).send_throw(kind(me, b))
        return self.channel(a).send_throw(kind, b)

    def do_iterate(self, me, a, b):
        channel = self.channel(a)
        values = []
        while len(values) < 3:
            try:
                outcome = next(channel)
                if isgenerator(outcome):
                    outcome = yield from outcome
                values.append(self.result(outcome))
            except StopIteration:
                break
        return values

    def do_next(self, me, a, b):
        return next(self.channel(a))

    def do_close(self, me, a, b):
        return self.channel(a).close()

    def do_open(self, me, a, b):
        return self.channel(a).open()

    def do_preference(self, me, a, b):
        self.channel(a).preference = b % 5 - 2

    def do_schedule_all(self, me, a, b):
        self.channel(a).schedule_all = b % 2

    def do_join(self, me, a, b):
        return self.tasklet(a).join()

    def do_try_send(self, me, a, b):
        return self.channel(a).try_send((me, b))

    def do_try_receive(self, me, a, b):
        return self.channel(a).try_receive()

    def do_insert(self, me, a, b):
        return self.tasklet(a).insert()

    def do_remove(self, me, a, b):
        return self.tasklet(a).remove()

    def do_run_it(self, me, a, b):
        return self.tasklet(a).run()

    def do_switch(self, me, a, b):
        return self.tasklet(a).switch()

    def do_kill(self, me, a, b):
        return self.tasklet(a).kill()

    def do_kill_pending(self, me, a, b):
        return self.tasklet(a).kill(pending=True)

    def do_remove_kill(self, me, a, b):
        return self.tasklet(a).remove().kill()

    def do_throw(self, me, a, b):
        kind = THROWN[b % 5]
        if b % 2:
            return self.tasklet(a).throw(kind(me, b))
        return self.tasklet(a).throw(kind, b)

    def do_throw_pending(self, me, a, b):
        return self.tasklet(a).throw(THROWN[b % 5], b, pending=True)

    def do_raise_exception(self, me, a, b):
        return self.tasklet(a).raise_exception(THROWN[b % 5], me, b)

    def do_throw_at_main(self, me, a, b):
        if b % 3 == 0:
            return self.main.kill(pending=bool(a % 2))
        return self.main.throw(IndexError, b, pending=bool(a % 2))

    def do_run(self, me, a, b):
        return self.module.run()

    def do_run_rounds(self, me, a, b):
        scheduler = self.module.scheduler
        outcome = scheduler.run(rounds=b % 4)
        if isgenerator(outcome):
            outcome = yield from outcome
        return self.result(outcome) or scheduler.last_run().reason

    def do_tempval(self, me, a, b):
        self.set_tempval(a, f"t{b}")

    def do_tempval_bomb(self, me, a, b):
        self.set_tempval(a, self.module.bomb(ValueError, ValueError(b)))

    def set_tempval(self, a, value):
        # A running one has no operation that would return it.
        tasklet = self.tasklet(a)
        if tasklet.alive and tasklet is not self.module.getcurrent():
            tasklet.tempval = value

    def do_block_trap(self, me, a, b):
        self.tasklet(a).block_trap = bool(b % 2)

    def do_switch_trap(self, me, a, b):
        old = self.module.switch_trap()
        return self.module.switch_trap(b % 2 if old == 0 else -1)

    def do_spawn(self, me, a, b):
        if len(self.tasklets) <= MOST_TASKLETS:
            tasklet, name = self.new_tasklet()
            return tasklet(name, next(self.bodies))
        return None

    def do_bind(self, me, a, b):
        args = ("new", next(self.bodies))
        if len(self.tasklets) > MOST_TASKLETS or b % 3 == 0:
            return self.tasklet(a).bind(self.function(self.body), args)
        tasklet, name = self.new_tasklet()
        return tasklet.bind(None, (name, *args[1:]))

    def do_bind_function(self, me, a, b):
        if len(self.tasklets) > MOST_TASKLETS or b % 3 == 0:
            return self.tasklet(a).bind(self.function(self.body))
        return self.new_tasklet()[0]

    def do_unbind(self, me, a, b):
        return self.tasklet(a).bind(None)

    def do_setup(self, me, a, b):
        tasklet = self.tasklet(a)
        if not tasklet.alive:
            tasklet.bind(self.function(self.body))
        return tasklet(self.name(tasklet), next(self.bodies))

    def do_schedule_callback(self, me, a, b):
        return self.module.set_schedule_callback(
            [None, self.on_switch, self.fail_on_switch, self.switch_on_switch][b % 4]
        )

    def do_channel_callback(self, me, a, b):
        return self.module.set_channel_callback(
            [None, self.on_channel, self.fail_on_channel, self.send_on_channel][b % 4]
        )

    def do_error_handler(self, me, a, b):
        handler = [None, self.on_error, self.fail_on_error, self.send_on_error][b % 4]
        self.handled_on = self.channel(a)
        return self.module.set_error_handler(handler and self.function(handler))

    # Callbacks.

    def on_switch(self, previous, following):
        self.log(f"switching {self.name(previous)} to {self.name(following)}")

    def fail_on_switch(self, previous, following):
        self.on_switch(previous, following)
        raise LookupError("failed on switch")

    def switch_on_switch(self, previous, following):
        self.refused(lambda: following.run())

    def on_channel(self, channel, tasklet, sending, willblock):
        self.log(
            f"channel {self.channels.index(channel)} {self.name(tasklet)}"
            f" {sending} {willblock}"
        )

    def fail_on_channel(self, *args):
        self.on_channel(*args)
        raise LookupError("failed on channel")

    def send_on_channel(self, channel, *_):
        if not self.in_callback:
            self.in_callback = True
            self.refused(lambda: channel.send("from a callback"))
            self.refused(lambda: channel.receive())
            self.in_callback = False

    def refused(self, action):
        """Note how an action was refused that has no place in a callback."""
        try:
            outcome = action()
            if isgenerator(outcome):
                next(outcome)
        except RuntimeError as error:
            self.log(f"refused {text(error).partition(':')[0]}")
        else:
            self.log("not refused")

    def on_error(self, kind, error, traceback):
        self.log(f"handler {text(error)}")
        return
        yield

    def fail_on_error(self, kind, error, traceback):
        self.log(f"handler {text(error)}")
        raise LookupError("failed on error")
        yield

    def send_on_error(self, kind, error, traceback):
        self.log(f"handler {text(error)}")
        try:
            outcome = self.handled_on.send("from a handler")
            if isgenerator(outcome):
                outcome = yield from outcome
            self.log(f"handler sent {self.value(self.result(outcome))}")
        except GeneratorExit:
            raise
        except RuntimeError as caught:
            self.log(f"handler could not send: {text(caught)}")

    def unraisable(self, error):
        self.log(f"unraisable {text(error)}")

    # Running.

    def body(self, me, operations):
        self.log(f"{me} starts")
        for kind, a, b in operations:
            if self.steps >= MOST_STEPS or (kind == "end" and me != "M"):
                break
            self.steps += 1
            if kind in OUTSIDE_MAIN:
                if me == "M":
                    continue
                self.log(f"{me} {kind}")
                if kind == "raise":
                    raise IndexError(me)
                if kind == "exit":
                    raise self.module.TaskletExit
                raise SystemExit(b)
            what = f"{me} {kind} {a} {b}"
            try:
                outcome = getattr(self, "do_" + kind)(me, a, b)
                if isgenerator(outcome):
                    outcome = yield from outcome
                outcome = self.result(outcome)
                self.log(f"{what} = {self.value(outcome)}")
            except BaseException as error:
                if type(error) is GeneratorExit and self.ended:
                    raise
                self.log(f"{what} ! {text(error)}")
                if me != "M" and (b % 6 == 0 or "TaskletExit" in text(error)):
                    # Returned, because a generator cannot raise StopIteration.
                    return error
        self.log(f"{me} ends")
        return None

    def main_program(self):
        module = self.module
        for _ in range(self.program.started):
            tasklet, name = self.new_tasklet()
            tasklet(name, next(self.bodies))
        yield from self.body("M", self.program.main)
        yield from self.body("M", [("run", 0, 0)] * 3)
        module.set_schedule_callback(None)
        module.set_channel_callback(None)
        module.set_error_handler(None)
        module.switch_trap(-module.switch_trap())
        self.main.block_trap = False
        self.steps = MOST_STEPS
        for _ in range(50):
            left = [t for t in self.tasklets[1:] if t.alive]
            if not left:
                break
            if not left[0].blocked:
                left[0].remove()
            try:
                outcome = left[0].kill()
                if isgenerator(outcome):
                    outcome = yield from outcome
                self.result(outcome)
            except BaseException as error:
                if type(error) is GeneratorExit and self.ended:
                    raise
                self.log(f"M cleaning ! {text(error)}")
        # What is pending for the main tasklet is not left to the next program.
        try:
            outcome = module.schedule()
            if isgenerator(outcome):
                outcome = yield from outcome
            self.result(outcome)
        except BaseException as error:
            if type(error) is GeneratorExit and self.ended:
                raise
            self.log(f"M had pending {text(error)}")
        self.log("over")
        return None

    def run(self):
        """Run to the end and return the lines."""
        with unraisable_errors_go_to(self.unraisable):
            if self.modelled:
                self.module.unraisable = self.unraisable
                self.module.drive(self.main_program())
            else:
                through(self.main_program())
        self.ended = True
        return self.lines


def through(steps):
    """Run a body on a module whose calls switch by themselves."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            if stop.value is not None:
                raise stop.value from None
            return
        raise AssertionError("only a model gives a body something to yield")


@contextlib.contextmanager
def unraisable_errors_go_to(function):
    old = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: function(unraisable.exc_value)
    try:
        yield
    finally:
        sys.unraisablehook = old


def run(module, program):
    """Return the lines of a program, the last one an error if it could not end."""
    this = Run(module, program)
    try:
        return this.run()
    except BaseException as error:
        return [*this.lines, f"stopped by {text(error)}"]
    finally:
        this.ended = True


def difference(program, ours, theirs):
    """Describe the first difference between two lists of lines; '' if there is none."""
    if ours == theirs:
        return ""
    for index, (our, their) in enumerate(itertools.zip_longest(ours, theirs)):
        if our != their:
            before = "\n".join(f"      {line}" for line in ours[:index][-4:])
            return f"{program}\n{before}\n core {our}\nmodel {their}"
    return ""


def compare(module, program):
    """Run a program on both; return a description of the first difference, or ''."""
    return difference(program, run(module, program), run(model.Model(), program))


if __name__ == "__main__":
    tested = importlib.import_module(sys.argv[1])
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        print(f"seed {number}", flush=True)
        found = compare(tested, random_program(number))
        if found:
            print(found)
            sys.exit(1)
