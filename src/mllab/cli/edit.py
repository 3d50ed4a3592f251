"""`mllab runs note`, `tag`, `rename`, `archive`, `unarchive`, `delete` and `restore`: edits of runs, live ones too."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from mllab.cli.completion_values import complete_run
from mllab.cli.failures import can_ask, confirmed
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import note as remark
from mllab.cli.screen import print_json
from mllab.edits import checked_name, kept_days, parse_tag, storable
from mllab.errors import EnvironmentFault, UsageError
from mllab.security.terminal import block, line
from mllab.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.query.views import RunRow

_RUN = click.argument("run", shell_complete=complete_run)
_RUNS = click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run)


def find_rows(invocation: Invocation, runs: Sequence[str], *, deleted: bool = False) -> list[RunRow]:
    """Return the rows of the named runs, each once. All are found before anything is changed."""
    from mllab.query.views import run_rows

    engine = invocation.engine
    with engine.steady():
        refs = list(dict.fromkeys(engine.find(run, deleted=deleted)[0] for run in runs))
        rows = run_rows(engine, refs)
    return [rows[ref] for ref in refs]


def _edit(invocation: Invocation, row: RunRow, events: list[tuple[str, dict[str, Any]]]) -> None:
    invocation.lab.store.edit(row.run_id, row.attempt, events)


def _report(invocation: Invocation, rows: Sequence[RunRow], changed: dict[str, Any], verb: str) -> None:
    if invocation.as_json:
        print_json({"runs": [{"run_id": row.run_id, "name": row.name, **changed} for row in rows]})
        return
    for row in rows:
        invocation.screen.print(f"{verb} {line(row.name)} ({row.run_id})")


@click.command("note", cls=LabCommand)
@_RUN
@click.argument("text", required=False)
@click.option("--edit", "-e", "in_editor", is_flag=True, help="Write it in $VISUAL or $EDITOR.")
@pass_invocation
def note(invocation: Invocation, run: str, text: str | None, *, in_editor: bool) -> None:
    """Show RUN's note, or set it to TEXT ("-" reads standard input, "" removes it). Markdown."""
    row = find_rows(invocation, [run])[0]
    if in_editor:
        text = edited((row.note or "") if text is None else text)
    elif text == "-":
        text = sys.stdin.read() if sys.stdin is not None else ""
    if text is None:
        if invocation.as_json:
            print_json({"run_id": row.run_id, "note": row.note})
        elif row.note:
            invocation.screen.print(block(row.note).rstrip("\n"))
        return
    text = storable(text).rstrip()
    if text != (row.note or ""):
        _edit(invocation, row, [("note", {"text": text or None})])
    _report(invocation, [row], {"note": text or None}, "Noted on" if text else "Removed the note of")


def edited(text: str) -> str:
    """Return what the user makes of ``text`` in their editor.

    Raises:
        EnvironmentFault: there is no editor, or it failed.
    """
    import shlex
    import shutil
    import subprocess
    import tempfile

    command = (
        os.environ.get("VISUAL")
        or os.environ.get("EDITOR")
        or next((name for name in ("nano", "vi") if shutil.which(name)), "")
    )
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise EnvironmentFault(
            f"EDITOR is {command!r}, which is no command line: {error}.", "Set EDITOR=nano."
        ) from error
    if not argv:
        raise EnvironmentFault("There is no editor.", "Set EDITOR, or give the text: mllab runs note RUN TEXT")
    with tempfile.TemporaryDirectory(prefix="mllab-") as folder:
        path = os.path.join(folder, "note.md")
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        try:
            status = subprocess.run([*argv, path], check=False).returncode
        except OSError as error:
            raise EnvironmentFault(f"The editor {argv[0]} does not start: {error.strerror}.", "Set EDITOR.") from error
        if status:
            raise EnvironmentFault(f"The editor {argv[0]} ended with status {status}; nothing was changed.")
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()


