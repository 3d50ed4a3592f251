"""How actions reach what does them: bindings made from the table, and one way to perform an action by name."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ScreenStackError
from textual.binding import Binding
from textual.css.query import NoMatches
from textual.dom import DOMNode
from textual.widget import Widget

from mllab.errors import MllabError
from mllab.tui.actions import ACTIONS, Action, Scope, in_scopes, key_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from textual.app import App


def bindings(*scopes: Scope) -> list[Binding]:
    """Return Textual's bindings for the actions of some scopes. A user's keymap names them ``<scope>.<name>``."""
    return [
        Binding(
            ",".join(action.keys),
            f"act('{action.scope}', '{action.name}')",
            action.label,
            show=False,
            key_display=key_name(action.keys[0]),
            id=f"{action.scope}.{action.name}",
        )
        for action in in_scopes(*scopes)
        if action.keys
    ]


class Acting(DOMNode):
    """A screen, pane or app that performs the actions of some scopes."""

    scopes: ClassVar[tuple[Scope, ...]] = ()

    async def action_act(self, scope: Scope, name: str) -> None:
        """Perform an action that one of this node's bindings names."""
        await perform(self.app, self, find(name, (scope,)), "")


def find(name: str, scopes: tuple[Scope, ...]) -> Action:
    """Return an action by its name; the scopes named first win."""
    for scope in scopes:
        for action in ACTIONS:
            if action.name == name and action.scope == scope:
                return action
    raise KeyError(name)


def acting_nodes(app: App[Any]) -> Iterator[Acting]:
    """Yield what can perform actions at present: from the focused pane outwards to the app."""
    try:
        # A widget without lines, such as an empty log, counts as false.
        node: DOMNode | None = app.focused if app.focused is not None else app.screen
    except ScreenStackError:  # the app is closing
        return
    while node is not None:
        if isinstance(node, Acting):
            yield node
        node = node.parent
    if isinstance(app, Acting):
        yield app


def available(app: App[Any]) -> list[tuple[Action, Acting]]:
    """Return the actions that the screen and its focused pane know, nearest first, each with what performs it.

    An action is listed when it has a method to perform it. One that a nearer node has under the same name, or whose
    keys a nearer one has taken, is still listed: the palette and the command line reach it.
    """
    found: dict[tuple[Scope, str], tuple[Action, Acting]] = {}
    for node in acting_nodes(app):
        for action in in_scopes(*node.scopes):
            if hasattr(node, action.method):
                found.setdefault((action.scope, action.name), (action, node))
    return list(found.values())


def why_not(node: Acting, action: Action) -> str:
    """Return why an action cannot be performed at present; empty when it can."""
    ask = getattr(node, action.method.replace("do_", "why_not_", 1), None)
    return str(ask() or "") if ask is not None else ""


async def perform(app: App[Any], node: Acting, action: Action, argument: str) -> None:
    """Perform an action, and say what went wrong where something did."""
    if isinstance(node, Widget) and not (node.is_mounted and node.is_attached):
        return  # a key came before the screen was there, or after it was gone
    reason = why_not(node, action)
    if reason:
        app.notify(reason, title=action.label.capitalize(), severity="warning", markup=False)
        return
    try:
        result = getattr(node, action.method)(argument)
        if inspect.isawaitable(result):
            await result
    except MllabError as error:
        complain(app, error)
    except NoMatches:
        if not app._exit:  # noqa: SLF001  # no public way to ask whether widgets are being taken away
            raise


def in_background(node: DOMNode, group: str, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """Run work beside what happens on screen, in the place of work of the same group that is not done yet."""
    call: Any = partial(work, *arguments)
    node.run_worker(call, exclusive=True, group=group)


def complain(app: App[Any], error: MllabError) -> None:
    """Say what went wrong, with the way out."""
    text = f"{error.message}\n{error.hint}" if error.hint else error.message
    app.notify(text, severity="error", timeout=8, markup=False)
