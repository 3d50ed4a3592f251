"""Garbage collection: content that nothing refers to goes to the trash, slowly, and leaves it later still.

A pass marks what is in no use (``gc/<number>.json``). A blob is swept when it was marked by an earlier pass at
least a grace ago and is still the same unused file; the trash is purged another while later. So content logged
between two passes, or logged again, is never taken, and what was can be put back.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mllab.errors import StoreCorrupt, StoreError
from mllab.ids import is_run_id
from mllab.store import documents
from mllab.store.catalog import PIN, Catalog
from mllab.store.decode import is_locked
from mllab.store.fs import translate_os_errors
from mllab.store.layout import DIGEST
from mllab.store.lease import lease
from mllab.store.leftovers import remove_leftovers
from mllab.store.manifest import load_number
from mllab.store.purge import expired_runs, purge_runs
from mllab.store.references import blob_files, dataset_digests, references
from mllab.store.snapshot import SnapshotReader
from mllab.store.trash import empty_trash, new_folder, put_back, throw_away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout
    from mllab.store.references import BlobFile
    from mllab.store.snapshot import Snapshot

DAY_S = 86_400.0
# File systems stamp files with a clock that lags the one processes read by up to a tick.
CLOCK_SLACK_US = 1_000_000
CROCKFORD_TO_PYTHON = str.maketrans("0123456789abcdefghjkmnpqrstvwxyz", "0123456789abcdefghijklmnopqrstuv")


class Mark(NamedTuple):
    """An unused blob: the file as it was, and since when it has been marked (UTC microseconds)."""

    size: int
    inode: int
    mtime_ns: int
    since: int

    def is_of(self, file: BlobFile | Mark) -> bool:
        """Whether this still describes the same, untouched file."""
        return self[:3] == file[:3]


@dataclass(frozen=True, slots=True)
class Periods:
    """How long gc waits, in seconds."""

    grace_s: float = 14 * DAY_S  # from a blob's first mark, and from its last change, to the trash
    purge_s: float = 7 * DAY_S  # in the trash
    restore_s: float = 30 * DAY_S  # from deleting a run to losing it
    leftover_s: float = DAY_S  # for temporary files of writers that died


@dataclass(frozen=True, slots=True)
class GcReport:
    """What one call of :func:`gc` did or, when ``applied`` is false, would do. Sizes are bytes.

    ``candidates`` counts the blobs that nothing refers to; those not ``trashed`` are still in their grace.
    ``bytes`` is what all of them would free.
    """

    applied: bool
    generation: int
    used: int
    candidates: int
    bytes: int
    trashed: int
    trashed_bytes: int
    purged: int
    purged_bytes: int
    purged_runs: tuple[str, ...]
    restored: int
    leftovers: int
    leftover_bytes: int


def gc(
    layout: Layout,
    disk: Disk,
    *,
    apply: bool = False,
    wait: bool = False,
    periods: Periods | None = None,
    roots: Iterable[Callable[[], Iterable[str]]] = (),
) -> GcReport:
    """Collect content that nothing refers to, and runs that were deleted long ago; only look unless told to.

    Args:
        layout: the store.
        disk: its disk.
        apply: change something; otherwise report what would change.
        wait: wait for the lease instead of raising StoreBusy.
        periods: how long to wait before each step.
        roots: functions that return sha256 digests in use beside those of runs, datasets and pins.

    Raises:
        StoreBusy: another process works on the store and ``wait`` is false.
        StoreCorrupt: something cannot be read, so what it refers to is unknown; nothing was collected.
        WriteError: the disk refused; what was done so far is whole and the next call goes on.
    """
    periods = periods or Periods()
    if not apply:
        return _collect(layout, disk, periods, tuple(roots), apply=False)
    with lease(layout, wait=wait):
        return _collect(layout, disk, periods, tuple(roots), apply=True)


def _collect(
    layout: Layout, disk: Disk, periods: Periods, roots: tuple[Callable[[], Iterable[str]], ...], *, apply: bool
) -> GcReport:
    now = time.time_ns() // 1000
    oldest_writer = _oldest_live_writer_us(layout)  # before the snapshot, which has what the others recorded
    _refuse_to_guess(layout)
    snapshot = SnapshotReader(layout).take()
    pins = set(Catalog(layout, disk).state().of(PIN))
    expired = _purge(layout, disk, snapshot, pins, periods.restore_s, apply=apply)
    used = _used(layout, snapshot, pins, set(expired.values()), roots)
    files = blob_files(layout)
    restored = put_back(layout, disk, used.__contains__) if apply and used - files.keys() else []

    earlier = _newest_marks(layout)
    marks = {digest: _mark(file, earlier.get(digest), now) for digest, file in files.items() if digest not in used}
    due = [
        digest
        for digest, mark in marks.items()
        if digest in earlier and earlier[digest].is_of(mark) and _is_ripe(mark, now, periods.grace_s, oldest_writer)
    ]
    generation = (_generations(layout) or [0])[-1] + apply
    purged = empty_trash(layout, disk, periods.purge_s, apply=apply)  # before the sweep: what it takes stays a while
    if apply:
        _write_marks(layout, disk, generation, marks)
        folder = new_folder(layout)
        due = [digest for digest in due if throw_away(layout, disk, digest, folder, _changed_since(marks[digest]))]
    leftovers = remove_leftovers(layout, disk, periods.leftover_s, apply=apply)
    return GcReport(
        applied=apply,
        generation=generation,
        used=len(used & files.keys()) + len(restored),
        candidates=len(marks),
        bytes=sum(mark.size for mark in marks.values()),
        trashed=len(due),
        trashed_bytes=sum(marks[digest].size for digest in due),
        purged=len(purged),
        purged_bytes=sum(blob.size for blob in purged),
        purged_runs=tuple(sorted(expired.values())),
        restored=len(restored),
        leftovers=len(leftovers),
        leftover_bytes=sum(leftovers.values()),
    )


def _refuse_to_guess(layout: Layout) -> None:
    """Raise when readers would go on without something that may name content: a manifest, an unreadable segment."""
    for name in layout.commits(layout.manifests)[-1:]:
        with contextlib.suppress(FileNotFoundError):
            load_number(layout, name)
    for run_id in layout.open_run_ids():
        for name in layout.segment_names(run_id):
            path = os.path.join(layout.run_folder(run_id), name)
            if not os.access(path, os.R_OK) and os.path.lexists(path):
                raise StoreError(f"{path} may not be read, so what it refers to is unknown.", "Run gc as its owner.")


def _purge(
    layout: Layout, disk: Disk, snapshot: Snapshot, pins: set[str], restore_s: float, *, apply: bool
) -> dict[int, str]:
    """Purge the runs deleted long ago, but for those with records that are not sealed: one may restore it."""
    manifest = snapshot.manifest
    keep = pins | {tail.state.run_id for tail in snapshot.tails}
    expired = {
        ref: run_id
        for ref, run_id in expired_runs(layout, manifest, restore_s, keep).items()
        if all(f"{run_id}/{name}" in manifest.sealed for name in layout.segment_names(run_id))
    }
    if apply and expired:
        purge_runs(layout, disk, manifest, expired)
    return expired


def _used(
    layout: Layout,
    snapshot: Snapshot,
    pins: set[str],
    expired: set[str],
    roots: tuple[Callable[[], Iterable[str]], ...],
) -> set[str]:
    """Return the digests that something refers to."""
    used = {name for name in pins if not is_run_id(name)} | dataset_digests(layout, snapshot)
    used.update(item.sha256 for item in references(layout, snapshot) if item.run_id not in expired)
    for root in roots:
        used.update(root())
    return used


# -- marks -------------------------------------------------------------------------------------------------


def marks_folder(layout: Layout) -> str:
    """Return the folder of the marks."""
    return os.path.join(layout.root, "gc")


def _generations(layout: Layout) -> list[int]:
    return [int(name[:20]) for name in layout.commits(marks_folder(layout))]


def read_marks(layout: Layout, generation: int) -> dict[str, Mark]:
    """Read what one pass marked; raise StoreCorrupt when its file is not intact."""
    name = f"The gc mark {generation}"
    body, _ = documents.read(os.path.join(marks_folder(layout), f"{generation:020d}.json"), name)
    try:
        marks = {str(digest): Mark(*map(int, mark)) for digest, mark in body["candidates"].items()}
        if body["number"] != generation or not all(map(DIGEST.match, marks)):
            raise ValueError
        return marks
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreCorrupt(f"{name} has fields of a wrong type.", "Remove it: gc starts again.") from error


def _newest_marks(layout: Layout) -> dict[str, Mark]:
    """Return what the last pass marked; nothing when its file is damaged: then every grace starts again."""
    for generation in reversed(_generations(layout)):
        with contextlib.suppress(StoreCorrupt, FileNotFoundError):
            return read_marks(layout, generation)
        break
    return {}


def _mark(file: BlobFile, earlier: Mark | None, now: int) -> Mark:
    """Return the mark of an unused blob. One marked in the future, by a clock since set back, counts from now."""
    mark = Mark(*file, now)
    return mark._replace(since=min(earlier.since, now)) if earlier is not None and earlier.is_of(mark) else mark


def _is_ripe(mark: Mark, now: int, grace_s: float, oldest_writer: int | None) -> bool:
    changed = mark.mtime_ns // 1000
    if oldest_writer is not None and changed >= oldest_writer - CLOCK_SLACK_US:
        return False  # a live writer may have put it and not yet recorded what for
    return now - mark.since >= grace_s * 1e6 and now - changed >= grace_s * 1e6


def _changed_since(mark: Mark) -> Callable[[os.stat_result], bool]:
    return lambda status: (status.st_size, status.st_ino, status.st_mtime_ns) != mark[:3]


def _write_marks(layout: Layout, disk: Disk, generation: int, marks: dict[str, Mark]) -> None:
    folder = marks_folder(layout)
    data, _ = documents.encode({"number": generation, "time": time.time_ns() // 1000, "candidates": marks})
    with translate_os_errors("the marks of gc"):
        disk.mkdir(folder)
        disk.point("before_mark")
        disk.put_if_absent(os.path.join(folder, f"{generation:020d}.json"), data)
        disk.point("after_mark")
        for number in _generations(layout)[:-2]:
            disk.unlink(os.path.join(folder, f"{number:020d}.json"))


def _oldest_live_writer_us(layout: Layout) -> int | None:
    """Return when the oldest live writer began; its id says so, and rolling to a next segment keeps the id."""
    starts = [
        (int(name[:26].translate(CROCKFORD_TO_PYTHON), 32) >> 80) * 1000
        for run_id in layout.open_run_ids()
        for name in layout.segment_names(run_id)
        if is_locked(os.path.join(layout.run_folder(run_id), name))
    ]
    return min(starts, default=None)
