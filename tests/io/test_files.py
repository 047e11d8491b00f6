"""Open files as objects, and changes of files."""

import builtins
import gc
import io
import os
import subprocess
import warnings

import pytest
from children import forks_beside_threads
from fifos import LATE, descriptors, let_go, settle_requests
from pools import yield_until
from threads import in_thread

from tasklets import (
    BlockTrapError,
    block_trap,
    fs,
    readable,
    run,
    schedule,
    select,
    spawn,
    timeout,
)

# ---- what open() does


@pytest.fixture
def path(tmp_path):
    """Give the path of a file with three lines."""
    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo\r\nthree\n")
    return path


def use(file):
    """Try everything on a file; return what came out."""
    found = []

    def note(func, *args):
        try:
            result = func(*args)
        except (OSError, ValueError) as error:
            result = type(error), getattr(error, "errno", None)
        found.append((getattr(func, "__name__", ""), result))

    with file:
        for name in ("readable", "writable", "seekable", "isatty", "tell"):
            note(getattr(file, name))
        word = "x" if isinstance(file, io.TextIOBase) else b"x"
        note(file.read, 2)
        note(file.readline)
        note(file.write, word * 3)
        note(file.flush)
        note(file.seek, 1)
        note(file.readlines)
        note(file.seek, 0, 2)
        note(file.write, word)
        note(file.tell)
        note(file.seek, -1)
        note(file.seek, 2)
        note(file.truncate)
        note(file.truncate, 20)
        note(file.seek, 0)
        note(file.read)
        note(file.read)
        note(file.writelines, [word, word])
    note(file.read)
    note(file.fileno)
    found.append(file.closed)
    return found


KINDS = [kind + plus for kind in "rwxa" for plus in ("", "+")]
MODES = [(kind, buffering) for kind in KINDS for buffering in (-1, 1, 4)]
MODES += [(kind + "b", buffering) for kind in KINDS for buffering in (-1, 0, 4)]


@pytest.mark.parametrize(("mode", "buffering"), MODES)
def test_a_file_object_is_that_of_open(path, mode, buffering):
    outcomes = []
    for module in (fs, builtins):
        path.write_bytes(b"one\ntwo\r\nthree\n")
        if "x" in mode:
            path.unlink()
        file = module.open(path, mode, buffering)
        if buffering:
            outcomes.append(type(file))
        outcomes.append((use(file), path.read_bytes()))
    half = len(outcomes) // 2
    assert outcomes[:half] == outcomes[half:]


def test_text_has_an_encoding_errors_and_newlines(path):
    with fs.open(path, "w", encoding="utf-16", newline="\r\n") as file:
        assert (file.encoding, file.errors, file.mode) == ("utf-16", "strict", "w")
        file.write("a\nä\n")
    assert path.read_bytes().decode("utf-16") == "a\r\nä\r\n"
    with fs.open(path, encoding="ascii", errors="replace") as file:
        assert "\ufffd" in file.read()
    with fs.open(path, "r", -1, "utf-16") as file:
        assert list(file) == ["a\n", "ä\n"]


def test_big_files(path):
    data = os.urandom(1_000_000)
    with fs.open(path, "wb") as file:
        assert file.write(data) == len(data)
    with fs.open(path, "rb") as file:
        assert file.read(10) == data[:10]
        assert file.read() == data[10:]
    with fs.open(path, "rb", 0) as file:
        assert file.readall() == data
        assert file.read(1) == b""
    with fs.open("/proc/self/status", "rb") as file:  # it says that it is empty
        assert b"\nPid:" in file.read()


def test_refusals_are_those_of_open(path, tmp_path):
    for args, options in (
        ((path, "rw"), {}), ((path, ""), {}), ((path, "b"), {}), ((path, "rr"), {}),
        ((path, "q"), {}), ((path, "rbt"), {}), ((path, "r", 0), {}),
        ((path, "rb", -1, "utf-8"), {}), ((path, "rb"), {"newline": ""}),
        ((path, "rb"), {"errors": "strict"}), ((path, "q", -2), {}),
        ((path, "r"), {"newline": "x"}), ((path, "r"), {"encoding": "no such"}),
        ((path, 1.5), {}), ((path, None), {}), ((3.5,), {}),
        ((tmp_path,), {}), ((tmp_path / "absent",), {}), ((path, "x"), {}),
        ((path / "below",), {}), (("a\0b",), {}),
    ):  # fmt: skip
        files = descriptors()
        errors = []
        for module in (fs, builtins):
            with pytest.raises(Exception) as caught:  # noqa: PT011
                module.open(*args, **options)
            error = caught.value
            errors.append((type(error), getattr(error, "errno", None)))
            assert getattr(error, "filename", None) in (None, *map(str, args[:1]))
        assert errors[0] == errors[1], args
        assert descriptors() == files


