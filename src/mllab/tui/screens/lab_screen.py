"""What all main screens share: the frame, the prompt, and the way between places."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on

from mllab.tui.acting import Acting, available, perform
from mllab.tui.actions import Action, key_name
from mllab.tui.command_line import complete_command, run_command
from mllab.tui.compat import PacedScreen
from mllab.tui.keymap import keys_of
from mllab.tui.place import Place
from mllab.tui.widgets.bars import KeyBar, StatusBar, TopBar
from mllab.tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widget import Widget

    from mllab.tui.app import MllabApp

MOST_KEYS = 9


class LabScreen(PacedScreen[None], Acting):
    """A main screen: kept alive, shown again and again, each time at a place."""

    BINDINGS: ClassVar[list[BindingType]] = []
    DEFAULT_CSS = """
    LabScreen { layout: vertical; background: $background; }
    LabScreen #body { height: 1fr; }
    LabScreen ToastRack { margin-bottom: 4; }
    LabScreen VerticalScroll { scrollbar-size-vertical: 1; }
    LabScreen RunTable > .runtable--ok { color: $status-ok; }
    LabScreen RunTable > .runtable--bad { color: $status-bad; }
    LabScreen RunTable > .runtable--warn { color: $status-warn; }
    LabScreen RunTable > .runtable--live { color: $status-live; }
    LabScreen.-narrow .wide-only { display: none; }
    """
    # Widths at which panes come and go (tui.md: 80, 120, 160 columns).
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (160, "-very-wide")]  # noqa: RUF012  # Textual's own type
    name_of_screen: ClassVar[str] = ""

    def compose(self) -> ComposeResult:
        """Return the frame around the body."""
        yield TopBar()
        yield from self.compose_body()
        yield Prompt()
        yield StatusBar()
        yield KeyBar()

    def compose_body(self) -> Iterable[Widget]:
        """Return what is between the bars; one widget has the id ``body``."""
        return ()

    @property
    def mllab(self) -> MllabApp:
        """The app, by its own type."""
        app: Any = self.app
        return app  # type: ignore[no-any-return]  # there is no other app

    @property
    def prompt(self) -> Prompt:
        """The line at the foot."""
        return self.query_one(Prompt)

    def place(self) -> Place:
        """Return where one is, so that :meth:`arrive` brings it back."""
        return Place(self.name_of_screen)

    async def arrive(self, place: Place) -> None:
        """Show a place of this screen."""

    async def refresh_lab(self) -> None:
        """Look for what is new in the lab; called again and again while the screen is shown and followed."""

    async def close_something(self) -> bool:
        """Close what is open within the screen, if something is; what Esc does first."""
        if self.prompt.is_open:
            self.prompt.cancel()
            return True
        return False

    def crumbs(self) -> tuple[str, ...]:
        """Return where one is in words, below the lab."""
        return (self.name_of_screen.capitalize(),)

    def status(self) -> list[tuple[str, str]]:
        """Return how things stand, for the status bar."""
        return []

    def show_bars(self) -> None:
        """Draw the bars anew."""
        if not self.is_mounted:
            return
        top = self.query_one(TopBar)
        top.crumbs = (self.mllab.reader.lab.name, *self.crumbs())
        followed = ("following", "") if self.mllab.is_following else ("frozen", "bold")
        self.query_one(StatusBar).parts = (followed, *self.status())
        self.query_one(KeyBar).keys = self._keys()

    def _keys(self) -> tuple[tuple[str, str, str, str], ...]:
        keys = {action: keys_of(action, self.mllab.keys) for action, _ in available(self.app) if action.footer}
        actions = sorted((action for action in keys if keys[action]), key=lambda action: action.footer)
        return tuple(
            (key_name(keys[action][0]), action.label, action.scope, action.name) for action in actions[:MOST_KEYS]
        )

    def watch_focused(self, _: Widget | None) -> None:
        """Show the keys of what has the focus."""
        self.show_bars()

    @on(KeyBar.Pressed)
    async def _key_pressed(self, event: KeyBar.Pressed) -> None:
        for action, node in available(self.app):
            if (action.scope, action.name) == (event.scope, event.name):
                await perform(self.app, node, action, "")
                return

    # -- the prompt ------------------------------------------------------------------------------------------

    def do_command(self, argument: str) -> None:
        """Ask for a command."""
        self.prompt.ask(
            "command", ":", argument, completer=lambda text, at: complete_command(self.mllab, text, at),
            past=self.mllab.past_commands, hint="a command; Tab completes",
        )  # fmt: skip

    @on(Prompt.Changed)
    async def _prompt_changed(self, event: Prompt.Changed) -> None:
        event.stop()
        if event.purpose != "command":
            await self.typing(event.purpose, event.value)

    @on(Prompt.Submitted)
    async def _prompt_submitted(self, event: Prompt.Submitted) -> None:
        event.stop()
        if event.purpose == "command":
            await run_command(self.mllab, event.value)
        elif event.purpose.startswith("argument:"):
            _, scope, name = event.purpose.split(":")
            await (self.perform_named(scope, name, event.value) if event.value else self.clear_named(scope, name))
        else:
            await self.answered(event.purpose, event.value)

    @on(Prompt.TypedAfter)
    def _typed_after(self, event: Prompt.TypedAfter) -> None:
        event.stop()
        self.mllab.type_again(event.key)

    @on(Prompt.Cancelled)
    async def _prompt_cancelled(self, event: Prompt.Cancelled) -> None:
        event.stop()
        await self.gave_up(event.purpose, event.value)

    async def perform_named(self, scope: str, name: str, argument: str) -> None:
        """Perform an action of what is on screen."""
        for action, node in available(self.app):
            if action.scope == scope and action.name == name:
                await perform(self.app, node, action, argument)
                return

    async def clear_named(self, scope: str, name: str) -> None:
        """Take an empty answer: ``clear_<name>`` of what performs the action, where there is something to clear."""
        for action, node in available(self.app):
            clear = getattr(node, action.method.replace("do_", "clear_", 1), None)
            if action.scope == scope and action.name == name and clear is not None:
                result = clear()
                if inspect.isawaitable(result):
                    await result
                return

    def ask_argument(self, action: Action, label: str, value: str = "", hint: str = "", **more: Any) -> None:
        """Ask for what an action takes; it is performed with the answer."""
        self.prompt.ask(f"argument:{action.scope}:{action.name}", label, value, hint=hint, **more)

    async def typing(self, purpose: str, value: str) -> None:
        """Handle a keystroke in the prompt."""

    async def answered(self, purpose: str, value: str) -> None:
        """Handle an answer of the prompt."""

    async def gave_up(self, purpose: str, before: str) -> None:
        """Handle Esc in the prompt."""
