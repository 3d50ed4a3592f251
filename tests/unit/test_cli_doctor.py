"""`mllab doctor` and `mllab store`: what they find, and what they say to do about it."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mllab
from mllab.cli import checks, checks_outside
from mllab.cli.main import root
from mllab.store.lease import lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mllab.lab import Lab

    Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs one command and returns status, output and diagnostics."""
    monkeypatch.setenv("MLLAB_LAB", lab.root)

    def run(*args: str) -> tuple[int, str, str]:
        status = root.main(list(args), standalone_mode=False)
        done = capsys.readouterr()
        return status, done.out, done.err

    return run


def found_checks(call: Call, status: int = 0) -> dict[tuple[str, str], dict[str, Any]]:
    found, out, _ = call("doctor", "--json")
    assert found == status
    data = json.loads(out)
    assert data["works"] == (status == 0)
    return {(check["group"], check["name"]): check for check in data["checks"]}


def test_doctor_finds_a_lab_well(call: Call, lab: Lab) -> None:
    found = found_checks(call)
    for name in ("format", "file system", "writable", "locks", "runs"):
        assert found["store", name]["state"] == "ok", found["store", name]
    assert lab.root in found["lab", "found"]["found"]
    assert 'tracking.on_error="warn"' in found["lab", "settings"]["found"]
    assert not [name for name in os.listdir(lab.store_path) if name.startswith("doctor")]
    status, out, _ = call("doctor")
    assert status == 0
    assert "BROKEN" not in out


def test_doctor_sees_upkeep_at_work(call: Call, lab: Lab) -> None:
    assert found_checks(call)["store", "upkeep"]["state"] == "ok"
    with lease(lab.store.layout):
        assert found_checks(call)["store", "upkeep"]["state"] == "info"
    assert found_checks(call)["store", "upkeep"]["found"] == "nobody holds the lease"


def test_doctor_says_where_a_setting_comes_from(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLLAB_TRACKING_ON_ERROR", "raise")
    assert 'tracking.on_error="raise" (by MLLAB_TRACKING_ON_ERROR)' in found_checks(call)["lab", "settings"]["found"]
    monkeypatch.setenv("MLLAB_TRACKING_ON_ERROR", "nonsense")
    assert found_checks(call, 3)["lab", "settings"]["state"] == "broken"


def test_doctor_names_damage(call: Call, lab: Lab) -> None:
    Path(lab.store.layout.format_file).chmod(0o600)
    Path(lab.store.layout.format_file).write_text("garbage")
    check = found_checks(call, 3)["store", "format"]
    assert check["state"] == "broken"
    assert check["remedy"]


def test_doctor_without_a_lab(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLLAB_LAB")
    monkeypatch.chdir(tmp_path)
    assert found_checks(call)["lab", "found"]["state"] == "info"
    assert not Path(os.environ["XDG_DATA_HOME"]).exists(), "looking makes nothing"
    monkeypatch.setenv("MLLAB_LAB", str(tmp_path / "nowhere"))
    assert found_checks(call, 3)["lab", "found"]["state"] == "broken"


def test_doctor_survives_a_check_that_fails(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Iterator[checks.Check]:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(checks_outside, "docker_checks", fail)
    assert "ZeroDivisionError: oops" in found_checks(call)["docker", "check"]["found"]


def test_doctor_counts_damaged_and_unsealed_runs(call: Call, lab: Lab) -> None:
    with mllab.start_run("e", "r", lab=lab, capture=False) as run:
        run.log_batch("m", range(100), [0.5] * 100)
    run_id = lab.engine.resolve("r")
    (name,) = lab.store.layout.segment_names(run_id)
    path = Path(lab.store.layout.run_folder(run_id)) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    found = found_checks(call)
    assert found["store", "damaged"]["found"] == "1 run"
    assert found["store", "unsealed"]["found"] != "0 B"


class Engine(threading.Thread):
    """A Docker engine that gives one answer on a Unix socket."""

    def __init__(self, path: str, answer: bytes) -> None:
        super().__init__(daemon=True)
        self.answer = answer
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.start()

    def run(self) -> None:
        with self.socket:
            connection, _ = self.socket.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(self.answer)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b'HTTP/1.0 200 OK\r\n\r\n{"Version": "27.1", "ApiVersion": "1.46"}', "ok"),
        (b"HTTP/1.0 500 Broken\r\n\r\noops", "lack"), (b"", "lack"), (b"HTTP/1.0 200 OK\r\n\r\nnot json", "lack"),
        (b"HTTP/1.0 200 OK\r\n\r\n[1]", "lack"),
    ],
)  # fmt: skip
def test_doctor_asks_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, state: str) -> None:
    path = str(tmp_path / "d.sock")
    engine = Engine(path, answer)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    check = next(iter(checks_outside.docker_checks()))
    engine.join(5)
    assert check.state == state, check
    if state == "ok":
        assert "27.1" in check.found


