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
        "stackless-stubs/*.pyi",
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


@pytest.mark.parametrize(
    "package", ["tasklets", "stacklesslib_compat", "stackless-stubs"]
)
@pytest.mark.parametrize("pattern", ["*.py", "*.pyi", "py.typed", "include/*.h"])
def test_an_installation_contains_the_packages_with_stubs_and_headers(
    installed, package, pattern
):
    assert files(f"{package}/{pattern}") <= installed


def test_an_installation_contains_neither_tests_nor_sources(installed):
    assert {name.split("/")[0] for name in installed} <= {
        "tasklets",
        "stacklesslib_compat",
        "stackless-stubs",
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


@pytest.fixture
def set_up(tmp_path):
    """Return a function that runs tools/setup where things are missing.

    Its argument is what apt-get does; it returns the last line and apt-get's calls.
    """
    calls = tmp_path / "calls"

    def run(apt_get):
        programs = {
            "apt-get": f'echo "$@" >> "{calls}"\n{apt_get}',
            "sudo": 'shift\nexec "$@"',
        }
        for name, lines in programs.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/bash\n{lines}\n")
            path.chmod(0o755)
        for name in ("venv.py", "virtualenv.py"):
            (tmp_path / name).write_text("raise SystemExit(1)")
        env = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "CC": "no-such-compiler",
            "PKG_CONFIG": "no-such-pkg-config",
        }  # and no HOME
        command = ["tools/setup", tmp_path / "venv", "test"]
        done = subprocess.run(
            command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True
        )
        assert done.returncode == 1
        return done.stderr.splitlines()[-1], calls.read_text()

    return run


def test_setup_names_what_is_missing_in_one_line(set_up):
    line, calls = set_up("exit 100")
    assert line.startswith("tasklets: missing, please install: a C compiler (gcc")
    assert "pkg-config (pkg-config), libuv (libuv1-dev)" in line
    assert "Python's venv (python3." in line
    assert "update" in calls


def test_setup_waits_while_another_apt_get_works(set_up):
    lock = "E: Could not get lock /var/lib/dpkg/lock-frontend."
    _, calls = set_up(
        f'[ -e "$TMPDIR/once" ] || {{ touch "$TMPDIR/once"; echo "{lock}"; exit 100; }}'
    )
    first, second, *_ = calls.splitlines()
    assert first == second
    assert "gcc" in first
    assert "update" not in calls
