"""stacklesslib_compat.stackless: the names and the quirks of the module `stackless`."""

import builtins
import contextvars
import importlib
import pickle
import sys
import threading
import types

import pytest
from threads import in_thread

import stacklesslib_compat
import tasklets
from stacklesslib_compat import locks, stackless

FUNCTIONS = [
    "enable_softswitch", "get_channel_callback", "get_schedule_callback",
    "get_thread_info", "getcurrent", "getcurrentid", "getdebug", "getmain",
    "getruncount", "getthreads", "getuncollectables", "pickle_flags",
    "pickle_flags_default", "run", "schedule", "schedule_remove",
    "set_channel_callback", "set_error_handler", "set_schedule_callback",
    "switch_trap",
]  # fmt: skip
TYPES = ["atomic", "bomb", "cframe", "channel", "cstack", "tasklet"]
PROPERTIES = ["current", "main", "runcount", "threads", "debug", "uncollectables"]


@pytest.fixture(autouse=True)
def flags_as_new():
    yield
    stackless.pickle_flags(0)
    stackless.pickle_flags_default(0)


@pytest.fixture
def not_installed(monkeypatch):
    """Let the modules that install() adds exist for one test only."""
    for name in ("stackless", "stacklesslib", "stacklesslib.locks"):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]


@pytest.fixture
def installed(not_installed):
    """Install the modules for one test."""
    return stacklesslib_compat.install()


# The module object.


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_module_has_the_function(name):
    assert callable(getattr(stackless, name))
    assert name in stackless.__all__


@pytest.mark.parametrize("name", TYPES)
def test_the_module_has_the_type(name):
    assert isinstance(getattr(stackless, name), type)
    assert name in stackless.__all__


def test_the_module_is_of_a_module_type_of_its_own():
    assert isinstance(stackless, types.ModuleType)
    assert type(stackless) is not types.ModuleType
    assert sys.modules["stacklesslib_compat.stackless"] is stackless


def test_the_module_holds_itself():
    assert stackless.stackless is stackless
    assert "stackless" in stackless.__all__


def test_an_import_of_a_property_freezes_its_value():
    from stacklesslib_compat.stackless import current

    assert current is stackless.getcurrent()


def test_everything_is_imported_but_the_properties():
    names = {}
    exec("from stacklesslib_compat.stackless import *", names)
    assert set(FUNCTIONS + TYPES) <= names.keys()
    assert not set(PROPERTIES) & names.keys()
    assert "pickle_with_tracing_state" not in names


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_cannot_be_set(name):
    with pytest.raises(AttributeError):
        setattr(stackless, name, None)


def test_the_property_current_is_the_running_tasklet():
    seen = []
    t = stackless.tasklet(lambda: seen.append(stackless.current))()
    stackless.run()
    assert seen == [t]
    assert stackless.current is stackless.getcurrent()


def test_the_property_main_is_the_same_in_every_tasklet():
    seen = []
    stackless.tasklet(lambda: seen.append(stackless.main))()
    stackless.run()
    assert seen == [stackless.main] == [stackless.getmain()]


def test_the_property_runcount_counts_what_can_run():
    assert stackless.runcount == 1
    t = stackless.tasklet(lambda: None)()
    assert stackless.runcount == 2
    t.kill()
    assert stackless.runcount == 1


def test_the_property_threads_lists_this_thread():
    assert threading.get_ident() in stackless.threads


def test_the_property_debug_is_false():
    assert stackless.debug is False
    assert stackless.getdebug() is False


def test_the_property_uncollectables_lists_what_has_started_and_not_ended():
    c = stackless.channel()
    t = stackless.tasklet(c.receive)()
    assert t not in stackless.uncollectables
    stackless.run()
    assert t in stackless.uncollectables
    c.send(None)
    stackless.run()
    assert t not in stackless.uncollectables


def test_the_main_tasklet_is_not_uncollectable():
    assert stackless.main not in stackless.getuncollectables()


# Installing.


def test_an_installed_module_is_found_as_stackless(installed):
    assert importlib.import_module("stackless") is installed is stackless


def test_installing_twice_gives_the_same_module(installed):
    assert stacklesslib_compat.install() is installed


