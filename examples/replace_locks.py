"""Run a threaded program twice: unchanged, and with the locks of tasklets.

threaded.py itself stays the same: patch_locks() is called before it. In the second run
a tasklet of its main thread runs beside it; with the locks of threading none could.

usage: replace_locks.py [JOBS]
"""

import contextlib
import io
import statistics
import subprocess
import sys
import time

from display import table

ROUNDS = 3


def timed(jobs):
    """Run the program; return what it printed and the seconds it took."""
    import threaded  # makes its queues

    output = io.StringIO()
    start = time.perf_counter()
    with contextlib.redirect_stdout(output):
        threaded.main(jobs)
    return output.getvalue(), time.perf_counter() - start


def plain(jobs):
    """Run the program unchanged."""
    return *timed(jobs), 0, "nothing"


def patched(jobs):
    """Run the program with the locks of tasklets, beside a tasklet."""
    import tasklets
    from stacklesslib_compat.monkeypatch import patch_locks

    beats = 0

    def beat():
        nonlocal beats
        while True:
            beats += 1
            tasklets.sleep(0.001)

    with patch_locks() as report:
        heart = tasklets.spawn(beat)
        result = timed(jobs)
        heart.kill()
    return *result, beats, f"{len(report.patched)} names"


MODES = {"plain": plain, "patched": patched}


def run_child(mode, jobs):
    """Run one mode in a process of its own."""
    command = [sys.executable, __file__, mode, str(jobs)]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    output, seconds, beats, patches = child.stdout.split("\0")
    return output, float(seconds), int(beats), patches


def main():
    """Run both modes, several times, and show how long they took."""
    if sys.argv[1:2] and sys.argv[1] in MODES:
        found = MODES[sys.argv[1]](int(sys.argv[2]))
        print(*found, sep="\0", end="")
        return 0
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    runs = {mode: [] for mode in MODES}
    for _ in range(ROUNDS):
        for mode, done in runs.items():
            done.append(run_child(mode, jobs))
    seconds = {m: statistics.median(r[1] for r in done) for m, done in runs.items()}
    outputs = {run[0] for done in runs.values() for run in done}
    last = runs["patched"][-1]
    print(*outputs, sep="\n")
    rows = [
        ("replaced", last[3]),
        ("seconds with threading's locks", f"{seconds['plain']:.3f}"),
        ("seconds with the locks of tasklets", f"{seconds['patched']:.3f}"),
        ("ratio", f"{seconds['patched'] / seconds['plain']:.2f} x"),
        ("beats of a tasklet beside it", last[2]),
        ("the results are the same", "yes" if len(outputs) == 1 else "NO"),
    ]
    print(table(rows))
    return 0 if len(outputs) == 1 and last[2] else 1


if __name__ == "__main__":
    sys.exit(main())
