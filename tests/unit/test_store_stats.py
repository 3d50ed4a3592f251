from __future__ import annotations

from tests.support.whole_store import add_run

from mllab.store.manifest import load_newest
from mllab.store.store import Store


def test_stats_of_an_empty_store(store: Store) -> None:
    figures = store.stats()
    assert figures["runs"] == {"sealed": 0, "open": 0, "live": 0, "deleted": 0}
    assert figures["points"] == {"rows": 0, "open_rows": 0, "bytes": 0, "bytes_per_point": None}
    assert figures["parts"] == {}


def test_stats_count_what_is_there(full: Store) -> None:
    import json

    run_id = add_run(full, "one", seal=False)  # its artifact is stored already
    writer = full.writer(run_id, attempt=2)
    writer.event("resume", {})
    try:
        figures = full.stats()
    finally:
        writer.close()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["runs"] == {"sealed": 4, "open": 2, "live": 1, "deleted": 1}
    assert figures["points"]["rows"] == 40
    assert figures["points"]["open_rows"] == 20
    assert figures["points"]["bytes"] == sum(part.size for part in load_newest(full.layout).points)
    assert figures["points"]["bytes_per_point"] == round(figures["points"]["bytes"] / 40, 3)
    assert figures["parts"]["runs"]["parts"] == len(load_newest(full.layout).folds)
    blobs = figures["blobs"]
    assert (blobs["count"], blobs["artifacts"], blobs["unused"]) == (5, 6, 0)
    assert blobs["saved_bytes"] == len(b"content of one")
    assert blobs["artifact_bytes"] - blobs["saved_bytes"] == blobs["bytes"]
    assert figures["manifests"]["newest"] == load_newest(full.layout).number
    assert figures["catalog"]["commits"] == 3
    assert figures["segments"]["count"] == 8
    assert figures["trash_bytes"] == 0
    assert figures["total_bytes"] >= sum(figures[name]["bytes"] for name in ("segments", "blobs", "points"))
