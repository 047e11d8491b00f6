"""Context variables: which Context a tasklet runs in, and what else is its own."""

import contextvars
import decimal
import sys
import threading

import pytest

import tasklets
from tasklets import channel, getcurrent, run, schedule, spawn, tasklet

variable = contextvars.ContextVar("variable", default="default")


@pytest.fixture(autouse=True)
def own_context():
    token = variable.set("outside")
    yield
    variable.reset(token)


def isolated(work):
    """Return a bound tasklet with a copy of the context."""
    return tasklet(work).set_context(contextvars.copy_context())


def other_context(value):
    context = contextvars.copy_context()
    context.run(variable.set, value)
    return context


# Shared by tasklet(), copied by spawn().


def test_a_tasklet_sees_the_variables_of_its_maker(log):
    tasklet(lambda: log.append(variable.get()))()
    run()
    assert log == ["outside"]


def test_a_tasklet_shares_its_makers_context():
    tasklet(variable.set)("inside")
    run()
    assert variable.get() == "inside"


def test_siblings_share_one_context(log):
    tasklet(variable.set)("first")
    tasklet(lambda: log.append(variable.get()))()
    run()
    assert log == ["first"]


def test_a_tasklet_shares_the_context_in_which_it_was_bound(log):
    t = tasklet()
    other_context("elsewhere").run(t.bind, lambda: log.append(variable.get()))
    t()
    run()
    assert log == ["elsewhere"]


def test_setup_does_not_change_the_context(log):
    t = tasklet(lambda: log.append(variable.get()))
    other_context("elsewhere").run(t)
    run()
    assert log == ["outside"]


def test_a_tasklet_bound_in_a_new_thread_shares_an_empty_context(log):
    def thread():
        t = tasklet(lambda: variable.set("inside"))()
        run()
        log.append((variable.get(), t.alive))

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert log == [("inside", False)]


def test_a_spawned_tasklet_sees_a_copy(log):
    def work():
        log.append(variable.get())
        variable.set("inside")

    spawn(work)
    variable.set("later")
    run()
    assert log == ["outside"]
    assert variable.get() == "later"


def test_spawned_siblings_do_not_see_each_other(log):
    def work(value):
        variable.set(value)
        schedule()
        log.append(variable.get())

    for value in "abc":
        spawn(work, value)
    run()
    assert log == ["a", "b", "c"]


# Switching.


def test_each_tasklet_keeps_its_context_across_switches(log):
    def work(value):
        variable.set(value)
        for _ in range(3):
            schedule()
            log.append(variable.get())

    isolated(work)("a")
    isolated(work)("b")
    run()
    assert "".join(log) == "ababab"
    assert variable.get() == "outside"


def test_a_channel_carries_no_context(log):
    ch = channel()

    def work():
        variable.set("receiver")
        ch.receive()
        log.append(variable.get())

    isolated(work)()
    run()
    ch.send(1)
    assert log == ["receiver"]
    assert variable.get() == "outside"


def test_a_switch_inside_of_context_run_keeps_the_context(log):
    def work():
        log.append(variable.get())
        schedule()
        log.append(variable.get())

    context = other_context("inside")
    tasklet(context.run)(work)
    schedule()
    assert variable.get() == "outside"
    run()
    assert log == ["inside", "inside"]


def test_main_keeps_the_context_that_it_has_entered(log):
    def work():
        tasklet(lambda: log.append(variable.get()))()
        run()
        log.append(variable.get())

    other_context("entered").run(work)
    assert log == ["entered", "entered"]


def test_an_error_in_a_tasklet_leaves_mains_context():
    def work():
        variable.set("inside")
        raise KeyError

    isolated(work)()
    with pytest.raises(KeyError):
        run()
    assert variable.get() == "outside"


def test_a_killed_tasklet_unwinds_in_its_own_context(log):
    def work():
        variable.set("inside")
        try:
            schedule()
        finally:
            log.append(variable.get())

    t = isolated(work)()
    schedule()
    t.kill()
    assert log == ["inside"]
    assert variable.get() == "outside"


def test_a_token_is_valid_in_the_tasklet_that_set_it(log):
    def work():
        token = variable.set("inside")
        schedule()
        variable.reset(token)
        log.append(variable.get())

    isolated(work)()
    run()
    assert log == ["outside"]


def test_decimal_contexts_are_each_tasklets_own(log):
    def work(precision):
        decimal.setcontext(decimal.Context(prec=precision))
        schedule()
        log.append(decimal.getcontext().prec)

    isolated(work)(5)
    isolated(work)(6)
    run()
    assert log == [5, 6]


def test_many_switches_do_not_mix_up_the_cached_values(log):
    # ContextVar.get() caches its last value by context version.
    def work(value):
        variable.set(value)
        for _ in range(200):
            assert variable.get() == value
            schedule()
        log.append(value)

    for value in range(5):
        isolated(work)(value)
    run()
    assert log == list(range(5))


# set_context.


def test_set_context_returns_the_tasklet():
    t = tasklet(int)
    assert t.set_context(contextvars.Context()) is t


