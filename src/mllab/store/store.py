"""The store as the rest of mllab uses it. Reading and upkeep load numpy and pyarrow when first called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from mllab.errors import EnvironmentFault, StoreCorrupt
from mllab.store.blobs import Blobs
from mllab.store.fs import Disk
from mllab.store.layout import Layout
from mllab.store.segment import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mllab.store.catalog import Catalog
    from mllab.store.findings import VerifyReport
    from mllab.store.gc import GcReport, Periods
    from mllab.store.run_state import RunState
    from mllab.store.seal import SealReport
    from mllab.store.snapshot import Snapshot, SnapshotReader
    from mllab.store.trash import TrashedBlob

T = TypeVar("T")

# Sealing pays once this much is waiting; below it, reading the segments is as fast.
SEAL_RUNS = 32
SEAL_BYTES = 32 << 20


class Store:
    """One store folder. Cheap to make; safe to share between threads except for :meth:`snapshot`."""

    def __init__(self, root: str, disk: Optional[Disk] = None) -> None:
        self.layout = Layout(root)
        self.disk = disk or Disk()
        self.blobs = Blobs(self.layout, self.disk)
        self._reader: Optional[SnapshotReader] = None
        self._catalog: Optional[Catalog] = None

    @classmethod
    def create(cls, root: str, disk: Optional[Disk] = None, *, allow_network: bool = False) -> Store:
        """Open the store in ``root``, making it first when there is none."""
        store = cls(root, disk)
        store.layout.create(store.disk, allow_network=allow_network)
        return store

    @classmethod
    def open(cls, root: str, disk: Optional[Disk] = None) -> Store:
        """Open an existing store; raise NotFoundError, StoreTooNew or StoreCorrupt otherwise."""
        store = cls(root, disk)
        store.layout.check_format()
        return store

    def writer(
        self, run_id: str, *, attempt: int = 1, power_safe: bool = False, about: Optional[dict[str, Any]] = None
    ) -> SegmentWriter:
        """Return a writer of one run for this process."""
        return SegmentWriter(self.layout, self.disk, run_id, attempt=attempt, power_safe=power_safe, about=about)

    def edit(self, run_id: str, attempt: int, events: list[tuple[str, dict[str, Any]]]) -> None:
        """Add events to a run from outside it: tags, notes, a name, archiving, deletion. Durable on return."""
        writer = self.writer(run_id, attempt=attempt, about={"purpose": "edit"})
        try:
            for name, body in events:
                writer.event(name, body)
        finally:
            writer.close()

    def snapshot(self) -> Snapshot:
        """Return a consistent view of everything; repeated calls read only what changed."""
        _check_python()
        if self._reader is None:
            from mllab.store.snapshot import SnapshotReader

            self._reader = SnapshotReader(self.layout)
        return self._reader.take()

    def run_state(self, run_id: str) -> Optional[RunState]:
        """Return one run's present state, or None when the store does not know it."""
        return self.consistently(lambda snapshot: self.state_in(snapshot, run_id))

    def state_in(self, snapshot: Snapshot, run_id: str) -> Optional[RunState]:
        """Return one run's state in a snapshot, or None when it is not there."""
        for tail in snapshot.tails:
            if tail.state.run_id == run_id:
                return tail.state
        from mllab.store.parts import load_states

        return load_states(self.layout, snapshot.manifest, [run_id]).get(run_id)

    def consistently(self, read: Callable[[Snapshot], T]) -> T:
        """Return what ``read`` makes of a snapshot, of a newer one where parts it wanted were swept meanwhile.

        Raises:
            StoreCorrupt: a part of the newest snapshot is damaged or missing.
        """
        while True:
            snapshot = self.snapshot()
            try:
                return read(snapshot)
            except StoreCorrupt:
                if self.snapshot().manifest.number == snapshot.manifest.number:
                    raise

    def seal(self, *, wait: bool = False) -> SealReport:
        """Seal the records of dead segments into parts."""
        from mllab.store.seal import seal

        return seal(self.layout, self.disk, wait=wait)

    def compact(self, *, full: bool = False, wait: bool = False) -> bool:
        """Merge small parts; return whether anything changed."""
        from mllab.store.compact import compact

        return compact(self.layout, self.disk, full=full, wait=wait)

    def sweep(self, *, grace_s: Optional[float] = None) -> int:
        """Remove what sealing and compaction replaced; return bytes freed."""
        from mllab.store.sweep import GRACE_S, sweep

        return sweep(self.layout, self.disk, grace_s=GRACE_S if grace_s is None else grace_s)

    @property
    def catalog(self) -> Catalog:
        """The catalogue: pins and what is known of experiments."""
        if self._catalog is None:
            from mllab.store.catalog import Catalog

            self._catalog = Catalog(self.layout, self.disk)
        return self._catalog

    def gc(
        self,
        *,
        apply: bool = False,
        wait: bool = False,
        periods: Optional[Periods] = None,
        roots: Iterable[Callable[[], Iterable[str]]] = (),
    ) -> GcReport:
        """Collect content in no use and runs deleted long ago; without ``apply`` only say what that would be."""
        from mllab.store.gc import gc

        return gc(self.layout, self.disk, apply=apply, wait=wait, periods=periods, roots=roots)

    def restore_trash(self, *, wait: bool = False) -> list[TrashedBlob]:
        """Undo what gc swept and has not purged; return what is back."""
        from mllab.store.trash import restore_trash

        return restore_trash(self.layout, self.disk, wait=wait)

    def verify(self, *, deep: bool = True) -> VerifyReport:
        """Check every hash and invariant and name what is lost; changes nothing."""
        from mllab.store.verify import verify

        return verify(self.layout, deep=deep)

    def repair(self, report: VerifyReport, *, wait: bool = False) -> list[str]:
        """Move what a report found damaged out of the way, losing nothing; return what moved."""
        from mllab.store.verify import repair

        return repair(self.layout, self.disk, report, wait=wait)

    def stats(self) -> dict[str, Any]:
        """Return figures: runs, points, parts, blobs and what they take on disk."""
        from mllab.store.stats import stats

        return stats(self.layout)

    def wants_upkeep(self) -> bool:
        """Whether enough unsealed records wait to make sealing worth a background process."""
        run_ids = self.layout.open_run_ids()
        if len(run_ids) >= SEAL_RUNS:
            return True
        size = 0
        for run_id in run_ids:
            for name in self.layout.segment_names(run_id):
                try:
                    size += os.path.getsize(os.path.join(self.layout.run_folder(run_id), name))
                except OSError:
                    continue
        return size >= SEAL_BYTES


def _check_python() -> None:
    """Writing works on Python 3.9; reading needs what mllab is installed with."""
    if sys.version_info < (3, 11):
        raise EnvironmentFault(
            f"Reading a store needs Python 3.11 or later; this is {sys.version_info[0]}.{sys.version_info[1]}.",
            "Start runs here, and resume, fork and read them from where mllab is installed.",
        )
