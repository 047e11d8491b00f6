"""Measure and print the table: python -m benchmarks.run [out.json] [names...].

Each cost is the median, over the repetitions, of its ratio to a reference measured
right before it in the same process: a bare greenlet switch; between threads, a round
trip over two SimpleQueues; for a budget, the same code without it. The peers do the
same work in the same run.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
from pathlib import Path

from benchmarks.measure import BARE_SWITCHES, bare_switch, sample, sample_fresh
from benchmarks.table import WORKLOADS

PEERS = ("greenlet", "gevent", "asyncio", "threads")
PEER_REPEATS = 3


def note(*words):
    """Print a progress note to stderr."""
    if sys.stderr.isatty():
        print(*words, file=sys.stderr)


def version_of(package):
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_count():
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def describe(values):
    """Return median, lowest and highest of some numbers."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
    }


def summarize(workload, samples):
    """Return one subject's result from its (reference, cost) pairs."""
    shown = [cost / (reference or workload.unit) for reference, cost in samples]
    result = describe(shown)
    result["cost"] = statistics.median(cost for _, cost in samples)
    if workload.reference is not None:
        result["reference"] = statistics.median(ref for ref, _ in samples)
    return result


def measure(names, repeats, scale=1.0, peers=True):
    """Measure some workloads; return the contents of the table."""
    samples = {name: {} for name in names}
    bare = []
    for repeat in range(repeats):
        note(f"repetition {repeat + 1} of {repeats}")
        bare.append(bare_switch(int(BARE_SWITCHES * scale)))
        for name in names:
            workload = WORKLOADS[name]
            for subject in workload.subjects():
                if subject != "tasklets" and (not peers or repeat >= PEER_REPEATS):
                    continue
                if workload.fresh:
                    pair = sample_fresh(name, subject, scale)
                else:
                    pair = sample(workload, subject, scale)
                samples[name].setdefault(subject, []).append(pair)
    return {
        "python": platform.python_version(),
        "greenlet": version_of("greenlet"),
        "gevent": version_of("gevent"),
        "tasklets": version_of("tasklets"),
        "machine": platform.machine(),
        "cpus": cpu_count(),
        "repeats": repeats,
        "bare_ns": describe(bare),
        "workloads": {
            name: {
                subject: summarize(WORKLOADS[name], pairs)
                for subject, pairs in samples[name].items()
            }
            for name in names
        },
    }


def verdict(workload, value):
    """Return whether a result has reached its aims."""
    if workload.reach is None:
        return ""
    if workload.beyond is not None and value <= workload.beyond:
        return "beyond"
    return "reached" if value <= workload.reach else "**missed**"


def number(value):
    """Return a number with three digits."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if value < 0.1 else f"{value:.2f}"


def nanoseconds(value):
    """Return a time with its unit."""
    return f"{value / 1000:.1f} µs" if value >= 10_000 else f"{value:.0f} ns"


def aim(workload, value):
    """Return the cell of an aim."""
    return "" if value is None else f"{value:g}{workload.suffix}"


def row(name, results):
    """Return one workload's cells."""
    workload, mine = WORKLOADS[name], results["tasklets"]
    value = f"{number(mine['median'])}{workload.suffix}"
    spread = f"{number(mine['low'])} to {number(mine['high'])}"
    cost, reference = mine["cost"], ""
    absolute = f"{cost:.0f} bytes" if workload.in_bytes else nanoseconds(cost)
    if workload.reference is not None:
        reference = f"{workload.reference_name}, {nanoseconds(mine['reference'])}"
    peers = [number(results[p]["median"]) if p in results else "" for p in PEERS]
    aims = aim(workload, workload.reach), aim(workload, workload.beyond)
    judged = verdict(workload, mine["median"])
    return (workload.title, value, spread, *aims, judged, absolute, reference, *peers)


def table(report):
    """Return the lines of the markdown table."""
    heads = ("workload", "tasklets", "spread", "to reach", "beyond", "verdict")
    heads += ("absolute", "against", *PEERS)
    yield "| " + " | ".join(heads) + " |"
    yield "|" + " --- |" * len(heads)
    for name, results in report["workloads"].items():
        yield "| " + " | ".join(row(name, results)) + " |"


def headline(report):
    """Return the versions and the machine that were measured."""
    bare = report["bare_ns"]
    gevent = f", gevent {report['gevent']}" if report["gevent"] else ""
    return (
        f"CPython {report['python']}, greenlet {report['greenlet']}{gevent}, "
        f"{report['cpus']} CPUs ({report['machine']}), "
        f"{report['repeats']} repetitions. "
        f"Bare greenlet switch: {bare['median']:.0f} ns "
        f"({bare['low']:.0f} to {bare['high']:.0f})."
    )


def arguments(argv):
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run")
    parser.add_argument("words", nargs="*", metavar="OUT.json or NAME")
    parser.add_argument("--json", action="store_true", help="print JSON, not the table")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--repeat", type=int, default=9, metavar="N")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes")
    parser.add_argument("--no-peers", action="store_true")
    args = parser.parse_intermixed_args(argv)
    args.out = [word for word in args.words if word.endswith(".json")]
    args.names = [word for word in args.words if not word.endswith(".json")]
    unknown = set(args.names) - set(WORKLOADS)
    if unknown or len(args.out) > 1:
        parser.error(f"unknown: {', '.join(sorted(unknown) or args.out[1:])}")
    return args


def main(argv=None):
    """Measure, print, and write the file if there is one to write."""
    args = arguments(argv)
    if args.list:
        print("\n".join(WORKLOADS))
        return
    names = args.names or list(WORKLOADS)
    report = measure(names, args.repeat, args.scale, peers=not args.no_peers)
    if args.out:
        Path(args.out[0]).write_text(json.dumps(report, indent=1) + "\n")
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        print(headline(report), "", *table(report), sep="\n")


if __name__ == "__main__":
    main()
