"""The command `mllab`: its commands by name, and what happens to errors, Ctrl-C and broken pipes."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mllab.cli.invocation import Invocation, LazyGroup, pass_invocation

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPLETE = "_MLLAB_COMPLETE"
COMMANDS = {
    "init": "mllab.cli.lab:init",
    "demo": "mllab.cli.demo:demo",
    "doctor": "mllab.cli.doctor:doctor",
    "runs": "mllab.cli.runs:runs",
    "open": "mllab.cli.ui:open_",
    "web": "mllab.cli.web:web",
    "metrics": "mllab.cli.metrics:metrics",
    "artifacts": "mllab.cli.artifacts:artifacts",
    "sql": "mllab.cli.sql:sql",
    "store": "mllab.cli.store:store",
    "completion": "mllab.cli.completion:completion",
}


class Root(LazyGroup):
    """The top of the command line: the only place that ends the process, and where plugins add commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return mllab's own commands, then those of plugins."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in sorted(_plugin_commands()) if name not in own)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; plugins are asked only for what mllab does not have."""
        return super().get_command(ctx, cmd_name) or _plugin_commands().get(cmd_name)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,  # noqa: ARG002  # click's signature
        standalone_mode: bool = True,
        windows_expand_args: bool = True,  # noqa: ARG002
        **extra: Any,
    ) -> Any:
        """Run one call and exit with its status; with ``standalone_mode`` false return the status."""
        status = self._call(sys.argv[1:] if args is None else list(args), prog_name or "mllab", extra)
        if standalone_mode:
            sys.exit(status)
        return status

    def _call(self, args: list[str], prog_name: str, extra: dict[str, Any]) -> int:
        invocation = Invocation()
        try:
            _never_fail_to_encode()
            instruction = os.environ.get(_COMPLETE)
            if instruction:
                from mllab.cli.completion import answer

                return answer(self, prog_name, instruction)
            with self.make_context(prog_name, args, obj=invocation, **extra) as context:
                self.invoke(context)
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            return 0
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except BrokenPipeError:
            _stop_writing(1, 2)
            return 141
        except KeyboardInterrupt:
            return 130
        except (SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # the last place that can say what happened
            return self._failed(error, args, invocation)

    def _failed(self, error: BaseException, args: list[str], invocation: Invocation) -> int:
        from mllab.cli.failures import report

        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except (OSError, ValueError):
            _stop_writing(1)
        # An error in parsing comes before the options that are behind it.
        as_json = invocation.as_json or "--json" in args
        debug = invocation.debug or "--debug" in args
        try:
            return report(error, as_json=as_json, debug=debug, color=invocation.color)
        except BrokenPipeError:
            _stop_writing(1, 2)
            return 141


def _plugin_commands() -> dict[str, click.Command]:
    from mllab.plugins.manager import cli_commands

    return cli_commands()


def _never_fail_to_encode() -> None:
    """Have characters that the locale cannot encode replaced, and lone surrogates with them."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            if stream is not None and stream.errors in ("strict", "surrogateescape"):
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def _stop_writing(*descriptors: int) -> None:
    """Point standard streams at nothing: the interpreter flushes them once more when it ends."""
    with contextlib.suppress(OSError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        for descriptor in descriptors:
            os.dup2(nothing, descriptor)
        os.close(nothing)


def _print_version(context: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from mllab import __version__

        click.echo(f"mllab {__version__}")
        context.exit()


@click.group(
    cls=Root,
    homes=COMMANDS,
    is_root=True,
    invoke_without_command=True,
    name="mllab",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.option("--plain", is_flag=True, help="Take commands line by line: for screen readers, dumb terminals, scripts.")
@pass_invocation
@click.pass_context
def root(context: click.Context, invocation: Invocation, *, plain: bool) -> None:
    """Track, compare and keep machine-learning experiments on your own disk.

    Without a command: the terminal UI, or what is in the lab where there is no terminal.
    """
    if plain and context.invoked_subcommand not in (None, "open"):
        raise click.UsageError("--plain goes with `mllab` alone and with `mllab open`.", context)
    if context.invoked_subcommand is None:
        if plain:
            from mllab.cli.plain import run_plain

            run_plain(invocation)
            return
        from mllab.cli.ui import can_show_ui, run_ui

        if can_show_ui(invocation):
            run_ui(invocation.lab)
            return
        from mllab.cli.lab import print_overview

        print_overview(invocation)


def main() -> NoReturn:
    """Run the command line; the entry point of the console script."""
    root.main(prog_name="mllab")
    raise AssertionError("Root.main ends the process")


if __name__ == "__main__":
    main()
