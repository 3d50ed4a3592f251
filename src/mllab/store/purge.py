"""Purging: the rows of runs that were deleted long ago leave the parts for good. Needs pyarrow."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mllab.errors import StoreBusy
from mllab.store.manifest import commit
from mllab.store.parts import merge_folds, merge_tables
from mllab.store.references import read_columns, sealed_runs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout
    from mllab.store.manifest import Fold, Manifest, Part


def expired_runs(layout: Layout, manifest: Manifest, restore_s: float, keep: Collection[str]) -> dict[int, str]:
    """Return ref and id of sealed runs deleted at least ``restore_s`` ago, but for those to keep."""
    expired = {}
    latest = time.time_ns() // 1000 - restore_s * 1e6
    deleted = set(manifest.deleted)
    for fold in manifest.folds:
        runs = fold.parts["runs"]
        if not any(runs.first_ref <= ref <= runs.last_ref for ref in deleted):
            continue
        for ref, row in sealed_runs(layout, fold, ["run_id", "deleted"]).items():
            if row["deleted"] is not None and row["deleted"] <= latest and row["run_id"] not in keep:
                expired[ref] = row["run_id"]
    return expired


def purge_runs(layout: Layout, disk: Disk, manifest: Manifest, runs: dict[int, str]) -> Manifest:
    """Rewrite every part that has rows of the given runs without them, and publish the result.

    The caller holds the lease. The old parts go with the next sweep.

    Raises:
        StoreBusy: another process committed in between; nothing changed.
        WriteError: the disk refused; nothing changed.
    """
    refs = sorted(runs)
    changed = manifest.following(
        folds=_folds(layout, disk, manifest.folds, refs),
        points=_parts(layout, disk, "points", manifest.points, refs),
        logs=_parts(layout, disk, "logs", manifest.logs, refs),
        deleted=tuple(ref for ref in manifest.deleted if ref not in runs),
    )
    disk.sync_folder(layout.parts)
    disk.point("before_manifest")
    published = commit(layout, disk, changed)
    if published is None:
        raise StoreBusy("Another process committed in between; nothing changed.", "Call again.")
    disk.point("after_manifest")
    # The manifest before the newest is kept as a fallback: a second one lets the rows leave the disk.
    published = commit(layout, disk, published.following()) or published
    _remove_damaged_segments(layout, disk, set(runs.values()))
    return published


def _folds(layout: Layout, disk: Disk, folds: tuple[Fold, ...], refs: Sequence[int]) -> tuple[Fold, ...]:
    result = []
    for fold in folds:
        if _holds_any(layout, fold.parts["runs"], refs):
            masked = replace(fold, masked=(*fold.masked, *refs))
            merged = merge_folds(layout, disk, [masked])
            result += [merged] if merged.runs else []
        else:
            result.append(fold)
    return tuple(result)


def _parts(layout: Layout, disk: Disk, name: str, parts: tuple[Part, ...], refs: Sequence[int]) -> tuple[Part, ...]:
    result = []
    for part in parts:
        kept = merge_tables(layout, disk, name, [part], refs) if _holds_any(layout, part, refs) else part
        result += [kept] if kept is not None else []
    return tuple(result)


def _holds_any(layout: Layout, part: Part, refs: Sequence[int]) -> bool:
    if not any(part.first_ref <= ref <= part.last_ref for ref in refs):
        return False
    column = read_columns(layout, part, ["ref"])["ref"]
    return bool(pc.any(pc.is_in(column, pa.array(refs, pa.int64()))).as_py())


def _remove_damaged_segments(layout: Layout, disk: Disk, run_ids: set[str]) -> None:
    """Remove the damaged segments of purged runs, which sweeping had set aside."""
    folder = os.path.join(layout.trash, "segments")
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if name[:26] in run_ids:
                disk.unlink(os.path.join(folder, name))
