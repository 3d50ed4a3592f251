from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from mllab.errors import StoreBusy
from mllab.ids import new_id
from mllab.store.catalog import PIN, Change
from mllab.store.findings import Problem, VerifyReport
from mllab.store.lease import lease
from mllab.store.manifest import Part, load_newest
from mllab.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "store"))


def add_run(store: Store, name: str = "r", *, points: int = 5, seal: bool = True) -> str:
    run_id = new_id()
    writer = store.writer(run_id)
    writer.event("start", {"experiment": "e", "name": name})
    writer.event("params", {"values": {"lr": 0.1, "n": 3}})
    writer.event("tags", {"values": {"t": "v"}})
    for step in range(10, 10 + points):
        writer.points({"loss": 1.0 / step, "größe": float("nan")}, step)
    data = f"content of {name}".encode()
    blob = store.blobs.put_bytes(data)
    writer.event("artifact", {"path": "a.txt", "sha256": blob.sha256, "size": blob.size, "kind": "file"})
    writer.event("dataset", {"name": "d", "digest": "sha256:" + "0" * 64})
    writer.event("out", {"s": "stdout", "x": "hello"})
    writer.event("finish", {"status": "finished"})
    writer.close()
    if seal:
        store.seal()
    return run_id


@pytest.fixture
def full(store: Store) -> Store:
    """Return a store that has some of everything and is whole."""
    for name in ("one", "two", "three"):
        add_run(store, name, seal=False)
    store.seal()
    store.edit(add_run(store, "four"), 1, [("delete", {"value": True})])
    store.seal()
    add_run(store, "open", seal=False)
    for number in range(3):
        store.catalog.commit([Change.set(PIN, "a" * 64, number)], actor="ada")
    store.gc(apply=True)
    report = store.verify()
    assert report.problems == ()
    return store


def part_of(store: Store, table: str) -> Part:
    """Return the first part of a table."""
    manifest = load_newest(store.layout)
    if table in ("points", "logs"):
        found: Part = getattr(manifest, table)[0]
        return found
    return manifest.folds[0].parts[table]


def overwrite(path: str, data: bytes, offset: int | None = None) -> None:
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        if offset is None:
            file.truncate(0)
        file.seek(offset or 0)
        file.write(data)


def flip(path: str, offset: int) -> None:
    with open(path, "rb") as file:
        file.seek(offset)
        byte = file.read(1)[0]
    overwrite(path, bytes([byte ^ 0x10]), offset)


def tree(root: str) -> dict[str, bytes]:
    found = {}
    for parent, folders, names in os.walk(root):
        found.update({os.path.join(parent, name): b"" for name in folders})
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).digest() + str(os.stat(path).st_mtime_ns).encode()
    return found


def only(report: VerifyReport, kind: str) -> Problem:
    """Return the one problem, which is of a kind."""
    assert [problem.kind for problem in report.problems] == [kind], report.problems
    return report.problems[0]


def manifest_path(store: Store, number: int) -> str:
    return os.path.join(store.layout.manifests, f"{number:020d}.json")


def a_blob(store: Store) -> str:
    return store.layout.blob(hashlib.sha256(b"content of one").hexdigest())


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
