"""The user's own keys: the section ``[keys]`` of `tui.toml` in the user's configuration folder.

[keys]
"runs.sort" = "o"
"app.quit" = "ctrl+x,Q"
"""

from __future__ import annotations

import os
import tomllib
from collections import defaultdict
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mllab.errors import ConfigError
from mllab.tui.actions import ACTIONS, Action, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1 << 20
# What is in force at once: keys of these scopes must not be the same.
TOGETHER: tuple[tuple[Scope, ...], ...] = (
    ("app", "runs", "table"),
    ("app", "inbox", "table"),
    ("app", "compare", "table"),
    ("app", "run"),
    # A pane's keys come before those of its screen, which it may take; what leads elsewhere it may not.
    ("app", "charts"),
    ("app", "logs"),
    ("app", "files"),
)


def keymap_path(environ: Mapping[str, str] = os.environ) -> str:
    """Return the user's file."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(base, "mllab", "tui.toml")


def load_keymap(path: str) -> dict[str, tuple[str, ...]]:
    """Return the keys that the user gave to actions, by ``<scope>.<name>``; empty when there is no file.

    Raises:
        ConfigError: the file is no TOML, names no action, or gives one key to two actions at once.
    """
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB.", "Keep [keys] in it, and nothing else.")
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "Mend it, or move it away.") from error
    known = {f"{action.scope}.{action.name}": action for action in ACTIONS}
    keymap: dict[str, tuple[str, ...]] = {}
    for section, table in found.items():
        if section != "keys" or not isinstance(table, dict):
            raise ConfigError(f"{path}: there is no section {section!r}.", "Write [keys], and actions below it.")
        for name, keys in table.items():
            if name not in known:
                close = get_close_matches(name, known, 1)
                hint = f"Did you mean {close[0]}?" if close else "docs/reference/keys.md lists them as scope.command."
                raise ConfigError(f"{path}: there is no action {name!r}.", hint)
            if not isinstance(keys, str):
                raise ConfigError(f"{path}: {name} is no text.", 'Write keys with commas between: "ctrl+x,Q".')
            keymap[name] = tuple(key.strip() for key in keys.split(",") if key.strip())
    _check_conflicts(path, keymap)
    return keymap


def keys_of(action: Action, keymap: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return an action's keys: the user's, or its own."""
    return keymap.get(f"{action.scope}.{action.name}", action.keys)


def _check_conflicts(path: str, keymap: Mapping[str, tuple[str, ...]]) -> None:
    for scopes in TOGETHER:
        taken: defaultdict[str, list[str]] = defaultdict(list)
        for action in ACTIONS:
            if action.scope in scopes:
                for key in keys_of(action, keymap):
                    taken[key].append(f"{action.scope}.{action.name}")
        for key, names in taken.items():
            if len(names) > 1:
                raise ConfigError(
                    f"{path}: the key {key!r} would mean {' and '.join(names)}.", "Give one of them another key."
                )
