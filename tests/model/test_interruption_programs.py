"""Random programs of interruptions do what the rules say.

INTERRUPTION_PROGRAMS is how many more programs each test runs: 100000 takes minutes.
"""

import os

import pytest
from children import run_script

SEEDS = int(os.environ.get("INTERRUPTION_PROGRAMS", 0))
SECONDS = 240 + SEEDS // 10


def passes(name, *args, count):
    """Run the seeds of a script, and some more if that is asked for."""
    count += SEEDS
    status, output = run_script(name, *args, 0, count, seconds=SECONDS)
    assert status == 0, output
    assert output.splitlines()[-1] == f"ok {count}"


def test_each_event_is_as_in_the_model():
    passes("interruption_programs.py", count=600)


@pytest.mark.parametrize(("mode", "count"), [("clock", 250), ("signals", 10)])
def test_what_is_shared_stays_whole(mode, count):
    passes("interruption_traffic.py", mode, count=count)


@pytest.mark.slow
def test_what_is_shared_between_threads_stays_whole():
    passes("interruption_traffic.py", "threads", count=40)
