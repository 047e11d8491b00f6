"""Child processes: what subprocess does, while other tasklets run."""

import gc
import io
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress

import pytest
from fifos import descriptors
from pools import yield_until
from program_ends import check
from threads import SECONDS, block_until, running

from tasklets import (
    BlockTrapError,
    TaskGroup,
    block_trap,
    process,
    run,
    schedule,
    scheduler,
    sleep,
    spawn,
    timeout,
)

PYTHON = sys.executable


def children():
    """Return the pids of this process's children, zombies included."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError):  # the thread has ended
            with open(f"/proc/self/task/{task}/children") as file:
                found += map(int, file.read().split())
    return found


@pytest.fixture(autouse=True)
def nothing_stays():
    """Check that neither a child nor a descriptor stays."""
    files, before = descriptors(), children()
    yield
    gc.collect()
    run()
    assert descriptors() == files
    assert children() == before


@pytest.fixture(params=["pidfd", "worker"])
def pidfd(request, monkeypatch):
    """Have pidfd_open(), or a kernel without it."""
    if request.param == "worker":

        def refuse(pid, flags=0):
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(os, "pidfd_open", refuse)


SILENT = [PYTHON, "-S", "-c", "pass"]
SLEEPING = ["sleep", "1000"]


def alive(pid):
    """Return whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# ---- run()


def outcome(call, *args, **options):
    """Return all about the result or error of a call."""
    try:
        done = call(*args, **options)
    except subprocess.CalledProcessError as error:
        return "error", error.cmd, error.returncode, error.stdout, error.stderr
    except subprocess.TimeoutExpired as error:
        # Not its timeout: on 3.11 subprocess shows the time that was left.
        return "late", error.cmd, error.stdout, error.stderr
    except (OSError, TypeError, ValueError) as error:
        return type(error), getattr(error, "errno", None)
    return "done", type(done), done.args, done.returncode, done.stdout, done.stderr


ECHO = [
    PYTHON, "-S", "-c",
    "import sys; d = sys.stdin.read(); print(d.upper()); print('e', file=sys.stderr)\n"
    "sys.exit(len(d))",
]  # fmt: skip

SAME = {
    "a silent child": (SILENT, {}),
    "nothing captured": (ECHO, {"input": b"", "stdout": -3, "stderr": -3}),
    "captured": (ECHO, {"input": b"abc", "capture_output": True}),
    "checked": (ECHO, {"input": b"abc", "capture_output": True, "check": True}),
    "text": (ECHO, {"input": "abc\u00e9", "capture_output": True, "text": True}),
    "an encoding": (ECHO, {"input": "ab", "capture_output": True, "encoding": "ascii"}),
    "only output": (["echo", "a"], {"stdout": -1}),
    "only errors": (["sh", "-c", "echo a >&2"], {"stderr": -1}),
    "errors to output": (ECHO, {"input": b"x", "stdout": -1, "stderr": -2}),
    "only input": (["sh", "-c", "read a; exit $a"], {"input": b"7\n"}),
    "a shell": ("echo $0; exit 3", {"shell": True, "capture_output": True}),
    "a signal": (["sh", "-c", "kill -9 $$"], {}),
    "a folder": (["pwd"], {"cwd": "/", "stdout": -1}),
    "an environment": (["env"], {"env": {"A": "b"}, "stdout": -1, "text": True}),
    "newlines": (
        ["printf", r"a\r\nb\rc\n"], {"stdout": -1, "stderr": -1, "text": True}
    ),
    "unread input": (["true"], {"input": b"x" * 1_000_000}),
    "unread input and output": (
        ["true"], {"input": b"x" * 1_000_000, "capture_output": True}
    ),
    "a timeout": (SILENT, {"timeout": 60}),
    "too late": (["sleep", "1000"], {"timeout": 0.05}),
    "late output": (
        ["sh", "-c", "echo a; echo b >&2; exec sleep 1000"],
        {"timeout": 0.3, "capture_output": True},
    ),
    "no such program": (["/nothing/there"], {}),
    "input twice": (["true"], {"input": b"", "stdin": -1}),
    "output twice": (["true"], {"stdout": -1, "capture_output": True}),
    "text for bytes": (["cat"], {"input": "text", "capture_output": True}),
}  # fmt: skip


