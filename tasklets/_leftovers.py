"""Find and end what a test leaves behind on this thread."""

import time
from typing import Any

from tasklets import _core
from tasklets._unpatched import original

# A tasklet that survives a kill is killed at most this many times.
MAX_KILLS = 10

# Maximum number of leftovers reported; a longer list would hide the first ones.
MAX_LINES = 20

_SETTINGS = {
    "channel callback": (_core.get_channel_callback, _core.set_channel_callback),
    "schedule callback": (_core.get_schedule_callback, _core.set_schedule_callback),
}


class Leftovers:
    """A snapshot of this thread's tasklets, calls and settings, to find new ones."""

    def __init__(self) -> None:
        # Strong references: a new object must not get the address of an old one.
        self._tasklets = {id(one): one for one in _tasklets()}
        self._calls = {id(one): one for one in _core.scheduled_calls()}
        self._jobs = {id(one): one for one in _jobs()}
        self._trap = _core.switch_trap()
        self._settings = {name: get() for name, (get, _) in _SETTINGS.items()}
        me = _core.getcurrent()
        self._flags = me.block_trap, me.atomic

    def end(self, patience: float) -> list[str]:
        """End what is newer than the snapshot; return a line about each item.

        patience: the total time in seconds to wait for `finally` blocks, and for calls
        on workers, which cannot be interrupted.
        """
        lines = [*self._reset()]
        for call in _core.scheduled_calls():
            if id(call) not in self._calls:
                lines.append(repr(call))
                call.cancel()
        end = time.monotonic() + patience
        self._end_tasklets(lines, end)
        self._end_jobs(lines, end)
        if len(lines) > MAX_LINES:
            lines[MAX_LINES:] = [f"and {len(lines) - MAX_LINES} more"]
        return lines

    def _reset(self) -> Any:
        """Restore the settings, which could keep tasklets from ending."""
        me = _core.getcurrent()
        trap = _core.switch_trap()
        if trap != self._trap:
            _core.switch_trap(self._trap - trap)
            yield f"switch_trap() is {trap}, and was {self._trap} before"
        for name, before in zip(("block_trap", "atomic"), self._flags, strict=True):
            if getattr(me, name) != before:
                yield f"{name} of {me!r} is {getattr(me, name)}"
        me.block_trap = self._flags[0]
        me.set_atomic(self._flags[1])
        for name, (get, put) in _SETTINGS.items():
            if get() is not self._settings[name]:
                yield f"the {name} {get()!r}"
                put(self._settings[name])  # type: ignore[arg-type]

    def _new_tasklets(self) -> list[_core.tasklet]:
        return [one for one in _tasklets() if id(one) not in self._tasklets]

    def _end_tasklets(self, lines: list[str], end: float) -> None:
        seen: dict[int, _core.tasklet] = {}
        for _ in range(MAX_KILLS):
            new = self._new_tasklets()
            if not new:
                return
            for one in new:
                if id(one) not in seen:
                    seen[id(one)] = one
                    lines.append(_describe(one))
                one.kill(pending=True)
            self._run(lines, end)
        for one in self._new_tasklets():
            lines.append(f"{one!r} does not end")

    def _run(self, lines: list[str], end: float) -> None:
        """Run the killed tasklets until they end."""
        while self._new_tasklets():
            left = end - time.monotonic()
            # Even without any time left, tasklets that need none can end.
            pause = max(0.001, min(left, 0.05))
            before = _core.statistics()["switches"]
            try:
                stopped = _core.scheduler_run(seconds=pause)
                if _core.statistics()["switches"] == before and left > 0:
                    stopped = _core.scheduler_run(seconds=pause, wait=True)
                if stopped is not None:
                    stopped.insert()  # it goes on: the budget must not end it
                if left <= 0 or not self._may_end():
                    return
            except (Exception, SystemExit) as error:
                lines.append(f"{error!r}, raised while the tasklets were ended")

    def _may_end(self) -> bool:
        """Return whether a new tasklet is runnable, or waits for a pending event."""
        pending = _core.pending() > 0
        return any(
            not one.paused and (pending or not one.blocked)
            for one in self._new_tasklets()
        )

    def _end_jobs(self, lines: list[str], end: float) -> None:
        new = [job for job in _jobs() if id(job) not in self._jobs]
        for job in new:
            lines.append(f"a call on a worker: {job.owner or job!r}")
            job.cancel()
            if job.owner is not None:
                job.owner._job = job  # its submitter may not have set it yet
                job.owner.cancel()
        sleep = original("time", "sleep")
        running = {id(job) for job in new}
        while running & {id(job) for job in _jobs()}:
            if time.monotonic() > end:
                lines.append("a worker is still busy with such a call")
                return
            sleep(0.001)


def _tasklets() -> list[_core.tasklet]:
    """Return this thread's runnable and started tasklets but main and current."""
    me, main = _core.getcurrent(), _core.getmain()
    return [
        one
        for one in _core.all_tasklets()
        if one.thread_id == me.thread_id and one is not me and one is not main
    ]


def _jobs() -> list[_core.job]:
    """Return the queued and the running calls of all workers."""
    pools = _core.worker_pools()
    return [job for pool in pools for job in (*pool.running(), *pool.pending())]


def _describe(tasklet: _core.tasklet) -> str:
    text = repr(tasklet)
    if tasklet.spawned_at is not None:
        text += ", spawned at {}:{}".format(*tasklet.spawned_at)
    return text
