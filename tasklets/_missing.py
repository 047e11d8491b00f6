"""The error message for a missing extension module."""

import sys
from pathlib import Path
from sysconfig import get_config_var


def explain() -> str:
    """Return why tasklets cannot be imported, and how to fix it."""
    directory = Path(__file__).parent
    python = f"CPython {sys.version_info.major}.{sys.version_info.minor}"
    soabi = get_config_var("SOABI")
    text = f"tasklets is not built for {python} ({soabi}) in {directory}"
    if (directory.parent / "csrc").is_dir():
        return (
            f"{text}: this is the source tree. Build tasklets here with `make build` "
            "or `pip install -e .`; or, if it is installed, start Python in another "
            "directory, because it searches the current one first"
        )
    built = sorted(path.name for path in directory.glob("_core.*.so"))
    found = f", there is only {', '.join(built)}" if built else ""
    return (
        f"{text}{found}: install it again with `pip install --force-reinstall` and the "
        f"wheel for {python}, or the source archive"
    )
