"""What type checkers say to the programs in tests/typing/, and to docs/annotations.md.

A line without a marker must be right, and a line that ends in

    # E: arg-type reportArgumentType

must be wrong: the codes are those of the errors that mypy and pyright report there.
"""

import ast
import functools
import importlib.util
import json
import re
import runpy
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from fences import DOCS, fences

from tasklets import _core

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted((ROOT / "tests" / "typing").glob("*.py"))
MARK = re.compile(r"  # E: ([a-zA-Z -]+)$")

every_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)


@functools.cache
def run(module, *args):
    """Return what a type checker prints."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is missing, which `make ready-lint` installs")
    command = [sys.executable, "-m", module, *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout, done.stderr
    return done.stdout


@functools.cache
def mypy(folder):
    """Return the errors of mypy: file name -> line -> codes."""
    found = defaultdict(lambda: defaultdict(set))
    page = folder / "annotations.py"
    page.write_text("".join(code_of(DOCS / "annotations.md")))
    output = run(
        "mypy",
        "--strict",
        "--output=json",
        f"--cache-dir={folder}",
        f"--python-executable={sys.executable}",
        str(page),
        *map(str, PROGRAMS),
    )
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
        *map(str, PROGRAMS),
    )
    for error in json.loads(output)["generalDiagnostics"]:
        line = error["range"]["start"]["line"] + 1
        found[Path(error["file"]).name][line].add(error.get("rule", "syntax"))
    return found


def code_of(page):
    """Yield the lines of a page's Python blocks."""
    for _, mark, lines in fences(page):
        if mark == "python":
            yield from (f"{line}\n" for line in lines)


def expected(program, checker):
    """Return line -> codes, as the markers say."""
    marks = defaultdict(set)
    for number, line in enumerate(program.read_text().splitlines(), 1):
        match = MARK.search(line)
        assert match or "# E" not in line, line
        for code in match[1].split() if match else ():
            if code.startswith("report") == (checker == "pyright"):
                marks[number].add(code)
    return marks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return where mypy keeps what it has found out."""
    return tmp_path_factory.mktemp("mypy")


@every_program
def test_mypy_finds_the_marked_errors_and_no_others(program, folder):
    errors = mypy(folder)[program.name]
    assert errors == expected(program, "mypy")


def test_mypy_finds_no_errors_in_the_page_about_annotations(folder):
    assert "annotations.py" not in mypy(folder)


@every_program
def test_pyright_finds_the_marked_errors_and_no_others(program):
    assert pyright()[program.name] == expected(program, "pyright")


@every_program
def test_a_marker_names_an_error_of_each_checker(program):
    assert expected(program, "mypy").keys() == expected(program, "pyright").keys()


def test_the_stub_has_the_docstrings_of_the_module():
    documented = runpy.run_path(str(ROOT / "tools" / "stubdocs.py"))["documented"]
    stub = ast.parse((ROOT / "tasklets" / "_core.pyi").read_text())
    found = list(documented(stub.body, _core))
    differing = [name for name, node, doc in found if ast.get_docstring(node) != doc]
    assert not differing, "make stubs puts the texts of the C sources there"
    assert sum(doc is not None for _, _, doc in found) > 200


def test_the_programs_contain_errors_to_find():
    assert len(PROGRAMS) > 5
    assert all(expected(program, "mypy") for program in PROGRAMS)
