"""The pytest plugin: what a test leaves behind, and the fixtures.

Starting pytest takes a second, so one child process runs all the tests that are checked
here, and another one those without the option.
"""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

import tasklets

ROOT = Path(__file__).parents[2]
INSTALLED = Path(tasklets.__file__).parents[1]


class Report(NamedTuple):
    """What became of one test."""

    outcomes: list[str]
    text: str  # of the errors
    output: str  # of the test

    def has(self, pattern):
        """Return whether a line of the errors matches a pattern."""
        return any(fnmatch(line, pattern) for line in self.text.splitlines())


def install(folder):
    """Give the folder the entry points of an installed tasklets."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    info = folder / "tasklets-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: tasklets\nVersion: 0\n")
    points = config["options.entry_points"].items()
    text = "".join(f"[{group}]{lines}\n" for group, lines in points)
    (info / "entry_points.txt").write_text(text)


def run_pytest(folder, *options, stderr=False):
    """Run pytest where it finds the plugin; return its output, or its errors."""
    places = os.pathsep.join(map(os.fspath, (folder, INSTALLED)))
    process = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": places, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return process.stderr if stderr else process.stdout


def reports_of(folder, files, strict):
    """Return the reports of tests in these files by their names."""
    for name, source in files.items():
        source = "from tasklets import *\n" + source
        (folder / f"test_{name}.py").write_text(source)
    (folder / "pytest.ini").write_text(
        f"[pytest]\ntasklets_strict = {strict}\ntasklets_patience = 1.5\n"
        "junit_logging = all\n"
    )
    install(folder)
    output = run_pytest(folder, "--strict-markers", "--junitxml=report.xml")
    assert (folder / "report.xml").exists(), output
    reports = {}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        report = reports.setdefault(case.get("name"), Report([], "", ""))
        outcomes = [each.tag for each in case if each.tag in ("failure", "error")]
        texts = [each.text for each in case if each.tag in ("failure", "error")]
        told = [each.text or "" for each in case.findall("system-out")]
        reports[case.get("name")] = Report(
            report.outcomes + (outcomes or ["passed"]),
            report.text + "\n".join(texts),
            report.output + "".join(told),
        )
    return reports


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """Give the reports of all tests under the option."""
    return reports_of(tmp_path_factory.mktemp("strict"), STRICT, True)


@pytest.fixture(scope="module")
def lax(tmp_path_factory):
    """Give the reports of the tests without the option."""
    return reports_of(tmp_path_factory.mktemp("lax"), LAX, False)


# What a test does, and what is said of it.
LEFT = {
    "a tasklet that never ran": (
        "spawn(print, 'it ran')",
        ["*tasklet 'print' runnable *, spawned at *test_left.py:*"],
    ),
    "a tasklet that waits for a channel": (
        "spawn(channel().receive); run()",
        ["*'receive' blocked, waits to receive from*, spawned at *test_left.py:*"],
    ),
    "a tasklet that sleeps": (
        "spawn(sleep, 1000, name='sleeper'); run()",
        ["*tasklet 'sleeper' blocked, * spawned at *test_left.py:*"],
    ),
    "a tasklet that is paused": (
        "global kept; kept = spawn(schedule_remove); run()",
        ["*'schedule_remove' paused*test_left.py:*"],
    ),
    "one made by hand": ("tasklet(len)('x')", ["*tasklet 'len' runnable*"]),
    "a tasklet that was stopped by a budget": (
        "global kept; kept = spawn(endless); scheduler.run(ticks=1000)",
        ["*'endless' paused*test_left.py:*"],
    ),
    "a call with a time": (
        "scheduler.call_later(1000, print, 'it ran')",
        ["*Handle of <tasklets.tasklet 'print'*"],
    ),
    "a call without a time": (
        "scheduler.call_soon(print, 'it ran')", ["*tasklet 'print' runnable*"]
    ),
    "a call on a worker": (
        "global kept; pool = workers.WorkerPool(1); kept = pool, pool.submit(rest, .2)",
        ["*a call on a worker: <WorkerFuture *>"],
    ),
    "calls in the queue of workers": (
        "global kept; pool = workers.WorkerPool(1); kept = pool, "
        "[pool.submit(rest, 0.1), pool.submit(print, 'it ran'), pool.submit(len, '')]",
        ["*a call on a worker: <WorkerFuture *pending>"],
    ),
    "a call on a worker that nobody waits for any more": (
        "raises(TimeoutError, workers.call_on_worker, rest, 0.2, timeout=0.01)",
        ["*a call on a worker: *job*"],
    ),
    "a tasklet that waits for a worker": (
        "spawn(workers.call_on_worker, rest, 0.1); run()",
        ["*'call_on_worker' blocked*test_left.py:*", "*a call on a worker: *job*"],
    ),
    "a tasklet that tidies up": (
        "spawn(tidies_up); run()",
        ["*'tidies_up' blocked*test_left.py:*"],
    ),
    "a tasklet that fails while it is ended": (
        "spawn(fails_at_the_end); run()",
        ["*'fails_at_the_end' blocked*", "*KeyError('at the end'), raised while the*"],
    ),
    "a tasklet that survives a few kills": (
        "spawn(survives, 3); run()", ["*'survives' blocked*test_left.py:*"]
    ),
    "a tasklet that spawns others": (
        "spawn(spawns_at_the_end); run()",
        ["*'spawns_at_the_end' blocked*", "*'next' blocked*test_left.py:*"],
    ),
    "a tasklet that tidies up for long without waiting": (
        "spawn(computes_at_the_end); run()", ["*'computes_at_the_end' blocked*"]
    ),
    "a trap": ("switch_trap(1)", ["*switch_trap() is 1, and was 0 before"]),
    "a trap of the tasklet": (
        "getcurrent().block_trap = True", ["*block_trap of *main* is True"]
    ),
    "callbacks": (
        "set_channel_callback(print); set_schedule_callback(len)",
        ["*channel callback <built-in function print>", "*schedule callback <*len>"],
    ),
    "many": (
        "[spawn(print, i) for i in range(500)]", ["*'print' runnable*", "*and 480 more"]
    ),
}  # fmt: skip

HELPERS = """

