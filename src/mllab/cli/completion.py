"""`mllab completion`: the script that teaches a shell to complete, and the answers it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mllab.cli.invocation import Invocation, LabCommand, pass_invocation

if TYPE_CHECKING:
    from collections.abc import Callable

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_MLLAB_COMPLETE"
INSTALL = {
    "bash": "mllab completion bash > ~/.local/share/bash-completion/completions/mllab",
    "zsh": "mllab completion zsh > ~/.zfunc/_mllab   (with fpath+=~/.zfunc before compinit in ~/.zshrc)",
    "fish": "mllab completion fish > ~/.config/fish/completions/mllab.fish",
}


@click.command("completion", cls=LabCommand)
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
@pass_invocation
@click.pass_context
def completion(context: click.Context, invocation: Invocation, shell: str) -> None:
    """Print a script that completes commands, runs and filters in SHELL: bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    from mllab.cli.screen import is_tty, note

    made = get_completion_class(shell)
    assert made is not None, "click completes in each of SHELLS"
    root = context.find_root().command
    invocation.screen.print(made(root, {}, "mllab", _VARIABLE).source())
    if is_tty(invocation.screen.stream):
        note(f"Install it with:\n  {INSTALL[shell]}")


def answer(root: click.Command, prog_name: str, instruction: str) -> int:
    """Answer a shell that asks what could be typed next; nothing when anything is wrong."""
    from click.shell_completion import shell_complete

    found = _quietly(lambda: shell_complete(root, {"obj": Invocation()}, prog_name, _VARIABLE, instruction))
    return 1 if found is None else found


def _quietly(ask: Callable[[], int]) -> int | None:
    try:
        return ask()
    except Exception:  # a tab key must not print a traceback
        return None
