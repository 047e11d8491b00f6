"""What the source archive and an installation contain, and how a checkout is set up."""

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Return a copy of the checkout, in a folder with a space in its name."""
    checkout = tmp_path_factory.mktemp("copy") / "the checkout"
    unwanted = shutil.ignore_patterns(
        ".*", "build", "dist", "*.egg-info", "__pycache__"
    )
    shutil.copytree(ROOT, checkout, ignore=unwanted)
    return checkout


@pytest.fixture(scope="module")
def setup_py(checkout):
    """Return a function that runs setup.py as a packaging tool does."""
    # In the copy, since it leaves files where it runs.
    # A sanitizer is meant for this process, not for that one.
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}

    def run(*arguments):
        command = [sys.executable, "setup.py", "-qq", *arguments]
        subprocess.run(command, cwd=checkout, env=env, check=True)

    return run


@pytest.fixture(scope="module")
def archive(tmp_path_factory, setup_py):
    """Return the names in the source archive, without the leading folder."""
    folder = tmp_path_factory.mktemp("sdist")
    setup_py("sdist", "--dist-dir", str(folder))
    (path,) = folder.glob("tasklets-*.tar.gz")
    with tarfile.open(path) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


@pytest.fixture(scope="module")
def installed(tmp_path_factory, setup_py):
    """Return the names of the Python part of an installation."""
    folder = tmp_path_factory.mktemp("lib")
    setup_py("build_py", "--build-lib", str(folder))
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}


def files(pattern):
    """Return the names of a pattern's files, as seen from the checkout."""
    names = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)}
    return {name for name in names if "__pycache__" not in name}


@pytest.mark.parametrize(
    "pattern",
    [
        "csrc/*.[ch]",
        "tests/**/*.py",
        "tests/c/*.c",
        "tasklets/*.py*",
        "tasklets/include/*.h",
        "stacklesslib_compat/*.py*",
        "examples/**/*.[cp]*",
        "benchmarks/*.py",
        "tools/*",
    ],
)
def test_the_source_archive_contains(archive, pattern):
    assert files(pattern) <= archive


@pytest.mark.parametrize("name", ["Makefile", "README.md", "LICENSE", "pyproject.toml"])
def test_the_source_archive_contains_the_file(archive, name):
    assert name in archive


def test_the_source_archive_contains_nothing_built(archive):
    assert not [n for n in archive if n.endswith((".so", ".pyc")) or "build/" in n]


@pytest.mark.parametrize("package", ["tasklets", "stacklesslib_compat"])
@pytest.mark.parametrize("pattern", ["*.py", "*.pyi", "py.typed", "include/*.h"])
def test_an_installation_contains_the_packages_with_stubs_and_headers(
    installed, package, pattern
):
    assert files(f"{package}/{pattern}") <= installed


def test_an_installation_contains_neither_tests_nor_sources(installed):
    assert {name.split("/")[0] for name in installed} <= {
        "tasklets",
        "stacklesslib_compat",
    }


def test_the_type_checkers_marker_is_there():
    assert (ROOT / "tasklets" / "py.typed").exists()


@pytest.mark.parametrize("target", ["demo", "stress", "asan", "bench", "wheel"])
def test_make_keeps_a_path_with_a_space_together(checkout, target):
    command = ["make", "-n", target, "PYTHON=", "VENV=.venv"]
    dropped = ("MAKEFLAGS", "LD_PRELOAD")
    env = {key: value for key, value in os.environ.items() if key not in dropped}
    lines = subprocess.check_output(command, cwd=checkout, env=env, text=True)
    words = shlex.split(lines)
    assert [word for word in words if word.startswith(f"PYTHONPATH={checkout}/build/")]
    half = str(checkout).partition(" ")[0]
    assert not [word for word in words if word.endswith(half)]
