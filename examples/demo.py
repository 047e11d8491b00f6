"""What tasklets do, in twenty seconds: five parts, each beside plain Python.

All numbers are measured as the demo runs: every subject runs in its own process, one
after the other. The exit status is 0 if all results are right, whatever their speed; 1
if one is wrong; 130 after Ctrl-C.

    python examples/demo.py [--scale SIZE] [PART...]
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from types import ModuleType

from display import Progress, columns, table
from parts import Comparison, Result, Results

PARTS = ("creatures", "crowd", "patched", "answers", "calls")
TIMEOUT = 120  # seconds after which a subject has failed
NOTE = "~"  # begins a line in which a child reports its progress


class Failure(Exception):
    """A subject gave no result."""


def positive(text: str) -> float:
    """Parse a command-line argument."""
    number = float(text)
    if not 0 < number < 1000:
        raise ValueError
    return number


def load(name: str) -> ModuleType:
    """Return the module of a part."""
    return importlib.import_module(f"parts.{name}")


def run_subject(part: str, subject: str, scale: float) -> None:
    """Run a subject in this process, and print its result for run_child()."""
    last = 0.0

    def note(text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 0.1:
            last = time.monotonic()
            print(NOTE + text, flush=True)

    result = load(part).SUBJECTS[subject](scale, note)
    print(json.dumps(result), flush=True)


def run_child(part: str, subject: str, scale: float, progress: Progress) -> Result:
    """Run a subject in a child process, and return its result."""
    # In its own session the child does not get Ctrl-C; this process ends it.
    child = subprocess.Popen(
        [sys.executable, sys.argv[0], "--child", part, subject, str(scale)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    timer = threading.Timer(TIMEOUT, child.kill)
    timer.start()
    result = None
    try:
        for line in child.stdout:
            if line.startswith(NOTE):
                progress.show(f"{subject}: {line[1:].rstrip()}")
            else:
                result, ended = json.loads(line), time.perf_counter()
        status = child.wait()
    finally:
        timer.cancel()
        timer.join()
        child.kill()
        child.wait()
        child.stdout.close()
    if status != 0 or result is None:
        raise Failure(f"{part}, {subject}: no result, exit status {status}")
    return result | {"exit_seconds": time.perf_counter() - ended}


def run_part(name: str, scale: float) -> tuple[list[Comparison], list[str]]:
    """Run a part and show it; return its comparisons and its mistakes."""
    part = load(name)
    print(f"\n{part.TITLE}: {part.explained(scale)}", flush=True)
    progress = Progress("  running")
    results: Results = {subject: [] for subject in part.SUBJECTS}
    try:
        for _ in range(part.ROUNDS if scale >= 1 else 1):
            for subject, done in results.items():
                done.append(run_child(name, subject, scale, progress))
    except Failure as failure:
        return [], [str(failure)]
    finally:
        progress.clear()
    print(table(part.lines(results)), flush=True)
    return part.comparisons(results), part.mistakes(results)


def summary(found: list[Comparison]) -> str:
    """Return the outcome of the comparisons in words."""
    lost = [each.what for each in found if each.lost]
    same = sum(each.same for each in found)
    text = (
        f"Of {len(found)} comparisons tasklets did better in "
        f"{len(found) - same - len(lost)}, the same in {same}, worse in {len(lost)}"
    )
    return f"{text}: {'; '.join(lost)}." if lost else f"{text}."


def busy(load: float, cpus: int) -> str:
    """Return a remark if other processes used the CPUs when the demo began."""
    if load <= cpus:
        return ""
    return (
        f"This machine was busy: {load:.1f} processes wanted its {cpus} CPUs. Frames "
        "are late and times long for that reason, too."
    )


def demonstrate(names: list[str], scale: float) -> int:
    """Run the parts, print the last table, and return the exit status."""
    began = time.perf_counter()
    was_busy = busy(os.getloadavg()[0], os.cpu_count() or 1)
    found: list[Comparison] = []
    mistakes: list[str] = []
    for name in names:
        comparisons, wrong = run_part(name, scale)
        found += comparisons
        mistakes += wrong
    if found:
        print("\nWhat was shown, on this machine just now:")
        heads = ("what", "tasklets", "plain Python", "tasklets are")
        print(columns([heads, *(each.cells() for each in found)]))
        print(f"\n{summary(found)}")
        if was_busy:
            print(was_busy)
    seconds = time.perf_counter() - began
    for mistake in mistakes:
        print(f"WRONG: {mistake}")
    verdict = "WRONG RESULTS" if mistakes else "All results are right"
    print(f"{verdict}, {seconds:.1f} s.")
    return 1 if mistakes else 0


def main() -> int:
    """Parse the command line, and return the exit status."""
    if sys.argv[1:2] == ["--child"]:
        run_subject(sys.argv[2], sys.argv[3], float(sys.argv[4]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; else all"
    )
    parser.add_argument("--scale", type=positive, default=1.0, help="of all sizes")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    try:
        return demonstrate(options.parts or list(PARTS), options.scale)
    except KeyboardInterrupt:
        print("\nInterrupted.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