def test_doctor_without_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert [check.state for check in checks_outside.docker_checks()] == ["lack"]
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    (check,) = checks_outside.docker_checks()
    assert check.state == "lack"


def test_doctor_looks_for_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert [check.state for check in checks_outside.cluster_checks()] == ["info"]
    (tmp_path / "config").write_text("apiVersion: v1\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [check.state for check in checks_outside.cluster_checks()] == ["ok", "info"]
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho team-cluster\n")
    kubectl.chmod(0o700)
    assert [check.found for check in checks_outside.cluster_checks()][1] == "team-cluster"
    kubectl.write_text("#!/bin/sh\necho no context >&2\nexit 1\n")
    assert [check.state for check in checks_outside.cluster_checks()][1] == "lack"


@pytest.mark.parametrize(
    ("environ", "state", "words"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "ok", "16 million"),
        ({"TERM": "xterm-256color"}, "ok", "256"), ({"TERM": "dumb"}, "lack", "TERM=dumb"), ({"TERM": ""}, "lack", "not set"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "info", "NO_COLOR"),
    ],
)  # fmt: skip
def test_doctor_tells_the_terminals_abilities(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], state: str, words: str
) -> None:
    for name in ("TERM", "COLORTERM", "NO_COLOR", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = {check.name: check for check in checks_outside.terminal_checks()}
    assert found["colours"].state == state
    assert words in found["colours"].found
    monkeypatch.setenv("SSH_CONNECTION", "x")
    monkeypatch.setenv("TMUX", "x")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    found = {check.name: check for check in checks_outside.terminal_checks()}
    assert found["inside"].found == "tmux, ssh"
    assert found["characters"].state == "lack"


def test_the_store_is_sealed_compacted_verified_and_collected(call: Call, lab: Lab) -> None:
    with mllab.start_run("e", "r", lab=lab, capture=False) as run:
        run.log_batch("m", range(100), [0.5] * 100)
        run.log_text("x", "a")
    assert json.loads(call("store", "seal", "--json")[1])["points"] == 100
    assert "Sealed 0 runs" in call("store", "compact")[1]
    assert json.loads(call("store", "compact", "--full", "--json")[1])["sealed_runs"] == 0
    status, out, _ = call("store", "verify")
    assert status == 0
    assert "The store is whole" in out
    assert json.loads(call("store", "gc", "--json")[1])["applied"] is False
    assert "Nothing to give back" in call("store", "gc", "--apply")[1]
    assert "Put back 0 files" in call("store", "gc", "--undo")[1]
    stats = json.loads(call("store", "stats", "--json")[1])
    assert stats["points"]["rows"] == 100
    assert "100 sealed" in call("store", "stats")[1]


def test_verify_names_damage_and_mends_what_it_can(call: Call, lab: Lab) -> None:
    with mllab.start_run("e", "r", lab=lab, capture=False) as run:
        run.log_text("precious", "a")
    digest = run_artifact(lab)
    path = Path(lab.store.layout.blob(digest))
    path.chmod(0o600)
    path.write_bytes(b"damaged!")
    status, out, err = call("store", "verify")
    assert status == 3
    assert "1 problem" in out
    assert "lost:" in out
    assert "--repair" in err
    assert call("store", "verify", "--quick")[0] == 0, "the size is right: only hashing shows it"
    report = json.loads(call("store", "verify", "--json")[1])
    assert report["intact"] is False
    assert report["problems"][0]["kind"] == "blob"
    status, out, _ = call("store", "verify", "--repair")
    assert status == 3, "the content is still missing"
    assert "moved aside" in out


def run_artifact(lab: Lab) -> str:
    digest: str = lab.engine.rows("SELECT sha256 FROM artifacts")[0][0]
    return digest


def test_verify_looks_at_a_store_that_cannot_be_opened(call: Call, lab: Lab) -> None:
    Path(lab.store.layout.format_file).chmod(0o600)
    Path(lab.store.layout.format_file).write_text("garbage")
    status, out, _ = call("store", "verify")
    assert status == 3
    assert "FORMAT" in out
    assert call("runs", "ls")[0] == 3


def test_gc_says_what_it_would_do(call: Call, lab: Lab) -> None:
    lab.store.blobs.put_bytes(b"nobody wants this")
    _, out, err = call("store", "gc")
    assert "Would be done" in out
    assert "unused" in out
    assert "1 file" in out
    assert "--apply" in err
