"""A disk that is full, or a file size limit: training goes on, what was acknowledged stays, and space given back helps."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import mllab
from mllab.errors import MllabError, WriteError
from mllab.lab import Lab
from mllab.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a tmpfs of a size; needs root."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("mounting a small tmpfs needs Linux and root")
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        place = tmp_path / f"disk-{size}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes=400", "tmpfs", str(place)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"mounting a small tmpfs: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def points(lab: Lab) -> list[float]:
    return [value for (value,) in lab.engine.rows("SELECT value FROM r_points WHERE key = 'loss' ORDER BY value")]


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass
    return path


def refused(work: Callable[[], Any]) -> str:
    """Do something that a full disk may refuse by name; return what it said."""
    try:
        work()
    except WriteError as error:
        if "The disk is full" not in (error.hint or ""):
            raise
        return error.message
    return ""


def log_until_full(run: mllab.Run, first: int = 0, limit: int = 100_000) -> list[float]:
    """Log until something is dropped, and a while longer; return what was acknowledged."""
    acknowledged = []
    beyond = 0
    for value in range(first, limit):
        dropped = run.dropped
        run.log({"loss": float(value), "other": 0.0}, step=value)
        if run.dropped == dropped:
            acknowledged.append(float(value))
        else:
            beyond += 1
        if beyond > 50:
            break
    return acknowledged


@pytest.mark.parametrize("size", ["256k", "1m", "2m", "4m"])
def test_a_full_disk_costs_only_what_was_not_acknowledged(
    small_disk: Callable[[str], Path], size: str, caplog: pytest.LogCaptureFixture
) -> None:
    disk = small_disk(size)
    lab = Lab.init(str(disk / "lab"))
    run = mllab.start_run("full", "r", lab=lab, capture=False)
    acknowledged = log_until_full(run)
    assert run.dropped > 50
    assert len(acknowledged) > 1000
    run.log_artifact(b"x" * (5 << 20), "large.bin")
    run.finish()
    assert caplog.text.count("The disk is full") == 1
    assert f"{run.dropped:,} records" in caplog.text
    # The disk is as full as it was; reading needs no room on it.
    assert points(Lab(lab.root)) == acknowledged
    full = Lab(lab.root)
    for work in (full.store.seal, lambda: full.store.compact(full=True), lambda: full.store.sweep(grace_s=0)):
        refused(work)
    assert points(Lab(lab.root)) == acknowledged
    # The reserve, where there was room for one, let the run say how it ended.
    assert full.engine.rows("SELECT status FROM runs") == [("lost" if size in ("256k", "1m") else "finished",)]


def test_when_space_is_given_back_everything_goes_on(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("4m")
    lab = Lab.init(str(disk / "lab"))
    run = mllab.start_run("full", "r", lab=lab, capture=False)
    run.log({"loss": -1.0}, step=0)
    ballast = fill(disk)
    assert log_until_full(run) != list(map(float, range(100_000)))
    lost = run.dropped
    for value in range(100):  # the reserve has been given back by now: fill that as well
        run.log({"loss": 1e9 + value}, step=value)
    ballast.unlink()
    run.log({"loss": 5e9}, step=1)
    run.log_artifact(b"x" * 1000, "a.bin")
    after = run.dropped
    run.finish()
    assert after >= lost > 0
    found = points(lab)
    assert found[0] == -1.0
    assert found[-1] == 5e9
    assert len(found) == len(set(found))
    assert lab.engine.rows("SELECT status, damaged FROM runs") == [("finished", None)]
    assert lab.engine.rows("SELECT size FROM artifacts") == [(1000,)]
    assert lab.store.seal().runs == 1
    assert points(lab) == found


def test_sealing_and_sweeping_on_a_full_disk_change_nothing_they_cannot_finish(
    small_disk: Callable[[str], Path],
) -> None:
    disk = small_disk("4m")
    lab = Lab.init(str(disk / "lab"))
    for number in range(3):
        with mllab.start_run("full", f"r{number}", lab=lab, capture=False) as run:
            for step in range(2000):
                run.log({"loss": 10_000.0 * number + step}, step=step)
    expected = points(lab)
    assert len(expected) == 6000
    # From no room at all in small steps: each time sealing gets a little further before it fails.
    ballast = fill(disk)
    reached = set()
    for free in range(0, 800_000, 20_000):
        os.truncate(ballast, max(0, ballast.stat().st_size - free))
        left_over = fill_to(disk, free)
        works: list[Callable[[], Any]] = [
            lab.store.seal,
            lambda: lab.store.compact(full=True),
            lambda: lab.store.sweep(grace_s=0),
        ]
        reached.add(next((said for said in map(refused, works) if said), "end"))
        assert points(Lab(lab.root)) == expected
        left_over.unlink()
        if "end" in reached:
            break
    assert len(reached) >= 2
    assert "end" in reached
    assert lab.engine.rows("SELECT count(*), count(DISTINCT run_id) FROM runs WHERE damaged IS NULL") == [(3, 3)]


def fill_to(folder: Path, free: int) -> Path:
    """Use what is free but for ``free`` bytes."""
    path = folder / "more"
    status = os.statvfs(folder)
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        file.write(b"\0" * max(0, status.f_bavail * status.f_frsize - free))
    return path


def test_a_lab_cannot_be_made_on_a_full_disk_and_says_so(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("64k")
    fill(disk)
    with pytest.raises(MllabError) as caught:
        Lab.init(str(disk / "lab"))
    assert "No space left" in str(caught.value) or "disk is full" in str(caught.value)


def test_a_disk_without_inodes_is_a_full_disk(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("4m")
    lab = Lab.init(str(disk / "lab"))
    run = mllab.start_run("full", "r", lab=lab, capture=False)
    with contextlib.suppress(OSError):
        for number in range(1000):
            (disk / f"f{number}").touch()
    run.log({"loss": 1.0}, step=0)
    run.log_artifact(b"x", "a.bin")
    assert run.dropped == 1
    run.finish()
    with pytest.raises(WriteError):
        mllab.start_run("full", "second", lab=lab, capture=False)
    with pytest.raises(WriteError):
        lab.store.seal()
    assert points(Lab(lab.root)) == [1.0]
    assert lab.engine.rows("SELECT status FROM runs") == [("finished",)]


LIMITED = """
import json, resource, signal, sys
import mllab
from mllab.lab import Lab

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
lab = Lab.find(sys.argv[1])
run = mllab.start_run("limit", "r", lab=lab, capture=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
acknowledged = []
for value in range(3000):
    dropped = run.dropped
    run.log({"loss": float(value)}, step=value)
    if run.dropped == dropped:
        acknowledged.append(float(value))
dropped = run.dropped
run.log_artifact(b"x" * 100_000, "a.bin")
assert run.dropped == dropped + 1
errors = []
try:
    lab.store.edit(run.id, 1, [("note", {"text": "y" * 50_000})])
except mllab.errors.WriteError as error:
    errors.append(str(error))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
run.log({"loss": 1e6}, step=10**6)
run.finish()
print(json.dumps({"acknowledged": acknowledged, "dropped": run.dropped, "errors": errors}))
"""


@pytest.mark.parametrize("limit", [1, 5_001, 20_011])
def test_a_file_size_limit_costs_only_what_was_not_acknowledged(lab: Lab, limit: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, lab.root, str(limit)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["dropped"] > 1000
    assert len(report["acknowledged"]) > (limit - 1000) // 60
    assert "file size limit" in done.stderr
    assert all("file size limit" in text for text in report["errors"])
    assert points(lab) == [*report["acknowledged"], 1e6]
    assert lab.engine.rows("SELECT status, damaged FROM runs") == [("finished", None)]
    lab.store.seal()
    assert points(lab) == [*report["acknowledged"], 1e6]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of a fork beside threads
def test_a_file_size_limit_while_sealing_changes_nothing(lab: Lab) -> None:
    with mllab.start_run("limit", "r", lab=lab, capture=False) as run:
        run.log_batch("loss", range(20_000), random.Random(1).sample(range(10**9), 20_000))
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
            Store.open(lab.store_path).seal()
        except WriteError:
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert len(points(lab)) == 20_000
    assert lab.store.seal().points == 20_000
    assert len(points(lab)) == 20_000
