"""The pages about the inside name files and functions that exist."""

import re

import pytest
from children import ROOT

PAGES = sorted((ROOT / "docs" / "internals").glob("*.md"))
FOLDERS = ["csrc", ".", "csrc/core", "csrc/cpython", "docs/internals"]


@pytest.fixture(scope="module")
def source():
    """Return all that the C sources and the packages say."""
    files = [*(ROOT / "csrc").rglob("*.[ch]"), *(ROOT / "tasklets").glob("*.py")]
    return "\n".join(path.read_text() for path in files)


def code_of(page):
    """Return the spans of code of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_files_exist(page):
    names = {n for n in code_of(page) if re.fullmatch(r"[\w./-]+\.(c|h|py|md)", n)}
    names = {n for n in names if not re.match(r"Python|Include|.*pycore_", n)}
    missing = [n for n in names if not any((ROOT / f / n).exists() for f in FOLDERS)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_functions_exist(page, source):
    names = {m[1] for n in code_of(page) if (m := re.fullmatch(r"(tl_\w+)(\(\))?", n))}
    assert not [name for name in names if not re.search(rf"\b{name}\b", source)]
