"""Read and write a directory of files, many at a time, while other tasklets run.

Threads of libuv do the work, without the GIL. All shared data belongs to tasklets of
one thread, so no lock is needed.
"""

import os
import tempfile
import zlib

import tasklets
from tasklets import fs

FILES = 40
turns = 0
sums = {}


def write(folder, number):
    """Write a file under another name first, so that no reader sees half of it."""
    path = os.path.join(folder, f"{number:02}.txt")
    fs.write_bytes(path + ".new", b"line of file %d\n" % number * 1000)
    fs.rename(path + ".new", path)


def check(entry):
    """Record the checksum of a file."""
    sums[entry.name] = zlib.crc32(fs.read_bytes(entry))


def turn():
    """Run all the time: the file operations do not block this tasklet."""
    global turns
    while True:
        turns += 1
        tasklets.schedule()


with tempfile.TemporaryDirectory() as folder:
    turning = tasklets.spawn(turn)

    with tasklets.TaskGroup() as group:
        for number in range(FILES):
            group.spawn(write, folder, number)
    print("written:", len(fs.listdir(folder)))

    with tasklets.TaskGroup(limit=8) as group:
        for entry in fs.scandir(folder):
            if entry.is_file():
                group.spawn(check, entry)
    print("as written:", sums["07.txt"] == zlib.crc32(b"line of file 7\n" * 1000))
    print("all different:", len(set(sums.values())) == FILES)

    try:
        fs.stat(os.path.join(folder, "absent"))
    except FileNotFoundError as error:
        print("not there:", os.path.basename(error.filename))

    # This pipe has no writer, so opening it blocks, but only this call.
    os.mkfifo(os.path.join(folder, "pipe"))
    try:
        fs.open(os.path.join(folder, "pipe"), os.O_RDONLY, timeout=0.01)
    except TimeoutError:
        print("timed out; other tasklets have had turns:", turns > 0)
    os.close(os.open(os.path.join(folder, "pipe"), os.O_RDWR))
    turning.kill()

# Output:
#   written: 40
#   as written: True
#   all different: True
#   not there: absent
#   timed out; other tasklets have had turns: True
