"""Reading without locks: one consistent view of the newest manifest and everything not yet sealed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mllab.errors import StoreCorrupt
from mllab.store.manifest import load_newest

if TYPE_CHECKING:
    from mllab.store.layout import Layout
    from mllab.store.manifest import Manifest
    from mllab.store.open_run import OpenRun
    from mllab.store.points import PointColumns
    from mllab.store.run_state import RunState

ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Tail:
    """An open run: its row, and the segments' points and console lines."""

    state: RunState
    is_live: bool
    points: tuple[PointColumns, ...]
    logs: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a reader sees. ``tails`` holds each open run once; its rows in folds are void.

    ``version`` differs from an earlier snapshot's when the content may differ.
    """

    manifest: Manifest
    tails: tuple[Tail, ...]
    version: tuple[int, ...]


class SnapshotReader:
    """Takes snapshots of one store, reading only what changed since the last. Not thread-safe."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._runs: dict[str, OpenRun] = {}
        self._bases: dict[str, RunState | None] = {}
        self._base_number = -1
        self._number = -1

    def take(self) -> Snapshot:
        """Return a snapshot as of now.

        Names are listed before the manifest is read and segments are read after it: a segment that vanishes
        in between is in a later manifest, and the snapshot is taken again.
        """
        for _ in range(ATTEMPTS):
            listed = {run_id: self._layout.segment_names(run_id) for run_id in self._layout.open_run_ids()}
            manifest = load_newest(self._layout)
            try:
                tails = self._tails(manifest, listed)
            except FileNotFoundError:
                self._runs.clear()
                continue
            except StoreCorrupt:
                if load_newest(self._layout).number == manifest.number:
                    raise
                continue  # a part that compaction replaced was swept meanwhile
            read = sum(size for run in self._runs.values() for size, _ in run.read_bytes().values())
            version = (manifest.number, len(tails), read, sum(tail.is_live for tail in tails))
            return Snapshot(manifest, tails, version)
        raise StoreCorrupt(
            f"Segments of {self._layout.root} vanish without being in a manifest.", "Run `mllab store verify`."
        )

    def _tails(self, manifest: Manifest, listed: dict[str, list[str]]) -> tuple[Tail, ...]:
        runs: dict[str, OpenRun] = {}
        for run_id, names in listed.items():
            wanted = [name for name in names if f"{run_id}/{name}" not in manifest.sealed]
            if not wanted:
                continue
            run = self._runs.get(run_id)
            if run is None or not run.segments <= set(wanted):
                # It loads numpy, which nobody needs who reads a store that is sealed whole.
                from mllab.store.open_run import OpenRun

                run = OpenRun(self._layout, run_id)  # some of it was sealed: those rows come from parts
            elif manifest.number != self._number:
                run.check_present()
            run.refresh(wanted)
            if run.has_events or run.is_live:
                runs[run_id] = run
        self._runs, self._number = runs, manifest.number
        self._load_bases(manifest, [run_id for run_id, run in runs.items() if run.needs_base])
        tails = []
        next_ref = manifest.next_ref
        for run_id, run in runs.items():
            base = copy.deepcopy(self._bases.get(run_id)) if run.needs_base else None
            if base is None and not run.has_events:
                continue  # it has begun, and said nothing yet
            state = run.state(base)
            if base is None:
                state.ref, next_ref = next_ref, next_ref + 1
            tails.append(Tail(state, run.is_live, tuple(run.points), tuple(run.logs)))
        return tuple(tails)

    def _load_bases(self, manifest: Manifest, run_ids: list[str]) -> None:
        if manifest.number != self._base_number:
            self._bases = {}
            self._base_number = manifest.number
        missing = [run_id for run_id in run_ids if run_id not in self._bases]
        if missing:
            from mllab.store.parts import load_states

            found = load_states(self._layout, manifest, missing)
            self._bases |= {run_id: found.get(run_id) for run_id in missing}
