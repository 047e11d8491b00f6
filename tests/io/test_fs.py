"""Files: what os does, while other tasklets run."""

import os
import pathlib
import socket
import stat
import sys

import pytest
from fifos import LATE, descriptors, let_go, settle_requests

from tasklets import (
    BlockTrapError,
    SwitchTrapError,
    fs,
    getcurrent,
    run,
    schedule,
    scheduler,
    spawn,
    switch_trap,
    timeout,
)
from tasklets._core import live_counts

STAT_FIELDS = [name for name in dir(os.stat_result) if name.startswith("st_")]


def outcome(func, *args):
    """Return what a call returns, or all about the OSError that it raises."""
    try:
        return func(*args)
    except OSError as error:
        return type(error), error.errno, error.strerror, error.filename, error.filename2


# ---- the same as os


@pytest.mark.parametrize("form", [str, os.fsencode, pathlib.Path])
def test_stat_is_that_of_os(tmp_path, form):
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "lost").symlink_to("nothing")
    os.utime(tmp_path / "file", ns=(1_234_567_890_123_456_789, -1_500_000_001))
    for name in ("file", "link", "lost", ".", "absent", "file/below"):
        path = form(os.path.join(tmp_path, name))
        for ours, theirs in ((fs.stat, os.stat), (fs.lstat, os.lstat)):
            found, expected = outcome(ours, path), outcome(theirs, path)
            assert found == expected
            assert type(found) is type(expected)
            if isinstance(found, os.stat_result):
                for field in STAT_FIELDS:
                    assert getattr(found, field) == getattr(expected, field), field


def test_fstat_is_that_of_os(tmp_path):
    (tmp_path / "file").write_text("text")
    with open(tmp_path / "file") as file:
        assert fs.fstat(file.fileno()) == os.fstat(file.fileno())
    assert outcome(fs.fstat, 1_000_000) == outcome(os.fstat, 1_000_000)
    assert outcome(fs.fstat, -1) == outcome(os.fstat, -1)


def test_a_file_is_written_and_read(tmp_path):
    path = tmp_path / "file"
    fd = fs.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    assert not os.get_inheritable(fd)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640 & ~current_umask()
    assert fs.write(fd, b"hello world") == 11
    assert fs.write(fd, bytearray(b"W"), 6) == 1
    assert fs.write(fd, memoryview(b"--!")[2:]) == 1
    assert fs.fsync(fd) is None
    assert fs.read(fd, 100) == b""
    assert fs.read(fd, 100, 0) == b"hello World!"
    assert fs.read(fd, 5, offset=6) == b"World"
    assert fs.read(fd, 0, 0) == b""
    assert os.lseek(fd, 0, os.SEEK_CUR) == 12
    os.lseek(fd, 0, os.SEEK_SET)
    assert fs.read(fd, 5) == b"hello"
    assert os.lseek(fd, 0, os.SEEK_CUR) == 5
    assert fs.close(fd) is None
    assert outcome(fs.close, fd) == outcome(os.close, fd)


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_folders_are_made_listed_and_removed(tmp_path):
    folder = tmp_path / "folder"
    assert fs.mkdir(folder, 0o700) is None
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700 & ~current_umask()
    for name in ("b", "a", "ä", "\udcff"):
        (folder / name).touch()
    assert sorted(fs.listdir(folder)) == sorted(os.listdir(folder))
    as_bytes = os.fsencode(folder)
    assert sorted(fs.listdir(as_bytes)) == sorted(os.listdir(as_bytes))
    assert sorted(fs.listdir()) == sorted(fs.listdir(None)) == sorted(os.listdir())
    assert outcome(fs.rmdir, folder) == outcome(os.rmdir, folder)
    for name in fs.listdir(folder):
        assert fs.unlink(folder / name) is None
    assert fs.listdir(folder) == []
    assert fs.rmdir(folder) is None
    assert not folder.exists()


def test_scandir_tells_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "to_folder").symlink_to("folder")
    (tmp_path / "to_nothing").symlink_to("nothing")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    for path in (str(tmp_path), os.fsencode(tmp_path), tmp_path, ".", None):
        ours = sorted(fs.scandir(path), key=lambda entry: entry.name)
        with os.scandir(path) as entries:
            theirs = sorted(entries, key=lambda entry: entry.name)
        assert [repr(each) for each in ours] == [repr(each) for each in theirs]
        for our, their in zip(ours, theirs, strict=True):
            assert (our.name, our.path) == (their.name, their.path)
            assert os.fspath(our) == os.fspath(their)
            assert our.is_symlink() == their.is_symlink()
            for follow in (True, False):
                options = {"follow_symlinks": follow}
                assert our.is_dir(**options) == their.is_dir(**options)
                assert our.is_file(**options) == their.is_file(**options)
            assert our.stat(follow_symlinks=False) == os.lstat(their.path)
    with pytest.raises(FileNotFoundError):
        fs.scandir(tmp_path / "nothing")


