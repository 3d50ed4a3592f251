"""Choosing from a list with a few letters: the palette, columns, views, copy menu, help and messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.containers import Vertical
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from mllab.security.terminal import fit, line, width
from mllab.tui.compat import PacedModalScreen
from mllab.tui.typeahead import TypeaheadApp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widget import Widget

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to choose.

    Attributes:
        value: what choosing it returns.
        text: its name.
        remark: what stands behind the name, dim: a kind, a key, a reason.
        is_marked: whether it is among what is chosen, in a list of which several can be.
        is_disabled: it is shown, and cannot be chosen.
        group: a heading above the first choice of a group.
    """

    value: str
    text: str
    remark: str = ""
    is_marked: bool = False
    is_disabled: bool = False
    group: str = ""


def ranked(choices: Sequence[Choice], typed: str) -> list[Choice]:
    """Return the choices that hold the letters typed, in order; those that hold the words whole come first."""
    words = typed.lower().split()
    if not words:
        return list(choices)
    scored = []
    for place, choice in enumerate(choices):
        text, whole = choice.text.lower(), f"{choice.text} {choice.remark}".lower()
        if all(word in text for word in words):
            scored.append((0 if text.startswith(words[0]) else 1, text.find(words[0]), place, choice))
        elif all(word in whole for word in words):
            scored.append((2, 0, place, choice))
        elif _holds_letters(text, "".join(words)):
            scored.append((3, 0, place, choice))
    return [choice for *_, choice in sorted(scored, key=lambda entry: entry[:3])]


def _holds_letters(text: str, letters: str) -> bool:
    at = 0
    for letter in letters:
        at = text.find(letter, at) + 1
        if not at:
            return False
    return True


class _Typed(Input):
    """The line above the list: what moves in the list is handed to it."""

    def on_key(self, event: events.Key) -> None:
        chooser = self.screen
        assert isinstance(chooser, Chooser)
        if chooser.take_key(event.key):
            event.stop()
            event.prevent_default()


