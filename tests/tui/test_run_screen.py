from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.ui import drive

import mllab
from mllab.tracking.start import start_run
from mllab.tui.place import Place
from mllab.tui.screens.run import TABS, RunScreen
from mllab.tui.widgets.logview import LogView

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.ui import Driven

    from mllab.lab import Lab


CONSOLE = {"console": True, "git": False, "environment": False, "system": False}


def screen(ui: Driven) -> RunScreen:
    found = ui.app.lab_screen
    assert isinstance(found, RunScreen)
    return found


def run_id(lab: Lab, name: str) -> str:
    return str(mllab.runs(f"name = '{name}'", lab=lab)["run_id"][0])


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (30, 8)])
def test_every_tab_of_a_run_shows_what_there_is(study: Lab, size: tuple[int, int]) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("[Overview]")
        for tab in (*TABS[1:], TABS[0]):
            await ui.press("tab")
            await ui.until(lambda tab=tab: screen(ui).tab == tab)  # type: ignore[misc]  # bound at once
        await ui.press("shift+tab")
        await ui.until(lambda: screen(ui).tab == "code")

    drive(study, story, run_id(study, "cnn-0.1-1"), size=size)


def test_charts_show_curves_under_one_cursor_that_a_link_restores(study: Lab) -> None:
    run = run_id(study, "cnn-0.1-1")
    links = []

    async def first(ui: Driven) -> None:
        await ui.sees("train/loss", "acc")
        assert "system/cpu" not in ui.text
        await ui.press("l", "l", "l", "i", "L", "tilde")
        grid = screen(ui).charts.grid
        await ui.until(lambda: grid.cursor is not None and grid.view.x_low is not None)
        links.append(screen(ui).place().link)

    async def second(ui: Driven) -> None:
        await ui.sees("train/loss")
        assert screen(ui).place().link == links[0]
        assert screen(ui).charts.grid.view.is_log_y
        assert screen(ui).charts.grid.view.smoothing == "ema"
        await ui.press("r", "L")
        await ui.until(lambda: screen(ui).charts.grid.view.x_low is None)

    drive(study, first, Place("run", run, {"tab": "charts"}).link)
    drive(study, second, links[0])


