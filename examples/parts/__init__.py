"""The parts of demo.py. Each is a module with the same names.

| name | is |
| --- | --- |
| `TITLE` | a word or two |
| `explained(scale)` | what is done, in one line |
| `SUBJECTS` | who does it: name to function |
| `ROUNDS` | how many times each subject is run, in turns |
| `lines(results)` | what there is to show of the results, as (name, value) |
| `comparisons(results)` | tasklets beside the others |
| `mistakes(results)` | what came out wrong: nothing, or the demo fails |

A subject is called as `subject(scale, note)`, in a process of its own. It multiplies
its sizes by scale, calls `note(text)` now and then to show how far it is, and returns a
dict that can be written as JSON. `results` maps the subjects to their dicts, one for
each round.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

Note = Callable[[str], None]
Result = dict[str, object]
Results = dict[str, list[Result]]

SAME = 1.1  # results whose ratio is below this count as equal


def shorter(seconds: float, scale: float) -> float:
    """Return seconds, in proportion to a scale below 1, but not much too few."""
    return seconds * max(min(scale, 1.0), 0.1)


def median(results: list[Result], name: str) -> float:
    """Return the median of a value over the rounds."""
    return statistics.median(result[name] for result in results)


@dataclass
class Comparison:
    """One number of tasklets and the same number of a peer."""

    what: str
    mine: float
    theirs: float
    peer: str
    format: str = "{:,.0f}"
    more_is_better: bool = False

    @property
    def ratio(self) -> float:
        """How many times better tasklets did; below 1 they did worse."""
        least = 1e-9  # nothing at all is so much, for the sake of the division
        mine, theirs = max(self.mine, least), max(self.theirs, least)
        return mine / theirs if self.more_is_better else theirs / mine

    @property
    def same(self) -> bool:
        """Whether there is no difference worth mentioning."""
        return 1 / SAME < self.ratio < SAME

    @property
    def lost(self) -> bool:
        """Whether the peer did better."""
        return not self.same and self.ratio < 1

    def outcome(self) -> str:
        """Say in words how it came out."""
        if self.same:
            return "about the same"
        larger, smaller = max(self.mine, self.theirs), min(self.mine, self.theirs)
        word = "more" if self.mine > self.theirs else "less"
        times = f"{larger / smaller:,.1f} times " if smaller > 0 else ""
        return f"{'WORSE' if self.lost else 'better'}: {times}{word}"

    def cells(self) -> tuple[str, str, str, str]:
        """Return a row of the final table."""
        return (
            self.what,
            self.format.format(self.mine),
            f"{self.format.format(self.theirs)} ({self.peer})",
            self.outcome(),
        )
