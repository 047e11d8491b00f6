"""Build tasklets._core. Metadata: setup.cfg; tool settings: pyproject.toml."""

import filecmp
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


def libuv(option):
    """Return what pkg-config answers for libuv, as a list of arguments."""
    tool = shlex.split(os.environ.get("PKG_CONFIG") or "pkg-config")
    try:
        answer = subprocess.check_output([*tool, option, "libuv"], text=True)
    except (OSError, subprocess.CalledProcessError):
        sys.exit(
            "tasklets: pkg-config finds no libuv; install pkg-config and libuv1-dev"
            " (Debian, Ubuntu) or your system's name for them"
        )
    return shlex.split(answer)


class BuildExt(build_ext):
    """Compile the sources side by side, and of them only those that changed."""

    def build_extension(self, ext):
        """Add the flags of foreign libraries, then build."""
        import greenlet  # absent while only metadata is asked for

        # greenlet.h lies inside the installed package.
        ext.include_dirs.append(str(Path(greenlet.__file__).parent.parent))
        ext.extra_compile_args += libuv("--cflags")
        ext.extra_link_args += libuv("--libs")

        # Objects made with other flags, or by another Python, are of no use.
        made_by = Path(self.build_temp, "made_by")
        key = f"{sys.version} {self.compiler.compiler_so} {vars(ext)}"
        if not made_by.exists() or made_by.read_text() != key:
            made_by.unlink(missing_ok=True)
            self.force = True
        self.compile_all = self.compiler.compile
        self.compiler.compile = self.compile_changed
        super().build_extension(ext)
        made_by.parent.mkdir(parents=True, exist_ok=True)
        made_by.write_text(key)

    def compile_changed(self, sources, output_dir, depends, **options):
        """Stand in for the compiler's compile method."""
        newest = max(os.path.getmtime(path) for path in depends)

        def compile_one(source):
            (made,) = self.compiler.object_filenames([source], output_dir=output_dir)
            age = os.path.getmtime(made) if os.path.exists(made) else 0
            if self.force or age < max(newest, os.path.getmtime(source)):
                self.compile_all([source], output_dir=output_dir, **options)
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(compile_one, sources))

    def copy_file(self, source, target, *args, **kwargs):
        """Do not replace a copy by the same: somebody may be running it."""
        if not os.path.exists(target) or not filecmp.cmp(source, target):
            super().copy_file(source, target, *args, **kwargs)


setup(
    cmdclass={"build_ext": BuildExt},
    ext_modules=[
        Extension(
            "tasklets._core",
            sources=sorted(glob("csrc/*.c")),
            depends=["setup.py", *sorted(glob("csrc/*.h"))],
            define_macros=[("_GNU_SOURCE", "1")],
            extra_compile_args=[
                "-std=gnu11",
                "-fvisibility=hidden",
                "-fno-plt",
                # A thread that the interpreter ends is unwound: see run_stack().
                "-fexceptions",
            ],
        )
    ],
)
