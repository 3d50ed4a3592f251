"""One daemon thread per process that looks after every open run, so the log path does not have to."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from mllab.tracking.run import Run

TICK_S = 1.0
_log = logging.getLogger("mllab")


class Background:
    """Calls ``tick()`` of each open run about once a second."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._wake = threading.Event()
        self._lock = threading.RLock()
        self._thread: Optional[threading.Thread] = None

    def add(self, run: Run) -> None:
        """Look after ``run`` until it is removed."""
        with self._lock:
            self._runs.append(run)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mllab-background", daemon=True)
                self._thread.start()

    def remove(self, run: Run) -> None:
        """Forget ``run``; the thread ends with the last one."""
        with self._lock:
            if run in self._runs:
                self._runs.remove(run)
            if not self._runs:
                self._wake.set()
                self._thread = None
                self._wake = threading.Event()

    def open_runs(self) -> list[Run]:
        """Return the runs that are open in this process, oldest first."""
        with self._lock:
            return list(self._runs)

    def _work(self) -> None:
        wake = self._wake
        while not wake.wait(TICK_S):
            for run in self.open_runs():
                try:
                    run.tick()
                except Exception as error:  # training goes on whatever happens here
                    _log.warning("mllab: looking after run %s failed: %s", run.id, error)

    def forget_in_child(self) -> None:
        """Drop the parent's runs and thread in a forked child."""
        self._runs = []
        self._wake = threading.Event()
        self._lock = threading.RLock()
        self._thread = None


# The process has one such thread, as it has one interpreter exit; both need a place to hang on to.
BACKGROUND = Background()
os.register_at_fork(after_in_child=BACKGROUND.forget_in_child)
