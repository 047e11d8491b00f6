"""What is distributed and what it says of itself; how a checkout is set up."""

import configparser
import email
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Return a copy of the checkout, in a folder with a space in its name."""
    checkout = tmp_path_factory.mktemp("copy") / "the checkout"
    # The last is the archive that another process may be making there just now.
    unwanted = shutil.ignore_patterns(
        *(".git", ".venv*", ".*_cache", ".hypothesis", "build", "dist", "*.egg-info"),
        *("__pycache__", "tasklets-*"),
    )
    shutil.copytree(ROOT, checkout, ignore=unwanted)
    # What an earlier build has left there.
    for name in ("tasklets/_core.old.so", "tests/old.pyc", "examples/build/x"):
        path = checkout / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return checkout


def clean_environment():
    """Return the environment without what is meant for this process only."""
    dropped = ("MAKEFLAGS", "LD_PRELOAD", "CC", "PKG_CONFIG")
    return {key: value for key, value in os.environ.items() if key not in dropped}


@pytest.fixture(scope="module")
def setup_py(checkout):
    """Return a function that runs setup.py as a packaging tool does."""

    # In the copy, since it leaves files where it runs.
    def run(*arguments):
        command = [sys.executable, "setup.py", "-qq", *arguments]
        subprocess.run(command, cwd=checkout, env=clean_environment(), check=True)

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
        "csrc/*/*.[ch]",
        "csrc/*/*.def",
        "tests/**/*.py",
        "tests/c/*.c",
        "tasklets/*.py*",
        "tasklets/include/*.h",
        "stacklesslib_compat/*.py*",
        "stackless-stubs/*.pyi",
        "examples/**/*.[cp]*",
        "benchmarks/*.py",
        "docs/**/*.*",
        "tools/*",
        "*.md",
        ".github/workflows/*.yml",
    ],
)
def test_the_source_archive_contains(archive, pattern):
    assert files(pattern) <= archive


@pytest.mark.parametrize(
    "name",
    [
        *("Makefile", "LICENSE", "pyproject.toml", "setup.cfg", ".clang-format"),
        *(".ci/run", ".editorconfig", ".gitattributes", ".gitignore"),
        ".pre-commit-config.yaml",
    ],
)
def test_the_source_archive_contains_the_file(archive, name):
    assert name in archive


def test_the_source_archive_contains_nothing_built(archive):
    assert not [n for n in archive if n.endswith((".so", ".pyc")) or "build/" in n]
    assert not [n for n in archive if "__pycache__" in n or "_cache/" in n]


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


@pytest.fixture(scope="module")
def metadata(tmp_path_factory, setup_py):
    """Return what a distribution says of itself."""
    folder = tmp_path_factory.mktemp("metadata")
    setup_py("egg_info", "--egg-base", str(folder))
    return email.message_from_string(
        (folder / "tasklets.egg-info" / "PKG-INFO").read_text()
    )


def test_the_metadata_tell_license_and_types(metadata):
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License"] is None
    assert "Typing :: Typed" in metadata.get_all("Classifier")


def test_no_address_is_given_for_a_project_without_a_page(metadata):
    assert metadata["Home-page"] is None
    assert metadata["Project-URL"] is None
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    page = re.compile(rb"(github|gitlab)\.com/tasklets|tasklets\.(org|readthedocs)")
    for name in names.split("\0")[:-1]:
        path = ROOT / name
        assert path == Path(__file__) or not page.search(path.read_bytes()), name


def test_the_version_is_that_of_the_newest_changes(metadata):
    newest = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert metadata["Version"] == newest[1]


def relative_links(text):
    """Return the targets of links of a Markdown text that need its folder."""
    targets = re.findall(r"\]\(([^)]+)\)|(?:src|href)=\"([^\"]+)", text)
    targets = [inline or html for inline, html in targets]
    return [t for t in targets if not t.startswith(("https://", "#"))]


def test_the_links_of_the_description_need_no_repository(metadata):
    description = metadata.get_payload()
    assert relative_links((ROOT / "README.md").read_text())
    assert not relative_links(description)
    assert "Watchdog (docs/watchdog.md)" in description
    assert "![" not in description


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("[a](docs/x.md#y)", "[a](URL/blob/v1/docs/x.md#y)"),
        ("![a](docs/x.svg)", "![a](URL/raw/v1/docs/x.svg)"),
        ("[![a](x.png)](y.md)", "[![a](URL/raw/v1/x.png)](URL/blob/v1/y.md)"),
        ('<img src="x.svg">', '<img src="URL/raw/v1/x.svg">'),
        ("[a]: docs/x.md", "[a]: URL/blob/v1/docs/x.md"),
        ("[a](https://b.c/d)", "[a](https://b.c/d)"),
        ("[a](#b)", "[a](#b)"),
        ("`f[0](x)`", "`f[0](x)`"),
        ("```python\nf[0](x)\n```", "```python\nf[0](x)\n```"),
    ],
)
def test_a_project_with_a_page_has_absolute_links(tmp_path, source, shown):
    page = shown.replace("URL", "https://h")
    assert described(tmp_path, source, "url = https://h") == page


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("[a](docs/x.md#y), [b](c.md)", "a (docs/x.md), b (c.md)"),
        ("x\n\n![a](docs/x.svg)\n\ny", "x\n\ny"),
        ("[a](https://b.c/d) [a](#b)", "[a](https://b.c/d) [a](#b)"),
        ("`f[0](x)`", "`f[0](x)`"),
    ],
)
def test_a_project_without_a_page_names_its_files(tmp_path, source, shown):
    assert described(tmp_path, source, "") == shown


def described(tmp_path, source, setting):
    """Return the long description made of a README.md."""
    shutil.copy(ROOT / "setup.py", tmp_path)
    (tmp_path / "README.md").write_text(source)
    (tmp_path / "setup.cfg").write_text(f"[metadata]\n{setting}\n")
    (tmp_path / "tasklets").mkdir()
    (tmp_path / "tasklets" / "_version.py").write_text("__version__ = '1'\n")
    command = [sys.executable, "setup.py", "-q", "--long-description"]
    env = clean_environment()
    output = subprocess.check_output(command, cwd=tmp_path, env=env, text=True)
    return output.strip()


# What stands in for a missing part: a variable of the environment, and Python code.
MISSING = {
    "compiler": ("CC", "no-such-compiler -pthread", "no C compiler (no-such-compiler"),
    "pkg-config": ("PKG_CONFIG", "no-such-tool", "no pkg-config (no-such-tool)"),
    "libuv": ("PKG_CONFIG", "{tmp}/pkg-config", "pkg-config finds no libuv"),
    "Python.h": (
        "", "sysconfig.get_path = lambda name: '/no'", "no Python.h in /no: install"
    ),
    "greenlet": (
        "", "util.find_spec = lambda name: None", "no greenlet to build with: pip"
    ),
    "greenlet.h": ("PYTHONPATH", "{tmp}", "no greenlet.h in {tmp}: pip install"),
}  # fmt: skip
if sys.version_info < (3, 15):
    MISSING["GIL"] = (
        "",
        "get = sysconfig.get_config_var\n"
        "sysconfig.get_config_var = lambda n: n == 'Py_GIL_DISABLED' or get(n)",
        "not for the free-threaded build of Python",
    )


@pytest.mark.parametrize("what", MISSING)
def test_a_build_names_what_is_missing_in_one_line_and_makes_nothing(tmp_path, what):
    variable, value, line = (each.format(tmp=tmp_path) for each in MISSING[what])
    (tmp_path / "pkg-config").write_text('#!/bin/sh\n[ "$1" = --version ]\n')
    (tmp_path / "pkg-config").chmod(0o755)
    (tmp_path / "greenlet.py").touch()
    env, code = (
        clean_environment(),
        "import runpy, sysconfig; from importlib import util\n",
    )
    if variable:
        env[variable] = value
    else:
        code += value + "\n"
    code += "runpy.run_path('setup.py', run_name='__main__')"
    made = tmp_path / "made"
    command = [sys.executable, "-c", code, "-q", "build", "--build-base", made]
    done = subprocess.run(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    (only,) = done.stderr.splitlines()
    assert only.startswith(f"tasklets: {line}")
    assert not made.exists()


def test_a_build_compiles_only_what_a_change_concerns(tmp_path):
    home = tmp_path / "the checkout"
    (home / "csrc" / "a").mkdir(parents=True)
    (home / "tasklets").mkdir()
    version = "tasklets/_version.py"
    for name in ("setup.py", "setup.cfg", "README.md", "LICENSE", version):
        shutil.copy(ROOT / name, home / name)
    one, two, header = (home / "csrc" / "a" / n for n in ("one.c", "two.c", "one.h"))
    one.write_text('#include "a/one.h"\n')
    header.write_text("int one;\n")
    two.write_text("int two;\n")
    env = clean_environment()

    def build():
        command = [sys.executable, "setup.py", "-qq", "build_ext", "-t", "o", "-b", "l"]
        subprocess.run(command, cwd=home, env=env, check=True)
        return {path.stem: path.stat().st_mtime_ns for path in home.glob("o/**/*.o")}

    def compiled_after(changed):
        before = build()
        (made,) = home.glob("l/**/*.so")
        newer = made.stat().st_mtime_ns + 1
        os.utime(changed, ns=(newer, newer))
        return {stem for stem, time in build().items() if time > before[stem]}

    assert build().keys() == {"one", "two"}
    assert build() == build()
    assert compiled_after(header) == {"one"}
    assert compiled_after(two) == {"two"}
    before = build()
    env["CFLAGS"] = "-O0 -DCHANGED"
    after = build()
    assert all(after[stem] > before[stem] for stem in before)


@pytest.mark.parametrize("target", ["demo", "stress", "asan", "bench", "wheel", "docs"])
def test_make_keeps_a_path_with_a_space_together(checkout, target):
    command = ["make", "-n", target, "PYTHON=", "VENV=.venv"]
    env = clean_environment()
    lines = subprocess.check_output(command, cwd=checkout, env=env, text=True)
    words = shlex.split(lines, comments=True)
    # These two name nothing by its full path.
    assert target in ("wheel", "docs") or [
        word for word in words if word.startswith(f"PYTHONPATH={checkout}/build/")
    ]
    half = str(checkout).partition(" ")[0]
    assert not [word for word in words if word.endswith(half)]


def classified():
    """Return the versions of Python that the classifiers name."""
    cfg = configparser.ConfigParser()
    cfg.read(ROOT / "setup.cfg")
    return re.findall(r"Python :: (3\.\d+)", cfg["metadata"]["classifiers"])


def steps(workflow):
    """Yield the steps of all jobs of a workflow."""
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_steps_with_something_to_do(workflow):
    document = yaml.safe_load(workflow.read_text())
    # YAML reads the key "on" as a truth value.
    assert {"name", True, "permissions", "jobs"} <= set(document)
    assert all(("run" in step) != ("uses" in step) for step in steps(workflow))


def test_the_workflows_and_the_wheels_know_all_versions():
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert ci["jobs"]["test"]["strategy"]["matrix"]["python"] == classified()
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
        "cibuildwheel"
    ]
    builds = ["cp{}{}-*".format(*version.split(".")) for version in classified()]
    assert config["build"].split() == builds
    wheels = re.search(r"^wheels:(.*)", (ROOT / "Makefile").read_text(), re.M)[1]
    assert wheels.split() == [f"wheels-{version}" for version in classified()]


def test_the_workflows_run_targets_that_make_has():
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    targets = set(ci["jobs"]["gate"]["strategy"]["matrix"]["target"]) | {"test"}
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert targets <= set(rules)
    gates = re.findall(r"[\w-]+", (ROOT / ".ci" / "run").read_text())
    assert targets - {"stress"} <= set(gates)


@pytest.fixture
def site():
    """Return the module that says how the documentation becomes a site."""
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    module = importlib.util.module_from_spec(spec)
    path = sys.path[:]
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("f(*args, **kwargs)", r"f(\*args, \*\*kwargs)"),
        ("`*args` and ``a_``", "`*args` and ``a_``"),
        ("the `x`s of a `y`", r"the `x`\ s of a `y`"),
        ("a lone ` and a_", r"a lone \` and a\_"),
        ("then::", "then:"),
    ],
)
def test_a_docstring_is_shown_as_plain_text(site, line, shown):
    assert site.escaped(line) == shown


def test_what_a_docstring_indents_is_shown_as_code(site):
    lines = ["For example:", "    f(*a)", "    g()", "", "Raises x_."]
    site.plain_text(None, "function", "f", None, None, lines)
    assert lines == [
        "For example:", "", "::", "", "    f(*a)", "    g()", "", "", r"Raises x\_."
    ]  # fmt: skip


def test_the_contents_of_the_site_are_all_pages(site):
    source = [(ROOT / "docs" / "index.md").read_text()]
    site.prepare(None, "index", source)
    contents = re.search(r"```{toctree}\n:hidden:\n(.*)```", source[0], re.S)[1].split()
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).with_suffix("") for path in docs.rglob("*.md")}
    names = {path.as_posix() for path in pages} - {"index"}
    assert set(contents) == names | {"docstrings"}


def test_the_pages_of_the_site_link_to_pages_of_the_site():
    docs = ROOT / "docs"
    for page in docs.rglob("*.md"):
        for target in re.findall(r"\]\((?!https://)([^)#]+\.md)", page.read_text()):
            assert (page.parent / target).resolve().is_relative_to(docs), (page, target)


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
