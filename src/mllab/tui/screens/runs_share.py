"""What leaves the list of runs: copies, files, saved views, comparisons, and what mattered."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from mllab.errors import MllabError, UsageError
from mllab.exporting import FORMATS, format_of, whole_file, write_runs
from mllab.query.comparison import MAX_RUNS
from mllab.tui.acting import complain, find, in_background
from mllab.tui.place import Place, parse_link
from mllab.tui.screens.chooser import Choice, Chooser
from mllab.tui.screens.copying import CopyingScreen
from mllab.tui.screens.editing import EditingScreen
from mllab.tui.screens.table_actions import TableActions
from mllab.tui.services.list_copies import list_command, list_python
from mllab.tui.services.run_list import run_ids
from mllab.wording import plural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mllab.query.engine import Engine
    from mllab.tui.services.run_list import Listed, RunList, RunView

T = TypeVar("T")
MOST_FOLDED = 500
# Keys wait so long for what is read, so that one that follows at once finds it done.
AT_ONCE_S = 0.1
SAY_AFTER_S = 0.4


class SharingActions(EditingScreen, TableActions, CopyingScreen):
    """What can be done with the list as a whole."""

    view: RunView
    listed: Listed | None
    source: RunList | None

    def __init__(self) -> None:
        super().__init__()
        # What is being read beside the keys, in words, by group.
        self._slow: dict[str, str] = {}

    async def show_view(self, view: RunView, *, keep_columns: bool = False) -> bool:
        """Show a view."""
        raise AssertionError((view, keep_columns))

    # -- what takes long -------------------------------------------------------------------------------------

    async def read_beside(
        self, group: str, what: str, reading: Awaitable[T], then: Callable[[T], Awaitable[None]]
    ) -> None:
        """Read something, then do something with it; beside the keys where reading takes long.

        Esc ends what is being read, and so does another action of the same group: then nothing is done.
        """
        self.workers.cancel_group(self, group)
        task = asyncio.ensure_future(reading)
        done, _ = await asyncio.wait({task}, timeout=AT_ONCE_S)
        if done:
            await then(task.result())
            return
        self._slow[group] = what
        in_background(self, group, self._finish, group, what, task, then)

    async def _finish(
        self, group: str, what: str, task: asyncio.Future[T], then: Callable[[T], Awaitable[None]]
    ) -> None:
        try:
            done, _ = await asyncio.wait({task}, timeout=SAY_AFTER_S)
            if not done:
                self.app.notify(f"Reading {what} ... Esc ends it.", markup=False)
            found = await task
            self._slow.pop(group, None)
            await then(found)
        except MllabError as error:
            complain(self.app, error)
        finally:
            task.cancel()
            self._slow.pop(group, None)

    async def close_something(self) -> bool:
        """Close the prompt, or end what is being read."""
        if await super().close_something():
            return True
        if not self._slow:
            return False
        for group, what in list(self._slow.items()):
            self.workers.cancel_group(self, group)
            self.app.notify(f"No longer reading {what}.", markup=False)
        self._slow.clear()
        return True

    # -- copies ----------------------------------------------------------------------------------------------

    def copies(self) -> list[Choice]:
        """Return what can be copied."""
        targets = self.targets()
        terms = self.listed.terms if self.listed is not None else ()
        root = self.mllab.reader.lab.root
        command, python = list_command(root, self.view, terms), list_python(root, self.view, terms)
        return [
            Choice("\n".join(targets), "i  the id" + ("s of the marked runs" if len(targets) > 1 else ""), "id"),
            Choice(self.place().link, "l  a link to this view", "link"),
            Choice(Place("run", targets[0]).link if targets else "", "r  a link to the run", "run"),
            Choice(command, "c  the command line that prints this", "command"),
            Choice(python, "p  the Python that gives this as a frame", "python"),
            Choice("", "t  the rows on screen, tab-separated", "tsv"),
        ]

    def copied_text(self, choice: Choice) -> str:
        """Return the text of a choice; the rows are those that are in sight when it is chosen."""
        return self._rows_as_text() if choice.remark == "tsv" else choice.value

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
        columns = [str(term) for term in self.listed.terms]
        wanted = threading.Event()
        wanted.set()
        writing = self.mllab.reader.call(
            _write, self.mllab.reader.lab.engine, self.view, columns, argument, wanted.is_set
        )

        async def say(written: tuple[int, str]) -> None:
            self.app.notify(f"Wrote {plural(written[0], 'run')} to {written[1]}", markup=False)

        await self.read_beside("export", "what is exported", _ended_with(writing, wanted.clear), say)

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
        marked = len(self.table.marks)
        if marked > MAX_RUNS:
            return f"{marked:,} runs are marked; at most {MAX_RUNS} can be seen beside each other. u takes marks away."
        return "" if marked > 1 else "Mark at least two runs with Space."

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
        if runs or self.listed is None:
            if len(runs) > MOST_FOLDED:
                raise UsageError(f"{len(runs):,} runs are marked; at most {MOST_FOLDED} are taken together.",
                                 "u takes all marks away.")  # fmt: skip
            await self._fold(runs)
            return
        if len(self.listed.refs) > MOST_FOLDED:
            self.app.notify(f"The first {MOST_FOLDED} runs of the list are taken; a filter chooses others.")
        reading = self.mllab.reader.call(run_ids, self.mllab.reader.lab.engine, self.listed, MOST_FOLDED)
        await self.read_beside("elsewhere", "the runs of the list", reading, self._fold)

    async def _fold(self, runs: list[str]) -> None:
        if not self.is_current:
            return  # one went on meanwhile, and is not taken away from there
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
        reading = self.mllab.reader.call(
            mattered_choices, self.mllab.reader.lab.engine, self.listed.state, self.listed.refs, metric
        )
        await self.read_beside("elsewhere", f"what goes along with {metric}", reading, self._importance_read)

    async def _importance_read(self, found: tuple[str, list[Choice]]) -> None:
        if self.is_current:
            self.mllab.hold_keys()
            in_background(self, "menu", self._show_importance, *found)

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


async def _ended_with(reading: Awaitable[T], end: Callable[[], None]) -> T:
    """Wait for what a thread does, and tell it when nobody does any more."""
    try:
        return await reading
    finally:
        end()


def _write(
    engine: Engine, view: RunView, columns: list[str], argument: str, is_wanted: Callable[[], bool]
) -> tuple[int, str]:
    """Write a view to a file; return how many runs, and its path. What is not wanted any more does not appear."""
    path = os.path.abspath(os.path.expanduser(argument))
    kind = format_of(path, FORMATS)
    if kind is None:
        endings = ", ".join(f".{each}" for each in FORMATS)
        raise UsageError(f"The ending of {path} names no format.", f"Let it end in one of {endings}.")
    with whole_file(path) as stream:
        count = write_runs(engine, view.text, columns, kind, stream, which=view.which)
        if not is_wanted():
            raise UsageError(f"{path} is not written: it was ended.", "Export again.")
    return count, path
