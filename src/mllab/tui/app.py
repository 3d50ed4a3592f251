"""The terminal UI: its screens, the way between them, and what is common to all: edits with undo, copying, themes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any, ClassVar

from mllab.errors import MllabError, UsageError
from mllab.query.views import find_run
from mllab.tui.acting import Acting, bindings, complain, in_background
from mllab.tui.clipboard import copy_aside
from mllab.tui.journal import Journal, carry_out, replay
from mllab.tui.keymap import keymap_path, load_keymap
from mllab.tui.place import History, Place, parse_link
from mllab.tui.screens.lab_screen import LabScreen
from mllab.tui.screens.menus import ask_action, ask_help, ask_messages, ask_palette
from mllab.tui.screens.runs import RunsScreen
from mllab.tui.services.reader import Reader
from mllab.tui.services.run_list import Listed, neighbour
from mllab.tui.state import Memory, save_or_error, state_path
from mllab.tui.themes import ThemedApp
from mllab.tui.typeahead import TypeaheadApp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.binding import BindingType
    from textual.screen import Screen

    from mllab.edits import Edit
    from mllab.lab import Lab
    from mllab.tui.state import State

FOLLOW_S = 1.0
MOST_PAST = 50
# Textual takes an empty text for no change; this is the name of a key that no terminal sends.
NO_KEY = "unbound"


# The first frame need not wait for the modules of other screens, nor for numpy that their charts are drawn with.


def _run_screen() -> Screen[Any]:
    from mllab.tui.screens.run import RunScreen

    return RunScreen()


def _compare_screen() -> Screen[Any]:
    from mllab.tui.screens.compare import CompareScreen

    return CompareScreen()


def _inbox_screen() -> Screen[Any]:
    from mllab.tui.screens.inbox import InboxScreen

    return InboxScreen()


class MllabApp(TypeaheadApp[None], ThemedApp[None], Acting):
    """mllab's terminal UI on one lab.

    Args:
        lab: the lab; its store is there.
        link: where to begin: a link, or a run by id or name; where the last session ended when None.

    Raises:
        ConfigError: the user's file of keys is wrong.
    """

    TITLE = "mllab"
    ENABLE_COMMAND_PALETTE = False
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "runs": RunsScreen,
        "run": _run_screen,
        "compare": _compare_screen,
        "inbox": _inbox_screen,
    }
    DEFAULT_MODE = "runs"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    scopes = ("app",)

    def __init__(self, lab: Lab, link: str | None = None) -> None:
        super().__init__()
        self.reader = Reader(lab)
        self._link = link
        self._state_path = state_path(str(lab.store.layout.check_format()["store_id"]))
        self.memory = Memory(self._state_path)
        self.state = self.memory.state
        self.journal = Journal(self._state_path)
        self._remembering: set[asyncio.Task[None]] = set()
        self.keys = load_keymap(keymap_path())
        self.history = History()
        self.is_following = True
        self.past_commands: list[str] = []
        self.said: list[tuple[str, str]] = []
        self.listed: Listed | None = None  # what the list of runs showed last
        self._is_refreshing = False
        if self.state.theme in self.available_themes:
            self.theme = self.state.theme

    async def on_mount(self) -> None:
        """Go to where the link says, or where the last session ended."""
        self.set_keymap({name: ",".join(keys) or NO_KEY for name, keys in self.keys.items()})
        self.set_interval(FOLLOW_S, self._follow)
        self.call_later(self._begin)

    async def _begin(self) -> None:
        text = self._link if self._link is not None else self.state.place
        try:
            await self.go(parse_link(text) if text else Place("runs"))
        except MllabError as error:
            if self._link is not None:  # of the last session, a run that is gone is not worth a word
                complain(self, error)
            await self.go(Place("runs"))

    def exit(self, *args: Any, **more: Any) -> None:
        """Remember the session, and leave: for a key, a signal or an error alike."""
        with contextlib.suppress(Exception):  # whatever is wrong with the session, leaving must work
            self._leave()
            self.remember()
        super().exit(*args, **more)

    async def on_unmount(self) -> None:
        """End the threads, when what is to be remembered is written."""
        await asyncio.gather(*self._remembering, return_exceptions=True)
        self.reader.close()

    @property
    def lab_screen(self) -> LabScreen | None:
        """The main screen that is shown, below what is open on top of it."""
        stack = self.screen_stack
        return stack[0] if stack and isinstance(stack[0], LabScreen) else None

    # -- places ----------------------------------------------------------------------------------------------

    async def go(self, place: Place) -> None:
        """Go to a place, and remember where one was.

        Raises:
            NotFoundError: there is no such run.
            AmbiguousError: there are several.
        """
        if place.screen == "run":
            _, run_id = await self.reader.call(find_run, self.reader.lab.engine, place.subject)
            place = Place("run", run_id, place.state)
        self._leave()
        self.history.go(place)
        await self._show(place)

    def _leave(self) -> None:
        screen = self.lab_screen
        if screen is not None and screen.is_mounted and self.history.present is not None:
            self.history.update(screen.place())

    async def _show(self, place: Place) -> None:
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        await self.switch_mode(place.screen)
        screen = self.lab_screen
        assert screen is not None
        await screen.arrive(place)
        screen.show_bars()

    async def _walk(self, place: Place | None, otherwise: str) -> None:
        if place is None:
            self.notify(otherwise, severity="warning")
        else:
            await self._show(place)

    async def do_runs(self, argument: str) -> None:
        """Go to the runs."""
        await self.go(Place("runs", "", {"filter": argument} if argument else self._state_of("runs")))

    async def do_compare(self, argument: str) -> None:
        """Go to the comparison."""
        runs = ",".join(argument.replace(",", " ").split())
        await self.go(Place("compare", "", {"runs": runs} if runs else self._state_of("compare")))

    async def do_inbox(self, _: str) -> None:
        """Go to the inbox."""
        await self.go(Place("inbox", "", self._state_of("inbox")))

    def _state_of(self, name: str) -> dict[str, str]:
        """Return how a screen looked when it was last shown."""
        self._leave()
        return dict(self.history.newest(name))

    async def do_open(self, argument: str) -> None:
        """Open a run or a link."""
        if not argument:
            raise UsageError("Which run?", "Write :open and its id, its name or a link.")
        await self.go(parse_link(argument))

    async def do_back(self, _: str) -> None:
        """Close what is open, or go where this place belongs."""
        screen = self.lab_screen
        if screen is not None and await screen.close_something():
            return
        if screen is None or screen.name_of_screen == "runs":
            self.notify("This is the first screen. Q leaves mllab.")
            return
        await self.go(Place("runs", "", self._state_of("runs")))

    async def do_history_back(self, _: str) -> None:
        """Go to the view before."""
        self._leave()
        await self._walk(self.history.walk(-1), "There is no view before this one.")

    async def do_history_forward(self, _: str) -> None:
        """Go to the view after."""
        self._leave()
        await self._walk(self.history.walk(1), "There is no view after this one.")

    async def do_last(self, _: str) -> None:
        """Swap with the view before."""
        self._leave()
        await self._walk(self.history.swap(), "There is no other view yet.")

    def do_quit(self, _: str) -> None:
        """Leave."""
        self.exit()

    # -- what is new -----------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        if self.is_following:
            await self.look()

    async def look(self) -> None:
        """Have the screen look for what is new in the lab; one look at a time."""
        screen = self.lab_screen
        if self._is_refreshing or screen is None or not screen.is_mounted:
            return
        self._is_refreshing = True
        try:
            await screen.refresh_lab()
        except MllabError as error:
            complain(self, error)
            self.is_following = False  # or the same complaint comes every second
            screen.show_bars()
        finally:
            self._is_refreshing = False

    async def do_follow(self, _: str) -> None:
        """Follow what happens, or keep what is shown."""
        self.is_following = not self.is_following
        if self.lab_screen is not None:
            self.lab_screen.show_bars()
        if self.is_following:
            await self.look()

    # -- edits -----------------------------------------------------------------------------------------------

    async def edit(self, label: str, edits: Sequence[Edit]) -> None:
        """Carry out edits of runs, and remember how to undo them together."""
        if not edits:
            self.notify("That changes nothing.")
            return
        problem = await self.reader.edit(carry_out, self.reader.lab.store, self.journal, label, edits)
        self.remember()
        if problem:
            self.notify(f"{label}. {problem}", severity="warning", markup=False)
        else:
            self.notify(f"{label}. z undoes it.", markup=False)
        await self.look()

    async def do_undo(self, _: str) -> None:
        """Undo the last edit."""
        await self._replay(reverse=True)

    async def do_redo(self, _: str) -> None:
        """Do the last undone edit again."""
        await self._replay(reverse=False)

    async def _replay(self, *, reverse: bool) -> None:
        done = await self.reader.edit(functools.partial(replay, reverse=reverse), self.reader.lab, self.journal)
        self.notify(done.text, severity="information" if done.is_whole else "warning", markup=False)
        if not done.is_empty:
            await self.look()

    def remember(self) -> None:
        """Write down what the next session wants to know, beside what happens here."""
        present = self.history.present
        task = asyncio.ensure_future(self._remember(*self.memory.begin(present.link if present is not None else "")))
        self._remembering.add(task)
        task.add_done_callback(self._remembering.discard)

    async def _remember(self, before: State, mine: State) -> None:
        result = await self.reader.edit(save_or_error, self._state_path, before, mine)
        warning = self.memory.finish(before, mine, result)
        if warning:
            self.notify(warning, severity="warning", timeout=8, markup=False)

    # -- the rest --------------------------------------------------------------------------------------------

    def remember_command(self, text: str) -> None:
        """Keep a command for the up arrow."""
        self.past_commands[:] = [text, *(each for each in self.past_commands if each != text)][:MOST_PAST]

    async def copy_text(self, text: str, what: str) -> None:
        """Copy a text, and say by which way."""
        way = await copy_aside(self, text)
        self.notify(f"{what}: {way}", markup=False)

    async def do_link(self, _: str) -> None:
        """Copy a link to this view."""
        screen = self.lab_screen
        if screen is not None:
            await self.copy_text(screen.place().link, "Copied the link")

    def do_command(self, argument: str) -> None:
        """Ask for a command at the foot of the screen."""
        if self.lab_screen is not None and len(self.screen_stack) == 1:
            self.lab_screen.do_command(argument)

    async def do_palette(self, _: str) -> None:
        """Find anything by a few letters."""
        self.hold_keys()
        in_background(self, "menu", ask_palette, self)

    async def do_help(self, _: str) -> None:
        """Show the keys that work here."""
        self.hold_keys()
        in_background(self, "menu", ask_help, self)

    async def do_menu(self, _: str) -> None:
        """Show what can be done here."""
        self.hold_keys()
        in_background(self, "menu", ask_action, self)

    async def do_messages(self, _: str) -> None:
        """Show what was said lately."""
        self.hold_keys()
        in_background(self, "menu", ask_messages, self)

    def do_theme(self, argument: str) -> None:
        """Change colours; without a name, to the next theme."""
        names = sorted(name for name in self.available_themes if name.startswith("mllab"))
        if argument and argument not in self.available_themes:
            raise UsageError(f"There is no theme {argument[:60]!r}.", f"Themes: {', '.join(names)}.")
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = self.state.theme = argument or names[(at + 1) % len(names)]
        self.remember()

    def complete_theme(self, argument: str) -> list[tuple[str, int, str]]:
        """Return the themes that begin so."""
        return [(name, 0, "") for name in sorted(self.available_themes) if name.startswith(argument)]

    def notify(self, message: str, **more: Any) -> None:
        """Say something, and keep it for the list of messages."""
        self.said = [*self.said[-MOST_PAST:], (more.get("severity", "information"), message)]
        with contextlib.suppress(Exception):  # while the app is closing nobody listens
            super().notify(message, **more)

    async def neighbour(self, run_id: str, places: int) -> str | None:
        """Return the run so many rows from another in the list of runs, in the list's order."""
        if self.listed is None:
            return None
        return await self.reader.call(neighbour, self.reader.lab.engine, self.listed, run_id, places)