@pytest.mark.usefixtures("not_installed")
def test_the_locks_of_stacklesslib_are_found():
    stacklesslib_compat.install()
    stacklesslib = importlib.import_module("stacklesslib")
    assert importlib.import_module("stacklesslib.locks") is locks
    assert stacklesslib.locks is locks
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("stacklesslib.util")


@pytest.mark.usefixtures("not_installed")
def test_a_stacklesslib_that_has_been_imported_stays():
    true = sys.modules["stacklesslib"] = types.ModuleType("stacklesslib")
    stacklesslib_compat.install()
    assert sys.modules["stacklesslib"] is true
    assert true.locks is sys.modules["stacklesslib.locks"] is locks


def test_tasklet_exit_is_a_builtin_and_not_in_the_module():
    assert builtins.TaskletExit is tasklets.TaskletExit
    assert issubclass(builtins.TaskletExit, SystemExit)
    assert not hasattr(stackless, "TaskletExit")


# Errors have the classes and the texts of Stackless, with nothing added.


def error_of(function, *args):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at it
        function(*args)
    return type(caught.value), str(caught.value)


def test_a_deadlock_is_a_plain_runtime_error():
    assert error_of(stackless.channel().receive) == (
        RuntimeError,
        "Deadlock: the last runnable tasklet cannot be blocked.",
    )


def test_a_deadlock_by_leaving_the_queue_is_a_plain_runtime_error():
    def leave():
        errors.append(error_of(stackless.schedule_remove))
        c.send(None)

    errors = []
    c = stackless.channel()
    stackless.tasklet(leave)()
    c.receive()
    assert errors == [
        (RuntimeError, "Deadlock: the last runnable tasklet cannot be blocked.")
    ]


@pytest.mark.parametrize(
    ("method", "args", "text"),
    [
        ("receive", (), "receiving without a sender available."),
        ("send", (1,), "sending without a receiver available."),
    ],
)
def test_main_waiting_for_nobody_is_a_plain_runtime_error(method, args, text):
    stackless.tasklet(lambda: None)()
    assert error_of(getattr(stackless.channel(), method), *args) == (
        RuntimeError,
        f"the main tasklet is {text}",
    )


def test_a_closed_channel_raises_a_plain_value_error():
    c = stackless.channel()
    c.close()
    assert error_of(c.send, 1) == (
        ValueError,
        "Send/receive operation on a closed channel",
    )


def test_a_block_trap_raises_a_plain_runtime_error():
    stackless.current.block_trap = True
    try:
        error = error_of(stackless.channel().receive)
    finally:
        stackless.current.block_trap = False
    assert error == (RuntimeError, "this tasklet does not like to be blocked.")


def test_a_switch_trap_raises_a_plain_runtime_error():
    t = stackless.tasklet(lambda: None)()
    stackless.switch_trap(1)
    try:
        error = error_of(stackless.schedule)
    finally:
        stackless.switch_trap(-1)
    assert error == (RuntimeError, "switch_trap")
    t.kill()


# Pickle flags.


def test_the_pickle_flags_have_the_values_of_stackless():
    assert stackless.PICKLEFLAGS_PRESERVE_TRACING_STATE == 1
    assert stackless.PICKLEFLAGS_PRESERVE_AG_FINALIZER == 2
    assert stackless.PICKLEFLAGS_RESET_AG_FINALIZER == 4
    assert stackless.PICKLEFLAGS_PICKLE_CONTEXT == 8


both = pytest.mark.parametrize(
    "flags", [stackless.pickle_flags, stackless.pickle_flags_default]
)


@both
def test_pickle_flags_returns_the_old_flags(flags):
    assert flags(5) == 0
    assert flags() == 5


@both
def test_pickle_flags_sets_only_what_is_in_the_mask(flags):
    flags(5)
    flags(2, 3)
    assert flags() == 6


@both
@pytest.mark.parametrize("new", [-2, 16, 17])
def test_undefined_pickle_flags_are_refused(flags, new):
    with pytest.raises(ValueError, match="you must not set an undefined pickle-flag"):
        flags(new)
    assert flags() == 0


