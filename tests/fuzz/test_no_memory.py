"""Whatever allocation fails: no crash, no hang, and nothing is lost.

TASKLETS_NO_MEMORY=all tries every allocation, a number is another seed for the choice.
"""

import os
import shlex
import subprocess
import sysconfig

import pytest
from children import TESTS, run_cases

SOURCE = TESTS / "c" / "no_memory.c"
CHOICE = os.environ.get("TASKLETS_NO_MEMORY", "0")

# How many places a scenario tries for each number of failures in a row.
MOST = 10
PARTS = 8

IS_SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """Compile the module that lets allocations fail; return its path."""
    path = tmp_path_factory.mktemp("no_memory") / "_no_memory.so"
    paths = sysconfig.get_paths()
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    command = [
        *compiler[:1], "-O1", "-g", "-shared", "-fPIC", "-fno-optimize-sibling-calls",
        f"-I{paths['include']}", f"-I{paths['platinclude']}", str(SOURCE),
        "-o", str(path), "-ldl",
    ]  # fmt: skip
    # A sanitizer loaded into the compiler would report the compiler's own leaks.
    plain = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, env=plain)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    return path


@pytest.mark.parametrize("part", range(PARTS))
def test_any_allocation_may_fail(module, part, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(module.parent), prepend=os.pathsep)
    if IS_SANITIZED:
        # It has malloc() to itself, and what the interpreter leaks is no fault here.
        monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    else:
        monkeypatch.setenv("LD_PRELOAD", str(module))
    chosen = [] if CHOICE == "all" else ["--most", MOST, "--seed", CHOICE]
    seconds = 3600 if CHOICE == "all" else 90
    output = run_cases(
        tmp_path, monkeypatch, "no_memory.py", "--part", part, PARTS, *chosen,
        seconds=seconds,
    )  # fmt: skip
    assert output == "faults: 0\n"
