"""Every example runs, and prints what it says it prints."""

import doctest
import os
import re
import sysconfig
from pathlib import Path

import pytest
from children import run_script

EXAMPLES = Path(__file__).parent.parent / "examples"
SECONDS = 120

# These print measurements, and have tests of their own; display.py is only imported.
MEASURING = {"atomic_locks", "demo", "display", "game", "index", "replace_locks"}
SMALL = sorted(set(EXAMPLES.glob("*.py")) - {EXAMPLES / f"{n}.py" for n in MEASURING})


@pytest.fixture
def example(monkeypatch):
    """Return a function that runs an example and returns its status and output."""
    # Where the folder of a script is not searched, its neighbours are not found.
    places = [str(EXAMPLES), os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in places if p))

    def run(path, *args):
        return run_script(path, *args, seconds=SECONDS)

    return run


@pytest.fixture
def folder(tmp_path):
    """Return a folder with texts, and with files that are none."""
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text(f"the tasklet {number} the été\n" * 5)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "empty").touch()
    (tmp_path / "latin").write_bytes("l'été".encode("latin-1"))
    (tmp_path / "binary").write_bytes(b"the\0the")
    (tmp_path / "nowhere").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def promised(path):
    """Return the comment at the end of a small example that says what it prints."""
    comment = path.read_text().partition("\n# Output:\n")[2]
    return "".join(line[4:] for line in comment.splitlines(keepends=True))


def cell(output, name):
    """Return the value of a row of a table."""
    (value,) = re.findall(rf"^  {re.escape(name)} {{2,}}(.+)$", output, re.M)
    return value


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_example_prints_what_it_promises(example, path):
    status, output = example(path)
    assert status == 0, output
    same = doctest.OutputChecker().check_output
    assert same(promised(path), output, doctest.ELLIPSIS), output


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_example_is_less_than_a_page(path):
    assert promised(path)
    assert len(path.read_text().splitlines()) < 80


def test_the_game_loses_neither_energy_nor_tasklets(example):
    status, output = example(EXAMPLES / "game.py", 50, 5)
    assert status == 0, output
    before, after = cell(output, "energy before and after").split()
    assert before == after
    assert cell(output, "tasklets that have ended") == "50"
    assert int(cell(output, "messages between creatures").split()[0]) > 50


def test_the_game_is_the_same_each_time(example):
    first, second = (example(EXAMPLES / "game.py", 50, 5)[1] for _ in range(2))
    row = "messages between creatures"
    assert cell(first, row).split()[0] == cell(second, row).split()[0]


def test_the_index_counts_the_words_of_text_files_only(example, folder):
    status, output = example(EXAMPLES / "index.py", folder)
    assert status == 0, output
    assert cell(output, "most frequent") == "the 300, tasklet 150, été 150"
    assert cell(output, "text files").startswith("31,")
    assert cell(output, "other files, left out") == "2"
    assert cell(output, "both come to the same") == "yes"


def test_the_index_of_an_empty_folder_is_empty(example, tmp_path):
    status, output = example(EXAMPLES / "index.py", tmp_path)
    assert status == 0, output
    assert cell(output, "words").startswith("0,")


def test_the_locks_let_nobody_in_wrongly(example):
    status, output = example(EXAMPLES / "atomic_locks.py", 5000)
    assert status == 0, output
    assert cell(output, "what went wrong") == "nothing"
    assert int(cell(output, "acquisitions").split()[0].replace(",", "")) >= 5000
    assert cell(output, "kills") != "0"


def test_the_locks_go_wrong_without_atomic(example):
    args = ["--without-atomic", 10_000]
    status, output = example(EXAMPLES / "atomic_locks.py", *args)
    assert status == 1, output
    assert cell(output, "what went wrong") != "nothing"


def test_a_program_of_threads_is_the_same_with_other_locks(example):
    status, output = example(EXAMPLES / "replace_locks.py", 300)
    assert status == 0, output
    assert output.startswith("300 jobs, sum ")
    assert cell(output, "the results are the same") == "yes"
    assert int(cell(output, "beats of a tasklet meanwhile")) > 0


BROKEN = """
import sys
import demo, game, index
{change}
sys.argv[1:] = ["--creatures", "20", "--frames", "2", {folder!r}]
sys.exit(demo.main())
"""


@pytest.mark.parametrize(
    "change",
    [
        "index.merge_all = lambda counts, *rest: list(counts)",
        "game.Creature.share = lambda self, *rest: setattr(self, 'energy', 0)",
    ],
    ids=["words get lost", "energy gets lost"],
)
def test_the_demo_fails_if(example, folder, tmp_path_factory, change):
    script = tmp_path_factory.mktemp("script") / "broken.py"
    script.write_text(BROKEN.format(change=change, folder=str(folder)))
    status, output = example(script)
    assert status == 1, output
    assert "WRONG RESULTS" in output


@pytest.mark.parametrize(
    "function", ["read", "split", "Counter"], ids=lambda name: f"in {name}"
)
def test_an_error_in_a_stage_of_the_index_ends_it(
    example, folder, tmp_path_factory, function
):
    script = tmp_path_factory.mktemp("script") / "failing.py"
    script.write_text(
        f"import index\nindex.{function} = lambda *args: 1 / 0\n"
        f"index.index_folder({str(folder)!r})\n"
    )
    status, output = example(script)
    assert status == 1, output
    # Then come the notes: which stages it has left.
    assert "\nZeroDivisionError: division by zero\nin tasklet '" in output


def test_the_demo_shows_both_parts(example, folder):
    args = ["--creatures", 30, "--frames", 3, folder]
    status, output = example(EXAMPLES / "demo.py", *args)
    assert status == 0, output
    assert cell(output, "frames").startswith("3 in ")
    assert cell(output, "both come to the same") == "yes"
    assert "\r" not in output


@pytest.mark.parametrize("args", [["/nowhere/at/all"], ["--frames", "0"]])
def test_the_demo_refuses_what_it_cannot_do(example, args):
    status, output = example(EXAMPLES / "demo.py", *args)
    assert status == 2, output
    assert "usage:" in output


@pytest.mark.slow
def test_the_demo_indexes_the_library_of_this_python(example):
    status, output = example(EXAMPLES / "demo.py", "--creatures", 30, "--frames", 3)
    assert status == 0, output
    assert cell(output, "folder") == sysconfig.get_path("stdlib")
