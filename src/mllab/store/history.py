"""Reading one run's points without a query engine, for forks. Needs numpy and pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from mllab.store.parts import read_part
from mllab.store.points import PointColumns, concat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mllab.store.snapshot import Snapshot
    from mllab.store.store import Store


def run_points(store: Store, run_id: str) -> PointColumns:
    """Return every point of a run, all attempts, in stored order."""
    return store.consistently(lambda snapshot: _points_in(store, snapshot, run_id))


def _points_in(store: Store, snapshot: Snapshot, run_id: str) -> PointColumns:
    state = store.state_in(snapshot, run_id)
    chunks = [chunk for tail in snapshot.tails if tail.state.run_id == run_id for chunk in tail.points]
    if state is not None:
        for part in snapshot.manifest.points:
            if part.first_ref <= state.ref <= part.last_ref:
                table = read_part(store.layout, part, filters=pc.field("ref") == state.ref)
                if table.num_rows:
                    keys = table["key"].combine_chunks()
                    chunks.append(
                        PointColumns(
                            tuple(keys.dictionary.to_pylist()),
                            keys.indices.to_numpy(),
                            table["step"].to_numpy(),
                            table["time"].cast("int64").to_numpy(),
                            table["value"].to_numpy(),
                            table["attempt"].to_numpy(),
                            table["seq"].to_numpy(),
                        )
                    )
    return concat(chunks).sorted()


def newest_points(
    store: Store, run_id: str, *, up_to: int | None = None
) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Yield (key, steps, times, values) of the newest view of a run, by key.

    The newest view drops what a later attempt began anew: points of an attempt at or past the first step that
    a later attempt has of the same key.
    """
    points = run_points(store, run_id)
    for number, key in enumerate(points.keys):
        rows = np.flatnonzero(points.key == number)
        steps, attempts = points.step[rows], points.attempt[rows]
        keep = np.ones(len(rows), bool) if up_to is None else steps <= up_to
        for attempt in np.unique(attempts)[1:].tolist():
            keep &= (attempts >= attempt) | (steps < steps[attempts == attempt].min())
        if keep.any():
            yield key, steps[keep], points.time[rows][keep], points.value[rows][keep]
