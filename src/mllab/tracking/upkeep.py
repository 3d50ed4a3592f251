"""Sealing in the background: a process of its own, at low priority, so that no run and no window waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mllab.store.store import Store


INTERVAL_S = 20.0


def start_upkeep(store: Store) -> bool:
    """Start a background process that seals, compacts and sweeps, when there is enough to do.

    Returns whether one was started. Where only the standard library is at hand nothing happens: the next
    reader with mllab whole does the work.
    """
    from importlib.util import find_spec

    if not store.wants_upkeep() or find_spec("pyarrow") is None or not _is_due(store.layout.lease):
        return False
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "mllab.store.upkeep", store.layout.root],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=store.layout.root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    except OSError:
        return False
    # A thread reaps it: a long training script must not gather zombies.
    threading.Thread(target=process.wait, name="mllab-upkeep", daemon=True).start()
    return True


def _is_due(lease: str) -> bool:
    """Whether the last upkeep began a while ago: a sweep of a thousand short runs must not start a thousand."""
    try:
        with open(lease, "ab"):
            age = time.time() - os.path.getmtime(lease)
            if os.path.getsize(lease) and 0 <= age < INTERVAL_S:
                return False
        with open(lease, "wb") as file:
            file.write(b"last upkeep: see this file's time\n")
    except OSError:
        return False
    return True
