"""Tasklets, channels and their scheduler: many threads of Python code in one thread.

A tasklet runs a function until the function waits; then another tasklet runs.
Tasklets communicate through channels. A group waits for its tasklets, and kills them
if one of them fails.

>>> from tasklets import TaskGroup, channel, sleep
>>> orders = channel()
>>> def waiter(name):
...     sleep(0.01)
...     orders.send(f"tea for {name}")
>>> with TaskGroup() as group:
...     for name in ("anna", "bert"):
...         tasklet = group.spawn(waiter, name)
...     print(orders.receive(), orders.receive(), sep=", ")
tea for anna, tea for bert

Modules: tasklets.scheduler drives the tasklets of a thread; .locks and .queues can be
shared between threads; .workers runs calls on worker threads; .fs and .net do file
and address operations while other tasklets run; .testing has a clock for tests.
Imported by themselves: .process for child processes, .signals to wait for signals.

The tutorial and the reference are docs/tutorial.md and docs/api.md in the source
archive, which "make docs" turns into a site.
"""

try:
    import tasklets._core as _core  # noqa: F401
except ModuleNotFoundError as _error:
    if _error.name != "tasklets._core":
        raise
    from tasklets._missing import explain as _explain

    raise ImportError(_explain(), name=_error.name) from None

from tasklets import _groups as _groups
from tasklets import fs as fs
from tasklets import locks as locks
from tasklets import net as net
from tasklets import queues as queues
from tasklets import scheduler as scheduler
from tasklets import testing as testing
from tasklets import workers as workers
from tasklets._core import BlockTrapError as BlockTrapError
from tasklets._core import CancelledError as CancelledError
from tasklets._core import Case as Case
from tasklets._core import ChannelClosed as ChannelClosed
from tasklets._core import DeadlockError as DeadlockError
from tasklets._core import GroupExit as GroupExit
from tasklets._core import QueueChannel as QueueChannel
from tasklets._core import SwitchTrapError as SwitchTrapError
from tasklets._core import TaskGroup as TaskGroup
from tasklets._core import TaskletExit as TaskletExit
from tasklets._core import TimeoutExit as TimeoutExit
from tasklets._core import as_completed as as_completed
from tasklets._core import atomic as atomic
from tasklets._core import bomb as bomb
from tasklets._core import channel as channel
from tasklets._core import deadline as deadline
from tasklets._core import get_channel_callback as get_channel_callback
from tasklets._core import get_schedule_callback as get_schedule_callback
from tasklets._core import get_thread_info as get_thread_info
from tasklets._core import getcurrent as getcurrent
from tasklets._core import getcurrentid as getcurrentid
from tasklets._core import getmain as getmain
from tasklets._core import getruncount as getruncount
from tasklets._core import getthreads as getthreads
from tasklets._core import kill_all as kill_all
from tasklets._core import local as local
from tasklets._core import recv as recv
from tasklets._core import run as run
from tasklets._core import schedule as schedule
from tasklets._core import schedule_remove as schedule_remove
from tasklets._core import select as select
from tasklets._core import send as send
from tasklets._core import set_channel_callback as set_channel_callback
from tasklets._core import set_error_handler as set_error_handler
from tasklets._core import set_schedule_callback as set_schedule_callback
from tasklets._core import shield as shield
from tasklets._core import sleep as sleep
from tasklets._core import spawn as spawn
from tasklets._core import switch_trap as switch_trap
from tasklets._core import tasklet as tasklet
from tasklets._core import timeout as timeout
from tasklets._core import wait as wait
from tasklets._imports import install as _install_import_locks
from tasklets._names import public_names as _public_names
from tasklets._select import readable as readable
from tasklets._select import writable as writable
from tasklets._traps import block_trap as block_trap
from tasklets._traps import no_switch as no_switch
from tasklets._version import __version__ as __version__

_install_import_locks()

# Whether to also print ResourceWarnings to sys.stderr: for tasklets that have not ended
# when the program or their thread does, and for tasklets that a budget stopped and that
# the program has dropped. Python shows them only with -X dev or -W default.
debug: bool = False

__all__ = [
    "BlockTrapError",
    "CancelledError",
    "Case",
    "ChannelClosed",
    "DeadlockError",
    "GroupExit",
    "QueueChannel",
    "SwitchTrapError",
    "TaskGroup",
    "TaskletExit",
    "TimeoutExit",
    "as_completed",
    "atomic",
    "block_trap",
    "bomb",
    "channel",
    "deadline",
    "fs",
    "get_channel_callback",
    "get_schedule_callback",
    "get_thread_info",
    "getcurrent",
    "getcurrentid",
    "getmain",
    "getruncount",
    "getthreads",
    "kill_all",
    "local",
    "locks",
    "net",
    "no_switch",
    "queues",
    "readable",
    "recv",
    "run",
    "schedule",
    "schedule_remove",
    "scheduler",
    "select",
    "send",
    "set_channel_callback",
    "set_error_handler",
    "set_schedule_callback",
    "shield",
    "sleep",
    "spawn",
    "switch_trap",
    "tasklet",
    "testing",
    "timeout",
    "wait",
    "workers",
    "writable",
]


def __dir__() -> list[str]:
    return _public_names(globals())
