"""The commands that change runs: every edit is in the store when the command has ended, and bad ones change nothing."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

import mllab
from mllab.cli import failures
from mllab.cli.main import root
from mllab.edits import kept_days, parse_tag
from mllab.errors import MllabError
from mllab.query.run_detail import run_detail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mllab.lab import Lab

    Call = Callable[..., str]


@pytest.fixture
def call(lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs one command on a lab with three runs."""
    for name in ("a", "b", "c"):
        with mllab.start_run("e", name, lab=lab, capture=False, tags={"team": "core"}):
            pass
    monkeypatch.setenv("MLLAB_LAB", lab.root)

    def run(*args: str, status: int = 0, err: bool = False) -> str:
        found = root.main(list(args), standalone_mode=False)
        done = capsys.readouterr()
        assert found == status, done.err
        return done.err if err else done.out

    return run


@pytest.fixture(params=["open", "sealed"])
def state(lab: Lab, call: Call, request: pytest.FixtureRequest) -> None:
    """Edits work on runs whose records are sealed and on others."""
    if request.param == "sealed":
        lab.store.seal()


def test_tags_are_set_removed_and_shown(call: Call, lab: Lab, state: None) -> None:
    text = call("runs", "tag", "a", "stage=best=1", "team-", "note=")
    assert [line.split() for line in text.splitlines()] == [["note"], ["stage", "best=1"]]
    assert run_detail(lab.engine, "a").tags == {"stage": "best=1", "note": ""}
    assert json.loads(call("runs", "tag", "a", "--json"))["tags"] == {"stage": "best=1", "note": ""}
    lab.store.seal()
    assert run_detail(lab.engine, "a").tags == {"stage": "best=1", "note": ""}


@pytest.mark.parametrize("text", ["nonsense", "-", "=value", "", "k" * 300 + "=x"])
def test_a_wrong_change_of_tags_changes_nothing(call: Call, lab: Lab, text: str) -> None:
    assert root.main(["runs", "tag", "a", "good=1", "--", text], standalone_mode=False) in (1, 2)
    assert run_detail(lab.engine, "a").tags == {"team": "core"}


def test_tags_are_parsed() -> None:
    assert parse_tag("a-b=c-") == ("a-b", "c-")
    assert parse_tag("a-b-") == ("a-b", None)
    with pytest.raises(MllabError):
        parse_tag("a")


