"""Random programs of interruptions, compared with the model of the rules.

usage: interruption_programs.py FIRST LAST [quick]     try these seeds

Each runs in one thread, with a fake clock. The time, place and kind of every event
must be as in interruption_model.py. At the first difference the script stops, and
without quick it looks for a smaller program that differs as well. A program is plain
data: a list of statements for each tasklet, and one for main. A statement is a tuple
of its kind and its arguments, the statements inside it among them.
"""

import contextlib
import faulthandler
import gc
import random
import sys
from dataclasses import dataclass

import interruption_model
from interruption_model import LATE_NS

from tasklets import (
    TaskGroup,
    TaskletExit,
    _core,
    deadline,
    getcurrent,
    getruncount,
    schedule,
    shield,
    sleep,
    spawn,
    timeout,
)
from tasklets.locks import Condition, Lock, RLock
from tasklets.testing import fake_clock

DEPTH_MAX = 5
STATEMENTS_MAX = 22
MILLISECOND = 1_000_000
HANG_SECONDS = 100


class Boom(Exception):
    """An error of the programs."""


@dataclass
class Program:
    """What the tasklets do, and what main does to them."""

    bodies: list
    main: list


# ---- drawing

RAISED = [Boom, Boom, OSError, KeyboardInterrupt, SystemExit]
THROWN = [TaskletExit] * 6 + [Boom, Boom, OSError, KeyboardInterrupt, SystemExit]
CAUGHT = [
    (TaskletExit,),
    (TaskletExit,),
    (TimeoutError,),
    (Boom, OSError),
    (Exception,),
    (ExceptionGroup,),
    (TaskletExit, Exception),
    (KeyboardInterrupt,),
    (BaseException,),
]
KINDS = {
    "sleep": 14,
    "yield": 3,
    "compute": 2,
    "raise": 2,
    "cancel": 2,
    "request": 4,
    "spawn": 1,
    "condition": 2,
    "timeout": 9,
    "shield": 4,
    "group": 5,
    "finally": 8,
    "except": 4,
    "suppress": 3,
    "except_star": 1,
    "retry": 2,
}
LEAVES = ["sleep", "yield", "compute", "raise", "cancel", "request", "condition"]


