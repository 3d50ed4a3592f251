"""What the process is, and that none of its secrets comes along."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mllab.security.redaction import Redactor
from mllab.tracking import capture_environment
from mllab.tracking.capture_environment import command_line, container, lock_text, packages, snapshot
from mllab.tracking.capture_files import read_bytes, read_number, read_text

TOKEN = "gh" + "p_" + "a1B2" * 10
SOURCE = str(Path(capture_environment.__file__).parents[2])


def in_a_process(*arguments: str, cwd: Path, **environment: str) -> dict[str, object]:
    """Return the snapshot that a process started like this takes."""
    output = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": SOURCE, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    data = json.loads(output.stdout)
    assert isinstance(data, dict)
    return data


PRINT = "import json; from mllab.tracking.capture_environment import snapshot; print(json.dumps(snapshot()))\n"


def test_the_facts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    facts = snapshot()
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["executable"] == sys.executable
    assert facts["cwd"] == str(tmp_path)
    assert facts["pid"] == os.getpid()
    assert facts["user"]
    assert facts["host"]
    assert facts["packages"]["pytest"] == importlib.metadata.version("pytest")
    assert json.loads(json.dumps(facts)) == facts


def test_a_script_is_named_and_hashed(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(PRINT)
    facts = in_a_process("train.py", "--lr", "0.1", "--api-key", "xyz", f"--note={TOKEN}", cwd=tmp_path)
    assert facts["interface"] == "script"
    assert facts["script"] == {"path": str(script), "sha256": hashlib.sha256(PRINT.encode()).hexdigest()}
    command = facts["command"]
    assert isinstance(command, str)
    assert command.endswith("train.py --lr 0.1 --api-key '[redacted]' '--note=[redacted]'")


def test_modules_and_commands(tmp_path: Path) -> None:
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__main__.py").write_text(PRINT)
    facts = in_a_process("-m", "pack", cwd=tmp_path)
    assert facts["interface"] == "module"
    facts = in_a_process("-c", PRINT, cwd=tmp_path)
    assert (facts["interface"], facts["script"]) == ("command", None)


def test_only_chosen_variables_are_kept(tmp_path: Path) -> None:
    facts = in_a_process(
        "-c",
        PRINT,
        cwd=tmp_path,
        CUDA_VISIBLE_DEVICES="0,1",
        SLURM_JOB_ID="17",
        SLURM_JWT="header.payload.signature",
        WORLD_SIZE="4",
        OMP_NUM_THREADS="2",
        MY_API_KEY="hunter2hunter2",
        PRIVATE="do not look",
        VIRTUAL_ENV="/opt/hunter2hunter2",
    )
    variables = facts["variables"]
    assert isinstance(variables, dict)
    expected = {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "SLURM_JOB_ID": "17",
        "SLURM_JWT": "[redacted]",
        "WORLD_SIZE": "4",
        "OMP_NUM_THREADS": "2",
        "VIRTUAL_ENV": "/opt/[redacted]",
    }
    assert {name: variables.get(name) for name in expected} == expected
    assert "do not look" not in json.dumps(facts)
    assert "hunter2" not in json.dumps(facts)


def test_a_deleted_folder_and_an_unknown_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    def unknown() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", unknown)
    facts = snapshot()
    assert facts["cwd"] is None
    assert facts["user"] == str(os.getuid())


def test_long_command_lines_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", *["x" * 100] * 10_000], raising=False)
    command = command_line(Redactor(environ={}))
    assert command.endswith("x ...")
    assert capture_environment.MAX_COMMAND - 200 < len(command) <= capture_environment.MAX_COMMAND + 4


def test_packages_agree_with_importlib() -> None:
    ours = packages()
    theirs = {
        capture_environment._normal(found.metadata["Name"]): found.version
        for found in importlib.metadata.distributions()
    }
    assert set(theirs) <= set(ours)
    differing = {name: (ours[name], version) for name, version in theirs.items() if ours[name] != version}
    # An installer writes the version normalised into the folder's name; the metadata may spell it otherwise.
    assert len(differing) <= len(theirs) // 20, differing


def distribution(folder: Path, name: str, origin: object = None) -> None:
    info = folder / name
    info.mkdir(parents=True)
    if origin is not None:
        (info / "direct_url.json").write_text(origin if isinstance(origin, str) else json.dumps(origin))


def test_the_lock_tells_origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, shadowed = tmp_path / "site", tmp_path / "shadowed"
    distribution(site, "Plain_Name-1.0+cu118.dist-info")
    distribution(site, "old.style-2.0-py3.9.egg-info")
    distribution(site, "dashed-name-2b-1!3.0rc1.dist-info")
    distribution(site, "edited-0.1.dist-info", {"url": "file:///src/edited", "dir_info": {"editable": True}})
    distribution(site, "folder-0.2.dist-info", {"url": "file:///src/folder", "dir_info": {}})
    vcs = {
        "url": "https://ann:pa55@example.org/x.git",
        "vcs_info": {"vcs": "git", "commit_id": "9fceb02"},
        "subdirectory": "py",
    }
    distribution(site, "cloned-0.3.dist-info", vcs)
    archive = {"url": "https://example.org/a.whl", "archive_info": {"hash": "sha256=abc"}}
    distribution(site, "archived-0.4.dist-info", archive)
    distribution(site, "broken-0.5.dist-info", "{not json")
    distribution(site, "hostile-0.6.dist-info", "[" * 30_000)
    distribution(site, "odd-0.7.dist-info", ["a list"])
    distribution(site, "noversion.dist-info")
    develop = tmp_path / "develop" / "Developed.egg-info"
    develop.mkdir(parents=True)
    (develop / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: Developed\nVersion: 4.0\n\nVersion: 9\n")
    distribution(shadowed, "plain_name-0.1.dist-info")
    monkeypatch.setattr(sys, "path", [str(site), str(tmp_path / "missing.zip"), str(develop.parent), str(shadowed)])
    assert lock_text().splitlines() == [
        "archived @ https://example.org/a.whl#sha256=abc",
        "broken==0.5",
        "cloned @ git+https://ann:[redacted]@example.org/x.git@9fceb02#subdirectory=py",
        "dashed-name-2b==1!3.0rc1",
        "developed==4.0",
        "-e file:///src/edited  # edited==0.1",
        "folder @ file:///src/folder",
        "hostile==0.6",
        "odd==0.7",
        "old-style==2.0",
        "plain-name==1.0+cu118",
    ]
    assert packages()["plain-name"] == "1.0+cu118"


@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        ("KUBERNETES_SERVICE_HOST", "kubernetes"),
        ("APPTAINER_CONTAINER", "apptainer"),
        ("SINGULARITY_CONTAINER", "apptainer"),
    ],
)
def test_containers_by_variable(variable: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    monkeypatch.setattr(capture_environment, "read_text", lambda path: "0::/user.slice")
    for name in ("KUBERNETES_SERVICE_HOST", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "container"):
        monkeypatch.delenv(name, raising=False)
    assert container() is None
    monkeypatch.setenv(variable, "x")
    assert container() == kind


def test_containers_by_file_and_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "container"):
        monkeypatch.delenv(name, raising=False)
    for path, kind in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        monkeypatch.setattr(os.path, "exists", lambda asked, path=path: asked == path)
        assert container() == kind
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    for groups, group_kind in (("0::/kubepods/x", "kubernetes"), ("4:memory:/docker/1f", "docker"), ("", None)):
        monkeypatch.setattr(capture_environment, "read_text", lambda path, groups=groups: groups)
        assert container() == group_kind


# -- reading small files -------------------------------------------------------------------------------------------


@pytest.mark.timeout(20)
def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing", Path("/dev/zero")):
        assert read_bytes(str(path), 10) is None
        assert read_text(str(path)) is None
        assert read_number(str(path)) is None
    assert read_bytes("nul\0character", 10) is None


def test_files_that_are(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12 \xff")
    assert read_bytes(str(file), 2) == b"12"
    assert read_bytes(str(file), 100) == b"12 \xff"
    assert read_text(str(file)) == "12 \ufffd"
    assert read_number(str(file)) is None
    file.write_text(" 42\n")
    assert read_number(str(file)) == 42
