"""Which file of csrc/ uses which: by the symbols of object files, not by includes."""

import collections
import functools
import graphlib
import re
import shutil
import subprocess

import pytest
from layers import CSRC, RANK
from mutants import folder_of_objects
from type_table import declarations

# Files whose functions are declared in the header of another one: checks of a noun, the
# two ways to count ticks, and types, which types.c collects.
HEADERS = {
    "core/sched_check": ["core/sched_state.h", "core/run_frame.h"],
    "cpython/ticks_monitoring": ["cpython/ticks.h"],
    "cpython/ticks_settrace": ["cpython/ticks.h"],
    "python/socket_part": ["python/socket_type.h"],
    "python/socket_calls": ["python/socket_type.h"],
    "python/socket_transfers": ["python/socket_type.h"],
    "core/timer": ["core/timer.h", "core/tasklet.h"],  # tl_task_end_wait() is inline
}
OF_TYPES = [
    f"python/{name}.h"
    for name in ("types", "lock_common", "queue_common", "tasklet_methods")
]


@pytest.fixture(scope="module")
def symbols():
    """Return the symbols that each file defines, and that it needs."""
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
    return defined, undefined


@pytest.fixture(scope="module")
def uses(symbols):
    """Return a map: file -> file -> the symbols of the second that the first uses."""
    defined, undefined = symbols
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


def headers_of(name):
    """Return the headers that may declare what a file defines."""
    if name in HEADERS:
        return HEADERS[name]
    return [f"{name.removesuffix('_check')}.h", *OF_TYPES * name.startswith("python/")]


def test_what_a_file_defines_its_header_declares(symbols):
    text = functools.cache(lambda name: (CSRC / name).read_text())
    generated = declarations()
    wrong = []
    for symbol, name in symbols[0].items():
        texts = [text(h) for h in headers_of(name) if (CSRC / h).exists()]
        texts += [generated] * name.startswith("python/")
        declares = re.compile(rf"^\w[^/\n]*\b{symbol}\b|^ {{4}}\b{symbol}\b", re.M)
        if symbol.startswith("tl_") and not any(map(declares.search, texts)):
            wrong.append(f"{symbol} of {name}.c")
    assert not wrong
