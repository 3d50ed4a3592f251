"""Menus made from the table of actions: palette, help, action menu; and the messages that were said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mllab.tui.acting import available, perform, why_not
from mllab.tui.actions import SCOPE_TITLES, Action, keys_text
from mllab.tui.keymap import keys_of
from mllab.tui.place import Place, parse_link
from mllab.tui.screens.chooser import Choice, Chooser

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mllab.query.engine import Engine
    from mllab.tui.acting import Acting
    from mllab.tui.app import MllabApp

MOST_RUNS = 20
# Where moving about is shown too, the rest is hard to find.
_MOVES = frozenset({"down", "up", "page-down", "page-up", "half-down", "half-up", "top", "bottom"})


def _choice(action: Action, node: Acting, keys: Mapping[str, tuple[str, ...]], *, grouped: bool = False) -> Choice:
    reason = why_not(node, action)
    remark = reason or keys_text(keys_of(action, keys)) or f":{action.name}"
    return Choice(
        f"act {action.scope} {action.name}", action.help, remark, False, bool(reason),
        SCOPE_TITLES[action.scope] if grouped else "",
    )  # fmt: skip


async def ask_palette(app: MllabApp) -> None:
    """Find an action, a run, a metric to sort by, or a saved view."""
    found = available(app)
    choices = [
        _choice(action, node, app.keys)
        for action, node in found
        if action.name not in _MOVES and action.name != "palette"
    ]
    choices += [Choice(f"go {link}", f"View: {name}", "saved view") for name, link in sorted(app.state.views.items())]
    engine = app.reader.lab.engine
    keys = await app.reader.call(_keys, engine)
    choices += [Choice(f"sort {key}", f"Sort runs by {key}", "metric") for key in keys]
    runs = await app.reader.call(_newest_runs, engine)
    choices += [Choice(f"go {Place('run', run_id).link}", f"Run: {name}", remark) for run_id, name, remark in runs]
    await _take(app, found, await app.push_screen_wait(Chooser("Find anything", choices)))


def _keys(engine: Engine) -> list[str]:
    return sorted(engine.keys("summaries"))


def _newest_runs(engine: Engine) -> list[tuple[str, str, str]]:
    from mllab.query.select import select
    from mllab.query.views import run_rows

    with engine.steady():
        refs = select(engine, None, limit=500, with_total=False).refs
        rows = run_rows(engine, refs)
    return [(rows[ref].run_id, rows[ref].name, f"{rows[ref].experiment}, {rows[ref].status}") for ref in refs]


async def ask_help(app: MllabApp) -> None:
    """Show every key that works here; Enter does it."""
    found = available(app)
    choices = [_choice(action, node, app.keys, grouped=True) for action, node in found]
    title = "Keys here: type to search, Enter does it"
    await _take(app, found, await app.push_screen_wait(Chooser(title, choices)))


async def ask_action(app: MllabApp) -> None:
    """Show what can be done with what is selected."""
    found = [(action, node) for action, node in available(app) if action.is_menu]
    choices = [_choice(action, node, app.keys) for action, node in found]
    await _take(app, found, await app.push_screen_wait(Chooser("Actions", choices)))


async def ask_messages(app: MllabApp) -> None:
    """Show what was said, newest first."""
    choices = [Choice(str(at), text, severity) for at, (severity, text) in enumerate(reversed(app.said))]
    chosen = await app.push_screen_wait(Chooser("Messages", choices, hint="Enter copies one"))
    if chosen:
        await app.copy_text(choices[int(chosen[0])].text, "Copied the message")


async def _take(app: MllabApp, found: Sequence[tuple[Action, Acting]], chosen: list[str] | None) -> None:
    if not chosen:
        return
    verb, _, rest = chosen[0].partition(" ")
    if verb == "go":
        await app.go(parse_link(rest))
    elif verb == "sort":
        await app.go(Place("runs", "", {"order": f"metrics.{rest} desc"}))
    else:
        scope, name = rest.split(" ")
        for action, node in found:
            if (action.scope, action.name) == (scope, name):
                await perform(app, node, action, "")
