"""A session in plain mode: commands by the names that the terminal UI's `:` takes, and what they say."""

from __future__ import annotations

import os
import time
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mllab.errors import MllabError, UsageError
from mllab.exporting import write_runs_file
from mllab.plain.asking import Asking
from mllab.plain.following import follow_run, follow_runs
from mllab.plain.listing import Listing, numbers
from mllab.plain.words import comparison_words, detail_words, item_words
from mllab.query.comparison import compare
from mllab.query.filter_complete import complete
from mllab.query.filter_terms import ATTRIBUTES
from mllab.query.inbox import Item, attention
from mllab.query.run_detail import run_detail
from mllab.query.select import EngineKeys
from mllab.tui.actions import ACTIONS, Action
from mllab.tui.journal import Journal
from mllab.tui.place import Place, parse_link
from mllab.tui.services.run_list import WHICH, RunView
from mllab.tui.state import Memory, state_path
from mllab.wording import plural

if TYPE_CHECKING:
    from mllab.lab import Lab
    from mllab.plain.voice import Voice
    from mllab.query.views import Which
    from mllab.tui.state import State

_SCOPES = ("app", "runs", "table", "run", "inbox")
# What these take here, where there is no cursor to point with.
TAKES = {
    "show": "ROW", "mark": "ROWS", "archive": "[ROWS]", "delete": "[ROWS]", "pin": "[ROWS]", "acknowledge": "ITEMS",
    "snooze": "ITEMS", "filter": "[FILTER]", "sort": "TERM [desc]", "columns": "[A,B,...]", "export": "FILE",
    "compare": "[RUN ...]", "note": "[TEXT]", "which": "[present|archived too|deleted]",
}  # fmt: skip
SYNONYMS = {
    "q": "quit", "exit": "quit", "h": "help", "?": "help", "r": "runs", "cmp": "compare", "next": "page-down",
    "previous": "page-up", "n": "page-down", "p": "page-up", "/": "filter",
}  # fmt: skip
SNOOZE_S = 86_400


