from __future__ import annotations

import os

import pytest
from tests.support.whole_store import a_blob, flip, manifest_path, only, part_of, tree

from mllab.errors import StoreBusy
from mllab.store.lease import lease
from mllab.store.manifest import load_newest
from mllab.store.store import Store


def test_a_damaged_newest_manifest_is_set_aside(full: Store) -> None:
    newest = load_newest(full.layout).number
    flip(manifest_path(full, newest), 100)
    moved = full.repair(full.verify())
    assert moved == [f"manifest/{newest:020d}.json"]
    assert os.listdir(os.path.join(full.layout.trash, "quarantine")) == [f"manifest-{newest:020d}.json"]
    assert full.verify().is_intact
    full.seal()
    assert full.verify().is_intact


def test_a_damaged_blob_is_set_aside_so_that_logging_it_again_repairs_it(full: Store) -> None:
    flip(a_blob(full), 3)
    full.blobs.put_bytes(b"content of one")
    assert not full.verify().is_intact  # its size is right, so it was taken for stored
    assert len(full.repair(full.verify())) == 1
    assert "is missing" in only(full.verify(), "blob").message
    full.blobs.put_bytes(b"content of one")
    assert full.verify().is_intact


def test_a_blob_in_the_trash_is_put_back(full: Store) -> None:
    path = a_blob(full)
    folder = os.path.join(full.layout.trash, "20260101T000000Z", "blobs")
    os.makedirs(folder)
    os.rename(path, os.path.join(folder, os.path.basename(path)))
    problem = only(full.verify(), "blob")
    assert "It is in the trash" in problem.message
    assert full.repair(full.verify()) == [os.path.relpath(path, full.layout.root)]
    assert full.verify().is_intact


def test_what_was_mended_since_the_report_is_left_alone(full: Store) -> None:
    newest = load_newest(full.layout).number
    flip(a_blob(full), 3)
    flip(manifest_path(full, newest), 100)
    report = full.verify()
    flip(a_blob(full), 3)
    flip(manifest_path(full, newest), 100)
    assert full.repair(report) == []
    assert full.verify().is_intact


def test_nothing_is_repaired_that_cannot_be(full: Store) -> None:
    os.unlink(full.layout.part(part_of(full, "points").name))
    before = tree(full.layout.root)
    assert full.repair(full.verify()) == []
    assert tree(full.layout.root) == before


def test_repair_needs_the_lease(full: Store) -> None:
    with lease(full.layout), pytest.raises(StoreBusy):
        full.repair(full.verify())
