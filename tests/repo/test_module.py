"""What the package looks like from outside: names, versions, reprs and messages."""

import doctest
import importlib
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from children import run_program

import tasklets
from tasklets import (
    QueueChannel,
    block_trap,
    channel,
    no_switch,
    recv,
    scheduler,
    select,
    send,
    spawn,
)
from tasklets.testing import fake_clock, seeded

ROOT = Path(__file__).parents[2]
MODULES = [
    "tasklets",
    *(
        f"tasklets.{name}"
        for name in (
            "fs", "locks", "net", "process", "queues", "scheduler", "signals",
            "testing", "workers",
        )
    ),
    *(
        f"stacklesslib_compat{name}"
        for name in ("", ".locks", ".monkeypatch", ".stackless")
    ),
]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_dir_shows_what_is_public(name):
    module = importlib.import_module(name)
    shown = {each for each in dir(module) if not each.startswith("__")}
    more = {
        "tasklets": {"fs", "net", "testing"},
        "stacklesslib_compat.stackless": {
            "current", "debug", "main", "pickle_with_tracing_state", "runcount",
            "threads", "uncollectables",
        },
    }.get(name, set())  # fmt: skip
    assert shown == set(module.__all__) | more
    for each in dir(module):
        assert getattr(module, each, self := object()) is not self, each


def test_modules_need_no_import_of_their_own():
    status, output, errors = run_program(
        """
        import sys, tasklets
        print(tasklets.testing.settle, tasklets.fs.__name__, tasklets.net.__name__)
        print("socket" in sys.modules)
        try:
            tasklets.nothing
        except AttributeError as error:
            print(error)
        """
    )
    assert (status, errors) == (0, [])
    first, second, third = output.splitlines()
    assert first.endswith("tasklets.fs tasklets.net")
    assert second == "False"  # it takes longer than all of tasklets
    assert third == "module 'tasklets' has no attribute 'nothing'"


def test_the_interpreter_may_specialise_what_is_looked_up_in_the_package():
    # CPython does so only for a plain module without __getattr__(), and a loop around
    # tasklets.schedule() takes an eighth longer without.
    assert type(tasklets) is types.ModuleType
    assert not hasattr(tasklets, "__getattr__")


def copy_of_package(folder):
    """Copy the package without its extension, and return the copy's path."""
    return shutil.copytree(
        ROOT / "tasklets",
        folder / "tasklets",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )


def in_folder(folder, program):
    """Run a program that imports what is in a folder; return its output, and errors."""
    env = {**os.environ, "PYTHONPATH": os.fspath(folder)}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_the_source_folder_without_the_extension_says_what_to_do(tmp_path):
    package = copy_of_package(tmp_path)
    (tmp_path / "csrc").mkdir()
    errors = in_folder(tmp_path, "import tasklets").stderr.splitlines()
    assert errors[-1].startswith("ImportError: tasklets is not built for CPython 3.")
    assert f"in {package}: this is the source tree" in errors[-1]
    assert "pip install -e ." in errors[-1]
    assert sum(line.startswith("Traceback") for line in errors) == 1


def test_an_installation_for_another_python_says_which(tmp_path):
    package = copy_of_package(tmp_path)
    (package / "_core.cpython-27-arm.so").touch()
    errors = in_folder(tmp_path, "import tasklets.fs").stderr.splitlines()
    assert "there is only _core.cpython-27-arm.so" in errors[-1]
    assert "install it again with `pip install --force-reinstall` and" in errors[-1]


def test_help_opens_with_an_example_that_works():
    result = doctest.testmod(tasklets)
    assert result.attempted >= 4
    assert result.failed == 0
    status, output, _ = run_program("import tasklets; help(tasklets)")
    assert status == 0
    assert output.index(">>> from tasklets import") < output.index("PACKAGE CONTENTS")
    assert "docs/tutorial.md" in output


def test_reprs_name_the_call():
    for made, name in (
        (block_trap(), "block_trap(True)"),
        (block_trap(False), "block_trap(False)"),
        (no_switch(), "no_switch()"),
        (seeded(5), "testing.seeded(5)"),
        (fake_clock(1), "testing.fake_clock(1.0)"),
    ):
        assert repr(made) == f"<tasklets.{name} not active at {id(made):#x}>"
        assert repr(made._recreate_cm()).startswith(f"<tasklets.{name} ")
        with made:
            assert repr(made) == f"<tasklets.{name} active at {id(made):#x}>"
    assert repr(scheduler.run) == "<built-in function run>"
    assert scheduler.run.__name__ == scheduler.run.__qualname__ == "run"


def test_atomic_says_what_its_attributes_mean():
    assert "why_not: " in tasklets.atomic.__doc__
    assert (tasklets.atomic.why_not is None) == tasklets.atomic.supported


# Cases of select()


class Same:
    """Equal to all of its kind, and not hashable."""

    __hash__ = None

    def __eq__(self, other):
        return isinstance(other, Same)


def test_cases_that_do_the_same_are_equal():
    first, second = channel(), QueueChannel()
    assert recv(first) == recv(first)
    assert send(first, 1) == send(first, 1.0)
    assert send(first, Same()) == send(first, Same())
    different = [
        recv(first), recv(second), send(first, 1), send(first, 2), send(second, 1),
        send(first, None), send(first, Same()), 5, None,
    ]  # fmt: skip
    for i, one in enumerate(different):
        for j, other in enumerate(different):
            assert (one == other) == (i == j)
            assert (one != other) == (i != j)
    for one, other in (
        (recv(first), recv(first)),
        (send(first, 1), send(first, 1.0)),
        (send(first, Same()), send(first, Same())),
    ):
        assert hash(one) == hash(other)
        assert one in {other: None}
    with pytest.raises(TypeError, match="not supported between"):
        recv(first) < recv(first)  # noqa: B015


def test_an_error_of_a_comparison_is_raised():
    class Fails:
        def __eq__(self, other):
            raise KeyError("no")

    ch = channel()
    for compare in (lambda a, b: a == b, lambda a, b: a != b):
        with pytest.raises(KeyError):
            compare(send(ch, Fails()), send(ch, Fails()))
    same = send(ch, Fails())
    assert same == same


def test_a_case_in_a_value_of_its_own():
    ch, nested, other = channel(), [], []
    nested.append(send(ch, nested))
    other.append(send(ch, other))
    with pytest.raises(RecursionError):
        nested[0] == other[0]  # noqa: B015
    nested.clear()
    other.clear()


def test_the_case_that_select_returns_can_be_looked_up():
    words, numbers = channel(), channel()
    names = {recv(words): "word", recv(numbers): "number"}
    spawn(numbers.send, 5)
    case, value = select(*names)
    assert (names[case], names[recv(case.channel)], value) == ("number", "number", 5)
