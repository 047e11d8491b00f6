"""The rules of docs/semantics.md, "Interruptions", as a model in plain Python.

It runs the programs of interruption_programs.py, without tasklets, and without raising
an exception. A statement returns the exception that leaves it, which lists what it
replaced on its way. Nothing here is derived from exception contexts, as the core's
answers are. The clock is a number of nanoseconds that jumps from one timer to the next.
"""

import heapq
import itertools
import math
import sys

from tasklets import GroupExit, TaskletExit, TimeoutExit

LATE_NS = 10**15


def nanoseconds(ns):
    """Return what is left of a time once it has been a float of seconds."""
    return math.ceil(ns / 1e9 * 1e9)


def ends_program(kind):
    return issubclass(kind, KeyboardInterrupt) or (
        issubclass(kind, SystemExit) and not issubclass(kind, TaskletExit)
    )


class Raised:
    """One exception instance: an interruption, an error or a group of errors."""

    def __init__(self, kind, scope=None, replaced=(), members=None):
        self.kind = kind
        self.scope = scope
        self.replaced = list(replaced)
        self.members = members

    def __repr__(self):
        if self.members is None:
            return self.kind.__name__
        return f"Group({', '.join(map(repr, self.members))})"

    def is_a(self, kinds):
        return issubclass(self.kind, kinds)

    def chain(self):
        return [self, *self.replaced]

    def without(self, kinds):
        """Return what `except* kinds` lets pass, or None."""
        if self.is_a(kinds):
            return None
        if self.members is None:
            return self
        left = [m for m in (m.without(kinds) for m in self.members) if m is not None]
        if left == self.members:
            return self
        return Raised(ExceptionGroup, None, self.replaced, left) if left else None


class Request:
    """A kill or throw that has not been raised."""

    def __init__(self, kind, again=False):
        self.kind = kind
        self.again = again
        self.rank = 2 if ends_program(kind) else 1 if kind is TaskletExit else 0

    def is_plain_kill(self):
        return self.rank == 1 and not self.again


class Scope:
    """A block of timeout(), TaskGroup or shield() that a task is in."""

    def __init__(self, kind, task):
        self.kind = kind
        self.task = task
        self.state = "active"  # then "due", then "spent"
        self.raised = None
        self.timer = None


class Group:
    """A TaskGroup."""

    def __init__(self, parent):
        self.scope = Scope("group", parent)
        self.parent = parent
        self.children = []
        self.in_body = True
        self.cancelled = self.over = self.parent_waits = False
        self.errors = []
        self.exits = []
        self.base_error = None

    def note_error(self, error):
        if error.is_a((KeyboardInterrupt, SystemExit)):
            self.base_error = self.base_error or error
        elif error not in self.errors:
            self.errors.append(error)

    def note_parents(self, error):
        if error.is_a(TaskletExit):
            self.exits.append(error)
        else:
            self.note_error(error)


class Task:
    """A tasklet."""

    def __init__(self, name):
        self.name = name
        self.code = None
        self.group = None
        self.place = "runnable"  # or "waiting", "ended"
        self.scopes = []  # the outermost first
        self.requests = []
        self.interrupted = False  # something is raised when it next runs
        self.holds = 0
        self.timer = None

    def strength(self, exc):
        if ends_program(exc.kind):
            return LATE_NS
        if not exc.is_a(TaskletExit):
            return 0
        for place, scope in enumerate(reversed(self.scopes)):
            if scope.raised is exc:
                return place + 1
        return 0 if exc.is_a((TimeoutExit, GroupExit)) else LATE_NS - 1

    def replaced(self, exc):
        """Return the strongest that exc replaced, if it is stronger than exc."""
        most = self.strength(exc)
        best = None
        for other in exc.replaced:
            if self.strength(other) > most:
                most = self.strength(other)
                best = other
        return best

    def shield(self):
        """Return the place of the innermost shield that protects, or -1."""
        for place in reversed(range(len(self.scopes))):
            scope = self.scopes[place]
            if scope.kind == "shield" and scope.state == "active":
                return place
        return -1

    def add(self, request):
        """Add a request. Two kills are one, and the later of two throws counts."""
        if request.is_plain_kill() and any(r.is_plain_kill() for r in self.requests):
            return
        if request.rank == 0:
            self.requests = [r for r in self.requests if r.rank != 0]
        self.requests.append(request)

    def due(self):
        """Return the request or scope whose turn it is, or None."""
        if self.holds:
            return None
        shield = self.shield()
        for rank in (2, 1, 0):
            for request in self.requests:
                if request.rank == rank and (shield < 0 or rank == 2):
                    return request
        for scope in self.scopes[shield + 1 :]:
            if scope.state == "due":
                return scope
        return None

    def raise_due(self):
        due = self.due()
        if isinstance(due, Request):
            self.requests.remove(due)
            return Raised(due.kind)
        due.state = "spent"
        due.raised = Raised(GroupExit if due.kind == "group" else TimeoutExit, due)
        return due.raised

    def check(self):
        """Return what is raised at an operation that may block, or None."""
        return None if self.due() is None else self.raise_due()


