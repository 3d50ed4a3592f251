"""Nothing that was acknowledged is lost and nothing is there twice, whoever is killed at whatever moment."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest

from mllab.lab import Lab

if TYPE_CHECKING:
    from types import ModuleType

# Read here: the fixtures of every test clear MLLAB_* from the environment.
KILLS = int(os.environ.get("MLLAB_TORTURE_KILLS", "320"))
SEED = int(os.environ.get("MLLAB_TORTURE_SEED", str(int.from_bytes(os.urandom(4), "big"))))
FARM = Path(__file__).with_name("farm.py")

pytestmark = [pytest.mark.torture, pytest.mark.timeout(max(900, KILLS * 3))]


@pytest.fixture(scope="module")
def farm() -> ModuleType:
    spec = importlib.util.spec_from_file_location("farm", FARM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_farm_of_killed_processes_keeps_every_promise(lab: Lab, tmp_path: Path, farm: ModuleType) -> None:
    folder = tmp_path / "acks"
    folder.mkdir()
    print(f"MLLAB_TORTURE_KILLS={KILLS} MLLAB_TORTURE_SEED={SEED}")
    done = subprocess.run(
        [sys.executable, str(FARM), lab.root, str(folder), str(KILLS), str(SEED)],
        capture_output=True,
        text=True,
        check=False,
    )
    failures = folder / "failures"
    assert not failures.exists(), failures.read_text()
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    print(report)
    # The victims: enough of them, each with acknowledged records, and the others killed at their work as well.
    assert report["kills"]["writer"] >= KILLS
    assert report["fewest_acks"] >= 1
    if KILLS >= 300:
        assert all(report["kills"].get(role, 0) >= 3 for role in ("compactor", "reader", "editor")), report

    promised = farm.read_acks(str(folder))
    edits = farm.read_acks(str(folder), "editor-")
    points = farm.promised_points(promised)
    assert len(np.unique(promised["run"])) > KILLS / 4
    check_store(lab, farm, promised, edits)

    fresh = Lab(lab.root)
    fresh.store.seal()
    fresh.store.compact(full=True)
    for _ in range(2):
        fresh.store.sweep(grace_s=0)
    assert fresh.store.snapshot().tails == ()
    check_store(fresh, farm, promised, edits)
    assert not [name for _, _, names in os.walk(fresh.store.layout.runs) for name in names if name.endswith(".seg")]

    # The same with mllab uninstalled: the manifest is JSON, and its parts are Parquet.
    manifest = json.loads(max(Path(fresh.store.layout.manifests).glob("*.json")).read_bytes())
    files = [os.path.join(fresh.store.layout.parts, part["name"]) for part in manifest["points"]]
    rows = duckdb.connect().execute("SELECT value::BIGINT FROM read_parquet(?) WHERE key = 'v'", [files]).fetchnumpy()
    farm.check(rows[next(iter(rows))], points)
    verified = fresh.store.verify()
    assert not verified.problems, verified.problems


def check_store(lab: Lab, farm: ModuleType, promised: np.ndarray[Any, Any], edits: np.ndarray[Any, Any]) -> None:
    def of(kind: bytes) -> list[tuple[str, int]]:
        chosen = promised[promised["kind"] == kind]
        return [(run.decode(), int(value)) for run, value in zip(chosen["run"], chosen["value"], strict=True)]

    rows = lab.engine.arrow(
        "SELECT r.run_id, p.value::BIGINT v FROM r_points p JOIN r_runs r USING (ref) WHERE key = 'v'"
    )
    found = rows["v"].to_numpy()
    points = farm.promised_points(promised)
    farm.check(found, points)
    # Beyond what was promised there is at most the record that was on its way, of each life.
    tops = {life: int(found[found // farm.LIFE == life].max()) for life in np.unique(found // farm.LIFE).tolist()}
    acked = {life: int(points[points // farm.LIFE == life].max()) for life in np.unique(points // farm.LIFE).tolist()}
    assert all(top <= acked.get(life, life * farm.LIFE - 1) + farm.BATCH for life, top in tops.items())
    # In the run that was promised, and with its neighbour in the same call.
    assert {*of(b"p"), *of(b"b")} <= set(zip(rows["run_id"].to_pylist(), found.tolist(), strict=True))
    ((pairs,),) = lab.engine.rows(
        """SELECT count(*) FROM r_points v FULL JOIN r_points w
        ON v.ref = w.ref AND v.seq = w.seq AND v.attempt = w.attempt AND v.value = -w.value AND v.key = 'v' AND w.key = 'w'
        WHERE (v.key = 'v' AND w.key IS NULL AND v.value IN (SELECT -value FROM r_points WHERE key = 'w'))"""
    )
    assert pairs == 0

    runs = lab.engine.rows("SELECT run_id, status, damaged FROM r_runs")
    assert max(Counter(run_id for run_id, *_ in runs).values()) == 1
    assert {damaged for *_, damaged in runs} == {None}
    status = {run_id: status for run_id, status, _ in runs}
    assert set(status.values()) <= {"finished", "lost"}
    assert "lost" in status.values()
    resumed = {run_id for (run_id,) in lab.engine.rows("SELECT run_id FROM r_runs WHERE attempt > 1")}
    assert resumed
    assert all(status[run_id] == "finished" for run_id, _ in of(b"f") if run_id not in resumed)

    # A tag is at least as new as the last one promised; edits from outside and artifacts are all there.
    tags = {(run_id, key): value for run_id, key, value in lab.engine.rows("SELECT run_id, key, value FROM tags")}
    for run_id, value in of(b"t"):
        assert int(tags[run_id, f"t{value // farm.LIFE}"]) >= value
    assert {(run.decode(), f"e{value}") for _, run, value in edits.tolist()} <= tags.keys()
    files = {
        (run_id, path): digest for run_id, path, digest in lab.engine.rows("SELECT run_id, path, sha256 FROM artifacts")
    }
    for run_id, value in of(b"a"):
        assert lab.store.blobs.read(files[run_id, f"{value}.bin"]) == b"%d" % value * 100
