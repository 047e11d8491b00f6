"""Switch ten million times and check that nothing grows.

python -m benchmarks.switches [--count N]
"""

import argparse
import sys
import time

from benchmarks.measure import mappings, resident
from tasklets import run, schedule, tasklet

AMONG = 10
ROOM = 1 << 20  # what may come and go by itself, in bytes


def measure(count):
    """Return seconds, switches done, growth of memory and of mappings."""
    turns = max(count // AMONG, 1)
    done = []

    def body():
        for _ in range(turns):
            schedule()
        done.append(turns)

    def everybody(number):
        for _ in range(number):
            tasklet(body)()
        run()

    # A short run first, so that stacks and pools exist.
    whole, turns = turns, 10
    everybody(AMONG)
    done.clear()
    turns = whole
    before = resident(), mappings()
    start = time.perf_counter()
    everybody(AMONG)
    seconds = time.perf_counter() - start
    after = resident(), mappings()
    return seconds, sum(done), after[0] - before[0], after[1] - before[1]


def main(argv=None):
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.switches")
    parser.add_argument("--count", type=int, default=10_000_000)
    args = parser.parse_args(argv)
    seconds, done, grown, mapped = measure(args.count)
    print(
        f"{done:,} switches in {seconds:.2f} s, {seconds / done * 1e9:.0f} ns each; "
        f"memory {grown / 1024:+.0f} KB, mappings {mapped:+d}"
    )
    return 0 if grown <= ROOM else 1


if __name__ == "__main__":
    sys.exit(main())
