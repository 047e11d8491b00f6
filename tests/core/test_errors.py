"""What becomes of an exception that leaves a tasklet, and of sys.exc_info()."""

import sys
import threading
import traceback

import pytest

import tasklets
from tasklets import (
    TaskletExit,
    channel,
    getcurrent,
    run,
    schedule,
    tasklet,
)


def fail(error=KeyError):
    raise error


# Ends that are no errors.


def test_a_returned_value_disturbs_nobody():
    tasklet(lambda: 5)()
    assert run() is None


@pytest.mark.parametrize("error", [TaskletExit, lambda: TaskletExit(1)])
def test_tasklet_exit_ends_a_tasklet_silently(error):
    t = tasklet(fail)(error() if error is not TaskletExit else error)
    run()
    assert not t.alive


def test_a_subclass_of_tasklet_exit_ends_a_tasklet_silently():
    class Quietly(TaskletExit):
        pass

    t = tasklet(fail)(Quietly)
    run()
    assert not t.alive


def test_tasklet_exit_is_a_system_exit():
    assert issubclass(TaskletExit, SystemExit)


# Where an error goes.

ERRORS = [
    KeyError, KeyboardInterrupt, GeneratorExit, StopIteration, SystemExit,
    RecursionError, StopAsyncIteration, BaseException,
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_raised_by_run(error):
    t = tasklet(fail)(error)
    with pytest.raises(error):
        run()
    assert not t.alive


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_raised_by_schedule(error):
    tasklet(fail)(error)
    with pytest.raises(error):
        schedule()


def test_an_error_is_raised_by_a_channel_operation_of_main():
    ch = channel()
    tasklet(fail)()
    with pytest.raises(KeyError):
        ch.receive()
    assert ch.balance == 0
    tasklet(fail)()
    with pytest.raises(KeyError):
        ch.send(1)
    assert ch.balance == 0


def test_an_error_is_raised_by_run_and_switch_of_a_tasklet():
    with pytest.raises(KeyError):
        tasklet(fail, ()).run()
    with pytest.raises(KeyError):
        tasklet(fail, ()).switch()


def test_an_error_is_raised_by_schedule_remove_of_main():
    tasklet(fail)()
    with pytest.raises(KeyError):
        tasklets.schedule_remove()


def test_an_error_comes_before_the_others_go_on(log):
    tasklet(fail)()
    tasklet(log.append)("next")
    with pytest.raises(KeyError):
        run()
    assert log == []
    run()
    assert log == ["next"]


def test_each_error_ends_a_run_of_its_own():
    tasklet(fail)(KeyError)
    tasklet(fail)(ValueError)
    with pytest.raises(KeyError):
        run()
    with pytest.raises(ValueError):  # noqa: PT011 - any
        run()


def test_the_very_instance_arrives():
    error = KeyError("x")
    tasklet(fail)(error)
    with pytest.raises(KeyError) as caught:
        run()
    assert caught.value is error


def test_the_traceback_begins_where_run_was_called_and_ends_at_the_error():
    def inner():
        raise KeyError

    def outer():
        inner()

    tasklet(outer)()
    with pytest.raises(KeyError) as caught:
        run()
    names = [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
    assert names == [sys._getframe().f_code.co_name, "outer", "inner"]


def test_an_error_keeps_its_cause_and_context():
    def work():
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    tasklet(work)()
    with pytest.raises(ValueError, match="second") as caught:
        run()
    assert caught.value.__cause__.args == ("first",)
    assert caught.value.__context__ is caught.value.__cause__


def test_an_error_does_not_take_the_exception_that_main_handles_as_context():
    tasklet(fail)()
    try:
        raise ValueError
    except ValueError:
        with pytest.raises(KeyError) as caught:
            run()
    assert caught.value.__context__ is None


def test_an_error_reaches_the_innermost_run(log):
    def inner():
        with pytest.raises(KeyError):
            run()
        log.append("inner")

    tasklet(inner)()
    tasklet(fail)()
    run()
    assert log == ["inner"]


def test_an_error_does_not_reach_a_blocked_tasklet(log):
    ch = channel()
    t = tasklet(lambda: log.append(ch.receive()))()
    tasklet(fail)()
    with pytest.raises(KeyError):
        run()
    assert t.blocked
    ch.send("value")
    assert log == ["value"]


def test_a_system_exit_goes_past_an_inner_run_to_main(log):
    def inner():
        try:
            run()
        except BaseException as error:
            log.append(type(error))
            raise

    t = tasklet(inner)()
    tasklet(sys.exit)(3)
    with pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == 3
    assert log == []
    t.kill()


def test_an_error_of_main_is_an_ordinary_exception(log):
    tasklets.set_error_handler(lambda *error: log.append(error))
    with pytest.raises(KeyError):
        fail()
    with pytest.raises(TaskletExit):
        getcurrent().kill()
    assert log == []


def test_a_system_exit_in_another_thread_is_silent(log):
    def thread():
        t = tasklet(sys.exit)(3)
        run()
        log.append((t.alive, "main goes on"))

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert log == [(False, "main goes on")]


def test_an_error_in_a_thread_reaches_that_threads_main(log):
    def thread():
        tasklet(fail)()
        with pytest.raises(KeyError):
            run()
        log.append("caught")

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert log == ["caught"]


# The error handler.


def test_the_error_handler_gets_the_error(log):
    tasklets.set_error_handler(lambda *error: log.append(error))
    error = KeyError("x")
    t = tasklet(fail)(error)
    run()
    assert len(log) == 1
    kind, value, tb = log.pop()
    assert (kind, value, tb) == (KeyError, error, error.__traceback__)
    assert traceback.extract_tb(tb)[-1].name == "fail"
    assert not t.alive


def test_a_handled_error_does_not_stop_run(log):
    tasklets.set_error_handler(lambda *error: log.append("handled"))
    tasklet(fail)()
    tasklet(log.append)("next")
    run()
    assert log == ["handled", "next"]


def test_the_error_of_the_error_handler_takes_its_place():
    def handler(kind, value, tb):
        raise ValueError("handler")

    tasklets.set_error_handler(handler)
    tasklet(fail)()
    with pytest.raises(ValueError, match="handler"):
        run()


def test_the_error_handler_may_raise_the_error_again():
    def handler(kind, value, tb):
        raise value

    tasklets.set_error_handler(handler)
    tasklet(fail)()
    with pytest.raises(KeyError):
        run()


def test_the_error_handler_runs_in_the_dying_tasklet(log):
    t = tasklet(fail)
    tasklets.set_error_handler(lambda *e: log.append((getcurrent() is t, t.alive)))
    t()
    run()
    assert log == [(True, True)]


def test_the_error_handler_runs_outside_of_any_frame_of_the_tasklet(log):
    def handler(*error):
        log.append(sys._getframe().f_back)

    tasklets.set_error_handler(handler)
    tasklet(fail)()
    run()
    assert log == [None]


def test_the_error_handler_may_switch_and_block(log):
    ch = channel()

    def handler(*error):
        schedule()
        log.append(ch.receive())

    tasklets.set_error_handler(handler)
    t = tasklet(fail)()
    run()
    assert t.blocked
    ch.send("value")
    assert log == ["value"]
    assert not t.alive


def test_a_tasklet_killed_in_its_error_handler_ends_silently():
    tasklets.set_error_handler(lambda *error: channel().receive())
    t = tasklet(fail)()
    run()
    t.kill()
    assert not t.alive


@pytest.mark.parametrize("error", [TaskletExit, SystemExit])
def test_the_error_handler_is_not_asked_about_an_exit(error, log):
    tasklets.set_error_handler(lambda *error: log.append(error))
    tasklet(fail)(error)
    if error is SystemExit:
        with pytest.raises(SystemExit):
            run()
    run()
    assert log == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, StopIteration])