def rest(seconds):
    import time
    time.sleep(seconds)

def endless():
    while True:
        pass

def raises(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        pass

def tidies_up():
    try:
        sleep(1000)
    finally:
        sleep(0.05)
        print("tidied up")

def computes_at_the_end():
    import time
    try:
        sleep(1000)
    finally:
        end = time.monotonic() + 0.2  # longer than one run of the scheduler
        while time.monotonic() < end:
            pass
        print("computed")

def fails_at_the_end():
    try:
        sleep(1000)
    finally:
        raise KeyError("at the end")

def survives(kills):
    while True:
        try:
            sleep(1000)
        except TaskletExit:
            kills -= 1
            if not kills:
                return

def spawns_at_the_end():
    try:
        sleep(1000)
    finally:
        spawn(sleep, 1000, name="next")
"""


def name_of(what):
    """Return the name of the test that does this."""
    return "test_" + re.sub(r"\W", "_", what)


LEFT_TESTS = "".join(
    f"\n\ndef {name_of(what)}():\n    {code}\n"
    f"\n\ndef {name_of(what)}_next():\n    run()\n"
    "    assert scheduler.pending() == 0 and getruncount() == 1\n"
    for what, (code, _) in LEFT.items()
)

STRICT = {
    "left": HELPERS + LEFT_TESTS,
    "never_ends": HELPERS + """

def test_never_ends():
    spawn(survives, 1000)
    run()


def test_never_ends_next():
    survivor = getcurrent().next
""",
    "tidy": """
from concurrent.futures import Future
from tasklets.workers import WorkerPool, call_on_worker


def test_tidy():
    ch = channel()
    reader = spawn(list, ch)
    ch.send(1)
    ch.close(wake=True)
    assert reader.result() == [1]
    with TaskGroup() as group:
        group.map(sleep, [0.01, 0.02])
    assert call_on_worker(len, "abc") == 3
    with WorkerPool(1) as pool:
        assert pool.submit(len, "ab").result() == 2
    scheduler.call_later(1000, print).cancel()


def test_only_bound():
    tasklet(print)
    Future()


def test_failed():
    spawn(channel().receive)
    run()
    1 / 0
""",
    "wider": """
import pytest

import tasklets


@pytest.fixture(scope="module")
def server():
    requests = channel()

    def serve():
        for request, answer in requests:
            answer.send(request * 2)

    spawn(serve)
    yield requests
    requests.close(wake=True)
    run()


@pytest.fixture
def own():
    ticker = spawn(sleep, 1000)
    run()
    yield
    ticker.kill()


@pytest.mark.parametrize("number", range(3))
def test_ask(server, own, number):
    answer = channel()
    server.send((number, answer))
    assert answer.receive() == 2 * number
    spawn(print) if number == 1 else None
""",
    "marker": """
import pytest, unittest


@pytest.mark.tasklets_strict(False)
def test_let_off():
    spawn(print)


@pytest.mark.tasklets_strict(check=False)
def test_let_off_by_name():
    run()
    spawn(print)


@pytest.mark.tasklets_strict
def test_marked():
    run()
    spawn(print)


class Old(unittest.TestCase):
    def test_unittest(self):
        spawn(print)
""",
    "threads": """
import threading


def test_thread():
    begun, end = threading.Event(), threading.Event()

    def work():
        waiting = spawn(channel().receive)
        spawn(print)
        schedule()
        runnable = spawn(print, "of another thread")
        begun.set()
        end.wait(30)
        waiting.kill()
        runnable.kill()

    global thread, stop
    thread, stop = threading.Thread(target=work), end
    thread.start()
    begun.wait(30)


def test_thread_next():
    stop.set()
    thread.join()
""",
    "fixtures": """
def test_a_clock(fake_clock):
    sleep(3600)
    assert fake_clock.now() == 3600
    sleeper = spawn(sleep, 5)
    fake_clock.advance(10)
    assert sleeper.done()


def test_a_clock_next():
    from tasklets import _core
    assert _core.fake_clock(None) is None


def test_settling(settle):
    ends = []
    spawn(lambda: (schedule(), ends.append(1)))
    settle()
    assert ends == [1]
""",
}  # fmt: skip

LAX = {
    "lax": """
import pytest

import tasklets


def test_one():
    spawn(print)


def test_two(tasklets_clean):
    run()
    spawn(print)


@pytest.mark.usefixtures("tasklets_clean")
class TestThree:
    def test_three(self):
        spawn(print)


def test_four():
    run()
"""
}

FAILS = ["error"]  # when its fixtures are torn down


@pytest.mark.parametrize("what", LEFT)
def test_a_tasklet_left_behind_fails_its_own_test(strict, what):
    _, lines = LEFT[what]
    report = strict[name_of(what)]
    assert report.outcomes == FAILS
    assert report.has(f"*{name_of(what)} left behind:")
    for line in lines:
        assert report.has(line), f"{line} not in {report.text}"
    assert "it ran" not in report.output
    assert strict[f"{name_of(what)}_next"].outcomes == ["passed"]


@pytest.mark.parametrize("patience", ["soon", "nan"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(tmp_path, patience):
    (tmp_path / "pytest.ini").write_text(f"[pytest]\ntasklets_patience = {patience}\n")
    install(tmp_path)
    assert run_pytest(tmp_path, stderr=True) == (
        "ERROR: tasklets_patience must be a number of seconds from 0 to 3600, "
        f"not '{patience}'\n\n"
    )


def test_clean_up_may_wait(strict):
    assert "tidied up" in strict[name_of("a tasklet that tidies up")].output
    computes = strict[name_of("a tasklet that tidies up for long without waiting")]
    assert "computed" in computes.output


def test_a_tasklet_that_never_ends_is_named_once_more(strict):
    report = strict["test_never_ends"]
    assert report.outcomes == FAILS
    assert report.has("*'survives' *spawned at*")
    assert report.has("*'survives'*does not end")


def test_a_tidy_test_passes(strict):
    assert strict["test_tidy"].outcomes == ["passed"]
    assert strict["test_only_bound"].outcomes == ["passed"]


def test_a_failed_test_is_tidied_up_too(strict):
    report = strict["test_failed"]
    assert sorted(report.outcomes) == ["error", "failure"]
    assert report.has("*ZeroDivisionError*")
    assert report.has("*'receive' blocked*")


def test_what_other_fixtures_have_is_left_alone(strict):
    assert strict["test_ask[0]"].outcomes == ["passed"]
    assert strict["test_ask[1]"].outcomes == FAILS
    assert strict["test_ask[1]"].has("*test_ask[[]1] left behind:")
    assert strict["test_ask[1]"].text.count("tasklets.tasklet ") == 1
    assert strict["test_ask[2]"].outcomes == ["passed"]


def test_a_marker_lets_one_off(strict):
    assert strict["test_let_off"].outcomes == ["passed"]
    assert strict["test_let_off_by_name"].outcomes == ["passed"]
    assert strict["test_marked"].outcomes == FAILS
    assert strict["test_unittest"].outcomes == FAILS


def test_other_threads_are_left_alone(strict):
    assert strict["test_thread"].outcomes == ["passed"]
    assert strict["test_thread_next"].outcomes == ["passed"]


@pytest.mark.parametrize("name", ["a_clock", "a_clock_next", "settling"])
def test_fixtures(strict, name):
    assert strict[f"test_{name}"].outcomes == ["passed"], strict[f"test_{name}"].text


def test_without_the_option_only_tests_that_ask_are_checked(lax):
    assert {name: report.outcomes for name, report in lax.items()} == {
        "test_one": ["passed"],
        "test_two": FAILS,
        "test_three": FAILS,
        "test_four": ["passed"],
    }


def test_others_do_not_load_pytest():
    program = (
        "import sys, tasklets; from tasklets import *; tasklets.testing; dir(tasklets);"
        "print([name for name in ('pytest', '_pytest') if name in sys.modules])"
    )
    output = subprocess.check_output(
        [sys.executable, "-c", program], cwd=ROOT, text=True
    )
    assert output == "[]\n"
