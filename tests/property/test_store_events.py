"""Whatever a segment's events say, as long as it is JSON: they can be read and sealed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mllab.ids import new_id
from mllab.store import frames
from mllab.store.fs import Disk
from mllab.store.run_state import _HANDLERS
from mllab.store.schema import tables_from_states
from mllab.store.snapshot import SnapshotReader
from mllab.store.store import Store

RUN, WRITER = new_id(), new_id()
HEADER = {"e": "segment", "t": 1, "format": 1, "run": RUN, "writer": WRITER, "number": 0, "attempt": 1}


def event(seq: int, record: Any) -> bytes:
    return frames.seal(frames.EVENT, 0, seq, json.dumps(record).encode())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.just(2**63)
    | st.just("../x"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "t",
        "experiment",
        "name",
        "parent",
        "forked_from",
        "forked_step",
        "status",
        "error",
        "values",
        "path",
        "sha256",
        "size",
        "media",
        "kind",
        "digest",
        "context",
        "source",
        "schema",
        "rows",
        "profile",
        "text",
        "value",
        "s",
        "x",
        "dropped",
    ]
)
RECORDS = st.dictionaries(FIELDS, JSON, max_size=8).flatmap(
    lambda body: st.sampled_from([*_HANDLERS, "out", "later", "keys"]).map(lambda name: {"e": name, **body})
)


START = {"e": "start", "t": 5, "name": "any", "experiment": "x"}


class QuickDisk(Disk):
    """A disk that syncs nothing."""

    def fsync(self, fd: int) -> None:  # type: ignore[override]
        os.fstat(fd)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(RECORDS, min_size=1, max_size=6),
    header=st.dictionaries(st.sampled_from(["user", "host", "purpose", "t"]), JSON),
)
def test_whatever_an_event_says_it_can_be_read_and_sealed(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], header: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    store = Store.create(str(folder / "store"), QuickDisk())
    os.mkdir(store.layout.run_folder(RUN))
    content = (
        frames.MAGIC + event(0, {**HEADER, **header}) + event(1, START) + b"".join(map(event, range(2, 99), records))
    )
    path = Path(store.layout.run_folder(RUN), f"{WRITER}-000000.seg")
    path.write_bytes(content)
    tables_from_states([tail.state for tail in store.snapshot().tails])
    assert store.seal().runs == 1
    sealed_snapshot = SnapshotReader(store.layout).take()
    assert sealed_snapshot.tails == ()
    state = store.run_state(RUN)
    assert state is not None
    assert state.run_id == RUN
    shutil.rmtree(folder)
