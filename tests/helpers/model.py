"""A model of the core in plain Python, to compare the core with.

The body of a tasklet is a generator function. Whatever may switch is a generator as
well, so a body says

    outcome = channel.receive()
    if isgenerator(outcome):
        outcome = yield from outcome
    if isinstance(outcome, Bomb):
        raise outcome.error()

and runs unchanged on the real module, where the call simply returns or raises. An
error that ends a body may also be returned (a generator cannot raise StopIteration).
A model is used like that module: `Model().channel()`, `Model().schedule()`. It has
no stacks: `drive` resumes the generator of whichever tasklet is current.

The rules, in the words used below: a tasklet is *floating*, in the *ring* of its
thread, or in the queue of one channel. `ring[0]` is the running one, and the end of
the list is the end of the queue. A switch first changes the places, then calls the
schedule callback, and only then makes `ring[0]` current.

Several threads are several `Thread` objects of one model; `model.here` is the one
that acts. Only one acts at a time.

A run with rounds keeps the set of those that have a turn left in the round. While there
is one, `ring[1:]` begins with these.
"""

from types import SimpleNamespace

BLOCKED = "this tasklet does not like to be blocked."
CLOSED = "Send/receive operation on a closed channel"
DEADLOCK = "Deadlock: the last runnable tasklet cannot be blocked."
RECEIVING = "the main tasklet is receiving without a sender available."
SENDING = "the main tasklet is sending without a receiver available."
JOINING = "the main tasklet waits for a tasklet that cannot end."
RECURSIVE = "Recursive channel call due to callbacks!"

SEND, RECEIVE = 1, -1

NOBODY = object()  # what an operation that may not block comes to

COMMAND = "waiting for a command"
IDLE = "waiting for another thread"
FINISHED = "the main program has ended"


# How strong a bomb is: sent as a value, thrown, a kill, an end of the program.
VALUE, THROW, KILL, EXIT = range(4)


class TaskletExit(SystemExit):
    """Ends a tasklet silently."""


def rank_of(kind):
    if issubclass(kind, TaskletExit):
        return KILL
    return EXIT if issubclass(kind, KeyboardInterrupt | SystemExit) else THROW


class Bomb:
    """An error on its way; whoever finds it in its tempval raises it."""

    def __init__(self, kind, value=None, rank=VALUE):
        self.type = kind
        self.value = value
        self.rank = rank

    def error(self):
        if isinstance(self.value, BaseException):
            return self.value
        return self.type(*(self.value or ()))


class Queue:
    """Tasklets that wait for the same, oldest first."""

    def __init__(self):
        self.waiting = []


class Rounds:
    """What a run with rounds counts."""

    def __init__(self, left, ring):
        self.left = left
        self.turns = set(ring)
        self.over = False


class Thread:
    """What one thread has of its own."""

    def __init__(self, model, number):
        self.number = number
        self.ring = []
        self.watchdogs = []
        self.rounds = {}  # of some of the watchdogs
        self.trap = 0
        self.main = model.tasklet.__new__(model.tasklet)
        self.main.reset(self)
        self.main.started = True
        self.main.place = self.ring
        self.current = self.main
        self.ring.append(self.main)

    def watchdog(self):
        return self.watchdogs[-1] if self.watchdogs else self.main

    def counted(self):
        """Return the rounds in force."""
        return [self.rounds[one] for one in self.watchdogs if one in self.rounds]

    def idle(self):
        """Whether the thread waits for somebody else to fill its ring."""
        return self.current is None


