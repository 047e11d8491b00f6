"""Run the scripts beside the tests in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import tasklets

TESTS = Path(__file__).parent


def run_script(name, *args, seconds):
    """Return exit status and output; None as status if it took too long."""
    script = TESTS / name
    # Also where neither the current nor the script's folder is searched.
    places = [TESTS, Path(tasklets.__file__).parents[1], os.environ.get("PYTHONPATH")]
    child = subprocess.Popen(
        [sys.executable, str(script), *map(str, args)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(p) for p in places if p)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        return None, child.communicate()[0]
    return child.returncode, output
