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

Several threads are several `Thread` objects of one model; `model.here` is the thread
that acts. Only one acts at a time.

A run with rounds keeps the set of tasklets with a turn left in the round. While there
is one, `ring[1:]` begins with these.
"""

from types import SimpleNamespace

from model_parts import (
    BLOCKED,
    CLOSED,
    COMMAND,
    DEADLOCK,
    FINISHED,
    IDLE,
    JOINING,
    NOBODY,
    RECEIVE,
    RECEIVING,
    RECURSIVE,
    SEND,
    SENDING,
    THROW,
    Bomb,
    Channel,
    Rounds,
    Tasklet,
    TaskletExit,
    Thread,
    rank_of,
)


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
        """Give it a turn in the present round, because a program asks for that."""
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
