"""Hostile and broken store files, as a reader meets them: a named error or the last good state, never a crash or a lie."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mllab
from mllab.errors import MllabError, NotFoundError, StoreCorrupt, StoreTooNew
from mllab.lab import Lab
from mllab.query.engine import Engine
from mllab.store.manifest import Manifest, encode, load_newest
from mllab.store.store import Store


@pytest.fixture
def sealed(lab: Lab) -> Lab:
    """A lab with two manifests: one run in the first, two in the second."""
    for number in range(2):
        with mllab.start_run("tests", f"r{number}", lab=lab, capture=False, params={"n": number}) as run:
            run.log_batch("loss", range(500), [float(step) for step in range(500)])
        lab.store.seal()
    return lab


def names(store: Store) -> list[str]:
    return [name for (name,) in Engine(store).rows("SELECT name FROM runs ORDER BY name")]


def newest_manifest(lab: Lab) -> Path:
    return Path(lab.store.layout.manifests, lab.store.layout.commits(lab.store.layout.manifests)[-1])


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)


def with_checksum(body: dict[str, Any]) -> bytes:
    """Return a manifest whose checksum is right, whatever it says: what an attacker would write."""
    from mllab.store import manifest as module

    body = {key: value for key, value in body.items() if key != "sha256"}
    return module._dump(body | {"sha256": module._digest(body)})


BROKEN_MANIFESTS: dict[str, Any] = {
    "empty": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "not JSON": lambda _: b"\x00\xff" * 50,
    "a list": lambda _: b"[1, 2]",
    "a number": lambda _: b"3",
    "deep": lambda _: b"[" * 100_000,
    "a huge integer": lambda _: b'{"format": ' + b"9" * 5000 + b"}",
    "a flipped bit": lambda data: data.replace(b'"next_ref":3', b'"next_ref":2'),
    "a path upwards": lambda data: with_checksum(_with_part(json.loads(data), "../../../../etc/passwd")),
    "an absolute path": lambda data: with_checksum(_with_part(json.loads(data), "/etc/passwd")),
    "a quote in a path": lambda data: with_checksum(_with_part(json.loads(data), "x'; DROP TABLE y--")),
    "a segment upwards": lambda data: with_checksum(json.loads(data) | {"sealed": {"../../x": [1, 1, 0]}}),
    "another number": lambda data: with_checksum(json.loads(data) | {"number": 7}),
    "wrong types": lambda data: with_checksum(json.loads(data) | {"folds": "none"}),
}


def _with_part(body: dict[str, Any], name: str) -> dict[str, Any]:
    body["folds"][0]["parts"]["runs"]["name"] = name
    return body


@pytest.mark.parametrize("kind", BROKEN_MANIFESTS)
def test_a_broken_newest_manifest_costs_nothing_while_its_segments_are_there(sealed: Lab, kind: str) -> None:
    path = newest_manifest(sealed)
    overwrite(path, BROKEN_MANIFESTS[kind](path.read_bytes()))
    assert names(Store.open(sealed.store.layout.root)) == ["r0", "r1"]
    assert load_newest(sealed.store.layout).number == 1
    assert not sealed.store.verify().is_intact
    sealed.store.seal()
    assert names(Store.open(sealed.store.layout.root)) == ["r0", "r1"]


def test_no_intact_manifest_is_named(sealed: Lab) -> None:
    for name in sealed.store.layout.commits(sealed.store.layout.manifests):
        overwrite(Path(sealed.store.layout.manifests, name), b"")
    with pytest.raises(StoreCorrupt, match="manifest"):
        names(Store.open(sealed.store.layout.root))


def test_a_manifest_of_a_later_format_is_not_read_as_an_older_one(sealed: Lab) -> None:
    path = newest_manifest(sealed)
    overwrite(path, with_checksum(json.loads(path.read_bytes()) | {"format": 99}))
    with pytest.raises(StoreTooNew, match="99"):
        names(Store.open(sealed.store.layout.root))


def test_a_gap_in_the_numbers_does_not_matter(sealed: Lab) -> None:
    manifest = load_newest(sealed.store.layout)
    from dataclasses import replace

    later = replace(manifest, number=50)
    Path(sealed.store.layout.manifests, f"{50:020d}.json").write_bytes(encode(later))
    assert names(Store.open(sealed.store.layout.root)) == ["r0", "r1"]


def test_strangers_among_manifests_are_ignored(sealed: Lab) -> None:
    folder = Path(sealed.store.layout.manifests)
    (folder / "notes.json").write_text("x")
    (folder / f"{9:020d}.json.tmp").write_text("x")
    (folder / f"{8:020d}.json").mkdir()
    (folder / f"{10:020d}.json").symlink_to("/etc/passwd")
    os.mkfifo(folder / f"{11:020d}.json")
    assert names(Store.open(sealed.store.layout.root)) == ["r0", "r1"]


def _bomb(path: Path) -> None:
    """Write a small file that claims very many rows."""
    table = pa.table({"ref": pa.array([1] * 5_000_000, pa.int64())})
    pq.write_table(table, path, compression="zstd")


BROKEN_PARTS: dict[str, Any] = {
    "empty": lambda path: path.write_bytes(b""),
    "no footer": lambda path: path.write_bytes(b"PAR1" + b"\0" * 100),
    "a cut footer": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "text": lambda path: path.write_text("not parquet at all"),
    "an encrypted footer": lambda path: path.write_bytes(b"PARE" + path.read_bytes()[4:-4] + b"PARE"),
    "a lying footer": lambda path: path.write_bytes(path.read_bytes()[:-8] + b"\xff\xff\xff\x7fPAR1"),
    "another schema": _bomb,
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("kind", BROKEN_PARTS)
@pytest.mark.parametrize("table", ["runs", "points"])
def test_a_broken_part_is_a_named_error_for_readers(sealed: Lab, kind: str, table: str) -> None:
    (path, *_) = sorted(Path(sealed.store.layout.parts).glob(f"{table}-*"))
    path.chmod(0o600)
    BROKEN_PARTS[kind](path)
    with pytest.raises(MllabError) as caught:
        mllab.metrics(lab=Lab(sealed.root))
    assert caught.value.code in {"STORE-002", "QUERY-001"}
    report = sealed.store.verify()
    assert any(table in problem.path for problem in report.problems)


def test_a_flipped_page_is_found_by_verify_and_named(sealed: Lab) -> None:
    (path, *_) = sorted(Path(sealed.store.layout.parts).glob("points-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x10
    overwrite(path, bytes(data))
    problems = sealed.store.verify().problems
    assert any(path.name in problem.path for problem in problems)
    assert any("loss" in str(problem.lost) for problem in problems)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", StoreCorrupt),
        ("{}", StoreCorrupt),
        ("[" * 100_000, StoreCorrupt),
        ('{"format": "x", "min_reader": 1}', StoreCorrupt),
        ('{"format": 9, "min_reader": 9}', StoreTooNew),
    ],
)
def test_a_strange_format_file_is_a_named_error(lab: Lab, text: str, error: type[MllabError]) -> None:
    path = Path(lab.store.layout.format_file)
    overwrite(path, text.encode())
    with pytest.raises(error):
        Store.open(lab.store.layout.root)


def test_a_newer_format_that_this_reader_may_read_is_read(sealed: Lab) -> None:
    path = Path(sealed.store.layout.format_file)
    overwrite(path, json.dumps({"format": 2, "min_reader": 1, "store_id": "x"}).encode())
    assert names(Store.open(sealed.store.layout.root)) == ["r0", "r1"]


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="mllab init"):
        Store.open(str(tmp_path / "nothing"))


def test_umask_zero_leaves_nothing_open_to_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        lab = Lab.init(str(tmp_path / "lab"))
        with mllab.start_run("tests", "r", lab=lab, capture=False) as run:
            run.log({"loss": 1.0})
            run.log_text("x", "a/b")
        lab.store.seal()
    finally:
        os.umask(before)
    for parent, _, files in os.walk(lab.store.layout.root):
        assert stat.S_IMODE(os.stat(parent).st_mode) & 0o077 == 0, parent
        for file in files:
            mode = stat.S_IMODE(os.stat(os.path.join(parent, file)).st_mode)
            assert mode & 0o077 == 0, os.path.join(parent, file)


def test_without_a_home_the_lab_is_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab.init(str(tmp_path / "lab"))
    monkeypatch.delenv("HOME")
    assert Lab.find(lab.root).root == lab.root


def test_an_empty_manifest_is_a_new_store(lab: Lab) -> None:
    assert load_newest(lab.store.layout) == Manifest()