def test_the_error_handler_is_asked_about_every_other_error(error, log):
    tasklets.set_error_handler(lambda kind, value, tb: log.append(kind))
    tasklet(fail)(error)
    run()
    assert log == [error]


def test_the_error_handler_is_asked_about_a_thrown_error(log):
    tasklets.set_error_handler(lambda kind, value, tb: log.append(kind))
    t = tasklet(schedule)()
    schedule()
    t.throw(KeyError)
    assert log == [KeyError]


def test_the_error_handler_is_asked_in_every_thread(log):
    def thread():
        tasklet(fail)()
        run()

    tasklets.set_error_handler(lambda kind, value, tb: log.append(kind))
    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert log == [KeyError]


def test_set_error_handler_returns_the_previous_one():
    assert tasklets.set_error_handler(print) is None
    assert tasklets.set_error_handler() is print
    assert tasklets.set_error_handler(None) is None


def test_an_error_handler_must_be_callable():
    tasklets.set_error_handler(print)
    with pytest.raises(TypeError, match="^error handler must be callable$"):
        tasklets.set_error_handler(5)
    assert tasklets.set_error_handler(None) is print


# Bombs.


def test_a_bomb_has_three_attributes():
    b = tasklets.bomb(KeyError, 1, None)
    assert (b.type, b.value, b.traceback) == (KeyError, 1, None)


