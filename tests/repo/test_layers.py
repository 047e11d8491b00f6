"""The include graph of csrc/ points downwards only."""

import re

import pytest
from layers import CSRC, RANK

LONGEST = 700

# Each foreign header has its owners: folders, or files.
OWNERS = {
    "greenlet/greenlet.h": {"core/fiber.c"},
    "uv.h": {"io"},
    "Python.h": {"cpython/compat.h"},
}

FILES = sorted(CSRC.rglob("*.[ch]"))


def name_of(path):
    """Return a file's name as includes write it: "core/sched.h"."""
    return path.relative_to(CSRC).as_posix()


every_file = pytest.mark.parametrize("path", FILES, ids=name_of)


def includes(path, opening='[<"]'):
    """Return the headers that a file names; ours are quoted, others in brackets."""
    pattern = rf'^\s*#\s*include\s*{opening}([^">]+)[">]'
    return re.findall(pattern, path.read_text(), re.M)


def test_there_are_files_to_check():
    assert FILES


@every_file
def test_a_file_is_in_a_folder_that_has_a_rank(path):
    assert path.parent.parent == CSRC
    assert path.parent.name in RANK, f"{name_of(path)}: no such folder in RANKS"


@every_file
def test_includes_point_down(path):
    mine = path.parent.name
    for header in includes(path, '"'):
        assert (CSRC / header).is_file(), f"{header}: is written from csrc/"
        other = header.split("/")[0]
        assert other == mine or RANK[other] < RANK[mine], (
            f"{name_of(path)} reaches up to {header}"
        )


@every_file
def test_a_foreign_header_is_included_by_its_owners_only(path):
    for header in includes(path, "<"):
        if header in OWNERS:
            owners = OWNERS[header]
            assert {path.parent.name, name_of(path)} & owners, (
                f"{header} is only for {sorted(owners)}"
            )
        if header.startswith(("internal/", "pycore_", "cpython/")):
            assert path.parent.name == "cpython", f"{header} is only for cpython/"


@every_file
def test_versions_are_compared_only_where_the_internals_are_known(path):
    if path.parent.name != "cpython":
        assert not re.search(r"PY_VERSION_HEX|Py_GIL_DISABLED", path.read_text())


@every_file
def test_attributes_are_looked_up_by_interned_strings(path):
    # The interpreter's type cache keeps each string that is new.
    fresh = r"PyObject_(Get|Set|Has|Del)AttrString\(|PyObject_CallMethod\([^;]*NULL\)"
    assert not re.search(fresh, path.read_text()), "use tl_getattr() and the like"


@every_file
def test_a_file_stays_readable_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= LONGEST, f"split {name_of(path)}"
