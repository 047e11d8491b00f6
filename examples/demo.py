"""What tasklets do, on real work: a game loop, and an index made on two threads.

The exit status is 0 if both results are right, else 1.

    python examples/demo.py [--creatures N] [--frames N] [folder]
"""

import argparse
import os
import sys
import time

from display import table
from game import play
from index import index_folder


def positive(text: str) -> int:
    """Return the number that an argument stands for."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main() -> int:
    """Run both parts, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", nargs="?", default="", help="index this, not Python's own library"
    )
    parser.add_argument("--creatures", type=positive, default=10_000)
    parser.add_argument("--frames", type=positive, default=50)
    options = parser.parse_args()
    if options.folder and not os.path.isdir(options.folder):
        parser.error(f"not a folder: {options.folder}")

    began = time.perf_counter()
    game = play(options.creatures, options.frames)
    index = index_folder(options.folder)
    seconds = time.perf_counter() - began

    print("\nGame loop: creatures that move, greet each other and share")
    print(table(game.rows()))
    print("\nIndex: read, split, count and merge on two threads")
    print(table(index.rows()))
    ok = game.ok and index.ok
    print(f"\n{'All results are right' if ok else 'WRONG RESULTS'}, {seconds:.1f} s.")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
