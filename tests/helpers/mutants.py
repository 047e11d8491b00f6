"""Mutants: builds of the C source with a mistake in one line, and what they do.

One file is compiled, and linked with the objects of the build that is being tested.
"""

import ast
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from children import HELPERS, ROOT, SCRIPTS

import tasklets

SECONDS = 90


def folder_of_objects():
    """Return where the objects of this tasklets are, and how they were made."""
    lib = Path(tasklets.__file__).parents[1]
    # A flavour of its own, or build/debug, which was copied into the checkout.
    bases = [lib.parent] if lib.name == "lib" else sorted(ROOT.glob("build/debug*"))
    for base in bases:
        for made_by in base.glob("temp*/made_by"):
            text = made_by.read_text()
            if text.startswith(f"{sys.version} "):
                return made_by.parent / "csrc", text.removeprefix(f"{sys.version} ")
    pytest.skip("needs the object files of `make build` for this Python")
    return None


class Builder:
    """Compiles one file, and links it with the other objects."""

    def __init__(self, folder):
        self.folder = folder
        self.objects, made_by = folder_of_objects()
        end = made_by.index("] {") + 1
        self.command = ast.literal_eval(made_by[:end])
        if shutil.which(self.command[0]) is None:
            pytest.skip(f"needs the compiler of the build, {self.command[0]}")
        extension = ast.literal_eval(made_by[end:].strip())
        self.link_args = extension["extra_link_args"]
        self.command += extension["extra_compile_args"]
        self.command += [f"-D{k}={v}" for k, v in extension["define_macros"]]
        places = [*extension["include_dirs"], sysconfig.get_path("include")]
        self.command += [f"-I{place}" for place in places]
        # The folder is searched first: it may have a header.
        self.command[1:1] = ["-iquote", folder, "-iquote", ROOT / "csrc"]
        self.command += ["-O1", "-g0", "-w"]

    def build(self, name, right, wrong):
        """Return a folder with a copy of the packages that has the change in it."""
        text = (ROOT / "csrc" / name).read_text()
        assert text.count(right) == 1, "the source no longer says this exactly once"
        changed = self.folder / name
        changed.parent.mkdir(parents=True)
        changed.write_text(text.replace(right, wrong))
        source = changed.with_suffix(".c")
        if source != changed:  # a header: compiled with the source of its name
            shutil.copy((ROOT / "csrc" / name).with_suffix(".c"), source)
        made = source.with_suffix(".o")
        run([*self.command, "-c", source, "-o", made])
        replaced = (self.objects / name).with_suffix(".o")
        others = [o for o in self.objects.glob("*/*.o") if o != replaced]
        lib = self.folder / "lib"
        home = Path(tasklets.__file__).parent
        for package in (home, home.parent / "stacklesslib_compat"):
            leave = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(package, lib / package.name, ignore=leave)
        linker = sysconfig.get_config_var("LDSHARED").split()
        core = lib / "tasklets" / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
        run([*linker, made, *others, *self.link_args, "-o", core])
        return lib


def run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def outcome(lib, *args):
    """Return the status of a child with these packages, and what it printed last."""
    path = os.pathsep.join(map(str, [lib, HELPERS, SCRIPTS]))
    env = os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    child = subprocess.Popen(
        [sys.executable, *map(str, args)],
        env=env, text=True, start_new_session=True, cwd=lib,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        output = child.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return "hang", child.communicate()[0]
    return child.returncode, output
