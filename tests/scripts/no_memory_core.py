"""Scenarios of no_memory.py: tasklets, channels and select()."""

import socket
import threading
from functools import partial

from no_memory_base import persist, scenario

import tasklets
from tasklets import (
    DeadlockError,
    QueueChannel,
    TaskGroup,
    TaskletExit,
    channel,
    recv,
    run,
    schedule,
    scheduler,
    select,
    send,
    spawn,
    tasklet,
    timeout,
)
from tasklets.locks import (
    Barrier,
    Condition,
    Event,
    Lock,
    NLCondition,
    RLock,
    Semaphore,
)
from tasklets.queues import Queue, SimpleQueue
from tasklets.testing import fake_clock

# ---- births and ends


@scenario()
def spawns():
    return [spawn(pow, 2, i).result() for i in range(3)]


@scenario()
def runs_unnamed():
    log = []
    for i in range(3):
        tasklet(log.append)(i)
    run()
    return log


@scenario()
def binds_and_sets_up():
    log = []
    t = tasklet().bind(log.append, (1,))
    t.insert()
    run()
    t.bind(log.append)
    t.setup(2)
    run()
    t.bind(partial(log.append), (3,), {})
    t.run()
    return log


@scenario()
def ends_with_an_error():
    def fail():
        raise ValueError("expected")

    t = spawn(fail)
    caught = []
    try:
        t.result()
    except ValueError as error:
        caught.append(str(error))
    spawn(fail)
    try:
        run()
    except ValueError as error:
        caught.append(str(error))
    return caught, repr(t.exception())


@scenario()
def kills():
    log = []

    def work(name):
        try:
            while True:
                schedule()
        except TaskletExit:
            log.append(name)
            raise

    made = [spawn(work, i) for i in range(3)]
    schedule()
    made[0].kill()
    made[1].kill(pending=True)
    spawn(work, 3).kill()
    schedule()
    made[2].kill()
    return log, [t.cancelled() for t in made]


@scenario(RuntimeError)
def throws():
    log = []

    def work():
        for _ in range(4):
            try:
                schedule_or_receive()
            except LookupError as error:
                log.append(type(error))
        return "end"

    ch = channel()

    def schedule_or_receive():
        if len(log) % 2:
            ch.receive()
        else:
            schedule()

    t = spawn(work)
    schedule()
    t.throw(KeyError)
    t.throw(IndexError("a"), pending=True)
    schedule()
    t.raise_exception(KeyError, "b")
    t.throw(LookupError, LookupError("c"), None)
    return log, t.result()


@scenario()
def done_callbacks():
    log = []
    t = spawn(int, "7", name="seven")
    for i in range(3):
        t.add_done_callback(lambda t, i=i: log.append((i, t.result())))
    assert t.remove_done_callback(log.append) == 0
    run()
    t.add_done_callback(lambda t: log.append("late"))
    return log


@scenario(DeadlockError)
def joins():
    log = []

    def wait(t):
        log.append(t.join())

    slow = spawn(lambda: [schedule() for _ in range(3)])
    made = [spawn(wait, slow) for _ in range(3)]
    log.append(slow.join(timeout=5))
    for t in made:
        t.join()
    late = spawn(wait, tasklet())
    try:
        late.join(timeout=0.001)
        log.append(late.join(timeout=0))
        if late.done():
            late.result()
    finally:
        persist(late.kill)
    return log


@scenario()
def deep_crowd():
    """More stacks than fit in the first rooms of the lists."""
    ch = channel()
    made = [spawn(ch.receive) for _ in range(40)]
    schedule()
    for i in range(40):
        ch.send(i)
    return [t.result() for t in made]


@scenario(RuntimeError)
def switches():
    log = []

    def work():
        log.append("in")
        main.switch()
        log.append("again")
        main.insert()

    main = tasklets.getcurrent()
    t = spawn(work)
    try:
        t.switch()
        t.switch()
    finally:
        if main.paused:
            persist(main.insert)
    return log


@scenario()
def names_and_reprs():
    ch = channel()
    t = spawn(ch.receive, name="reader")
    schedule()
    group = TaskGroup(3)
    objects = [
        t, ch, QueueChannel(), tasklets.bomb(ValueError), Lock(), RLock(), Condition(),
        Event(), Semaphore(), Barrier(2), Queue(), SimpleQueue(), group,
        tasklets.local(), timeout(1), recv(ch), send(ch, 1),
        scheduler.call_later(1, int), tasklet(), tasklets.getmain(), NLCondition(),
        tasklets.atomic(),
    ]  # fmt: skip
    texts = [repr(one).split(" at ")[0].split(" in ")[0] for one in objects]
    objects[-5].cancel()
    t.name = "other"
    first = t.name, t.frame is not None
    ch.send(0)
    return texts, first


