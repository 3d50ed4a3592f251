"""The journal that undo reads: entries of many edits, sessions side by side, damaged files, runs that are gone."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mllab.edits import Edit
from mllab.errors import MllabError, UsageError
from mllab.query.views import find_run, run_rows
from mllab.tracking.start import start_run
from mllab.tui import journal as journal_module
from mllab.tui.journal import Journal, carry_out, replay

if TYPE_CHECKING:
    from mllab.lab import Lab


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "store.json")


@pytest.fixture
def journal(path: str) -> Journal:
    return Journal(path)


def edits_of(count: int) -> list[Edit]:
    return [Edit(f"{number:026}", 1, "archive", {"value": True}, {"value": False}) for number in range(count)]


def files(path: str) -> list[Path]:
    return sorted(Path(path.removesuffix(".json") + ".undo").iterdir())


def made(lab: Lab, name: str) -> str:
    with start_run("digits", name, lab=lab, capture=False) as run:
        run.log({"loss": 1.0})
    return find_run(lab.engine, name)[1]


def renamed(run: str, before: str, after: str) -> Edit:
    return Edit(run, 1, "rename", {"name": after}, {"name": before})


def name_of(lab: Lab, run: str) -> Any:
    ref, _ = find_run(lab.engine, run)
    return run_rows(lab.engine, [ref])[ref].name


def test_entries_come_back_whole(journal: Journal) -> None:
    edits = edits_of(1000)
    journal.push("Archived many", edits)
    entry = journal.take("done")
    assert entry is not None
    assert entry.label == "Archived many"
    assert [Edit.from_json(each) for each in entry.edits] == edits
    assert entry.edits == [each.as_json() for each in edits]
    assert journal.take("done") is None


def test_the_newest_is_taken_first_and_new_edits_drop_what_was_undone(journal: Journal, path: str) -> None:
    other = Journal(path)
    for number in range(3):
        (journal, other)[number % 2].push(f"edit {number}", edits_of(1))
    assert [journal.take("done").label, other.take("done").label] == ["edit 2", "edit 1"]  # type: ignore[union-attr]  # there are three
    assert other.labels("undone") == ["edit 2", "edit 1"]
    again = other.take("undone")
    assert again is not None
    assert again.label == "edit 1"
    assert journal.labels("done") == ["edit 0", "edit 1"]
    journal.push("edit 3", edits_of(1))
    assert journal.take("undone") is None
    assert journal.labels("done") == ["edit 0", "edit 1", "edit 3"]


def test_what_is_put_back_is_where_it_was_though_another_session_edited(journal: Journal, path: str) -> None:
    journal.push("edit 0", edits_of(1))
    entry = journal.take("done")
    assert entry is not None
    Journal(path).push("edit 1", edits_of(1))
    journal.put_back(entry)
    assert journal.labels("done") == ["edit 0", "edit 1"]


def test_the_oldest_entries_are_dropped(journal: Journal, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MOST_UNDO", 5)
    for number in range(9):
        journal.push(f"edit {number}", edits_of(1))
    assert journal.labels("done") == [f"edit {number}" for number in range(4, 9)]
    monkeypatch.setattr(journal_module, "MAX_BYTES", 2 * files(path)[0].stat().st_size)
    journal.push("edit 9", edits_of(1))
    assert journal.labels("done") == ["edit 8", "edit 9"]


def test_what_is_too_large_to_undo_says_so_and_is_done(
    lab: Lab, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(lab, "one")
    assert carry_out(lab.store, journal, "first", [renamed(run, "one", "two")]) == ""
    monkeypatch.setattr(journal_module, "MAX_ENTRY_BYTES", 200)
    assert carry_out(lab.store, journal, "second", [renamed(run, "two", "three" * 40)]) == "This is too large to undo."
    assert name_of(lab, run) == "three" * 40
    monkeypatch.undo()
    assert journal.labels("done") == ["first"]


def test_a_disk_that_is_full_says_that_an_edit_cannot_be_undone(journal: Journal) -> None:
    journal.push("edit 0", edits_of(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        said = journal_module._kept(journal, "edit 1", edits_of(100))
        assert journal.take("done") is not None  # to undo takes no space
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said == "This cannot be undone: File too large."
    assert journal.labels("undone") == ["edit 0"]


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"\xff\xfe", b'{"version": 9, "label": "x", "edits": 0}\n', None])
def test_a_damaged_entry_is_lost_alone(journal: Journal, path: str, damage: bytes | None) -> None:
    for number in range(3):
        journal.push(f"edit {number}", edits_of(4))
    torn = files(path)[2]
    torn.write_bytes(torn.read_bytes()[:-20] if damage is None else damage)
    assert journal.labels("done") == ["edit 0", "edit 1"]
    with pytest.raises(UsageError, match="damaged"):
        journal.take("done")
    assert journal.take("done").label == "edit 1"  # type: ignore[union-attr]  # it is there


def test_a_session_that_is_killed_while_it_writes_loses_that_entry_alone(journal: Journal, path: str) -> None:
    journal.push("edit 0", edits_of(1))
    script = (
        "import os, signal, sys\n"
        "from mllab.edits import Edit\n"
        "from mllab.tui.journal import Journal\n"
        "import json\n"
        "real, count = json.dumps, [0]\n"
        "def dumps(each):\n"
        "    count[0] += 1\n"
        "    if count[0] == 5000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(each)\n"
        "json.dumps = dumps\n"
        "Journal(sys.argv[1]).push('killed', [Edit('x' * 26, 1, 'note', {}, {})] * 9000)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [each.suffix for each in files(path)] == [".jsonl", ".new"]  # it was at work
    assert journal.labels("done") == ["edit 0"]
    journal.push("edit 1", edits_of(1))
    assert journal.labels("done") == ["edit 0", "edit 1"]
    assert [each.suffix for each in files(path)] == [".jsonl", ".jsonl"]


def test_undo_leaves_out_runs_that_are_gone_and_names_them(lab: Lab, journal: Journal) -> None:
    run, gone = made(lab, "one"), "0" * 26
    journal.push("Renamed 2 runs", [renamed(run, "zero", "one"), renamed(gone, "a", "b")])
    done = replay(lab, journal, reverse=True)
    assert done.text == f"Undone: Renamed 2 runs. But not for 1 run no longer in the store: {gone}."
    assert not done.is_whole
    assert name_of(lab, run) == "zero"
    journal.push("Renamed b", [renamed(gone, "a", "b")])
    done = replay(lab, journal, reverse=True)
    assert done.text == f"Not undone: Renamed b, of 1 run no longer in the store: {gone}."
    assert not done.is_whole
    assert replay(lab, journal, reverse=True).is_empty
    assert replay(lab, journal, reverse=False).is_empty
    assert lab.engine.rows("SELECT count(*) FROM r_runs") == [(1,)]


def test_a_run_that_was_deleted_meanwhile_is_edited_all_the_same(lab: Lab, journal: Journal) -> None:
    run = made(lab, "one")
    assert carry_out(lab.store, journal, "Renamed", [renamed(run, "one", "two")]) == ""
    lab.store.edit(run, 1, [("delete", {"value": True})])
    assert replay(lab, journal, reverse=True).text == "Undone: Renamed"
    assert name_of(lab, run) == "one"
    assert replay(lab, journal, reverse=False).text == "Done again: Renamed"
    assert name_of(lab, run) == "two"


def test_edits_before_an_error_can_be_undone_and_a_failed_undo_is_kept(
    lab: Lab, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = made(lab, "one"), lab.store.edit
    left = [1]

    def edit(*args: Any) -> None:
        if not left[0]:
            raise MllabError("The disk is full.")
        left[0] -= 1
        real(*args)

    monkeypatch.setattr(lab.store, "edit", edit)
    with pytest.raises(MllabError, match="full"):
        carry_out(lab.store, journal, "Renamed", [renamed(run, "one", "two"), renamed(run, "two", "three")])
    with pytest.raises(MllabError, match="full"):
        replay(lab, journal, reverse=True)
    assert journal.labels("done") == ["Renamed"]
    left[0] = 9
    assert replay(lab, journal, reverse=True).text == "Undone: Renamed"
    assert name_of(lab, run) == "one"


def test_a_journal_that_cannot_be_written_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be used"):
        replay(lab, Journal(str(tmp_path / "file" / "store.json")), reverse=True)