def test_the_axis_can_be_steps_or_time_and_the_cursor_stays_at_its_moment(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("train/loss")
        pane = screen(ui).charts
        pane.grid.cursor = 30.0
        await ui.press("X")
        await ui.until(lambda: pane.grid.view.x_axis == "relative")
        assert pane.grid.cursor is not None
        assert pane.grid.cursor < 30
        await ui.command("axis step")
        await ui.until(lambda: pane.grid.view.x_axis == "step")
        assert pane.grid.cursor == pytest.approx(30, abs=1)

    drive(study, story, Place("run", run_id(study, "cnn-0.1-1"), {"tab": "charts"}).link)


def test_charts_are_narrowed_by_name_and_one_fills_the_pane(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("train/loss", "acc")
        await ui.press("slash")
        await ui.type("loss")
        await ui.press("enter")
        await ui.until(lambda: [c.title for c in screen(ui).charts.grid.charts] == ["train/loss"])
        await ui.press("slash", "ctrl+u", "enter")
        await ui.until(lambda: len(screen(ui).charts.grid.charts) == 2)
        await ui.press("m")
        await ui.until(lambda: screen(ui).charts.grid.is_zoomed)
        await ui.press("m")

    drive(study, story, Place("run", run_id(study, "cnn-0.1-1"), {"tab": "charts"}).link)


def test_logs_are_searched_and_the_cursor_is_shared_with_the_charts(lab: Lab) -> None:
    with start_run("logs", "talker", lab=lab, capture=CONSOLE) as run:
        for step in range(200):
            run.log({"loss": 1 / (step + 1)}, step=step)
            print(f"epoch {step} done [bold]as it is[/bold]")
            if step % 50 == 0:
                time.sleep(0.02)

    async def story(ui: Driven) -> None:
        await ui.sees("epoch 199 done [bold]as it is[/bold]", "200 lines")
        view = screen(ui).query_one(LogView)
        await ui.press("slash")
        await ui.type("epoch 5[05] done")
        await ui.press("enter")
        await ui.until(lambda: view.match_count == 2)
        await ui.sees("2 matches")
        await ui.press("g")
        await ui.press("n")
        await ui.until(lambda: view.cursor == 50)
        await ui.until(lambda: screen(ui).place().state.get("time"))
        await ui.command("tab charts")
        await ui.until(lambda: screen(ui).charts.grid.cursor is not None)
        assert screen(ui).charts.grid.cursor == pytest.approx(50, abs=60)
        await ui.press("h")
        await ui.command("tab logs")
        await ui.until(lambda: view.cursor < 200)
        await ui.press("w", "T", "v", "v")
        await ui.press("G")
        await ui.until(lambda: view.is_following)

    drive(lab, story, Place("run", run.id, {"tab": "logs"}).link)


def test_a_live_run_grows_on_every_tab(lab: Lab) -> None:
    with start_run("live", "growing", lab=lab, capture=CONSOLE) as run:
        run.log({"loss": 1.0}, step=0)
        print("first line")
        stdout = sys.stdout  # the app takes what is printed while it runs

        async def story(ui: Driven) -> None:
            await ui.sees("first line", "running")
            stdout.write("second line\n")
            await ui.sees("second line")
            await ui.command("tab charts")
            await ui.sees("loss")
            run.log({"other": 5.0}, step=1)
            await ui.sees("other")

        drive(lab, story, Place("run", run.id, {"tab": "logs"}).link)


def test_files_are_viewed_as_text_and_written_without_replacing_any(study: Lab, tmp_path: Path) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("notes.md")
        await ui.press("enter")
        await ui.sees("fine [bold]not markup[/bold]")
        await ui.press("escape")
        await ui.command(f"save {tmp_path}/copy.md")
        await ui.until(lambda: "Wrote" in ui.said)
        await ui.command(f"save {tmp_path}/copy.md")
        await ui.until(lambda: "exists" in ui.said)

    drive(study, story, Place("run", run_id(study, "cnn-0.1-1"), {"tab": "artifacts"}).link)
    assert "not markup" in (tmp_path / "copy.md").read_text()


def test_the_failure_is_told_without_obeying_it(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("failed", "ValueError: the loss is NaN \\x1b[31m[red]")

    drive(study, story, run_id(study, "broken"))


def test_one_walks_through_the_list_from_within_a_run(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("enter")
        await ui.sees("[Overview]", "broken")
        await ui.press("J")
        await ui.sees("mlp-0.01-2")
        await ui.press("tab")
        await ui.sees("[Charts]")
        await ui.press("J")
        await ui.sees("mlp-0.01-1", "[Charts]")
        await ui.press("K", "K")
        await ui.sees("broken")
        await ui.press("K")
        await ui.until(lambda: "The list ends here." in ui.said)
        await ui.press("escape")
        await ui.sees("Runs (9)")

    drive(study, story)


def test_edits_of_one_run_show_at_once_and_are_undone(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("[Overview]")
        await ui.command("tag stage=prod")
        await ui.sees("stage", "prod")
        await ui.command("note what a run")
        await ui.sees("what a run")
        await ui.press("z")
        await ui.sees_no("what a run\n")
        await ui.until(lambda: "Undone" in ui.said)

    drive(study, story, run_id(study, "cnn-0.1-1"))


def test_a_copy_can_bring_the_run_about_again(study: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []

    async def keep(_app: object, text: str) -> str:
        copied.append(text)
        return "kept by the test"

    monkeypatch.setattr("mllab.tui.app.copy_aside", keep)
    run = run_id(study, "cnn-0.1-1")

    async def story(ui: Driven) -> None:
        await ui.sees("[Overview]")
        for what in ("id", "link", "command", "python", "show"):
            await ui.command(f"copy {what}")
            await ui.until(lambda what=what: len(copied) == ["id", "link", "command", "python", "show"].index(what) + 1)  # type: ignore[misc]

    drive(study, story, run)
    assert copied[0] == run
    assert copied[1] == f"mllab:///runs/{run}"
    assert "The code's commit was not recorded." in copied[2]
    assert "'lr': 0.1" in copied[3]
    compile(copied[3], "copied", "exec")
    assert run in copied[4]


def test_an_empty_answer_clears_a_note_and_a_search(lab: Lab) -> None:
    with start_run("logs", "noted", lab=lab, capture=CONSOLE) as run:
        run.set_note("a note to lose")
        print("one line")

    async def story(ui: Driven) -> None:
        await ui.sees("a note to lose")
        await ui.press("N", "ctrl+u", "enter")
        await ui.sees_no("a note to lose")
        await ui.command("tab logs")
        await ui.sees("one line")
        await ui.command("search (")
        await ui.sees("/(/: ")
        await ui.press("slash", "ctrl+u", "enter")
        await ui.sees_no("/(/")

    drive(lab, story, run.id)


@pytest.mark.parametrize("words", ["nan nan", "inf inf", "10 0", "5 5", "a b", "1"])
def test_what_is_no_range_is_refused(study: Lab, words: str) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("train/loss")
        await ui.command(f"zoom-reset {words}")
        await ui.until(lambda: "is no range" in ui.said)

    drive(study, story, Place("run", run_id(study, "cnn-0.1-1"), {"tab": "charts"}).link)


@pytest.mark.parametrize(
    "state", [{"time": "²"}, {"x": "1e300,nan"}, {"x": "1e300,2e300", "tab": "charts"}, {"tab": "²"}]
)
def test_a_link_with_nonsense_opens_the_run(study: Lab, state: dict[str, str]) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("cnn-0.1-1")
        await ui.pilot.pause(0.5)
        await ui.sees("cnn-0.1-1")

    drive(study, story, Place("run", run_id(study, "cnn-0.1-1"), state).link)


def test_a_run_that_is_not_there_is_named_and_the_list_shown(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.until(lambda: "There is no run 'nothing'" in ui.said)
        await ui.sees("Runs (9)")

    drive(study, story, "nothing")


def test_a_single_moment_has_its_own_clock_time_below_it(study: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_run("moments", "one", lab=study, capture=False) as run:
        run.log({"system/cpu": 50.0}, step=0)

    async def story(ui: Driven) -> None:
        await ui.sees("system/cpu", "1 point")
        (chart,) = screen(ui).system.grid.charts
        plot = chart._plot
        assert plot is not None
        assert plot.x.value(1.0) - plot.x.value(0.0) < 120

    drive(study, story, Place("run", run.id, {"tab": "system"}).link)


def test_an_empty_log_has_its_keys_too(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("[Overview]")
        await ui.press("tab", "tab")
        await ui.sees("[Logs]", "Nothing was printed.", "/ search", "v level")
        await ui.command("level")
        await ui.until(lambda: screen(ui).query_one(LogView).level == "info")

    drive(study, story, run_id(study, "cnn-0.1-1"), size=(80, 24))