def test_rename_is_that_of_os(tmp_path):
    (tmp_path / "one").write_text("one")
    assert fs.rename(tmp_path / "one", os.fsencode(tmp_path / "two")) is None
    assert (tmp_path / "two").read_text() == "one"
    bad = str(tmp_path / "one"), os.fsencode(tmp_path / "three")
    assert outcome(fs.rename, *bad) == outcome(os.rename, *bad)


def test_errors_are_those_of_os(tmp_path):
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "below"
    for path in (tmp_path / "absent", below, str(below), os.fsencode(below), ""):
        for name in ("stat", "lstat", "unlink", "rmdir", "listdir"):
            found = outcome(getattr(fs, name), path)
            assert found == outcome(getattr(os, name), path), (name, path)
            assert issubclass(found[0], OSError)
        assert outcome(fs.open, path, 0) == outcome(os.open, path, 0)
    for path in (tmp_path, below):
        assert outcome(fs.mkdir, path) == outcome(os.mkdir, path)
    for name, what in (("read", 9), ("write", b"x")):
        bad = 1_000_000, what
        assert outcome(getattr(fs, name), *bad) == outcome(getattr(os, name), *bad)
    assert outcome(fs.read, 0, -1) == outcome(os.read, 0, -1)
    assert outcome(fs.fsync, 1_000_000) == outcome(os.fsync, 1_000_000)