class PlainSession(Listing):
    """The lab, a voice, and where one is: a view of the runs, a page of it, perhaps a run.

    Args:
        lab: the lab.
        voice: says everything.
    """

    def __init__(self, lab: Lab, voice: Voice) -> None:
        super().__init__()
        self.lab = lab
        self.voice = voice
        self.state_path = state_path(str(lab.store.layout.check_format()["store_id"]))
        self.memory = Memory(self.state_path)
        self.state = self.memory.state
        self.journal = Journal(self.state_path)
        self.asking = Asking(os.path.join(os.path.dirname(self.state_path), "plain-history"), self.completions)
        self.view = RunView(columns=tuple(self.state.columns))
        self.items: list[Item] = []
        self.is_over = False
        self.status = 0  # of the first command that failed

    def run(self, link: str | None) -> int:
        """Take commands until the end; return the exit status: at a terminal 0, else that of the first failure."""
        try:
            self.perform("open", link) if link else self.perform("runs", "")
            if self.asking.is_interactive:
                self.voice.say("Type help for the commands, quit to leave.")
            while not self.is_over:
                try:
                    text = self.asking.line()
                except KeyboardInterrupt:
                    if not self.asking.is_interactive:
                        raise
                    self.voice.say("")
                    continue
                if text is None:
                    break
                self.command(text)
        finally:
            self.asking.close()
        return 0 if self.asking.is_interactive else self.status

    def command(self, text: str) -> None:
        """Perform what a line says; a line that begins with # is a remark."""
        name, _, argument = text.strip().removeprefix(":").strip().partition(" ")
        if text.strip().startswith("/"):
            name, argument = "filter", text.strip()[1:]
        if name and not name.startswith("#"):
            self.perform(SYNONYMS.get(name, name), argument.strip())

    def perform(self, name: str, argument: str) -> None:
        """Perform an action of the table, and say what went wrong where something did."""
        try:
            action = self.offered().get(name)
            if action is None:
                raise self._unknown(name)
            getattr(self, action.method)(argument)
        except MllabError as error:
            self.status = self.status or error.exit_status
            self.voice.complain(error)
        except KeyboardInterrupt:
            if not self.asking.is_interactive:
                raise
            self.voice.say("Stopped.")

    def offered(self) -> dict[str, Action]:
        """Return the actions that plain mode has, by name."""
        found: dict[str, Action] = {}
        for scope in _SCOPES:
            for action in ACTIONS:
                if action.scope == scope and hasattr(self, action.method):
                    found.setdefault(action.name, action)
        return found

    def _unknown(self, name: str) -> UsageError:
        known = next((action for action in ACTIONS if action.name == name), None)
        if known is not None:
            return UsageError(f"{name} works in the terminal UI alone.", "help lists what works here.")
        close = get_close_matches(name, self.offered(), 1)
        return UsageError(
            f"There is no command {name[:60]!r}.", f"Did you mean {close[0]}?" if close else "help lists the commands."
        )

    def completions(self, before: str) -> list[tuple[str, int]]:
        """Return what can stand at the end of a line that is being typed, each with where it begins."""
        name, space, argument = before.partition(" ")
        if not space:
            return [(f"{each} ", 0) for each in sorted(self.offered()) if each.startswith(name)]
        at = len(name) + 1
        name = SYNONYMS.get(name, name)
        engine = self.lab.engine
        if name in ("filter", "runs"):
            return [(each.text, at + each.start) for each in complete(argument, len(argument), EngineKeys(engine))]
        if name in ("sort", "columns"):
            word = argument.rpartition(",")[2].lstrip()
            names = [*sorted(engine.keys("summaries")), *sorted(engine.keys("params")), *ATTRIBUTES]
            return [(each, len(before) - len(word)) for each in names if each.startswith(word)]
        if name in ("open", "compare"):
            word = argument.rpartition(" ")[2]
            rows = engine.rows(
                "SELECT DISTINCT name FROM r_runs WHERE deleted IS NULL AND starts_with(name, ?) LIMIT 100", [word]
            )
            return [(str(each), len(before) - len(word)) for (each,) in rows]
        if name == "views":
            return [(each, at) for each in sorted(self.state.views) if each.startswith(argument)]
        return []

    # -- a run, several runs, the inbox ----------------------------------------------------------------------

    def do_show(self, argument: str) -> None:
        """Say everything about the run in a row."""
        if not argument.isdigit():
            raise UsageError("Which row?", "Write show and the number of a row; open takes a name or an id.")
        (run,) = self.ids_of(argument)
        self._say_run(run)

    def _say_run(self, run: str) -> None:
        detail = run_detail(self.lab.engine, run, spark_cells=0)
        self.run_id = detail.run.run_id
        for each in detail_words(detail):
            self.voice.say(each)

    def do_open(self, argument: str) -> None:
        """Say what a link shows, or everything about a run, by id or name."""
        if not argument:
            raise UsageError("Which run?", "Write open and its id, its name or a link.")
        place = parse_link(argument)
        state = place.state
        if place.screen == "run":
            self._say_run(place.subject)
        elif place.screen == "compare":
            self.do_compare(state.get("runs", ""))
        elif place.screen == "inbox":
            self.do_inbox("")
        else:
            self.run_id = ""
            which: Which = next((each for each in WHICH if each == state.get("which")), "present")
            columns = tuple(each for each in state.get("columns", "").split(",") if each) or self.view.columns
            self.show_view(RunView(state.get("filter", ""), state.get("order", ""), columns, which))

    def do_compare(self, argument: str) -> None:
        """Compare runs by id or name, or the marked ones."""
        runs = argument.replace(",", " ").split() or self.marks
        for each in comparison_words(compare(self.lab.engine, runs)):
            self.voice.say(each)

    def do_inbox(self, _: str) -> None:
        """Say what needs attention and was not seen."""
        self._say_inbox(everything=False)

    def do_all(self, _: str) -> None:
        """Say items that were seen or put off too."""
        self._say_inbox(everything=True)

    def _say_inbox(self, *, everything: bool) -> None:
        self.memory.refresh()
        seen, now_s = self.state.seen, time.time()
        found = attention(self.lab.engine)
        hidden = {each.id for each in found if each.id in seen and (seen[each.id] == 0 or seen[each.id] > now_s)}
        self.items = [each for each in found if everything or each.id not in hidden]
        self.voice.say(f"{plural(len(self.items), 'item')} in the inbox" if self.items else "Nothing needs attention.")
        for number, item in enumerate(self.items, 1):
            self.voice.say(f"{number}. {'seen, ' if item.id in hidden else ''}{item_words(item)}")

    def do_acknowledge(self, argument: str) -> None:
        """Take items out of the inbox, or put them back."""
        items = [self.items[number - 1] for number in numbers(argument, len(self.items), "item")]

        def change(state: State) -> None:
            for item in items:
                if state.seen.pop(item.id, None) is None:
                    state.seen[item.id] = 0

        self.change_state(change)
        self.do_inbox("")

    def do_snooze(self, argument: str) -> None:
        """Hide items until tomorrow."""
        items = [self.items[number - 1] for number in numbers(argument, len(self.items), "item")]
        self.change_state(lambda state: state.seen.update({item.id: time.time() + SNOOZE_S for item in items}))
        self.do_inbox("")

    # -- the rest --------------------------------------------------------------------------------------------

    def do_back(self, _: str) -> None:
        """Go back to the list."""
        self.run_id = ""
        self.say_page()

    def do_follow(self, _: str) -> None:
        """Say what happens: the lines of the run that was shown last, else runs that begin and end."""
        if self.run_id:
            follow_run(self.lab.engine, self.run_id, self.voice)
        else:
            follow_runs(self.lab.engine, self.voice, until_idle=not self.asking.is_interactive)

    def do_export(self, argument: str) -> None:
        """Write what is listed to a file."""
        if not argument:
            raise UsageError("To which file?", "Write export runs.csv; json, jsonl, parquet and md are written too.")
        path = os.path.abspath(os.path.expanduser(argument))
        columns = [str(term) for term in self.present_list().terms]
        count = write_runs_file(self.lab.engine, self.view.text, columns, path, which=self.view.which)
        self.voice.say(f"Wrote {plural(count, 'run')} to {path}")

    def do_link(self, _: str) -> None:
        """Say a link to this view."""
        self.voice.say(self._place().link)

    def _place(self) -> Place:
        view = self.view
        state = {"filter": view.filter, "order": view.order, "columns": ",".join(view.columns),
                 "which": "" if view.which == "present" else view.which}  # fmt: skip
        return Place("run", self.run_id) if self.run_id else Place("runs", "", state)

    def do_save_view(self, argument: str) -> None:
        """Save filter, columns and order under a name."""
        if not argument:
            raise UsageError("Under which name?", "Write save-view NAME.")
        link = self._place().link
        self.change_state(lambda state: state.views.__setitem__(argument[:80], link))
        self.voice.say(f"Saved as {argument[:80]}; views {argument[:80]} opens it.")

    def do_views(self, argument: str) -> None:
        """Open a saved view, or name them."""
        self.memory.refresh()
        if not argument:
            self.voice.say(f"{plural(len(self.state.views), 'saved view')}")
            for name in sorted(self.state.views):
                self.voice.say(name)
            return
        if argument not in self.state.views:
            raise UsageError(f"There is no view {argument[:60]!r}.", "save-view NAME saves this one.")
        self.do_open(self.state.views[argument])

    def do_help(self, argument: str) -> None:
        """Say the commands, or what one does."""
        offered = self.offered()
        name = SYNONYMS.get(argument, argument)
        if argument and name not in offered:
            raise self._unknown(argument)
        for action in [offered[name]] if argument else offered.values():
            takes = TAKES.get(action.name, action.argument)
            about = (getattr(self, action.method).__doc__ or "").split("\n")[0]
            self.voice.say(f"{action.name}{f' {takes}' if takes else ''}: {about}")
        if not argument:
            self.voice.say("ROWS are numbers such as 3 5-7. Without them a command is about the marked runs,")
            self.voice.say("or else the run that was shown last. Ctrl-C stops follow; the end of the input leaves.")

    def do_quit(self, _: str) -> None:
        """Leave; runs go on."""
        self.is_over = True
