"""What the tests of the collector have in common."""

import gc
import sys

import tasklets
from tasklets import run

# From 3.14 on the interpreter stores what the evaluation stack of a suspended frame
# holds where the collector can see it.
SEES_STACK = sys.version_info >= (3, 14)


class Thing:
    """Something with weak references that cannot be in a cycle by itself."""


def pause():
    """Pause the current tasklet, which keeps no reference to itself."""
    tasklets.schedule_remove(None)


def collect():
    """Collect, and let the tasklets that were found be killed."""
    gc.collect()
    run()
