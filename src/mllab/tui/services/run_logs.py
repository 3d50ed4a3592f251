"""A run's console output as lines, and what was added to it since the last look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.query.engine import Engine

# Writers' clocks may differ: rows this much older than the newest may still arrive.
_LATE_US = 10_000_000
_Row = tuple[int, int, int, str, str]


@dataclass(frozen=True, slots=True)
class MoreLines:
    """Lines as columns; the last ``replaced`` of those shown before are replaced by them."""

    replaced: int
    times_us: Sequence[int]
    is_stderr: Sequence[bool]
    texts: Sequence[str]


class RunLogs:
    """The console output of one run. Every call takes as long as there is to read; for a thread."""

    def __init__(self, engine: Engine, run_id: str) -> None:
        self._engine = engine
        self._run_id = run_id
        self._seen: set[_Row] = set()
        self._newest = 0
        # A text without a newline is a line still being written, which the stream's next text replaces.
        self._open: dict[str, tuple[int, str]] = {}

    def more(self) -> MoreLines:
        """Return what is new since the last call: everything at the first."""
        replaced = len(self._open)
        times: list[int] = []
        stderr: list[bool] = []
        texts: list[str] = []
        for row in self._rows():
            if row in self._seen:
                continue
            _, time_us, _, stream, text = row
            self._newest = max(self._newest, time_us)
            self._seen.add(row)
            if not text.endswith("\n"):
                self._open[stream] = (time_us, text)
                continue
            self._open.pop(stream, None)
            lines = text[:-1].split("\n")
            times += [time_us] * len(lines)
            stderr += [stream == "stderr"] * len(lines)
            texts += lines
        self._seen = {row for row in self._seen if row[1] >= self._newest - _LATE_US}
        for stream, (time_us, text) in self._open.items():
            times.append(time_us)
            stderr.append(stream == "stderr")
            texts.append(text)
        return MoreLines(replaced, times, stderr, texts)

    def _rows(self) -> list[_Row]:
        engine = self._engine
        with engine.steady():
            ref, _ = engine.find(self._run_id, deleted=True)
            since = self._newest - _LATE_US if self._newest else 0
            table = engine.arrow(
                f"""SELECT attempt, epoch_us("time") AS t, seq, stream, text FROM r_logs
                WHERE ref = {int(ref)} AND "time" >= make_timestamptz({int(since)}::BIGINT)
                ORDER BY attempt, "time", seq"""  # noqa: S608  # integers
            )
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
