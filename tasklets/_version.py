"""The version, here and for setup.cfg."""

__version__ = "0.2.0"
