"""What the tests of budgets in seconds have in common."""

import time
from textwrap import dedent

from children import run_program

from tasklets import scheduler

SOON = 0.005  # seconds until a tasklet must be stopped
LATE = 20  # until something is badly wrong
LONGER = (0.1, 0.5, 2, 8)  # tried in turn: a busy machine may pause us for the first


def spin(seconds):
    """Keep the thread busy with Python code."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def forever():
    """Keep the thread busy until stopped."""
    while True:
        pass


def run_until(log, victim, **budgets):
    """Let a budget stop it until it has come as far as to log something."""
    while True:
        assert scheduler.run(**budgets) is victim
        if log:
            break
        victim.insert()


PRELUDE = """
import os, sys, threading, time, warnings
import tasklets
from tasklets import channel, getcurrent, run, schedule, schedule_remove, scheduler
from tasklets import spawn, tasklet

# There is a thread that watches the time.
warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def forever():
    try:
        while True:
            pass
    finally:
        say("finally")
"""


def check_program(source, output="", status=0, errors=()):
    found = run_program(PRELUDE + dedent(source))
    assert found == (status, dedent(output).lstrip("\n"), list(errors))
