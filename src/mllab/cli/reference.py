"""Write the command line's reference from the commands: ``python -m mllab.cli.reference > docs/reference/cli.md``."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

import click

from mllab.cli.invocation import LazyGroup
from mllab.cli.main import root

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """\
# Command line

This page is made from the commands themselves: `python -m mllab.cli.reference > docs/reference/cli.md`.

Data goes to standard output, everything else to standard error. In a pipe or a file nothing is cut and nothing is
coloured; on a terminal tables leave out what does not fit, and say so. `NO_COLOR` turns colours off, `FORCE_COLOR=1`
turns them on, `COLUMNS` sets a width. Text from outside (names, tags, logs, ...) is shown with its control,
bidirectional and invisible characters escaped; `--json` and files hold it as it is.

`--json` prints strict ASCII JSON: times in ISO 8601 and UTC, durations in seconds, and the texts `"NaN"`, `"Infinity"`
and `"-Infinity"` for numbers that JSON does not have. With it, errors are JSON too, on standard error:
`{"error": {"code": ..., "message": ..., "hint": ...}}`.

## Exit status

| status | meaning |
|---|---|
| 0 | it worked |
| 1 | the work failed, or the question was not answered with yes |
| 2 | wrong usage: arguments, filters, settings, or names that do not exist |
| 3 | the environment: the store, the disk, or something missing on this machine |
| 130 | stopped with Ctrl-C |
| 141 | nobody reads the output any more, as in `mllab runs ls | head -1` |

[Errors](errors.md) lists the codes that errors carry.

## Completion

| shell | to install |
|---|---|
"""
_PIPE = "\\|"


def reference() -> str:
    """Return the page."""
    from mllab.cli.completion import INSTALL

    lines = [_HEAD.rstrip("\n").replace("runs ls | head", f"runs ls {_PIPE} head")]
    lines += [f"| {shell} | `{command}` |" for shell, command in INSTALL.items()]
    lines += ["", "It completes commands, options, runs by name and id, and the words of filters.", ""]
    context = click.Context(root, info_name="mllab", **root.context_settings)
    lines += ["## mllab", "", *_described(root, context, everything=True)]
    lines += [line for name, command in _commands(root, context) for line in _section(name, command, context)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _commands(group: LazyGroup, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    # mllab's own only: which plugins are installed here must not change the page.
    for name in group.homes:
        command = group.get_command(context, name)
        assert command is not None, "the table names commands that exist"
        yield name, command


def _section(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    if isinstance(command, LazyGroup):
        yield from (f"## {context.command_path}", "", *_prose(command), "")
        for inner_name, inner in _commands(command, context):
            yield from _section(inner_name, inner, context)
        return
    yield from (f"{'##' if parent.parent is None else '###'} {context.command_path}", "")
    yield from _described(command, context, everything=False)


def _described(command: click.Command, context: click.Context, *, everything: bool) -> Iterator[str]:
    pieces = command.collect_usage_pieces(context)
    yield from ("```text", " ".join([context.command_path, *pieces]), "```", "", *_prose(command), "")
    shared = {"--lab", "--json", "--debug", "--no-color", "--help"}
    options = [
        param
        for param in command.params
        if isinstance(param, click.Option) and (everything or not shared & set(param.opts))
    ]
    if options:
        yield from ("| option | |", "|---|---|")
        yield from (f"| {_spelled(option)} | {_explained(option)} |" for option in options)
        yield ""


def _prose(command: click.Command) -> list[str]:
    # What is quoted, and the names of arguments in capitals, stay as click shows them.
    return inspect.cleandoc(command.help or "").replace("|", _PIPE).split("\n")


def _spelled(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or _kind(option)}"
    return ", ".join(f"`{name}{value}`" for name in option.opts)


def _kind(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "/".join(map(str, option.type.choices))
    return "N" if isinstance(option.type, click.IntRange) else option.type.name.upper()


def _explained(option: click.Option) -> str:
    text = (option.help or "").replace("|", _PIPE)
    return f"{text} Default: {option.default}." if option.show_default else text


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(reference())
