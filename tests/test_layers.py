"""The include graph of csrc/ points downwards only."""

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
LONGEST = 700

# Lowest first. A file may include headers of its own row and of the rows before it.
# fmt: off
LAYERS = [
    # Plain C, no Python.h.
    [
        "check", "list", "clock", "inbox", "ours", "park", "nudge", "chunk", "alarm",
        "turn", "heap", "poller", "room", "spare", "lookup", "stress",
    ],
    # CPython ground.
    [
        "compat", "gil", "frames", "events", "events_monitor", "events_trace",
        "hooks", "governor", "priority", "state", "live", "args",
        "wait", "bomb", "callbacks", "where",
    ],
    # One file per foreign library.
    ["fiber", "loop", "detour"],
    # Core.
    [
        "runq", "tasklet", "tasklet_end", "timer", "sched", "sched_check", "thread",
        "stacks", "stray",
        "outcome", "errors", "idle", "foreign", "rest", "watch", "watch_run",
        "rounds", "kill", "ending",
        "interrupt", "scope", "handle", "leftover",
        "descriptor", "local", "request", "nap", "native", "block", "fork",
        "stress_points",
    ],
    # Services over the scheduler.
    [
        "channel", "channel_items", "channel_check", "queue", "lock", "watchdog",
        "worker", "job",
        "select", "group", "io", "stream", "file", "resolve", "process", "signal",
        "atom", "shared", "stm", "join", "arrivals", "cycle", "condition",
        "queue_items", "simple_queue",
        "reacquire",
    ],
    # The Python face; every *_type and *_ops file belongs here too.
    ["types", "functions", "settings", "statistics", "capi", "module"],
]
# fmt: on
ROWS = {name: row for row, names in enumerate(LAYERS) for name in names}
FACE = len(LAYERS) - 1

# Each foreign header has its owners.
OWNERS = {
    "greenlet/greenlet.h": {"fiber"},
    "uv.h": {"loop", "io", "stream", "file", "resolve", "process", "signal"},
    "Python.h": {"compat"},
}
# Who may look into the interpreter, and so may care which version it is.
INTERNALS = {
    "compat",
    "events",
    "events_monitor",
    "events_trace",
    "frames",
    "gil",
    "where",
}

FILES = sorted(CSRC.glob("*.[ch]"))
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def row_of(stem):
    """Return the row of a file; None for a name that has no place yet."""
    return FACE if stem.endswith(("_type", "_ops")) else ROWS.get(stem)


def includes(path, opening='[<"]'):
    """Return the headers that a file names; ours are quoted, others in brackets."""
    pattern = rf'^\s*#\s*include\s*{opening}([^">]+)[">]'
    return re.findall(pattern, path.read_text(), re.M)


def test_there_are_files_to_check():
    assert FILES


@every_file
def test_a_file_has_a_place_in_the_map(path):
    assert row_of(path.stem) is not None, f"give {path.name} a row in LAYERS"


@every_file
def test_includes_point_down(path):
    for header in includes(path, '"'):
        mine, other = row_of(path.stem), row_of(header.removesuffix(".h"))
        assert other <= mine, f"{path.name} reaches up to {header}"


@every_file
def test_a_foreign_header_is_included_by_its_owners_only(path):
    for header in includes(path):
        if header in OWNERS:
            owners = OWNERS[header]
            assert path.stem in owners, f"{header} is only for {sorted(owners)}"
        if header.startswith(("internal/", "pycore_", "cpython/")):
            assert path.stem in INTERNALS, f"{header} is only for {sorted(INTERNALS)}"


@every_file
def test_versions_are_compared_only_where_the_internals_are_known(path):
    if path.stem not in INTERNALS:
        assert not re.search(r"PY_VERSION_HEX|Py_GIL_DISABLED", path.read_text())


@every_file
def test_attributes_are_looked_up_by_interned_strings(path):
    # The interpreter's type cache keeps each string that is new.
    fresh = r"PyObject_(Get|Set|Has|Del)AttrString\(|PyObject_CallMethod\([^;]*NULL\)"
    assert not re.search(fresh, path.read_text()), "use tl_getattr() and the like"


@every_file
def test_a_file_stays_readable_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= LONGEST, f"split {path.name}"
