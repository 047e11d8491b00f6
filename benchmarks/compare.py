"""Compare two results of run.py: python -m benchmarks.compare old.json new.json."""

import json
import sys
from pathlib import Path

TOLERANCE = 0.10


def load(path):
    """Return the results of tasklets in a file, by workload."""
    report = json.loads(Path(path).read_text())
    return {name: each["tasklets"] for name, each in report["workloads"].items()}


def changes(old, new):
    """Yield name, old and new median, relative change and whether it got worse.

    Worse means by more than TOLERANCE, and no repetition was as good as the old median.
    """
    for name in new:
        if name in old:
            before, after = old[name]["median"], new[name]["median"]
            change = after / before - 1
            worse = change > TOLERANCE and new[name]["low"] > before
            yield name, before, after, change, worse


def main(old_path, new_path):
    """Print one line per workload; return 1 if any got worse."""
    status = 0
    for name, before, after, change, worse in changes(load(old_path), load(new_path)):
        status |= worse
        flag = "  WORSE" if worse else ""
        print(f"{name:20} {before:9.3f} {after:9.3f} {change:+7.1%}{flag}")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
