"""Clear objects that are in use, as the collector may, and go on.

    python cleared.py

The collector clears what it takes for garbage. A finalizer that waits may still be
inside a method of such an object, and so may a tasklet that nobody can reach. It goes
on later, may get any error then, and must not crash or hang.
"""

import contextlib
import ctypes
import faulthandler
import gc
import os
import sys
import threading
from functools import partial

import misuse

import tasklets
from stacklesslib_compat import locks as compat
from tasklets import (
    QueueChannel,
    TaskGroup,
    channel,
    locks,
    queues,
    scheduler,
    spawn,
    workers,
)

HANG_SECONDS = 100
PY_TP_CLEAR = 51  # of typeslots.h

get_slot = ctypes.pythonapi.PyType_GetSlot
get_slot.restype = ctypes.c_void_p
get_slot.argtypes = [ctypes.py_object, ctypes.c_int]

main = tasklets.getcurrent()


def clear(target):
    """Call the type's tp_clear."""
    slot = get_slot(type(target), PY_TP_CLEAR)
    ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object)(slot)(target)


def is_ours(target):
    cls = type(target)
    known = any(base.__module__.startswith("tasklets") for base in cls.__mro__)
    return known and target is not main and get_slot(cls, PY_TP_CLEAR)


# ---- programs: each waits inside what it uses


def with_block(make):
    with make():
        tasklets.schedule_remove(None)


def group_with_children(fail=False):
    def child():
        tasklets.schedule_remove(None)
        if fail:
            raise KeyError

    with TaskGroup(limit=2) as group:
        for _ in range(3):
            group.spawn(child)


def released(lock):
    with lock, compat.released(lock):
        tasklets.schedule_remove(None)


def condition(lock, timeout=None):
    it = locks.Condition(lock)
    with it:
        it.wait(timeout)


def acquired(lock):
    with lock:
        spawn(with_block, lambda: lock)
        spawn(with_block, lambda: lock)
        tasklets.schedule_remove(None)


def full(queue):
    spawn(queue.join) if hasattr(queue, "join") else None
    for i in range(3):
        queue.put(i)


def selection(*objects):
    cases = [tasklets.recv(channel()), tasklets.send(channel(), 1), *objects]
    tasklets.select(*cases)


def waiting(function, events=1):
    made = [spawn(tasklets.schedule_remove, None) for _ in range(2)]
    list(function([*made, *(locks.Event() for _ in range(events))]))


def chained():
    one = spawn(tasklets.schedule_remove, None)
    one.add_done_callback(lambda t: None)
    spawn(one.result)
    one.join()


over = threading.Event()  # the job of on_a_worker() may end


def on_a_worker():
    def job():
        event.wait(0.01)
        over.wait(HANG_SECONDS)

    pool = workers.WorkerPool(1)
    event = locks.Event()
    future = pool.submit(job)
    spawn(future.result)
    with contextlib.suppress(Exception):
        future.result()
    pool.shutdown()


def later():
    handle = scheduler.call_later(1000, print)
    tasklets.schedule_remove(None)
    handle.cancel()


def iterating(make):
    for _ in make():
        pass


