"""Atomic sections and the process: the switch interval, forks, exits."""

import sys

import pytest
from children import forks_beside_threads, run_program

# The program's switch interval. Each in a process of its own: from the first block on,
# the two functions are others.


INTERVAL = """
import sys, threading, time
get, set = sys.getswitchinterval, sys.setswitchinterval
import tasklets
from tasklets import atomic

def both():
    return round(sys.getswitchinterval(), 6), round(get(), 6)

def rest():
    # Returns when the blocks are forgotten: the active interval is the program's own.
    end = time.monotonic() + 60
    while get() > 1000:
        assert time.monotonic() < end, "never at rest"
        time.sleep(0.01)

def runaway_is_preempted():
    # Without an end of its own: only if it is preempted, this one goes on.
    def run_away():
        while True:
            pass
    threading.Thread(target=run_away, daemon=True).start()
    for _ in range(5):
        time.sleep(0.01)
"""


def interval_program(source, *args):
    status, output, errors = run_program(INTERVAL + source, *args)
    assert (status, errors) == (0, [])
    return output


def test_without_a_block_the_functions_are_the_interpreters_own():
    assert interval_program("print(sys.getswitchinterval is get)") == "True\n"


def test_a_block_does_not_show_in_the_interval():
    source = """
set(0.02)
seen = [sys.getswitchinterval()]
with atomic():
    seen.append(sys.getswitchinterval())
    time.sleep(0.01)
    seen.append(sys.getswitchinterval())
seen.append(sys.getswitchinterval())
rest()
print(*seen, both())
"""
    assert interval_program(source) == "0.02 0.02 0.02 0.02 (0.02, 0.02)\n"


@pytest.mark.parametrize(
    "places",
    [
        "before, inside",
        "inside, inside",
        "inside, after",
        "before, after",
        "after, later",
    ],
)
def test_an_interval_saved_and_restored_round_a_block_stays_the_same(places):
    source = """
set(0.003)
saves, restores = sys.argv[1].split(", ")
def at(place):
    global saved
    if place == saves:
        saved = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)
    if place == restores:
        sys.setswitchinterval(saved)
with atomic():
    pass
rest()
at("before")
with atomic():
    at("inside")
    compute = sum(range(1000))
at("after")
rest()
at("later")
print(*both())
runaway_is_preempted()
"""
    assert interval_program(source, places) == "0.003 0.003\n"


def test_an_interval_set_inside_is_active_afterwards():
    source = """
with atomic():
    sys.setswitchinterval(0.002)
    print(sys.getswitchinterval())
rest()
print(*both())
runaway_is_preempted()
"""
    assert interval_program(source) == "0.002\n0.002 0.002\n"


def test_an_interval_set_by_functions_kept_from_before_counts():
    source = """
with atomic():
    set(0.002)
    for _ in range(100_000):
        pass
    time.sleep(0.05)
print(sys.getswitchinterval())
rest()
print(*both())
runaway_is_preempted()
"""
    assert interval_program(source) == "0.002\n0.002 0.002\n"


@pytest.mark.parametrize(
    "value", ["0", "-1", "'fast'", "None", "-1e-9", "1e-12", "1", "100", "True"]
)
def test_values_are_accepted_and_refused_as_before(value):
    source = f"""
def attempt(func):
    before = sys.getswitchinterval()
    try:
        func({value})
    except Exception as error:
        return type(error).__name__, sys.getswitchinterval() == before
    return "accepted", sys.getswitchinterval()
first = attempt(set)
set(0.005)
with atomic():
    inside = attempt(sys.setswitchinterval)
print(first == inside, first, inside)
"""
    assert interval_program(source).startswith("True")


# Fork.


