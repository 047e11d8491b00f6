"""TaskGroup.map()."""

import pytest

from tasklets import (
    CancelledError,
    DeadlockError,
    GroupExit,
    TaskGroup,
    channel,
    getcurrent,
    schedule,
    sleep,
    spawn,
)


@pytest.fixture
def counted():
    """Give a function that notes how many calls of it run at a time."""

    class Counted:
        running = most = 0

        def __call__(self, seconds):
            self.running += 1
            self.most = max(self.most, self.running)
            sleep(seconds)
            self.running -= 1
            return seconds

    return Counted()


@pytest.mark.parametrize(
    ("group_limit", "limit", "most"),
    [(None, None, 8), (None, 3, 3), (3, None, 3), (2, 5, 2), (5, 2, 2), (1, 1, 1)],
)
def test_results_are_in_order_and_limits_hold(clock, counted, group_limit, limit, most):
    times = [5, 3, 1, 4, 1, 2, 6, 3]
    with TaskGroup(group_limit) as group:
        assert group.map(counted, times, limit=limit) == times
    assert counted.most == most


def test_nothing_to_do():
    with TaskGroup() as group:
        assert group.map(len, []) == group.map(len, iter(()), limit=2) == []


def test_an_item_is_taken_when_its_call_may_start(clock, log):
    def items():
        for number in range(4):
            log.append(f"item {number}")
            schedule()  # it may wait
            yield number

    def work(number):
        log.append(f"begin {number}")
        sleep(1)
        log.append(f"end {number}")

    with TaskGroup() as group:
        group.map(work, items(), limit=1)
    assert log == [
        f"{word} {number}" for number in range(4) for word in ("item", "begin", "end")
    ]


def test_the_calls_are_tasklets_of_the_group():
    with TaskGroup() as group:
        names = group.map(lambda _: getcurrent().name, [1])
    assert "lambda" in names[0]


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_an_error_cancels_the_group(clock, log, limit):
    def work(number):
        if number == 1:
            sleep(1)
            raise KeyError("one")
        try:
            sleep(1000)
        finally:
            log.append(number)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.map(work, [1, 2, 3, 4], limit=limit)
        log.append("not reached")
    assert [str(error) for error in caught.value.exceptions] == ["'one'"]
    assert set(log) <= {2, 3, 4}
    assert clock.now() == 1


def test_an_error_that_came_before_its_turn_is_there_once(clock):
    def work(number):
        sleep(3 - number)
        if number == 2:
            raise KeyError(number)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.map(work, [0, 1, 2])
    assert len(caught.value.exceptions) == 1


@pytest.mark.parametrize("first_waits", [True, False])
def test_a_group_that_is_cancelled_has_no_error(log, first_waits):
    def work(number):
        if number == 0 and first_waits:
            sleep(1000)
        if number == 1:
            group.cancel()

    with TaskGroup() as group:
        try:
            group.map(work, [0, 1])
        except GroupExit:
            log.append("interrupted")
            raise
    assert log == ["interrupted"]


def test_a_call_that_is_killed_alone(log):
    def work(number):
        if number == 1:
            raise SystemError if log else getcurrent().kill()
        return number

    with TaskGroup() as group:
        with pytest.raises(CancelledError):
            group.map(work, [0, 1, 2])
        log.append("goes on")
    assert log == ["goes on"]


@pytest.mark.exact_turns
def test_a_place_is_given_back_by_a_call_that_never_began(log):
    """Killed before its first turn, it runs none of its code."""
    spawn(lambda: getcurrent().next.kill())
    with TaskGroup() as group, pytest.raises(CancelledError):
        group.map(log.append, [1, 2], limit=1)
    assert log == [2]


def test_an_error_of_the_items():
    def items():
        yield 1
        raise KeyError("items")

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.map(sleep, items())
    assert isinstance(caught.value.exceptions[0], KeyError)


def test_another_tasklet_of_the_thread_may_call_it(clock):
    with TaskGroup() as group:
        stranger = spawn(group.map, lambda n: (sleep(n), -n)[1], [3, 1, 2])
        assert stranger.result() == [-3, -1, -2]


def test_a_call_that_maps_under_a_full_limit_is_a_deadlock():
    with pytest.raises(ExceptionGroup) as caught, TaskGroup(limit=1) as group:
        group.map(lambda _: group.map(len, ["abc"]), [1])
    assert {type(error) for error in caught.value.exceptions} == {DeadlockError}


@pytest.mark.parametrize(
    ("args", "options", "error", "text"),
    [
        ((5, [1]), {}, TypeError, "must be callable, not int"),
        ((None, [1]), {}, TypeError, "must be callable, not NoneType"),
        ((len, 5), {}, TypeError, "not iterable"),
        ((len,), {}, TypeError, "items"),
        ((len, ["a"], 1), {}, TypeError, "positional"),
        ((len, ["a"]), {"limit": 0}, ValueError, "limit must be positive, not 0"),
        ((len, ["a"]), {"limit": -5}, ValueError, "limit must be positive, not -5"),
        ((len, ["a"]), {"limit": 1.5}, TypeError, "float"),
        ((len, ["a"]), {"limit": "1"}, TypeError, "str"),
        ((len, ["a"]), {"chunk": 1}, TypeError, "chunk"),
    ],
)
def test_bad_arguments_are_refused(args, options, error, text):
    with TaskGroup() as group:
        with pytest.raises(error, match=text):
            group.map(*args, **options)
        assert "0 tasklets" in repr(group)


def test_map_needs_an_open_group():
    group = TaskGroup()
    with pytest.raises(RuntimeError, match="not been entered"):
        group.map(len, ["a"])
    with group:
        pass
    with pytest.raises(RuntimeError):
        group.map(len, ["a"], limit=1)


def test_a_huge_limit_is_none():
    with TaskGroup() as group:
        assert group.map(len, ["a"], limit=2**100) == [1]


def test_nothing_is_kept():
    """Results and calls go when the caller has done with them; see conftest."""
    ch = channel()
    with TaskGroup() as group:
        group.spawn(lambda: [ch.receive() for _ in range(3)])
        assert group.map(ch.send, "abc", limit=2) == [None] * 3
