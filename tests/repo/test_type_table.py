"""What csrc/object/types.def says of each type is true."""

import copy
import gc
import pickle
import re
import socket
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest
from children import ROOT
from type_table import rows

import tasklets
from tasklets import _core
from tasklets.workers import WorkerPool

KINDS, TYPES = rows()
every_type = pytest.mark.parametrize("row", TYPES, ids=lambda row: row.noun)


class Listened(Future):
    """A future that keeps its done callback."""

    def add_done_callback(self, fn):
        self.callback = fn
        super().add_done_callback(fn)


def a_pool():
    return _core.worker_pool(lambda pool: None, 1, 0, None, 1)


def a_job():
    with WorkerPool(1) as pool:
        future = pool.submit(int)
        future.result()
    return future._job


def arrivals():
    future = Listened()
    with pytest.raises(TimeoutError):
        next(_core.as_completed([future], 0))
    return future.callback


def scheduled_call():
    handle = _core.call_later(0, int)
    handle.cancel()
    return handle


def closed(cls, *args):
    """Return an object of tasklets.net that is closed: it may be dropped."""
    with socket.socket(*args) as sock:
        if cls is _core.Listener:
            sock.listen()
        made = cls(sock)
    made.close()
    return made


# How to make an object of a type that is not just called.
MAKERS = {
    "arrivals": arrivals,
    "barrier": lambda: _core.Barrier(1),
    "bomb": lambda: _core.bomb(ValueError, "x"),
    "case": lambda: tasklets.recv(tasklets.channel()),
    "closer": lambda: a_pool().closer(),
    "completions": lambda: _core.as_completed([Future()]),
    "datagram": lambda: closed(_core.DatagramSocket, socket.AF_INET, socket.SOCK_DGRAM),
    "job": a_job,
    "listener": lambda: closed(_core.Listener),
    "released": lambda: _core.released(_core.Lock()),
    "scheduled_call": scheduled_call,
    "shield": lambda: _core.shield(1),
    "setting": lambda: _core.setting(_core.switch_trap, 0),
    "stream": lambda: closed(_core.Stream),
    "timeout": lambda: _core.timeout(1),
    "worker_pool": a_pool,
}


def make(row):
    """Return a new object of the type."""
    cls = getattr(_core, row.name)
    made = MAKERS.get(row.noun, cls)()
    assert type(made) is cls
    return made


def may_have_subclasses(row):
    """Tell whether the type has Py_TPFLAGS_BASETYPE."""
    return bool(getattr(_core, row.name).__flags__ & 1 << 10)


def test_the_table_is_read_completely():
    text = (ROOT / "csrc" / "object" / "types.def").read_text()
    assert len(TYPES) == text.count("\nTL_TYPE(") + text.count("\nTL_SUBTYPE(") > 30
    assert len(KINDS) == text.count("\nTL_COUNT(")
    assert list(_core.live_counts()) == KINDS


# Made at first use, because its base is a class of the module socket.
LATE = {"socket_part"}


def test_every_spec_is_in_the_table():
    sources = (ROOT / "csrc" / "python").glob("*.c")
    text = "".join(path.read_text() for path in sources)
    specs = re.findall(r"^PyType_Spec tl_(\w+)_spec ", text, re.M)
    assert sorted(specs) == sorted({row.noun for row in TYPES} | LATE)


@every_type
def test_a_type_is_reachable_and_has_a_stub(row):
    cls = getattr(_core, row.name)
    assert isinstance(cls, type)
    stub = Path(_core.__file__).with_name("_core.pyi")
    stub = stub if stub.exists() else ROOT / "tasklets" / "_core.pyi"
    assert f"\nclass {row.name}" in stub.read_text()


@every_type
def test_a_type_counts_its_objects(row):
    make(row)  # may import modules, and fill caches
    gc.collect()
    before = _core.live_counts()
    made = make(row)
    after = _core.live_counts()
    if row.kind is not None:
        assert after[row.kind] > before[row.kind]
    del made
    gc.collect()
    assert _core.live_counts() == before


@every_type
def test_an_object_keeps_its_type_and_drops_it_at_its_end(row):
    make(row)
    gc.collect()
    cls = getattr(_core, row.name)
    before = sys.getrefcount(cls)
    made = [make(row) for _ in range(10)]
    assert sys.getrefcount(cls) >= before + 10
    made.clear()
    gc.collect()
    assert sys.getrefcount(cls) == before


@every_type
@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_type_can_be_pickled_or_says_why_not(row, way):
    made = make(row)
    if row.remedy is None:
        assert way(made)
        return
    with pytest.raises(TypeError) as caught:
        way(made)
    name = type(made).__name__
    assert str(caught.value).startswith("cannot pickle '")
    assert str(caught.value).endswith(f"{name}' object: {row.remedy}")


@pytest.mark.parametrize(
    "row",
    [row for row in TYPES if may_have_subclasses(row) and row.noun not in MAKERS],
    ids=lambda row: row.noun,
)
def test_a_subclass_cannot_be_pickled_either(row):
    sub = type("Sub", (getattr(_core, row.name),), {})
    with pytest.raises(TypeError, match=f"cannot pickle 'Sub' object: {row.remedy}"):
        pickle.dumps(sub())
