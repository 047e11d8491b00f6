"""Stop a tasklet twenty million times, and check that nothing is used up by it.

python -m benchmarks.interruptions [--count N] [--timed N]

The interpreter allows 2^24 changes of its monitoring events in the life of a process,
those of sys.settrace() and of profilers included. Two changes for each interruption
would use them up after eight million interruptions. Most interruptions here are by
ticks, of a microsecond or two each; interruptions by time take a hundred times as long,
so there are fewer. Afterwards memory must not have grown, sys.settrace() must work, and
both kinds of budget must still stop a tasklet.

The exit status is 1 if any of these checks fails.
"""

import argparse
import sys
import time

from benchmarks.bench_watchdog import runaway
from benchmarks.measure import resident
from tasklets import scheduler

ROOM = 1 << 20  # bytes by which memory may grow for other reasons
SLICE = 0.0001
WARM_UP = 200


def stop(count, **budget):
    """Stop a tasklet count times; return the seconds, and how many stops failed."""
    missed, run = 0, scheduler.run
    with runaway() as tasklet:
        start = time.perf_counter()
        for _ in range(count):
            victim = run(**budget)
            missed += victim is not tasklet
            tasklet.insert()
        return time.perf_counter() - start, missed


def traced_lines():
    """Return how many lines of a function with three lines a trace function sees."""
    lines = []

    def trace(frame, event, arg):
        if event == "line" and frame.f_code is three.__code__:
            lines.append(frame.f_lineno)
        return trace

    def three():
        one = 1
        two = one + 1
        return two

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        three()
    finally:
        sys.settrace(before)
    return len(lines)


def measure(count, timed):
    """Return the report of one run."""
    for _ in range(2):
        stop(WARM_UP, ticks=2)
        stop(WARM_UP, slice_seconds=SLICE)
    before = resident()
    by_ticks, missed_ticks = stop(count, ticks=2)
    by_time, missed_time = stop(timed, slice_seconds=SLICE)
    report = {
        "count": count,
        "timed": timed,
        "seconds_by_ticks": by_ticks,
        "seconds_by_time": by_time,
        "missed": missed_ticks + missed_time,
        "growth": resident() - before,
        "traced_lines": traced_lines(),
    }
    report["missed"] += stop(10, ticks=2)[1] + stop(10, slice_seconds=SLICE)[1]
    report["passed"] = (
        report["missed"] == 0
        and report["growth"] <= ROOM
        and report["traced_lines"] == 3
    )
    return report


def lines(report):
    """Yield the report as lines of text."""
    for count, seconds, what in (
        (report["count"], report["seconds_by_ticks"], "ticks"),
        (report["timed"], report["seconds_by_time"], "time"),
    ):
        each = f"{seconds / max(count, 1) * 1e6:.2f} µs"
        yield f"{count:,} interruptions by {what} in {seconds:.1f} s, {each} each"
    yield f"runs that stopped no tasklet: {report['missed']}"
    yield f"memory {report['growth'] / 1024:+.0f} KB"
    yield f"sys.settrace() sees {report['traced_lines']} lines of 3"
    yield "PASSED" if report["passed"] else "FAILED"


def main(argv=None):
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interruptions")
    parser.add_argument("--count", type=int, default=20_000_000)
    parser.add_argument("--timed", type=int, default=20_000)
    args = parser.parse_args(argv)
    report = measure(args.count, args.timed)
    print("\n".join(lines(report)))
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
