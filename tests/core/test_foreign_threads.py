"""Threads that were never in Python may still wake a tasklet, or never will."""

import sys

import pytest
from children import run_program

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="what such threads do is read from /proc"
)

TIMER = """
import ctypes
import tasklets

libc = ctypes.CDLL(None)

class Event(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signo", ctypes.c_int),
                ("notify", ctypes.c_int), ("func", ctypes.c_void_p),
                ("rest", ctypes.c_char * 64)]

def start_timer(func):
    "Have a thread of the C library call func once, in a fifth of a second."
    event = Event(notify=2, func=ctypes.cast(func, ctypes.c_void_p).value)
    timer = ctypes.c_void_p()
    assert libc.timer_create(1, ctypes.byref(event), ctypes.byref(timer)) == 0
    times = (ctypes.c_long * 4)(0, 0, 0, 200_000_000)
    assert libc.timer_settime(timer, 0, ctypes.byref(times), None) == 0

Function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
"""

RECEIVE = (
    TIMER
    + """
ch = tasklets.channel()
func = Function(lambda _: ch.send("from C"))
start_timer(func)
print(ch.receive())
"""
)

JOIN = (
    TIMER
    + """
ch = tasklets.channel()
func = Function(lambda _: ch.send("from C"))
start_timer(func)
print(tasklets.spawn(ch.receive).result())
"""
)

FUTURE = (
    TIMER
    + """
from concurrent.futures import Future
future = Future()
func = Function(lambda _: future.set_result("from C"))
start_timer(func)
print(tasklets.wait([future])[0].result())
"""
)


@pytest.mark.parametrize("source", [RECEIVE, JOIN, FUTURE])
def test_a_thread_of_a_c_library_wakes_a_waiting_tasklet(source):
    assert run_program(source) == (0, "from C\n", [])


HELPERS = """
import ctypes, faulthandler, threading, time
import tasklets
from tasklets import fs, net
from tasklets.workers import call_on_worker

faulthandler.dump_traceback_later(1000)
fs.stat("/")
net.getaddrinfo("127.0.0.1", 1)
call_on_worker(int)
tasklets.scheduler.run(seconds=1)
with tasklets.atomic():
    pass
# A thread of an idle pool: it waits for a mutex that nobody releases.
libc = ctypes.CDLL(None)
mutex, thread = (ctypes.c_char * 64)(), ctypes.c_void_p()
libc.pthread_mutex_lock(mutex)
libc.pthread_create(ctypes.byref(thread), None, libc.pthread_mutex_lock, mutex)
time.sleep(0.1)
try:
    tasklets.channel().receive()
except tasklets.DeadlockError:
    print("deadlock")
"""


def test_a_deadlock_beside_helper_threads_is_told():
    assert run_program(HELPERS) == (0, "deadlock\n", [])


SLEEPER = """
import ctypes, warnings
import tasklets

warnings.simplefilter("error")
libc = ctypes.CDLL(None)
thread = ctypes.c_void_p()
libc.pthread_create(ctypes.byref(thread), None, libc.sleep, ctypes.c_void_p(1000))
try:
    tasklets.channel().receive()
except RuntimeWarning as warning:
    print(str(warning).partition(",")[0])
"""


def test_a_long_wait_for_such_a_thread_warns():
    assert run_program(SLEEPER) == (
        0,
        "all tasklets of all threads wait\n",
        [],
    )