PROGRAMS = {
    "group": group_with_children,
    "group with an error": partial(group_with_children, fail=True),
    "timeout": partial(with_block, partial(tasklets.timeout, 1000)),
    "shield": partial(with_block, partial(tasklets.shield, 1000)),
    "atomic": partial(with_block, tasklets.atomic),
    "block_trap": partial(with_block, tasklets.block_trap),
    "released Lock": lambda: released(locks.Lock()),
    "released RLock": lambda: released(locks.RLock()),
    "Condition": lambda: condition(None),
    "Condition of a Lock": lambda: condition(locks.Lock(), 1000),
    "Condition of a Semaphore": lambda: condition(locks.Semaphore()),
    "NLCondition": lambda: locks.NLCondition().wait(),
    "Lock": lambda: acquired(locks.Lock()),
    "RLock": lambda: acquired(locks.RLock()),
    "Semaphore": lambda: acquired(locks.Semaphore()),
    "BoundedSemaphore": lambda: acquired(locks.BoundedSemaphore()),
    "Event": lambda: locks.Event().wait(),
    "Barrier": lambda: locks.Barrier(2, int, 1000).wait(),
    "Queue": lambda: full(queues.Queue(1)),
    "PriorityQueue": lambda: full(queues.PriorityQueue(1)),
    "LifoQueue": lambda: full(queues.LifoQueue(1)),
    "empty Queue": lambda: queues.Queue().get(),
    "SimpleQueue": lambda: queues.SimpleQueue().get(timeout=1000),
    "channel": lambda: channel().receive(),
    "sending": lambda: channel().send(1),
    "iterated channel": lambda: iterating(channel),
    "QueueChannel": lambda: full_channel(),
    "iterated QueueChannel": lambda: iterating(QueueChannel),
    "select": selection,
    "select of an Event": lambda: selection(locks.Event()),
    "select of a tasklet": lambda: selection(spawn(tasklets.schedule_remove, None)),
    "wait": lambda: waiting(tasklets.wait),
    # More than there is room for in a buffer that has just been made.
    "wait for many": lambda: waiting(tasklets.wait, 20),
    "as_completed": lambda: waiting(tasklets.as_completed),
    "join": chained,
    "worker": on_a_worker,
    "timer": later,
    "local": lambda: setattr(tasklets.local(), "x", tasklets.schedule_remove(None)),
    "tasklet": lambda: tasklets.schedule_remove(None),
}


def full_channel():
    ch = QueueChannel(1)
    ch.send(1)
    ch.send(2)


def end_by_kill(t):
    t.kill()


def end_by_error(t):
    t.throw(KeyError)


def end_by_others(_):
    """Let paused tasklets go on, the group's children say."""
    for t in scheduler_tasklets():
        if t.paused:
            t.insert()
    tasklets.run()


def scheduler_tasklets():
    return [o for o in gc.get_objects() if isinstance(o, tasklets.tasklet)]


ENDS = [end_by_others, end_by_kill, end_by_error]


def find(known):
    """Return the objects of ours that a program has made."""
    return [o for o in gc.get_objects() if id(o) not in known and is_ours(o)]


def attempt(program, end, number):
    """Clear one object, and return whether there was one."""
    known = {id(o) for o in gc.get_objects() if is_ours(o)}
    over.clear()
    t = spawn(program)
    tasklets.run()
    assert t.alive
    made = find(known)
    is_there = number < len(made)
    if is_there:
        target = made[number]
        del made
        clear(target)
        with contextlib.suppress(BaseException):
            end(t)
        over.set()
        # What is left of it can be used.
        for _, call in list(misuse.sensible_calls(target)):
            with contextlib.suppress(BaseException), tasklets.timeout(0.002):
                call(target)
        del target
    over.set()
    for one in scheduler_tasklets():
        if one is not main and one.alive:
            for _ in range(3):
                with contextlib.suppress(BaseException):
                    one.kill()
    with contextlib.suppress(BaseException):
        tasklets.run()
    main.block_trap = False
    main.set_atomic(False)
    tasklets.switch_trap(-tasklets.switch_trap())
    return is_there


def try_all():
    sys.unraisablehook = lambda args: None
    note = os.open(os.environ["MISUSE_CASE"], os.O_WRONLY | os.O_CREAT)
    gc.disable()
    gc.freeze()  # what is imported is not looked through each time
    count = 0
    for name, program in PROGRAMS.items():
        for end in ENDS:
            number = 0
            is_there = True
            while is_there:
                case = f"{name}, object {number}, {end.__name__}"
                os.pwrite(note, case.encode().ljust(200), 0)
                faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
                is_there = attempt(program, end, number)
                number += 1
                count += is_there
            gc.collect()
    faulthandler.cancel_dump_traceback_later()
    misuse.check_health()
    print("ok", count)


if __name__ == "__main__":
    faulthandler.enable()
    try_all()