class Chooser(PacedModalScreen["list[str] | None"]):
    """A list to choose from, narrowed by typing. Returns the values chosen, or None.

    With ``several``, Space marks and Enter takes all that is marked; otherwise Enter takes the line.
    """

    BINDINGS: ClassVar[list[BindingType]] = []
    DEFAULT_CSS = """
    Chooser { align: center top; background: $background 60%; }
    Chooser > Vertical {
        width: 84; max-width: 100%; height: auto; max-height: 90%; margin: 1 0 0 0;
        border: round $accent; background: $surface; padding: 0 1;
    }
    Chooser Label { width: 100%; color: $foreground-muted; height: 1; }
    Chooser _Typed, Chooser _Typed:focus { height: 1; border: none; padding: 0; background: $boost; }
    Chooser OptionList, Chooser OptionList:focus {
        height: auto; max-height: 100%; border: none; padding: 0; background: $surface; scrollbar-size-vertical: 1;
    }
    """

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice],
        *,
        several: bool = False,
        hint: str = "",
        more: Callable[[str], Sequence[Choice]] | None = None,
        typed: str = "",
    ) -> None:
        """Choose among ``choices`` and what ``more`` finds for the text typed."""
        super().__init__()
        self._title = title
        self._choices = list(choices)
        self._several = several
        self._hint = hint or ("Space marks, Enter takes the marked" if several else "Enter takes it, Esc goes back")
        self._more = more
        self._typed = typed
        self._marked = [choice.value for choice in choices if choice.is_marked]
        self._shown: list[Choice] = []
        self._shown_for = ""

    def compose(self) -> ComposeResult:
        """Return the box."""
        with Vertical() as box:
            box.border_title = Text(self._title)
            box.border_subtitle = Text(self._hint)
            yield _Typed(self._typed, placeholder="type to narrow", compact=True)
            yield OptionList(markup=False)

    def on_mount(self) -> None:
        """Show everything, and take the keyboard."""
        self.query_one(OptionList).can_focus = False
        self._show("")
        take_keys(self, self.query_one(_Typed))

    @on(Input.Changed)
    def _narrow(self) -> None:
        self._catch_up()

    def _catch_up(self) -> None:
        """Narrow to what is typed, unless that is what is shown: Enter may come before the word of the change."""
        typed = self.query_one(_Typed).value
        if typed != self._shown_for:
            self._show(typed)

    def _show(self, typed: str, keep: str | None = None) -> None:
        found = [*ranked(self._choices, typed), *(self._more(typed) if self._more else ())]
        self._shown, self._shown_for = found[:MOST_SHOWN], typed
        options = self.query_one(OptionList)
        options.clear_options()
        rows: list[Option] = []
        group = ""
        at = 0
        for number, choice in enumerate(self._shown):
            if choice.group != group and not typed:
                group = choice.group
                rows.append(Option(Text(group, "bold underline"), disabled=True))
            if choice.value == keep:
                at = len(rows)
            rows.append(Option(self._line(choice), id=str(number), disabled=choice.is_disabled))
        if len(found) > MOST_SHOWN:
            rows.append(Option(Text(f"and {len(found) - MOST_SHOWN:,} more: type to narrow", "dim"), disabled=True))
        if not rows:
            rows.append(Option(Text("nothing fits", "dim"), disabled=True))
        options.add_options(rows)
        options.highlighted = at
        if rows[at].disabled:
            options.action_cursor_down()

    def _line(self, choice: Choice) -> Text:
        room = min(84, self.app.size.width) - 6
        mark = ("[x] " if choice.value in self._marked else "[ ] ") if self._several else ""
        remark = fit(line(choice.remark), max(room // 2, 8))
        name = fit(line(choice.text), max(room - width(mark) - width(remark) - 2, 8))
        text = Text(mark + name, no_wrap=True)
        text.append(" " * max(room - width(mark + name) - width(remark), 1))
        text.append(remark, "dim")
        return text

    def take_key(self, key: str) -> bool:
        """Move or choose by a key; return whether it was one of those."""
        self._catch_up()
        options = self.query_one(OptionList)
        moves: dict[str, Callable[[], None]] = {
            "down": options.action_cursor_down, "ctrl+n": options.action_cursor_down, "up": options.action_cursor_up,
            "pagedown": options.action_page_down, "pageup": options.action_page_up,
        }  # fmt: skip
        if key in moves:
            moves[key]()
        elif key in ("escape", "ctrl+c"):
            self.close(None)
        elif key == "enter":
            self._take()
        elif key == "space" and self._several and not self.query_one(_Typed).value:
            self._toggle()
        elif key in ("tab", "shift+tab"):
            (options.action_cursor_down if key == "tab" else options.action_cursor_up)()
        elif key == "ctrl+t" and self._several:
            self._toggle()
        else:
            return False
        return True

    def _highlighted(self) -> Choice | None:
        options = self.query_one(OptionList)
        if options.highlighted is None:
            return None
        option = options.get_option_at_index(options.highlighted)
        return self._shown[int(option.id)] if option.id is not None and not option.disabled else None

    def _toggle(self) -> None:
        choice = self._highlighted()
        if choice is None:
            return
        if choice.value in self._marked:
            self._marked.remove(choice.value)
        else:
            self._marked.append(choice.value)
        options = self.query_one(OptionList)
        assert options.highlighted is not None
        options.replace_option_prompt_at_index(options.highlighted, self._line(choice))
        options.action_cursor_down()

    def _take(self) -> None:
        choice = self._highlighted()
        if self._several:
            self.close(self._marked)
        elif choice is not None:
            self.close([choice.value])

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if self._several:
            self._toggle()
        else:
            self._take()

    def on_click(self, event: events.Click) -> None:
        """Close on a click outside of the box."""
        if event.widget is self:
            self.close(None)


class Sheet(PacedModalScreen[bool]):
    """A question before something that is hard to take back: what would happen, and Cancel in focus."""

    DEFAULT_CSS = """
    Sheet { align: center middle; background: $background 60%; }
    Sheet > Vertical {
        width: 76; max-width: 100%; height: auto; max-height: 90%; border: round $warning; background: $surface;
        padding: 0 1;
    }
    Sheet Label { width: 100%; height: auto; }
    Sheet OptionList, Sheet OptionList:focus { height: auto; border: none; padding: 0; background: $surface; }
    """

    def __init__(self, title: str, text: str, yes: str) -> None:
        """Ask whether to do what ``yes`` names."""
        super().__init__()
        self._title = title
        self._text = text
        self._yes = yes

    def compose(self) -> ComposeResult:
        """Return the box; Cancel comes first."""
        with Vertical() as box:
            box.border_title = Text(self._title)
            yield Label(Text(self._text), markup=False)
            yield Label("")
            yield OptionList(Option(Text("Cancel"), id="no"), Option(Text(self._yes), id="yes"), markup=False)

    @on(OptionList.OptionSelected)
    def _answered(self, event: OptionList.OptionSelected) -> None:
        self.close(event.option_id == "yes")

    def on_mount(self) -> None:
        """Take the keyboard; the first line is Cancel."""
        take_keys(self, self.query_one(OptionList))

    def on_key(self, event: events.Key) -> None:
        """Move with j and k too; Esc, q and n cancel."""
        options = self.query_one(OptionList)
        if event.key in ("escape", "q", "n"):
            self.close(False)
        elif event.key in ("j", "k"):
            (options.action_cursor_down if event.key == "j" else options.action_cursor_up)()


def take_keys(screen: PacedModalScreen[Any], target: Widget) -> None:
    """Focus the target of a menu, and hand it what was typed while the menu opened."""
    screen.set_focus(target)
    if isinstance(screen.app, TypeaheadApp):
        screen.app.release_keys()
