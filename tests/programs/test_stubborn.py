"""The end of a program and of a thread comes, whatever their tasklets do."""

import signal
import sys

import pytest
from children import finish, forks_beside_threads, run_program, start
from stubborn import (
    BLOCKING,
    COMPUTING,
    ENDS,
    PRELUDE,
    REPORT,
    SPINNING,
    UNSTOPPABLE,
    check_words,
    end,
    reports,
)

import tasklets

ends = pytest.mark.parametrize("where", ENDS)


@ends
@pytest.mark.parametrize("name", COMPUTING)
def test_a_tasklet_that_computes_on_is_left_and_reported(name, where):
    status, output, errors = end(COMPUTING[name], where=where)
    assert status == 7, errors
    check_words(output)
    assert errors[0].startswith("Exception ignored in: <tasklets.tasklet 'stubborn' ")
    assert len(reports(errors)) == 1, errors
    assert " did not: it is left for good at <string>:" in reports(errors)[0]


@ends
@pytest.mark.parametrize("name", UNSTOPPABLE)
def test_code_that_cannot_be_left_is_broken_off(name, where):
    status, output, errors = end(UNSTOPPABLE[name], where=where)
    assert status == 7, errors
    check_words(output)


@ends
@pytest.mark.parametrize("name", BLOCKING)
def test_a_tasklet_that_waits_again_and_again_is_left(name, where):
    status, output, errors = end(BLOCKING[name], where=where)
    assert status == 7, errors
    check_words(output)
    assert name in SPINNING or reports(errors) == []


def test_a_handler_of_a_signal_is_broken_off():
    status, output, errors = end("""
def handler(*args):
    loop()

signal.signal(signal.SIGUSR1, handler)

def stubborn():
    wait_to_be_told()
    os.kill(os.getpid(), signal.SIGUSR1)
    while True:
        pass
""")
    assert status == 7, errors
    check_words(output)


@pytest.mark.parametrize("where", ["program", "thread"])
def test_a_tasklet_that_waits_outside_of_tasklets_is_left_after_its_time(where):
    status, output, errors = end(
        """
tasklets._core._set_end_limits(60, 2)

def stubborn():
    wait_to_be_told()
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            pass
""",
        where=where,
    )
    assert status == 7, errors
    check_words(output)
    assert len(reports(errors)) == 1, errors


def test_time_in_which_it_waits_is_not_time_in_which_it_computes():
    status, output, errors = end("""
def stubborn():
    wait_to_be_told()
    for _ in range(20):
        time.sleep(0.02)
    say("enough")
""")
    assert (status, errors) == (7, [])
    check_words(output, "enough")


def test_a_clean_up_may_compute():
    status, output, errors = end("""
tasklets._core._set_end_limits(4, 60)  # as it is unless set

def stubborn():
    wait_to_be_told()
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        pass
    say("enough")
""")
    assert (status, errors) == (7, [])
    check_words(output, "enough")


def test_a_crowd_is_reported_as_far_as_ten_go():
    status, output, errors = end("""
def stubborn():
    for _ in range(11):
        spawn(lambda: (wait_to_be_told(), loop()), name="stubborn")
    wait_to_be_told()
    loop()
""")
    assert status == 7, errors
    check_words(output)
    assert sum(line.startswith(REPORT) for line in errors) == 10
    assert errors[-1] == (
        "RuntimeError: 2 more tasklets were told to end with their thread and did not"
    )


def test_a_crowd_takes_less_time_each():
    """A hundred of them take a small part of a hundred times what the first has."""
    status, output, errors = end("""
tasklets._core._set_end_limits(0.2, 60)
before = time.process_time()
atexit._clear()
atexit.register(lambda: say("in time:", time.process_time() - before < 10))
atexit.register(tasklets._core._at_exit)

def stubborn():
    for _ in range(100):
        spawn(lambda: (wait_to_be_told(), loop()))
""")
    assert status == 7, errors
    check_words(output, "in time: True")
    assert errors[-1].startswith("RuntimeError: 90 more tasklets were told ")


