"""The version: setup.cfg's in a checkout, otherwise that of the installed package."""

from configparser import ConfigParser
from importlib import metadata
from pathlib import Path


def find_version() -> str:
    """Return it, or "unknown" for a copy that was not installed."""
    config = ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg", encoding="utf-8")
    if config.get("metadata", "name", fallback=None) == "tasklets":
        return config.get("metadata", "version")
    try:
        return metadata.version("tasklets")
    except metadata.PackageNotFoundError:
        return "unknown"
