"""Sealing: the records of dead segments become rows of immutable parts, published by one manifest.

Every step can be repeated: parts are named by their content, a manifest is put only if its number is free,
and segments are removed by a later pass, when the manifest that replaces them has been durable for a while.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mllab.errors import StoreBusy
from mllab.store.decode import is_locked
from mllab.store.fs import translate_os_errors
from mllab.store.layout import regular_file_size
from mllab.store.lease import lease
from mllab.store.manifest import commit, load_newest
from mllab.store.open_run import OpenRun
from mllab.store.parts import load_states, logs_table, points_table, write_fold, write_part
from mllab.store.points import concat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout
    from mllab.store.manifest import Manifest

BATCH_BYTES = 256 << 20
BATCH_RUNS = 2000
# A live run's closed segments are sealed only in lumps: each time costs its row once more.
LIVE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class SealReport:
    """What one call of :func:`seal` did."""

    runs: int = 0
    segments: int = 0
    points: int = 0
    bytes_read: int = 0
    lost_bytes: int = 0

    def __add__(self, other: SealReport) -> SealReport:
        return SealReport(
            self.runs + other.runs,
            self.segments + other.segments,
            self.points + other.points,
            self.bytes_read + other.bytes_read,
            self.lost_bytes + other.lost_bytes,
        )


def seal(layout: Layout, disk: Disk, *, wait: bool = False, live_bytes: int = LIVE_BYTES) -> SealReport:
    """Seal every dead segment; with ``live_bytes=0`` also the closed segments of live runs.

    Raises:
        StoreBusy: another process is sealing and ``wait`` is false.
        WriteError: the disk refused; nothing changed.
    """
    report = SealReport()
    with lease(layout, wait=wait):
        for batch in _batches(layout, load_newest(layout), live_bytes):
            report += _seal_batch(layout, disk, batch)
    return report


def _batches(layout: Layout, manifest: Manifest, live_bytes: int) -> Iterator[dict[str, list[str]]]:
    """Yield groups of runs with the segments of each that can be sealed."""
    batch: dict[str, list[str]] = {}
    size = 0
    for run_id in layout.open_run_ids():
        folder = layout.run_folder(run_id)
        names = [name for name in layout.segment_names(run_id) if f"{run_id}/{name}" not in manifest.sealed]
        locked = {name for name in names if is_locked(os.path.join(folder, name))}
        dead = [name for name in names if name not in locked]
        run_bytes = sum(regular_file_size(os.path.join(folder, name)) or 0 for name in dead)
        if not dead or (locked and run_bytes < live_bytes):
            continue
        batch[run_id] = dead
        size += run_bytes
        if size >= BATCH_BYTES or len(batch) >= BATCH_RUNS:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


def _seal_batch(layout: Layout, disk: Disk, batch: dict[str, list[str]]) -> SealReport:
    manifest = load_newest(layout)
    runs = []
    for run_id, names in batch.items():
        run = OpenRun(layout, run_id)
        run.refresh(names)
        if not run.unreadable:  # or what is not read at present would be taken for sealed
            runs.append(run)
    needy = [run.run_id for run in runs if run.needs_base]
    bases = load_states(layout, manifest, needy) if needy else {}
    runs = [run for run in runs if not run.needs_base or run.run_id in bases or _is_whole(layout, manifest, run)]
    if not runs:
        return SealReport()
    next_ref = manifest.next_ref
    states, replaced, points, logs = [], set(), [], []
    count = 0
    for run in runs:
        if not run.has_events:
            continue  # nothing readable in it: verify names it, the segment goes to the trash with its bytes
        base = bases.get(run.run_id)
        # A run that is still alive has an open segment, whose readers know better than this row: lost, if it dies.
        state = run.state(base)
        if base is None:
            state.ref, next_ref = next_ref, next_ref + 1
        else:
            replaced.add(state.ref)
        states.append(state)
        if run.points:
            columns = concat(run.points)
            count += len(columns)
            points.append((state.ref, columns))
        logs += [{"ref": state.ref, **row} for row in run.logs]
    changes: dict[str, Any] = {"next_ref": next_ref}
    if states:
        masked = tuple(_mask(fold, replaced) for fold in manifest.folds)
        changes["folds"] = (*masked, write_fold(layout, disk, states))
        deleted = (set(manifest.deleted) - {s.ref for s in states}) | {s.ref for s in states if s.deleted}
        changes["deleted"] = tuple(sorted(deleted))
    if points:
        points.sort(key=lambda item: item[0])
        table = pa.concat_tables([points_table(ref, columns) for ref, columns in points]).unify_dictionaries()
        changes["points"] = (*manifest.points, write_part(layout, disk, "points", table))
    if logs:
        logs.sort(key=lambda row: row["ref"])
        changes["logs"] = (*manifest.logs, write_part(layout, disk, "logs", logs_table(logs)))
    now = time.time_ns() // 1000
    sizes = {
        f"{run.run_id}/{name}": (size, now, lost) for run in runs for name, (size, lost) in run.read_bytes().items()
    }
    with translate_os_errors("the folder of parts"):
        disk.sync_folder(layout.parts)
    disk.point("before_manifest")
    if commit(layout, disk, manifest.following(sealed=manifest.sealed | sizes, **changes)) is None:
        raise StoreBusy("Another process committed in between; nothing changed.", "Call again.")
    disk.point("after_manifest")
    total, lost = sum(size for size, _, _ in sizes.values()), sum(lost for _, _, lost in sizes.values())
    return SealReport(len(states), len(sizes), count, total, lost)


def _is_whole(layout: Layout, manifest: Manifest, run: OpenRun) -> bool:
    """Whether no other segment of the run waits to be sealed, which may hold its first record."""
    names = set(layout.segment_names(run.run_id)) - run.segments
    return all(f"{run.run_id}/{name}" in manifest.sealed for name in names)


def _mask(fold: Any, refs: set[int]) -> Any:
    """Void the rows of ``refs`` in a fold, where it may have them."""
    runs = fold.parts["runs"]
    hits = {ref for ref in refs if runs.first_ref <= ref <= runs.last_ref}
    return replace(fold, masked=tuple(sorted({*fold.masked, *hits}))) if hits else fold
