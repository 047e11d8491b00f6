"""Which file of csrc/ uses which: by the symbols of object files, not by includes."""

import collections
import graphlib
import shutil
import subprocess

import pytest
from layers import CSRC, RANK
from mutants import folder_of_objects


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
    # CycleError shows the files of the first circle that it finds.
    order = list(graphlib.TopologicalSorter(uses).static_order())
    assert order.index("core/sched") < order.index("sync/channel")