class Drawing:
    """Draws one program."""

    def __init__(self, seed):
        self.rnd = random.Random(seed)
        self.left = self.rnd.randint(5, STATEMENTS_MAX)
        kinds = self.rnd.sample(list(KINDS), self.rnd.randint(6, len(KINDS)))
        self.kinds = sorted({*kinds, "sleep", "finally", "timeout"})
        # In some, several blocks are due at a time, and what is raised first is caught.
        self.hurry = self.rnd.random() < 0.2
        # In some, the tasklets of groups are slow to end, and their parents are
        # interrupted while they wait for them.
        self.slow_groups = self.rnd.random() < 0.3
        if self.slow_groups:
            self.kinds = sorted({*self.kinds, "group", "cancel"})
        if self.hurry:
            self.kinds = sorted({*self.kinds, "compute", "suppress"})

    def program(self):
        bodies = [self.body(0) for _ in range(self.rnd.choice([1, 1, 2, 3]))]
        return Program(bodies, self.requests())

    def requests(self):
        main = []
        for _ in range(self.rnd.randint(0, 9 if self.slow_groups else 5)):
            if self.rnd.random() < 0.7:
                main.append(self.all_caught(("sleep", self.time(60))))
            main.append(self.all_caught(self.draw("request", 0)))
        return main

    def all_caught(self, statement):
        # A SystemExit goes to main from wherever it is raised.
        return "suppress", (BaseException,), [statement]

    def time(self, most_ms):
        return self.rnd.randint(1, most_ms * MILLISECOND)

    def body(self, depth):
        length = self.rnd.choice([1, 1, 2, 2, 3])
        return [self.statement(depth) for _ in range(length)]

    def statement(self, depth):
        self.left -= 1
        kinds = self.kinds
        if depth >= DEPTH_MAX or self.left <= 0:
            kinds = [kind for kind in kinds if kind in LEAVES]
        weights = [KINDS[kind] for kind in kinds]
        return self.draw(self.rnd.choices(kinds, weights)[0], depth + 1)

    def draw(self, kind, depth):
        return (kind, *getattr(self, kind, lambda depth: ())(depth))

    def sleep(self, depth):
        return (self.time(self.rnd.choice([20, 50, 5000])),)

    def compute(self, depth):
        return (self.time(60),)

    def cancel(self, depth):
        return (self.rnd.randrange(4),)

    def request(self, depth):
        # The first is outside all others.
        number = self.rnd.choice([0, self.rnd.randrange(60)])
        return number, self.rnd.choice(THROWN), self.rnd.random() < 0.5

    def spawn(self, depth):
        return (self.body(depth),)

    def condition(self, depth):
        rnd = self.rnd
        times = self.time(30), self.time(60), rnd.random() < 0.5, self.time(60)
        return (*times, rnd.choice([Lock, RLock]))

    def timeout(self, depth):
        rnd = self.rnd
        absolute = rnd.random() < 0.3
        ns = rnd.choice([self.time(60)] * 8 + [self.time(5)] * 3 + [0])
        ns = ns if absolute or rnd.random() < 0.95 else None
        body = self.body(depth)
        if self.hurry and rnd.random() < 0.5:
            ns = rnd.choice([0, self.time(5)])
            wait = self.draw(rnd.choice(["sleep", "compute"]), depth)
            body.insert(0, ("suppress", (TaskletExit,), [wait]))
        return ns, absolute, Boom if rnd.random() < 0.1 else None, body

    def shield(self, depth):
        ns = self.rnd.choice([None, self.time(40), self.time(40), 0])
        return ns, self.body(depth)

    def group(self, depth):
        children = [self.child(depth) for _ in range(self.rnd.randint(0, 3))]
        return children, self.body(depth)

    def child(self, depth):
        rnd = self.rnd
        if not self.slow_groups or rnd.random() < 0.3:
            return self.body(depth)
        kills = [
            ("suppress", (TaskletExit,), [("sleep", self.time(5000))])
            for _ in range(rnd.randint(0, 2))
        ]
        end = rnd.choice(["sleep", "sleep", "raise", "cancel"])
        return [*kills, ("sleep", self.time(60)), self.draw(end, depth)]

    def except_(self, depth):
        handler = self.body(depth) if self.rnd.random() < 0.5 else []
        again = self.rnd.random() < 0.4
        return self.rnd.choice(CAUGHT), self.body(depth), handler, again

    def suppress(self, depth):
        return self.rnd.choice(CAUGHT), self.body(depth)

    def except_star(self, depth):
        return self.rnd.choice([Boom, OSError, Exception]), self.body(depth)

    def retry(self, depth):
        return self.rnd.randint(2, 3), self.rnd.choice(CAUGHT), self.body(depth)


def _finally(self, depth):
    clean_up = self.body(depth)
    if self.rnd.random() < 0.3:
        limit = self.rnd.choice([None, self.time(40)])
        clean_up = [("shield", limit, [("sleep", self.time(50))])]
    return self.body(depth), clean_up


def _raise(self, depth):
    return (self.rnd.choice(RAISED),)


# The names of statements that are keywords.
setattr(Drawing, "finally", _finally)
setattr(Drawing, "raise", _raise)
setattr(Drawing, "except", Drawing.except_)


def random_program(seed):
    return Drawing(seed).program()


# ---- running


def name_of(error):
    """Name an exception as the model does."""
    if error is None:
        return "None"
    if isinstance(error, BaseExceptionGroup):
        return f"Group({', '.join(map(name_of, error.exceptions))})"
    return type(error).__name__


