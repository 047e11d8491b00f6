"""The folders of csrc/, and which may use which."""

from children import ROOT

CSRC = ROOT / "csrc"

# The folders, lowest first; a row's folders are siblings. A file may include headers of
# its own folder and of the rows before it.
# fmt: off
RANKS = [
    ["base"],       # plain C: no Python.h, and part of the programs in tests/c
    ["cpython"],    # the interpreter's inside; all that depends on its version
    ["object"],     # what every object of ours is made of
    ["core"],       # tasklets, their stacks, the scheduler, time, OS threads
    ["sync", "io", "worker"],
    ["python"],     # the face: parse, one call down, convert
]
# fmt: on
RANK = {folder: rank for rank, folders in enumerate(RANKS) for folder in folders}
