"""Random clients and servers, also while system calls fail and are cut short."""

import os
import shlex
import subprocess
import sysconfig

import pytest
from children import ROOT, run_script


@pytest.fixture(scope="session")
def faulty(tmp_path_factory):
    """Return a library to preload: see tests/c/faulty.c."""
    library = tmp_path_factory.mktemp("faulty") / "faulty.so"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    source = ROOT / "tests" / "c" / "faulty.c"
    subprocess.run(
        [*compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"],
        check=True,
    )
    return library


def check(seed):
    status, output = run_script("net_storm.py", seed, "1.5")
    assert status == 0, output
    word, connections, messages, killed = output.splitlines()[-1].split()
    assert word == "ok", output
    assert int(connections) > 10, output
    assert int(messages) > 10, output
    assert int(killed) > 3, output


@pytest.mark.parametrize("seed", range(4))
def test_clients_come_go_stall_and_die(seed):
    check(seed)


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="a sanitizer replaces the same functions",
)
@pytest.mark.parametrize("seed", range(100, 108))
def test_while_system_calls_fail(seed, faulty, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", os.fspath(faulty))
    monkeypatch.setenv("FAULTY_SEED", str(seed))
    check(seed)
