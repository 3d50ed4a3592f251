"""Make the golden store of format 1. Run once; its output is committed and opened by the tests for ever.

python tests/golden/make_format_1.py tests/golden/stores/format-1
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from typing import Any

from mllab.query.engine import Engine
from mllab.store.store import Store

# What the tests compare: every table with all its columns, times as microseconds.
TABLES = {
    "runs": "run_id, experiment, name, status, epoch_us(started), epoch_us(ended), attempt, parent_id, forked_from, "
    'forked_step, "user", note, archived, error, info',
    "params": "run_id, key, type, number, text",
    "tags": "run_id, key, value",
    "metrics": "run_id, key, step, epoch_us(time), value, attempt",
    "metric_summaries": "run_id, key, last, last_step, min, max, mean, count, nans, first_step",
    "artifacts": "run_id, path, sha256, size, media, kind",
    "datasets": "run_id, name, digest, context, source, schema, rows, profile",
    "logs": "run_id, attempt, stream, text",
}


def content(store: Store) -> dict[str, list[Any]]:
    """Return every row of every view, in one order, NaN and infinities as text."""
    engine = Engine(store)
    found = {}
    for table, columns in TABLES.items():
        rows = [[_plain(value) for value in row] for row in engine.rows(f"SELECT {columns} FROM {table}")]
        found[table] = sorted(rows, key=repr)
    return found


def _plain(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def make(folder: str) -> None:
    """Write the store and what it holds."""
    store = Store.create(folder)
    ids = [f"01m85000000000000000000{number:03d}" for number in range(6)]
    about = {"user": "ada", "host": "engine"}

    def begin(number: int, name: str, **extra: Any) -> Any:
        writer = store.writer(ids[number], about=about)
        writer.event("start", {"experiment": "golden", "name": name, **extra})
        return writer

    first = begin(0, "sealed")
    first.event("params", {"values": {"lr": 0.1, "n": 3, "amp": True, "opt": "adam", "none": None, "list": [1, "x"]}})
    first.event("tags", {"values": {"team": "läß", "gone": "x"}})
    first.event("tags", {"values": {"gone": None}})
    for step, value in enumerate([1.0, math.nan, math.inf, -math.inf, 5e-324, 0.25]):
        first.points({"loss": value, "val/loss": value / 2}, step)
    first.batch("curve", range(0, 1000, 10), [math.sin(step / 100) for step in range(0, 1000, 10)])
    first.batch("timed", [3, 1, 2], [3.0, 1.0, 2.0], [1_000_000, 2_000_000, 3_000_000])
    first.event("out", {"s": "stdout", "x": "hello\n"})
    blob = store.blobs.put_bytes(b"golden bytes")
    first.event(
        "artifact", {"path": "a/b.bin", "sha256": blob.sha256, "size": blob.size, "media": "x/y", "kind": "file"}
    )
    first.event(
        "dataset",
        {
            "name": "d",
            "digest": "sha256:00",
            "context": "train",
            "source": "s",
            "schema": "{}",
            "rows": 7,
            "profile": "{}",
        },
    )
    first.event("note", {"text": "a *note*"})
    first.event("info", {"values": {"git": {"commit": "abc"}}})
    first.event("finish", {"status": "finished"})
    first.close()

    failed = begin(1, "failed", parent=ids[0])
    failed.points({"loss": 2.0}, 0)
    failed.event("finish", {"status": "failed", "error": {"type": "ValueError", "message": "no", "traceback": "..."}})
    failed.close()
    resumed = begin(2, "resumed", forked_from=ids[0], forked_step=3)
    for step in range(10):
        resumed.points({"loss": float(step)}, step)
    resumed.close()
    deleted = begin(3, "deleted")
    deleted.points({"loss": 3.0}, 0)
    deleted.event("finish", {"status": "finished"})
    deleted.close()
    store.seal()

    again = store.writer(ids[2], attempt=2, about=about)
    again.event("resume", {})
    again.points({"loss": -1.0}, 5)
    again.event("finish", {"status": "killed"})
    again.close()
    store.edit(ids[3], 1, [("delete", {"value": True})])
    store.edit(ids[0], 1, [("tags", {"values": {"late": "edit"}})])
    store.seal()
    store.edit(ids[1], 1, [("archive", {"value": True}), ("rename", {"name": "failed, renamed"})])

    lost = begin(4, "lost")
    lost.points({"loss": 4.0}, 0)
    lost.points({"loss": 4.5}, 1)
    lost.close()
    (name,) = store.layout.segment_names(ids[4])
    with open(os.path.join(store.layout.run_folder(ids[4]), name), "ab") as file:
        file.write(b"\x20\x00\x00\x00torn in the middle")
    unsealed = begin(5, "unsealed")
    unsealed.event("params", {"values": {"nested.key": 1.5}})
    unsealed.points({"loss": 5.0}, 0)
    unsealed.event("finish", {"status": "finished"})
    unsealed.close()

    expected = content(store)
    for leftover in ("reserve", ".gitignore", "lease"):
        if os.path.exists(os.path.join(folder, leftover)):
            os.unlink(os.path.join(folder, leftover))
    shutil.rmtree(os.path.join(folder, "cache"), ignore_errors=True)
    with open(f"{folder}.json", "w", encoding="utf-8") as answers:
        json.dump(expected, answers, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    make(sys.argv[1])
