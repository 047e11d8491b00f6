"""The parts of demo.py. Each is a module with the same names.

| name | is |
| --- | --- |
| `TITLE` | the title: a word or two |
| `explained(scale)` | what the part does, in one line |
| `SUBJECTS` | the subjects: name to function |
| `ROUNDS` | how many times each subject is run, alternating with the others |
| `lines(results)` | the results to show, as (name, value) |
| `comparisons(results)` | comparisons of tasklets with the other subjects |
| `mistakes(results)` | wrong results; if there are any, the demo fails |

A subject is called as `subject(scale, note)`, in a process of its own. It multiplies
its sizes by scale, calls `note(text)` from time to time to show its progress, and
returns a dict that can be written as JSON. `results` maps the subjects to their dicts,
one for each round.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

Note = Callable[[str], None]
Result = dict[str, object]
Results = dict[str, list[Result]]

SAME = 1.1  # results whose ratio is below this count as equal


def shorter(seconds: float, scale: float) -> float:
    """Return seconds reduced to a scale below 1, but to no less than a tenth."""
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
        minimum = 1e-9  # stands for 0, by which one cannot divide
        mine, theirs = max(self.mine, minimum), max(self.theirs, minimum)
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
        """Return the outcome in words."""
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