class Run:
    """One program on tasklets."""

    def __init__(self, program):
        self.program = program
        self.log = []
        self.named = {}
        self.conditions = []

    def now(self):
        return round(_core.now() * 1e9)

    def note(self, name, path, what):
        self.log.append((self.now(), name, path, what))

    def run(self):
        with fake_clock():
            tasks = []
            for number, body in enumerate(self.program.bodies):
                tasks.append(spawn(self.top, str(number), body))
                self.named[str(number)] = tasks[-1]
            with contextlib.suppress(BaseException):
                schedule()
            with contextlib.suppress(BaseException):
                self.execute("main", self.program.main, "main", ())
            while self.is_interrupted():
                pass
            for number, task in enumerate(tasks):
                place = "runnable" if task.alive else "ended"
                self.log.append((self.now(), str(number), "", place))
        for cond in self.conditions:
            assert cond.acquire(blocking=False), "a lock is still held"
            cond.release()
        self.named.clear()
        return self.log

    def is_interrupted(self):
        try:
            sleep(LATE_NS / 1e9)
        except BaseException:
            return True
        return False

    def top(self, name, body):
        try:
            self.execute(name, body, name, ())
        except BaseException as error:
            self.note(name, "", f"ends {name_of(error)}")
        else:
            self.note(name, "", "ends None")

    def child(self, name, body, groups):
        try:
            self.execute(name, body, name, groups)
        except BaseException as error:
            self.note(name, "", f"ends {name_of(error)}")
            raise
        else:
            self.note(name, "", "ends None")

    def execute(self, name, body, path, groups):
        for place, (kind, *args) in enumerate(body):
            here = f"{path}/{place}{kind}"
            try:
                getattr(self, f"do_{kind}")(name, here, groups, *args)
            except BaseException as error:
                self.note(name, here, name_of(error))
                raise
            self.note(name, here, "None")

    def do_sleep(self, name, path, groups, ns):
        sleep(ns / 1e9)

    def do_yield(self, name, path, groups):
        sleep(0)

    def do_compute(self, name, path, groups, ns):
        if getruncount() == 1:
            _core.fake_clock((self.now() + ns) / 1e9)
            sleep(1e-9)

    def do_raise(self, name, path, groups, kind):
        raise kind

    def do_timeout(self, name, path, groups, ns, absolute, error, body):
        if absolute:
            block = deadline((self.now() + ns) / 1e9, exc=error)
        else:
            block = timeout(None if ns is None else ns / 1e9, exc=error)
        with block:
            self.execute(name, body, path, groups)

    def do_shield(self, name, path, groups, ns, body):
        with shield(None if ns is None else ns / 1e9):
            self.execute(name, body, path, groups)

    def do_group(self, name, path, groups, children, body):
        with TaskGroup() as group:
            groups = (*groups, group)
            for number, child in enumerate(children):
                self.spawn(group, f"{path}.{number}", child, groups)
            self.execute(name, body, path, groups)

    def spawn(self, group, name, body, groups):
        self.named[name] = group.spawn(self.child, name, body, groups)

    def do_spawn(self, name, path, groups, body):
        if groups:
            self.spawn(groups[-1], f"{path}.s", body, groups)

    def do_cancel(self, name, path, groups, number):
        if groups:
            groups[number % len(groups)].cancel()

    def do_request(self, name, path, groups, number, kind, pending):
        names = sorted(self.named)
        if not names:
            return
        target = self.named[names[number % len(names)]]
        if kind is TaskletExit:
            target.kill(pending=pending)
        else:
            target.throw(kind, pending=pending)

    def do_finally(self, name, path, groups, body, clean_up):
        try:
            self.execute(name, body, f"{path}b", groups)
        finally:
            self.execute(name, clean_up, f"{path}f", groups)

    def do_except(self, name, path, groups, kinds, body, handler, again):
        try:
            self.execute(name, body, f"{path}b", groups)
        except kinds:
            self.execute(name, handler, f"{path}h", groups)
            if again:
                raise

    def do_suppress(self, name, path, groups, kinds, body):
        with contextlib.suppress(*kinds):
            self.execute(name, body, path, groups)

    def do_except_star(self, name, path, groups, kind, body):
        try:
            self.execute(name, body, path, groups)
        except* kind:
            pass

    def do_retry(self, name, path, groups, count, kinds, body):
        for _ in range(count):
            try:
                self.execute(name, body, path, groups)
            except kinds:
                continue
            break

    def do_condition(self, name, path, groups, after, length, notifies, limit, make):
        cond = Condition(make())
        self.conditions.append(cond)
        spawn(self.holder, cond, after, length, notifies)
        with cond:
            try:
                cond.wait(limit / 1e9)
            finally:
                assert cond._is_owned(), "wait() returned without the lock"

    def holder(self, cond, after, length, notifies):
        sleep(after / 1e9)
        with cond:
            if notifies:
                cond.notify()
            sleep(length / 1e9)


