"""Our sockets and selectors pass the interpreter's own tests of them."""

import builtins
import importlib.util
import unittest
from pathlib import Path
from types import ModuleType

import pytest

from tasklets._cooperative import select, selectors, socket

OURS = {"socket": socket, "select": select, "selectors": selectors}

ALWAYS_NON_BLOCKING = "the descriptor itself never blocks"
NEEDS_A_HOST = "waits forever where the system offers VSOCK, and has no host for it"

# The tests that are left out, and why.
LEFT_OUT = {
    "testSetBlocking": ALWAYS_NON_BLOCKING,
    "testSetBlocking_overflow": ALWAYS_NON_BLOCKING,
    "test_SOCK_NONBLOCK": ALWAYS_NON_BLOCKING,
    "testRefCountGetNameInfo": "the traceback of a failed call has its arguments",
    "test_modify_unregister": "it replaces a name of the standard library's module",
}
CLASSES_LEFT_OUT = {
    "ThreadedVSOCKSocketStreamTest": NEEDS_A_HOST,
    "BasicVSOCKTest": NEEDS_A_HOST,
}


def load(name):
    """Return the interpreter's test module, over ours."""
    missing = f"this interpreter came without test.{name}"
    pytest.importorskip("test.support", reason=missing)
    spec = importlib.util.find_spec(f"test.{name}")
    if spec is None:
        pytest.skip(missing, allow_module_level=True)

    def import_other(name, globals=None, locals=None, fromlist=(), level=0):
        found = builtins.__import__(name, globals, locals, fromlist, level)
        return OURS.get(name, found)

    module = ModuleType(f"cooperative_{name}")
    module.__spec__ = spec  # for tracebacks, which look for the source
    module.__loader__ = spec.loader
    module.__builtins__ = vars(builtins) | {"__import__": import_other}
    code = compile(Path(spec.origin).read_text(), spec.origin, "exec")
    exec(code, vars(module))
    return module


def suites():
    """Yield the classes of both test modules, without the tests that are left out."""
    for name in ("test_socket", "test_selectors"):
        for title, base in list(vars(load(name)).items()):
            if not isinstance(base, type) or not issubclass(base, unittest.TestCase):
                continue
            if title in CLASSES_LEFT_OUT or title.endswith(("Base", "Mixin")):
                continue
            members = {"__module__": __name__}
            members |= {test: None for test in LEFT_OUT if hasattr(base, test)}
            yield type(title, (base,), members | {"__qualname__": title})


globals().update({cls.__name__: cls for cls in suites()})
