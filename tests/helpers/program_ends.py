"""Check how a whole program ends."""

from textwrap import dedent

from children import run_program

SECONDS = 120

PRELUDE = """
import atexit, os, signal, sys, threading, time
import tasklets
from tasklets import channel, getcurrent, run, schedule, spawn, tasklet

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def pause():
    tasklets.schedule_remove(None)

def waiting(name, wait=lambda: channel().receive()):
    try:
        wait()
    finally:
        say(name, "finally")
"""


def check(program, status, output, errors=()):
    """Run a program and compare all that it does."""
    found = run_program(PRELUDE + dedent(program), seconds=SECONDS)
    assert found == (status, dedent(output).lstrip("\n"), list(errors))


TRACEBACK = "Traceback (most recent call last):"
