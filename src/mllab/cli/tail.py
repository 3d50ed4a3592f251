"""`mllab runs tail`: what a run printed, and goes on printing."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from mllab.cli.completion_values import complete_run
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import is_tty, note
from mllab.json_text import json_text
from mllab.security.terminal import block, fit, line
from mllab.wording import iso_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllab.query.engine import Engine

POLL_S = 0.5
# Several processes of one run write at once; what one of them wrote may arrive this much later.
_LATE_US = 30_000_000
_Row = tuple[int, int, int, str, str]


@click.command("tail", cls=LabCommand)
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--lines", "-n", default=100, show_default=True, type=click.IntRange(min=0), help="Lines from the end; 0 for all."
)
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends.")
@click.option("--stream", type=click.Choice(("stdout", "stderr")), help="Only this stream.")
@click.option(
    "--raw", is_flag=True, help="Pass the bytes on as they are, escape sequences too: only for runs you trust."
)
@pass_invocation
def tail(invocation: Invocation, run: str, lines: int, stream: str | None, *, follow: bool, raw: bool) -> None:
    """Print RUN's console output: stdout and stderr as they came.

    Escape sequences are taken out, so colours are too. With --json each text is an object of its own line.
    """
    engine = invocation.engine
    printer = _Printer(as_json=invocation.as_json, raw=raw, live=follow and is_tty(sys.stdout))
    with engine.steady():
        ref, run_id = engine.find(run)
        rows = _rows(engine, ref, stream)
    if not rows and not follow:
        note("The run printed nothing that was recorded.")
    for row in last_lines(rows, lines):
        printer.print(row)
    if follow:
        for row in _following(engine, run_id, stream, rows):
            printer.print(row)
    printer.finish()


def _rows(engine: Engine, ref: int, stream: str | None, since_us: int = 0) -> list[_Row]:
    """Return (attempt, time, seq, stream, text) in the order it was printed."""
    chosen = "AND stream = ?" if stream else ""
    rows = engine.rows(
        f"""SELECT attempt, epoch_us("time"), seq, stream, text FROM r_logs
        WHERE ref = {int(ref)} AND epoch_us("time") >= {int(since_us)} {chosen} ORDER BY attempt, "time", seq""",  # noqa: S608
        [stream] if stream else [],
    )
    return [(int(a), int(t), int(s), str(name), str(text)) for a, t, s, name, text in rows]


def last_lines(rows: list[_Row], lines: int) -> list[_Row]:
    """Return the end of what was printed: at least ``lines`` lines, cut inside a text where needed; all for 0.

    The state of a line that was later rewritten or completed does not count, and is left out.
    """
    kept: list[_Row] = []
    superseded: set[tuple[int, str]] = set()
    count = 0
    for attempt, moment, seq, stream, text in reversed(rows):
        if not text.endswith("\n") and (attempt, stream) in superseded:
            continue
        superseded.add((attempt, stream))
        size = text.count("\n") + (not text.endswith("\n"))
        piece = text
        if lines and count + size > lines:
            piece = "".join(text.splitlines(keepends=True)[count - lines :])
        if piece:
            kept.append((attempt, moment, seq, stream, piece))
        count += size
        if lines and count >= lines:
            break
    return kept[::-1]


def _following(engine: Engine, run_id: str, stream: str | None, rows: list[_Row]) -> Iterator[_Row]:
    """Yield rows as they come, until nobody writes to the run any more."""
    seen = {row for row in rows if row[1] >= rows[-1][1] - _LATE_US} if rows else set()
    newest = rows[-1][1] if rows else 0
    version: tuple[int, ...] | None = None
    while True:
        with engine.steady() as snapshot:
            if snapshot.version != version:
                version = snapshot.version
                ref, _ = engine.find(run_id, deleted=True)
                for row in _rows(engine, ref, stream, newest - _LATE_US):
                    if row not in seen:
                        seen.add(row)
                        newest = max(newest, row[1])
                        yield row
                seen = {row for row in seen if row[1] >= newest - _LATE_US}
            is_over = not any(tail.state.run_id == run_id and tail.is_live for tail in snapshot.tails)
        if is_over:
            return
        time.sleep(POLL_S)


class _Printer:
    """Prints texts. One without a newline is a line still being written: the stream's next text takes its place."""

    def __init__(self, *, as_json: bool, raw: bool, live: bool) -> None:
        self._as_json = as_json
        self._raw = raw
        self._live = live
        self._open: dict[str, str] = {}
        self._shown = ""

    def print(self, row: _Row) -> None:
        attempt, moment, _, stream, text = row
        if sys.stdout is None:
            return
        if self._as_json:
            data = {"attempt": attempt, "time": iso_time(moment), "stream": stream, "text": text}
            sys.stdout.write(json_text(data) + "\n")
        elif text.endswith("\n"):
            self._open.pop(stream, None)
            self._clear()
            self._write(text)
        else:
            self._open[stream] = text
            if self._live:
                self._clear()
                width = shutil.get_terminal_size().columns - 1
                self._shown = fit(line(block(text)), width)
                sys.stdout.write(self._shown)
        sys.stdout.flush()

    def finish(self) -> None:
        """Print the lines that were never completed."""
        self._clear()
        for text in self._open.values():
            self._write(text + "\n")

    def _clear(self) -> None:
        if self._shown and sys.stdout is not None:
            sys.stdout.write("\r\x1b[K")
            self._shown = ""

    def _write(self, text: str) -> None:
        if sys.stdout is None:
            return
        if self._raw:
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode("utf-8", "replace"))
            sys.stdout.buffer.flush()
        else:
            sys.stdout.write(block(text))
