"""Checking sealed parts: bytes, schema, order, bounds, and that runs, summaries and points agree. Needs pyarrow."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mllab.ids import is_run_id
from mllab.store.findings import Findings
from mllab.store.layout import regular_file_size
from mllab.store.schema import LOGS, POINTS, RUN_TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mllab.store.layout import Layout
    from mllab.store.manifest import Fold, Manifest, Part

SCHEMAS = {**RUN_TABLES, "points": POINTS, "logs": LOGS}
SORTED_BY = {
    "params": ("key", "ref"),
    "tags": ("key", "ref"),
    "summaries": ("key", "ref"),
    "points": ("ref", "key", "step", "attempt", "seq"),
}
MAX_NAMED = 20


class _Run(NamedTuple):
    run_id: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.run_id})"


class PartChecker:
    """Checks the parts of one manifest. Use once: call :meth:`check`, then read ``findings``."""

    def __init__(self, layout: Layout, manifest: Manifest, *, deep: bool) -> None:
        self.findings = Findings()
        self._layout = layout
        self._manifest = manifest
        self._deep = deep
        self._runs: dict[int, _Run] = {}
        self._ids: set[str] = set()
        self._deleted: set[int] = set()
        self._summaries: dict[tuple[int, str], tuple[int, int, int]] = {}
        self._counted: Counter[tuple[int, str]] = Counter()
        self._is_complete = True

    def check(self, fallbacks: list[Manifest]) -> Findings:
        """Check every part of the manifest, and that those only ``fallbacks`` name are still whole."""
        manifest = self._manifest
        for fold in manifest.folds:
            self._check_fold(fold)
        for part in manifest.points:
            for group in self._groups(part, "points", f"{part.rows:,} points at most; the runs below say whose"):
                self._count(group)
        for part in manifest.logs:
            for group in self._groups(part, "logs", f"{part.rows:,} lines of console output"):
                self._check_refs(part, set(group["ref"].to_pylist()))
        if self._deep and self._is_complete:
            self._check_deleted()
            self._compare()
        seen = {part.name for part in manifest.all_parts()}
        for fallback in fallbacks:
            for part in fallback.all_parts():
                if part.name not in seen:
                    seen.add(part.name)
                    self._is_whole(part, f", which the manifest {fallback.number} falls back on,")
        return self.findings

    # -- one file ------------------------------------------------------------------------------------------

    def _is_whole(self, part: Part, which: str = "", lost: str = "") -> bool:
        """Check a part's presence and size and, when deep, its digest."""
        path, found = f"parts/{part.name}", self.findings
        said = (lost,) if lost else ()
        found.checked["parts"] += 1
        full = self._layout.part(part.name)
        size = regular_file_size(full)
        if size is None:
            found.problem("part", path, f"The part {part.name}{which} is missing.", *said)
        elif size != part.size:
            found.problem("part", path, f"The part {part.name}{which} has {size:,} of {part.size:,} bytes.", *said)
        elif self._deep:
            found.bytes += size
            try:
                with open(full, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                found.problem("part", path, f"The part {part.name}{which} cannot be read: {error.strerror}.", *said)
                return False
            if digest == part.sha256:
                return True
            found.problem("part", path, f"The part {part.name}{which} does not match its checksum.", *said)
        else:
            return True
        return False

    def _groups(self, part: Part, name: str, lost: str) -> Iterator[pa.Table]:
        """Yield the row groups of a part that passes, checking schema, count, order and bounds on the way."""
        if not self._is_whole(part, lost=lost):
            self._is_complete &= name not in ("runs", "summaries")
            return
        if not self._deep:
            return
        problems = []
        try:
            file = pq.ParquetFile(self._layout.part(part.name), page_checksum_verification=True)
            expected = {field.name: _plain(field.type) for field in SCHEMAS[name]}
            if {field.name: _plain(field.type) for field in file.schema_arrow} != expected:
                problems.append("has other columns than its table")
            elif file.metadata.num_rows != part.rows:
                problems.append(f"has {file.metadata.num_rows:,} of {part.rows:,} rows")
            else:
                order = _Order(SORTED_BY.get(name, ("ref",)), part)
                for number in range(file.num_row_groups):
                    group = file.read_row_group(number).combine_chunks()
                    if any(group[column].null_count for column in {*order.columns, "ref"}):
                        problems.append("has rows without a run or key")
                        continue
                    problems += order.problems_of(group)
                    yield group
                problems += order.problems_at_end()
        except (pa.ArrowException, OSError, ValueError) as error:
            problems.append(f"is not readable ({error})")
        for problem in problems[:1]:
            self._is_complete &= name not in ("runs", "summaries")
            self.findings.problem("part", f"parts/{part.name}", f"The part {part.name} {problem}.", lost)

    # -- run-level tables ----------------------------------------------------------------------------------

    def _check_fold(self, fold: Fold) -> None:
        found = self.findings
        strange = set(fold.parts) - set(RUN_TABLES)
        if strange:
            found.problem("fold", "manifest", f"A fold has the tables {', '.join(sorted(fold.parts))}.")
            self._is_complete = False
            return
        part = fold.parts["runs"]
        rows: list[dict[str, Any]] = []
        lost = f"{part.rows:,} runs, numbered {part.first_ref} to {part.last_ref}"
        for group in self._groups(part, "runs", lost):
            rows += group.select(["ref", "run_id", "name", "deleted", "damaged"]).to_pylist()
        self._add_runs(fold, rows)
        refs = {row["ref"] for row in rows}
        masked = set(fold.masked)
        owners = [f"{row['name']} ({row['run_id']})" for row in rows if row["ref"] not in masked]
        for name, other in fold.parts.items():
            if name == "runs":
                continue
            for group in self._groups(other, name, f"the {name} of {_listed(owners) or lost}"):
                if rows and not set(group["ref"].to_pylist()) <= refs:
                    path = f"parts/{other.name}"
                    found.problem("fold", path, f"The part {other.name} has rows of runs that its fold lacks.")
                if name == "summaries":
                    self._add_summaries(group, masked)

    def _add_runs(self, fold: Fold, rows: list[dict[str, Any]]) -> None:
        found, path = self.findings, f"parts/{fold.parts['runs'].name}"
        masked = set(fold.masked)
        if rows and len(rows) != fold.runs:
            found.problem("fold", path, f"A fold of {fold.runs:,} runs has {len(rows):,}.")
        seen = set()
        for row in rows:
            ref, run = row["ref"], _Run(str(row["run_id"]), str(row["name"]))
            if ref in seen or not 1 <= ref < self._manifest.next_ref:
                found.problem("fold", path, f"The run {run} has the number {ref}, which is taken or out of range.")
            seen.add(ref)
            if ref in masked:
                continue
            if ref in self._runs or run.run_id in self._ids or not is_run_id(run.run_id):
                found.problem("fold", path, f"The run {run} is there twice, or has no proper id.")
            self._runs[ref] = run
            self._ids.add(run.run_id)
            found.checked["runs"] += 1
            if row["deleted"] is not None:
                self._deleted.add(ref)
            if row["damaged"]:
                found.note("run", path, f"The run {run} was damaged when it was sealed: {row['damaged']}.")

    def _add_summaries(self, group: pa.Table, masked: set[int]) -> None:
        columns = [group[name].to_pylist() for name in ("ref", "key", "count", "first_step", "last_step")]
        for ref, key, count, first, last in zip(*columns, strict=True):
            if ref not in masked:
                self._summaries[ref, key] = (count, first, last)

    def _check_deleted(self) -> None:
        if self._deleted != set(self._manifest.deleted):
            wrong = sorted(self._deleted ^ set(self._manifest.deleted))[:MAX_NAMED]
            names = _listed([str(self._runs.get(ref, f"number {ref}")) for ref in wrong])
            self.findings.problem("fold", "manifest", f"Manifest and runs differ about which are deleted: {names}.")

    # -- points --------------------------------------------------------------------------------------------

    def _count(self, group: pa.Table) -> None:
        """Count the points of each run and metric; they lie together."""
        key = _encoded(group["key"])
        refs, codes = group["ref"].to_numpy(), key.indices.to_numpy()
        words = key.dictionary.to_pylist()
        starts = np.r_[0, np.flatnonzero((refs[1:] != refs[:-1]) | (codes[1:] != codes[:-1])) + 1]
        counts = np.diff(np.r_[starts, len(refs)])
        self.findings.checked["points"] += len(refs)
        for ref, code, count in zip(refs[starts].tolist(), codes[starts].tolist(), counts.tolist(), strict=True):
            self._counted[ref, words[code]] += count

    def _check_refs(self, part: Part, refs: set[int]) -> None:
        if self._is_complete and not refs <= self._runs.keys():
            self.findings.problem(
                "part", f"parts/{part.name}", f"The part {part.name} has rows of runs that no fold has."
            )

    def _compare(self) -> None:
        """Hold the points that are there against the summaries, and name what is gone."""
        lost: dict[int, list[str]] = {}
        for (ref, key), (count, first, last) in self._summaries.items():
            here = self._counted.pop((ref, key), 0)
            if here < count:
                steps = f"steps {min(first, last)} to {max(first, last)}"
                lost.setdefault(ref, []).append(f"{count - here:,} of {count:,} points of {key!r}, {steps}")
            elif here > count:
                self.findings.problem(
                    "points",
                    "parts",
                    f"The run {self._runs.get(ref, ref)} has {here:,} points of {key!r}; its summary says {count:,}.",
                )
        for ref, lines in sorted(lost.items()):
            self.findings.problem("points", "parts", f"The run {self._runs.get(ref, ref)} lacks points.", *lines)
        for ref in sorted({ref for ref, _ in self._counted})[:MAX_NAMED]:
            whose = self._runs.get(ref, f"number {ref}, which no fold has")
            self.findings.problem("points", "parts", f"There are points without a summary, of the run {whose}.")


class _Order:
    """Checks that rows come in order and within a part's bounds, one row group at a time."""

    def __init__(self, columns: tuple[str, ...], part: Part) -> None:
        self.columns = columns
        self._part = part
        self._last: tuple[Any, ...] | None = None
        self._low: int | None = None
        self._high: int | None = None

    def problems_of(self, group: pa.Table) -> list[str]:
        if not group.num_rows:
            return []
        refs = group["ref"].to_numpy()
        low, high = int(refs.min()), int(refs.max())
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)
        first = tuple(group[name][0].as_py() for name in self.columns)
        is_sorted = self._last is None or self._last <= first
        self._last = tuple(group[name][-1].as_py() for name in self.columns)
        return [] if is_sorted and _is_sorted([_ranks(group[name]) for name in self.columns]) else ["is not sorted"]

    def problems_at_end(self) -> list[str]:
        bounds = (self._part.first_ref, self._part.last_ref)
        return [] if (self._low, self._high) == bounds else [f"holds runs {self._low} to {self._high}, not {bounds}"]


def _is_sorted(columns: list[NDArray[Any]]) -> bool:
    """Whether rows are in ascending order of the columns, the first one foremost."""
    undecided = np.ones(max(len(columns[0]) - 1, 0), bool)
    for column in columns:
        if np.any(undecided & (column[1:] < column[:-1])):
            return False
        undecided &= column[1:] == column[:-1]
    return True


def _ranks(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return integers that sort like the column."""
    if pa.types.is_string(column.type):
        column = _encoded(column)
        words = column.dictionary.to_pylist()
        ranks = np.empty(len(words), np.int64)
        ranks[sorted(range(len(words)), key=words.__getitem__)] = np.arange(len(words))
        found: NDArray[Any] = ranks[column.indices.to_numpy()]
    else:
        found = column.to_numpy()
    return found


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column as codes and words."""
    encoded = column.dictionary_encode().combine_chunks()
    return encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
