"""What sessions of the terminal UI and of plain mode remember together, and what they say where they cannot."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.ui import drive, driven

import mllab
from mllab.edits import Edit
from mllab.lab import Lab
from mllab.plain.session import PlainSession
from mllab.plain.voice import Voice
from mllab.tui.journal import Journal
from mllab.tui.state import load_state, state_path

if TYPE_CHECKING:
    from tests.support.ui import Driven


def path_of(lab: Lab) -> str:
    return state_path(str(lab.store.layout.check_format()["store_id"]))


def tagged(lab: Lab, key: str) -> int:
    return mllab.runs(f"has tags.{key}", lab=lab).height


def test_two_sessions_keep_each_others_views_and_undo_each_edit_once(study: Lab) -> None:
    async def tag(ui: Driven, key: str) -> None:
        await ui.command(f"tag {key}=1")
        await ui.until(lambda: f"Tagged broken: {key}=1" in ui.said, "the edit")

    async def story() -> None:
        async with driven(study) as one, driven(Lab.find(study.root)) as two:
            await one.sees("Runs (9)")
            await two.sees("Runs (9)")
            await one.command("save-view mine")
            await one.until(lambda: "mine" in load_state(path_of(study)).views, "the first view")
            await two.command("save-view other")
            await two.until(lambda: "other" in load_state(path_of(study)).views, "the second view")
            await two.until(lambda: two.app.state.views.keys() == {"mine", "other"}, "the view of the first session")
            await tag(one, "a")
            await tag(two, "b")
            await tag(one, "c")
            await two.press("z")
            await two.until(lambda: "Undone: Tagged broken: c=1" in two.said, "the undo of the other's edit")
            await one.press("z")
            await one.until(lambda: "Undone: Tagged broken: b=1" in one.said, "the undo")
            assert [tagged(study, key) for key in "abc"] == [1, 0, 0]
            await two.press("Z")
            await two.until(lambda: "Done again: Tagged broken: b=1" in two.said, "the redo")
            assert [tagged(study, key) for key in "abc"] == [1, 1, 0]

    asyncio.run(story())
    assert load_state(path_of(study)).views.keys() == {"mine", "other"}


def test_a_plain_session_keeps_what_a_terminal_ui_beside_it_remembers(
    study: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    plain = PlainSession(Lab.find(study.root), Voice(None, None))

    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.command("save-view mine")
        await ui.until(lambda: "mine" in load_state(path_of(study)).views, "the view")
        plain.command("save-view plain")
        await ui.command("filter lr = 0.1")
        await ui.sees("Runs (4 of 9)")

    drive(study, story)
    found = load_state(path_of(study))
    assert found.views.keys() == {"mine", "plain"}
    assert "lr" in found.place  # leaving has written it, beside the other's view


def test_an_undo_of_many_runs_costs_no_views_and_names_runs_that_are_gone(study: Lab) -> None:
    async def save(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.command("save-view mine")

    drive(study, save)
    edits = [Edit(f"{number:026}", 1, "archive", {"value": True}, {"value": False}) for number in range(100_000)]
    Journal(path_of(study)).push("Archived 100,000 runs", edits)

    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        assert ui.app.state.views.keys() == {"mine"}
        await ui.press("z")
        await ui.until(lambda: "Not undone: Archived 100,000 runs" in ui.said, "the undo")
        assert f"no longer in the store: {0:026}, {1:026}, {2:026}, ..." in ui.said
        assert ui.app.said[-1][0] == "warning"
        await ui.press("z")
        await ui.until(lambda: "There is nothing to undo." in ui.said, "the end of the journal")

    drive(study, story)
    assert mllab.runs(lab=study).height == 9


def test_a_state_folder_that_cannot_be_written_is_said_once_and_costs_nothing_else(
    study: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(sys, "platform", "linux")

    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.command("save-view mine")
        await ui.until(lambda: "This session will not be remembered" in ui.said, "the warning")
        await ui.command("tag a=1")
        await ui.until(lambda: "Tagged broken: a=1. This cannot be undone: Not a directory." in ui.said, "the edit")
        await ui.press("z")
        await ui.until(lambda: "The journal cannot be used" in ui.said, "the undo")
        assert ui.said.count("will not be remembered") == 1
        assert ui.app.state.views.keys() == {"mine"}

    drive(study, story)
    assert tagged(study, "a") == 1
    assert os.path.isfile(tmp_path / "file")
