"""Queues: subclasses, and what replaces methods."""

import collections

import pytest
from queue_kinds import bounded, getter, putter

from tasklets import getcurrent, schedule, spawn
from tasklets.queues import Empty, LifoQueue, PriorityQueue, Queue
from tasklets.testing import settle


class Unique(Queue):
    """The well-known queue without duplicates."""

    def _init(self, maxsize):
        self.queue = set()

    def _put(self, item):
        self.queue.add(item)

    def _get(self):
        return self.queue.pop()


def test_a_subclass_may_have_a_container_of_its_own(log):
    q = Unique(2)
    for item in (1, 1, 1, 2):
        q.put(item)
    assert q.full()
    putter(log, q, 3)
    settle()
    assert q.get() in (1, 2)
    settle()
    assert log == [3]


def test_a_container_may_be_replaced(log):
    q = Queue()
    q.queue = collections.deque([1, 2], maxlen=2)
    q.put(3)
    assert list(q.queue) == [2, 3]
    q.queue = log
    q.put(4)
    assert log == [4]
    with pytest.raises(AttributeError, match="popleft"):
        q.get()
    del q.queue
    for act in (q.get, q.qsize, lambda: q.put(1), lambda: q.queue):
        with pytest.raises(AttributeError, match="queue"):
            act()
    q.maxsize = 1
    with pytest.raises(AttributeError, match="queue"):
        q.put(1)
    assert not q.mutex.locked()


def test_what_a_subclass_overrides_is_called(log):
    class Loud(Queue):
        def _init(self, maxsize):
            log.append(("init", maxsize))
            super()._init(maxsize)

        def _put(self, item):
            log.append(("put", self.mutex.locked()))
            super()._put(item)

        def _get(self):
            log.append(("get", self.mutex.locked()))
            return super()._get()

    q = Loud(5)
    q.put(1)
    assert q.get() == 1
    assert log == [("init", 5), ("put", True), ("get", True)]


def test_put_nowait_goes_through_put(log):
    class Loud(LifoQueue):
        def put(self, item, block=True, timeout=None):
            log.append(("put", block))
            super().put(item, block, timeout)

        def get(self, block=True, timeout=None):
            log.append(("get", block))
            return super().get(block, timeout)

    q = Loud()
    q.put_nowait(1)
    assert q.get_nowait() == 1
    assert log == [("put", False), ("get", False)]


def test_methods_can_be_replaced_at_any_time(log, monkeypatch):
    q, other = Queue(), PriorityQueue()
    q.put(1)
    with monkeypatch.context() as patch:
        patch.setattr(Queue, "_put", lambda self, item: log.append(item))
        q.put(2)
        other.put(3)
    q.put(4)
    with monkeypatch.context() as patch:
        patch.setattr(q, "_put", log.append)
        q.put(5)
    q.put(6)
    assert (list(q.queue), other.queue, log) == ([1, 4, 6], [], [2, 3, 5])


def test_a_method_that_fails_leaves_all_in_order(log):
    class Failing(Queue):
        fails = True

        def _put(self, item):
            if self.fails:
                raise KeyError(item)
            super()._put(item)

        def _get(self):
            if self.fails:
                raise KeyError
            return super()._get()

    q = Failing(1)
    with pytest.raises(KeyError):
        q.put(1)
    assert (q.unfinished_tasks, q.mutex.locked()) == (0, False)
    q.fails = False
    q.put(1)
    putter(log, q, 2)
    settle()
    q.fails = True
    with pytest.raises(KeyError):
        q.get()
    q.fails = False
    assert q.get() == 1
    settle()
    assert log == [2]


def test_a_getter_whose_method_fails_passes_the_item_on(log):
    class Failing(Queue):
        def _get(self):
            if getcurrent() is first:
                raise KeyError
            return super()._get()

    q = Failing()
    first = getter(log, q, "first")
    getter(log, q, "second")
    settle()
    q.put(1)
    settle()
    assert log == [("first", KeyError), ("second", 1)]


def test_methods_that_switch_keep_all_others_out(log):
    class Slow(Queue):
        def _put(self, item):
            log.append("in")
            schedule()
            super()._put(item)
            log.append("out")

    q = Slow()
    for i in range(3):
        spawn(q.put, i)
    settle()
    assert log == ["in", "out"] * 3
    assert [q.get() for _ in range(3)] == [0, 1, 2]


def test_comparisons_that_switch_keep_all_others_out(log):
    class Item:
        def __init__(self, value):
            self.value = value

        def __lt__(self, other):
            log.append("in")
            schedule()
            log.append("out")
            return self.value < other.value

    q = PriorityQueue()
    for i in (3, 1, 2):
        spawn(q.put, Item(i))
    settle()
    got = []
    for _ in range(3):
        spawn(lambda: got.append(q.get().value))
    settle()
    assert got == [1, 2, 3]
    assert log == ["in", "out"] * (len(log) // 2)


def test_comparisons_that_fail_leave_the_mutex_free():
    q = PriorityQueue()
    q.put(1)
    with pytest.raises(TypeError):
        q.put("x")
    assert not q.mutex.locked()
    assert q.unfinished_tasks == 1


def test_a_tasklet_killed_in_a_comparison_leaves_the_mutex_free(log):
    class Item:
        def __lt__(self, other):
            schedule()
            return True

    q = PriorityQueue()
    q.put(Item())
    t = spawn(q.put, Item())
    schedule()
    assert q.mutex.locked()
    t.kill()
    assert not q.mutex.locked()


def test_a_method_that_releases_the_mutex_does_no_harm(log):
    class Rude(Queue):
        def _put(self, item):
            self.mutex.release()
            super()._put(item)
            spawn(other)
            schedule()

    q = Rude()

    def other():
        with q.mutex:
            schedule()
            log.append(q.mutex.locked())

    q.put(1)
    settle()
    assert log == [True]
    assert not q.mutex.locked()


def test_a_size_that_is_none_is_refused():
    class Wrong(Queue):
        size = -1

        def _qsize(self):
            return self.size

    q = Wrong()
    with pytest.raises(ValueError, match="_qsize"):
        q.get()
    q.size = "x"
    with pytest.raises(TypeError):
        q.qsize()
    assert not q.mutex.locked()


@bounded
def test_a_queue_that_was_not_initialised(make):
    q = make.__new__(make)
    for act in (
        lambda: q.put(1),
        q.get,
        q.qsize,
        q.join,
        q.task_done,
        q.shutdown,
        q.full,
        lambda: q.mutex,
        lambda: q.not_empty,
    ):
        with pytest.raises((RuntimeError, AttributeError)):
            act()
    assert q.maxsize == 0
    repr(q)
    q.__init__(3)
    q.put(1)
    assert q.get() == 1


@bounded
def test_a_queue_can_be_initialised_again(make, log):
    q = make(1)
    getter(log, q)
    settle()
    q.mutex.acquire()
    q.__init__(2)
    q.put(7)
    settle()
    assert log == [7]
    assert (q.maxsize, q.unfinished_tasks, q.is_shutdown) == (2, 1, False)


def test_attributes_can_be_added():
    q = Queue()
    q.name = "mine"
    assert q.__dict__ == {"name": "mine"}


def test_timeouts_may_run_code():
    class Tricky:
        def __init__(self, q):
            self.q = q

        def __float__(self):
            self.q.get_nowait()
            return 0.001

    q = Queue()
    q.put(1)
    with pytest.raises(Empty):
        q.get(timeout=Tricky(q))
