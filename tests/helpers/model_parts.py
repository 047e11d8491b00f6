"""Tasklets, channels and threads of the model: see model.py."""

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
    """An error on its way; a tasklet that finds it in its tempval raises it."""

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
        """Return the active rounds."""
        return [self.rounds[one] for one in self.watchdogs if one in self.rounds]

    def idle(self):
        """Whether the thread waits for another thread to fill its ring."""
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
        """Be as a tasklet without a function."""
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
        """Raise it when the tasklet next runs, or later if it is weaker."""
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