def test_notes(call: Call, lab: Lab, state: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("runs", "note", "a") == ""
    call("runs", "note", "a", "# Title\n\ntext\x1b[2J")
    assert call("runs", "note", "a") == "# Title\n\ntext\n"
    assert json.loads(call("runs", "note", "a", "--json"))["note"] == "# Title\n\ntext\x1b[2J"
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe\n"))
    call("runs", "note", "a", "-")
    assert run_detail(lab.engine, "a").run.note == "from a pipe"
    call("runs", "note", "a", "")
    assert run_detail(lab.engine, "a").run.note is None


def test_a_note_in_an_editor(call: Call, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "my editor.py"
    script.write_text(
        "import sys\npath = sys.argv[-1]\ntext = open(path).read()\nopen(path, 'w').write(text + 'edited')\n"
    )
    monkeypatch.setenv("EDITOR", f"'{sys.executable}' '{script}'")
    monkeypatch.delenv("VISUAL", raising=False)
    call("runs", "note", "a", "first ")
    call("runs", "note", "a", "--edit")
    assert run_detail(lab.engine, "a").run.note == "firstedited"
    monkeypatch.setenv("EDITOR", "false")
    assert "nothing was changed" in call("runs", "note", "a", "--edit", status=3, err=True)
    monkeypatch.setenv("EDITOR", "/no/such/editor")
    call("runs", "note", "a", "--edit", status=3)
    monkeypatch.setenv("EDITOR", "unclosed '")
    call("runs", "note", "a", "--edit", status=3)
    assert run_detail(lab.engine, "a").run.note == "firstedited"


def test_renaming(call: Call, lab: Lab, state: None) -> None:
    run_id = lab.engine.resolve("a")
    call("runs", "rename", "a", "  better  ")
    assert lab.engine.resolve("better") == run_id
    call("runs", "rename", "better", " ", status=2)
    call("runs", "rename", "better", "x" * 251, status=2)


def test_archiving(call: Call, state: None) -> None:
    assert call("runs", "archive", "a", "b").count("Archived") == 2
    assert [run["name"] for run in json.loads(call("runs", "ls", "--json"))["runs"]] == ["c"]
    assert len(json.loads(call("runs", "ls", "--all", "--json"))["runs"]) == 3
    call("runs", "unarchive", "a")
    assert [run["name"] for run in json.loads(call("runs", "ls", "--json"))["runs"]] == ["c", "a"]


def test_nothing_changes_when_one_of_the_runs_is_not_there(call: Call) -> None:
    call("runs", "archive", "a", "nope", status=2)
    call("runs", "delete", "a", "nope", "--yes", status=2)
    assert len(json.loads(call("runs", "ls", "--json"))["runs"]) == 3


def test_deleting_asks_and_can_be_undone(call: Call, state: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--yes" in call("runs", "delete", "a", status=2, err=True), "nobody is there to answer"
    monkeypatch.setattr("mllab.cli.edit.can_ask", lambda: True)
    for answer in ("", "n\n", "no\n", "what\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert "Nothing was deleted" in call("runs", "delete", "a", status=1, err=True)
    assert len(json.loads(call("runs", "ls", "--json"))["runs"]) == 3
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    text = call("runs", "delete", "a", "b", err=True)
    assert "Delete these 2 runs?" in text
    assert f"{kept_days()} days: mllab runs restore" in text
    assert [run["name"] for run in json.loads(call("runs", "ls", "--json"))["runs"]] == ["c"]
    assert [run["name"] for run in json.loads(call("runs", "ls", "--deleted", "--json"))["runs"]] == ["b", "a"]
    call("runs", "restore", "a", "b")
    assert len(json.loads(call("runs", "ls", "--json"))["runs"]) == 3


def test_the_days_a_deleted_run_is_kept_are_those_of_gc() -> None:
    from mllab.store.gc import Periods

    assert kept_days() * 86400 == Periods().restore_s


def test_edits_as_json(call: Call, lab: Lab) -> None:
    run_id = lab.engine.resolve("a")
    assert json.loads(call("runs", "archive", "a", "--json")) == {
        "runs": [{"run_id": run_id, "name": "a", "archived": True}]
    }
    found = json.loads(call("runs", "delete", "a", "--yes", "--json"))
    assert found == {"runs": [{"run_id": run_id, "name": "a", "deleted": True}]}
    found = json.loads(call("runs", "restore", "a", "--json"))
    assert found == {"runs": [{"run_id": run_id, "name": "a", "deleted": False}]}
    assert json.loads(call("runs", "rename", "a", "z", "--json")) == {"run_id": run_id, "name": "z"}


def test_a_live_run_can_be_edited(call: Call, lab: Lab) -> None:
    with mllab.start_run("e", "live", lab=lab, capture=False) as run:
        run.log({"loss": 1.0})
        call("runs", "tag", "live", "from=outside")
        call("runs", "note", "live", "meanwhile")
        run.log({"loss": 0.5})
        found = json.loads(call("runs", "show", "live", "--json"))
        assert (found["status"], found["tags"], found["note"]) == ("running", {"from": "outside"}, "meanwhile")
    found = json.loads(call("runs", "show", "live", "--json"))
    assert (found["status"], found["tags"], found["metrics"]["loss"]["count"]) == ("finished", {"from": "outside"}, 2)


def test_an_undecodable_argument_is_stored_as_text(call: Call, lab: Lab) -> None:
    call("runs", "tag", "a", "k=\udcff")
    assert run_detail(lab.engine, "a").tags["k"] == "?"


def test_asking_needs_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert not failures.can_ask()
