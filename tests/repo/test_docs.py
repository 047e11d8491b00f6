"""The documentation is complete, and everything that it shows happens as shown.

The blocks of a page that are marked python run in order, as one program. What such a
block prints must stand in a block marked text right after it; "..." there stands for
anything.
"""

import doctest
import inspect
import re

import pytest
from children import ROOT, run_script
from fences import DOCS, fences

import stacklesslib_compat.locks
import stacklesslib_compat.monkeypatch
import tasklets
import tasklets.fs
import tasklets.net
import tasklets.process
import tasklets.pytest_plugin
import tasklets.signals
import tasklets.testing

README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
SECONDS = 120
MARK = "=== block at line"

MODULES = [
    tasklets,
    tasklets.scheduler,
    tasklets.testing,
    tasklets.workers,
    tasklets.fs,
    tasklets.net,
    tasklets.process,
    tasklets.signals,
    stacklesslib_compat.locks,
    stacklesslib_compat.monkeypatch,
    tasklets.locks,
    tasklets.queues,
]

OURS = ("tasklets", "stacklesslib_compat")  # not what they pass on, as of subprocess

# What a constant is, or a field of a named tuple, need only be in the reference.
CONSTANTS = (int, str, type(None), type(tasklets.scheduler.LastRun.reason))

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def program(page):
    """Return the page's program, its lines where they are on the page."""
    lines = [""] * len(page.read_text().splitlines())
    for start, mark, code in fences(page):
        if mark == "python":
            lines[start - 1] = f"print('{MARK} {start}', flush=True)"
            lines[start : start + len(code)] = code
    return "\n".join(lines)


def promised(page):
    """Return what each block of the page prints, by its line number."""
    texts, last = {}, None
    for start, mark, lines in fences(page):
        if mark == "python":
            last, texts[start] = start, ""
        elif mark == "text" and last is not None:
            texts[last] = "".join(f"{line}\n" for line in lines)
            last = None
        else:
            last = None
    return texts


def public_names():
    """Yield (name, object) for all that tasklets offers."""
    for module in MODULES:
        for name in module.__all__:
            found = getattr(module, name)
            yield f"{module.__name__}.{name}", found
            ours = isinstance(found, type) and found.__module__.split(".")[0] in OURS
            for attribute in vars(found) if ours else ():
                if not attribute.startswith("_"):
                    value = getattr(found, attribute)
                    yield f"{module.__name__}.{name}.{attribute}", value


PUBLIC = dict(public_names())
every_name = pytest.mark.parametrize("name", PUBLIC)


@every_page
def test_the_code_of_a_page_prints_what_the_page_says(page, tmp_path):
    script = tmp_path / page.with_suffix(".py").name
    script.write_text(program(page))
    status, output = run_script(script, seconds=SECONDS)
    assert status == 0, output
    printed = re.split(rf"^{MARK} (\d+)\n", output, flags=re.M)[1:]
    printed = dict(zip(map(int, printed[::2]), printed[1::2], strict=True))
    same = doctest.OutputChecker().check_output
    for line, want in promised(page).items():
        got = printed[line]
        assert same(want, got, doctest.ELLIPSIS), f"{page.name}:{line} prints\n{got}"


@every_page
def test_every_block_of_a_page_is_marked(page):
    assert {mark for _, mark, _ in fences(page)} <= {"python", "text", "sh"}


@every_page
def test_the_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", other.read_text(), re.M)
            anchors = {
                re.sub(r"[^\w\- ]", "", t).lower().replace(" ", "-") for t in titles
            }
            assert anchor in anchors, target


@every_page
def test_a_page_names_nothing_that_is_not_there(page):
    for name in re.findall(r"\btasklets((?:\.[a-zA-Z_]+)+)", page.read_text()):
        found = tasklets
        for part in name[1:].split("."):
            assert hasattr(found, part), f"{page.name}: tasklets{name}"
            found = getattr(found, part)


@every_page
def test_a_page_is_reached_from_the_index(page):
    index = DOCS / "index.md"
    if page not in (README, index):
        assert f"]({page.relative_to(DOCS).as_posix()})" in index.read_text()


def test_the_porting_page_names_every_internal_that_is_used():
    internal = r"\b(?:_Py[A-Z]\w+|_PY_\w+|pycore_\w+\.h|PyStackRef_\w+|ts->\w+)"
    page = (DOCS / "internals" / "porting.md").read_text()
    for path in (ROOT / "csrc").glob("*/*.[ch]"):
        for name in re.findall(internal, path.read_text()):
            named = name.removeprefix("ts->")
            assert named in page, f"{path.relative_to(ROOT)}: {name}"


def test_the_readme_begins_with_what_to_type_and_fits_on_a_page():
    assert len(README.read_text().splitlines()) < 110
    first, second = list(fences(README))[:2]
    assert first[1:] == ("sh", ["make demo", "make test"])
    assert second[1:] == ("sh", ["pip install ."])


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in PUBLIC.items()
        if not isinstance(value, CONSTANTS)
        and getattr(value, "__module__", "") != "subprocess"
    ],
)
def test_a_public_name_has_a_docstring(name):
    doc = inspect.getdoc(PUBLIC[name])
    assert doc
    assert doc.strip()[-1] in ".!)", doc


@every_name
def test_a_public_name_is_in_the_reference(name):
    short = name.rpartition(".")[2]
    assert re.search(rf"`(?:[\w.]+\.)?{short}[`(]", (DOCS / "api.md").read_text())


def test_every_example_is_named_in_the_index():
    text = (DOCS / "index.md").read_text()
    for example in (DOCS.parent / "examples").glob("*.py"):
        assert f"../examples/{example.name}" in text