class Tasklet:
    """A generator with a place; `model` is set by the subclass each model makes."""

    model = None

    def __init__(self, function=None, args=None, kwargs=None):
        self.reset(self.model.here)
        self.bind(function, args, kwargs)

    def reset(self, thread):
        self.thread = thread
        self.block_trap = False
        self.place = None
        self.joiners = Queue()
        self.ended = False
        self.forget()

    def forget(self):
        """Be as one that has no function."""
        self.call = None  # (function, args, kwargs), until it ends
        self.steps = None
        self.started = False
        self.in_handler = False
        self.held = None
        self.handed = None  # the channel whose value the tempval is
        self.pending = []  # bombs to be raised later, the strongest first

    # What can be seen.

    @property
    def alive(self):
        return self.started or self.call is not None

    @property
    def scheduled(self):
        return self.place is not None

    @property
    def blocked(self):
        return isinstance(self.place, Queue)

    @property
    def tempval(self):
        return self.held

    @tempval.setter
    def tempval(self, value):
        """Set what is no value of a channel, and does not undo a kill."""
        old, self.held, self.handed = self.held, value, None
        if isinstance(old, Bomb) and old.rank > VALUE and not self.model.stackless:
            self._put_in_line(old)

    @property
    def paused(self):
        return self.alive and self.place is None

    @property
    def is_main(self):
        return self is self.thread.main

    @property
    def is_current(self):
        return self is self.thread.current

    @property
    def next(self):
        return self._neighbour(1)

    @property
    def prev(self):
        return self._neighbour(-1)

    def _neighbour(self, step):
        if self.place is None:
            return None
        if self.place is self.thread.ring:
            ring = self.thread.ring
            return ring[(ring.index(self) + step) % len(ring)]
        waiting = self.place.waiting
        index = waiting.index(self) + step
        return waiting[index] if 0 <= index < len(waiting) else None

    @property
    def _channel(self):
        return self.place if isinstance(self.place, Channel) else None

    # Binding.

    def bind(self, function=None, args=None, kwargs=None):
        if function is not None and not callable(function):
            raise TypeError("tasklet function must be a callable or None")
        if self is self.thread.current:
            raise RuntimeError("can't (re)bind the current tasklet")
        if self.scheduled:
            raise RuntimeError("tasklet is scheduled")
        if self.started:
            raise RuntimeError("tasklet has C state on its stack")
        if args is None and kwargs is None:
            self.forget()
            self.held = function
            return self
        if function is None:
            function = None if self.alive else self.held
        if function is None:
            raise RuntimeError("the tasklet was not bound to a function")
        self.forget()
        self.ended = False
        self.call = (function, args or (), kwargs or {})
        return self

    def __call__(self, *args, **kwargs):
        if self.alive:
            raise RuntimeError("tasklet is alive")
        self.bind(None, args, kwargs)
        self.model.append(self)
        return self

    setup = __call__

    # The end.

    def join(self):
        model = self.model
        if self.ended:
            return True
        if self is model.current:
            raise RuntimeError("a tasklet cannot wait for its own end")
        return model.join(self)

    # The ring.

    def insert(self):
        if self.blocked:
            raise RuntimeError("You cannot run a blocked tasklet")
        if not self.alive:
            raise RuntimeError("You cannot run an unbound(dead) tasklet")
        self.model.append(self)
        return self

    def remove(self):
        if self.blocked:
            raise RuntimeError("You cannot remove a blocked tasklet.")
        if self is self.thread.current:
            raise RuntimeError("The current tasklet cannot be removed.")
        self.model.take_out(self)
        return self

    def run(self):
        model = self.model
        if due := model.due():
            return due
        if self is model.current:
            return None
        self._check_runnable()
        if self.thread is not model.here:
            return model.make_next(self)
        return model.jump(self)

    def switch(self):
        model = self.model
        if due := model.due():
            return due
        if self.thread is not model.here:
            raise RuntimeError("can't switch to a different thread.")
        if self is model.current:
            return model.claim(self)
        self._check_runnable()
        return model.jump(self, caller_leaves=True)

    def _check_runnable(self):
        if self.blocked:
            raise RuntimeError("You cannot run a blocked tasklet")
        if not self.alive:
            raise RuntimeError("You cannot run an unbound(dead) tasklet")

    # Errors.

    def kill(self, pending=False):
        return self._throw(Bomb(TaskletExit, rank=KILL), pending)

    def throw(self, error, value=None, pending=False):
        if isinstance(error, BaseException):
            return self._throw(Bomb(type(error), error, rank_of(type(error))), pending)
        values = () if value is None else (value,)
        return self._throw(Bomb(error, values, rank_of(error)), pending)

    def raise_exception(self, kind, *args):
        return self._throw(Bomb(kind, args, rank_of(kind)), pending=False)

    def _throw(self, bomb, pending):
        model = self.model
        if self is model.current:
            return bomb
        if not self.alive:
            if issubclass(bomb.type, TaskletExit):
                return None
            raise RuntimeError("You cannot throw to a dead tasklet")
        if pending or self.thread is not model.here:
            if self is self.thread.current:
                self._put_in_line(bomb)
            else:
                model.take_out_of_queue(self)
                model.append(self)
                self.force(bomb)
            return None
        return model.jump(self, bomb=bomb)

    def force(self, bomb):
        """Have it raised when the tasklet next runs, or later if that one is weaker."""
        old = self.held
        rank = old.rank if isinstance(old, Bomb) else VALUE
        if self.model.stackless:
            self.held = bomb
        elif rank > bomb.rank or rank == bomb.rank >= KILL:
            self._put_in_line(bomb)
        else:
            self.held = bomb
            self._displace(old, rank, bomb)

    def _displace(self, old, rank, bomb):
        channel, self.handed = self.handed, None
        if rank > VALUE:
            if rank != bomb.rank:
                self._put_in_line(old)
        elif channel is not None:
            channel.take_back(old)

    def _put_in_line(self, bomb):
        plain = bomb.type is TaskletExit and bomb.value is None
        if bomb.rank == THROW:
            self.pending = [other for other in self.pending if other.rank != THROW]
        waiting = [*self.pending, self.held]
        if plain and any(
            isinstance(other, Bomb) and other.type is TaskletExit
            and other.value is None for other in waiting
        ):  # fmt: skip
            return
        self.pending.append(bomb)
        self.pending.sort(key=lambda other: -other.rank)


