"""Surroundings that lack something: another user's store, a read-only disk, no home, no /tmp, no streams, no UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mllab
from mllab.errors import MllabError, UsageError
from mllab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.torture, pytest.mark.timeout(120)]

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


def filled(folder: Path) -> Lab:
    lab = Lab.init(str(folder))
    for number in range(2):
        with mllab.start_run("place", f"r{number}", lab=lab, capture=False) as run:
            run.log({"loss": float(number)}, step=0)
        if number == 0:
            lab.store.seal()
    return lab


def python(body: str, *args: str, user: int | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, as another user if asked, who may not reach this interpreter's files."""
    body = textwrap.dedent(body)
    if user is not None:
        body = f"{WARM}\nos.setgroups([]); os.setgid({user}); os.setuid({user})\n{body}"
    return subprocess.run([sys.executable, "-c", body, *args], capture_output=True, text=True, check=False, **options)


# Loads what the script will need while the files can still be read.
WARM = """
import os, tempfile
import mllab
from mllab.lab import Lab
with tempfile.TemporaryDirectory() as folder:
    warm = Lab.init(os.path.join(folder, "lab"))
    for _ in range(2):
        with mllab.start_run("warm", lab=warm, capture=False) as run:
            run.log({"loss": 1.0})
        warm.store.seal()
    warm.store.compact(full=True)
    warm.store.sweep(grace_s=0)
    warm.engine.rows("SELECT count(*) FROM metrics")
"""


# Tries everything on a lab; says what came of each, or which named error it was.
TRY = """
import json, os, sys
import mllab
from mllab.errors import MllabError
from mllab.lab import Lab

def attempt(work):
    try:
        return work()
    except MllabError as error:
        return f"{error.code}: {error.message} {error.hint}"

def log():
    with mllab.start_run("place", "new", lab=sys.argv[1], capture=False, on_error="raise") as run:
        run.log({"loss": 9.0}, step=0)
    return "logged"

def store(work):
    return lambda: str(getattr(Lab.find(sys.argv[1]).store, work)())

print(json.dumps({
    "read": attempt(lambda: [v for (v,) in Lab.find(sys.argv[1]).engine.rows("SELECT value FROM metrics ORDER BY 1")]),
    "log": attempt(log), "seal": attempt(store("seal")), "compact": attempt(store("compact")),
    "sweep": attempt(store("sweep")),
    "verify": attempt(lambda: [problem.message for problem in Lab.find(sys.argv[1]).store.verify().problems]), "state": attempt(lambda: Lab.find(sys.argv[1]).store.snapshot().version[0]),
}))
"""


def open_to_read(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        os.chmod(parent, 0o755)
        for file in files:
            os.chmod(os.path.join(parent, file), 0o644)


@pytest.fixture
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="mllab-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@needs_root
def test_a_store_that_only_its_owner_may_read_is_a_named_error_for_others(public: Path) -> None:
    lab = filled(public / "lab")
    done = python(TRY, lab.root, user=NOBODY, env={**os.environ, "HOME": str(public)})
    assert done.returncode == 0, done.stderr
    for said in json.loads(done.stdout).values():
        if isinstance(said, list):
            assert said  # what verify found
            continue
        assert "another user" in said or "may not be read" in said, said


@needs_root
def test_a_store_that_others_may_only_read_can_be_read_by_them(public: Path) -> None:
    lab = filled(public / "lab")
    before = sorted(os.walk(lab.root))
    open_to_read(public / "lab")
    done = python(TRY, lab.root, user=NOBODY, env={**os.environ, "HOME": str(public)})
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["read"] == [0.0, 1.0]
    assert told["state"] == 1
    for work in ("log", "seal", "sweep"):
        assert told[work].startswith("LOG-004"), told[work]
        assert "another user" in told[work]
    assert sorted(os.walk(lab.root)) == before


@needs_root
@pytest.mark.skipif(sys.platform != "linux", reason="mounting a tmpfs needs Linux")
def test_a_read_only_disk_can_be_read(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets nobody mount a tmpfs here")
    try:
        lab = filled(place / "lab")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        done = python(TRY, lab.root)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["read"] == [0.0, 1.0]
        for work in ("log", "seal", "compact", "sweep"):
            assert told[work].startswith("LOG-004"), told[work]
            assert "read-only" in told[work]
        with pytest.raises(MllabError, match="Read-only"):
            Lab.init(str(place / "another"))
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@needs_root
def test_files_of_another_user_within_a_store_hurt_only_their_run(public: Path) -> None:
    """A container that ran as root left a run behind that its owner cannot read."""
    lab = filled(public / "lab")
    for parent, folders, files in os.walk(public):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), NOBODY, NOBODY)
    with mllab.start_run("place", "roots", lab=Lab(lab.root), capture=False) as run:
        run.log({"loss": 5.0}, step=0)
    done = python(TRY, lab.root, user=NOBODY, env={**os.environ, "HOME": str(public)})
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["read"] == [0.0, 1.0]
    assert told["log"] == "logged"
    assert "SealReport" in told["seal"]
    assert [run.id in message and "Permission denied" in message for message in told["verify"]] == [True]
    # Nothing of the unreadable run was taken for sealed and swept.
    lab = Lab(lab.root)
    lab.store.seal()
    lab.store.sweep(grace_s=0)
    assert lab.engine.rows("SELECT value FROM metrics ORDER BY 1") == [(0.0,), (1.0,), (5.0,), (9.0,)]