class Model:
    """A run queue, a clock, and the tasks of one program."""

    def __init__(self, program, yields):
        self.now = 0
        self.yields = yields  # where an operation may wait but need not: stress.h
        self.ring = []
        self.timers = []
        self.numbers = itertools.count()
        self.named = {}
        self.log = []
        self.program = program

    def run(self):
        main = self.main_task = self.start("main", self.main())
        while main.place != "ended":
            while not self.ring:
                self.now = max(self.now, self.timers[0][0])
                self.look()
            next(self.ring[0].code, None)
        return self.log

    def note(self, task, path, what):
        self.log.append((self.now, task.name, path, what))

    # Timers.

    def set_timer(self, when, fire, *args):
        timer = [when, next(self.numbers), fire, args]
        heapq.heappush(self.timers, timer)
        return timer

    def stop_timer(self, timer):
        if timer is not None:
            timer[2] = None
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)

    def look(self):
        while self.timers and self.timers[0][0] <= self.now:
            _, _, fire, args = heapq.heappop(self.timers)
            if fire is not None:
                fire(*args)

    # The run queue.

    def start(self, name, steps):
        task = Task(name)
        task.code = self.life(task, steps)
        self.ring.append(task)
        return task

    def life(self, task, steps):
        """Run the steps of a task to its end."""
        if task.interrupted:
            error = task.raise_due()
        else:
            error = yield from steps
        if error is not None and error.is_a(TaskletExit):
            error = task.replaced(error) or error
        task.place = "ended"
        if task.group is not None:
            self.child_ended(task.group, task, error)
        self.ring.pop(0)
        if error is None or error.is_a(TaskletExit):
            return
        if task.group is None or ends_program(error.kind):
            self.tell_main(error)

    def tell_main(self, error):
        """Raise in main, at once, an error with which a task has ended."""
        self.main_task.add(Request(error.kind))
        self.main_task.interrupted = True
        self.ready(self.main_task)
        self.go_to(self.main_task)

    def go_to(self, task):
        """Make a runnable task the next one, and turn the ring so far."""
        place = self.ring.index(task)
        self.ring = self.ring[place:] + self.ring[:place]

    def ready(self, task):
        if task.place != "waiting":
            return
        self.stop_timer(task.timer)
        task.timer = None
        task.place = "runnable"
        self.ring.append(task)

    def leave(self, task, when=None):
        """Wait until ready(), or for a time."""
        if when is not None:
            task.timer = self.set_timer(when, self.ready, task)
        self.ring.pop(0)
        task.place = "waiting"
        yield
        return self.arrive(task)

    def arrive(self, task):
        if not task.interrupted:
            return None
        task.interrupted = False
        return task.raise_due()

    # Requests.

    def wake(self, task):
        """Interrupt the wait of a task, if something is due and it waits."""
        if task.place == "waiting" and task.due() is not None:
            task.interrupted = True
            self.ready(task)

    def is_held_off(self, task, rank):
        return task.holds > 0 or (task.shield() >= 0 and rank < 2)

    def send(self, task, request):
        task.add(request)
        if task is not self.ring[0] and not self.is_held_off(task, request.rank):
            task.interrupted = True
            self.ready(task)

    def time_is_up(self, scope):
        scope.state = "spent" if scope.kind == "shield" else "due"
        self.wake(scope.task)

    def enter(self, scope, when=None):
        scope.task.scopes.append(scope)
        if when is not None and when <= self.now:
            self.time_is_up(scope)
        elif when is not None:
            scope.timer = self.set_timer(when, self.time_is_up, scope)

    def exit(self, scope, out):
        """Leave a block with out.

        Returns whether out is its own interruption, and what is stronger and was
        replaced by it.
        """
        task = scope.task
        own = out is not None and scope.raised is out
        stronger = task.replaced(out) if own else None
        task.scopes.remove(scope)
        self.stop_timer(scope.timer)
        return own, stronger

    # Groups.

    def spawn(self, group, name, body, groups):
        child = self.start(name, None)
        child.code = self.life(child, self.child(child, body, groups))
        child.group = group
        group.children.append(child)
        self.named[name] = child

    def child(self, task, body, groups):
        out = yield from self.execute(task, body, task.name, groups)
        self.note(task, "", f"ends {out}")
        return out

    def kill_children(self, group):
        for child in list(group.children):
            if child is not self.ring[0]:
                self.send(child, Request(TaskletExit))

    def abort(self, group):
        if group.cancelled:
            return
        group.cancelled = True
        self.kill_children(group)
        if group.in_body and group.scope.state == "active":
            self.time_is_up(group.scope)

    def child_ended(self, group, child, error):
        group.children.remove(child)
        if error is not None and not error.is_a(TaskletExit):
            group.note_error(error)
            self.abort(group)
        if group.parent_waits and not group.children:
            self.ready(group.parent)

    def end_group(self, group, out):
        task = group.parent
        group.in_body = False
        own, stronger = self.exit(group.scope, out)
        body_error = stronger if own else out
        if body_error is not None:
            group.note_parents(body_error)
            self.abort(group)
        while group.children:
            error = task.check()
            if error is None:
                group.parent_waits = True
                error = yield from self.leave(task)
                group.parent_waits = False
            if error is None:
                continue
            group.note_parents(error)
            if (
                group.cancelled
                and error.is_a(KeyboardInterrupt)
                and error is not group.base_error
            ):
                self.kill_children(group)
            self.abort(group)
        group.over = True
        leaving = self.leaving(group)
        for error in group.exits:
            if error is not leaving and task.strength(error) > 0:
                self.come_again(task, error)
        if leaving is None:
            return task.check() if out is not None else None
        if leaving is out or leaving is stronger or out is None:
            return leaving
        if leaving.members is not None and body_error in group.exits:
            # Both arrive: the errors do not replace the interruption.
            leaving.replaced += body_error.replaced
        else:
            leaving.replaced += out.chain()
        return leaving

    def leaving(self, group):
        if group.base_error is not None:
            return group.base_error
        if group.errors:
            return Raised(ExceptionGroup, members=group.errors)
        if not group.exits:
            return None
        return max(reversed(group.exits), key=group.parent.strength)

    def come_again(self, task, error):
        for scope in task.scopes:
            if scope.raised is error:
                scope.state = "due"
                return
        task.add(Request(error.kind, again=True))

    # Statements. Each returns what leaves it.

    def execute(self, task, body, path, groups):
        for place, (kind, *args) in enumerate(body):
            here = f"{path}/{place}{kind}"
            out = yield from getattr(self, f"do_{kind}")(task, here, groups, *args)
            self.note(task, here, str(out))
            if out is not None:
                return out
        return None

    def do_sleep(self, task, path, groups, ns):
        out = task.check()
        if out is None:
            out = yield from self.leave(task, self.now + nanoseconds(ns))
        return out

    def do_yield(self, task, path, groups):
        out = task.check()
        if out is None and len(self.ring) > 1:
            self.ring.append(self.ring.pop(0))
            yield
            out = self.arrive(task)
        return out

    def do_compute(self, task, path, groups, ns):
        if len(self.ring) > 1:
            return None
        self.now = nanoseconds(self.now + ns)
        return (yield from self.do_sleep(task, path, groups, 1))

    def do_raise(self, task, path, groups, kind):
        return Raised(kind)
        yield

    def do_timeout(self, task, path, groups, ns, absolute, error, body):
        if absolute:
            when = nanoseconds(self.now + ns)
        else:
            when = None if ns is None else self.now + nanoseconds(ns)
        scope = Scope("timeout", task)
        self.enter(scope, when)
        out = yield from self.execute(task, body, path, groups)
        own, stronger = self.exit(scope, out)
        if not own:
            return out
        if stronger is not None:
            return stronger
        instead = task.check() or Raised(error or TimeoutError)
        instead.replaced += out.chain()
        return instead

    def do_shield(self, task, path, groups, ns, body):
        scope = Scope("shield", task)
        self.enter(scope, None if ns is None else self.now + nanoseconds(ns))
        out = yield from self.execute(task, body, path, groups)
        self.exit(scope, None)
        return out

    def do_group(self, task, path, groups, children, body):
        group = Group(task)
        self.enter(group.scope)
        groups = (*groups, group)
        for number, child in enumerate(children):
            self.spawn(group, f"{path}.{number}", child, groups)
        out = yield from self.execute(task, body, path, groups)
        return (yield from self.end_group(group, out))

    def do_spawn(self, task, path, groups, body):
        if not groups:
            return None
        group = groups[-1]
        if group.cancelled:
            out = None
            if group.in_body and group.parent is task:
                out = task.check()
            return out or Raised(RuntimeError)
        self.spawn(group, f"{path}.s", body, groups)
        return None
        yield

    def do_cancel(self, task, path, groups, number):
        if groups:
            group = groups[number % len(groups)]
            self.abort(group)
            if task.group is group:
                return Raised(TaskletExit)
        return None
        yield

    def do_request(self, task, path, groups, number, kind, pending):
        names = sorted(self.named)
        if not names:
            return None
        target = self.named[names[number % len(names)]]
        request = Request(kind)
        if target is task:
            return Raised(kind)
        if target.place == "ended":
            return None if kind is TaskletExit else Raised(RuntimeError)
        if pending or self.is_held_off(target, request.rank):
            self.send(target, request)
            return None
        out = task.check()
        if out is not None:
            return out
        self.send(target, request)
        self.go_to(target)
        yield
        return self.arrive(task)

    def do_finally(self, task, path, groups, body, clean_up):
        out = yield from self.execute(task, body, f"{path}b", groups)
        other = yield from self.execute(task, clean_up, f"{path}f", groups)
        if other is not None and out is not None:
            other.replaced += out.chain()
        return other or out

    def do_except(self, task, path, groups, kinds, body, handler, again):
        out = yield from self.execute(task, body, f"{path}b", groups)
        if out is None or not out.is_a(kinds):
            return out
        other = yield from self.execute(task, handler, f"{path}h", groups)
        if other is not None:
            other.replaced += out.chain()
            return other
        return out if again else None

    def do_suppress(self, task, path, groups, kinds, body):
        out = yield from self.execute(task, body, path, groups)
        if out is not None and sys.version_info >= (3, 12):
            return out.without(kinds)  # suppress() takes parts of groups
        return None if out is None or out.is_a(kinds) else out

    def do_except_star(self, task, path, groups, kind, body):
        out = yield from self.execute(task, body, path, groups)
        return None if out is None else out.without(kind)

    def do_retry(self, task, path, groups, count, kinds, body):
        for _ in range(count):
            out = yield from self.execute(task, body, path, groups)
            if out is None or not out.is_a(kinds):
                return out
        return None

    def do_condition(self, task, path, groups, after, length, notifies, limit, _):
        cond = {"owner": None, "place": None}
        self.start(f"{path}.h", self.holder(cond, task, after, length, notifies))
        out = (yield from self.before_acquire(task)) or task.check()
        if out is not None:
            return out
        cond["place"] = "condition"
        out = yield from self.leave(task, self.now + nanoseconds(limit))
        cond["place"] = None
        if cond["owner"] == "holder":
            cond["place"] = "lock"
            task.holds += 1
            yield from self.leave(task)
            task.holds -= 1
        return out or task.check()

    def before_acquire(self, task):
        """Yield before the acquisition of a free lock, if the build does."""
        if not self.yields:
            return None
        return (yield from self.do_yield(task, None, None))

    def holder(self, cond, task, after, length, notifies):
        yield from self.leave(self.ring[0], self.now + nanoseconds(after))
        yield from self.before_acquire(self.ring[0])
        cond["owner"] = "holder"
        if notifies and cond["place"] == "condition":
            cond["place"] = "lock"
            self.stop_timer(task.timer)
            task.timer = None
        yield from self.leave(self.ring[0], self.now + nanoseconds(length))
        cond["owner"] = None
        if cond["place"] == "lock":
            cond["place"] = None
            self.ready(task)

    # The program.

    def top(self, task, body):
        out = yield from self.execute(task, body, task.name, ())
        self.note(task, "", f"ends {out}")

    def main(self):
        me = self.ring[0]
        tasks = []
        for number, body in enumerate(self.program.bodies):
            task = self.start(str(number), None)
            task.code = self.life(task, self.top(task, body))
            self.named[task.name] = task
            tasks.append(task)
        self.ring.append(self.ring.pop(0))
        yield
        self.arrive(me)
        yield from self.execute(me, self.program.main, "main", ())
        while (yield from self.leave(me, self.now + LATE_NS)) is not None:
            pass
        self.log += [(self.now, task.name, "", task.place) for task in tasks]
