"""What atomic sections cost the threads that enter them, and all other threads."""

import functools
import importlib.util
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from contextlib import nullcontext
from pathlib import Path

from benchmarks.measure import Workload, cpu_clock, in_thread, wall_clock
from tasklets import atomic

INTERVAL = 0.005  # the interpreter's own switch interval
REST = 0.2  # seconds after the last section until the normal interval applies

# ---- enter and leave


@functools.cache
def noop():
    """Return the module noop.c, compiled for this interpreter."""
    source = Path(__file__).parent / "noop.c"
    # A sanitizer of this process must not be loaded into the compiler.
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "noop" + sysconfig.get_config_var("EXT_SUFFIX"))
        compiler = shlex.split(os.environ.get("CC") or "cc")
        flags = ["-O2", "-DNDEBUG", "-fPIC", "-shared"]
        flags += shlex.split(os.environ.get("CPPFLAGS", ""))
        flags += ["-I" + sysconfig.get_path("include"), "-o", str(library)]
        subprocess.run([*compiler, *flags, str(source)], env=env, check=True)
        spec = importlib.util.spec_from_file_location("noop", library)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def atomic_each(n):
    """Enter and leave a new section each time."""
    start = cpu_clock()
    for _ in range(n):
        with atomic():
            pass
    return (cpu_clock() - start) / n


def noop_each(n):
    """Enter and leave a context manager that does nothing."""
    nothing = noop().noop
    start = cpu_clock()
    for _ in range(n):
        with nothing():
            pass
    return (cpu_clock() - start) / n


def again(manager):
    """Return a subject that enters and leaves the same object repeatedly."""

    def subject(n):
        section = manager()
        start = cpu_clock()
        for _ in range(n):
            with section:
                pass
        return (cpu_clock() - start) / n

    return subject


def from_c(section, n):
    """Call both methods of one object from C."""
    calls, enter, leave = noop().calls, section.__enter__, section.__exit__
    start = cpu_clock()
    calls(enter, leave, n)
    return (cpu_clock() - start) / n


def beyond_the_calls(n):
    """Return what entering and leaving take beyond two calls that do nothing."""
    return max(from_c(atomic(), n) - from_c(noop().noop(), n), 0)


# ---- all other threads


def unit():
    """Do a fixed amount of work."""
    for _ in range(500):
        pass


class Crowd:
    """Two threads that compute, and a third that enters short sections."""

    def __init__(self, section):
        self.section, self.ending = section, False
        self.done = [0, 0, 0]

    def compute(self, place):
        """Work, and count the units."""
        while not self.ending:
            unit()
            self.done[place] += 1

    def enter_and_leave(self, place):
        """Work in sections, and count the units."""
        section = self.section()
        while not self.ending:
            with section:
                unit()
            self.done[place] += 1

    def run(self, seconds):
        """Return how long a unit of their work took, in nanoseconds."""
        works = self.compute, self.compute, self.enter_and_leave
        start = wall_clock()
        threads = [
            in_thread(functools.partial(work, place))
            for place, work in enumerate(works)
        ]
        time.sleep(seconds)
        self.ending = True
        for thread in threads:
            thread.join()
        return (wall_clock() - start) / max(sum(self.done), 1)


def work_of_all(section):
    """Return a subject: n milliseconds of three threads, of which one uses sections."""

    def subject(n):
        time.sleep(REST)
        return Crowd(section).run(n / 1000)

    return subject


def waiting(section, share):
    """Return a subject: how long a thread waits for the GIL, in n waits.

    Another thread spends 99 % of its time in sections. The result is the quantile of
    the waits that share names.
    """

    def hold(ending):
        clock = time.perf_counter
        while not ending.is_set():
            start = clock()
            with section():
                while clock() - start < 0.00099:
                    pass
            while clock() - start < 0.001:
                pass

    def subject(n):
        ending = threading.Event()
        before = sys.getswitchinterval()
        sys.setswitchinterval(INTERVAL)
        thread = in_thread(functools.partial(hold, ending))
        waits = []
        for _ in range(n):
            time.sleep(0.0005)
            start = wall_clock()
            time.sleep(0)  # gives the GIL to the other one
            waits.append(wall_clock() - start)
        ending.set()
        thread.join()
        sys.setswitchinterval(before)
        waits.sort()
        return waits[min(int(share * n), n - 1)]

    return subject


def turn(title, section, share, reach):
    """Return the workload of a thread that waits for the GIL."""
    return Workload(
        title=f"wait for the GIL beside {title}, {share:.0%}",
        size=200,
        reach=reach,
        unit=INTERVAL * 1e9,
        suffix=" intervals",
        fresh=True,
        tasklets=waiting(section, share),
    )


WORKLOADS = {
    "atomic": Workload(
        title="`with atomic(): pass`",
        size=300_000,
        reach=2.5,
        reference=noop_each,
        reference_size=300_000,
        reference_name="a C no-op",
        tasklets=atomic_each,
        peers={"threads": again(threading.Lock)},
    ),
    "atomic_again": Workload(
        title="`with` the same `atomic()`",
        size=300_000,
        reach=0.7,
        reference=again(threading.Lock),
        reference_size=300_000,
        reference_name="a `Lock`",
        tasklets=again(atomic),
    ),
    "atomic_c": Workload(
        title="enter and leave from C, beyond two calls",
        size=1_000_000,
        reach=40,
        unit=1,
        suffix=" ns",
        tasklets=beyond_the_calls,
    ),
    "atomic_crowd": Workload(
        title="work of two threads beside one with sections",
        size=500,
        reach=1.11,  # all three do 0.9 of the work
        reference=work_of_all(nullcontext),
        reference_size=500,
        reference_name="without sections",
        tasklets=work_of_all(atomic),
    ),
    "atomic_wait": turn("99 % sections", atomic, 0.5, 3),
    "atomic_wait_99": turn("99 % sections", atomic, 0.99, 3),
    "atomic_wait_without": turn("the same without sections", nullcontext, 0.99, None),
}
