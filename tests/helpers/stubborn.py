"""Programs with a tasklet that does not end when its thread or the program does."""

from children import run_program

PRELUDE = """
import atexit, gc, importlib.abc, importlib.util, os, signal, sys, threading, time
import tasklets
from tasklets import *
from tasklets import scheduler
from tasklets.locks import Lock

# Seconds of CPU time and of true time that a tasklet has when it is told to end.
tasklets._core._set_end_limits(0.05, 60)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def polite(name):
    try:
        channel().receive()
    finally:
        schedule()
        say(name, "finally")

def loop():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass

def wait_to_be_told():
    try:
        channel().receive()
    except BaseException:
        pass

def leave_some():
    global kept
    kept = [spawn(polite, "before")]
    schedule()
    kept.append(spawn(stubborn, name="stubborn"))
    kept.append(spawn(polite, "after"))
    kept[-1].run()
    scheduler.run(rounds=2, seconds=1, slice_seconds=0.05)
"""

# How a program ends that has left a stubborn tasklet between two polite ones.
ENDS = {
    "program": """
leave_some()
say("end")
sys.exit(7)
""",
    "thread": """
thread = threading.Thread(target=leave_some)
thread.start()
thread.join()
say("end")
sys.exit(7)
""",
    # The interpreter waits for a thread: the first thread's tasklets are ended twice.
    "program_with_a_thread": """
event = threading.Event()
leave_some()
thread = threading.Thread(target=event.wait, args=(0.05,))
thread.start()
say("end")
sys.exit(7)
""",
}

