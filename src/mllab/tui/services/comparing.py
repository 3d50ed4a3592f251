"""Comparisons as rows and curves: runs beside each other, or groups that are equal but for the seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mllab.query.comparison import change
from mllab.query.differences import differences
from mllab.query.goals import goal
from mllab.query.run_detail import run_params
from mllab.query.seeds import SeedGroup, SeedSummary, fold_seeds, mean_curve, summaries
from mllab.query.views import SYSTEM_PREFIX, find_run
from mllab.tui.services.run_cells import STATUS_STYLES
from mllab.tui.services.run_curves import POINTS
from mllab.tui.widgets.chart_data import Series
from mllab.tui.widgets.table_model import TableCell, TableColumn, TableRow
from mllab.wording import STATUS_GLYPHS, ago, duration, number, param, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.query.comparison import Compared, Comparison
    from mllab.query.engine import Engine
    from mllab.query.run_detail import MetricSummary
    from mllab.query.tables import Tables
    from mllab.query.views import ParamValue

KEY_CELLS = 28
RUN_CELLS = 28
MOST_CHARTS = 60
SIGNIFICANT = 0.05
DASH = "\u2013"


# -- runs ----------------------------------------------------------------------------------------------------


def compared_rows(comparison: Comparison, *, only_differing: bool) -> tuple[list[TableColumn], list[TableRow]]:
    """Return runs as columns, the first the baseline: attributes, params, tags, and metrics with their distance."""
    runs = comparison.runs
    columns = [TableColumn("key", "", KEY_CELLS)]
    columns += [TableColumn(run.run_id, ("≡ " if at == 0 else "") + run.name, RUN_CELLS) for at, run in enumerate(runs)]
    rows = [
        _row("run:status", "status", [TableCell(f"{STATUS_GLYPHS.get(r.status, '?')} {r.status}",
                                                STATUS_STYLES.get(r.status, "")) for r in runs]),
        _row("run:started", "started", [TableCell(ago(run.started), "dim") for run in runs]),
        _row("run:duration", "duration", [TableCell(duration(run.duration), "dim") for run in runs]),
    ]  # fmt: skip
    for heading, values in (("Metrics", comparison.metrics), ("Params", comparison.params), ("Tags", comparison.tags)):
        chosen = [each for each in values if each.differs or not only_differing]
        if heading == "Metrics":
            chosen = [each for each in chosen if not each.key.startswith(SYSTEM_PREFIX)]
        if not chosen:
            continue
        hidden = len(values) - len(chosen)
        rows.append(_heading(heading, f"{len(chosen):,}" + (f", {hidden:,} not shown" if hidden else ""), len(runs)))
        for each in chosen:
            cells = _metric_cells(each) if heading == "Metrics" else _plain_cells(each)  # type: ignore[arg-type]  # by heading
            rows.append(_row(f"{heading}:{each.key}", each.key, cells))
    return columns, rows


def _row(key: str, name: str, cells: Sequence[TableCell]) -> TableRow:
    return TableRow(key, (TableCell(name, "dim"), *cells))


def _heading(name: str, remark: str, runs: int) -> TableRow:
    return TableRow(
        f"heading:{name}", (TableCell(name, "best"), TableCell(remark, "dim"), *[TableCell("")] * (runs - 1))
    )


def _plain_cells(compared: Compared[ParamValue | str]) -> list[TableCell]:
    first = compared.values[0]
    cells = []
    for value in compared.values:
        if value is None:
            cells.append(TableCell(DASH, "dim"))
            continue
        text = value if isinstance(value, str) else param(value.kind, value.text)
        cells.append(TableCell(text, "" if value == first else "warn"))
    return cells


def _metric_cells(compared: Compared[MetricSummary]) -> list[TableCell]:
    """Return last values, each with its distance to the baseline's in absolute terms and as a share."""
    values = [None if each is None else each.last for each in compared.values]
    cells = []
    for at, value in enumerate(values):
        if value is None:
            cells.append(TableCell(DASH, "dim"))
            continue
        distance = change(values[0], value) if at else None
        text = number(value)
        if distance:
            base = values[0] or 0.0
            share = f" {distance / abs(base):+.1%}" if base and abs(distance / base) < 10 else ""
            text += f"  {'+' if distance > 0 else ''}{number(distance, 3)}{share}"
        cells.append(TableCell(text, "bad" if math.isnan(value) else _direction(compared.key, distance)))
    return cells


def _direction(key: str, distance: float | None) -> str:
    """Return the style of a distance: better, worse, or different where the key does not say which is better."""
    if not distance:
        return ""
    wanted = goal(key)
    if wanted is None:
        return "warn"
    return "ok" if (distance < 0) == (wanted == "min") else "bad"


