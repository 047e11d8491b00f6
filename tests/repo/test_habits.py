"""The settings of editors, hooks and tools agree with each other and with the guide."""

import configparser
import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
import yaml
from children import ROOT
from layers import RANKS

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


def pinned(name):
    """Return the version of a tool that the requirements of make lint pin."""
    text = (ROOT / "tools" / "lint-requirements.txt").read_text()
    (version,) = re.findall(rf"^{re.escape(name)}==(\S+)$", text, re.M)
    return version


@pytest.mark.parametrize(
    ("repo", "tool"),
    [("mirrors-clang-format", "clang-format"), ("ruff-pre-commit", "ruff")],
)
def test_a_hook_has_the_version_of_make_lint(repo, tool):
    (rev,) = [each["rev"] for each in HOOKS if each["repo"].endswith(f"/{repo}")]
    assert rev == f"v{pinned(tool)}"


def test_the_local_hooks_run_tests_that_exist():
    (local,) = [each for each in HOOKS if each["repo"] == "local"]
    entries = [shlex.split(hook["entry"]) for hook in local["hooks"]]
    run = {word for entry in entries for word in entry if word.startswith("tests/")}
    assert run == {"tests/repo/test_layers.py", "tests/repo/test_prose.py"}
    assert all((ROOT / name).is_file() for name in run)
    assert {entry[0] for entry in entries} == {".venv/bin/python"}


def test_all_tools_agree_on_the_form_of_a_line():
    editor = configparser.ConfigParser()
    editor.read_string("[top]\n" + (ROOT / ".editorconfig").read_text())
    clang = yaml.safe_load((ROOT / ".clang-format").read_text())
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lengths = {
        editor["*.{c,h,py,pyi,toml}"].getint("max_line_length"),
        clang["ColumnLimit"],
        settings["tool"]["ruff"]["line-length"],
    }
    assert lengths == {88}
    assert editor["*"].getint("indent_size") == clang["IndentWidth"] == 4
    assert editor["Makefile"]["indent_style"] == "tab"


def attributes():
    """Yield the patterns of .gitattributes whose files are binary."""
    for line in (ROOT / ".gitattributes").read_text().splitlines():
        pattern, *names = line.split() or [""]
        if "binary" in names:
            yield pattern


def test_every_binary_file_is_marked_as_binary():
    folders = ("benchmarks", "docs", "examples", "tests", "tools")
    files = [path for name in folders for path in (ROOT / name).rglob("*")]
    binary = {
        path.name
        for path in files
        if path.is_file()
        and path.suffix not in {".pyc", ".so"}
        and "build" not in path.parts
        and b"\0" in path.read_bytes()
    }
    assert "expected.txt.gz" in binary
    for name in binary:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in attributes()), name


def test_what_commands_write_is_ignored_by_git():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"build/", "dist/", "compile_commands.json", "*.so"} <= set(ignored)


def targets():
    """Return the targets that a user calls."""
    (line,) = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)$", MAKEFILE, re.M)
    names = set(line.replace("\\\n", " ").split())
    return {name for name in names if not name.startswith("ready")} - {"release"}


def test_the_guide_names_every_target_of_make():
    table = re.findall(r"^\| (`make.*?) \|", CONTRIBUTING, re.M)
    named = {word for row in table for word in re.findall(r"`make (\w+)", row)}
    assert named | {"build"} == targets()
    assert "`make`" in table[0]


def test_the_guide_describes_the_layers_of_the_sources():
    rows = re.findall(r"^\| ((?:`\w+/`(?:, )?)+) \| ", CONTRIBUTING, re.M)
    layers = [re.findall(r"`(\w+)/`", row) for row in rows]
    assert [layer for layer in layers if layer[0] in {r[0] for r in RANKS}] == RANKS


def test_the_files_that_the_guide_names_exist():
    tests = set(re.findall(r"\btest_\w+\.py\b", CONTRIBUTING)) - {"test_x.py"}
    assert len(tests) > 10
    for name in tests:
        assert list((ROOT / "tests").glob(f"*/{name}")), name
    folders = "csrc|docs|tests|tools|examples|benchmarks"
    paths = re.findall(rf"`((?:{folders})/[\w./]+)`", CONTRIBUTING)
    for name in set(paths) - {"tests/test_x.py", "tests/x/test_x.py"}:
        assert (ROOT / name).exists(), name


def test_the_functions_that_the_guide_names_exist():
    names = set(re.findall(r"`(tl_\w+|run_stack)(?:\(\))?`", CONTRIBUTING))
    assert {"tl_idle_wait", "tl_park_sleep", "run_stack"} <= names
    source = "".join(path.read_text() for path in (ROOT / "csrc").rglob("*.[ch]"))
    for name in names:
        assert re.search(rf"\b{name}\(", source), name


def left_out_by_asan():
    """Return the test files that the command leaves out."""
    output = subprocess.check_output(
        ["make", "-n", "asan", "PYTHON=", "VENV=.venv"], cwd=ROOT, text=True
    )
    return set(re.findall(r"--ignore=(\S+)", output))


def left_out_by_matrix():
    """Return the test files that the command leaves out."""
    text = (ROOT / "tools" / "matrix").read_text()
    loop = re.search(r"^ *for name in .*?^ *done$", text, re.M | re.S)
    output = subprocess.check_output(
        ["bash", "-c", f"tests=; {loop[0]}; echo $tests"], text=True
    )
    return set(re.findall(r"--ignore=(\S+)", output))


@pytest.mark.parametrize("names", [left_out_by_asan, left_out_by_matrix])
def test_commands_leave_out_tests_that_exist(names):
    left_out = names()
    assert {
        f"tests/repo/test_{n}.py" for n in ("layers", "prose", "habits")
    } <= left_out
    for name in left_out:
        assert (ROOT / name).is_file(), name


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Return what make compile_commands writes, by source."""
    folder = tmp_path_factory.mktemp("commands")
    dropped = ("MAKEFLAGS", "LD_PRELOAD", "CC", "PKG_CONFIG")
    subprocess.run(
        [
            *(sys.executable, "setup.py", "-qq", "compile_commands"),
            *("--build-temp", str(folder / "temp"), "--build-lib", str(folder / "lib")),
            *("--output", str(folder / "commands.json")),
        ],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key not in dropped},
        check=True,
    )
    assert not list(folder.rglob("*.o"))  # nothing was compiled
    entries = json.loads((folder / "commands.json").read_text())
    return {entry["file"]: entry for entry in entries}


def test_editors_learn_how_every_source_is_compiled(commands):
    sources = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("csrc/*/*.c")}
    assert set(commands) == sources


def test_the_recorded_command_compiles_its_source(commands, tmp_path):
    entry = commands["csrc/object/callback_list.c"]
    arguments = entry["arguments"].copy()
    arguments[arguments.index("-o") + 1] = str(tmp_path / "out.o")
    subprocess.run([*arguments, "-O0"], cwd=entry["directory"], check=True, timeout=100)
    assert (tmp_path / "out.o").stat().st_size > 0
