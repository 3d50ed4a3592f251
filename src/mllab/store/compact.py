"""Compaction: many small parts become few large ones, so that opening a lab never reads many files."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mllab.errors import StoreBusy, StoreCorrupt
from mllab.store.coarse import may_have_long_curves, open_coarse, write_coarse
from mllab.store.fs import translate_os_errors
from mllab.store.lease import lease
from mllab.store.manifest import commit, load_newest
from mllab.store.parts import merge_folds, merge_tables, read_part

if TYPE_CHECKING:
    from mllab.store.fs import Disk
    from mllab.store.layout import Layout
    from mllab.store.manifest import Fold, Manifest, Part

T = TypeVar("T")

# Merging starts when this many neighbours in size have gathered: each row is rewritten about log8(n) times.
FAN_IN = 8
MAX_FOLD_RUNS = 200_000
MAX_PART_ROWS = 8_000_000


def compact(layout: Layout, disk: Disk, *, full: bool = False, wait: bool = False) -> bool:
    """Merge small parts, drop void rows and write the coarse copies that lack; return whether the tables changed.

    Args:
        layout: the store's layout.
        disk: its system calls.
        full: merge everything that fits into a part, however little there is to gain.
        wait: wait for the lease instead of raising StoreBusy.
    """
    changed = False
    with lease(layout, wait=wait):
        while (manifest := _step(layout, disk, load_newest(layout), full=full)) is not None:
            with translate_os_errors("the folder of parts"):
                disk.sync_folder(layout.parts)
            disk.point("before_manifest")
            if commit(layout, disk, manifest) is None:
                raise StoreBusy("Another process committed in between; nothing changed.", "Call again.")
            disk.point("after_manifest")
            changed = True
            full = False
        _write_missing_copies(layout)
    return changed


def _write_missing_copies(layout: Layout) -> None:
    """Write the coarse copies that parts lack: of an older store, or where the cache was removed or the disk full."""
    for part in load_newest(layout).points:
        if may_have_long_curves(part) and open_coarse(layout, part) is None:
            try:
                table = read_part(layout, part, read_dictionary=["key"])
            except StoreCorrupt:
                continue  # verify names it
            if not write_coarse(layout, part, table):
                return


def _step(layout: Layout, disk: Disk, manifest: Manifest, *, full: bool) -> Manifest | None:
    """Return a manifest with one merge of each kind done, or None when there is nothing to merge."""
    folds = _small_folds(manifest.folds, full=full)
    folds = folds or [fold for fold in manifest.folds if len(fold.masked) * 4 > fold.runs]
    points = _crowd([(part.rows, part) for part in manifest.points], MAX_PART_ROWS, full=full)
    logs = _crowd([(part.rows, part) for part in manifest.logs], MAX_PART_ROWS, full=full)
    if not (folds or points or logs):
        return None
    return manifest.following(
        folds=_merged_folds(layout, disk, manifest.folds, folds),
        points=_merged_parts(layout, disk, "points", manifest.points, points),
        logs=_merged_parts(layout, disk, "logs", manifest.logs, logs),
    )


def _small_folds(folds: tuple[Fold, ...], *, full: bool) -> list[Fold]:
    """Return the small folds that together hold as many runs as the next larger one, with that one.

    Every filter reads each fold once for each of its keys, so few folds matter more than few rewrites: sizes that
    at least double leave log2(n) folds, and each row is rewritten about as often.
    """
    ordered = sorted(folds, key=lambda fold: fold.runs, reverse=True)
    for place, fold in enumerate(ordered[:-1]):
        smaller = sum(other.runs for other in ordered[place + 1 :])
        if (full or smaller >= fold.runs) and fold.runs + smaller <= MAX_FOLD_RUNS:
            return ordered[place:]
    return []


def _crowd(sized: list[tuple[int, T]], limit: int, *, full: bool) -> list[T]:
    """Return items of one size class that are many enough to merge and stay below ``limit`` rows together."""
    classes: dict[int, list[tuple[int, T]]] = {}
    for rows, item in sized:
        classes.setdefault(0 if full else max(rows, 1).bit_length() // 3, []).append((rows, item))
    for group in classes.values():
        chosen, total = [], 0
        for rows, item in group:
            if total + rows <= limit:
                chosen.append(item)
                total += rows
        if len(chosen) >= (2 if full else FAN_IN):
            return chosen
    return []


def _merged_folds(layout: Layout, disk: Disk, folds: tuple[Fold, ...], chosen: list[Fold]) -> tuple[Fold, ...]:
    if not chosen:
        return folds
    merged = merge_folds(layout, disk, chosen)
    kept = [fold for fold in folds if fold not in chosen]
    return (merged, *kept) if merged.runs else tuple(kept)


def _merged_parts(
    layout: Layout, disk: Disk, name: str, parts: tuple[Part, ...], chosen: list[Part]
) -> tuple[Part, ...]:
    if not chosen:
        return parts
    merged = merge_tables(layout, disk, name, chosen, ())
    kept = [part for part in parts if part not in chosen]
    return (merged, *kept) if merged else tuple(kept)
