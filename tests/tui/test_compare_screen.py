from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.ui import drive

import mllab
from mllab.tui.place import Place
from mllab.tui.screens.compare import CompareScreen

if TYPE_CHECKING:
    from tests.support.ui import Driven

    from mllab.lab import Lab


def screen(ui: Driven) -> CompareScreen:
    found = ui.app.lab_screen
    assert isinstance(found, CompareScreen)
    return found


def link(lab: Lab, where: str, **state: str) -> str:
    runs = mllab.runs(f"{where} order by name", lab=lab)["run_id"].to_list()
    return Place("compare", "", {"runs": ",".join(runs), **state}).link


def test_marked_runs_are_compared_with_the_one_under_the_cursor(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("j", "space", "space", "k", "c")
        await ui.sees("Compare (2)", "≡ mlp-0.01-1", "mlp-0.01-2", "train/loss", "seed")
        assert "model" not in ui.text  # it is the same in both
        await ui.press("d")
        await ui.sees("model")
        await ui.press("escape")
        await ui.sees("Runs (9)", "2 marked")

    drive(study, story)


def test_values_stand_with_their_distance_to_the_baseline(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Compare (2)", "+0.01")
        screen(ui).table.selected_column = 2
        await ui.press("b")
        await ui.sees("-0.01", "≡ cnn-0.1-2")

    drive(study, story, link(study, "model = cnn and lr = 0.1"))


def test_runs_that_differ_in_the_seed_alone_are_folded(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Compare (8)")
        await ui.press("F")
        await ui.sees("Compare (4 groups of 8 runs)", "n=2", "±", "p=")
        await ui.press("tab")
        await ui.sees("95 % confidence interval", "(n=2)")
        series = [each for chart in screen(ui).charts.grid.charts for each in chart.series]
        assert series
        assert all(each.band is not None for each in series)
        assert all((each.band[0] <= each.band[1]).all() for each in series if each.band is not None)

    drive(study, story, link(study, "has params.seed and status = finished"))


def test_curves_are_overlaid_and_code_is_compared(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("[Charts]", "train/loss")
        await ui.until(lambda: all(len(chart.series) == 4 for chart in screen(ui).charts.grid.charts))
        await ui.press("tab")
        await ui.sees("[Code and environment]")
        await ui.press("shift+tab", "shift+tab")
        await ui.sees("[Table]")

    drive(study, story, link(study, "model = cnn and seed < 3 and lr < 1", tab="charts"))


def test_one_run_cannot_be_compared_and_that_is_said(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.press("2")
        await ui.sees("Mark runs with Space")
        await ui.command("compare cnn-0.1-1 no-such-run")
        await ui.until(lambda: "no-such-run" in ui.said)

    drive(study, story)
