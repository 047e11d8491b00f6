"""The core does what the model of its rules does, in random programs."""

import model_programs
import pytest
from children import run_script
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tasklets

BATCH = 500
BATCHES = 6

NUMBER = st.integers(0, 59)


@st.composite
def programs(draw):
    """Draw a program, first which operations it uses: so the interesting ones meet."""
    kinds = draw(
        st.lists(
            st.sampled_from(sorted(model_programs.OPERATIONS)),
            min_size=2, max_size=8, unique=True,
        )
    )  # fmt: skip
    operations = st.lists(st.tuples(st.sampled_from(kinds), NUMBER, NUMBER), max_size=8)
    return model_programs.Program(
        channels=draw(
            st.lists(
                st.tuples(st.integers(-1, 1), st.booleans()), min_size=1, max_size=3
            )
        ),
        main=draw(operations),
        bodies=draw(st.lists(operations, min_size=1, max_size=6)),
        started=draw(st.integers(1, 5)),
    )


# From 3.14 a local variable may hold no reference of its own; Hypothesis, which counts
# references, then thinks that its own generator is about to vanish.
@pytest.mark.filterwarnings("ignore:It looks like `register_random`")
@settings(
    max_examples=300, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(programs())
def test_a_program_shows_the_same_on_the_core_and_on_the_model(program):
    assert model_programs.compare(tasklets, program) == ""


def test_a_program_leaves_nothing_to_the_next_one():
    throws = [
        ("throw_at_main", 38, 24), ("throw_pending", 48, 35), ("throw_pending", 0, 59),
        ("kill_pending", 20, 11),
    ]  # fmt: skip
    kills = [("kill_pending", 0, 57), ("kill_pending", 9, 14)]
    throwing = model_programs.Program(
        channels=[(-1, True)], main=[], bodies=[throws, kills, [], throws], started=1
    )
    nothing = model_programs.Program(
        channels=[(-1, True)], main=[], bodies=[[("schedule", 0, 0)]], started=1
    )
    lines = model_programs.run(tasklets, throwing)
    assert any(line.startswith("M had pending ") for line in lines)
    assert model_programs.compare(tasklets, nothing) == ""


def compare_seeds(script, first, last):
    """Compare in a child, so that a crash or a hang names its program."""
    status, output = run_script(script, "tasklets", first, last, seconds=120)
    seed, _, rest = output.rpartition("seed ")[2].partition("\n")
    assert status == 0, f"program {seed} (status {status}):\n{rest}"


def test_some_seeded_programs_show_the_same_on_the_core_and_on_the_model():
    compare_seeds("model_programs.py", 0, 100)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_seeded_programs_show_the_same_on_the_core_and_on_the_model(batch):
    first = 100 + batch * BATCH
    compare_seeds("model_programs.py", first, first + BATCH)


def test_some_programs_of_two_threads_show_the_same_on_the_core_and_on_the_model():
    compare_seeds("model_threads.py", 0, 50)


@pytest.mark.slow
def test_programs_of_two_threads_show_the_same_on_the_core_and_on_the_model():
    compare_seeds("model_threads.py", 50, 50 + BATCH)
