"""Count instructions where time is too noisy: python -m benchmarks.instructions.

The result is the difference between runs with many and with few operations, as counted
by valgrind. It includes neither work of the kernel, mostly page faults, nor cache
misses.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from functools import partial

from benchmarks.measure import BARE, bare_switch, environment
from benchmarks.table import WORKLOADS

FEW, MANY = 2000, 7000
COUNTED = [
    name for name, workload in WORKLOADS.items() if workload.reference is bare_switch
]


def count(name, operations):
    """Return how many instructions a process executes for one workload."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [sys.executable, "-m", __spec__.name, "--work", name, str(operations)]
    done = subprocess.run(
        command,
        env=environment() | {"PYTHONHASHSEED": "0"},
        stderr=subprocess.PIPE,
        check=True,
        text=True,
    )
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def per_operation(name):
    """Return the instructions of one operation of a workload."""
    return (count(name, MANY) - count(name, FEW)) / (MANY - FEW)


def work(name, operations):
    """Warm up, run the counted operations, and end at once."""
    run = bare_switch if name == BARE else WORKLOADS[name].tasklets
    run(FEW)
    run(int(operations))
    os._exit(0)


def main(argv=None):
    """Print a row for each workload."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.work:
        work(*args.work)
    if unknown := set(args.names) - set(COUNTED):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed")
    say = partial(print, flush=True)
    bare = per_operation(BARE)
    say("| workload | instructions | ratio |\n| --- | --- | --- |")
    say(f"| bare greenlet switch | {bare:.0f} | 1 |")
    for name in args.names or COUNTED:
        value = per_operation(name)
        say(f"| {WORKLOADS[name].title} | {value:.0f} | {value / bare:.2f} |")


if __name__ == "__main__":
    main()
