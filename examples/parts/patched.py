"""A threaded program unchanged, and with the locks of tasklets."""

import contextlib
import io
import time

from parts import Comparison, Note, Result, Results, median

TITLE = "Threads"
ROUNDS = 3

JOBS = 5000
BEAT = 0.001  # seconds between two beats of the tasklet


def explained(_: float) -> str:
    """Return what is done."""
    return (
        "a program of threads, queues and futures runs by itself, and, without a "
        "change, under patch_locks() beside a tasklet."
    )


def timed(scale: float) -> Result:
    """Run the program, and return what it printed and how long it took."""
    import threaded  # makes its queues and locks

    output = io.StringIO()
    start = time.perf_counter()
    with contextlib.redirect_stdout(output):
        threaded.main(max(300, int(JOBS * scale)))
    return {"seconds": time.perf_counter() - start, "output": output.getvalue()}


def plain(scale: float, note: Note) -> Result:
    """Run it unchanged: no tasklet can run while its main thread waits."""
    note("unchanged")
    return timed(scale) | {"beats": 0}


def patched(scale: float, note: Note) -> Result:
    """Run it under patch_locks(), beside a tasklet of its main thread."""
    import tasklets
    from stacklesslib_compat.monkeypatch import patch_locks

    beats = 0

    def beat():
        nonlocal beats
        while True:
            beats += 1
            tasklets.sleep(BEAT)

    note("under patch_locks()")
    with patch_locks():
        heart = tasklets.spawn(beat)
        result = timed(scale)
        heart.kill()
    return result | {"beats": beats}


SUBJECTS = {"tasklets": patched, "threading": plain}


def lines(results: Results) -> list[tuple[str, object]]:
    """Return the results to show."""
    mine, theirs = results["tasklets"], results["threading"]
    return [
        ("unchanged", f"{median(theirs, 'seconds'):.2f} s; no tasklet runs beside it"),
        (
            "patch_locks()",
            f"{median(mine, 'seconds'):.2f} s; the tasklet of the waiting main thread "
            f"ran {median(mine, 'beats'):,.0f} times",
        ),
    ]


def comparisons(results: Results) -> list[Comparison]:
    """Compare with the locks of threading."""
    mine, theirs = results["tasklets"], results["threading"]
    return [
        Comparison(
            "the threaded program, seconds",
            *(median(mine, "seconds"), median(theirs, "seconds")),
            *("threading", "{:.2f}"),
        )
    ]


def mistakes(results: Results) -> list[str]:
    """Return the wrong results."""
    found = []
    if len({run["output"] for runs in results.values() for run in runs}) != 1:
        found.append("the program had another result under patch_locks()")
    if not all(run["beats"] for run in results["tasklets"]):
        found.append("the tasklet did not run beside the program")
    return found
