"""The private attributes of concurrent.futures.Future that WorkerFuture relies on.

WorkerFuture and csrc/python/arrivals_type.c use them. When one of these tests fails on
a new version of Python, look at both.
"""

import ast
import re
import threading
from concurrent.futures import CancelledError, Future, wait

import pytest
from children import ROOT

from tasklets import workers

PRIVATE = {
    *("_state", "_result", "_exception", "_condition"),
    *("_done_callbacks", "_invoke_callbacks"),
}


def test_a_future_goes_through_the_states_that_we_compare():
    future = Future()
    assert future._state == "PENDING"
    assert future.set_running_or_notify_cancel()
    assert future._state == "RUNNING"
    future.set_result(5)
    assert (future._state, future._result, future._exception) == ("FINISHED", 5, None)


def test_a_future_keeps_its_exception():
    future, error = Future(), ValueError("why")
    future.set_exception(error)
    assert (future._state, future._result) == ("FINISHED", None)
    assert future._exception is error


def test_a_cancelled_future_has_two_states():
    future = Future()
    assert future.cancel()
    assert future._state == "CANCELLED"
    assert not future.set_running_or_notify_cancel()
    assert future._state == "CANCELLED_AND_NOTIFIED"
    assert {"CANCELLED", "CANCELLED_AND_NOTIFIED"} == workers._CANCELLED


def test_a_future_whose_state_we_set_is_cancelled():
    # As job.cancel() and WorkerFuture.cancel() do, without the future's lock.
    future = Future()
    future._state = "CANCELLED"
    assert future.cancelled()
    assert not future.set_running_or_notify_cancel()
    with pytest.raises(CancelledError):
        future.result(0)
    with pytest.raises(CancelledError):
        future.exception(0)
    assert wait([future], 0).done == {future}


def test_a_future_whose_outcome_we_set_is_finished():
    future, error = Future(), MemoryError()
    future._exception = error
    future._state = "FINISHED"
    assert future.done()
    assert future.exception(0) is error


def test_the_callbacks_are_in_a_list_and_can_be_called():
    future, called = Future(), []
    assert type(future._done_callbacks) is list
    assert not future._done_callbacks
    future.add_done_callback(called.append)
    assert future._done_callbacks == [called.append]
    future._invoke_callbacks()
    assert called == [future]


def test_the_list_of_callbacks_can_be_moved_to_a_renewed_future():
    future, called = Future(), []
    future.add_done_callback(called.append)
    callbacks = future._done_callbacks
    future.__init__()
    assert not future._done_callbacks
    future._done_callbacks = callbacks
    future.set_result(None)
    assert called == [future]


def test_the_condition_can_be_replaced():
    future = Future()
    assert type(future._condition) is threading.Condition
    future._condition = threading.Condition(threading.RLock())
    threading.Timer(0.01, future.set_result, [5]).start()
    assert future.result() == 5


def test_one_class_alone_uses_the_private_attributes():
    wrong = []
    for path in sorted((ROOT / "tasklets").glob("*.py")):
        tree = ast.parse(path.read_text())
        ours = [
            cls
            for cls in tree.body
            if isinstance(cls, ast.ClassDef) and cls.name == "WorkerFuture"
        ]
        allowed = {
            node
            for cls in ours
            for node in ast.walk(cls)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        }
        wrong += [
            f"{path.name}:{node.lineno}: {node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in PRIVATE
            if node not in allowed
        ]
    assert not wrong


def test_one_function_alone_names_the_private_attributes_in_c():
    uses = {
        (path.name, name)
        for path in (ROOT / "csrc").glob("*/*.c")
        for name in re.findall(r'"(_\w+)"', path.read_text())
        if name in PRIVATE
    }
    assert uses == {
        ("arrivals_type.c", "_done_callbacks"),
        ("arrivals_type.c", "_state"),
    }
