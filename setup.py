"""Build tasklets._core. Metadata: setup.cfg; tool settings: pyproject.toml."""

import configparser
import filecmp
import functools
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

PKG_CONFIG = shlex.split(os.environ.get("PKG_CONFIG") or "pkg-config")


def runs(command):
    """Tell whether a command can be started and succeeds."""
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def missing():
    """Yield a line for each requirement of the build that is missing."""
    cc = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    if not runs([*shlex.split(cc), "--version"]):
        yield f"no C compiler ({cc}): install gcc and libc6-dev (Debian, Ubuntu)"
    if sysconfig.get_config_var("Py_GIL_DISABLED") and sys.version_info < (3, 15):
        version = sys.version.split()[0]
        yield f"not for the free-threaded build of Python {version}, only from 3.15 on"
    headers = sysconfig.get_path("include")
    if not Path(headers, "Python.h").exists():
        package = "python{}.{}-dev".format(*sys.version_info)
        yield f"no Python.h in {headers}: install {package} (Debian, Ubuntu)"
    if not runs([*PKG_CONFIG, "--version"]):
        tool = shlex.join(PKG_CONFIG)
        yield f"no pkg-config ({tool}): install pkg-config (Debian, Ubuntu)"
    elif not runs([*PKG_CONFIG, "--exists", "libuv"]):
        yield "pkg-config finds no libuv: install libuv1-dev (Debian, Ubuntu)"
    greenlet = find_spec("greenlet")
    if greenlet is None or greenlet.origin is None:
        yield "no greenlet to build with: pip install 'greenlet>=3.1'"
    elif not Path(greenlet.origin).with_name("greenlet.h").exists():
        folder = Path(greenlet.origin).parent
        yield f"no greenlet.h in {folder}: pip install --force-reinstall greenlet"


@functools.cache
def check():
    """End the build before it does anything if a requirement is missing."""
    lines = [f"tasklets: {line}" for line in missing()]
    if lines:
        sys.exit("\n".join(lines))


def libuv(option):
    """Return the answer of pkg-config for libuv, as a list of arguments."""
    answer = subprocess.check_output([*PKG_CONFIG, option, "libuv"], text=True)
    return shlex.split(answer)


def description():
    """Return README.md with links that work outside the repository.

    They lead to the project's page. Without one they become the names of the files, and
    pictures are left out.
    """
    cfg = configparser.ConfigParser()
    cfg.read("setup.cfg")
    url = cfg["metadata"].get("url")
    version = runpy.run_path("tasklets/_version.py")["__version__"]

    def absolute(match):
        before, target = match.groups()
        kind = "raw" if target.endswith((".svg", ".png")) else "blob"
        return f"{before}{url}/{kind}/v{version}/{target}"

    def without_links(text):
        text = re.sub(r"!\[[^]\n]*\]\((?![a-z]+:)[^)\s]+\)\n*", "", text)
        return re.sub(
            r"\[([^]\n]+)\]\((?![a-z]+:|\#)([^)#\s]+)[^)\s]*\)", r"\1 (\2)", text
        )

    # Blocks and spans of code stay unchanged.
    text = Path("README.md").read_text(encoding="utf-8")
    parts = re.split(r"(^```.*?^```|`[^`\n]+`)", text, flags=re.M | re.S)
    link = re.compile(
        r"""(\]\(|^\[[^]\n]+\]:\ *|\b(?:src|srcset|href)=")(?![a-z]+:|\#)([^)"\s]+)""",
        re.M,
    )
    parts[::2] = [
        link.sub(absolute, part) if url else without_links(part) for part in parts[::2]
    ]
    return "".join(parts)


def is_current(made):
    """Tell whether an object file is newer than all files that it was made from."""
    try:
        rule = Path(made).with_suffix(".d").read_text().replace("\\\n", " ")
        files = shlex.split(rule.partition(": ")[2])
        return max(map(os.path.getmtime, files)) <= os.path.getmtime(made)
    except FileNotFoundError:
        return False


class Build(build):
    """Check the requirements before anything is copied."""

    def run(self):
        """Check, then build."""
        check()
        super().run()


class BuildExt(build_ext):
    """Compile the changed sources, several at a time.

    setuptools compiles all files of an extension, one after the other. Its `parallel`
    is for several extensions. Backends that do better do not read setup.py.
    """

    def run(self):
        """Check, then build."""
        check()
        super().run()

    def build_extension(self, ext):
        """Add the flags of foreign libraries, then build."""
        import greenlet  # absent while only metadata is asked for

        # greenlet.h is inside the installed package.
        ext.include_dirs.append(str(Path(greenlet.__file__).parent.parent))
        ext.extra_compile_args += libuv("--cflags")
        ext.extra_link_args += libuv("--libs")

        # Objects compiled with other flags, or for another Python, are compiled again.
        made_by = Path(self.build_temp, "made_by")
        key = f"{sys.version} {self.compiler.compiler_so} {vars(ext)}"
        self.all_stale = (
            self.force or not made_by.exists() or made_by.read_text() != key
        )
        if self.all_stale:
            made_by.unlink(missing_ok=True)
        self.force = True  # compile_changed() decides for each file
        self.compile_all = self.compiler.compile
        self.compiler.compile = self.compile_changed
        super().build_extension(ext)
        made_by.parent.mkdir(parents=True, exist_ok=True)
        made_by.write_text(key)

    def compile_changed(self, sources, output_dir, depends, **options):
        """Replace the compiler's compile method."""

        def compile_one(source):
            (made,) = self.compiler.object_filenames([source], output_dir=output_dir)
            if self.all_stale or not is_current(made):
                self.compile_all([source], output_dir=output_dir, **options)
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(compile_one, sources))

    def copy_file(self, source, target, *args, **kwargs):
        """Keep an identical copy: a running process may be using the file."""
        if not os.path.exists(target) or not filecmp.cmp(source, target):
            super().copy_file(source, target, *args, **kwargs)


class CompileCommands(BuildExt):
    """Write how each source is compiled, for editors and tools; compile nothing."""

    user_options: ClassVar = [
        *build_ext.user_options,
        ("output=", None, "the file to write"),
    ]

    def initialize_options(self):
        """Set the defaults."""
        super().initialize_options()
        self.output = "compile_commands.json"

    def build_extension(self, ext):
        """Record the commands of a build of everything."""
        commands = []

        def record(command, **_):
            commands.append(list(command))

        self.force = True
        # Which of the two starts a command depends on the version of setuptools.
        self.compiler.spawn = self.compiler.call = record
        super().build_extension(ext)
        entries = [
            {
                "directory": os.getcwd(),
                "file": command[command.index("-c") + 1],
                "arguments": command,
            }
            for command in commands
            if "-c" in command
        ]
        entries.sort(key=lambda entry: entry["file"])
        Path(self.output).write_text(json.dumps(entries, indent=1) + "\n")


setup(
    long_description=description(),
    cmdclass={
        "build": Build,
        "build_ext": BuildExt,
        "compile_commands": CompileCommands,
    },
    ext_modules=[
        Extension(
            "tasklets._core",
            sources=sorted(glob("csrc/*/*.c")),
            define_macros=[("_GNU_SOURCE", "1")],
            extra_compile_args=[
                "-std=gnu11",
                "-iquotecsrc",
                "-MMD",  # writes beside each object file from what it was made
                "-fvisibility=hidden",
                "-fno-plt",
                # The interpreter may end a thread by unwinding it: see run_stack().
                "-fexceptions",
            ],
        )
    ],
)
