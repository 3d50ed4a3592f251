"""Stores of every released format open, read the same, verify, and can be worked on; for ever."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest

from mllab.store.store import Store

HERE = Path(__file__).parent
STORES = sorted(path for path in (HERE / "stores").iterdir() if path.is_dir())

_spec = importlib.util.spec_from_file_location("make_format_1", HERE / "make_format_1.py")
assert _spec is not None
assert _spec.loader is not None
_maker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_maker)
content = _maker.content


@pytest.fixture(params=STORES, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, dict[str, list[list[object]]]]:
    """A writable copy of a golden store, as git checks it out, and what it holds."""
    folder = tmp_path / "store"
    shutil.copytree(request.param, folder)
    expected = json.loads(request.param.with_suffix(".json").read_text(encoding="utf-8"))
    return Store.open(str(folder)), expected


def test_there_is_a_store_of_each_format() -> None:
    assert [path.name for path in STORES] == ["format-1"]


def test_it_reads_as_it_did(golden: tuple[Store, dict[str, list[list[object]]]]) -> None:
    store, expected = golden
    assert content(store) == expected
    assert len(expected["metrics"]) > 100
    assert {row[3] for row in expected["runs"]} == {"finished", "failed", "killed", "lost"}


def test_it_verifies(golden: tuple[Store, dict[str, list[list[object]]]]) -> None:
    store, _ = golden
    report = store.verify()
    assert report.is_intact, report.problems


def test_it_reads_the_same_after_sealing_compacting_and_sweeping(
    golden: tuple[Store, dict[str, list[list[object]]]],
) -> None:
    store, expected = golden
    assert store.seal().runs > 0
    assert content(store) == expected
    assert store.compact(full=True)
    store.sweep(grace_s=0)
    assert os.listdir(store.layout.runs) == []
    assert content(Store.open(store.layout.root)) == expected
    assert store.verify().is_intact


def test_it_can_be_written_to(golden: tuple[Store, dict[str, list[list[object]]]]) -> None:
    store, expected = golden
    (run_id,) = {row[0] for row in expected["runs"] if row[2] == "lost"}
    state = store.run_state(str(run_id))
    assert state is not None
    writer = store.writer(str(run_id), attempt=state.attempt + 1)
    writer.event("resume", {})
    writer.points({"loss": 9.0}, 1)
    writer.event("finish", {"status": "finished"})
    writer.close()
    rows = [row[2:5:2] for row in content(store)["metrics"] if row[0] == run_id]
    assert rows == [[0, 4.0], [1, 9.0]]