def test_a_lock_that_a_left_tasklet_owns_does_not_keep_a_thread():
    status, output, errors = run_program(
        PRELUDE
        + """
lock = Lock()

def stubborn():
    with lock:
        wait_to_be_told()
        loop()

def want():
    try:
        spawn(lock.acquire).join()
    except DeadlockError:
        say("deadlock")

spawn(stubborn, name="stubborn").run()
threading.Thread(target=want).start()
sys.exit(7)
"""
    )
    assert (status, output) == (7, "deadlock\n"), errors
    assert len(reports(errors)) == 1, errors


DROPPED = """
def drop():
    spawn(stubborn, name="stubborn")
    victim = scheduler.run(slice_seconds=0.05)
    assert victim.name == "stubborn"
"""


def test_a_stopped_tasklet_that_a_thread_function_drops_does_not_keep_its_thread():
    status, output, errors = run_program(
        PRELUDE
        + COMPUTING["it_was_stopped_by_a_budget"]
        + DROPPED
        + """
thread = threading.Thread(target=drop)
thread.start()
thread.join()
say("end")
sys.exit(7)
"""
    )
    assert (status, output) == (7, "end\n"), errors
    assert len(reports(errors)) == 1, errors


def test_a_stopped_tasklet_that_the_program_drops_does_not_keep_it():
    status, output, errors = run_program(
        PRELUDE
        + COMPUTING["it_was_stopped_by_a_budget"]
        + DROPPED
        + """
drop()
say("dropped")
say(scheduler.run(slice_seconds=0.05) is not None)
say("end")
sys.exit(7)
"""
    )
    assert (status, output) == (7, "dropped\nTrue\nend\n"), errors
    assert len(reports(errors)) == 1, errors


def test_exit_functions_run_after_a_tasklet_was_left():
    status, output, errors = run_program(
        """
import atexit
atexit.register(print, "first registered")
"""
        + PRELUDE
        + COMPUTING["it_was_told"]
        + """
atexit.register(print, "last registered", flush=True)
"""
        + ENDS["program"]
    )
    assert status == 7, errors
    check_words(output, "first registered", "last registered")


def test_an_error_of_main_keeps_its_status():
    status, output, errors = end("raise LookupError('expected')")
    assert status == 1
    status, output, errors = run_program(
        PRELUDE
        + COMPUTING["it_was_told"]
        + """
leave_some()
raise LookupError("expected")
"""
    )
    assert status == 1
    assert errors[:2] == [
        "Traceback (most recent call last):", "LookupError: expected"
    ]  # fmt: skip
    assert errors[3].startswith(REPORT)
    assert sorted(output.splitlines()) == ["after finally", "before finally"]


def test_ctrl_c_keeps_its_status():
    status, output, _ = run_program(
        PRELUDE
        + COMPUTING["it_was_told"]
        + """
signal.signal(signal.SIGINT, signal.default_int_handler)
leave_some()
os.kill(os.getpid(), signal.SIGINT)
sleep(1000)
"""
    )
    assert status == -signal.SIGINT
    assert sorted(output.splitlines()) == ["after finally", "before finally"]


@pytest.mark.parametrize("flags", [["-X", "dev"], ["-W", "error"]], ids=" ".join)
def test_in_development_mode_too(flags):
    child = start(
        *flags, "-c", PRELUDE + COMPUTING["in_an_atomic_section"] + ENDS["program"],
        stdout=-1, stderr=-1,
    )  # fmt: skip
    status, output, errors = finish(child, 120)
    assert status == 7, errors
    check_words(output)
    assert errors.count(REPORT) == 1
    # A tasklet that was stopped for good is no leftover at a second end.
    assert errors.count("had not ended when the program did") == 1


@forks_beside_threads
def test_the_child_of_a_fork_ends_too():
    status, output, errors = run_program(
        PRELUDE
        + COMPUTING["it_was_told"]
        + """
pid = os.fork()
if pid == 0:
    leave_some()
    say("end")
    sys.exit(7)
status = os.waitpid(pid, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status))
"""
    )
    assert status == 7, errors
    check_words(output)
    assert len(reports(errors)) == 1, errors


