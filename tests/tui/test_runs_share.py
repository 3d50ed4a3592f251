"""What takes long in the list of runs, and what is copied from it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.ui import drive

from mllab.query.comparison import MAX_RUNS
from mllab.tracking.start import start_run
from mllab.tui.screens import runs_share
from mllab.tui.screens.runs import RunsScreen
from mllab.tui.services.run_list import RunView, answer, run_ids

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.ui import Driven

    from mllab.lab import Lab


def screen(ui: Driven) -> RunsScreen:
    found = ui.app.lab_screen
    assert isinstance(found, RunsScreen)
    return found


def listed_ids(ui: Driven) -> list[str]:
    source = screen(ui).source
    assert source is not None
    rows = [source.row(index) for index in range(len(source))]
    return [row.key for row in rows if row is not None]


def printed_ids(command: str) -> list[str]:
    words = shlex.split(command)
    assert words[0] == "mllab"
    done = subprocess.run(
        [sys.executable, "-m", *words[:3], "--json", *words[3:]], capture_output=True, check=True, env=dict(os.environ)
    )
    return [run["run_id"] for run in json.loads(done.stdout)["runs"]]


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []

    async def keep(_app: object, text: str) -> str:
        texts.append(text)
        return "kept by the test"

    monkeypatch.setattr("mllab.tui.app.copy_aside", keep)
    return texts


def test_what_is_copied_gives_the_runs_of_the_list_in_order(study: Lab, copied: list[str]) -> None:
    for number in range(25):  # more than the command prints by itself
        with start_run("digits", f"short-{number}", lab=study, params={"lr": 0.5}, capture=False) as run:
            run.log({"acc": number * 7 % 25 / 25}, step=0)
    ids: list[str] = []

    async def story(ui: Driven) -> None:
        await ui.sees("Runs (34)")
        await ui.command("filter acc > -1")
        await ui.command("columns name,min(acc),acc,params.lr,tags.team,id,number")
        await ui.command("sort acc desc")
        await ui.sees("by metrics.acc descending")
        ids.extend(listed_ids(ui))
        for count, what in enumerate(("command", "python"), 1):
            await ui.command(f"copy {what}")
            await ui.until(lambda count=count: len(copied) == count)  # type: ignore[misc]  # the count of this turn

    drive(study, story)
    command, python = copied
    assert len(ids) > 30
    assert printed_ids(command) == ids
    names: dict[str, Any] = {}
    exec(python, names)  # the text under test
    assert names["runs"]["run_id"].to_list() == ids
    assert names["runs"].columns == ["run_id", "name", "metrics.acc", "params.lr", "tags.team"]
    assert (
        "# Not in the frame, which has attributes, params, tags and last values: 'min(metrics.acc)', 'number'"
        in python.splitlines()
    )


def test_of_deleted_runs_the_command_alone_is_copied(study: Lab, copied: list[str]) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("D")
        await ui.sees("Cancel")
        await ui.press("j", "enter")
        await ui.sees("Runs (8)")
        await ui.command("which")
        await ui.sees("archived too")
        await ui.command("which")
        await ui.sees("Runs (1")
        await ui.command("copy python")
        await ui.until(lambda: len(copied) == 1)
        await ui.command("copy command")
        await ui.until(lambda: len(copied) == 2)
        assert printed_ids(copied[1]) == listed_ids(ui)

    drive(study, story)
    assert all(line.startswith("#") for line in copied[0].splitlines())
    assert copied[1] in copied[0]


@pytest.mark.parametrize("most_named", [0, 1000])
def test_ids_are_read_of_sealed_and_of_open_runs(study: Lab, most_named: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mllab.tui.services.run_list.MOST_NAMED", most_named)
    with start_run("digits", "live", lab=study, capture=False) as run:
        run.log({"acc": 1.0}, step=0)
        engine = study.engine
        listed = answer(engine, RunView(), (), {})
        ids = run_ids(engine, listed)
        assert ids == [row[0] for row in engine.rows("SELECT run_id FROM r_runs ORDER BY started DESC")]
        assert len(ids) == 10
        assert run_ids(engine, listed, 3) == ids[:3]


class Held:
    """Work that does not end before it may."""

    def __init__(self, result: Any) -> None:
        self.may_end = threading.Event()
        self.began = threading.Event()
        self._result = result

    def __call__(self, *_: object, **__: object) -> Any:
        self.began.set()
        assert self.may_end.wait(60)
        return self._result


def test_esc_ends_what_takes_long_and_keys_work_meanwhile(study: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(["a", "b"])
    monkeypatch.setattr("mllab.tui.screens.runs.run_ids", held)

    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        try:
            await ui.press("asterisk")
            await ui.until(lambda: "Reading the runs to mark" in ui.said)
            await ui.press("j")
            await ui.sees("row 2 of 9")
            await ui.press("escape")
            await ui.until(lambda: "No longer reading the runs to mark" in ui.said)
        finally:
            held.may_end.set()
        await ui.press("escape")
        await ui.until(lambda: "This is the first screen" in ui.said)
        assert not screen(ui).table.marks
        await ui.press("asterisk")
        await ui.sees("2 marked")

    drive(study, story)


def test_a_file_whose_writing_was_ended_does_not_appear(
    study: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(9)
    monkeypatch.setattr(runs_share, "write_runs", held)
    path = tmp_path / "runs.csv"

    def unfinished() -> list[str]:
        return [each.name for each in tmp_path.iterdir() if each.name.startswith(".mllab-")]

    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        try:
            await ui.command(f"export {path}")
            await ui.until(lambda: "Reading what is exported" in ui.said)
            assert unfinished()
            await ui.press("escape")
            await ui.until(lambda: "No longer" in ui.said)
        finally:
            held.may_end.set()
        await ui.until(lambda: not unfinished())
        assert not path.exists()

    drive(study, story)


def test_another_of_its_group_ends_what_takes_long(study: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(("What never came", []))
    monkeypatch.setattr("mllab.tui.services.importance_text.mattered_choices", held)

    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        try:
            await ui.command("importance acc")
            await ui.until(lambda: "Reading what goes along with acc" in ui.said)
            await ui.press("F")
            await ui.sees("groups of 9 runs")
        finally:
            held.may_end.set()
        await ui.sees_no("What never came")

    drive(study, story)


def test_more_runs_than_can_be_compared_are_refused_at_once(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        screen(ui).table.mark_keys(f"run-{number}" for number in range(MAX_RUNS + 1))
        await ui.sees("51 marked")
        await ui.press("c")
        await ui.until(lambda: "at most 50 can be seen beside each other" in ui.said)
        await ui.sees("51 marked")

    drive(study, story)
