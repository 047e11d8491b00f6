"""Pages about the inside, and comments in C, name files and functions that exist."""

import functools
import re

import pytest
from children import ROOT
from layers import CSRC

PAGES = sorted((ROOT / "docs" / "internals").glob("*.md"))
FOLDERS = ["csrc", ".", "csrc/core", "csrc/cpython", "docs/internals"]
SOURCES = sorted(CSRC.rglob("*.[ch]"))
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\\n])*")', re.S)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@functools.cache
def code_of(path):
    """Return a C source without its comments."""
    return COMMENT.sub(lambda found: found[1] or " ", path.read_text())


@functools.cache
def words():
    """Return all words of the C code, and of the packages."""
    python = [path.read_text() for path in (ROOT / "tasklets").glob("*.py")]
    return set(re.findall(r"\w+", " ".join([*map(code_of, SOURCES), *python])))


def spans_of(page):
    """Return the spans of code of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return re.findall(r"`([^`\n]+)`", text)


def found_file(name):
    """Return the file that a page names, or None."""
    paths = [ROOT / folder / name for folder in FOLDERS]
    return next((path for path in paths if path.exists()), None)


@every_page
def test_the_files_exist(page):
    names = {n for n in spans_of(page) if re.fullmatch(r"[\w./-]+\.(c|h|def|py|md)", n)}
    names = {n for n in names if not re.match(r"Python|Include|.*pycore_", n)}
    assert not [name for name in names if found_file(name) is None]


@every_page
def test_the_functions_exist(page):
    names = {m[1] for n in spans_of(page) if (m := re.fullmatch(r"(tl_\w+)(\(\))?", n))}
    assert not names - words()


@every_page
def test_a_file_has_the_functions_that_follow_its_name(page):
    text = page.read_text()
    for name, functions in re.findall(
        r"`([\w/]+\.[ch])`: ((?:`\w+\(\)`(?:, )?)+)", text
    ):
        code = code_of(found_file(name))
        for function in re.findall(r"`(\w+)\(\)`", functions):
            assert re.search(rf"\b{function}\(", code), f"{function}() in {name}"


@every_page
def test_the_tests_exist(page):
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("*/test_*.py"))
    names = {name for name in spans_of(page) if re.fullmatch(r"test_\w+", name)}
    assert not [name for name in names if f"def {name}(" not in tests]


def test_names_in_comments_exist():
    wrong = []
    for path in SOURCES:
        for found in COMMENT.finditer(path.read_text()):
            names = set() if found[1] else set(re.findall(r"\b[tT][lL]_\w+", found[0]))
            wrong += [
                f"{path.relative_to(ROOT)}: {name}"
                for name in names - words()
                if not name.endswith("_")
            ]
    assert not wrong


def test_comments_are_no_wider_than_code():
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 88 and line.lstrip().startswith("//")
    ]
    assert not wrong
