"""The comments in the headers say which functions may switch tasklets.

The calls are read from the object files, so a function that switches through others is
found. Calls through pointers and into Python are not seen.
"""

import platform
import re
import shutil
import subprocess

import pytest
from layers import CSRC
from mutants import folder_of_objects

SWITCHES = {"tl_fiber_switch", "tl_fiber_throw"}


def calls_of(path):
    """Yield pairs of a file's functions: caller and callee."""
    output = subprocess.check_output(["objdump", "-dr", path], text=True)
    section, starts = None, {}  # a call into another section names that, and an offset
    for line in output.splitlines():
        if found := re.match(r"Disassembly of section (\S+):", line):
            section = found[1]
        elif found := re.match(r"([0-9a-f]+) <([\w.]+)>:", line):
            starts[section, int(found[1], 16)] = found[2]
    caller = direct = None
    for line in output.splitlines():
        if found := re.search(r"R_X86_64_\w+\s+([\w.]+)([+-]0x[0-9a-f]+)?", line):
            place = int(found[2] or "0", 16) + 4
            yield caller, starts.get((found[1], place), found[1])
            direct = None  # what the instruction shows is not its target
            continue
        if direct is not None:
            yield caller, direct
        found = re.search(r"\s(?:call|jmp)\s+[0-9a-f]+ <([\w.]+)>", line)
        direct = found and found[1]
        if found := re.match(r"[0-9a-f]+ <([\w.]+)>:", line):
            caller = found[1]


def full_name(stem, name):
    """Return a name that no other file has; the compiler may have cut the function."""
    name = name.split(".")[0]
    return name if name.startswith("tl_") else f"{stem}:{name}"


@pytest.fixture(scope="module")
def switching():
    """Return the functions that may switch."""
    if shutil.which("objdump") is None:
        pytest.skip("needs objdump, of binutils")
    folder, _ = folder_of_objects()
    if platform.machine() != "x86_64":
        pytest.skip("reads the relocations of x86-64 only")
    callers = {}
    for source in CSRC.rglob("*.c"):
        name = source.relative_to(CSRC).with_suffix(".o")
        for caller, callee in calls_of(folder / name):
            callee = full_name(source.stem, callee)
            callers.setdefault(callee, set()).add(full_name(source.stem, caller))
    found, left = set(), list(SWITCHES)
    while left:
        fresh = callers.get(left.pop(), set()) - found
        found |= fresh
        left += fresh
    return found


def comments():
    """Return the comment of each function that a header declares.

    One comment may be about several declarations, without an empty line between them.
    """
    found = {}
    for header in CSRC.rglob("*.h"):
        comment = ""
        for line in header.read_text().splitlines():
            if line.startswith("//"):
                comment += line
            elif not line:
                comment = ""
            elif declared := re.match(r"(?!#|\s)[^/]*?\b(tl_\w+)\(", line):
                name = header.relative_to(CSRC).as_posix()
                found.setdefault(declared[1], (name, comment))
    return found


def test_a_function_that_may_switch_says_so(switching):
    assert {"tl_sched_leave", "tl_channel_receive", "tl_pool_call"} <= switching
    silent = [
        f"{header}: {name}() can reach a switch; say 'Switch: yes' or 'Switch: may'"
        for name, (header, comment) in comments().items()
        if name in switching - SWITCHES and "Switch:" not in comment
    ]
    assert not silent, "\n" + "\n".join(silent)