@pytest.mark.parametrize(("args", "options"), SAME.values(), ids=SAME)
def test_run_does_what_subprocess_does(args, options, pidfd):
    ours = spawn(outcome, process.run, args, **options).result(timeout=SECONDS)
    assert ours == outcome(subprocess.run, args, **options)


def test_a_million_bytes_go_through_a_child():
    data = os.urandom(3_000_000)
    assert process.run(["cat"], input=data, capture_output=True).stdout == data
    view = memoryview(bytearray(data)).cast("I")
    assert process.run(["cat"], input=view, stdout=process.PIPE, timeout=60).stdout == (
        data
    )


def test_an_expired_timeout_is_a_timeout_error():
    with pytest.raises(TimeoutError) as caught:
        process.run(SLEEPING, timeout=0.01)
    error = caught.value
    assert isinstance(error, subprocess.TimeoutExpired)
    assert str(error) == "Command '['sleep', '1000']' timed out after 0.01 seconds"
    copy = pickle.loads(pickle.dumps(process.TimeoutExpired(["a"], 3, b"x", b"y")))
    assert (copy.cmd, copy.timeout, copy.output, copy.stderr) == (["a"], 3, b"x", b"y")


@pytest.mark.timing
def test_forty_children_run_at_a_time(pidfd):
    began = time.monotonic()
    with TaskGroup() as group:
        for _ in range(40):
            group.spawn(process.run, ["sleep", "0.2"], check=True)
    assert time.monotonic() - began < 4  # one after the other would take 8 s


def test_other_tasklets_run_during_the_wait():
    turns = []

    def count():
        while not waiter.done():
            turns.append(1)
            sleep(0.001)

    waiter = spawn(process.run, ["sleep", "0.2"])
    spawn(count).join()
    assert waiter.result().returncode == 0
    assert len(turns) > 5


def test_a_child_that_never_stops_writing_lets_other_tasklets_run():
    waiter = spawn(process.run, ["cat", "/dev/zero"], stdout=-1, stderr=-1)
    sleep(0.1)
    for _ in range(100):
        schedule()
    waiter.kill()
    yield_until(waiter.done)


def test_run_waits_for_it_too():
    waiter = spawn(process.run, ["sleep", "0.05"])
    scheduler.run(wait=True)
    assert waiter.done()


def test_what_must_not_wait_kills_the_child():
    with pytest.raises(BlockTrapError), block_trap():
        process.run(SLEEPING)


# ---- how a run() ends early


def kill(waiter):
    waiter.kill()


def throw(waiter):
    waiter.throw(KeyError("thrown"))


@pytest.mark.parametrize("end", [kill, throw])
@pytest.mark.parametrize("options", [{}, {"stdout": -1}, {"capture_output": True}])
def test_a_run_that_is_ended_kills_the_child(end, options, pidfd):
    waiter = spawn(process.run, SLEEPING, **options)
    yield_until(lambda: waiter.blocked)
    (child,) = children()
    observer = spawn(waiter.exception) if end is throw else None
    run()
    end(waiter)
    yield_until(waiter.done)
    assert observer is None or isinstance(observer.result(), KeyError)
    assert not alive(child)


def test_a_second_kill_does_not_leave_a_zombie(pidfd):
    waiter = spawn(process.run, SLEEPING)
    yield_until(lambda: waiter.blocked)
    waiter.kill()
    waiter.kill()
    yield_until(waiter.done)
    assert waiter.cancelled()


def test_a_thread_that_ends_leaves_no_child():
    """Its tasklets are left in their second wait, so they cannot take the status."""
    check(
        """
        from tasklets import process
        def children():
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return False
            return True
        def work():
            for options in {}, {"capture_output": True}:
                spawn(process.run, ["sleep", "1000"], **options)
            schedule()
            say(children())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        end = time.monotonic() + 60
        while children() and time.monotonic() < end:
            time.sleep(0.001)
        say(children())
        """,
        0,
        "True\nFalse\n",
    )


