"""How a cost is measured: against a reference, in the same process and repetition.

The speed and the load of machines differ, and change from minute to minute. So each
repetition measures the reference right before the subject and keeps the ratio of the
two; the median over the repetitions is the result.
"""

import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import greenlet

import tasklets

ROOT = Path(__file__).parent.parent
LINKED = 1000  # producers of the fan-in, links of the chain
BARE = "bare switch"
BARE_SWITCHES = 40_000
TURNS = 3

# The CPU time of this thread, which leaves out other threads and processes.
cpu_clock = time.thread_time_ns
wall_clock = time.perf_counter_ns

Subject = Callable[[int], float]


@dataclass(frozen=True)
class Workload:
    """A row of the table: one piece of work, done by tasklets and by their peers.

    A subject takes how many operations to do and returns what one costs: nanoseconds
    or bytes. It is shown divided by the reference's cost, or by `unit` without one.
    """

    title: str
    tasklets: Subject
    size: int
    reach: float | None = None
    beyond: float | None = None
    peers: dict[str, Subject] = field(default_factory=dict)
    reference: Subject | None = None
    reference_size: int = BARE_SWITCHES
    reference_name: str = BARE
    unit: float = 1
    in_bytes: bool = False
    suffix: str = " x"
    fresh: bool = False  # each measurement in a process of its own

    def subjects(self):
        """Return all subjects by name."""
        return {"tasklets": self.tasklets} | self.peers


# A peer may be this many times slower than a tasklet, and gets less to do.
SHARE = {"tasklets": 1, "greenlet": 1, "gevent": 5, "asyncio": 5, "threads": 50}


def size_for(workload, subject, scale=1.0):
    """Return how many operations a subject is to do."""
    share = 1 if workload.fresh and subject != "threads" else SHARE.get(subject, 1)
    return max(int(workload.size * scale / share), 4)


def bare_switch(n):
    """Two greenlets switch to each other, with bound methods in locals."""
    rounds = max(n // 2, 1)

    def partner():
        switch = home.switch
        while True:
            switch()

    home = greenlet.getcurrent()
    switch = greenlet.greenlet(partner).switch
    switch()
    start = cpu_clock()
    for _ in range(rounds):
        switch()
    return (cpu_clock() - start) / (2 * rounds)


def sample(workload, subject, scale=1.0):
    """Measure once in this process: the costs of the reference (or None) and subject.

    Both are measured alternately, several times if possible; the best of each counts.
    """
    func, size = workload.subjects()[subject], size_for(workload, subject, scale)
    reference_size = max(int(workload.reference_size * scale), 4)
    references, costs = [], []
    for _ in range(1 if workload.fresh else TURNS):
        gc.collect()
        if workload.reference is not None:
            references.append(workload.reference(reference_size))
        gc.collect()
        costs.append(func(size))
    return min(references, default=None), min(costs)


def sample_fresh(name, subject, scale=1.0):
    """Measure once in a new process, where nothing is pooled yet."""
    output = run_module("benchmarks.measure", name, subject, str(scale))
    return tuple(json.loads(output))


def environment():
    """Return an environment in which a new process imports this build of tasklets."""
    places = [str(Path(tasklets.__file__).parents[1]), str(ROOT)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places), "PYTHONSAFEPATH": "1"}


def run_module(module, *args):
    """Run a module of this folder in a process of its own; return its output."""
    return subprocess.run(
        [sys.executable, "-m", module, *args],
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout


def resident():
    """Return the resident memory of this process in bytes."""
    try:
        # Exact; the counters of statm may lag behind on a machine with many CPUs.
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def mappings():
    """Return how many memory mappings this process has."""
    with open("/proc/self/maps", "rb") as maps:
        return sum(1 for _ in maps)


def in_thread(func):
    """Return a started thread that runs func."""
    thread = threading.Thread(target=func, daemon=True)
    thread.start()
    return thread


def main(name, subject, scale):
    """Print one measurement of a workload for sample_fresh()."""
    from benchmarks.table import WORKLOADS

    print(json.dumps(sample(WORKLOADS[name], subject, float(scale))), flush=True)
    # Tasklets and threads that are still blocked need not be ended.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
