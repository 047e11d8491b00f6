"""What type checkers say to the programs in tests/typing/.

A line without a marker must be right, and one that ends in

    # E: arg-type reportArgumentType

must be wrong: the codes are those of the errors that mypy and pyright report there.
"""

import functools
import importlib.util
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = sorted((ROOT / "tests" / "typing").glob("*.py"))
MARK = re.compile(r"  # E: ([a-zA-Z -]+)$")

every_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)


@functools.cache
def run(module, *args):
    """Return what a type checker prints about the programs."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is missing, which `make ready-lint` installs")
    command = [sys.executable, "-m", module, *args, *map(str, PROGRAMS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout, done.stderr
    return done.stdout


@functools.cache
def mypy(cache):
    """Return the errors of mypy: file name -> line -> codes."""
    found = defaultdict(lambda: defaultdict(set))
    output = run("mypy", "--strict", "--output=json", f"--cache-dir={cache}")
    for line in output.splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            found[Path(error["file"]).name][error["line"]].add(error["code"])
    return found


@functools.cache
def pyright():
    """Return the errors of pyright: file name -> line -> codes."""
    found = defaultdict(lambda: defaultdict(set))
    output = run(
        "basedpyright",
        "--outputjson",
        "--level=error",
        f"--project={ROOT / 'tests' / 'typing'}",
        f"--pythonpath={sys.executable}",
    )
    for error in json.loads(output)["generalDiagnostics"]:
        line = error["range"]["start"]["line"] + 1
        found[Path(error["file"]).name][line].add(error.get("rule", "syntax"))
    return found


def expected(program, checker):
    """Return line -> codes, as the markers have them."""
    marks = defaultdict(set)
    for number, line in enumerate(program.read_text().splitlines(), 1):
        match = MARK.search(line)
        assert match or "# E" not in line, line
        for code in match[1].split() if match else ():
            if code.startswith("report") == (checker == "pyright"):
                marks[number].add(code)
    return marks


@every_program
def test_mypy_finds_the_marked_errors_and_no_others(program, tmp_path_factory):
    cache = tmp_path_factory.getbasetemp() / "mypy"
    assert mypy(cache)[program.name] == expected(program, "mypy")


@every_program
def test_pyright_finds_the_marked_errors_and_no_others(program):
    assert pyright()[program.name] == expected(program, "pyright")


@every_program
def test_a_marker_names_an_error_of_each_checker(program):
    assert expected(program, "mypy").keys() == expected(program, "pyright").keys()


def test_the_programs_contain_errors_to_find():
    assert len(PROGRAMS) > 5
    assert all(expected(program, "mypy") for program in PROGRAMS)
