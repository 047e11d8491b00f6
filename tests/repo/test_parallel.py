"""Modules of tests run in several processes, and are reported as in one."""

import re
import subprocess
from textwrap import dedent

import pytest
from children import finish, start

CONFTEST = """
from parallel import Processes

def pytest_configure(config):
    config.pluginmanager.register(Processes({count}))
"""


@pytest.fixture
def results(tmp_path):
    """Return a function that runs modules of tests: status, last line, and output."""

    def run(*modules, count=2, args=()):
        (tmp_path / "conftest.py").write_text(CONFTEST.format(count=count))
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = timing")
        for number, source in enumerate(modules):
            path = tmp_path / f"test_{number}.py"
            path.write_text("import os, signal, time, pytest\n" + dedent(source))
        child = start(
            "-m", "pytest", "-p", "no:cacheprovider", *args, tmp_path, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        status, output = finish(child, 100)[:2]
        last = output.splitlines()[-1]
        return status, re.sub(r"^=+ | in .*", "", last), output

    return run


def test_what_tests_do_is_reported_as_in_one_process(results):
    module = """
        def test_passes():
            assert True

        def test_fails():
            print("what it printed")
            assert 1 == 2

        @pytest.mark.skip(reason="why not")
        def test_skipped():
            pass

        @pytest.fixture
        def broken():
            raise KeyError

        def test_error(broken):
            pass
    """
    status, last, output = results(module, module)
    assert (status, last) == (1, "2 failed, 2 passed, 2 skipped, 2 errors")
    assert output.count("what it printed\n") == 2
    assert output.count("KeyError") > 0
    assert "test_0.py .FsE" in output
    assert "test_1.py .FsE" in output


def test_two_modules_run_at_once(results):
    # Each waits until the other one has begun.
    module = """
        def test_meets_the_other(request):
            here = request.path
            other = here.with_name({"test_0.py": "1", "test_1.py": "0"}[here.name])
            here.with_name(here.stem[-1]).touch()
            end = time.monotonic() + 60
            while not other.exists():
                assert time.monotonic() < end
    """
    assert results(module, module)[:2] == (0, "2 passed")


def test_the_fixtures_of_a_module_are_set_up_once(results):
    module = """
        @pytest.fixture(scope="module")
        def made(request):
            with open(request.path.with_suffix(".log"), "a") as log:
                log.write("x")
                yield
            assert request.path.with_suffix(".log").read_text() == "x"

        def test_first(made):
            pass

        def test_second(made):
            pass
    """
    assert results(module, module, module)[:2] == (0, "6 passed")


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_test_that_ends_its_process_fails_and_the_others_run(results, end):
    crashing = f"""
        def test_before():
            pass

        def test_ends():
            {end}

        def test_after():
            pass
    """
    status, last, output = results("def test(): pass", crashing, crashing)
    assert (status, last) == (1, "2 failed, 5 passed")
    assert output.count("\nthe process of this test has ended, with status") == 2


def test_a_failure_may_end_the_run(results):
    module = """
        def test_fails():
            assert False

        def test_not_run():
            open("run", "w").close()
    """
    status, last, _ = results(module, module, module, args=["-x"])
    assert (status, last) == (1, "1 failed")


def test_tests_of_timing_run_alone_after_all_others(results, tmp_path):
    usual = """
        def note(what):
            with open("log", "a") as log:
                log.write(f"{what} {os.getpid()}\\n")

        @pytest.mark.timing
        def test_measures():
            note("begins")
            time.sleep(0.1)
            note("ends")

        def test_other():
            note("other")
    """
    modules = [usual] * 3
    assert results(*modules)[:2] == (0, "6 passed")
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert [what for what, _ in lines] == ["other"] * 3 + ["begins", "ends"] * 3
    assert len({pid for _, pid in lines[:3]}) == 2
    assert len({pid for _, pid in lines[3:]}) == 1
