"""Long chains of objects, each held by the next alone, can be dropped."""

import sys

import pytest
from chains import KINDS
from children import run_script

# In bytes. CPython 3.13 lets its own deallocations nest 10000 deep on any stack.
SMALL_STACK = 2**18 if sys.version_info[:2] != (3, 13) else 2**23


@pytest.mark.parametrize("name", KINDS)
def test_a_long_chain_can_be_dropped_on_a_small_stack(name):
    status = run_script("chains.py", name, 15_000, SMALL_STACK)
    assert status == (0, "left: 1\n")


@pytest.mark.parametrize("name", ["barrier", "condition", "queue_channel", "send_case"])
def test_a_very_long_chain_can_be_dropped_on_the_main_stack(name):
    assert run_script("chains.py", name, 200_000) == (0, "left: 1\n")
