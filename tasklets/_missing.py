"""What to say when the extension module is not there."""

import sys
from pathlib import Path
from sysconfig import get_config_var


def explain() -> str:
    """Return why tasklets cannot be imported, and what to do."""
    folder = Path(__file__).parent
    python = f"CPython {sys.version_info.major}.{sys.version_info.minor}"
    text = f"tasklets is not built for {python} ({get_config_var('SOABI')}) in {folder}"
    if (folder.parent / "csrc").is_dir():
        return (
            f"{text}: this is the source folder. Build tasklets here with `make build` "
            "or `pip install -e .`; or, if it is installed, start Python in another "
            "folder, because it searches the current one first"
        )
    built = sorted(path.name for path in folder.glob("_core.*.so"))
    found = f", there is only {', '.join(built)}" if built else ""
    return f"{text}{found}: install it with `pip install --force-reinstall tasklets`"
