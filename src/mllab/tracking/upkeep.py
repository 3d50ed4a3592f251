"""Sealing in the background: a process of its own, at low priority, so that no run and no window waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mllab.store.store import Store


def start_upkeep(store: Store) -> bool:
    """Start a background process that seals, compacts and sweeps, when there is enough to do.

    Returns whether one was started. Where only the standard library is at hand nothing happens: the next
    reader with mllab whole does the work.
    """
    from importlib.util import find_spec

    if not store.wants_upkeep() or find_spec("pyarrow") is None:
        return False
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "mllab.store.upkeep", store.layout.root],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    except OSError:
        return False
    # A thread reaps it: a long training script must not gather zombies.
    threading.Thread(target=process.wait, name="mllab-upkeep", daemon=True).start()
    return True
