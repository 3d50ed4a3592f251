"""How many calls that had returned are gone after `kill -9`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.measure import environment, why_absent, worker
from benchmarks.report import Row, missing

if TYPE_CHECKING:
    from benchmarks.measure import Context

LIFE_S = 3.0
# A service process of the peer may outlive the one that was killed; it gets this long to finish.
GRACE_S = 3.0


def kills(context: Context) -> list[Row]:
    """Let each tracker log for a while, kill it, and compare what returned with what is found."""
    rows = []
    what = "calls lost that had returned before kill -9"
    for name in peers.NAMES:
        label = peers.LABELS.get(name, name)
        reason = why_absent(peers.load(name).MODULE)
        if reason:
            rows.append(missing("kill", what, label, reason))
            continue
        acknowledged, found = _victim(context, name)
        floor = 0.0 if name == "mllab" else None
        note = f"{acknowledged:,} had returned, {found:,} found"
        lost = float(max(0, acknowledged - found))
        rows.append(Row("kill", what, label, "calls", lost, count=1, floor=floor, note=note))
    return rows


def _victim(context: Context, name: str) -> tuple[int, int]:
    folder = context.scratch("kill", name)
    argv = [sys.executable, "-m", "benchmarks.worker", "kill", name, folder]
    counter = os.path.join(folder, "acknowledged")
    with subprocess.Popen(
        argv, env=environment(folder), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as victim:
        try:
            while not _returned(counter):
                if victim.poll() is not None:
                    raise RuntimeError(f"{name} ended by itself before it had logged anything.")
                time.sleep(0.05)
            time.sleep(0.5 if context.quick else LIFE_S)
        finally:
            victim.send_signal(signal.SIGKILL)
    acknowledged = _returned(counter)
    time.sleep(GRACE_S)
    found = int(worker(folder, "count", name, folder)["calls"])
    shutil.rmtree(folder)
    return acknowledged, found


def _returned(counter: str) -> int:
    try:
        with open(counter, "rb") as file:
            return int.from_bytes(file.read(8), sys.byteorder)
    except FileNotFoundError:
        return 0
