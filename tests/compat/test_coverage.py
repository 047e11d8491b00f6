"""coverage.py measures tasklets: what docs/testing.md says of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import tasklets

PROGRAM = """\
from tasklets import channel, run, spawn


def each(letters):
    yield from letters


def read(letters):
    for letter in each(letters):
        letter += "!"
    return "end"


def write(letters):
    for letter in "abc":
        letters.send(letter)
    letters.close(wake=True)


letters = channel()
spawn(read, letters)
spawn(write, letters)
run()
"""


def test_branches_are_right_if_a_generator_waits(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / ".coveragerc").write_text("[run]\nbranch = True\n")
    env = {**os.environ, "PYTHONPATH": os.fspath(Path(tasklets.__file__).parents[1])}
    for command in (
        ["run", "--include=program.py", "program.py"],
        ["json", "-o", "report.json"],
    ):
        subprocess.run(
            [sys.executable, "-m", "coverage", *command],
            cwd=tmp_path, env=env, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    report = json.loads((tmp_path / "report.json").read_text())
    (program,) = report["files"].values()
    assert program["missing_lines"] == []
    assert program["missing_branches"] == []
    assert program["summary"]["num_branches"] == 4
