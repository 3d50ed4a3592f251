"""The list of runs by commands: filter, order, columns, pages, and which rows are meant."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from mllab.errors import FilterError, UsageError
from mllab.plain.editing import Editing
from mllab.plain.words import listed_rows, row_words
from mllab.query.filter_parser import parse
from mllab.tui.services.run_list import WHICH, Listed, RunView, answer, run_ids
from mllab.wording import plural

if TYPE_CHECKING:
    from mllab.tui.state import State

PAGE_ROWS = 20
MOST_ROWS_NAMED = 10_000


class Listing(Editing):
    """A view of the runs, a page of it, marks, and the run that was shown last."""

    def __init__(self) -> None:
        self.view = RunView()
        self.listed: Listed | None = None
        self.start = 0
        self.run_id = ""
        self.marks: list[str] = []

    def do_runs(self, argument: str) -> None:
        """Show the runs, or those that a filter chooses."""
        self.run_id = ""
        self.show_view(replace(self.view, filter=argument) if argument else self.view)

    def show_view(self, view: RunView) -> None:
        """Answer a view and say its first page."""
        self.listed = answer(self.lab.engine, view, self.state.pins, {})
        self.view, self.start = view, 0
        self.say_page()

    def say_page(self) -> None:
        """Say the present page, how much there is, and in which order."""
        listed = self.present_list()
        total = len(listed.refs)
        words = {"present": "", "archived too": ", archived ones too", "deleted": ", deleted"}[self.view.which]
        if self.view.filter:
            self.voice.say(f"{total:,} of {plural(listed.present, 'run')}{words}, filter {self.view.filter}")
        else:
            self.voice.say(f"{plural(total, 'run')}{words}")
        if listed.sorted_by is not None:
            self.voice.say(f"By {listed.sorted_by[0]}{', descending' if listed.sorted_by[1] else ''}")
        stop = min(self.start + PAGE_ROWS, total)
        rows = listed_rows(self.lab.engine, listed, self.start, stop, self.state.pins)
        for number, row in enumerate(rows, self.start + 1):
            marked = "marked, " if row.key in self.marks else ""
            self.voice.say(f"{number}. {marked}{row_words(listed, row)}")
        if self.start or stop < total:
            self.voice.say(f"Rows {self.start + 1:,} to {stop:,} of {total:,}. page-down and page-up show others.")

    def present_list(self) -> Listed:
        """Return the answer to the present view."""
        if self.listed is None:
            self.listed = answer(self.lab.engine, self.view, self.state.pins, {})
        return self.listed

    def looked_at_again(self) -> None:
        """Answer the view again; nothing is said, since what changed was."""
        self.listed = answer(self.lab.engine, self.view, self.state.pins, {})

    def do_filter(self, argument: str) -> None:
        """Choose runs; without a filter, all."""
        order = self.view.order
        with contextlib.suppress(FilterError):  # `_show` says what is wrong
            order = "" if parse(argument).order else order
        self.show_view(replace(self.view, filter=argument, order=order))

    def do_sort(self, argument: str) -> None:
        """Sort by a term."""
        if not argument:
            raise UsageError("Sort by what?", "Write sort loss, or sort acc desc.")
        parse(f"order by {argument}")
        query = parse(self.view.filter)
        # An order within the filter gives way to the one that was asked for last.
        text = str(replace(query, order=())) if query.order else self.view.filter
        self.show_view(replace(self.view, filter=text, order=argument))

    def do_columns(self, argument: str) -> None:
        """Name the columns; without any, the usual ones."""
        columns = tuple(each.strip() for each in argument.split(",") if each.strip())
        self.show_view(replace(self.view, columns=columns))
        self.change_state(lambda state: setattr(state, "columns", list(columns)))

    def do_which(self, argument: str) -> None:
        """Show archived runs too, then deleted ones, then neither; or those that are named."""
        wanted = next((each for each in WHICH if each == argument), None)
        if argument and wanted is None:
            raise UsageError(f"There is no choice {argument[:40]!r}.", f"One of: {', '.join(WHICH)}.")
        self.show_view(replace(self.view, which=wanted or WHICH[(WHICH.index(self.view.which) + 1) % len(WHICH)]))

    def do_page_down(self, _: str) -> None:
        """Say the next rows."""
        if self.start + PAGE_ROWS >= len(self.present_list().refs):
            self.voice.say("There are no more rows.")
            return
        self.start += PAGE_ROWS
        self.say_page()

    def do_page_up(self, _: str) -> None:
        """Say the rows before."""
        if not self.start:
            self.voice.say("These are the first rows.")
            return
        self.start = max(self.start - PAGE_ROWS, 0)
        self.say_page()

    def do_top(self, _: str) -> None:
        """Say the first rows."""
        self.start = 0
        self.say_page()

    def do_bottom(self, _: str) -> None:
        """Say the last rows."""
        self.start = max(len(self.present_list().refs) - 1, 0) // PAGE_ROWS * PAGE_ROWS
        self.say_page()

    # -- which runs are meant --------------------------------------------------------------------------------

    def ids_of(self, argument: str) -> list[str]:
        """Return the runs in rows such as ``3 5-7``."""
        listed = self.present_list()
        wanted = numbers(argument, len(listed.refs), "row")
        found: list[str] = []
        for number in wanted:
            found += [row.key for row in listed_rows(self.lab.engine, listed, number - 1, number, ())]
        return found

    def targets(self, argument: str = "") -> list[str]:
        """Return the runs in the named rows, else the marked ones, else the one that was shown last."""
        if argument:
            return self.ids_of(argument)
        return list(self.marks) or ([self.run_id] if self.run_id else [])

    def do_mark(self, argument: str) -> None:
        """Mark rows, or take their marks away."""
        for run in self.ids_of(argument):
            if run in self.marks:
                self.marks.remove(run)
            else:
                self.marks.append(run)
        self.voice.say(f"{plural(len(self.marks), 'run')} marked.")

    def do_mark_all(self, _: str) -> None:
        """Mark every run that the filter chooses."""
        self.marks = run_ids(self.lab.engine, self.present_list())
        self.voice.say(f"{plural(len(self.marks), 'run')} marked.")

    def do_mark_none(self, _: str) -> None:
        """Take all marks away."""
        self.marks = []
        self.voice.say("No run is marked.")

    def do_pin(self, argument: str) -> None:
        """Keep runs on top of every list, or let them go."""
        runs = self.targets(argument)
        if not runs:
            raise UsageError("Which run?", "Write pin and the number of a row.")

        def change(state: State) -> None:
            for run in runs:
                if run in state.pins:
                    state.pins.remove(run)
                else:
                    state.pins.append(run)

        self.change_state(change)
        self.show_view(self.view)


def numbers(text: str, most: int, what: str) -> list[int]:
    """Return numbers such as ``3 5-7``, each once.

    Raises:
        UsageError: it is something else, or there is no such row or item.

    >>> numbers("3, 5-7 6", 9, "row")
    [3, 5, 6, 7]
    """
    found: dict[int, None] = {}
    for piece in text.replace(",", " ").split():
        first, dash, last = piece.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"{piece[:40]!r} is no number.", f"Name each {what} by its number, such as 3 5-7.")
        if not 1 <= int(first) <= int(last or first) <= most:
            raise UsageError(f"There is no {what} {piece[:40]}.", f"There are {most:,}.")
        found |= dict.fromkeys(range(int(first), int(last or first) + 1))
        if len(found) > MOST_ROWS_NAMED:
            raise UsageError(f"These are more than {MOST_ROWS_NAMED:,}.", "mark-all marks every run of the list.")
    if not found:
        raise UsageError(f"Which {what}?", f"Name each {what} by its number, such as 3 5-7.")
    return list(found)
