"""Keys that come faster than the focus moves: typed in one go, pasted by a terminal, or sent over a slow link.

Textual hands a key to the widget that has the focus when the key arrives, and looks for its binding when the key
has come back from there. Of ``/lr<Enter>`` in one burst all keys would reach the list, and get lost when they come
back after the first has opened the prompt. Here every key goes to what has the focus once the keys before it are done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from textual import events
from textual.app import App

if TYPE_CHECKING:
    from textual.widget import Widget

ReturnT = TypeVar("ReturnT")
# A menu that never opens must not swallow the keyboard.
HOLD_S = 3.0
MOST_HANDED = 1000


class TypeaheadApp(App[ReturnT]):
    """An app in which no key is lost, or taken for another, because it came early."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._held: list[events.Key] | None = None
        self._handed: dict[int, tuple[events.Key, Widget | None]] = {}

    def hold_keys(self) -> None:
        """Keep what is typed from here on for what is about to open; it calls :meth:`release_keys`."""
        if self._held is None:
            self._held = []
            self.set_timer(HOLD_S, self.release_keys)

    def release_keys(self) -> None:
        """Hand what was typed meanwhile to what has the focus."""
        held, self._held = self._held, None
        for event in held or ():
            self.type_again(event)

    def type_again(self, event: events.Key) -> None:
        """Hand a key to what has the focus now, before all keys that are still on their way."""
        again = events.Key(event.key, event.character)
        again.set_sender(self)  # a message stops at its sender, which would be whatever handles this one
        target = self.focused if self.focused is not None else self.screen  # an empty log counts as false
        self._hand(again, target)
        target._forward_event(again)  # noqa: SLF001  # what Textual's App does with a key

    async def on_event(self, event: events.Event) -> None:
        """Remember to whom a key is handed; keep it while keys are held."""
        if isinstance(event, events.Key) and self._exit:
            return  # the screens are being taken away
        if isinstance(event, events.Key) and not event.is_forwarded:
            if self._held is not None:
                self._held.append(event)
                return
            self._hand(event, self.focused)
        await super().on_event(event)

    def _hand(self, event: events.Key, target: Widget | None) -> None:
        # By the event's identity, which holds as long as it is in the table; a widget may keep a key for itself.
        self._handed[id(event)] = (event, target)
        if len(self._handed) > MOST_HANDED:
            del self._handed[next(iter(self._handed))]

    async def _on_key(self, event: events.Key) -> None:
        """Take a key that came back, unless it is for its binding: for that Textual calls App's own handler next."""
        if self._exit:
            event.prevent_default()
            return
        _, target = self._handed.pop(id(event), (event, self.focused))
        if self._held is not None:
            self._held.append(event)
            event.prevent_default()
        elif self.focused is not None and self.focused is not target:
            self.type_again(event)
            event.prevent_default()