def test_a_refusal_says_what_is_wrong_with_arguments(tmp_path):
    for func, args, error in (
        (fs.stat, (), TypeError), (fs.stat, (1.5,), TypeError),
        (fs.stat, ("a\0b",), ValueError), (fs.stat, (None,), TypeError),
        (fs.stat, (tmp_path, 1), TypeError), (fs.open, (), TypeError),
        (fs.open, (tmp_path, 1.5), TypeError), (fs.close, ("1",), TypeError),
        (fs.close, (2**40,), OverflowError), (fs.read, (0, "1"), TypeError),
        (fs.read, (0, 2**70), OverflowError), (fs.read, (0, 1, -2), ValueError),
        (fs.write, (1, "text"), TypeError),
        (fs.write, (1, memoryview(b"abcd")[::2]), BufferError),
        (fs.rename, (tmp_path,), TypeError), (fs.rename, (tmp_path, 3), TypeError),
        (fs.scandir, (3,), TypeError), (fs.read_bytes, (3,), TypeError),
        (fs.write_bytes, (tmp_path / "x", "text"), TypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            func(*args)
    with pytest.raises(ValueError, match="NaN"):
        fs.stat(tmp_path, timeout=float("nan"))
    assert not (tmp_path / "x").exists()


def test_whole_files(tmp_path):
    path = tmp_path / "file"
    for data in (b"", b"x", os.urandom(300_000)):
        assert fs.write_bytes(path, data) == len(data)
        assert path.read_bytes() == data
        assert fs.read_bytes(str(path)) == data
    assert fs.write_bytes(path, bytearray(b"short")) == 5
    assert fs.read_bytes(path) == b"short"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666 & ~current_umask()
    # It has no size to be asked for.
    sizeless = pathlib.Path("/proc/self/cmdline")
    assert fs.read_bytes(sizeless) == sizeless.read_bytes()
    for bad in (tmp_path, tmp_path / "no" / "file"):
        error = outcome(bad.read_bytes)[:3]
        assert outcome(fs.read_bytes, bad) == (*error, str(bad), None)
        error = outcome(bad.write_bytes, b"")[:3]
        assert outcome(fs.write_bytes, bad, b"") == (*error, str(bad), None)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error():
    with pytest.raises(OSError, match="No space"):
        fs.write_bytes("/dev/full", b"data")


def test_events_are_audited_as_those_of_os(tmp_path):
    seen = []

    def hook(event, args):
        if events is not None and event.startswith(("open", "os.")):
            events.append((event, args))

    def all_of(module):
        fd = module.open(one, os.O_CREAT | os.O_CLOEXEC, 0o600)
        module.close(fd)
        module.rename(one, two)
        module.unlink(two)
        module.mkdir(one, 0o700)
        module.listdir(one)
        list(module.scandir(one))
        module.rmdir(one)

    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    events = None
    sys.addaudithook(hook)  # it stays to the end of the process
    for module in (fs, os):
        events = []
        all_of(module)
        seen.append(events)
        events = None
    assert seen[0] == seen[1]
    assert len(seen[0]) == 7


# ---- while they wait


def test_other_tasklets_run_during_a_call(fifo):
    reader = spawn(fs.open, fifo, os.O_RDONLY)
    run()
    assert "waits for the file system" in repr(reader)
    assert scheduler.pending() == 1
    for _ in range(10):
        schedule()
    assert reader.alive
    writer = os.open(fifo, os.O_WRONLY)
    fd = reader.result(timeout=LATE)
    os.write(writer, b"data")
    assert fs.read(fd, 100) == b"data"
    fs.close(fd)
    os.close(writer)
    assert scheduler.pending() == 0


def test_main_and_run_wait_for_it(tmp_path):
    log = []

    def work(number):
        path = tmp_path / str(number)
        fs.write_bytes(path, b"%d" % number)
        log.append(int(fs.read_bytes(path)))

    for number in range(20):
        spawn(work, number)
    scheduler.run(wait=True)
    assert sorted(log) == list(range(20))


def test_a_wait_times_out_and_the_file_is_closed_again(fifo):
    before = descriptors()
    for seconds in (0.01, 0, -1):
        with pytest.raises(TimeoutError):
            fs.open(fifo, os.O_RDONLY, timeout=seconds)
    with pytest.raises(TimeoutError), timeout(0.01):
        fs.open(fifo, os.O_RDONLY)
    assert scheduler.pending() == 0
    assert live_counts()["request"] <= 2
    let_go(fifo)
    assert descriptors() == before


def test_a_waiter_can_be_killed(fifo):
    log = []

    def work():
        try:
            fs.open(fifo, os.O_RDONLY)
        finally:
            log.append("finally")

    victim = spawn(work)
    run()
    victim.kill()
    assert log == ["finally"]
    assert scheduler.pending() == 0


def test_what_came_before_the_kill_is_closed_too(tmp_path):
    """The file is open, but its tasklet has not been told."""
    path = tmp_path / "file"
    path.touch()
    before = descriptors()

    def killer():
        while victim.blocked:
            schedule()
        # It is runnable, and behind both killers.
        if victim.alive:
            victim.kill()

    for _ in range(20):
        victim = spawn(fs.open, path, os.O_RDONLY)
        schedule()
        if victim.blocked:
            spawn(killer)
            spawn(killer)
            run()
        else:
            victim.kill()
        assert victim.cancelled()
    settle_requests()
    assert descriptors() == before


@pytest.fixture
def busy(fifo):
    """Have all of libuv's threads blocked; give a function that lets them go."""
    waiters = [spawn(fs.open, fifo, os.O_RDONLY) for _ in range(4)]
    run()

    def release():
        writer = os.open(fifo, os.O_WRONLY)
        while waiters:
            os.close(waiters.pop().result(timeout=LATE))
        os.close(writer)

    yield release
    while waiters:
        waiters.pop().kill()


def test_what_has_not_begun_is_cancelled_with_its_waiter(busy, tmp_path):
    made, kept = tmp_path / "made", tmp_path / "kept"
    kept.touch()
    victims = [
        spawn(fs.mkdir, made),
        spawn(fs.unlink, kept),
        spawn(fs.write_bytes, kept, b"data"),
    ]
    run()
    for victim in victims:
        victim.kill()
    with pytest.raises(TimeoutError):
        fs.mkdir(made, timeout=0.01)
    busy()
    settle_requests()
    assert not made.exists()
    assert kept.read_bytes() == b""


def test_a_close_is_never_cancelled(busy, tmp_path):
    read, write = os.pipe()
    victim = spawn(fs.close, write)
    run()
    victim.kill()
    with pytest.raises(TimeoutError):
        scheduler.wait_readable(read, timeout=0.01)
    busy()
    settle_requests()
    assert os.read(read, 1) == b""
    with pytest.raises(OSError, match="Bad file"):
        os.close(write)
    os.close(read)


def test_the_data_of_a_write_is_held_until_it_is_over():
    """Also when nobody waits any more."""
    read, write = os.pipe()
    size = 1 << 20  # more than a pipe takes
    data = bytearray(size)
    victim = spawn(fs.write, write, data)
    run()
    left = size - len(os.read(read, 1))
    victim.kill()
    with pytest.raises(BufferError):
        data.append(1)
    while left:
        left -= len(os.read(read, left))
    settle_requests()
    data.append(1)
    os.close(read)
    os.close(write)


def test_what_must_not_wait_does_nothing(tmp_path):
    getcurrent().block_trap = True
    try:
        with pytest.raises(BlockTrapError):
            fs.mkdir(tmp_path / "made")
    finally:
        getcurrent().block_trap = False
    switch_trap(1)
    try:
        with pytest.raises(SwitchTrapError):
            fs.mkdir(tmp_path / "made")
    finally:
        switch_trap(-1)
    with pytest.raises(TimeoutError):
        fs.mkdir(tmp_path / "made", timeout=0)
    settle_requests()
    assert not (tmp_path / "made").exists()


def test_calls_do_not_leak(no_leak, tmp_path):
    path = str(tmp_path / "file")

    def all_kinds():
        fs.write_bytes(path, b"data")
        fs.read_bytes(path)
        fs.stat(path)
        fs.scandir(tmp_path)
        fd = fs.open(path, os.O_RDWR)
        fs.read(fd, 10)
        fs.write(fd, b"x", 0)
        fs.close(fd)
        for bad in (fs.stat, fs.read_bytes, fs.listdir):
            with pytest.raises(OSError, match="Not a dir"):
                bad(path + "/below")

    no_leak(all_kinds, warm_up=100)
