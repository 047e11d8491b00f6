"""Read all files of a directory at once, but not too many, and not for too long.

A crawler: each directory gets a tasklet, which spawns others for its entries; a second
group, with a limit, reads the files. One deadline covers everything, and when it has
passed nothing is left running.

    python examples/fan_out.py [folder [seconds]]
"""

import sys
import tempfile
from pathlib import Path

import tasklets

READERS = 4  # how many files are being read at a time


def measure(path, sizes):
    """Record the size of a file, read piece by piece."""
    size = 0
    with path.open("rb") as file:
        while piece := file.read(4096):
            size += len(piece)
            tasklets.sleep(0.001)  # a slow connection
    sizes[path] = size


def visit(folder, folders, files, sizes):
    """Read all files in a directory and its subdirectories."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            folders.spawn(visit, path, folders, files, sizes)
        elif path.is_file():
            files.spawn(measure, path, sizes)  # waits while READERS are reading


def crawl(folder, seconds):
    """Return the sizes of the files that were read, and whether all were."""
    sizes = {}
    try:
        with tasklets.timeout(seconds):
            with tasklets.TaskGroup(limit=READERS) as files:
                with tasklets.TaskGroup() as folders:
                    folders.spawn(visit, folder, folders, files, sizes)
    except TimeoutError:
        return sizes, False
    return sizes, True


def make_files(folder):
    """Make files to read."""
    for number in range(12):
        place = folder / f"part{number % 3}" / f"section{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.txt").write_bytes(b"x" * 1000 * number)


with tempfile.TemporaryDirectory() as made:
    where = Path(sys.argv[1] if len(sys.argv) > 1 else made)
    limit = float(sys.argv[2]) if len(sys.argv) > 2 else 20
    make_files(Path(made))
    sizes, complete = crawl(where, limit)
    print(len(sizes), "files,", sum(sizes.values()), "bytes, all of them:", complete)
    sizes, complete = crawl(where, 0.003)
    print("in 3 ms: all of them:", complete)
print("still waiting for time:", tasklets.scheduler.pending())

# Output:
#   12 files, 66000 bytes, all of them: True
#   in 3 ms: all of them: False
#   still waiting for time: 0
