"""wandb's terminal UI on runs that were logged offline: a few hundred folders, all with the same file."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.measure import command, environment, why_absent
from benchmarks.pty_session import PtySession
from benchmarks.report import Row, measured, missing

if TYPE_CHECKING:
    from benchmarks.measure import Context

CASE = "tui"
WHO = "wandb leet"
STEPS = 200
# It cuts names where its column ends.
_RUN = "offline-run-"
_LOG = """
import sys
from benchmarks.peers import wandb_peer
run = wandb_peer.start(sys.argv[1])
for step in range(int(sys.argv[2])):
    run.log({"loss": 1 / (step + 1), "accuracy": step / 200, "lr": 1e-3, "grad_norm": 1.5, "throughput": 950.0}, step)
run.finish()
"""


def leet(context: Context) -> list[Row]:
    """Measure start, keys and memory."""
    reason = why_absent("wandb")
    if reason:
        return [missing(CASE, "start", WHO, reason)]
    runs = context.scaled(300, 50)
    folder = _runs(context, runs)
    note = f"{runs} runs of {STEPS} steps"
    frames, names = [], []
    downs: list[float] = []
    memory = 0
    for _ in range(context.scaled(5, 2)):
        argv = [*command("wandb"), "leet", folder]
        with PtySession(argv, environ=environment(context.work), cwd=context.work) as session:
            names.append(session.wait_for(_RUN, timeout_s=60))
            frames.append(session.pieces()[0][0])
            session.quiet(quiet_s=1.0, timeout_s=60)
            if not downs:
                downs += [session.press("down").last_s for _ in range(context.scaled(100, 20))]
                memory = _memory(session.process.pid)
    return [
        measured(CASE, "start to first byte", WHO, "s", frames, note=note),
        measured(CASE, "start to first run", WHO, "s", names, note=note),
        measured(CASE, "down, key to paint, idle", WHO, "s", downs, note=note),
        measured(CASE, "memory after start", WHO, "MB", [memory / 1e6], note=f"{note}; Python's launcher counted too"),
    ]


def _runs(context: Context, count: int) -> str:
    """Log one run, and copy its folder under other names; return the folder of all."""
    made = context.scratch("leet", "one")
    subprocess.run([sys.executable, "-c", _LOG, made, str(STEPS)], env=environment(context.work), cwd=made, check=True)
    (source,) = glob.glob(os.path.join(made, "wandb", "offline-run-*"))
    (file,) = glob.glob(os.path.join(source, "*.wandb"))
    folder = context.scratch("leet", "wandb")
    for number in range(count):
        stamp = f"20261127_{number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}"
        target = os.path.join(folder, f"{_RUN}{stamp}-r{number:07d}")
        os.makedirs(os.path.join(target, "files"))
        shutil.copyfile(file, os.path.join(target, f"run-r{number:07d}.wandb"))
    return folder


def _memory(pid: int) -> int:
    """Return the memory of a process and of those that it started."""
    listing = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    processes = [tuple(map(int, line.split())) for line in listing.splitlines()]
    family = {pid}
    while more := {child for child, parent, _ in processes if parent in family} - family:
        family |= more
    return sum(rss * 1024 for child, _, rss in processes if child in family)
