"""Which file of csrc/ uses which: by the symbols of object files, not by includes."""

import collections
import shutil
import subprocess

import pytest
from mutants import folder_of_objects
from test_layers import CSRC, RANK

# The files that use each other in a circle: none of them can be understood, changed or
# tested without the others. No file may be added.
# fmt: off
KNOT = {
    "core/errors", "core/idle", "core/idle_threads", "core/interrupt", "core/leftover",
    "core/local", "core/os_thread", "core/outcome", "core/rounds", "core/run",
    "core/run_frame", "core/runq", "core/sched", "core/sched_check",
    "core/scheduled_call", "core/scope", "core/stacks", "core/stray", "core/tasklet",
    "core/tasklet_end", "core/thread", "core/thread_sleep", "core/timer",
    "io/detour", "io/uv_loop",
    "worker/job", "worker/worker",
}
# fmt: on


@pytest.fixture(scope="module")
def uses():
    """Return a map: file -> file -> the symbols of the second that the first uses."""
    if shutil.which("nm") is None:
        pytest.skip("needs nm, of binutils")
    folder, _ = folder_of_objects()
    defined, undefined = {}, {}
    for source in CSRC.rglob("*.c"):
        name = source.relative_to(CSRC).with_suffix("").as_posix()
        output = subprocess.check_output(["nm", "-P", folder / f"{name}.o"], text=True)
        symbols = [line.split()[:2] for line in output.splitlines()]
        undefined[name] = {symbol for symbol, kind in symbols if kind == "U"}
        defined |= {symbol: name for symbol, kind in symbols if kind in "TDBRV"}
    uses = collections.defaultdict(lambda: collections.defaultdict(set))
    for name, symbols in undefined.items():
        for symbol in symbols & defined.keys():
            uses[name][defined[symbol]].add(symbol)
    return uses


def reached_from(uses, name):
    """Return the files that a file uses, directly or through others."""
    found, left = set(), [name]
    while left:
        fresh = uses[left.pop()].keys() - found
        found |= fresh
        left += fresh
    return found


def test_the_files_are_found(uses):
    assert "tl_sched_leave" in uses["sync/channel"]["core/sched"]


def test_no_file_uses_one_of_a_higher_or_another_folder_of_the_same_rank(uses):
    for name, others in list(uses.items()):
        for other, symbols in others.items():
            mine, its = name.split("/")[0], other.split("/")[0]
            assert mine == its or RANK[its] < RANK[mine], (
                f"{name} uses {sorted(symbols)} of {other}"
            )


def test_no_files_use_each_other(uses):
    knotted = {name for name in list(uses) if name in reached_from(uses, name)}
    fresh = {name: dict(uses[name]) for name in knotted - KNOT}
    assert not fresh, "these use each other, or files that do"
    assert knotted >= KNOT, f"take {sorted(KNOT - knotted)} out of KNOT"
