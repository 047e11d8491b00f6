"""The line that tools/matrix prints for each Python, and when it fails."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MATRIX = Path(__file__).parents[2] / "tools" / "matrix"


@pytest.fixture
def matrix(tmp_path):
    """Return a function that runs tools/matrix where everything else is pretended."""

    def script(name, *lines):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)
        return path

    def run(answer="echo True", tests="echo '=== 3 passed, 2 skipped in 1.00s ==='"):
        script("tools/pythons", "echo 3.99.1 /usr/bin/python3.99")
        script(".venv-3.99/bin/python", answer)
        make = script("make", tests)
        shutil.copy(MATRIX, tmp_path / "tools")
        done = subprocess.run(
            [tmp_path / "tools" / "matrix", "3.99"],
            cwd=tmp_path,
            env=os.environ | {"MAKE": str(make)},
            capture_output=True,
            text=True,
        )
        line = (tmp_path / "build" / "matrix" / "3.99.line").read_text()
        assert done.stdout.endswith(line)
        return done.returncode, line.split("  ")[2:]

    return run


def test_the_line_tells_how_many_tests_passed_and_that_atomic_is_supported(matrix):
    passed = ["passed 3 skipped 2", "atomic.supported True\n"]
    assert matrix() == (0, passed)


def test_it_fails_if_atomic_is_not_supported_and_tells_why(matrix):
    status, (_, supported) = matrix(answer="echo 'False the GIL has moved'")
    assert status == 1
    assert supported == "atomic.supported False the GIL has moved\n"


def test_it_fails_if_nobody_can_tell_whether_atomic_is_supported(matrix):
    status, (_, supported) = matrix(answer="exit 1")
    assert status == 1
    assert supported.startswith("atomic.supported not known")


def test_it_fails_if_the_tests_do(matrix):
    status, (result, _) = matrix(tests="exit 2")
    assert status == 2
    assert result.startswith("FAILED")
