"""What can be measured: each case is a function from a context to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.cases.batches import batches
from benchmarks.cases.curves import curves
from benchmarks.cases.filters import filters
from benchmarks.cases.kills import kills
from benchmarks.cases.links import links
from benchmarks.cases.logging import logging
from benchmarks.cases.sizes import sizes
from benchmarks.cases.startup import startup
from benchmarks.cases.tables import tables
from benchmarks.cases.tails import tails
from benchmarks.cases.tui import tui

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure import Context
    from benchmarks.report import Row

CASES: dict[str, Callable[[Context], list[Row]]] = {
    "log": logging,
    "kill": kills,
    "batch": batches,
    "size": sizes,
    "filter": filters,
    "curves": curves,
    "startup": startup,
    "tail": tails,
    "table": tables,
    "link": links,
    "tui": tui,
}