@scenario()
def statistics_and_lists():
    ch = channel()
    made = [spawn(ch.receive) for _ in range(2)]
    schedule()
    counts = scheduler.statistics()
    info = tasklets.get_thread_info()
    threads = tasklets.getthreads()
    many = scheduler.getuncollectables()
    for t in made:
        t.kill()
    return counts["blocked"], info[2], threading.get_ident() in threads, len(many) >= 2


# ---- channels


@scenario(DeadlockError)
def sends_and_receives():
    ch = channel()
    back = channel()

    def echo():
        for _ in range(5):
            back.send(ch.receive() * 2)

    spawn(echo)
    got = []
    for i in range(5):
        ch.send(i + 1000)
        got.append(back.receive())
    return got


@scenario(DeadlockError)
def sends_exceptions():
    ch = channel()
    log = []

    def work():
        for _ in range(3):
            try:
                ch.receive()
            except LookupError as error:
                log.append(repr(error))

    t = spawn(work)
    ch.send_exception(KeyError, 1)
    ch.send_throw(IndexError("x"))
    ch.send(tasklets.bomb(LookupError, LookupError("y")))
    t.result()
    return log


@scenario(DeadlockError)
def iterates_and_closes():
    ch = channel()
    log = []

    def work():
        log.extend(ch)

    t = spawn(work)
    other = spawn(work)
    sent = ch.send_sequence(range(4))
    ch.close(wake=True)
    t.result()
    other.result()
    return sorted(log), sent, ch.closed


@scenario(DeadlockError)
def queue_channels():
    ch = QueueChannel(2)
    log = []

    def produce():
        for i in range(6):
            ch.send(i)
        ch.close(wake=True)

    t = spawn(produce)
    for i in ch:
        log.append(i)
    t.result()
    free = QueueChannel()
    for i in range(40):
        free.send(i)
    return log, [free.receive() for _ in range(40)]


@scenario()
def channel_times_out():
    ch = channel()
    log = []
    with fake_clock():
        for call in (ch.receive, partial(ch.send, 1)):
            try:
                call(timeout=1)
            except TimeoutError as error:
                log.append(str(error)[:5])
        log.append(ch.try_send(1))
        log.append(ch.try_receive(5))
    return log, ch.balance


@scenario()
def deadlocks():
    log = []
    ch = channel()
    t = spawn(ch.receive, name="first")
    try:
        run()
        ch2 = channel()
        ch2.receive()
    except DeadlockError as error:
        log.append("first" in str(error))
    spawn(channel().receive).remove()
    t.kill()
    return log


@scenario()
def callbacks_of_channels():
    log = []
    tasklets.set_channel_callback(lambda *args: log.append(args[2:]))
    tasklets.set_schedule_callback(lambda a, b: log.append(None))
    try:
        ch = channel()
        t = spawn(ch.receive)
        ch.send(3)
        t.result()
    finally:
        persist(tasklets.set_channel_callback, None)
        persist(tasklets.set_schedule_callback, None)
    return log.count(None) > 2, [one for one in log if one]


@scenario()
def error_handlers():
    log = []

    def handle(kind, value, tb):
        log.append(kind)
        if kind is MemoryError:
            raise value

    tasklets.set_error_handler(handle)
    try:
        tasklet(lambda: 1 / 0)()
        run()
    finally:
        persist(tasklets.set_error_handler, None)
    return log


# ---- select


@scenario(DeadlockError)
def selects():
    a, b, q = channel(), channel(), QueueChannel()
    log = []

    def work():
        a.send("a")
        log.append(b.receive())
        q.send("q")

    t = spawn(work)
    for _ in range(3):
        _case, value = select(recv(a), send(b, "b"), recv(q))
        log.append(value)
    log.append(select(recv(a), default=0)[1])
    with fake_clock():
        try:
            select(recv(a), timeout=1)
        except TimeoutError:
            log.append("late")
    t.result()
    return log


@scenario(DeadlockError)
def selects_what_ends():
    ch = channel()
    event = Event()
    t = spawn(int, "5")
    log = [select(t, recv(ch), event)[0] is t]
    spawn(event.set)
    log.append(select(recv(ch), event)[0] is event)
    a, b = socket.socketpair()
    with a, b:
        b.send(b"x")
        log.append(type(select(tasklets.readable(a), recv(ch))[0]).__name__)
        spawn(a.recv, 1)
        schedule()
        spawn(b.send, b"y")
        log.append(type(select(tasklets.readable(a), recv(ch))[0]).__name__)
    return log
