"""Run the scripts of tests/scripts in a process of their own."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tasklets

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
HELPERS, SCRIPTS = TESTS / "helpers", TESTS / "scripts"
# For a child that hangs: working children take a small part of it on an idle machine.
SECONDS = 120

# The child may find a lock taken by a thread that did not come along. The C library's
# allocator cares for that, a sanitizer's does not.
forks_beside_threads = pytest.mark.skipif(
    not hasattr(os, "fork") or "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="needs os.fork, and an allocator that cares for it",
)

needs_own_allocator = pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="a sanitizer ends the process when it gets no memory",
)


def start(*args, **options):
    """Start the interpreter with this tasklets."""
    # Also where neither the current nor the script's folder is searched.
    home = Path(tasklets.__file__).parents[1]
    places = [HELPERS, SCRIPTS, home, os.environ.get("PYTHONPATH")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(str(p) for p in places if p)}
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        env=env, text=True, start_new_session=True, **options,
    )  # fmt: skip


def finish(child, seconds):
    """Return exit status and what the pipes gave; status None if it took too long."""
    try:
        output = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # Its own children, too, hold the pipes.
        os.killpg(child.pid, signal.SIGKILL)
        return None, *child.communicate()
    return child.returncode, *output


def run_script(name, *args, seconds=SECONDS):
    """Return exit status and output; None as status if it took too long."""
    child = start(
        SCRIPTS / name, *args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return finish(child, seconds)[:2]


def run_cases(folder, monkeypatch, name, *args, seconds=2 * SECONDS):
    """Return what a script prints that notes which case it tries; it must end well."""
    note = folder / "case"
    monkeypatch.setenv("MISUSE_CASE", os.fspath(note))
    status, output = run_script(name, *args, seconds=seconds)
    case = note.read_text().strip() if note.exists() else "before the first case"
    assert status == 0, f"status {status} after {case}:\n{output}"
    return output


def run_program(source, *args, seconds=SECONDS):
    """Return exit status, output and the lines of the errors that are not indented.

    The source lines that a traceback shows differ between versions of Python.
    """
    child = start(
        "-X", "faulthandler", "-c", textwrap.dedent(source), *args,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    status, output, errors = finish(child, seconds)
    errors = [line for line in errors.splitlines() if line[:1] not in ("", " ")]
    return status, output, errors