class Channel(Queue):
    """The tasklets that wait to send or to receive; `direction` says which."""

    model = None

    def __init__(self):
        super().__init__()
        self.direction = 0
        self.closing = False
        self.returned = []  # values of receivers that were killed, the next one first
        self._preference = -1
        self._schedule_all = 0

    @property
    def balance(self):
        return self.direction * len(self.waiting) + len(self.returned)

    @property
    def queue(self):
        return self.waiting[0] if self.waiting else None

    @property
    def closed(self):
        return self.closing and not self.waiting and not self.returned

    def take_back(self, value):
        if self.direction == RECEIVE and self.waiting:
            receiver = self.waiting[0]
            self.model.take_out_of_queue(receiver)
            receiver.held, receiver.handed = value, self
            self.model.append(receiver)
        else:
            self.returned.insert(0, value)

    @property
    def preference(self):
        return self._preference

    @preference.setter
    def preference(self, value):
        self._preference = (value > 0) - (value < 0)

    @property
    def schedule_all(self):
        return self._schedule_all

    @schedule_all.setter
    def schedule_all(self, value):
        self._schedule_all = int(bool(value))

    def close(self):
        self.closing = True

    def open(self):
        self.closing = False

    def send(self, value):
        return self.model.communicate(self, SEND, value)

    def receive(self):
        return self.model.communicate(self, RECEIVE, None)

    def try_send(self, value):
        outcome = yield from self.model.communicate(self, SEND, value, blocks=False)
        return outcome if isinstance(outcome, Bomb) else outcome is not NOBODY

    def try_receive(self, default=None):
        outcome = yield from self.model.communicate(self, RECEIVE, None, blocks=False)
        return default if outcome is NOBODY else outcome

    def send_exception(self, kind, *args):
        return self._send_bomb(Bomb(kind, args))

    def send_throw(self, error, value=None):
        if isinstance(error, BaseException):
            return self._send_bomb(Bomb(type(error), error))
        return self._send_bomb(Bomb(error, () if value is None else (value,)))

    def _send_bomb(self, bomb):
        outcome = yield from self.model.communicate(self, SEND, bomb)
        return outcome if isinstance(outcome, Bomb) else None

    def send_sequence(self, values):
        count = 0
        for value in values:
            outcome = yield from self.send(value)
            if isinstance(outcome, Bomb):
                return outcome
            count += 1
        return count

    def __iter__(self):
        return self

    def __next__(self):
        if self.closing and self.balance <= 0:
            raise StopIteration
        return self.receive()