def test_set_context_works_before_the_start(log):
    t = tasklet(lambda: log.append(variable.get()))
    t.set_context(other_context("given"))()
    run()
    assert log == ["given"]


def test_set_context_works_for_a_suspended_tasklet(log):
    def work():
        tasklets.schedule_remove()
        log.append(variable.get())

    t = tasklet(work)()
    run()
    t.set_context(other_context("given")).insert()
    run()
    assert log == ["given"]
    assert variable.get() == "outside"


def test_set_context_works_for_the_current_tasklet(log):
    def work():
        getcurrent().set_context(other_context("given"))
        log.append(variable.get())
        schedule()
        log.append(variable.get())

    tasklet(work)()
    run()
    assert log == ["given", "given"]
    assert variable.get() == "outside"


@pytest.mark.parametrize("context", [None, {}, 1, contextvars.Context])
def test_set_context_needs_a_context(context):
    with pytest.raises(TypeError):
        tasklet().set_context(context)


def test_set_context_is_refused_while_the_present_one_is_entered(log):
    def work():
        schedule()
        log.append(variable.get())

    t = tasklet(other_context("entered").run)(work)
    schedule()
    with pytest.raises(
        RuntimeError, match=r"^the current context of the tasklet has been entered\.$"
    ):
        t.set_context(contextvars.Context())
    run()
    assert log == ["entered"]


def test_set_context_is_refused_for_a_current_one_of_another_thread():
    main = getcurrent()
    errors = []

    def thread():
        with pytest.raises(
            RuntimeError, match="^tasklet belongs to a different thread$"
        ) as caught:
            main.set_context(contextvars.Context())
        errors.append(str(caught.value))

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert len(errors) == 1


# context_run and context_id.


def test_context_run_calls_here_and_now(log):
    t = tasklet(int).set_context(other_context("given"))
    assert t.context_run(variable.get) == "given"
    assert variable.get() == "outside"
    assert t.context_run(lambda a, *, b: log.append((a, b)), 1, b=2) is None
    assert log == [(1, 2)]


def test_context_run_changes_the_tasklets_context(log):
    t = tasklet(lambda: log.append(variable.get()))
    t.set_context(contextvars.copy_context())
    t.context_run(variable.set, "changed")
    t()
    run()
    assert log == ["changed"]
    assert variable.get() == "outside"


def test_context_run_works_for_a_suspended_tasklet():
    def work():
        variable.set("inside")
        tasklets.schedule_remove()

    t = isolated(work)()
    run()
    assert t.context_run(variable.get) == "inside"
    t.kill()


def test_context_run_works_for_the_current_tasklet():
    assert getcurrent().context_run(variable.get) == "outside"


def test_context_run_passes_errors_on():
    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        tasklet(int).context_run(fail)
    assert variable.get() == "outside"


def test_context_run_needs_something_to_call():
    with pytest.raises(TypeError):
        tasklet().context_run()
    with pytest.raises(TypeError, match="not callable"):
        tasklet().context_run(1)


def test_context_run_gives_a_copy_with_copy_context():
    t = tasklet(int).set_context(other_context("given"))
    copy = t.context_run(contextvars.copy_context)
    assert copy[variable] == "given"
    copy.run(variable.set, "changed")
    assert t.context_run(variable.get) == "given"


def test_a_switch_in_context_run_stays_in_the_context(log):
    t = tasklet(int).set_context(other_context("given"))

    def work():
        log.append(variable.get())
        schedule()
        log.append(variable.get())

    tasklet(lambda: log.append(variable.get()))()
    t.context_run(work)
    assert log == ["given", "outside", "given"]
    assert variable.get() == "outside"


def test_the_context_id_tells_contexts_apart():
    a, b = tasklet(int), tasklet(int)
    assert a.context_id == b.context_id == getcurrent().context_id
    b.set_context(contextvars.Context())
    assert a.context_id != b.context_id


def test_the_context_id_stays_the_same():
    context = contextvars.copy_context()
    t = tasklet(tasklets.schedule_remove).set_context(context)
    assert t.context_id == id(context)
    t()
    assert t.context_id == id(context)
    run()
    assert t.context_id == id(context)
    t.kill()


def test_an_unbound_tasklet_has_a_context():
    t = tasklet()
    assert t.context_id == t.context_id


def test_no_context_is_not_told_from_an_empty_one(log):
    def thread():
        t = tasklet(int)
        log.append(t.context_id == getcurrent().context_id)
        tasklet(variable.set)("inside")
        run()
        log.append(variable.get())

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert log == [True, "inside"]


# Contexts die.


def test_an_ended_tasklet_releases_its_context(log):
    class Thing:
        def __del__(self):
            log.append("dropped")

    def work():
        variable.set(Thing())

    t = isolated(work)()
    run()
    assert log == ["dropped"]
    assert not t.alive


# Tracing is each tasklet's own frames' affair, not tested as a context.


def test_a_trace_function_sees_tasklets_of_its_thread(log):
    def trace(frame, event, arg):
        if event == "call" and frame.f_code is work.__code__:
            log.append("call")

    def work():
        pass

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        tasklet(work)()
        run()
    finally:
        sys.settrace(before)
    assert log == ["call"]
