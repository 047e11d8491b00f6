"""The traces of Stackless itself, repeated by our module and by the model."""

import gzip
from pathlib import Path

import model
import pytest
from children import run_script
from conformance import programs

EXPECTED = Path(programs.__file__).with_name("expected.txt.gz")
PROGRAMS = 750
BATCH = 150

# Where Stackless loses a kill that is pending, because a throw takes its place.
LOST_KILLS = {297}


def parse(text):
    """Return {seed: lines} of what programs.py prints."""
    traces = {}
    for line in text.splitlines():
        if line.startswith("#"):
            traces[int(line[1:])] = lines = []
        else:
            lines.append(line)
    return traces


@pytest.fixture(scope="module")
def expected():
    with gzip.open(EXPECTED, "rt", encoding="utf-8") as file:
        return parse(file.read())


def differences(expected, found):
    """Describe where traces part; the lines before show how it came to that."""
    for seed, right in expected.items():
        lines = found.get(seed, ["no trace"])
        if lines == right:
            continue
        at = next(
            (i for i, pair in enumerate(zip(right, lines, strict=False))
             if pair[0] != pair[1]),
            min(len(right), len(lines)),
        )  # fmt: skip
        yield "\n".join(
            [
                f"program {seed}:",
                *(f"     {line}" for line in right[max(0, at - 4) : at]),
                f"  -  {right[at] if at < len(right) else 'the end'}",
                f"  +  {lines[at] if at < len(lines) else 'the end'}",
            ]
        )


def check(expected, found):
    found = list(differences(expected, found))
    assert not found, f"{len(found)} traces differ, -right +ours\n" + "\n".join(
        found[:3]
    )


def test_there_is_a_trace_of_every_program_that_stackless_ran_without_a_fault(expected):
    assert len(expected) == 704


@pytest.mark.parametrize("first", range(0, PROGRAMS, BATCH))
def test_our_module_repeats_the_traces_of_stackless(expected, first):
    last = first + BATCH
    _, output = run_script(
        "conformance/programs.py", "stacklesslib_compat.stackless", first, last,
        seconds=120,
    )  # fmt: skip
    batch = {
        seed: t
        for seed, t in expected.items()
        if first <= seed < last and seed not in LOST_KILLS
    }
    check(batch, parse(output))


def test_a_pending_kill_is_not_lost_as_it_is_in_stackless(expected):
    for seed in LOST_KILLS:
        _, output = run_script(
            "conformance/programs.py", "stacklesslib_compat.stackless", seed, seed + 1,
            seconds=120,
        )  # fmt: skip
        (difference,) = differences({seed: expected[seed]}, parse(output))
        assert "killed in" in difference.splitlines()[-1]
        assert "ValueError th" in difference.splitlines()[-2]


def test_the_model_repeats_the_traces_of_stackless(expected):
    found = {}
    for seed in expected:
        trace = programs.trace(model.Model(stackless=True), seed)
        # Split as the output is: a traced message may hold line ends.
        found[seed] = "\n".join(trace).splitlines()
    check(expected, found)