class Model:
    """One interpreter: its threads, its callbacks, and every rule about order."""

    TaskletExit = TaskletExit
    bomb = Bomb
    patience = 2000  # resumptions before a program counts as endless

    def __init__(self, stackless=False):
        self.stackless = stackless  # without what tasklets mend
        self.tasklet = type("tasklet", (Tasklet,), {"model": self})
        self.channel = type("channel", (Channel,), {"model": self})
        self.threads = []
        self.schedule_callback = None
        self.channel_callback = None
        self.error_handler = None
        self.in_channel_callback = False
        self.in_schedule_callback = False
        self.unraisable = lambda error: None
        self.scheduler = SimpleNamespace(
            run=self.run_rounds, last_run=lambda: SimpleNamespace(reason=self.reason)
        )
        self.reason = None
        self.here = self.new_thread()

    @property
    def current(self):
        return self.here.current

    def new_thread(self):
        self.threads.append(Thread(self, len(self.threads)))
        return self.threads[-1]

    # The module's functions.

    def getcurrent(self):
        return self.here.current

    def getmain(self):
        return self.here.main

    def getruncount(self):
        return len(self.here.ring)

    def switch_trap(self, change=0):
        old = self.here.trap
        self.here.trap += change
        return old

    def set_schedule_callback(self, callback):
        old, self.schedule_callback = self.schedule_callback, callback
        return old

    def set_channel_callback(self, callback):
        old, self.channel_callback = self.channel_callback, callback
        return old

    def set_error_handler(self, handler=None):
        old, self.error_handler = self.error_handler, handler
        return old

    def due(self):
        """Return what came for the current tasklet while it ran, or None."""
        return self.current.pending.pop(0) if self.current.pending else None

    def schedule(self, *value):
        if bomb := self.due():
            return bomb
        me = self.current
        value = value[0] if value else me
        if len(self.here.ring) == 1:
            if not self.here.trap and not self.in_schedule_callback:
                self.end_rounds()
            if self.here.ring[0] is me:
                return value
            me.held = value
            return (yield from self.enter_first(decided=True))
        self.check_trap(self.here.ring[1])
        me.held = value
        self.rotate(self.here, self.here.ring[1])
        return (yield from self.enter_first())

    def schedule_remove(self, *value):
        if bomb := self.due():
            return bomb
        me = self.current
        before = me.held
        me.held = value[0] if value else me
        try:
            self.leave(None)
        except RuntimeError:
            me.held = before
            raise
        return (yield from self.enter_first())

    def run(self):
        if bomb := self.due():
            return bomb
        here, me = self.here, self.current
        here.watchdogs.append(me)
        try:
            self.leave(None)
            outcome = yield from self.enter_first()
        finally:
            self.end_of_run(here, me)
        return outcome if isinstance(outcome, Bomb) else None

    def run_rounds(self, rounds):
        self.reason = "error"
        if bomb := self.due():
            return bomb
        if self.in_schedule_callback:
            raise RuntimeError("no run in a schedule callback")
        here, me = self.here, self.current
        if rounds <= 0:
            self.reason = "rounds"
            return None
        mine = Rounds(rounds, here.ring[1:])
        here.rounds[me] = mine
        here.watchdogs.append(me)
        try:
            self.leave(None)
            outcome = yield from self.enter_first()
        finally:
            self.end_of_run(here, me)
            if here.rounds.get(me) is mine:
                del here.rounds[me]
            self.reason = "error"
        if isinstance(outcome, Bomb):
            return outcome
        idle = len(here.ring) == 1
        self.reason = "rounds" if mine.over else "idle" if idle else "stopped"
        return None

    def end_rounds(self):
        """End each round in which the first of the ring, who is next, has no turn."""
        here = self.here
        for caller in here.watchdogs:
            first = here.ring[0]
            if caller is first:
                break
            rounds = here.rounds.get(caller)
            if rounds is None or first in rounds.turns:
                continue
            assert not rounds.turns, "they were to come before those without a turn"
            if rounds.left > 1:
                rounds.left -= 1
                rounds.turns = set(here.ring)
            elif caller.place is None:
                rounds.over = True
                caller.place = here.ring
                here.ring.insert(0, caller)
                break
        for rounds in here.counted():
            rounds.turns.discard(here.ring[0])

    def name_next(self, tasklet):
        """Give it a turn in the present round, because somebody asks for that."""
        for rounds in tasklet.thread.counted():
            rounds.turns.add(tasklet)

    def end_of_run(self, here, me):
        """Pop me and what is above; who was waiting there gets its turn."""
        if me in here.watchdogs:
            while (above := here.watchdogs.pop()) is not me:
                self.append(above)

    # Places.

    def append(self, tasklet):
        if tasklet.place is None:
            tasklet.place = tasklet.thread.ring
            tasklet.thread.ring.append(tasklet)

    def take_out(self, tasklet):
        if tasklet.place is tasklet.thread.ring:
            tasklet.thread.ring.remove(tasklet)
            tasklet.place = None
            for rounds in tasklet.thread.counted():
                rounds.turns.discard(tasklet)

    def take_out_of_queue(self, tasklet):
        if tasklet.blocked:
            tasklet.place.waiting.remove(tasklet)
            tasklet.place = None

    def rotate(self, thread, first):
        index = thread.ring.index(first)
        thread.ring[:] = thread.ring[index:] + thread.ring[:index]

    def put_first(self, thread, tasklet):
        """Make it the next to run: those before it in the ring go behind the rest."""
        self.take_out_of_queue(tasklet)
        if thread.counted():
            self.take_out(tasklet)  # the others stay in their order
        if tasklet.place is None:
            tasklet.place = thread.ring
            thread.ring.insert(0, tasklet)
        self.rotate(thread, tasklet)
        self.name_next(tasklet)

    def make_next(self, tasklet):
        """Run it on its own thread, before the others there but the running one."""
        thread = tasklet.thread
        if tasklet is not thread.current:
            self.take_out(tasklet)
            tasklet.place = thread.ring
            thread.ring.insert(0 if thread.idle() else 1, tasklet)
            self.name_next(tasklet)
        return self.claim(self.current)

    # Switching.

    def check_trap(self, target):
        if target is not self.current:
            if self.in_schedule_callback:
                raise RuntimeError("no switching in a schedule callback")
            if self.here.trap:
                raise RuntimeError("switch_trap")

    def claim(self, tasklet):
        value, tasklet.held = tasklet.held, None
        tasklet.handed = None
        return value

    def notify(self, previous, following):
        if self.schedule_callback and previous is not following:
            self.in_schedule_callback = True
            try:
                self.schedule_callback(previous, following)
            except BaseException as error:
                self.unraisable(error)
            finally:
                self.in_schedule_callback = False

    def enter_first(self, decided=False):
        """Suspend the caller and run the first of the ring."""
        here, me = self.here, self.current
        if here.ring:
            if here.ring[0] is not me and not decided:
                self.end_rounds()
            self.notify(me, here.ring[0])
            if here.ring[0] is me:
                return self.claim(me)
            here.current = here.ring[0]
        else:
            here.current = None
        yield
        return self.claim(me)

    def jump(self, target, caller_leaves=False, bomb=None):
        me = self.current
        if due := self.due():
            return due
        self.check_trap(target)
        if bomb is not None:
            target.force(bomb)
        ring = self.here.ring
        in_turn = target.place is ring
        self.put_first(self.here, target)
        if self.here.counted() and not caller_leaves:
            if in_turn:
                ring.append(ring.pop(1))  # me: the others have a turn before it
            else:
                self.name_next(me)
        if caller_leaves:
            self.take_out(me)
        return (yield from self.enter_first())

    def join(self, other):
        if self.current.block_trap:
            raise RuntimeError(BLOCKED)
        if bomb := self.due():
            return bomb
        self.leave(other.joiners)
        outcome = yield from self.enter_first()
        return outcome if isinstance(outcome, Bomb) else True

    def leave(self, queue):
        """Take the current one out of the ring, or raise with nothing changed."""
        here, me = self.here, self.current
        self.take_out(me)
        if queue is not None:
            me.place = queue
            queue.waiting.append(me)
        try:
            target = here.ring[0] if here.ring else self.woken(me)
            if target is not None:
                self.check_trap(target)
        except RuntimeError:
            self.take_out_of_queue(me)
            me.place = here.ring
            here.ring.insert(0, me)
            raise
        if target is not None and target.place is None:
            if target is not me and self.passes_on_bomb(me):
                target.held = me.held
            self.append(target)
            if target is not me:
                self.name_next(target)

    def passes_on_bomb(self, me):
        """Whether who resumes gets the bomb that me left with."""
        paused = me.place is None
        return isinstance(me.held, Bomb) and (paused or self.stackless)

    def woken(self, leaver):
        """Who runs when the ring is empty; None when the thread has to wait."""
        watchdog = self.here.watchdog()
        if watchdog.place is None:
            return watchdog
        if self.another_thread_can_run():
            return None
        raise RuntimeError(DEADLOCK)

    def another_thread_can_run(self):
        return any(t is not self.here and not t.idle() for t in self.threads)

    # Channels.

    def communicate(self, channel, direction, value, blocks=True):
        here, me = self.here, self.current
        if self.in_channel_callback:
            raise RuntimeError(RECURSIVE)
        if bomb := self.due():
            return bomb
        if direction == RECEIVE and channel.returned:
            self.notify_channel(channel, direction, willblock=False)
            if channel.returned:
                return channel.returned.pop(0)
        partner = channel.queue if channel.direction == -direction else None
        remote = partner is not None and partner.thread is not here
        before, me.held = me.held, value
        try:
            if not remote:
                self.notify_channel(channel, direction, willblock=partner is None)
            if partner is None:
                if not blocks and not channel.closing:
                    me.held = before
                    return NOBODY
                self.block(channel, direction, blocks)
            else:
                self.hand_over(channel, direction, partner)
        except BaseException:
            me.held = before
            raise
        if remote:
            self.notify_channel(channel, direction, willblock=False)
        return (yield from self.enter_first())

    def notify_channel(self, channel, direction, willblock):
        if self.channel_callback:
            self.in_channel_callback = True
            try:
                self.channel_callback(
                    channel, self.current, int(direction == SEND), int(willblock)
                )
            finally:
                self.in_channel_callback = False

    def block(self, channel, direction, blocks):
        if self.current.block_trap and blocks:
            raise RuntimeError(BLOCKED)
        if channel.closing:
            raise ValueError(CLOSED)
        if not channel.waiting:
            channel.direction = direction
        self.leave(channel)

    def hand_over(self, channel, direction, partner):
        here, me = self.here, self.current
        order = [*here.ring, partner]
        if partner.thread is here:
            if channel.schedule_all:
                order = [*order[1:], me]
            elif channel.preference == -direction:
                order = [partner, *here.ring[1:], me]
            self.check_trap(order[0])
        self.take_out_of_queue(partner)
        me.held, partner.held = partner.held, me.held
        receiver = partner if direction == SEND else me
        if receiver.held is not None and not self.stackless:
            receiver.handed = channel
        self.append(partner)
        if partner.thread is here:
            here.ring[:] = order
            if order[0] is partner and not channel.schedule_all:
                self.name_next(partner)

    # Running.

    def drive_woken(self):
        """Let those go on that waited for another thread and have got something."""
        for thread in self.threads:
            if thread.idle() and thread.ring:
                self.drive(thread=thread)

    def drive(self, program=None, thread=None):
        """Run a thread: until its main program ends, or asks, or has to wait."""
        before = self.here
        self.here = thread or before
        if program is not None:
            self.here.main.steps = program
        try:
            return self.drive_here()
        finally:
            self.here = before

    def drive_here(self):
        here = self.here
        for _ in range(self.patience):
            if here.current is None:
                if not here.ring:
                    return IDLE
                here.current = here.ring[0]
            me = here.current
            try:
                if self.resume(me) == COMMAND:
                    return COMMAND
                continue
            except StopIteration as stop:
                error = stop.value
            except BaseException as caught:
                if me.is_main:
                    raise
                error = caught
            if me.is_main:
                return FINISHED
            if error is None or not self.handled(me, error):
                self.ended(me, error)
        raise AssertionError("the program goes round in circles")

    def resume(self, tasklet):
        """Go on with its generator; StopIteration carries the error that ended it."""
        if tasklet.steps is None:
            function, args, kwargs = tasklet.call
            tasklet.started = True
            first = self.claim(tasklet)
            if isinstance(first, Bomb):
                raise StopIteration(first.error())
            tasklet.steps = function(*args, **kwargs)
        return next(tasklet.steps)

    def handled(self, me, error):
        """Make the error handler the last thing the tasklet runs."""
        if self.error_handler is None or isinstance(error, SystemExit):
            return False
        if me.in_handler:
            return False
        me.in_handler = True
        me.steps = self.error_handler(type(error), error, error.__traceback__)
        return me.steps is not None

    def ended(self, me, error):
        here = self.here
        if isinstance(error, TaskletExit):
            error = None
        if isinstance(error, SystemExit) and here is not self.threads[0]:
            error = None
        self.take_out(me)
        me.forget()
        me.ended = True
        for joiner in list(me.joiners.waiting):
            self.take_out_of_queue(joiner)
            self.append(joiner)
        watchdog = here.watchdog()
        if error:
            if isinstance(error, SystemExit):
                watchdog = here.main
            watchdog.force(Bomb(type(error), error, rank_of(type(error))))
            self.put_first(here, watchdog)
        elif not here.ring and watchdog.blocked:
            if self.another_thread_can_run():
                here.current = None
                return
            direction = getattr(watchdog.place, "direction", None)
            message = {SEND: SENDING, RECEIVE: RECEIVING, None: JOINING}[direction]
            watchdog.force(Bomb(RuntimeError, (message,), THROW))
            self.put_first(here, watchdog)
        elif not here.ring:
            self.put_first(here, watchdog)
        self.end_rounds()
        self.notify(me, here.ring[0])
        here.current = here.ring[0]
