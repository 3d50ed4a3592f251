from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.ui import drive
from textual import events

import mllab
from mllab.tracking.start import start_run
from mllab.tui.screens.runs import RunsScreen
from mllab.tui.state import load_state, state_path

if TYPE_CHECKING:
    from tests.support.ui import Driven

    from mllab.lab import Lab


def screen(ui: Driven) -> RunsScreen:
    found = ui.app.lab_screen
    assert isinstance(found, RunsScreen)
    return found


def names(ui: Driven) -> list[str]:
    source = screen(ui).source
    assert source is not None
    rows = [source.row(index) for index in range(len(source))]
    return [row.cells[0].text for row in rows if row is not None]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50), (40, 10)])
def test_the_list_shows_every_run_with_its_state(study: Lab, size: tuple[int, int]) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)", "broken", "mlp-0.1-2")
        if size[0] >= 120:
            await ui.sees("the loss is NaN \\x1b[31m[red]")  # the run under the cursor, its error as plain text

    drive(study, story, size=size)


def test_an_empty_lab_says_how_to_begin(lab: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("No runs yet", "mllab demo")
        await ui.press("j", "G", "space", "enter", "s", "c", "t", "y")  # nothing to act on, and nothing breaks
        await ui.press("escape")

    drive(lab, story)


def test_the_list_is_filtered_as_one_types_and_esc_brings_back_what_was_there(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("slash")
        await ui.type("lr = 0.1")
        await ui.sees("Runs (4 of 9)")
        assert set(names(ui)) == {"cnn-0.1-1", "cnn-0.1-2", "mlp-0.1-1", "mlp-0.1-2"}
        await ui.press("escape")
        await ui.sees("Runs (9)")
        await ui.press("slash")
        await ui.type("model = mlp")
        await ui.press("enter")
        await ui.sees("Runs (4 of 9)", "/ model = mlp")
        await ui.press("escape")
        await ui.sees("Runs (9)")

    drive(study, story)


def test_a_wrong_filter_is_explained_and_loses_nothing(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("slash")
        await ui.type("los < 1")
        await ui.sees("los")
        assert len(names(ui)) == 9
        await ui.press("enter")
        await ui.until(lambda: "los" in ui.said, "the message")
        await ui.sees("Runs (9)")

    drive(study, story)


def test_tab_completes_a_filter(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("slash")
        await ui.type("train")
        await ui.sees("train/loss")
        await ui.press("tab")
        await ui.until(lambda: screen(ui).prompt.value == "train/loss")
        await ui.type(" < 0.2")
        await ui.press("enter")
        await ui.sees("of 9)")

    drive(study, story)


def test_sorting_by_a_column_turns_round_and_puts_nan_last(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.command("sort train/loss")
        await ui.until(lambda: names(ui)[0] == "cnn-0.1-1")
        assert names(ui)[-1] == "broken"
        table = screen(ui).table
        table.selected_column = next(at for at, each in enumerate(table.columns) if "train/loss" in each.key)
        await ui.press("s")
        await ui.until(lambda: names(ui)[0] == "mlp-0.01-2")
        assert names(ui)[-1] == "broken"
        await ui.sees("descending")

    drive(study, story)


def test_marks_survive_a_filter_and_tags_of_all_marked_are_undone_together(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.command("filter lr = 0.1")
        await ui.sees("Runs (4 of 9)")
        await ui.press("asterisk")
        await ui.sees("4 marked")
        await ui.command("filter model = mlp")
        await ui.sees("4 marked")
        await ui.press("t")
        await ui.type("stage=best")
        await ui.press("enter")
        await ui.until(lambda: "Tagged 4 runs" in ui.said)
        assert mllab.runs("stage = best", lab=study).height == 4
        await ui.press("z")
        await ui.until(lambda: "Undone" in ui.said)
        assert mllab.runs("lr = 0.1 and has tags.stage and tags.stage = best", lab=study).height == 0
        await ui.press("Z")
        await ui.until(lambda: "Done again" in ui.said)
        assert mllab.runs("stage = best", lab=study).height == 4

    drive(study, story)


def test_undo_works_in_the_next_session_too(study: Lab) -> None:
    async def first(ui: Driven) -> None:
        await ui.sees("broken")
        await ui.command("rename another name")
        await ui.until(lambda: "Renamed broken" in ui.said)
        await ui.sees("another name")

    async def second(ui: Driven) -> None:
        await ui.sees("another name")
        await ui.press("z")
        await ui.sees("broken")

    drive(study, first)
    drive(study, second)


def test_deleting_asks_with_cancel_in_focus_and_can_be_taken_back(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("broken")
        await ui.press("D")
        await ui.sees("Delete 1 run?", "Cancel")
        await ui.press("enter")
        await ui.sees("Runs (9)")
        assert mllab.runs(lab=study).height == 9
        await ui.press("D")
        await ui.sees("Cancel")
        await ui.press("down", "enter")
        await ui.sees("Runs (8)")
        await ui.press("A", "A")
        await ui.sees("Runs (1, deleted)")
        await ui.press("D")
        await ui.until(lambda: "Restored broken" in ui.said)
        await ui.press("A")
        await ui.sees("Runs (9)")

    drive(study, story)


def test_archiving_takes_a_run_out_of_the_list(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("a")
        await ui.sees("Runs (8)")
        await ui.press("A")
        await ui.sees("Runs (9, archived too)")

    drive(study, story)


def test_columns_are_hidden_moved_and_kept_for_the_next_session(study: Lab) -> None:
    async def first(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.command("columns name,acc,lr,tags.team")
        await ui.until(lambda: [each.key for each in screen(ui).table.columns][1:] != [] and
                       screen(ui).view.columns == ("name", "acc", "lr", "tags.team"))  # fmt: skip
        screen(ui).table.selected_column = 2
        await ui.press("less_than_sign")
        await ui.until(lambda: "lr" in screen(ui).table.columns[1].key)
        await ui.press("d")
        await ui.until(lambda: len(screen(ui).table.columns) == 3)
        await ui.press("C")
        await ui.sees("Columns", "[x] name")
        await ui.press("escape")

    async def second(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        assert len(screen(ui).table.columns) == 3

    drive(study, first)
    drive(study, second)


def test_a_session_ends_and_begins_at_the_same_place(study: Lab) -> None:
    async def first(ui: Driven) -> None:
        await ui.command("filter model = cnn order by acc desc")
        await ui.sees("Runs (5 of 9)")
        await ui.press("g", "j", "j")

    async def second(ui: Driven) -> None:
        await ui.sees("Runs (5 of 9)", "model = cnn")
        await ui.until(lambda: screen(ui).table.cursor == 2)

    drive(study, first)
    drive(study, second)


def test_damaged_state_costs_the_session_and_nothing_else(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")

    drive(study, story)

    path = state_path(str(study.store.layout.check_format()["store_id"]))
    for damage in (
        "",
        "[]",
        '{"version": 1, "views": 5, "pins": {"a": 1}, "place": "mllab:///nowhere/at/all"}',
        "{" * 9,
    ):
        Path(path).write_text(damage, encoding="utf-8")
        drive(study, story)


def test_a_view_is_saved_opened_and_deleted(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.command("filter lr = 0.01")
        await ui.sees("Runs (4 of 9)")
        await ui.command("save-view slow ones")
        await ui.until(lambda: "Saved as slow ones" in ui.said)
        await ui.press("escape")
        await ui.sees("Runs (9)")
        await ui.press("V")
        await ui.sees("slow ones", "lr = 0.01")
        await ui.press("enter")
        await ui.sees("Runs (4 of 9)")
        assert load_state(ui.app._state_path).views.keys() == {"slow ones"}
        await ui.press("V")
        await ui.type("delete")
        await ui.press("enter")
        await ui.until(lambda: "Deleted the view" in ui.said)

    drive(study, story)


def test_a_link_brings_back_filter_order_columns_and_cursor(study: Lab) -> None:
    links = []

    async def first(ui: Driven) -> None:
        await ui.command("filter lr < 0.5")
        await ui.command("sort acc desc")
        await ui.command("columns name,acc")
        await ui.until(lambda: screen(ui).view.columns == ("name", "acc"))
        await ui.press("j", "j", "j")
        links.append(screen(ui).place().link)

    async def second(ui: Driven) -> None:
        await ui.until(lambda: screen(ui).listed is not None and screen(ui).table.cursor == 3)
        assert screen(ui).place().link == links[0]

    drive(study, first)
    drive(study, second, links[0])


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet", "md"])
def test_what_is_shown_is_written_to_a_file(study: Lab, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"runs.{ending}"

    async def story(ui: Driven) -> None:
        await ui.command("filter model = cnn")
        await ui.sees("Runs (5 of 9)")
        await ui.command(f"export {path}")
        await ui.until(lambda: "Wrote 5 runs" in ui.said)

    drive(study, story)
    assert path.stat().st_size
    if ending == "json":
        assert len(json.loads(path.read_text())) == 5


def test_an_export_that_cannot_be_written_says_why(study: Lab, tmp_path: Path) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.command(f"export {tmp_path}/runs.xls")
        await ui.until(lambda: "xls" in ui.said)

    drive(study, story)


def test_a_pinned_run_stays_on_top(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("G", "p")
        await ui.until(lambda: names(ui)[0].endswith("cnn-0.1-1"))
        await ui.command("sort acc")
        await ui.until(lambda: names(ui)[0].endswith("cnn-0.1-1"))

    drive(study, story)


def test_a_run_that_another_process_writes_appears_and_grows(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        with start_run("digits", "live-one", lab=study, capture=False) as run:
            run.log({"acc": 0.125}, step=0)
            await ui.sees("Runs (10)", "live-one", "0.125")
            run.log({"acc": 0.25}, step=1)
            await ui.sees("0.25")
            await ui.press("f")
            await ui.sees("frozen")
            run.log({"acc": 0.375}, step=2)
            await ui.pilot.pause(1.5)
            assert "0.375" not in ui.text
            await ui.press("f")
            await ui.sees("0.375")

    drive(study, story)


def test_what_mattered_is_ranked_over_the_filter(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.command("importance acc")
        await ui.sees("What goes along with acc", "lr", "association, not cause")
        await ui.press("escape")

    drive(study, story)


def test_unknown_commands_and_commands_from_elsewhere_say_so(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.command("srot")
        await ui.until(lambda: "Did you mean sort?" in ui.said)
        await ui.command("wrap")
        await ui.until(lambda: "It works elsewhere: logs" in ui.said)
        await ui.press("c")
        await ui.until(lambda: "Mark at least two runs" in ui.said)

    drive(study, story)


def test_the_palette_finds_actions_metrics_and_runs(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("ctrl+p")
        await ui.sees("Find anything")
        await ui.type("run: cnn-0.01-2")
        await ui.sees("Run: cnn-0.01-2")
        await ui.press("enter")
        await ui.sees("[Overview]", "cnn-0.01-2")
        await ui.press("ctrl+p")
        await ui.sees("Find anything")
        await ui.type("sort runs by acc")
        await ui.press("enter")
        await ui.sees("by metrics.acc descending")

    drive(study, story)


def test_help_lists_the_keys_that_work_here_and_performs_them(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("question_mark")
        await ui.sees("Keys here", "Filter the runs as you type.")
        await ui.type("archived runs")
        await ui.press("enter")
        await ui.sees("Runs (9, archived too)")

    drive(study, story)


def test_history_goes_back_and_forth(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("enter")
        await ui.sees("[Overview]")
        await ui.press("0")
        await ui.sees("Inbox")
        await ui.press("left_square_bracket")
        await ui.sees("[Overview]")
        await ui.press("left_square_bracket")
        await ui.sees("Runs (9)")
        await ui.press("right_square_bracket")
        await ui.sees("[Overview]")
        await ui.press("minus")
        await ui.sees("Runs (9)")

    drive(study, story)


def test_a_name_is_given_to_the_run_under_the_cursor_whatever_is_marked(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        await ui.press("j", "space", "space", "g")
        await ui.sees("2 marked")
        await ui.command("rename mended")
        await ui.until(lambda: "Renamed broken to mended" in ui.said)

    drive(study, story)


@pytest.mark.parametrize("link", ["mllab://[x", "mllab:///runs/a/b/c", "mllab:///\x00", "mllab:" + "x" * 200_000])
def test_a_link_that_is_none_is_refused_in_words(study: Lab, link: str) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        assert ui.said

    drive(study, story, link)


def test_a_menu_closes_once_however_many_keys_say_so(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)")
        for opening, title in (("y", "Copy"), ("question_mark", "Keys here"), ("D", "Cancel")):
            await ui.press(opening)
            await ui.sees(title)
            for _ in range(3):
                ui.app.type_again(events.Key("escape", None))
            await ui.sees_no(title)
        await ui.sees("Runs (9)")

    drive(study, story)
