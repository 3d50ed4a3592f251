"""Labs for the terminal UI to show: a copy of the big one that may be written to, and runs that are written to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.measure import environment
from mllab.lab import Lab
from mllab.query.select import select_refs
from mllab.query.views import run_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

LIVE_METRICS = ("loss", "accuracy", "lr", "grad_norm", "throughput")
# These are written once under their name: parts, blobs, coarse copies.
_IMMUTABLE = (".parquet",)
_NAMED = 4096


def writable_copy(lab: Lab, folder: str) -> Lab:
    """Return a lab with the same runs in ``folder``; what never changes is linked, not copied."""
    shutil.rmtree(folder, ignore_errors=True)

    def copy(source: str, target: str) -> None:
        if source.endswith(_IMMUTABLE):
            with contextlib.suppress(OSError):  # another file system
                os.link(source, target)
                return
        shutil.copy2(source, target)

    shutil.copytree(lab.root, folder, copy_function=copy)
    return Lab.find(folder)


@contextlib.contextmanager
def writers(lab: Lab, work: str, count: int, hertz: float, keys: tuple[str, ...] = LIVE_METRICS) -> Iterator[list[str]]:
    """Have processes log to a lab within the block; yields the ids of their runs."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for number in range(count):
            argv = [sys.executable, "-m", "benchmarks.tui_writer", lab.root, f"live-{number}", f"{hertz:g}", *keys]
            processes.append(
                subprocess.Popen(
                    argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(work), cwd=work
                )
            )
        yield [process.stdout.readline().strip() for process in processes if process.stdout is not None]
    finally:
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in processes:
            process.wait(60)
            if process.stdout is not None:
                process.stdout.close()


def newest_names(lab: Lab) -> list[bytes]:
    """Return the names of the first runs of the list as it is shown without a filter."""
    with lab.engine.steady():
        refs = select_refs(lab.engine, "").refs[:_NAMED].tolist()
        rows = run_rows(lab.engine, refs)
        return [rows[ref].name.encode() for ref in refs]


def longest_runs(lab: Lab, count: int) -> list[tuple[str, int]]:
    """Return (id, points) of the runs with the most points, in descending order of them."""
    return [
        (str(run_id), int(points))
        for run_id, points in lab.engine.rows(
            f"""SELECT r.run_id, p.points FROM (SELECT ref, sum(count) AS points FROM r_summaries GROUP BY ref) p
            JOIN r_runs r USING (ref) WHERE r.deleted IS NULL ORDER BY points DESC, ref LIMIT {int(count)}"""
        )
    ]


def longest_curve(lab: Lab, run_id: str) -> tuple[str, int]:
    """Return the metric of a run with the most points, and how many."""
    rows = lab.engine.rows(
        "SELECT key, count FROM r_summaries JOIN r_runs USING (ref) WHERE run_id = ? ORDER BY count DESC, key LIMIT 1",
        [run_id],
    )
    return str(rows[0][0]), int(rows[0][1])


def metrics(lab: Lab, count: int) -> list[tuple[str, float]]:
    """Return the commonest metrics, each with its median among the runs."""
    return [
        (str(key), float(median))
        for key, median in lab.engine.rows(
            f"""SELECT key, median(last) FROM r_summaries WHERE isfinite(last)
            GROUP BY key ORDER BY count(*) DESC, key LIMIT {int(count)}"""
        )
    ]
