"""Figures of a store: how much of what there is, and what it takes on disk. Needs pyarrow."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from mllab.store.catalog import commit_numbers
from mllab.store.layout import regular_file_size
from mllab.store.references import blob_files, references, sealed_runs
from mllab.store.snapshot import SnapshotReader
from mllab.store.trash import tree_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mllab.store.layout import Layout
    from mllab.store.manifest import Part
    from mllab.store.snapshot import Snapshot


def stats(layout: Layout) -> dict[str, Any]:
    """Return figures as JSON data; sizes are bytes.

    ``runs.sealed`` and ``runs.open`` add up to all runs, ``runs.live`` and ``runs.deleted`` are among them.
    ``points.rows`` and ``points.bytes`` count sealed points, ``points.open_rows`` those still in segments.
    ``blobs.saved_bytes`` is what storing equal content once spares.
    """
    content = layout.check_format()
    snapshot = SnapshotReader(layout).take()
    manifest = snapshot.manifest
    tables: dict[str, list[Part]] = {}
    for fold in manifest.folds:
        for name, part in fold.parts.items():
            tables.setdefault(name, []).append(part)
    tables["points"], tables["logs"] = list(manifest.points), list(manifest.logs)
    parts = {name: _sizes(items) for name, items in tables.items() if items}
    points = parts.get("points", {"parts": 0, "rows": 0, "bytes": 0})
    segments = [
        regular_file_size(os.path.join(layout.run_folder(run_id), name)) or 0
        for run_id in layout.open_run_ids()
        for name in layout.segment_names(run_id)
    ]
    return {
        "format": content["format"],
        "store_id": content.get("store_id"),
        "runs": _runs(layout, snapshot),
        "points": {
            "rows": points["rows"],
            "open_rows": sum(len(chunk) for tail in snapshot.tails for chunk in tail.points),
            "bytes": points["bytes"],
            "bytes_per_point": round(points["bytes"] / points["rows"], 3) if points["rows"] else None,
        },
        "parts": parts,
        "segments": {"count": len(segments), "bytes": sum(segments)},
        "blobs": _blobs(layout, snapshot),
        "manifests": {"newest": manifest.number, "count": len(layout.commits(layout.manifests))},
        "catalog": {"commits": len(commit_numbers(layout)), "bytes": tree_bytes(layout.catalog)},
        "trash_bytes": tree_bytes(layout.trash),
        "cache_bytes": tree_bytes(layout.cache),
        "total_bytes": tree_bytes(layout.root),
    }


def _sizes(parts: Iterable[Part]) -> dict[str, int]:
    items = list(parts)
    return {"parts": len(items), "rows": sum(part.rows for part in items), "bytes": sum(part.size for part in items)}


def _runs(layout: Layout, snapshot: Snapshot) -> dict[str, int]:
    counts: Counter[str] = Counter()
    open_refs = {tail.state.ref for tail in snapshot.tails}
    for fold in snapshot.manifest.folds:
        for ref, row in sealed_runs(layout, fold, ["deleted"]).items():
            if ref not in open_refs:
                counts["sealed"] += 1
                counts["deleted"] += row["deleted"] is not None
    for tail in snapshot.tails:
        counts["open"] += 1
        counts["live"] += tail.is_live
        counts["deleted"] += tail.state.deleted is not None
    return {name: counts[name] for name in ("sealed", "open", "live", "deleted")}


def _blobs(layout: Layout, snapshot: Snapshot) -> dict[str, int]:
    files = blob_files(layout)
    sizes: dict[str, int] = {}
    artifacts = logged = 0
    for item in references(layout, snapshot):
        if item.sha256 in files:
            artifacts += 1
            logged += files[item.sha256].size
            sizes[item.sha256] = files[item.sha256].size
    return {
        "count": len(files),
        "bytes": sum(file.size for file in files.values()),
        "artifacts": artifacts,
        "artifact_bytes": logged,
        "saved_bytes": logged - sum(sizes.values()),
        "unused": len(files.keys() - sizes.keys()),
    }
