"""What is told of runs whose records are not sealed, which reach DuckDB as parameters and as Arrow tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

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


@pytest.fixture
def half_sealed(lab: Lab) -> Lab:
    """Six sealed runs and three open ones: enough for DuckDB to sift points by the runs that they are joined with."""
    for number in range(9):
        with mllab.start_run(f"e{number % 3}", f"r{number}", lab=lab, capture=False) as run:
            run.log_batch("loss", range(200), [float(number + step) for step in range(200)])
        if number == 5:
            lab.store.seal()
    return lab


@pytest.mark.parametrize(
    ("filter_text", "found"),
    [
        ("status = finished and max(loss) after 100 > 205", ["r8", "r7"]),
        ("experiment = e1 and loss at 5 > 8", ["r7", "r4"]),
        ("name = r8 and slope(loss) > 0", ["r8"]),
        ("name ~ '[38]' and min(loss) last 10 > 190", ["r8", "r3"]),
    ],
)
def test_their_points_are_joined_with_runs(half_sealed: Lab, filter_text: str, found: list[str]) -> None:
    assert names(half_sealed, filter_text) == found
    assert mllab.runs(filter_text, columns=["name"], lab=half_sealed)["name"].to_list() == found


def test_user_sql_joins_their_points_with_runs(half_sealed: Lab) -> None:
    joined = "SELECT count(*) AS n FROM metrics JOIN runs USING (run_id) WHERE experiment = 'e1'"
    assert mllab.sql(joined, lab=half_sealed)["n"].to_list() == [600]
    among = "SELECT count(*) AS n FROM metrics WHERE run_id IN (SELECT run_id FROM runs WHERE name > 'r6')"
    assert mllab.sql(among, lab=half_sealed)["n"].to_list() == [400]
