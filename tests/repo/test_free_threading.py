"""A build of CPython without a GIL: as much of it as can be tried on one with a GIL."""

import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import greenlet
import pytest
from children import ROOT

# What depends on the build is in these folders; the others include their headers.
SOURCES = [ROOT / "csrc" / name for name in ("core/fiber.c", "python/module.c")]
for folder in ("cpython", "object"):
    SOURCES += sorted((ROOT / "csrc" / folder).glob("*.c"))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="no such build before 3.13")
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_source_compiles_for_a_build_without_a_gil(source):
    compiler = shlex.split(sysconfig.get_config_var("CC"))
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"needs the compiler of the build, {compiler[0]}")
    places = [sysconfig.get_path("include"), Path(greenlet.__file__).parents[1]]
    done = subprocess.run(
        [
            *compiler, "-fsyntax-only", "-std=gnu11", "-Wall", "-Werror",
            "-D_GNU_SOURCE", "-DPy_GIL_DISABLED=1",
            "-iquote", ROOT / "csrc", *[f"-I{place}" for place in places], source,
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