def test_without_a_temporary_folder_everything_but_models_works(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    with pytest.raises(FileNotFoundError):
        tempfile.gettempdir()
    with mllab.start_run("place", "r", lab=lab, capture=False, on_error="raise") as run:
        run.log({"loss": 1.0}, step=0)
        run.log_artifact(b"x", "x.bin")
        run.log_text("text", "t")
        run.log_table([{"a": 1}], "table")
    lab.store.seal()
    lab.store.compact(full=True)
    lab.store.sweep(grace_s=0)
    assert lab.engine.rows("SELECT value FROM metrics") == [(1.0,)]
    assert lab.store.blobs.read(lab.engine.rows("SELECT sha256 FROM artifacts WHERE path = 'x.bin'")[0][0]) == b"x"


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_with_closed_streams_nothing_that_prints_lands_in_a_segment(
    lab: Lab, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    answer = tmp_path / "answer"
    body = f"""
    import os, sys
    for fd in {closed}:
        os.close(fd)
    import mllab
    run = mllab.start_run("place", "r", lab=sys.argv[1], capture=False, on_error="raise")
    refused = 0
    for value in range(20):
        run.log({{"loss": float(value)}}, step=value)
        for fd in {closed}:
            try:
                os.write(fd, b"a warning of some C library\\n")
            except OSError:
                refused += 1
    run.finish()
    open(sys.argv[2], "w").write(str(refused))
    """
    done = python(body, lab.root, str(answer), stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert answer.read_text() == str(20 * len(closed))
    assert lab.engine.rows("SELECT value FROM metrics ORDER BY 1") == [(float(value),) for value in range(20)]
    assert lab.engine.rows("SELECT status, damaged FROM r_runs") == [("finished", None)]


def test_without_utf8_text_is_kept_all_the_same(lab: Lab, tmp_path: Path) -> None:
    body = """
    import sys
    import mllab
    assert sys.getfilesystemencoding().lower() != "utf-8", sys.flags
    with mllab.start_run("größe", "naïve 温度", lab=sys.argv[1], capture=False, on_error="raise", tags={"ß": "é😀"}) as run:
        run.log({"löss": 1.0}, step=0)
        run.log_artifact(b"x", "größe/温度.bin")
        run.log_text("é", "ü")
        print(ascii(run))
    """
    environ = {**os.environ, "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    script = tmp_path / "script.py"
    script.write_text("# -*- coding: utf-8 -*-\n" + textwrap.dedent(body), encoding="utf-8")
    done = subprocess.run([sys.executable, script, lab.root], capture_output=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    assert lab.engine.rows("SELECT experiment, name FROM runs") == [("größe", "naïve 温度")]
    assert lab.engine.rows("SELECT key, value FROM tags") == [("ß", "é😀")]
    assert lab.engine.rows("SELECT key FROM metrics") == [("löss",)]
    assert lab.engine.rows("SELECT path FROM artifacts ORDER BY 1") == [("größe/温度.bin",), ("ü.txt",)]


@pytest.mark.parametrize("name", ["l\udcffb", "a\nb", "a\x1b[31mb"])
def test_a_folder_whose_name_cannot_be_said_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not printable"):
        Lab.init(str(tmp_path / name))
    assert os.listdir(tmp_path) == []


def test_a_folder_with_quotes_and_more_in_its_name_can_be_sealed_and_queried(tmp_path: Path) -> None:
    lab = filled(tmp_path / 'it\'s "quoted" läb;--')
    lab.store.seal()
    lab.store.compact(full=True)
    assert lab.engine.rows("SELECT value FROM metrics ORDER BY 1") == [(0.0,), (1.0,)]


@needs_root
@pytest.mark.parametrize("home", [None, "", "/nonexistent"])
def test_without_a_home_the_default_lab_is_a_named_error_and_nothing_is_written_here(
    public: Path, home: str | None
) -> None:
    """In containers a user may have a number and nothing else."""
    os.chmod(public, 0o777)
    environ = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_DATA_HOME")}
    if home is not None:
        environ["HOME"] = home
    body = """
    import mllab
    from mllab.errors import MllabError
    try:
        mllab.start_run("place", "r", capture=False)
    except MllabError as error:
        print(error)
    """
    done = python(body, user=54321, env=environ, cwd=public)
    assert done.returncode == 0, done.stderr
    assert "MLLAB_LAB" in done.stdout or "Name a folder you own" in done.stdout, done.stdout
    assert os.listdir(public) == []
