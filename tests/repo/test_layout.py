"""Where tests and their helpers are: what tests/README.md promises."""

import ast
import re

import pytest
from children import HELPERS, SCRIPTS, TESTS

MAX_LINES = 700
README = (TESTS / "README.md").read_text()
FOLDERS = re.findall(r"^\| `(\w+)/` \|", README, re.M)
FILES = sorted(path for path in TESTS.rglob("*.py") if "__pycache__" not in path.parts)
OTHERS = [*HELPERS.rglob("*.py"), *SCRIPTS.rglob("*.py")]


def name_of(path):
    return path.relative_to(TESTS).as_posix()


every_file = pytest.mark.parametrize("path", FILES, ids=name_of)
every_test_file = pytest.mark.parametrize(
    "path", [path for path in FILES if path.name.startswith("test_")], ids=name_of
)


def imported(path):
    """Return the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@every_test_file
def test_a_test_file_is_in_a_folder_that_the_readme_lists(path):
    assert path.parent.parent == TESTS
    assert path.parent.name in FOLDERS, f"no row for it in {TESTS / 'README.md'}"


@every_test_file
def test_a_test_file_imports_no_other(path):
    assert not [name for name in imported(path) if name.startswith("test_")]


def test_every_folder_of_the_readme_has_tests():
    for folder in FOLDERS:
        assert list((TESTS / folder).glob("test_*.*")), folder


def test_names_of_test_files_are_unique():
    names = [path.name for path in FILES if path.name.startswith("test_")]
    assert len(names) > 90
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", OTHERS, ids=name_of)
def test_helpers_and_scripts_define_no_tests(path):
    assert not path.name.startswith("test_")
    tests = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert not tests


@every_file
def test_a_file_stays_readable_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES, f"split {name_of(path)}"
