"""What the terminal UI remembers from one session to the next: per store, in the user's state folder.

It is a convenience, never the truth: a file that is damaged or cannot be written costs the session, nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, field, fields
from typing import Any

VERSION = 1
MAX_BYTES = 4 << 20


@dataclass(slots=True)
class State:
    """What is remembered.

    Attributes:
        place: the link of the view that was open.
        columns: the columns of the runs list; empty for the usual ones.
        widths: widths of columns that were changed, by column.
        views: saved views, name to link.
        pins: ids of runs that stay on top.
        seen: inbox items that were acknowledged: id to the time until which they are hidden (0: for good).
        theme: the theme's name.
        shows_detail: whether the runs list has its detail beside it.
        done: edits that can be undone, oldest first, and ``undone`` those that can be done again; as JSON.
        filters: filters that were used, newest first.
    """

    place: str = ""
    columns: list[str] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)
    pins: list[str] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    theme: str = ""
    shows_detail: bool = True
    done: list[dict[str, Any]] = field(default_factory=list)
    undone: list[dict[str, Any]] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)


def state_path(store_id: str, environ: dict[str, str] | None = None) -> str:
    """Return the file of one store's state."""
    environ = dict(os.environ) if environ is None else environ
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Application Support")
    else:
        base = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "mllab", f"{store_id}.json")


def load_state(path: str) -> State:
    """Return what is remembered; what is missing, damaged or of another type is as in a first session."""
    try:
        if os.path.getsize(path) > MAX_BYTES:
            return State()
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return State()
    state = State()
    if not isinstance(found, dict) or found.get("version") != VERSION:
        return state
    for each in fields(State):
        value = found.get(each.name)
        if type(value) is type(getattr(state, each.name)):
            setattr(state, each.name, value)
    return _with_right_values(state)


def _with_right_values(found: Any) -> State:
    """Keep what is in the lists and tables of a file only where it is of the right type."""
    state: State = found
    state.columns = [str(name) for name in found.columns]
    state.pins = [str(run) for run in found.pins]
    state.filters = [str(text) for text in found.filters]
    state.views = {name: str(link) for name, link in found.views.items()}
    state.widths = {name: width for name, width in found.widths.items() if type(width) is int and width > 0}
    state.seen = {name: float(until) for name, until in found.seen.items() if type(until) in (int, float)}
    state.done = [entry for entry in found.done if isinstance(entry, dict)]
    state.undone = [entry for entry in found.undone if isinstance(entry, dict)]
    return state


def save_state(path: str, state: State) -> None:
    """Remember; a disk that refuses is no error."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".state-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"version": VERSION, **asdict(state)}, file)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
