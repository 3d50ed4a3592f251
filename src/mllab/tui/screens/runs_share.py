"""What leaves the list of runs: copies, files, saved views, comparisons, and what mattered."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from mllab.errors import UsageError
from mllab.exporting import FORMATS, write_runs_file
from mllab.tui.acting import find, in_background
from mllab.tui.place import Place, parse_link
from mllab.tui.screens.chooser import Choice, Chooser
from mllab.tui.screens.editing import EditingScreen
from mllab.tui.screens.table_actions import TableActions
from mllab.tui.services.run_list import run_ids
from mllab.wording import plural

if TYPE_CHECKING:
    from mllab.tui.services.run_list import Listed, RunList, RunView

MOST_FOLDED = 500


class SharingActions(EditingScreen, TableActions):
    """What can be done with the list as a whole."""

    view: RunView
    listed: Listed | None
    source: RunList | None

    async def show_view(self, view: RunView, *, keep_columns: bool = False) -> bool:
        """Show a view."""
        raise AssertionError((view, keep_columns))

    # -- copies ----------------------------------------------------------------------------------------------

    def copies(self) -> list[Choice]:
        """Return what can be copied."""
        targets = self.targets()
        lab = shlex.quote(self.mllab.reader.lab.root)
        columns = [str(term) for term in self.listed.terms] if self.listed is not None else []
        command = f"mllab runs ls --lab {lab} --columns {shlex.quote(','.join(columns))}"
        text = self.view.text
        if text:
            command += f" {shlex.quote(text)}"
        if self.view.which == "archived too":
            command += " --all"
        elif self.view.which == "deleted":
            command += " --deleted"
        python = f"mllab.runs({text!r}, lab={self.mllab.reader.lab.root!r})"
        if self.view.which == "archived too":
            python = f"{python[:-1]}, include_archived=True)"
        return [
            Choice("\n".join(targets), "i  the id" + ("s of the marked runs" if len(targets) > 1 else ""), "id"),
            Choice(self.place().link, "l  a link to this view", "link"),
            Choice(Place("run", targets[0]).link if targets else "", "r  a link to the run", "run"),
            Choice(command, "c  the command line that prints this", "command"),
            Choice(python, "p  the Python that gives this as a frame", "python"),
            Choice("", "t  the rows on screen, tab-separated", "tsv"),
        ]

    async def do_copy(self, argument: str) -> None:
        """Copy something."""
        choices = self.copies()
        if argument:
            for choice in choices:
                if choice.remark == argument:
                    await self._copy(choice)
                    return
            raise UsageError(f"There is no {argument[:40]!r} to copy.", ", ".join(choice.remark for choice in choices))
        self.mllab.hold_keys()
        in_background(self, "menu", self._choose_copy, choices)

    async def _choose_copy(self, choices: list[Choice]) -> None:
        numbered = [replace(choice, value=str(at)) for at, choice in enumerate(choices)]
        chosen = await self.app.push_screen_wait(Chooser("Copy", numbered))
        if chosen:
            await self._copy(choices[int(chosen[0])])

    async def _copy(self, choice: Choice) -> None:
        text = self._rows_as_text() if choice.remark == "tsv" else choice.value
        await self.mllab.copy_text(text, f"Copied {choice.text[3:]}")

    def _rows_as_text(self) -> str:
        """Return the rows that are in sight, or the marked ones among those read, with a heading."""
        table, source = self.table, self.source
        if source is None:
            return ""
        first = round(table.scroll_y)
        rows = [source.row(index) for index in range(first, min(first + table.size.height, len(source)))]
        lines = ["\t".join(column.title for column in table.columns)]
        lines += ["\t".join(cell.text.replace("\t", " ") for cell in row.cells) for row in rows if row is not None]
        return "\n".join(lines)

    # -- files -----------------------------------------------------------------------------------------------

    async def do_export(self, argument: str) -> None:
        """Write what is shown to a file."""
        if not argument:
            self.ask_argument(find("export", ("runs",)), "file", "runs.csv", hint=f"NAME.{'|'.join(FORMATS)}")
            return
        if self.listed is None:
            return
        path = await self.mllab.reader.call(lambda: os.path.abspath(os.path.expanduser(argument)))
        engine = self.mllab.reader.lab.engine
        columns = [str(term) for term in self.listed.terms]
        which = self.view.which
        count = await self.mllab.reader.call(
            lambda: write_runs_file(engine, self.view.text, columns, path, which=which)
        )
        self.app.notify(f"Wrote {plural(count, 'run')} to {path}", markup=False)

    # -- saved views -----------------------------------------------------------------------------------------

    async def do_save_view(self, argument: str) -> None:
        """Save the view under a name."""
        if not argument:
            self.ask_argument(find("save-view", ("runs",)), "name of the view")
            return
        self.mllab.state.views[argument[:80]] = self.place().link
        self.mllab.remember()
        self.app.notify(f"Saved as {argument[:80]}; V opens it.", markup=False)

    async def do_views(self, argument: str) -> None:
        """Open a saved view."""
        views = self.mllab.state.views
        if argument:
            if argument not in views:
                raise UsageError(f"There is no view {argument[:60]!r}.", ":save-view NAME saves this one.")
            await self.mllab.go(parse_link(views[argument]))
            return
        self.mllab.hold_keys()
        in_background(self, "menu", self._choose_view)

    def complete_views(self, argument: str) -> list[tuple[str, int, str]]:
        """Return the views that begin so."""
        return [(name, 0, "") for name in sorted(self.mllab.state.views) if name.startswith(argument)]

    async def _choose_view(self) -> None:
        views = self.mllab.state.views
        choices = [Choice(f"open {name}", name, parse_link(link).state.get("filter", "all runs")) for name, link in
                   sorted(views.items())]  # fmt: skip
        choices += [Choice("save", "Save this view ...", "")]
        choices += [Choice(f"drop {name}", f"Delete the view {name}", "") for name in sorted(views)]
        chosen = await self.app.push_screen_wait(Chooser("Saved views", choices))
        if not chosen:
            return
        verb, _, name = chosen[0].partition(" ")
        if verb == "open":
            await self.mllab.go(parse_link(views[name]))
        elif verb == "save":
            await self.do_save_view("")
        else:
            del views[name]
            self.mllab.remember()
            self.app.notify(f"Deleted the view {name}.", markup=False)

    # -- comparing -------------------------------------------------------------------------------------------

    def why_not_compare_marked(self) -> str:
        """Comparing takes two."""
        return "" if len(self.table.marks) > 1 else "Mark at least two runs with Space."

    async def do_compare_marked(self, _: str) -> None:
        """Compare the marked runs, the one under the cursor first when it is one of them."""
        runs = self.targets()
        row = self.table.cursor_row
        if row is not None and row.key in runs:
            runs.remove(row.key)
            runs.insert(0, row.key)
        await self.mllab.go(Place("compare", "", {"runs": ",".join(runs)}))

    async def do_fold(self, _: str) -> None:
        """Compare the marked runs, or those that are listed, with those of other seeds taken together."""
        runs = sorted(self.table.marks)
        if not runs and self.listed is not None:
            runs = await self.mllab.reader.call(run_ids, self.mllab.reader.lab.engine, self.listed, MOST_FOLDED)
            if len(self.listed.refs) > MOST_FOLDED:
                self.app.notify(f"The first {MOST_FOLDED} runs of the list are taken; a filter chooses others.")
        if len(runs) < 2:
            raise UsageError("There are fewer than two runs.", "Mark some with Space, or change the filter.")
        await self.mllab.go(Place("compare", "", {"runs": ",".join(runs), "fold": "1"}))

    async def do_baseline(self, _: str) -> None:
        """Make the run under the cursor the first of the comparison."""
        row = self.table.cursor_row
        if row is None:
            return
        state = dict(self.mllab.history.newest("compare"))
        others = [run for run in state.get("runs", "").split(",") if run and run != row.key]
        await self.mllab.go(Place("compare", "", {**state, "runs": ",".join([row.key, *others])}))

    async def do_pin(self, _: str) -> None:
        """Keep the run on top, or let it go."""
        state = self.mllab.state
        for run in self.targets():
            if run in state.pins:
                state.pins.remove(run)
            else:
                state.pins.append(run)
        self.mllab.remember()
        await self.show_view(self.view, keep_columns=True)

    # -- what mattered ---------------------------------------------------------------------------------------

    async def do_importance(self, argument: str) -> None:
        """Rank the params by their association with a metric over what the filter chooses."""
        from mllab.tui.services.importance_text import mattered_choices  # numpy, which the first frame does not need

        metric = argument or self._metric()
        if not metric:
            self.ask_argument(find("importance", ("runs",)), "metric")
            return
        if self.listed is None:
            return
        title, choices = await self.mllab.reader.call(
            mattered_choices, self.mllab.reader.lab.engine, self.listed.state, self.listed.refs, metric
        )
        self.mllab.hold_keys()
        in_background(self, "menu", self._show_importance, title, choices)

    async def _show_importance(self, title: str, choices: list[Choice]) -> None:
        chosen = await self.app.push_screen_wait(Chooser(title, choices, hint="Enter sorts by the param"))
        if chosen:
            await self.show_view(replace(self.view, order=chosen[0]))

    def _metric(self) -> str:
        """Return the metric that is looked at: the selected column's, else the sorted one, else the first shown."""
        terms = self.listed.terms if self.listed is not None else ()
        at = self.table.selected_column
        metrics = [term.key for term in terms if term.kind == "metric"]
        if 0 <= at < len(terms) and terms[at].kind == "metric":
            return terms[at].key
        by = self.listed.sorted_by[0] if self.listed is not None and self.listed.sorted_by else ""
        return next((term.key for term in terms if str(term) == by and term.kind == "metric"), (*metrics, "")[0])