def test_a_hook_hears_of_it_and_cannot_switch():
    status, output, errors = end(
        """
def hook(unraisable):
    say(type(unraisable.exc_value).__name__, unraisable.object is kept[1])
    say(kept[1].alive, kept[1].frame.f_code.co_name)
    try:
        schedule()
    except RuntimeError as error:
        say(str(error)[:22])

sys.unraisablehook = hook
"""
        + COMPUTING["it_was_told"]
    )
    assert (status, errors) == (7, [])
    words = "RuntimeError True", "True loop", "cannot switch tasklets"
    check_words(output, *words)


def test_threads_with_a_stubborn_tasklet_end_one_after_another():
    status, output, errors = run_program(
        PRELUDE
        + COMPUTING["in_a_switch_trap"]
        + """
for number in range(5):
    thread = threading.Thread(target=leave_some)
    thread.start()
    thread.join()
    say(kept[1].alive, kept[1].thread_id)
    kept[0].bind(int)
"""
    )
    assert status == 0, errors
    assert output.splitlines().count("False -1") == 5
    assert output.splitlines().count("after finally") == 5
    assert sum(line.startswith(REPORT) for line in errors) == 5


def test_a_tasklet_without_a_place_of_birth_is_named():
    status, _, errors = run_program(
        PRELUDE
        + COMPUTING["it_was_told"]
        + """
left = tasklet(stubborn)()
schedule()
"""
    )
    assert status == 0
    assert errors[1].startswith(
        "RuntimeError: tasklet 'stubborn' was told to end with its thread and did not: "
        "it is left for good at <string>:"
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
def test_a_program_that_uses_all_tools_of_monitoring_ends_as_before():
    status, output, errors = run_program(
        PRELUDE
        + """
for tool in range(6):
    sys.monitoring.use_tool_id(tool, "mine")
spawn(polite, "one")
schedule()
sys.exit(7)
"""
    )
    assert (status, output, errors) == (7, "one finally\n", [])


HANDED = """
told = threading.Event()

def left():
    with condition:
        condition.wait()

def owner():
    lock.acquire()
    mine.set()
    told.wait()
    time.sleep(0.3)  # until the waiter, told to end, waits for the lock; then other()
    lock.release()

def other():
    told.wait()
    time.sleep(0.1)
    with lock:
        say("other")

from tasklets import locks
lock = locks.{kind}()
condition = locks.Condition(lock)
mine = threading.Event()
kept = spawn(left)
schedule()
threading.Thread(target=owner).start()
threading.Thread(target=other).start()  # none starts any more once the program ends
mine.wait()
told.set()
"""


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_lock_is_given_to_no_tasklet_that_was_told_to_end(kind):
    """The program has ended; two threads still use a lock that a tasklet waits for."""
    status, output, errors = run_program(PRELUDE + HANDED.format(kind=kind))
    assert (status, output, errors) == (0, "other\n", [])


def test_a_permit_is_given_to_no_tasklet_that_was_told_to_end():
    status, output, errors = run_program(
        PRELUDE
        + """
from tasklets.locks import Semaphore
permits = Semaphore(0)

told = threading.Event()

def left():
    while True:
        try:
            permits.acquire()
        except BaseException:
            told.set()

def other():
    told.wait()
    permits.acquire()
    say("other")

def give():
    told.wait()
    time.sleep(0.2)  # until other() waits, too
    permits.release()

kept = spawn(left)
schedule()
threading.Thread(target=give).start()
threading.Thread(target=other).start()
"""
    )
    assert (status, output, errors) == (0, "other\n", [])


def test_an_item_is_given_to_a_tasklet_that_was_told_if_no_other_wants_it():
    """A consumer that drains its queue at the end hears of it in an exit function."""
    status, output, errors = run_program(
        PRELUDE
        + """
from tasklets.queues import Queue
items = Queue()

def consume():
    try:
        items.get()
    except TaskletExit:
        say("drains")
        say(items.get())

def last():
    items.put("last")
    consumer.join()

consumer = spawn(consume)
schedule()
event = threading.Event()
threading.Thread(target=event.wait, args=(0.05,)).start()
atexit.register(last)
"""
    )
    assert (status, output, errors) == (0, "drains\nlast\n", [])


@pytest.mark.parametrize("times", [(0, 1), (1, 0), (1e9, 1), (1, float("nan"))])
def test_the_times_are_checked(times):
    with pytest.raises(ValueError, match="seconds must be"):
        tasklets._core._set_end_limits(*times)
