"""Let every allocation of small programs fail in turn.

    python no_memory.py [--seed N] [--most N] [--verbose] [scenario ...]

Each scenario is run again and again: its first allocation fails, then its second, and
so on, until none is left to fail. It may raise MemoryError, or what the scenario says
follows from one. It must not crash, hang, leave a tasklet behind, or return a wrong
result without any report. Afterwards it must work as before in the same process.

Only what tasklets._core and libuv allocate fails, also through the interpreter's C API.
With --all, what the interpreter allocates for Python code fails too. Not all of the
faults found that way are ours: several versions of CPython crash, or leak.

tests/c/no_memory.c lets the allocations fail. test_no_memory.py compiles it and sets
PYTHONPATH and LD_PRELOAD.
"""

import argparse
import faulthandler
import gc
import os
import random
import sys
import time
import traceback
from pathlib import Path

import _no_memory
import no_memory_core  # noqa: F401 - their scenarios are registered
import no_memory_sync  # noqa: F401
import no_memory_system  # noqa: F401
from no_memory_base import SCENARIOS, Helper, clean_thread, persist, shared

import tasklets
from tasklets import _core, sleep, workers


class Fault(Exception):
    """Something went wrong that must not."""


def is_the_interpreters(error):
    """Whether the interpreter itself lost an exception.

    It clears the exception under way when it cannot make a frame object for a
    function that is being left (_PyFrame_Clear).
    """
    return isinstance(error, SystemError) and str(error).startswith(
        ("error return without exception set", "<function ")
    )


def is_allowed(error, allowed):
    if is_the_interpreters(error):
        return True
    if isinstance(error, BaseExceptionGroup):
        return BaseExceptionGroup in allowed and all(
            is_allowed(one, allowed) for one in error.exceptions
        )
    return isinstance(error, (MemoryError, *allowed))


def failing(func, number, count, core):
    """Run func while some allocations fail. Returns what happened."""
    result = error = None
    stderr, sys.stderr = sys.stderr, None
    _no_memory.arm(number, count, core)
    try:
        result = func()
    except BaseException as caught:
        error = caught
    finally:
        counts = _no_memory.disarm()
        sys.stderr = stderr
    return result, error, counts


def clean():
    """Leave nothing of a scenario; the threads it started come to their end."""
    clean_thread()
    if shared.helper is not None:
        shared.helper.wait()
    gc.collect()
    clean_thread()
    persist(_core.fake_clock, None)  # its block cannot undo it without memory


def settled_counts(base):
    """Return the living objects that are more than at first."""
    deadline = time.monotonic() + 60  # workers may still drop what they had
    while True:
        counts = _core.live_counts()
        grown = {
            k: (base.get(k, 0), n) for k, n in counts.items() if n > base.get(k, 0)
        }
        if not grown or time.monotonic() > deadline:
            return grown
        gc.collect()
        sleep(0.005)


def check_whole(name, base, expected, core):
    clean()
    # The interpreter, too, leaks when it is out of memory.
    grown = settled_counts(base) if core else None
    if grown:
        raise Fault(f"still alive: {grown}")
    if tasklets.getruncount() != 1 or not tasklets.getcurrent().is_main:
        raise Fault(f"{tasklets.getruncount()} tasklets in the ring")
    if tasklets.switch_trap() != 0 or tasklets.getcurrent().atomic:
        raise Fault("a trap or an atomic section was left behind")
    if _core.statistics()["timers"]:
        raise Fault("a timer was left behind")
    result = SCENARIOS[name]()
    if result != expected:
        raise Fault(f"afterwards {result!r}, not {expected!r}")


def check(name, number, count, base, expected, core):
    """Let allocations fail in a scenario. Returns how many it had."""
    func = SCENARIOS[name]
    result, error, counts = failing(func, number, count, core)
    seen, failed, noted, worst = counts
    if worst is not None and not is_the_interpreters(worst):
        raise Fault(f"{worst!r} was reported")
    if error is not None and not (failed and is_allowed(error, func.allowed)):
        raise Fault(f"raised {error!r}") from error
    # Of several failures in a row even the report may fail.
    if error is None and not noted and failed < 2 and result != expected:
        raise Fault(f"returned {result!r}, not {expected!r}, without a word")
    del error, result, counts, worst
    check_whole(name, base, expected, core)
    return seen


def note(text):
    path = os.environ.get("MISUSE_CASE")
    if path:
        Path(path).write_text(text)


def numbers(options, chooser, total):
    """Return which allocations shall fail."""
    chosen = range(options.first, total)
    if options.most is not None and len(chosen) > options.most:
        chosen = sorted(chooser.sample(chosen, options.most))
    return chosen


def check_scenario(name, options):
    """Return how many faults were found in a scenario."""
    chooser = random.Random(f"{options.seed} {name}")
    func = SCENARIOS[name]
    if func.threads and shared.helper is None:
        shared.helper = Helper()
    for _ in range(3):
        expected = func()
    clean()
    gc.freeze()  # what is imported is not looked through each time
    base = _core.live_counts()
    faults = total = 0
    for count in [options.count] if options.count else func.runs:
        result, error, counts = failing(func, 0, 0, not options.all)
        clean()
        total = counts[0]
        if error is not None or result != expected:
            print(f"{name}: {result!r} {error!r}, not {expected!r}")
            return 1
        for number in numbers(options, chooser, total + 2):
            case = f"{name} --first {number} --count {count}"
            note(case)
            faulthandler.dump_traceback_later(60, exit=True)
            try:
                check(name, number, count, base, expected, not options.all)
            except Fault as fault:
                faults += 1
                print(f"{case}: {fault}", flush=True)
                if options.verbose:
                    traceback.print_exception(fault, file=sys.stdout)
                    print(*_no_memory.where(), sep="\n")
                fault.__cause__ = None
                clean()
                base = _core.live_counts()
            finally:
                faulthandler.cancel_dump_traceback_later()
    if options.verbose:
        print(f"{name}: {total} allocations, {faults} faults", flush=True)
    return faults


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="not our own ones only")
    parser.add_argument("--count", type=int, help="how many fail in a row")
    parser.add_argument("--first", type=int, default=0, help="the first to fail")
    parser.add_argument("--most", type=int, help="how many to try at most, by --seed")
    parser.add_argument("--part", type=int, nargs=2, default=[0, 1], metavar=("I", "N"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("scenarios", nargs="*")
    return parser.parse_args()


def main():
    options = parse_args()
    faulthandler.enable()
    _no_memory.install()
    sys.unraisablehook = _no_memory.note
    _no_memory.watch(True)
    part, parts = options.part
    faults = 0
    with workers.WorkerPool(2) as shared.pool:
        for name in options.scenarios or list(SCENARIOS)[part::parts]:
            faults += check_scenario(name, options)
    print("faults:", faults)
    return faults > 0


if __name__ == "__main__":
    sys.exit(main())
