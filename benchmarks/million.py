"""Hold a million blocked tasklets, end them in random order, check what remains.

python -m benchmarks.million [--count N] [--seed N] [--json]

Exit status 1 if mappings or resident memory are not back within 5 % of the start.
"""

import argparse
import gc
import json
import random
import sys
import time
from array import array
from itertools import product

from benchmarks.measure import mappings, resident
from tasklets import channel, getruncount, run, tasklet

LIMIT = 0.05
WHEN = ("start", "peak", "end")
HELD = ("mappings", "resident")
NOTES = (*product(WHEN, HELD), "blocked", "seconds_to_block", "seconds_to_end")


class Notes:
    """Numbers kept in memory that was there from the start.

    An object made at the peak and kept would keep a whole arena of the allocator.
    """

    def __init__(self):
        self.values = array("d", bytes(8 * len(NOTES)))

    def __getitem__(self, name):
        return self.values[NOTES.index(name)]

    def __setitem__(self, name, value):
        self.values[NOTES.index(name)] = value

    def look(self, when):
        """Record what the process holds now."""
        gc.collect()
        self[when, "mappings"] = mappings()
        self[when, "resident"] = resident()


def body(ch):
    """Block until told to end."""
    ch.receive()


WARM_UP = 2_000


def warm_up():
    """Use all parts once, so that only what the many tasklets leave is counted."""
    channels = [channel() for _ in range(WARM_UP)]
    for ch in channels:
        tasklet(body)(ch)
    run()
    for ch in channels:
        ch.send(None)
    run()
    Notes().look("start")


def hold_and_end(count, seed, notes):
    """Block count tasklets and end them in random order."""
    start = time.perf_counter()
    # A channel for each tasklet, to end each separately.
    channels = [channel() for _ in range(count)]
    for ch in channels:
        tasklet(body)(ch)
    run()
    notes["seconds_to_block"] = time.perf_counter() - start
    notes["blocked"] = sum(ch.balance < 0 for ch in channels)
    notes.look("peak")

    random.Random(seed).shuffle(channels)
    start = time.perf_counter()
    while channels:
        channels.pop().send(None)
    run()
    notes["seconds_to_end"] = time.perf_counter() - start


def measure(count, seed=0):
    """Return the report of one run."""
    warm_up()
    notes = Notes()
    notes.look("start")
    hold_and_end(count, seed, notes)
    notes.look("end")
    report = {"count": count, "left_runnable": getruncount() - 1}
    report |= {name: notes[name] for name in NOTES if isinstance(name, str)}
    for when in WHEN:
        report[when] = {held: int(notes[when, held]) for held in HELD}
    start, end = report["start"], report["end"]
    report["growth"] = {held: end[held] / start[held] - 1 for held in HELD}
    report["passed"] = (
        report["blocked"] == count
        and report["left_runnable"] == 0
        and all(growth <= LIMIT for growth in report["growth"].values())
    )
    return report


def lines(report):
    """Yield the report as lines of text."""
    yield f"{report['count']:,} tasklets blocked in {report['seconds_to_block']:.1f} s,"
    yield f"ended in random order in {report['seconds_to_end']:.1f} s"
    yield ""
    yield "| | mappings | resident MB |"
    yield "| --- | --- | --- |"
    for when in WHEN:
        held = report[when]
        yield f"| {when} | {held['mappings']:,} | {held['resident'] / 2**20:,.1f} |"
    growth = report["growth"]
    yield f"| growth | {growth['mappings']:+.1%} | {growth['resident']:+.1%} |"
    yield ""
    used = report["peak"]["resident"] - report["start"]["resident"]
    yield f"{used / report['count'] / 1024:.2f} KB each, its channel included"
    yield "PASSED" if report["passed"] else f"FAILED: more than {LIMIT:.0%} remained"


def main(argv=None):
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    report = measure(args.count, args.seed)
    print(json.dumps(report, indent=1) if args.json else "\n".join(lines(report)))
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
