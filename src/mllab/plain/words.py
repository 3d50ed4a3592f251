"""Runs, comparisons and items of the inbox in words: a line for each, or a line for each fact."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mllab.tui.services.comparing import compared_rows
from mllab.tui.services.run_cells import TIMES, table_row
from mllab.tui.services.run_rows import read_rows
from mllab.wording import ago, duration, local_time, number, param, plural, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mllab.query.comparison import Comparison
    from mllab.query.engine import Engine
    from mllab.query.inbox import Item
    from mllab.query.run_detail import MetricSummary, RunDetail
    from mllab.tui.services.run_list import Listed
    from mllab.tui.widgets.table_model import TableRow

_WORDS = {"●": "running", "✓": "finished", "✗": "failed", "■": "killed", "?": "lost"}


def listed_rows(engine: Engine, listed: Listed, start: int, stop: int, pins: Sequence[str]) -> list[TableRow]:
    """Return rows of a list, as the table of the terminal UI has them."""
    if stop <= len(listed.first):
        return list(listed.first[start:stop])
    refs = [int(ref) for ref in listed.refs[start:stop]]
    now_s, marked = time.time(), set(pins)
    with engine.at(listed.state):
        rows = read_rows(engine, refs, listed.terms)
    return [table_row(run, listed.terms, cells, now_s, marked) for run, cells in rows]


def row_words(listed: Listed, row: TableRow) -> str:
    """Return a row of a list: its name, each other cell with its heading, its status, and when.

    A cell's text is the one that the terminal UI shows; empty ones are left out.
    """
    parts, times = [], []
    has_status = False
    for term, column, cell in zip(listed.terms, listed.columns, row.cells, strict=True):
        if not cell.text:
            continue
        if term.kind == "run" and term.key in TIMES:
            times.append(cell.text if term.key == "started" else f"{column.title} {cell.text}")
        elif term.kind == "run" and term.key in ("name", "status"):
            has_status |= term.key == "status"
            parts.append(cell.text)
        else:
            parts.append(f"{column.title} {cell.text}")
    is_deleted = listed.view.which == "deleted"
    status = [] if has_status else ["deleted" if is_deleted else _WORDS.get(row.glyph, "lost")]
    return ", ".join([*parts, *status, *times])


def detail_words(detail: RunDetail) -> Iterator[str]:
    """Yield what is known of a run, a fact a line."""
    run = detail.run
    yield f"Run {run.name}"
    facts = [
        ("id", run.run_id),
        ("status", run.status),
        ("archived", "yes" if run.archived else ""),
        ("deleted", "yes" if run.deleted else ""),
        ("experiment", run.experiment),
        ("started", f"{local_time(run.started)}, {ago(run.started)}"),
        ("duration", duration(run.duration)),
        ("by", "@".join(part for part in (run.user, run.host) if part)),
        ("attempt", str(run.attempt) if run.attempt > 1 else ""),
        ("parent", run.parent_id or ""),
        ("forked from", f"{run.forked_from} at step {run.forked_step}" if run.forked_from else ""),
        ("damaged", run.damaged or ""),
    ]
    yield from (f"{name}: {value}" for name, value in facts if value)
    if detail.error:
        yield f"error: {detail.error.get('type', '')}: {detail.error.get('message', '')}"
    for each in (run.note or "").splitlines():
        yield f"note: {each}"
    yield from map(_metric_words, detail.metrics)
    yield from (f"param {key}: {param(value.kind, value.text)}" for key, value in detail.params.items())
    yield from (f"tag {key}: {value}" for key, value in detail.tags.items())
    for dataset in detail.datasets:
        rows = f", {dataset.rows:,} rows" if dataset.rows else ""
        yield f"dataset {dataset.name}: {dataset.context or 'no context'}{rows}"
    yield from (f"artifact {artifact.path}: {size(artifact.size)}" for artifact in detail.artifacts)
    yield from (f"run inside {child.name}: {child.status}" for child in detail.children)


def _metric_words(each: MetricSummary) -> str:
    text = f"metric {each.key}: last {number(each.last)} at step {each.last_step}"
    text += f", least {number(each.min)} at step {each.min_step}, most {number(each.max)} at step {each.max_step}"
    return f"{text}, {plural(each.count, 'point')}" + (f", {each.nans:,} of them NaN" if each.nans else "")


def comparison_words(comparison: Comparison) -> Iterator[str]:
    """Yield what differs between runs, the first the baseline: a line for each value of each run."""
    yield f"Comparing {plural(len(comparison.runs), 'run')}; {comparison.runs[0].name} is the baseline."
    _, rows = compared_rows(comparison, only_differing=True)
    for row in rows:
        kind, _, _ = row.key.partition(":")
        if kind == "heading":
            yield f"{row.cells[0].text}: {row.cells[1].text}"
            continue
        for run, cell in zip(comparison.runs, row.cells[1:], strict=True):
            text = run.status if row.key == "run:status" else cell.text  # the cell's glyph says the same
            yield f"{row.cells[0].text} of {run.name}: {text}"


def item_words(item: Item) -> str:
    """Return an item of the inbox."""
    return f"{item.kind}, {item.name}, {item.text}, {ago(item.time_us)}"
