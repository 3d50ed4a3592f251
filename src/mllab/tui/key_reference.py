"""The page of keys in the docs, made from the table of actions: ``python -m mllab.tui.key_reference`` prints it."""

from __future__ import annotations

import sys

from mllab.tui.actions import SCOPE_TITLES, in_scopes, keys_text

_HEAD = """# Keys and commands

This page is made from the table that the terminal UI itself reads: `python -m mllab.tui.key_reference` prints it.
`?` shows what works where you are, `Ctrl+P` finds any of it by a few letters, and `:` takes the commands.
A pane's keys come before those of its screen.
Keys can be changed in [a file of yours](settings.md), where actions have names such as `runs.sort`.
"""


def key_page() -> str:
    """Return the page."""
    lines = [_HEAD]
    for scope, title in SCOPE_TITLES.items():
        lines += [f"## {title} (`{scope}`)", "", "| key | command | what it does |", "|---|---|---|"]
        for action in in_scopes(scope):
            keys = " ".join(
                f"`` {key} ``" if "`" in key else f"`{_cell(key)}`" for key in keys_text(action.keys).split()
            )
            command = f"`:{action.name}{' ' + _cell(action.argument) if action.argument else ''}`"
            lines.append(f"| {keys} | {command} | {action.help} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(key_page())