# Programs that define stubborn(). Here it computes where it can be stopped;
COMPUTING = {
    "it_was_stopped_by_a_budget": """
def stubborn():
    loop()
""",
    "it_was_told": """
def stubborn():
    wait_to_be_told()
    loop()
""",
    "its_clean_up_does_not_end": """
def stubborn():
    try:
        channel().receive()
    finally:
        while True:
            pass
""",
    "in_a_generator_that_is_closed": """
def generate():
    try:
        yield
    finally:
        loop()

def stubborn():
    for _ in generate():
        channel().receive()
""",
    "in_a_shield": """
def stubborn():
    with shield(1e6):
        loop()
""",
    "in_an_atomic_section": """
def stubborn():
    wait_to_be_told()
    with atomic():
        loop()
""",
    "in_a_switch_trap": """
def stubborn():
    wait_to_be_told()
    switch_trap(1)
    loop()
""",
    "in_an_import": """
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name == "endless":
            return importlib.util.spec_from_loader(name, self)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        loop()

sys.meta_path.insert(0, Finder())

def stubborn():
    wait_to_be_told()
    import endless
""",
    "in_a_function_called_by_c": """
def stubborn():
    wait_to_be_told()
    sorted([1, 2], key=lambda _: loop())
""",
    "in_a_greenlet": """
import greenlet

def stubborn():
    wait_to_be_told()
    greenlet.greenlet(loop).switch()
""",
    "in_a_done_callback": """
def stubborn():
    getcurrent().add_done_callback(lambda _: loop())
    channel().receive()
""",
    "in_a_finalizer": """
class Garbage:
    def __del__(self):
        loop()

def stubborn():
    wait_to_be_told()
    Garbage()
""",
    "in_a_run": """
def stubborn():
    spawn(schedule_remove, None)
    try:
        scheduler.run(wait=True)
        channel().receive()
    except BaseException:
        pass
    loop()
""",
    "where_nothing_may_block": """
def stubborn():
    wait_to_be_told()
    getcurrent().block_trap = True
    while True:
        try:
            channel().receive()
        except BaseException:
            pass
""",
}
# here where it cannot, so that TaskletExit is raised again and again first;
UNSTOPPABLE = {
    "in_a_finalizer_of_the_collector": """
class Garbage:
    def __del__(self):
        loop()

def stubborn():
    wait_to_be_told()
    garbage = Garbage()
    garbage.me = garbage
    del garbage
    gc.collect()
""",
    "in_a_channel_callback": """
def stubborn():
    wait_to_be_told()
    def callback(*args):
        set_channel_callback(None)
        loop()
    set_channel_callback(callback)
    channel().send(1)
""",
    "in_a_schedule_callback": """
def stubborn():
    wait_to_be_told()
    def callback(*args):
        set_schedule_callback(None)
        loop()
    set_schedule_callback(callback)
    schedule()
""",
    "in_an_atomic_finalizer_of_the_collector": """
class Garbage:
    def __del__(self):
        with atomic():
            loop()

def stubborn():
    wait_to_be_told()
    garbage = Garbage()
    garbage.me = garbage
    del garbage
    gc.collect()
""",
}
# here it gives way, again and again.
BLOCKING = {
    "receive": """
def stubborn():
    while True:
        try:
            channel().receive()
        except BaseException:
            pass
""",
    "receive_from_each_other": """
def stubborn():
    def other():
        while True:
            try:
                a.send(b.receive())
            except BaseException:
                pass
    a, b = channel(), channel()
    spawn(other)
    while True:
        try:
            b.send(1)
            a.receive()
        except BaseException:
            pass
""",
    "sleep": """
def stubborn():
    while True:
        try:
            sleep(0.001)
        except BaseException:
            pass
""",
    "schedule": """
def stubborn():
    while True:
        try:
            schedule()
        except BaseException:
            pass
""",
    "schedule_remove": """
def stubborn():
    while True:
        try:
            schedule_remove(None)
        except BaseException:
            pass
""",
    "acquire": """
lock = Lock()

def stubborn():
    spawn(lambda: (lock.acquire(), schedule_remove(None))).run()
    while True:
        try:
            lock.acquire()
        except BaseException:
            pass
""",
    "join": """
def stubborn():
    joined = spawn(schedule_remove, None)
    while True:
        try:
            joined.join()
        except BaseException:
            pass
""",
    "switch_to_each_other": """
def stubborn():
    def other():
        while True:
            try:
                me.switch()
            except BaseException:
                pass
    wait_to_be_told()
    me, partner = getcurrent(), tasklet(other)()
    while True:
        try:
            partner.switch()
        except BaseException:
            pass
""",
    "run_each_other": """
def stubborn():
    def other():
        while True:
            try:
                me.run()
            except BaseException:
                pass
    wait_to_be_told()
    me, partner = getcurrent(), tasklet(other)()
    while True:
        try:
            partner.run()
        except BaseException:
            pass
""",
    "run_each_other_in_a_ring": """
def stubborn():
    def other(number):
        while True:
            try:
                members[(number + 1) % 4].run()
            except BaseException:
                pass
    wait_to_be_told()
    members = [getcurrent()] + [tasklet(other)(number) for number in (1, 2, 3)]
    other(0)
""",
    "remove_main": """
def stubborn():
    wait_to_be_told()
    getmain().remove()
    while True:
        try:
            schedule()
        except BaseException:
            pass
""",
    "throw_into_main": """
def stubborn():
    wait_to_be_told()
    while True:
        try:
            getmain().throw(ValueError)
        except BaseException:
            pass
""",
    "run_with_a_budget": """
def stubborn():
    spawn(schedule_remove, None)
    while True:
        try:
            scheduler.run(seconds=0.001)
        except BaseException:
            pass
""",
    "run_that_waits": """
def stubborn():
    spawn(sleep, 1000)
    while True:
        try:
            scheduler.run(wait=True)
        except BaseException:
            pass
""",
    "run_that_waits_for_threads": """
def stubborn():
    while True:
        try:
            scheduler.run(threadblock=True)
        except BaseException:
            pass
""",
    "a_group": """
def stubborn():
    while True:
        try:
            with TaskGroup() as group:
                group.spawn(sleep, 1000)
        except BaseException:
            pass
""",
    "a_successor": """
def stubborn():
    wait_to_be_told()
    tasklet(stubborn)().run()
""",
    "two_successors": """
def stubborn():
    wait_to_be_told()
    tasklet(stubborn)().run()
    tasklet(stubborn)().run()
""",
    "exit_functions": """
def stubborn():
    while True:
        try:
            channel().receive()
        except BaseException:
            pass
        tasklets._core._at_exit()
""",
}
# In these the wait returns at once and the tasklet loops: run() does not wait at the
# end, and the tasklet that is joined has ended.
SPINNING = {
    "join", "run_with_a_budget", "run_that_waits", "run_that_waits_for_threads"
}  # fmt: skip


def end(program, *flags, where="program"):
    """Return status, output and errors of a program that leaves a stubborn tasklet."""
    return run_program(PRELUDE + program + ENDS[where], *flags)


def check_words(output, *words):
    """Check that these words were said, each once, and those of the polite tasklets."""
    said = output.splitlines()
    assert sorted(said) == sorted(["before finally", "after finally", "end", *words])


REPORT = "RuntimeError: tasklet 'stubborn' (spawned at <string>:"


def reports(errors):
    """Return the lines that report a stubborn tasklet."""
    return [line for line in errors if line.startswith(REPORT)]
