"""What is known of a run, as styled text: beside the list, and as the overview of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mllab.query.views import SYSTEM_PREFIX
from mllab.security.terminal import block, fit, line, width
from mllab.tui.widgets.chart_sparkline import sparkline
from mllab.wording import STATUS_GLYPHS, ago, duration, local_time, number, param, plural, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.query.run_detail import MetricSummary, RunDetail

STATUS_COLORS = {"running": "cyan", "finished": "green", "failed": "red", "killed": "yellow", "lost": "yellow"}
SPARK_CELLS = 16
MOST_NAME = 26


def detail_text(detail: RunDetail, room: int) -> Text:
    """Return everything about a run in lines of at most ``room`` cells."""
    text = Text()
    run = detail.run
    _line(text, fit(line(run.name), room), "bold")
    _line(text, run.run_id, "dim")
    status = f"{STATUS_GLYPHS.get(run.status, '?')} {run.status}"
    marks = [word for word, is_so in (("archived", run.archived), ("deleted", run.deleted)) if is_so]
    _line(text, ", ".join([status, *marks]), STATUS_COLORS.get(run.status, ""))
    pairs = [
        ("experiment", run.experiment),
        ("started", f"{local_time(run.started)[:19]}, {ago(run.started)}"),
        ("duration", duration(run.duration)),
        ("by", "@".join(part for part in (run.user, run.host) if part)),
        ("attempt", str(run.attempt) if run.attempt > 1 else ""),
        ("parent", run.parent_id or ""),
        ("forked from", f"{run.forked_from} at {run.forked_step}" if run.forked_from else ""),
        ("damaged", run.damaged or ""),
    ]
    _pairs(text, [(key, value) for key, value in pairs if value], room)
    if detail.error:
        kind, message = str(detail.error.get("type", "")), str(detail.error.get("message", ""))
        _heading(text, "Error")
        _line(text, fit(line(f"{kind}: {message}"), room * 3), "red")
    metrics = sorted(detail.metrics, key=lambda each: (each.key.startswith(SYSTEM_PREFIX), each.count < 2, each.key))
    _metrics(text, metrics, room)
    _pairs(text, [(key, param(each.kind, each.text)) for key, each in detail.params.items()], room, "Params")
    _pairs(text, list(detail.tags.items()), room, "Tags")
    if run.note:
        _heading(text, "Note")
        for each in block(run.note).rstrip().expandtabs(4).split("\n"):
            _line(text, each)
    datasets = [
        (each.name, " ".join(part for part in (each.context or "", f"{each.rows:,} rows" if each.rows else "") if part))
        for each in detail.datasets
    ]
    _pairs(text, datasets, room, "Datasets")
    _pairs(text, [(each.path, size(each.size)) for each in detail.artifacts[:12]], room, "Artifacts")
    if len(detail.artifacts) > 12:
        _line(text, f"and {plural(len(detail.artifacts) - 12, 'file')} more", "dim")
    children = [(each.name, each.status) for each in detail.children[:12]]
    _pairs(text, children, room, f"Runs inside ({len(detail.children):,})")
    return text


def _line(text: Text, content: str, style: str = "") -> None:
    text.append(content + "\n", style)


def _heading(text: Text, words: str) -> None:
    text.append("\n")
    _line(text, words, "bold")


def _pairs(text: Text, pairs: Sequence[tuple[str, str]], room: int, heading: str = "") -> None:
    if not pairs:
        return
    if heading:
        _heading(text, heading)
    names = [fit(line(key), MOST_NAME) for key, _ in pairs]
    indent = min(max(map(width, names)), MOST_NAME, max(room // 2, 8))
    for name, (_, value) in zip(names, pairs, strict=True):
        cut = fit(name, indent)
        text.append(cut + " " * (indent - width(cut) + 2), "dim")
        _line(text, fit(line(value[:400]), max(room - indent - 2, 8)))


def _metrics(text: Text, metrics: Sequence[MetricSummary], room: int) -> None:
    """Write each metric with its last value and, where there is room, its curve in a line."""
    if not metrics:
        return
    _heading(text, "Metrics")
    names = [fit(line(each.key), MOST_NAME) for each in metrics]
    values = [number(each.last) for each in metrics]
    indent, most = max(map(width, names)), max(map(len, values))
    cells = min(SPARK_CELLS, room - indent - most - 4)
    for name, value, each in zip(names, values, metrics, strict=True):
        text.append(name + " " * (indent - width(name) + 2), "dim")
        text.append(value.rjust(most), "red" if value == "nan" else "bold")
        if cells >= 6 and len(each.spark) > 1:
            text.append("  " + sparkline([float("nan") if v is None else v for v in each.spark], cells), "cyan")
        text.append("\n")