def test_an_int_is_flags_and_gives_a_descriptor(path):
    fd = fs.open(path, os.O_RDWR | os.O_CREAT)
    assert fs.read(fd, 3) == b"one"
    assert fs.ftruncate(fd, 2) is None
    assert fs.fstat(fd).st_size == 2
    with pytest.raises(OSError, match="Invalid argument"):
        fs.ftruncate(fd, -1)
    fs.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        fs.ftruncate(fd, 0)
    with pytest.raises(TypeError):
        fs.ftruncate(0, "1")


def test_a_child_goes_on_where_the_file_is(path):
    with fs.open(path, "wb", 0) as file:
        file.write(b"first ")
        subprocess.run(["echo", "second"], stdout=file, check=True)
        file.seek(0, os.SEEK_END)
        file.write(b"third")
    assert path.read_bytes() == b"first second\nthird"


# ---- while it waits


def test_other_tasklets_run_during_a_read(fifo):
    reader = spawn(lambda: [*fs.open(fifo)])
    run()
    writer = os.open(fifo, os.O_WRONLY)
    os.write(writer, b"a\nb\n")
    for _ in range(10):
        schedule()
    assert reader.alive
    os.write(writer, b"c\n")
    os.close(writer)
    assert reader.result(timeout=LATE) == ["a\n", "b\n", "c\n"]
    gc.collect()


def test_a_second_tasklet_cannot_use_a_busy_buffer(fifo):
    both = os.open(fifo, os.O_RDWR)
    with fs.open(fifo, "rb") as file:
        reader = spawn(file.read1)
        run()
        with pytest.raises(RuntimeError, match="reentrant"):
            file.read(1)
        os.write(both, b"data")
        assert reader.result(timeout=LATE) == b"data"
    os.close(both)


def test_a_transfer_that_is_ended_can_be_repeated(path):
    """Neither a part is skipped nor one written twice."""
    data = os.urandom(300_000)
    with fs.open(path, "w+b") as file:
        done = 0
        while done < len(data):
            part = data[done : done + 1000]
            assert file.write(part) == len(part)
            done += len(part)
            victim = spawn(file.flush)
            schedule()
            victim.kill()
            victim.join()
        file.flush()
        assert path.read_bytes() == data
        file.seek(0)
        found = b""
        while len(found) < len(data):
            victim = spawn(file.peek)
            schedule()
            victim.kill()
            victim.join()
            found += file.read(70_000)
        assert found == data


def test_the_memory_of_a_write_that_was_ended_may_be_used_again(fifo):
    both = os.open(fifo, os.O_RDWR)
    left = 1 << 20  # more than a pipe takes
    data = bytearray(b"x" * left)
    with fs.open(fifo, "wb", 0) as file:
        victim = spawn(file.write, data)
        run()
        part = os.read(both, 1)
        victim.kill()
        data[:] = b"y" * len(data)
        data.append(1)
        while part:
            assert set(part) == {ord("x")}
            left -= len(part)
            part = os.read(both, 65536) if left else b""
    settle_requests()
    os.close(both)


def test_opening_times_out(fifo):
    files = descriptors()
    with pytest.raises(TimeoutError):
        fs.open(fifo, "rb", timeout=0.01)
    let_go(fifo)
    assert descriptors() == files


def test_a_file_is_closed_where_a_tasklet_must_not_wait(path):
    files = descriptors()
    file = fs.open(path, "rb", 0)
    with block_trap():
        with pytest.raises(BlockTrapError):
            file.read(1)
        file.close()
    assert file.closed
    assert descriptors() == files


