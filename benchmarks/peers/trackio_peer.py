"""trackio in a local folder. ``log`` appends to a list; a thread writes the list to SQLite twice a second."""

from __future__ import annotations

import os
from typing import Any

MODULE = "trackio"
PROJECT, RUN = "benchmark", "run"


class _Run:
    def __init__(self, trackio: Any) -> None:
        self.log = trackio.log
        self.finish = trackio.finish


def start(folder: str) -> _Run:
    """Start a run; hardware metrics are off."""
    os.environ["TRACKIO_DIR"] = os.path.join(folder, "trackio")
    import trackio

    trackio.init(project=PROJECT, name=RUN, embed=False, auto_log_gpu=False, auto_log_cpu=False)
    return _Run(trackio)


def calls(folder: str) -> int:
    """Count the rows of the run."""
    os.environ["TRACKIO_DIR"] = os.path.join(folder, "trackio")
    from trackio.fragments import import_inbox_dir
    from trackio.sqlite_storage import SQLiteStorage

    import_inbox_dir()  # what the run wrote beside the database, if anything
    return len(SQLiteStorage.get_logs(PROJECT, RUN))