@click.command("tag", cls=LabCommand)
@_RUN
@click.argument("changes", metavar="[KEY=VALUE | KEY-]...", nargs=-1)
@pass_invocation
def tag(invocation: Invocation, run: str, changes: tuple[str, ...]) -> None:
    """Set tags of RUN, remove those with a trailing "-", or show them."""
    from mllab.cli.table import print_pairs
    from mllab.query.run_detail import run_tags

    values = dict(map(parse_tag, changes))
    row = find_rows(invocation, [run])[0]
    if values:
        _edit(invocation, row, [("tags", {"values": values})])
    engine = invocation.engine
    with engine.steady():
        ref, _ = engine.find(row.run_id)
        tags = run_tags(engine, [ref])[ref]
    if invocation.as_json:
        print_json({"run_id": row.run_id, "tags": tags})
    else:
        print_pairs(invocation.screen, list(tags.items()))


@click.command("rename", cls=LabCommand)
@_RUN
@click.argument("name")
@pass_invocation
def rename(invocation: Invocation, run: str, name: str) -> None:
    """Give RUN another NAME; its id stays."""
    name = checked_name(name)
    row = find_rows(invocation, [run])[0]
    _edit(invocation, row, [("rename", {"name": name})])
    if invocation.as_json:
        print_json({"run_id": row.run_id, "name": name})
    else:
        invocation.screen.print(f"{line(row.name)} is {line(name)} ({row.run_id})")


@click.command("archive", cls=LabCommand)
@_RUNS
@pass_invocation
def archive(invocation: Invocation, runs: tuple[str, ...]) -> None:
    """Take runs out of lists; nothing of them is lost, and `--all` still lists them."""
    _set_archived(invocation, runs, value=True)


@click.command("unarchive", cls=LabCommand)
@_RUNS
@pass_invocation
def unarchive(invocation: Invocation, runs: tuple[str, ...]) -> None:
    """Put archived runs back into lists."""
    _set_archived(invocation, runs, value=False)


def _set_archived(invocation: Invocation, runs: Sequence[str], *, value: bool) -> None:
    rows = find_rows(invocation, runs)
    for row in rows:
        if row.archived != value:
            _edit(invocation, row, [("archive", {"value": value})])
    _report(invocation, rows, {"archived": value}, "Archived" if value else "Unarchived")


@click.command("delete", cls=LabCommand)
@_RUNS
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_invocation
def delete(invocation: Invocation, runs: tuple[str, ...], *, yes: bool) -> None:
    """Delete runs. They can be restored until `mllab store gc` takes them, a month later by default."""
    rows = find_rows(invocation, runs)
    live = [row for row in rows if row.status == "running"]
    if live:
        raise UsageError(f"The run {live[0].name!r} is still running.", "Stop it first; nothing was deleted.")
    if not yes:
        for row in rows:
            remark(f"  {line(row.name)}  {row.run_id}  {line(row.experiment)}, {row.status}")
        question = f"Delete {'this run' if len(rows) == 1 else f'these {len(rows):,} runs'}?"
        if not can_ask():
            raise UsageError("Nobody is there to confirm the deletion; nothing was deleted.", "Call again with --yes.")
        if not confirmed(question):
            remark("Nothing was deleted.")
            raise click.exceptions.Exit(1)
    for row in rows:
        _edit(invocation, row, [("delete", {"value": True})])
    _report(invocation, rows, {"deleted": True}, "Deleted")
    if not invocation.as_json:
        ids = " ".join(row.run_id for row in rows[:3]) + (" ..." if len(rows) > 3 else "")
        remark(f"{plural(len(rows), 'run')} can be brought back for {kept_days()} days: mllab runs restore {ids}")


@click.command("restore", cls=LabCommand)
@_RUNS
@pass_invocation
def restore(invocation: Invocation, runs: tuple[str, ...]) -> None:
    """Bring deleted runs back. `mllab runs ls --deleted` lists them."""
    rows = find_rows(invocation, runs, deleted=True)
    for row in rows:
        if row.deleted:
            _edit(invocation, row, [("delete", {"value": False})])
    _report(invocation, rows, {"deleted": False}, "Restored")