def code_differences(engine: Engine, pair: tuple[str, str]) -> tuple[str, str, tuple[str, str]]:
    """Return code, packages and surroundings of two runs as texts to be compared line by line."""
    found = differences(engine, *pair)
    sides: tuple[list[str], list[str]] = ([], [])
    for heading, group in (
        ("code", found.code), ("packages", found.packages), ("surroundings", found.surroundings),
        ("params", [(key, _param(a), _param(b)) for key, a, b in found.params]),
    ):  # fmt: skip
        for side, lines in enumerate(sides):
            lines.append(f"[{heading}]")
            lines += [f"{entry[0]} = {entry[1 + side]}" for entry in group if entry[1 + side] is not None]
            lines.append("")
    if found.patch:
        for lines in sides:
            lines.append("[uncommitted changes]")
        for each in found.patch:
            if each[:1] in (" ", "-") and not each.startswith("---"):
                sides[0].append(each[1:])
            if each[:1] in (" ", "+") and not each.startswith("+++"):
                sides[1].append(each[1:])
    return "\n".join(sides[0]), "\n".join(sides[1]), (found.first.name, found.second.name)


def _param(value: Any) -> str | None:
    return None if value is None else param(value.kind, value.text)


# -- groups --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Folded:
    """Groups of runs that are equal but for the seed, at one state of the lab; the first is the baseline.

    ``params`` holds what tells the groups apart: by key, each group's text.
    """

    state: Tables
    groups: tuple[SeedGroup, ...]
    keys: tuple[str, ...]
    summaries: tuple[SeedSummary, ...]
    params: dict[str, list[str]]


def fold(engine: Engine, runs: Sequence[str]) -> Folded:
    """Fold runs by seed and sum up what each group ended on. Slow enough for a thread."""
    state = engine.pinned()
    with engine.at(state):
        refs = [find_run(engine, run)[0] for run in runs]
        groups = fold_seeds(engine, refs)
        chosen = ", ".join(map(str, refs))
        rows = engine.rows(f"SELECT DISTINCT key FROM r_summaries WHERE ref IN ({chosen}) ORDER BY key")  # noqa: S608
        keys = tuple(key for (key,) in rows if not key.startswith(SYSTEM_PREFIX))
        found = summaries(engine, groups, keys, baseline=0)
        firsts = run_params(engine, [group.refs[0] for group in groups])
        texts = {
            key: [_param(firsts[group.refs[0]].get(key)) or DASH for group in groups]
            for key in sorted({key for params in firsts.values() for key in params})
        }
    return Folded(state, groups, keys, found, {key: row for key, row in texts.items() if len(set(row)) > 1})


def folded_rows(folded: Folded, *, only_differing: bool) -> tuple[list[TableColumn], list[TableRow]]:
    """Return groups as columns: n, params that differ, and each metric's mean ± half of its 95 % interval."""
    groups = folded.groups
    columns = [TableColumn("key", "mean ± 95 % CI of the mean", KEY_CELLS)]
    columns += [
        TableColumn(str(at), ("≡ " if at == 0 else "") + group.name, RUN_CELLS + 8) for at, group in enumerate(groups)
    ]
    rows = [_row("n", "runs", [TableCell(f"n={len(group.refs)}") for group in groups])]
    rows += [
        _row(f"param:{key}", key, [TableCell(text, "" if text == texts[0] else "warn") for text in texts])
        for key, texts in folded.params.items()
    ]
    by_place = {(each.key, each.group): each for each in folded.summaries}
    for key in folded.keys:
        line = [by_place[key, at] for at in range(len(groups))]
        if only_differing and len({each.mean for each in line}) == 1 and len(groups) > 1:
            continue
        rows.append(_row(f"metric:{key}", key, [_summary_cell(each) for each in line]))
    return columns, rows


def _summary_cell(each: SeedSummary) -> TableCell:
    if each.mean is None:
        return TableCell(f"{DASH} ({plural(each.n_nan, 'NaN', 'NaN')})" if each.n_nan else DASH, "dim")
    text = number(each.mean)
    if each.half_width is not None:
        text += f" ± {number(each.half_width, 2)}"
    if each.p_value is not None and each.difference is not None:
        text += f"  {each.difference:+.3g} p={each.p_value:.2g}"
    if each.n_nan:
        text += f"  {each.n_nan} NaN"
    return TableCell(text, "best" if each.p_value is not None and each.p_value < SIGNIFICANT else "")


def folded_series(engine: Engine, folded: Folded) -> tuple[dict[str, list[Series]], str]:
    """Return for each metric a mean curve of each group with its band, and what is to be said of them."""
    found: dict[str, list[Series]] = {}
    with engine.at(folded.state):
        for key in folded.keys[:MOST_CHARTS]:
            for at, group in enumerate(folded.groups):
                curve = mean_curve(engine, group, key, POINTS // 2)
                if not len(curve.step):
                    continue
                band = (np.where(curve.n > 1, curve.low, curve.mean), np.where(curve.n > 1, curve.high, curve.mean))
                label = f"{group.name} (n={len(group.refs)})"
                x = curve.step.astype(np.float64)
                found.setdefault(key, []).append(Series(label, x, curve.mean, at, len(curve.step), band))
    left = len(folded.keys) - MOST_CHARTS
    more = f" The first {MOST_CHARTS} of {len(folded.keys):,} metrics are drawn." if left > 0 else ""
    return found, f"Mean over seeds with the 95 % confidence interval of the mean at each step.{more}"
