"""Drive the tasklets of this thread, and look at what they do."""

from tasklets._core import getuncollectables as getuncollectables
from tasklets._core import scheduler_run as run
from tasklets._core import statistics as statistics

__all__ = ["getuncollectables", "run", "statistics"]