def test_a_new_thread_starts_with_the_default_pickle_flags():
    stackless.pickle_flags_default(3)
    assert in_thread(stackless.pickle_flags) == 3
    assert stackless.pickle_flags() == 0


def test_the_pickle_flags_of_a_thread_are_its_own():
    in_thread(lambda: stackless.pickle_flags(4))
    assert stackless.pickle_flags() == 0


def test_pickle_with_tracing_state_is_the_first_flag_of_thread_and_default():
    assert stackless.pickle_with_tracing_state is False
    stackless.pickle_flags(2)
    stackless.pickle_with_tracing_state = True
    assert stackless.pickle_with_tracing_state is True
    assert stackless.pickle_flags() == 3
    assert stackless.pickle_flags_default() == 1
    stackless.pickle_with_tracing_state = False
    assert stackless.pickle_flags() == 2
    assert stackless.pickle_flags_default() == 0


# What is there in name only.


@pytest.mark.parametrize("flag", [None, False, True])
def test_soft_switching_cannot_be_enabled(flag):
    assert stackless.enable_softswitch(flag) is False
    assert stackless.enable_softswitch(None) is False


@pytest.mark.parametrize("kind", ["cframe", "cstack"])
def test_nothing_is_a_c_frame_or_c_stack(kind):
    assert not isinstance(stackless.current, getattr(stackless, kind))


def test_outside_runs_all_others():
    ran = []
    stackless.tasklet(ran.append)(1)
    stackless.test_outside()
    assert ran == [1]
    assert stackless.runcount == 1


def test_cframe_nr_yields_as_often_as_told():
    turns = []

    def other():
        while True:
            turns.append(None)
            stackless.schedule()

    t = stackless.tasklet(other)()
    stackless.test_cframe_nr(3)
    assert len(turns) == 3
    t.kill()


def test_nostacklesscall_calls():
    assert stackless._test_nostacklesscall(dict, [(1, 2)], a=3) == {1: 2, "a": 3}


def test_the_unpicklable_state_of_a_tasklet_is_its_context():
    variable = contextvars.ContextVar("variable")
    variable.set("seen")
    t = stackless.tasklet(lambda: None)()
    state = stackless._tasklet_get_unpicklable_state(t)
    assert state.keys() == {"context"}
    assert state["context"][variable] == "seen"
    t.kill()


# The objects are those of the core.


def test_a_bomb_survives_pickling():
    bomb = pickle.loads(pickle.dumps(stackless.bomb(ValueError, ValueError("x"))))
    assert bomb.type is ValueError
    assert bomb.value.args == ("x",)


def test_a_tasklet_of_stackless_can_be_subclassed():
    class MyTasklet(stackless.tasklet):
        pass

    t = MyTasklet(lambda: None)()
    t.note = "has a dict"
    assert stackless.current.next is t
    t.kill()


def test_a_channel_of_stackless_can_be_subclassed():
    class MyChannel(stackless.channel):
        pass

    c = MyChannel()
    c.note = "has a dict"
    assert c.preference == -1


def test_run_ignores_threadblock_without_a_timeout():
    assert stackless.run(0, True) is None


def test_atomic_sets_the_flag_of_the_tasklet_and_restores_it():
    with stackless.atomic():
        assert stackless.current.atomic
        with stackless.atomic():
            pass
        assert stackless.current.atomic
    assert not stackless.current.atomic


def test_run_raises_what_the_last_tasklet_waits_to_send_as_stackless_does():
    ch = stackless.channel()
    t = stackless.tasklet(ch.send_exception)(KeyError, 5)
    with pytest.raises(KeyError, match="5"):
        stackless.run()
    assert t.blocked
    with pytest.raises(KeyError, match="5"):
        ch.receive()
    stackless.run()
    assert not t.alive


def test_what_a_killed_sender_offered_is_not_raised_again():
    ch = stackless.channel()
    t = stackless.tasklet(ch.send_exception)(KeyError, 5)
    with pytest.raises(KeyError, match="5"):
        stackless.run()
    t.kill()
    stackless.run()
    assert not t.alive
    assert ch.balance == 0
