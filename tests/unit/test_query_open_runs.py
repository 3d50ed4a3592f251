"""What is told of runs whose records are not sealed, which reach DuckDB as parameters and as Arrow tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mllab
from mllab.query.views import list_runs

if TYPE_CHECKING:
    from mllab.lab import Lab

# Neighbours of what fewer digits, or fewer bits, would make of them.
EXACT = (0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -1.7976931348623157e308, -0.0)


def names(lab: Lab, filter_text: str) -> list[str]:
    return [row.name for row in list_runs(lab.engine, filter_text).rows]


def test_nan_and_infinities_are_values_beside_numbers(lab: Lab) -> None:
    ends = {"nan": math.nan, "inf": math.inf, "low": -math.inf, "one": 1.0}
    for name, value in ends.items():
        with mllab.start_run("e", name, lab=lab, capture=False, params={"p": value}) as run:
            run.log({"loss": value}, step=0)
    with mllab.start_run("e", "none", lab=lab, capture=False):
        pass
    for term in ("loss", "params.p"):
        assert names(lab, f"{term} = nan") == ["nan"]
        assert names(lab, f"{term} is null") == ["none"]
        assert names(lab, f"{term} = inf") == ["inf"]
        assert names(lab, f"{term} = -inf") == ["low"]
        assert names(lab, f"{term} = 1") == ["one"]


def test_numbers_are_exact(lab: Lab) -> None:
    for place, value in enumerate(EXACT):
        with mllab.start_run("e", str(place), lab=lab, capture=False, params={"p": value}) as run:
            run.log({"loss": value}, step=0)
    frame = mllab.runs("order by name", columns=["metrics.loss", "params.p"], lab=lab)
    for name in frame.columns:
        assert [value.hex() for value in frame[name]] == [value.hex() for value in EXACT]
