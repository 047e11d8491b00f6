"""Type arguments at run time, and the signatures that inspect finds."""

import copy
import inspect
import pickle
import types
import typing

import pytest

import stacklesslib_compat.locks
import stacklesslib_compat.monkeypatch
import tasklets.fs
import tasklets.net
import tasklets.process
import tasklets.signals
import tasklets.testing
from stacklesslib_compat import stackless
from tasklets import Case, QueueChannel, channel, recv, spawn, tasklet
from tasklets.queues import LifoQueue, PriorityQueue, Queue, SimpleQueue
from tasklets.workers import WorkerFuture

GENERIC = [
    Case,
    LifoQueue,
    PriorityQueue,
    Queue,
    QueueChannel,
    SimpleQueue,
    WorkerFuture,
    channel,
    tasklet,
]
MADE = [cls for cls in GENERIC if cls not in (Case, WorkerFuture)]

every_generic = pytest.mark.parametrize("cls", GENERIC, ids=lambda cls: cls.__name__)
every_made = pytest.mark.parametrize("cls", MADE, ids=lambda cls: cls.__name__)


@every_generic
def test_a_generic_class_takes_a_type_argument(cls):
    alias = cls[int]
    assert type(alias) is types.GenericAlias
    assert typing.get_origin(alias) is cls
    assert typing.get_args(alias) == (int,)
    assert alias == cls[int] != cls[str]
    assert repr(alias) == f"{cls.__module__}.{cls.__qualname__}[int]"


@every_generic
def test_the_argument_may_be_given_later(cls):
    T = typing.TypeVar("T")
    assert cls[T].__parameters__ == (T,)
    assert cls[T][int] == cls[int]
    assert typing.get_args(cls[int] | None) == (cls[int], type(None))


@every_generic
def test_an_alias_can_be_pickled_and_copied(cls):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(cls[int], protocol)) == cls[int]
    assert copy.deepcopy(cls[list[int]]) == cls[list[int]]


@every_made
def test_an_alias_makes_an_object_of_the_very_class(cls):
    assert type(cls[int]()) is cls


@every_made
def test_an_alias_can_be_a_base(cls):
    T = typing.TypeVar("T")

    class Fixed(cls[int]):
        pass

    class Open(cls[T], typing.Generic[T]):
        pass

    assert Fixed.__orig_bases__ == (cls[int],)
    assert isinstance(Fixed(), cls)
    made = Open[str]()
    assert type(made) is Open
    assert made.__orig_class__ == Open[str]


def test_objects_of_aliases_work():
    numbers = QueueChannel[int](maxsize=2)
    numbers.send(3)
    assert (numbers.maxsize, numbers.receive()) == (2, 3)
    assert tasklet[int](len)("four").run() is None
    queue = PriorityQueue[int](maxsize=1)
    queue.put(4)
    assert (queue.full(), queue.get()) == (True, 4)

    class Lengths(tasklet[int]):
        def __init__(self, word):
            super().__init__(len, (word,))

    one = Lengths("four")
    spawn(one.run).join()
    assert not one.alive


def test_annotations_are_found():
    def work(source: channel[int], case: Case[str]) -> tasklet[bytes]: ...

    assert typing.get_type_hints(work) == {
        "source": channel[int],
        "case": Case[str],
        "return": tasklet[bytes],
    }


def test_a_case_is_of_a_public_class():
    assert type(recv(channel())) is Case
    with pytest.raises(TypeError, match="cannot create 'tasklets.Case' instances"):
        Case[int]()


# ---- signatures

MODULES = [
    tasklets,
    tasklets.fs,
    tasklets.locks,
    tasklets.net,
    tasklets.process,
    tasklets.queues,
    tasklets.scheduler,
    tasklets.signals,
    tasklets.testing,
    tasklets.workers,
    stackless,
    stacklesslib_compat,
    stacklesslib_compat.locks,
    stacklesslib_compat.monkeypatch,
]


def callables():
    """Yield (name, object) for all that can be called; exceptions are as built-in."""
    for module in MODULES:
        for name in module.__all__:
            found = getattr(module, name)
            if isinstance(found, type) and issubclass(found, BaseException):
                continue
            if callable(found):
                yield f"{module.__name__}.{name}", found
            if isinstance(found, type):
                for key in dir(found):
                    if not key.startswith("_") and callable(getattr(found, key)):
                        yield f"{module.__name__}.{name}.{key}", getattr(found, key)


CALLABLES = dict(callables())


@pytest.mark.parametrize("name", CALLABLES)
def test_what_can_be_called_has_a_signature(name):
    inspect.signature(CALLABLES[name])


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (tasklets.select, "(*cases, timeout=None, default=Ellipsis)"),
        (tasklets.schedule, "(retval=Ellipsis)"),
        (tasklets.schedule_remove, "(retval=Ellipsis)"),
        (stackless.schedule_remove, "(retval=Ellipsis)"),
        (tasklets.locks.Lock().acquire_lock, "(blocking=True, timeout=-1)"),
        (tasklets.locks.Lock().release_lock, "()"),
    ],
)
def test_the_signature_is(function, signature):
    assert str(inspect.signature(function)) == signature