def test_a_bomb_unpacks_a_tuple():
    try:
        fail()
    except KeyError:
        info = sys.exc_info()
    b = tasklets.bomb(info)
    assert (b.type, b.value, b.traceback) == info
    del info, b


def test_an_empty_bomb_holds_nothing():
    b = tasklets.bomb()
    assert (b.type, b.value, b.traceback) == (None, None, None)


def test_a_bomb_takes_three_arguments_at_most():
    with pytest.raises(TypeError):
        tasklets.bomb(1, 2, 3, 4)


@pytest.mark.parametrize("value", [None, 1, (1, 2), ()])
def test_a_bomb_is_raised_as_a_raise_statement_of_its_parts(value):
    expected = {None: (), 1: (1,)}.get(value, value)
    t = tasklet(schedule)()
    schedule()
    t.tempval = tasklets.bomb(LookupError, value)
    with pytest.raises(LookupError) as caught:
        run()
    assert caught.value.args == expected


def test_a_bomb_can_be_raised_twice():
    b = tasklets.bomb(LookupError, "x")
    for _ in range(2):
        t = tasklet(schedule)()
        schedule()
        t.tempval = b
        with pytest.raises(LookupError, match="x"):
            run()


# The exception that is being handled.


def test_a_new_tasklet_handles_no_exception(log):
    try:
        fail()
    except KeyError:
        tasklet(lambda: log.append(sys.exc_info()))()
        run()
    assert log == [(None, None, None)]


def test_each_tasklet_handles_its_own_exception(log):
    def work(error):
        try:
            raise error
        except error:
            schedule()
            log.append(sys.exc_info()[0])
            schedule()
            log.append(sys.exc_info()[0])
        log.append(sys.exc_info()[0])

    tasklet(work)(KeyError)
    tasklet(work)(ValueError)
    run()
    assert log == [KeyError, ValueError, KeyError, None, ValueError, None]


def test_main_keeps_its_exception_across_a_switch():
    def work():
        try:
            fail()
        except KeyError:
            schedule()

    tasklet(work)()
    try:
        raise ValueError
    except ValueError:
        schedule()
        assert sys.exc_info()[0] is ValueError
        schedule()
        assert sys.exc_info()[0] is ValueError
    assert sys.exc_info()[0] is None


def test_an_ended_tasklet_leaves_no_exception_behind(log):
    def work():
        try:
            fail()
        except KeyError:
            getcurrent().kill()

    tasklet(work)()
    tasklet(lambda: log.append(sys.exc_info()[0]))()
    run()
    assert log == [None]
    assert sys.exc_info()[0] is None


def test_a_bare_raise_raises_the_tasklets_own_exception(log):
    def work(error):
        try:
            raise error
        except error:
            schedule()
            try:
                raise
            except BaseException as again:
                log.append(type(again))

    tasklet(work)(KeyError)
    tasklet(work)(ValueError)
    run()
    assert log == [KeyError, ValueError]


def test_a_generator_keeps_its_exception_when_two_tasklets_use_it(log):
    def generator():
        try:
            raise KeyError
        except KeyError:
            yield sys.exc_info()[0]
            yield sys.exc_info()[0]

    g = generator()

    def work():
        log.append(next(g))
        schedule()
        log.append(sys.exc_info()[0])

    tasklet(work)()
    tasklet(work)()
    run()
    assert log == [KeyError, KeyError, None, None]


def test_an_exception_group_arrives_whole():
    def work():
        raise ExceptionGroup("group", [KeyError(1), ValueError(2)])

    tasklet(work)()
    with pytest.raises(ExceptionGroup) as caught:
        run()
    assert [type(e) for e in caught.value.exceptions] == [KeyError, ValueError]
