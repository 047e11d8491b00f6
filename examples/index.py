"""Count the words in the files of a folder, by a pipeline on two OS threads.

    this thread    walk -> paths -> read (4 times) -> texts
    the other      texts -> split (2) -> words -> count (2) -> counts
    this thread    counts -> merge

Every stage is an ordinary loop over a channel. Channels that store a few values keep
the stages apart, and whoever is ahead waits: little is in memory at any time. In the
end a plain loop over the same files must come to the same result.

    python examples/index.py [folder]
"""

import os
import sys
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from display import Progress, table

import tasklets

READERS, SPLITTERS, COUNTERS = 4, 2, 2
STORED = 8  # how many values a channel stores before the sender has to wait

# A word is a run of letters. Letters beyond ASCII are bytes from 128 in UTF-8.
SPACES = bytes(c if c >= 128 or chr(c).isalpha() else 32 for c in range(256))

# Compiled files, and packages that somebody else has installed into the library.
LEFT_OUT = {"__pycache__", "site-packages", "dist-packages"}


def walk(folder: str) -> Iterator[str]:
    """Yield the paths of a folder's files, those in folders inside included."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in sorted(files):
            path = os.path.join(place, name)
            if os.path.isfile(path):  # and not a pipe or a device
                yield path


def read(path: str) -> bytes | None:
    """Return what is in a text file; None if it is none or cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        data.decode()
    except (OSError, UnicodeDecodeError):
        return None
    return None if b"\0" in data else data


def split(text: bytes) -> list[bytes]:
    """Return the words of a text, in lower case."""
    return text.lower().translate(SPACES).split()


@dataclass
class Index:
    """What is in the files of a folder."""

    files: int = 0
    skipped: int = 0
    size: int = 0
    words: Counter[bytes] = field(default_factory=Counter)


def plain(folder: str) -> Index:
    """Return the index as an ordinary loop makes it."""
    index = Index()
    for path in walk(folder):
        text = read(path)
        if text is None:
            index.skipped += 1
        else:
            index.files += 1
            index.size += len(text)
            index.words.update(split(text))
    return index


# The stages. Each takes from one channel and sends into the next.


def read_all(paths: tasklets.channel, texts: tasklets.channel, index: Index) -> None:
    """Send on the text of each path, or note that it is not a text."""
    for path in paths:
        text = read(path)
        if text is None:
            index.skipped += 1
        else:
            index.files += 1
            index.size += len(text)
            texts.send(text)


def split_all(texts: tasklets.channel, words: tasklets.channel) -> None:
    """Send on the words of each text."""
    for text in texts:
        words.send(split(text))


def count_all(words: tasklets.channel, counts: tasklets.channel) -> None:
    """Send on how often each word is in a list of words."""
    for some in words:
        counts.send(Counter(some))


def merge_all(counts: tasklets.channel, index: Index, progress: Progress) -> None:
    """Add everything up."""
    for count in counts:
        index.words.update(count)
        progress.show(f"{index.files} files, {len(index.words):,} different words")


def start(
    number: int,
    stage: Callable[..., None],
    source: tasklets.channel,
    target: tasklets.channel,
    *rest: object,
) -> tasklets.tasklet:
    """Start tasklets for a stage, and one that waits for them and closes its target.

    When one of them fails, or that one is killed, the others are killed too.
    """
    workers = [tasklets.spawn(stage, source, target, *rest) for _ in range(number)]

    def close_after_the_last() -> None:
        try:
            for worker in workers:
                worker.result()  # raises what went wrong there
        finally:
            for worker in workers:
                worker.kill()  # does nothing to those that have ended
            target.close(wake=True)

    return tasklets.spawn(close_after_the_last)


def pipeline(folder: str, progress: Progress) -> Index:
    """Return the index, made by tasklets on two threads."""
    index = Index()
    paths = tasklets.channel()
    texts, words, counts = (tasklets.QueueChannel(STORED) for _ in range(3))
    failures = []

    def other_thread() -> None:
        try:
            splitting = start(SPLITTERS, split_all, texts, words)
            counting = start(COUNTERS, count_all, words, counts)
            splitting.result()
            counting.result()
        except BaseException as failure:
            failures.append(failure)

    def walk_all() -> None:
        try:
            paths.send_sequence(walk(folder))
        finally:
            paths.close(wake=True)

    thread = threading.Thread(target=other_thread)
    thread.start()
    merging = tasklets.spawn(merge_all, counts, index, progress)
    reading = start(READERS, read_all, paths, texts, index)
    walking = tasklets.spawn(walk_all)
    try:
        for stage in (walking, reading, merging):
            stage.result()
    finally:
        # Only needed after an error: have the stages of both threads come to their end.
        walking.kill()
        reading.kill()
        texts.close(wake=True)
        for _ in counts:
            pass
        thread.join()
        if failures:
            raise failures[0]
    return index


@dataclass
class Report:
    """How the pipeline did."""

    folder: str
    index: Index
    seconds: float
    plain_seconds: float
    ok: bool

    def rows(self) -> list[tuple[str, object]]:
        """Return the report as rows of a table."""
        index, words = self.index, self.index.words
        most = (f"{word.decode()} {n:,}" for word, n in words.most_common(8))
        return [
            ("folder", self.folder),
            ("text files", f"{index.files:,}, {index.size / 1e6:.1f} MB"),
            ("other files, left out", f"{index.skipped:,}"),
            ("words", f"{words.total():,}, {len(words):,} different ones"),
            ("most frequent", ", ".join(most)),
            ("pipeline on two threads", f"{self.seconds:.2f} s"),
            ("plain loop", f"{self.plain_seconds:.2f} s"),
            ("both come to the same", "yes" if self.ok else "NO"),
        ]


def index_folder(folder: str = "") -> Report:
    """Index a folder, or Python's own library, both ways."""
    folder = folder or sysconfig.get_path("stdlib")
    progress = Progress("words")
    began = time.perf_counter()
    index = pipeline(folder, progress)
    seconds = time.perf_counter() - began
    progress.end(f"{index.files} files, {len(index.words):,} different words")
    progress = Progress("check")
    began = time.perf_counter()
    expected = plain(folder)
    plain_seconds = time.perf_counter() - began
    progress.end(f"{expected.files} files, {len(expected.words):,} different words")
    return Report(folder, index, seconds, plain_seconds, ok=index == expected)


if __name__ == "__main__":
    report = index_folder(*sys.argv[1:2])
    print(table(report.rows()))
    sys.exit(0 if report.ok else 1)
