"""Make long chains of objects, each held by the next alone, and drop them.

    python chains.py KIND LENGTH [STACK_SIZE]

With a stack size, in bytes, the chain is dropped in a thread that has so much. Prints
how many tasklets are left. KINDS is what test_chains.py tries.
"""

import contextlib
import gc
import sys
import threading
from types import MethodType

import tasklets
from tasklets import (
    QueueChannel,
    TaskGroup,
    bomb,
    channel,
    recv,
    run,
    schedule,
    schedule_remove,
    scheduler,
    send,
    spawn,
    tasklet,
    timeout,
)
from tasklets.locks import Barrier, Condition, Event, RLock
from tasklets.queues import LifoQueue, Queue, SimpleQueue

KINDS = {}


def kind(func):
    """Register a function that returns an object which holds its argument."""
    KINDS[func.__name__] = func
    return func


@kind
def bound_tasklet(one):
    return tasklet(print, (one,))


@kind
def tasklet_with_a_value(one):
    t = tasklet()
    t.tempval = one
    return t


@kind
def tasklet_with_a_callback(one):
    t = tasklet()
    t.add_done_callback(MethodType(print, one or print))
    return t


@kind
def result(one):
    t = spawn(lambda one: one, one)
    run()
    return t


@kind
def exception(one):
    def fail(one):
        raise ValueError(one)

    t = spawn(fail, one)
    with contextlib.suppress(ValueError):
        t.result()
    return t


@kind
def paused_tasklet(one):
    def pause(one):
        schedule_remove(None)

    t = spawn(pause, one)
    t.run()
    return t


@kind
def bomb_with_a_value(one):
    return bomb(ValueError, one)


@kind
def queue_channel(one):
    q = QueueChannel()
    q.send(one)
    return q


@kind
def queue(one):
    q = Queue()
    q.put(one)
    return q


@kind
def lifo_queue(one):
    q = LifoQueue()
    q.put(one)
    return q


@kind
def simple_queue(one):
    q = SimpleQueue()
    q.put(one)
    return q


@kind
def local(one):
    made = tasklets.local()
    made.one = one
    return made


@kind
def send_case(one):
    return send(meeting, one)


@kind
def recv_case(one):
    return recv(queue_channel(one))


@kind
def timeout_with_an_error(one):
    return timeout(1, ValueError(one))


@kind
def cancelled_call(one):
    handle = scheduler.call_later(1000, print, one)
    handle.cancel()
    return handle


@kind
def event(one):
    made = Event()
    made.add_done_callback(MethodType(print, one or print))
    return made


@kind
def condition(one):
    return Condition(one or RLock())


@kind
def barrier(one):
    return Barrier(2, MethodType(print, one or print))


@kind
def group(one):
    with TaskGroup() as made:
        t = made.spawn(lambda one: one, one)
    return made, t


@kind
def mixture(one):
    """Hold it in many ways at once."""
    for hold in MIXED:
        one = hold(one)
        one = {"one": one}
        one = MethodType(print, one or print)
    return one


MIXED = (bound_tasklet, queue_channel, bomb_with_a_value, send_case, barrier, result)

meeting = channel()


def make(name, length):
    hold = KINDS[name]
    one = None
    for _ in range(length):
        one = hold(one)
    return one


def main():
    name, length = sys.argv[1], int(sys.argv[2])
    plain, cycle = [make(name, length)], [make(name, length)]
    cycle.append(cycle)
    chains = [plain, cycle]
    del plain, cycle

    def drop():
        chains[0].clear()
        chains.clear()
        gc.collect()

    if len(sys.argv) == 3:
        drop()
    else:
        threading.stack_size(int(sys.argv[3]))
        thread = threading.Thread(target=drop)
        thread.start()
        thread.join()
    while tasklets.getruncount() > 1:
        schedule()
    gc.collect()
    print("left:", tasklets._core.live_counts()["tasklet"])


if __name__ == "__main__":
    main()
