"""The line one types into: filters, commands, searches, tags, file names. One widget, at the foot of every screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Label

from mllab.security.terminal import fit, line, width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.app import ComposeResult


@dataclass(frozen=True, slots=True)
class Completed:
    """A text to put from ``start`` to the cursor, and what it is."""

    text: str
    start: int
    kind: str = ""


class _Candidates(Widget):
    """What could be typed next, in one line; the chosen one stands out."""

    DEFAULT_CSS = """
    _Candidates { height: 1; background: $surface; color: $foreground-muted; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: Sequence[Completed] = ()
        self.chosen = -1
        self.problem = ""
        self.is_refused = False

    def render(self) -> Text:
        problem = fit(line(self.problem), self.size.width - 2)
        if self.problem and (self.is_refused or not self.found):
            return Text(f" {problem}", "bold red" if self.is_refused else "italic", no_wrap=True, end="")
        text = Text(" ", no_wrap=True, end="")
        first = max(self.chosen - 3, 0)
        for place, each in enumerate(self.found[first : first + 24], first):
            shown = line(each.text)
            if width(text.plain) + width(shown) + 2 > self.size.width:
                break
            text.append(shown, "reverse bold" if place == self.chosen else "")
            if each.kind:
                kind = f" {each.kind}"
                if width(text.plain) + width(kind) + 2 <= self.size.width:
                    text.append(kind, "dim italic")
            text.append("  ")
        return text


class _Line(Input):
    """The input itself: Tab completes, up and down walk through what was typed before."""

    def on_key(self, event: events.Key) -> None:
        prompt = self.parent.parent if self.parent is not None else None
        assert isinstance(prompt, Prompt)
        if not prompt.is_open:
            prompt.post_message(Prompt.TypedAfter(event))  # it was on its way when the line was closed
        elif event.key == "enter":
            prompt.submit()
        elif event.key in ("tab", "shift+tab"):
            prompt.complete(1 if event.key == "tab" else -1)
        elif event.key in ("up", "down"):
            prompt.recall(1 if event.key == "up" else -1)
        elif event.key in ("escape", "ctrl+c"):
            prompt.cancel()
        else:
            return
        event.stop()
        event.prevent_default()


class Prompt(Vertical):
    """A line to type into, hidden until it is asked for something.

    One :meth:`ask` at a time; the answer comes as :class:`Changed` at every keystroke, then :class:`Submitted` or
    :class:`Cancelled`, each with the ``purpose`` that was given.
    """

    DEFAULT_CSS = """
    Prompt { height: auto; display: none; }
    Prompt.-open { display: block; }
    Prompt #line { height: 1; layout: horizontal; background: $boost; }
    Prompt #line Label { width: auto; color: $accent; text-style: bold; padding: 0 1; }
    Prompt #line _Line { width: 1fr; height: 1; border: none; padding: 0; background: $boost; }
    Prompt #line _Line:focus { border: none; }
    """

    class _Answer(Message):
        def __init__(self, purpose: str, value: str) -> None:
            super().__init__()
            self.purpose = purpose
            self.value = value

    class Changed(_Answer):
        """The text changed."""

    class Submitted(_Answer):
        """Enter was pressed."""

    class TypedAfter(Message):
        """A key reached the line after it was closed; it is for what has the focus now."""

        def __init__(self, key: events.Key) -> None:
            super().__init__()
            self.key = key

    class Cancelled(_Answer):
        """Escape was pressed; ``value`` is what the line held before."""

    def __init__(self, id: str = "prompt") -> None:  # noqa: A002  # Textual's word
        super().__init__(id=id)
        self.purpose = ""
        self._before = ""
        self._completer: Callable[[str, int], Sequence[Completed]] | None = None
        self._past: Sequence[str] = ()
        self._at = -1
        self._draft = ""
        self._is_completing = False
        self._focused_before: Widget | None = None

    def compose(self) -> ComposeResult:
        """Return the candidates above the line."""
        yield _Candidates()
        with Vertical(id="line"):
            yield Label("", markup=False)
            yield _Line(compact=True)

    @property
    def is_open(self) -> bool:
        """Whether something is being asked."""
        return self.has_class("-open")

    @property
    def value(self) -> str:
        """What the line holds."""
        return self.query_one(_Line).value

    def ask(
        self,
        purpose: str,
        label: str,
        value: str = "",
        *,
        completer: Callable[[str, int], Sequence[Completed]] | None = None,
        past: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        """Ask for a line of text.

        Args:
            purpose: comes back with the answer.
            label: what is asked for, in a word.
            value: what the line holds at first.
            completer: gives what could follow the first so many characters of a text; must be quick.
            past: what was answered before, newest first.
            hint: shown in place of the line while it is empty.
        """
        if not self.is_open:
            self._focused_before = self.screen.focused
        self.purpose, self._before, self._completer, self._past = purpose, value, completer, past
        self._at, self._draft = -1, value
        self.query_one(Label).update(label)
        field = self.query_one(_Line)
        field.placeholder = hint
        with self.prevent(Input.Changed):
            field.value = value
        field.cursor_position = len(value)
        self.add_class("-open")
        self.query_one(_Candidates).display = completer is not None
        self.show_problem("")
        self._suggest()
        self.screen.set_focus(field)  # at once: the next key may be there already

    def show_problem(self, text: str, *, is_refused: bool = False) -> None:
        """Say what is wrong with the text; empty takes it back.

        While one types, most texts are wrong because they are not finished: it is said quietly, and only where there
        is nothing to complete. ``is_refused`` says it aloud.
        """
        candidates = self.query_one(_Candidates)
        if (candidates.problem, candidates.is_refused) != (text, is_refused):
            candidates.problem, candidates.is_refused = text, is_refused
            candidates.display = bool(text) or self._completer is not None
            candidates.refresh()

    def close(self) -> None:
        """Hide, and give the focus back."""
        # At once, and before the line is hidden: Textual would look for a focus of its own otherwise.
        target = self._focused_before
        self.screen.set_focus(target if target is not None and target.is_attached and target.can_focus else None)
        self.remove_class("-open")

    def cancel(self) -> None:
        """Give up; a completion that is being chosen is given up first."""
        self.close()
        self.post_message(self.Cancelled(self.purpose, self._before))

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self._is_completing:
            self._suggest()
        self._is_completing = False
        self.post_message(self.Changed(self.purpose, event.value))

    def submit(self) -> None:
        """Take the answer. At once, so that keys behind it find another focus."""
        self.close()
        self.post_message(self.Submitted(self.purpose, self.value))

    def _suggest(self) -> None:
        candidates = self.query_one(_Candidates)
        field = self.query_one(_Line)
        candidates.found = self._completer(field.value, field.cursor_position) if self._completer else ()
        candidates.chosen = -1
        candidates.refresh()

    def complete(self, places: int) -> None:
        """Put the next candidate where the cursor is."""
        candidates = self.query_one(_Candidates)
        if not candidates.found:
            return
        candidates.chosen = (max(candidates.chosen, -1) + places) % len(candidates.found)
        chosen = candidates.found[candidates.chosen]
        field = self.query_one(_Line)
        text = field.value[: chosen.start] + chosen.text
        rest = field.value[field.cursor_position :]
        self._is_completing = True
        field.value = text + rest
        field.cursor_position = len(text)
        candidates.refresh()

    def recall(self, places: int) -> None:
        """Put an earlier answer into the line."""
        if not self._past:
            return
        if self._at < 0:
            self._draft = self.value
        self._at = min(max(self._at + places, -1), len(self._past) - 1)
        field = self.query_one(_Line)
        field.value = self._draft if self._at < 0 else self._past[self._at]
        field.cursor_position = len(field.value)
