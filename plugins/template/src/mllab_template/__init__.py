"""A plugin for mllab: records the virtual environment a run was started in."""

__version__ = "0.1.0"
