"""Hostile segments beside a good run: it stays what it was, the bad one is named, and upkeep loses neither."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mllab
from mllab.ids import new_id
from mllab.store import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from mllab.lab import Lab

RUN, WRITER = new_id(), new_id()
HEADER = {"e": "segment", "t": 1, "format": 1, "run": RUN, "writer": WRITER, "number": 0, "attempt": 1}


def sealed(kind: int, seq: int, payload: bytes, key_set: int = 0) -> bytes:
    return frames.seal(kind, key_set, seq, payload)


def event(seq: int, record: Any) -> bytes:
    return sealed(frames.EVENT, seq, record if isinstance(record, bytes) else json.dumps(record).encode())


START = event(1, {"e": "start", "t": 5, "name": "bad", "experiment": "x"})
KEYS = event(2, {"e": "keys", "id": 0, "keys": ["loss"]})
POINT = sealed(frames.POINTS, 3, struct.pack("<qqd", 0, 7, 0.5))
GOOD = frames.MAGIC + event(0, HEADER) + START + KEYS + POINT

# What is in the file, and what the run's damage says; None where there is no run to see.
SEGMENTS: dict[str, tuple[bytes, str | None]] = {
    "empty": (b"", None),
    "the magic alone": (frames.MAGIC, None),
    "a header alone": (frames.MAGIC + event(0, HEADER), None),
    "a wrong magic": (b"MLLABSG2" + GOOD[8:], None),
    "a length of 2^32-1": (GOOD + b"\xff" * 4 + bytes(100), ""),
    "a length of 0": (GOOD + bytes(200), ""),
    "an empty frame": (GOOD + event(4, b""), "not readable as JSON"),
    "JSON that is none": (GOOD + event(4, b'{"e":'), "not readable as JSON"),
    "JSON of another kind": (GOOD + event(4, [1, 2]), "not readable as JSON"),
    "a name that is none": (GOOD + event(4, {"e": {"x": 1}}), "has no name"),
    "an unknown name": (GOOD + event(4, {"e": "later", "x": 1}), ""),
    "NaN keys": (GOOD + event(4, b'{"e":"keys","id":NaN,"keys":[NaN,null,{}]}'), "no list of keys"),
    "deep JSON": (GOOD + event(4, b'{"e":"info","values":' + b"[" * 100_000), "RecursionError"),
    "JSON as deep as is read": (
        GOOD + event(4, b'{"e":"info","t":6,"values":{"x":' + b"[" * 900 + b"]" * 900 + b"}}"),
        "",
    ),
    "a 5,000-digit integer": (GOOD + event(4, b'{"e":"info","t":' + b"9" * 5000 + b"}"), "not readable as JSON"),
    "a 4,000-digit integer": (GOOD + event(4, b'{"e":"params","values":{"p":' + b"9" * 4000 + b"}}"), ""),
    "lone surrogates": (GOOD + event(4, b'{"e":"tags","values":{"\\ud800":"\\udfff"}}'), ""),
    "a repeated number": (GOOD + POINT, "there twice"),
    "a number past 2^63": (GOOD + sealed(frames.POINTS, 2**63 + 1, struct.pack("<qqd", 1, 7, 9.0)), "there twice"),
    "an undefined key set": (GOOD + sealed(frames.POINTS, 4, struct.pack("<qqd", 1, 7, 9.0), 9), "not defined"),
    "a lying batch": (GOOD + sealed(frames.BATCH, 4, frames.BATCH_HEAD.pack(3, 2**32 - 1, 0, 0, 0)), "wrong length"),
    "an unknown kind": (GOOD + sealed(77, 4, b"x"), "does not know"),
    "times past every calendar": (GOOD + sealed(frames.POINTS, 4, struct.pack("<qqd", 1, -(2**63), 0.5)), ""),
    "a foreign run": (GOOD.replace(event(0, HEADER), event(0, HEADER | {"run": new_id()})), "belongs to the run"),
    "a foreign writer": (GOOD.replace(event(0, HEADER), event(0, HEADER | {"writer": "x"})), "not by the writer"),
    "no header": (frames.MAGIC + START + KEYS + POINT, "no segment header"),
    "a header twice": (GOOD + event(4, HEADER), ""),
    "no start": (frames.MAGIC + event(0, HEADER) + KEYS + POINT, "first records are missing"),
}


# Where bytes are lost: verify names the file, and sweeping keeps it.
IS_LOST = {kind for kind, (_, says) in SEGMENTS.items() if says and says != "first records are missing"} | {
    "a wrong magic"
}


@pytest.fixture
def good(lab: Lab) -> Lab:
    with mllab.start_run("tests", "good", lab=lab, capture=False, params={"p": 1}) as run:
        run.log_batch("loss", range(3), [1.0, 2.0, 3.0])
    return lab


def good_values(lab: Lab) -> list[tuple[Any, ...]]:
    return lab.engine.rows(
        """SELECT p.value, r.status, r.damaged FROM r_points p JOIN r_runs r USING (ref)
        WHERE r.name = 'good' ORDER BY 1"""
    )


NOTHING_OF_IT = ("no segment header", "belongs to the run", "not by the writer")


def check(lab: Lab, path: str, says: str | None) -> None:
    """Read, seal, sweep, and read again each time."""
    upkeep: list[Callable[[], Any] | None] = [lab.store.seal, lambda: lab.store.sweep(grace_s=0), None]
    for work in upkeep:
        assert good_values(lab) == [(value, "finished", None) for value in (1.0, 2.0, 3.0)]
        rows = lab.engine.rows("SELECT damaged FROM r_runs WHERE run_id = ?", [RUN])
        if says is None or says in NOTHING_OF_IT:
            assert rows == []  # there is nothing to show; verify names it
        else:
            ((damaged,),) = rows
            assert says in (damaged or "")
            assert lab.engine.rows("SELECT count(*) FROM r_points WHERE value = 0.5") in ([(1,)], [(2,)])
        for table in ("runs", "params", "tags", "metrics", "metric_summaries", "artifacts", "datasets", "logs"):
            lab.engine.rows(f"SELECT count(*) FROM (SELECT * FROM {table})")
        if work is not None:
            work()
    assert not os.path.lexists(path)


@pytest.mark.parametrize("kind", SEGMENTS)
def test_a_hostile_segment_hurts_nothing_but_itself(good: Lab, kind: str) -> None:
    content, says = SEGMENTS[kind]
    folder = good.store.layout.run_folder(RUN)
    os.mkdir(folder)
    path = Path(folder, f"{WRITER}-000000.seg")
    path.write_bytes(content)
    problems = [problem.path for problem in good.store.verify().problems]
    is_named = any(path.name in problem for problem in problems)
    check(good, str(path), says)
    kept = Path(good.store.layout.trash, "segments", f"{RUN}-{path.name}")
    if kind in IS_LOST:
        assert is_named
        assert kept.read_bytes() == content
    elif kept.exists():
        assert kept.read_bytes() == content


@pytest.mark.parametrize("kind", ["folder", "fifo", "link", "dangling link", "socket"])
def test_what_is_no_file_is_never_opened_or_followed(good: Lab, tmp_path: Path, kind: str) -> None:
    folder = Path(good.store.layout.run_folder(RUN))
    folder.mkdir()
    path = folder / f"{WRITER}-000000.seg"
    outside = tmp_path / "outside.seg"
    outside.write_bytes(GOOD)
    if kind == "folder":
        path.mkdir()
        (path / "inner").write_bytes(GOOD)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        import socket

        os.chdir(folder)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir("/")
    else:
        path.symlink_to(outside if kind == "link" else tmp_path / "nothing")
    check(good, str(path), None)
    assert outside.read_bytes() == GOOD


def test_strangers_among_runs_are_ignored(good: Lab, tmp_path: Path) -> None:
    runs = Path(good.store.layout.runs)
    (runs / "notes").mkdir()
    (runs / new_id()).write_bytes(b"a file")
    (runs / new_id()).symlink_to(tmp_path)
    strange = runs / new_id()
    strange.mkdir()
    for name in ("x.seg", f"{WRITER}-1.seg", f"{WRITER}-000000.seg.new", f"../{WRITER}-000000.seg", "\udcff.seg"):
        if "/" not in name:
            (strange / name).write_bytes(GOOD)
    assert good_values(good) == [(value, "finished", None) for value in (1.0, 2.0, 3.0)]
    good.store.seal()
    good.store.sweep(grace_s=0)
    assert good_values(good) == [(value, "finished", None) for value in (1.0, 2.0, 3.0)]
    assert len(os.listdir(strange)) == 4
