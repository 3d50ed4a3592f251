"""A store that has some of everything, and ways to damage it."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from mllab.ids import new_id
from mllab.store.findings import Problem, VerifyReport
from mllab.store.manifest import Manifest, Part, commit, load_newest
from mllab.store.store import Store


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


def part_of(store: Store, table: str) -> Part:
    """Return the first part of a table."""
    manifest = load_newest(store.layout)
    if table in ("points", "logs"):
        found: Part = getattr(manifest, table)[0]
        return found
    return manifest.folds[0].parts[table]


def publish(store: Store, **changes: Any) -> Manifest:
    """Commit a manifest with some fields changed, as a writer with a bug would."""
    published = commit(store.layout, store.disk, load_newest(store.layout).following(**changes))
    assert published is not None
    return published


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


def only(report: VerifyReport, kind: str) -> Problem:
    """Return the one problem, which is of a kind."""
    assert [problem.kind for problem in report.problems] == [kind], report.problems
    return report.problems[0]


def tree(root: str) -> dict[str, bytes]:
    found = {}
    for parent, folders, names in os.walk(root):
        found.update({os.path.join(parent, name): b"" for name in folders})
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).digest() + str(os.stat(path).st_mtime_ns).encode()
    return found


def manifest_path(store: Store, number: int) -> str:
    return os.path.join(store.layout.manifests, f"{number:020d}.json")


def a_blob(store: Store) -> str:
    return store.layout.blob(hashlib.sha256(b"content of one").hexdigest())