def test_a_program_that_ends_kills_the_child():
    check(
        """
        from tasklets import process
        spawn(process.run, ["sh", "-c", "sleep 1; echo not killed"])
        schedule()
        say("end")
        """,
        0,
        "end\n",
    )


def test_a_timeout_block_and_a_group_end_a_run():
    with pytest.raises(TimeoutError), timeout(0.05):
        process.run(SLEEPING)
    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        group.spawn(process.run, SLEEPING)
        group.spawn(process.run, SLEEPING, capture_output=True)
        sleep(0.05)
        raise ValueError("enough")


@pytest.mark.parametrize("own", [{"start_new_session": True}, {"process_group": 0}])
def test_the_group_of_a_child_is_killed_with_it(own, tmp_path):
    note = tmp_path / "pid"
    program = f"sleep 1000 & echo $! > {note}.new; mv {note}.new {note}; sleep 1000"
    waiter = spawn(process.run, ["sh", "-c", program], stdout=-1, **own)
    yield_until(note.exists)
    grandchild = int(note.read_text())
    assert alive(grandchild)
    waiter.kill()
    yield_until(waiter.done)
    yield_until(lambda: not alive(grandchild))


# ---- Popen


def test_a_child_is_a_popen():
    with process.Popen(["cat"], stdin=-1, stdout=-1) as child:
        assert isinstance(child, subprocess.Popen)
        assert child.poll() is None
        assert repr(child) == "<Popen: returncode: None args: ['cat']>"
        child.stdin.write(b"abc")
        child.stdin.close()
        assert child.stdout.read() == b"abc"
    assert child.returncode == 0


def test_lines_go_to_and_fro():
    options = {"stdin": -1, "stdout": -1, "text": True, "bufsize": 1}
    with process.Popen(["cat"], **options) as child:
        for number in range(10):
            child.stdin.write(f"{number}\n")
            assert child.stdout.readline() == f"{number}\n"
        child.stdin.write("end\nof file")
        child.stdin.close()
        assert list(child.stdout) == ["end\n", "of file"]


@pytest.mark.parametrize(
    ("bufsize", "text"),
    [(-1, False), (-1, True), (0, False), (0, True), (1, True), (9, False), (9, True)],
)
def test_files_have_the_types_and_modes_of_subprocess(bufsize, text):
    options = {"stdin": -1, "stdout": -1, "bufsize": bufsize, "text": text}
    with process.Popen(["cat"], **options) as ours:
        with subprocess.Popen(["cat"], **options) as theirs:
            for name in ("stdin", "stdout"):
                our, their = getattr(ours, name), getattr(theirs, name)
                if bufsize or text:
                    assert type(our) is type(their)
                else:
                    assert isinstance(our, io.RawIOBase)
                assert our.name == our.fileno()
                for method in ("readable", "writable", "seekable", "isatty"):
                    assert getattr(our, method)() == getattr(their, method)()
                for each in ("encoding", "errors", "line_buffering", "write_through"):
                    assert getattr(our, each, "") == getattr(their, each, "")
            word = "a" if text else b"a"
            ours.stdin.write(word)
            ours.stdin.close()
            assert ours.stdout.read(1) == word


def test_other_tasklets_run_while_one_reads_or_writes():
    big = 300_000  # more than a pipe takes
    with process.Popen(["cat"], stdin=-1, stdout=-1) as child:
        reader = spawn(child.stdout.read, big)
        writer = spawn(lambda: (child.stdin.write(b"x" * big), child.stdin.flush()))
        assert reader.result(timeout=SECONDS) == b"x" * big
        writer.join()
        child.stdin.close()