def difference(seed, program=None):
    """Return what differs between tasklets and the model, as lines; or None."""
    program = program or random_program(seed)
    expected = interruption_model.Model(program, _core.stress).run()
    run = Run(program)
    try:
        seen = run.run()
    except BaseException as error:
        seen = [*run.log, f"main got {error!r}"]
    if seen == expected:
        return None
    same = 0
    while seen[same : same + 1] == expected[same : same + 1]:
        same += 1
    lines = [f"seed {seed}"]
    lines += [f"   {line}" for line in seen[max(0, same - 12) : same]]
    lines += [f"is {line}" for line in seen[same : same + 4]]
    lines += [f"?? {line}" for line in expected[same : same + 4]]
    return lines


# ---- a smaller program with the same difference


def smaller_bodies(body):
    """Give each body with a statement left out, replaced by its inside, or smaller."""
    for place, statement in enumerate(body):
        yield body[:place] + body[place + 1 :]
        for number, part in enumerate(statement):
            if isinstance(part, list) and (not part or isinstance(part[0], tuple)):
                yield body[:place] + part + body[place + 1 :]
                for less in smaller_bodies(part):
                    changed = (*statement[:number], less, *statement[number + 1 :])
                    yield [*body[:place], changed, *body[place + 1 :]]
            elif isinstance(part, list):
                for child in range(len(part)):
                    for less in smaller_bodies(part[child]):
                        children = [*part[:child], less, *part[child + 1 :]]
                        changed = (
                            *statement[:number],
                            children,
                            *statement[number + 1 :],
                        )
                        yield [*body[:place], changed, *body[place + 1 :]]
                    changed = (
                        *statement[:number],
                        part[:child] + part[child + 1 :],
                        *statement[number + 1 :],
                    )
                    yield [*body[:place], changed, *body[place + 1 :]]


def smaller_programs(program):
    for less in smaller_bodies(program.main):
        yield Program(program.bodies, less)
    for place, body in enumerate(program.bodies):
        if len(program.bodies) > 1:
            without = program.bodies[:place] + program.bodies[place + 1 :]
            yield Program(without, program.main)
        for less in smaller_bodies(body):
            bodies = [*program.bodies[:place], less, *program.bodies[place + 1 :]]
            yield Program(bodies, program.main)


def reduced(program):
    """Return a small program that differs as well."""
    found = True
    while found:
        found = False
        for less in smaller_programs(program):
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            try:
                differs = difference("reduced", less)
            except Exception:
                differs = False
            if differs:
                program, found = less, True
                break
    return program


def shown(value, depth=0):
    """Write a program so that it can be read, and pasted."""
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        return f"({', '.join(shown(part, depth) for part in value)})"
    if isinstance(value, list) and value:
        inner = "    " * (depth + 1)
        lines = "".join(f"\n{inner}{shown(part, depth + 1)}," for part in value)
        return f"[{lines}\n{'    ' * depth}]"
    if isinstance(value, tuple):
        return f"({''.join(shown(part) + ', ' for part in value)})"
    return repr(value)


def main(first, last, quick=False):
    before = _core.live_counts()
    for seed in range(int(first), int(last)):
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        lines = difference(seed)
        if lines:
            print(*lines, sep="\n", flush=True)
            if quick:
                return 1
            program = reduced(random_program(seed))
            print(f"{shown(program.bodies)}\n{shown(program.main)}")
            print(*difference("reduced", program), sep="\n")
            return 1
    gc.collect()
    after = _core.live_counts()
    grown = {k: n for k, n in after.items() if n > before.get(k, 0)}
    if grown:
        print("still alive:", grown)
        return 1
    faulthandler.cancel_dump_traceback_later()
    print("ok", int(last) - int(first))
    return 0


if __name__ == "__main__":
    assert getcurrent().is_main
    sys.exit(main(*sys.argv[1:]))