def test_a_forgotten_file_is_flushed_closed_and_reported(path):
    files = descriptors()
    for mode, buffering in (("w", -1), ("wb", -1), ("wb", 0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            file = fs.open(path, mode, buffering)
            file.write("text" if mode == "w" else b"text")
            with block_trap():  # a finalizer does not wait
                del file
                gc.collect()
        assert [each.category for each in caught] == [ResourceWarning]
        assert path.read_bytes() == b"text"
        assert descriptors() == files


def test_files_do_not_leak(no_leak, path):
    def all_kinds():
        with fs.open(path, "r+") as file:
            file.readline()
            file.seek(0)
            file.write("x")
            file.truncate(20)
        with fs.open(path, "rb", 0) as file:
            file.read()

    no_leak(all_kinds, calls=300, warm_up=150)


# ---- scandir()


def test_scandir_gives_an_iterator_and_a_block(tmp_path):
    for name in "abc":
        (tmp_path / name).touch()
    with fs.scandir(tmp_path) as entries:
        first = next(entries)
        assert first.inode() == os.stat(first).st_ino
        assert first.stat() is first.stat()
        assert not first.is_junction()
        assert len(list(entries)) == 2
        assert next(entries, None) is None
    with fs.scandir(tmp_path) as entries:
        next(entries)
    assert list(entries) == []


# ---- watch()


def test_changes_of_a_directory_are_reported(tmp_path):
    with fs.watch(tmp_path) as changes:
        waiter = spawn(changes.wait)
        run()
        assert waiter.blocked
        (tmp_path / "a").write_text("text")
        (tmp_path / "a").rename(tmp_path / "b")
        os.chmod(tmp_path / "b", 0o600)
        (tmp_path / "b").unlink()
        (tmp_path / "sub").mkdir()
        expected = [
            ("a", "created"), ("a", "modified"), ("a", "written"), ("a", "moved_from"),
            ("b", "moved_to"), ("b", "attributes"), ("b", "deleted"),
            ("sub", "created"),
        ]  # fmt: skip
        first = waiter.result(timeout=LATE)
        found = [first] + [changes.wait(timeout=LATE) for _ in expected[1:]]
        assert found == [(str(tmp_path / name), kind) for name, kind in expected]
        with pytest.raises(TimeoutError):
            changes.wait(timeout=0)


def test_a_watched_file_and_the_end_of_what_is_watched(path):
    with fs.watch(os.fsencode(path)) as changes:
        with builtins.open(path, "a") as file:
            file.write("x")
        path.unlink()
        kinds = [change.kind for change in changes]
        assert kinds == ["modified", "written", "attributes", "deleted"]
        with pytest.raises(ValueError, match="nothing is left"):
            changes.wait()


def test_several_paths_are_watched_and_select_waits_for_them(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    with fs.watch(one, two, one) as changes:
        assert "watching=2" in repr(changes)
        assert select(readable(changes), default=0) == (None, 0)
        (two / "new").mkdir()
        select(readable(changes), timeout=LATE)
        assert changes.wait(timeout=0) == (str(two / "new"), "created")


def test_a_loop_over_changes_ends_with_the_block(tmp_path):
    files = descriptors()
    with fs.watch(tmp_path) as changes:
        loop = spawn(list, changes)
        run()
        with pytest.raises(RuntimeError, match="another tasklet waits"):
            changes.wait()
    assert loop.result(timeout=LATE) == []
    with pytest.raises(ValueError, match="not in its block"):
        changes.wait()
    assert descriptors() == files


def test_a_waiter_for_changes_may_end_early(tmp_path):
    with fs.watch(tmp_path) as changes:
        victim = spawn(changes.wait)
        run()
        victim.kill()
        with pytest.raises(TimeoutError), timeout(0.01):
            changes.wait()
        (tmp_path / "a").mkdir()
        assert changes.wait().kind == "created"


def test_another_thread_may_wait_for_changes(tmp_path):
    with fs.watch(tmp_path) as changes:
        (tmp_path / "a").mkdir()
        assert in_thread(changes.wait).kind == "created"


def test_lost_changes_are_reported(tmp_path):
    with builtins.open("/proc/sys/fs/inotify/max_queued_events") as file:
        limit = int(file.read())
    with fs.watch(tmp_path) as changes:
        one, two = tmp_path / "one", tmp_path / "two"
        one.touch()
        for _ in range(limit // 2 + 2):
            one.rename(two)
            one, two = two, one
        assert changes.wait().kind == "created"
        yield_until(lambda: changes.wait().kind == "overflow")
        one.rename(two)
        assert changes.wait().kind == "moved_from"


def test_what_cannot_be_watched_is_refused(tmp_path):
    files = descriptors()
    with pytest.raises(FileNotFoundError) as caught:
        fs.watch(tmp_path, tmp_path / "absent").__enter__()
    assert caught.value.filename == str(tmp_path / "absent")
    for args in ((), (3,), (None,)):
        with pytest.raises(TypeError):
            fs.watch(*args)
    with fs.watch(tmp_path) as changes, pytest.raises(RuntimeError, match="in use"):
        changes.__enter__()
    assert descriptors() == files


@forks_beside_threads
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_take_changes_of_its_parent(tmp_path):
    with fs.watch(tmp_path) as changes:
        child = os.fork()
        if child == 0:
            os._exit(0 if list(changes) == [] else 1)
        (tmp_path / "a").mkdir()
        assert os.waitpid(child, 0)[1] == 0
        assert changes.wait(timeout=LATE).kind == "created"
