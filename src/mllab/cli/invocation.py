"""One call of the command line: its global options, its lab, and the classes that give every command those options."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mllab.cli.screen import Screen
    from mllab.lab import Lab
    from mllab.query.engine import Engine


class Invocation:
    """The global options of one call, and what is made from them when it is first needed.

    Attributes:
        lab_path: what ``--lab`` named.
        as_json: print data and errors as JSON.
        debug: print a traceback with errors.
        color: whether colours are allowed; the terminal and NO_COLOR decide too.
    """

    def __init__(self) -> None:
        self.lab_path: str | None = None
        self.as_json = False
        self.debug = False
        self.color = True

    @cached_property
    def lab(self) -> Lab:
        """The lab to work in."""
        from mllab.lab import Lab

        return Lab.find(self.lab_path)

    @property
    def engine(self) -> Engine:
        """The query engine over the lab. Loads DuckDB."""
        return self.lab.engine

    @cached_property
    def screen(self) -> Screen:
        """Standard output as it is now."""
        from mllab.cli.screen import Screen

        return Screen.of_stdout(color=self.color)


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def _set(name: str) -> Any:
    def callback(context: click.Context, _param: click.Parameter, value: Any) -> None:
        # Written when given, so that an option after a subcommand adds to those before it.
        if value is not None and value is not False:
            setattr(context.ensure_object(Invocation), name, name != "color" and value)

    return callback


def global_options(*, shown: bool) -> list[click.Parameter]:
    """Return the options that every command takes; ``--debug`` and ``--no-color`` are listed once, on top."""
    return [
        click.Option(
            ["--lab"], metavar="DIR", expose_value=False, callback=_set("lab_path"), type=click.Path(),
            help="The lab to use. Default: MLLAB_LAB, the nearest mllab.toml upwards, or your own default lab.",
        ),
        click.Option(
            ["--json"], is_flag=True, expose_value=False, callback=_set("as_json"),
            help="Print data, and errors, as JSON.",
        ),
        click.Option(
            ["--debug"], is_flag=True, expose_value=False, callback=_set("debug"), hidden=not shown,
            help="Print a traceback with errors.",
        ),
        click.Option(
            ["--no-color"], is_flag=True, expose_value=False, callback=_set("color"), hidden=not shown,
            help="Print without colours; NO_COLOR does the same.",
        ),
    ]  # fmt: skip


class LabCommand(click.Command):
    """A command that takes the global options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["params"] = [*(kwargs.get("params") or []), *global_options(shown=False)]
        super().__init__(*args, **kwargs)


class LazyGroup(click.Group):
    """A group that takes the global options and loads a command's module when the command is called or listed.

    ``homes`` maps a command's name to ``module:attribute``; the order is that of the help.
    """

    command_class = LabCommand

    def __init__(self, *args: Any, homes: Mapping[str, str], is_root: bool = False, **kwargs: Any) -> None:
        kwargs["params"] = [*(kwargs.get("params") or []), *global_options(shown=is_root)]
        # Said in full: click's own wording and status differ between its versions.
        kwargs |= {"no_args_is_help": False, "subcommand_metavar": "[COMMAND]..." if is_root else "COMMAND..."}
        super().__init__(*args, **kwargs)
        self.homes = dict(homes)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and name the commands when none is given."""
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            raise click.UsageError(f"{ctx.command_path} takes a command: {', '.join(self.list_commands(ctx))}.", ctx)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names in the order of the table."""
        return list(self.homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a command."""
        home = self.homes.get(cmd_name)
        if home is None:
            return None
        module, _, attribute = home.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was meant."""
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            names = self.list_commands(ctx)
            close = get_close_matches(name, names, 1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Commands: {', '.join(names)}."
            raise click.UsageError(f"There is no command {name!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)