FORK = """
import os, sys, threading, time
import tasklets
from tasklets import atomic, getcurrent

def check():
    # Blocks protect, and without them threads are preempted.
    before = getcurrent().set_atomic(False)
    check_here()
    getcurrent().set_atomic(before)

def check_here():
    count, ending = 0, False
    def work():
        nonlocal count
        while not ending:
            count += 1
    thread = threading.Thread(target=work)
    thread.start()
    end = time.monotonic() + 60
    while count == 0:
        assert time.monotonic() < end
    for _ in range(20):
        with atomic():
            time.sleep(0.001)
            before = count
            for _ in range(20_000):
                pass
            assert count == before, "not protected"
    before = count
    while count == before:
        assert time.monotonic() < end, "not preempted"
    assert sys.getswitchinterval() == 0.001
    ending = True
    thread.join()

def fork_and(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(type(error), error, flush=True)
            os._exit(1)
    return pid

sys.setswitchinterval(0.001)
"""
FORKS = {
    "before any block": "pid = fork_and(check)",
    "inside a block": """
with atomic():
    pid = fork_and(lambda: (check(), getcurrent().atomic or 1 / 0))
""",
    "inside a block, to leave it": """
with atomic():
    pid = os.fork()
if pid == 0:
    assert not getcurrent().atomic
    check()
    os._exit(0)
""",
    "right after a block": """
with atomic():
    pass
pid = fork_and(check)
""",
    "long after a block": """
with atomic():
    pass
time.sleep(0.3)
pid = fork_and(check)
""",
    "outside, while another thread is inside": """
inside, leave = threading.Event(), threading.Event()
def work():
    with atomic():
        inside.set()
        leave.wait()
thread = threading.Thread(target=work)
thread.start()
inside.wait()
pid = fork_and(check)
leave.set()
thread.join()
""",
    "from a thread that is inside": """
def work():
    global pid
    with atomic():
        pid = fork_and(check)
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
    "in a child of a child": """
with atomic():
    pid = fork_and(lambda: os.waitpid(fork_and(check), 0)[1] == 0 or 1 / 0)
""",
}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@forks_beside_threads
@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_blocks_protect_in_the_child_of_a_fork(fork):
    source = f"""
{FORK}
{fork}
status = os.waitpid(pid, 0)[1]
check()
print("child", status)
"""
    status, output, _ = run_program(source)
    assert (status, output) == (0, "child 0\n")


# The process.


def native_threads(source):
    """Run it with threads(): what the system knows of this process's threads."""
    if not sys.platform.startswith("linux"):
        pytest.skip("asks the system for its threads")
    begin = """
import os, time
from tasklets import atomic, getcurrent, run, tasklet

def threads():
    return sorted(os.listdir("/proc/self/task"))

def turns(thread):
    with open(f"/proc/self/task/{thread}/status") as lines:
        return [line for line in lines if "ctxt_switches" in line]

def at_rest(thread):
    before = turns(thread)
    time.sleep(0.3)
    return turns(thread) == before
"""
    status, output, errors = run_program(begin + source)
    assert (status, errors) == (0, [])
    return output


def test_a_program_without_blocks_has_no_thread_of_ours():
    source = """
tasklet(int)()
run()
print(len(threads()))
"""
    assert native_threads(source) == "1\n"


def test_the_thread_of_ours_sleeps_when_blocks_are_over():
    source = """
with atomic():
    pass
(mine,) = set(threads()) - {str(os.getpid())}
end = time.monotonic() + 60
while not at_rest(mine):
    assert time.monotonic() < end
print("at rest")
"""
    assert native_threads(source) == "at rest\n"


def test_the_thread_of_ours_is_awake_while_a_block_lasts():
    source = """
with atomic():
    (mine,) = set(threads()) - {str(os.getpid())}
    while at_rest(mine):
        pass
    print("awake")
"""
    assert native_threads(source) == "awake\n"


ENDINGS = {
    "os._exit inside": """
        with atomic():
            print("inside", flush=True)
            os._exit(3)
    """,
    "os._exit while another thread is inside": """
        beside(compute_inside)
        print("inside", flush=True)
        os._exit(3)
    """,
    "sys.exit inside": """
        print("inside", flush=True)
        with atomic():
            sys.exit(3)
    """,
    "an end while the flag is set": """
        getcurrent().set_atomic(True)
        print("inside", flush=True)
        sys.exit(3)
    """,
    "an end right after a block": """
        with atomic():
            print("inside", flush=True)
        sys.exit(3)
    """,
    "a daemon thread that computes inside forever": """
        beside(sections_forever)
        print("inside", flush=True)
        sys.exit(3)
    """,
    "a daemon thread that sleeps inside": """
        beside(sleep_inside)
        with atomic():
            print("inside", flush=True)
        sys.exit(3)
    """,
    "a daemon thread that waits inside for a channel": """
        beside(receive_inside)
        with atomic():
            print("inside", flush=True)
        sys.exit(3)
    """,
    "many daemon threads": """
        for _ in range(3):
            for work in sections_forever, sleep_inside, receive_inside:
                beside(work)
        print("inside", flush=True)
        sys.exit(3)
    """,
    "a finalizer of the module with a block": """
        class Last:
            def __del__(self, atomic=atomic, sys=sys):
                with atomic():
                    sys.stdout.write("inside\\n")
                    sys.stdout.flush()
        last = Last()
        with atomic():
            pass
        sys.exit(3)
    """,
    "an exit function with a block": """
        import atexit
        @atexit.register
        def last():
            with atomic():
                print("inside", flush=True)
        sys.exit(3)
    """,
    "a tasklet paused inside": """
        def work():
            with atomic():
                schedule_remove()
        kept = tasklet(work)()
        run()
        print("inside", flush=True)
        sys.exit(3)
    """,
}
ENDING = """
import os, sys, threading, time
from tasklets import atomic, channel, getcurrent, run, schedule_remove, tasklet

def beside(work):
    begun = threading.Event()
    threading.Thread(target=work, args=(begun,), daemon=True).start()
    begun.wait()

def compute_inside(begun):
    with atomic():
        begun.set()
        time.sleep(0.01)
        for _ in range(50_000):
            pass
        time.sleep(100)

def sections_forever(begun):
    while True:
        with atomic():
            begun.set()
            for _ in range(1000):
                pass

def sleep_inside(begun):
    with atomic():
        begun.set()
        time.sleep(100)

def receive_inside(begun):
    with atomic():
        begun.set()
        channel().receive()
"""


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_process_ends_as_it_should_after(ending):
    lines = [line.removeprefix(" " * 8) for line in ending.splitlines()]
    source = ENDING + "\n".join(lines)
    status, output, errors = run_program(source)
    assert (status, output, errors) == (3, "inside\n", [])
