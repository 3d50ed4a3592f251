"""Rows of the table: what was measured, of whom, against which floor; as text and as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SCALES = {"s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")), "/s": ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s"))}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one subject.

    ``unit`` is ``s``, ``B`` (bytes a point), ``x`` (times), ``calls``, or a rate such as ``points/s``. Of rates and
    ratios more is better, of everything else less. ``best``, ``median`` and ``p99`` are of ``count`` measurements;
    a single measurement is its median. ``floor`` and ``aim`` are judged on ``judged``.
    """

    case: str
    what: str
    subject: str
    unit: str = ""
    median: float = math.nan
    best: float = math.nan
    p99: float = math.nan
    count: int = 0
    floor: float | None = None
    aim: float | None = None
    judged: str = "median"
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def more_is_better(self) -> bool:
        """Whether larger figures are better."""
        return self.unit.endswith("/s") or self.unit == "x"

    def verdict(self) -> str:
        """Return how the figure compares with its floor and aim; empty when it has none."""
        figure = getattr(self, self.judged)
        if self.floor is None or math.isnan(figure):
            return ""
        meets = (lambda bound: figure >= bound) if self.more_is_better else (lambda bound: figure <= bound)
        if self.aim is not None and meets(self.aim):
            return "aim"
        return "pass" if meets(self.floor) else "MISS"


def measured(case: str, what: str, subject: str, unit: str, samples: Sequence[float], **more: Any) -> Row:
    """Return a row for repeated measurements."""
    ordered = sorted(samples)
    if not ordered:
        return missing(case, what, subject, "no measurement")
    count = len(ordered)
    row = Row(case, what, subject, unit, count=count, **more)
    best, worst = (ordered[-1], ordered[count // 100]) if row.more_is_better else (ordered[0], _at(ordered, 0.99))
    return Row(
        case, what, subject, unit, median=_at(ordered, 0.5), best=best, p99=worst if count >= 20 else math.nan,
        count=count, **more,
    )  # fmt: skip


def missing(case: str, what: str, subject: str, why: str) -> Row:
    """Return a row for something that could not be measured, and why."""
    return Row(case, what, subject, note=why)


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def shown(figure: float | None, unit: str) -> str:
    """Return a figure with its unit, to three digits."""
    if figure is None or math.isnan(figure):
        return ""
    scales = _SCALES.get("/s" if unit.endswith("/s") else unit, ((1.0, unit),))
    scale, suffix = next((pair for pair in scales if abs(figure) >= pair[0]), scales[-1])
    digits = max(0, 2 - math.floor(math.log10(max(abs(figure / scale), 1e-9))))
    return f"{figure / scale:,.{min(digits, 3)}f} {suffix}".strip()


def print_rows(rows: Iterable[Row], *, judge: bool) -> None:
    """Print the table; without ``judge`` the floors are left out, because they are for the full size."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, justify in (
        ("measured", "left"), ("who", "left"), ("median", "right"), ("best", "right"), ("p99", "right"),
        ("n", "right"), ("must", "right"), ("aim", "right"), ("", "left"), ("note", "left"),
    ):  # fmt: skip
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    last = ""
    for row in rows:
        if row.case != last and last:
            table.add_section()
        last = row.case
        on = "" if row.judged == "median" or row.floor is None else f" ({row.judged})"
        bounds = [f"{shown(row.floor, row.unit)}{on}", shown(row.aim, row.unit), row.verdict()] if judge else [""] * 3
        table.add_row(
            row.what, row.subject, shown(row.median, row.unit), shown(row.best, row.unit), shown(row.p99, row.unit),
            f"{row.count:,}" if row.count else "", *bounds, row.note,
        )  # fmt: skip
    Console(width=None if Console().is_terminal else 200, highlight=False).print(table)


def as_json(facts: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return everything as JSON: the machine, the versions and a list of rows with their verdicts."""
    listed = [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in {**asdict(row), "verdict": row.verdict()}.items()
        }
        for row in rows
    ]
    return json.dumps({"facts": facts, "rows": listed}, indent=1)
