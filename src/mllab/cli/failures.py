"""What a failed call prints: one line and a hint, or JSON; and the exit status that goes with it.

Exit status: 0 done, 1 the work failed, 2 wrong usage, 3 something on this machine is missing or broken,
130 interrupted, 141 nobody reads the output any more.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from mllab.cli.screen import is_tty, note
from mllab.errors import FilterError, MllabError

if TYPE_CHECKING:
    from typing import Any

DONE, FAILED, USAGE, ENVIRONMENT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141
_POINTER_WIDTH = 70


def report(error: BaseException, *, as_json: bool, debug: bool, color: bool = True) -> int:
    """Print an error to stderr and return the exit status."""
    if debug:
        import traceback

        note("".join(traceback.format_exception(error)).rstrip())
    message, hint, code, status = describe(error)
    if as_json:
        body: dict[str, Any] = {"code": code, "message": message, "hint": hint}
        if isinstance(error, FilterError) and error.text:
            body |= {"text": error.text, "column": error.column}
        note(json.dumps({"error": body}))
        return status
    from mllab.cli.screen import Screen
    from mllab.security.terminal import block

    screen = Screen.of_stderr(color=color)
    first, *rest = block(message).split("\n")
    note(f"{screen.styled('error:', 'red', 'bold')} {first} {screen.styled(f'[{code}]', 'dim')}")
    for each in rest:
        note(f"  {each}".rstrip())
    if isinstance(error, FilterError) and error.text:
        for each in pointer(error.text, error.column):
            note(f"  {each}")
    if hint:
        note(block(hint))
    return status


def describe(error: BaseException) -> tuple[str, str | None, str, int]:
    """Return an error's message, hint, code and exit status."""
    if isinstance(error, MllabError):
        return error.message, error.hint, error.code, error.exit_status
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "mllab"
        return error.format_message(), f"See `{path} --help`.", "USE-001", USAGE
    if isinstance(error, click.ClickException):
        return error.format_message(), None, "USE-001", error.exit_code
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}", "Run `mllab doctor` for the state of the lab.", "ENV-001", ENVIRONMENT
    if isinstance(error, ImportError):
        return f"{error}.", "The installation is not whole: pip install --force-reinstall mllab", "ENV-001", ENVIRONMENT
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return (
        f"Unexpected {text}",
        "This is a defect of mllab: please report it with the output of --debug.",
        "MLLAB-000",
        FAILED,
    )


def pointer(text: str, column: int) -> tuple[str, str]:
    """Return the part of ``text`` around ``column`` and a line with a caret below that column."""
    from mllab.security.terminal import line, width

    start = max(0, column - _POINTER_WIDTH // 2)
    before, after = line(text[start:column]), line(text[column : start + _POINTER_WIDTH])
    lead = "..." if start else ""
    tail = "..." if len(text) > start + _POINTER_WIDTH else ""
    return lead + before + after + tail, " " * (len(lead) + width(before)) + "^"


def can_ask() -> bool:
    """Whether somebody is there to answer a question."""
    import sys

    return is_tty(sys.stdin) and is_tty(sys.stderr)


def confirmed(question: str) -> bool:
    """Ask a question on stderr; anything but yes is no."""
    import sys

    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