def test_two_tasklets_cannot_read_one_file_at_a_time():
    with process.Popen(["cat"], stdin=-1, stdout=-1) as child:
        first = spawn(child.stdout.read)
        run()
        with pytest.raises(RuntimeError, match="reentrant"):
            child.stdout.read()
        child.stdin.close()
        assert first.result() == b""


def test_a_reader_may_be_killed_or_time_out_and_another_goes_on():
    with process.Popen(["cat"], stdin=-1, stdout=-1) as child:
        reader = spawn(child.stdout.readline)
        run()
        reader.kill()
        with pytest.raises(TimeoutError), timeout(0.01):
            child.stdout.read1()
        child.stdin.write(b"line\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"line\n"


def test_a_closed_file_ends_the_wait_of_its_reader():
    with process.Popen(["cat"], stdin=-1, stdout=-1, bufsize=0) as child:
        reader = spawn(child.stdout.read, 10)
        run()
        child.stdout.close()
        with pytest.raises(OSError, match="closed"):
            reader.result(timeout=SECONDS)
        with pytest.raises(ValueError, match="closed"):
            child.stdout.read(10)


def test_a_pipeline_of_children():
    """The second child gets a descriptor that blocks, even after a read here."""
    with process.Popen(["cat"], stdin=-1, stdout=-1, bufsize=0) as first:
        first.stdin.write(b"1")
        assert first.stdout.read(1) == b"1"
        reading = "import os; print(os.read(0, 10))"
        second = process.Popen([PYTHON, "-c", reading], stdin=first.stdout, stdout=-1)
        with second:
            assert os.get_blocking(first.stdout.fileno())
            sleep(0.1)  # normally it reads by then
            first.stdin.write(b"2")
            assert second.stdout.read() == b"b'2'\n"
            first.stdin.close()


def test_a_wait_returns_the_exit_status(pidfd):
    for status in (0, 7):
        child = process.Popen(["sh", "-c", f"exit {status}"])
        assert child.wait() == child.wait() == child.poll() == status
    child = process.Popen(SLEEPING)
    child.terminate()
    assert child.wait(timeout=SECONDS) == -signal.SIGTERM


def test_several_tasklets_and_threads_wait_for_one_child(pidfd):
    child = process.Popen(["sh", "-c", "sleep 0.2; exit 3"])
    waiters = [spawn(child.wait) for _ in range(3)]
    found = []
    with running(
        lambda: found.append(child.wait()), lambda: found.append(child.wait())
    ):
        assert [each.result(timeout=SECONDS) for each in waiters] == [3, 3, 3]
        yield_until(lambda: len(found) == 2)
    assert found == [3, 3]


@pytest.mark.parametrize("seconds", [0.05, 0, -1])
def test_a_wait_times_out_and_the_child_goes_on(seconds, pidfd):
    child = process.Popen(SLEEPING)
    with pytest.raises(process.TimeoutExpired) as caught:
        child.wait(timeout=seconds)
    assert caught.value.timeout == seconds
    assert child.poll() is None
    child.kill()
    assert child.wait() == -signal.SIGKILL


def test_a_waiter_is_killed_and_the_child_goes_on(pidfd):
    child = process.Popen(SLEEPING)
    waiter = spawn(child.wait)
    yield_until(lambda: waiter.blocked)
    waiter.kill()
    with pytest.raises(TimeoutError) as caught, timeout(0.01):
        child.wait(timeout=1000)
    assert not isinstance(caught.value, subprocess.TimeoutExpired)
    assert child.poll() is None
    child.kill()
    assert child.wait() == -signal.SIGKILL


def test_communicate_can_be_repeated_after_a_timeout():
    data = b"x" * 200_000 + b"\n"
    program = "echo first; sleep 0.3; cat"
    child = process.Popen(["sh", "-c", program], stdin=-1, stdout=-1, stderr=-1)
    with pytest.raises(process.TimeoutExpired) as caught:
        child.communicate(data, timeout=0.1)
    assert caught.value.output in (b"", b"first\n")
    assert caught.value.timeout == 0.1
    with pytest.raises(ValueError, match="after starting"):
        child.communicate(data)
    assert child.communicate() == (b"first\n" + data, b"")


def test_a_thrown_timeout_error_is_not_taken_for_the_end_of_the_wait():
    child = process.Popen(SLEEPING)
    for call in (child.wait, child.communicate):
        waiter = spawn(call, timeout=1000)
        outcome = spawn(waiter.exception)
        yield_until(lambda waiter=waiter: waiter.blocked)
        waiter.throw(TimeoutError("thrown"))
        assert str(outcome.result(timeout=SECONDS)) == "thrown"
    child.kill()
    child.wait()


def test_communicate_goes_on_after_its_tasklet_was_killed():
    data = b"x" * 300_000
    child = process.Popen(["sh", "-c", "sleep 0.2; cat"], stdin=-1, stdout=-1)
    victim = spawn(child.communicate, data)
    yield_until(lambda: victim.blocked)
    victim.kill()
    assert child.communicate() == (data, None)


def test_a_group_is_signalled():
    child = process.Popen(
        ["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=-1, start_new_session=True
    )
    grandchild = int(child.stdout.readline())
    child.kill_group(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM
    yield_until(lambda: not alive(grandchild))
    child.kill_group()  # there is none left
    child.stdout.close()


def test_the_own_group_is_not_killed():
    child = process.Popen(SLEEPING)
    with pytest.raises(RuntimeError, match="no process group of its own"):
        child.kill_group()
    child.kill()
    child.wait()


# ---- beside other users of children


def test_children_of_subprocess_and_multiprocessing_are_left_alone(pidfd):
    other = subprocess.Popen(["sh", "-c", "exit 5"])
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=os._exit, args=(6,))
    worker.start()
    codes = [spawn(process.run, ["sh", "-c", f"exit {n}"]) for n in range(5)]
    assert [each.result().returncode for each in codes] == list(range(5))
    scheduler.wait_readable(worker.sentinel)
    worker.join()
    assert (other.wait(), worker.exitcode) == (5, 6)
    worker.close()
    multiprocessing.resource_tracker._resource_tracker._stop()


def test_a_status_that_another_wait_has_taken_is_0_as_in_subprocess(pidfd):
    child = process.Popen(SILENT)
    os.waitpid(child.pid, 0)
    assert child.wait() == 0


def test_children_may_be_reaped_by_the_kernel(pidfd):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert process.run(["sh", "-c", "sleep 0.05; exit 3"]).returncode == 0
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_threads_without_tasklets_may_wait(pidfd):
    found = []

    def work():
        found.append(process.run(["sh", "-c", "exit 4"]).returncode)

    with running(work, work):
        block_until(lambda: len(found) == 2)
    assert found == [4, 4]


@pytest.mark.parametrize("bufsize", [-1, 0])
def test_a_forgotten_file_is_flushed_and_reported(bufsize):
    child = process.Popen(["cat"], stdin=-1, stdout=-1, stderr=-1, bufsize=bufsize)
    child.stdin.write(b"flushed")
    with warnings.catch_warnings(record=True) as caught, block_trap():
        warnings.simplefilter("always")
        child.stdin = child.stderr = None  # a finalizer does not wait
        gc.collect()
    texts = [str(each.message) for each in caught]
    assert len(texts) == 2
    assert all("unclosed file" in each for each in texts)
    assert child.stdout.read() == b"flushed"
    child.stdout.close()
    child.wait()


def test_calls_do_not_leak(no_leak):
    def all_kinds():
        process.run(["true"], input=b"x", capture_output=True)
        waiter = spawn(process.run, SLEEPING)
        schedule()
        waiter.kill()
        waiter.join()

    no_leak(all_kinds, calls=30, warm_up=10)


def test_a_name_of_the_module_is_that_of_subprocess():
    for name in process.__all__:
        if name not in ("Popen", "TimeoutExpired", "run"):
            assert getattr(process, name) is getattr(subprocess, name)
    assert issubclass(process.TimeoutExpired, subprocess.TimeoutExpired)
