"""Filters run on a small real DuckDB with the engine's tables."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from mllab.errors import FilterError
from mllab.query.filter_ast import RESERVED, Term
from mllab.query.filter_parser import FUNCTIONS, parse
from mllab.query.filter_sql import compile_query
from mllab.query.filter_terms import ATTRIBUTES, STATUSES
from mllab.query.relations import COLUMNS, newest_points
from mllab.store.schema import param_row

NAN, INF = math.nan, math.inf
NOW = datetime(2026, 11, 3, 12, 0, tzinfo=timezone(timedelta(hours=1)))  # 11:00 UTC


@dataclass
class RunRow:
    """A run as a test writes it; ``metrics`` maps a key to (step, value) or (step, value, attempt)."""

    ref: int
    experiment: str = "flights"
    name: str = ""
    status: str = "finished"
    started: str = "2026-11-01 10:00+00"
    duration: float = 60.0
    attempt: int = 1
    parent: str | None = None
    forked_from: str | None = None
    user: str | None = "ann"
    host: str | None = "gpu-1"
    note: str | None = None
    archived: bool = False
    damaged: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.ref:026d}"


RUNS = [
    RunRow(
        1, "flights", "base", "finished", "2026-11-01 10:00+00", 300, note="first try",
        params={"lr": 0.01, "optimizer": "adam", "model.depth": 3, "use_amp": True, "seed": 42, "warmup": 0.1, "peak": 1, "half": 1.0},
        tags={"team": "vision", "priority": "3"},
        metrics={"loss": [(0, 1.0), (100, 0.5), (1000, 0.1)], "val/loss": [(0, 0.9), (1000, 0.3)], "name": [(0, 5.0)]},
    ),
    RunRow(
        2, "flights", "wide", "finished", "2026-11-02 10:00+00", 3600, user="bob", host="gpu-2",
        params={"lr": 0.1, "optimizer": "adamw", "model.depth": 5, "use_amp": False, "warmup": 0.1, "peak": "1"},
        tags={"team": "vision", "priority": "10"},
        metrics={"loss": [(0, 2.0), (100, NAN), (1000, 0.2)], "val/loss": [(1000, 0.15)]},
    ),
    RunRow(
        3, "mnist", "nan", "failed", "2026-11-03 08:00+00", 90.5,
        params={"lr": "auto", "optimizer": "sgd"}, tags={"team": "nlp", "flag": "True"},
        metrics={"loss": [(0, NAN), (100, NAN)]},
    ),
    RunRow(
        4, "mnist", "resumed", "finished", "2026-11-03 09:00+00", 60, attempt=2, parent=f"{1:026d}",
        params={"lr": None, "seed": 42.0},
        metrics={"loss": [(500, 0.4, 2), (1000, 0.3, 2), (0, 1.0), (500, 0.05), (1000, 7.0)]},
    ),
    RunRow(5, "mnist", "live", "running", "2026-11-03 10:59:30+00", 30, forked_from=f"{2:026d}", params={"lr": NAN}),
    RunRow(
        6, "my flights", "odd ' name", "killed", "2026-10-31 23:30+00", 0.5, archived=True,
        params={"o'dd \"k`ey": 1, "params.x": 2, "and": 3, "model-a/lr": 0.5, "cfg": {"a": [1]}},
        tags={"date": "2026-11-01", "version": "1.10"},
        metrics={"acc@5": [(0, INF)], "loss": [(1000, INF)]},
    ),
    RunRow(
        7, "flights", "", "lost", "2026-01-01 00:00+00", 200_000, user=None, host=None, damaged="a part is missing",
        tags={"team": ""}, metrics={"loss": [(-5, -INF)]},
    ),
]  # fmt: skip


class Catalogue:
    metric_keys = frozenset(key for run in RUNS for key in run.metrics)
    param_keys = frozenset(key for run in RUNS for key in run.params)
    tag_keys = frozenset(key for run in RUNS for key in run.tags)


def fill(con: duckdb.DuckDBPyConnection, runs: list[RunRow]) -> None:
    for table, columns in COLUMNS.items():
        names = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        con.execute(f"CREATE TABLE r_{table}({names})")
    for run in runs:
        con.execute(
            """INSERT INTO r_runs BY NAME SELECT $1 AS ref, $2 AS run_id, $3 AS experiment, $4 AS name, $5 AS status,
                 $6 AS started, $7 AS duration, $8 AS attempt, $9 AS parent_id, $10 AS forked_from,
                 $11 AS user, $12 AS host, $13 AS note, $14 AS archived, $15 AS damaged,
                 CASE WHEN $5 <> 'running' THEN started + to_microseconds(($7 * 1e6)::BIGINT) END AS ended""",
            [
                run.ref, run.id, run.experiment, run.name, run.status, datetime.fromisoformat(run.started), float(run.duration), run.attempt,
                run.parent, run.forked_from, run.user, run.host, run.note, run.archived, run.damaged,
            ],
        )  # fmt: skip
        for key, value in run.params.items():
            row = param_row(value)
            values = [key, run.ref, row["type"], row["number"], row["text"]]
            con.execute("INSERT INTO r_params VALUES (?, ?, ?, ?, ?)", values)
        for key, value in run.tags.items():
            con.execute("INSERT INTO r_tags VALUES (?, ?, ?)", [key, run.ref, value])
        for key, points in run.metrics.items():
            for seq, (step, value, *attempt) in enumerate(points):
                con.execute(
                    "INSERT INTO r_points VALUES (?, ?, ?, NULL, ?, ?, ?)",
                    [run.ref, key, step, value, attempt[0] if attempt else 1, seq],
                )
    con.execute(
        """INSERT INTO r_summaries BY NAME SELECT key, ref, arg_max(value, (attempt, step, seq)) AS last,
             arg_max(step, (attempt, step, seq)) AS last_step, max(attempt) AS attempt,
             coalesce(min(value) FILTER (NOT isnan(value)), 'nan') AS min,
             coalesce(arg_min(step, value) FILTER (NOT isnan(value)), min(step)) AS min_step,
             coalesce(max(value) FILTER (NOT isnan(value)), 'nan') AS max,
             coalesce(arg_max(step, value) FILTER (NOT isnan(value)), min(step)) AS max_step,
             coalesce(sum(value) FILTER (NOT isnan(value)), 0) AS sum, count(*) AS count,
             count(*) FILTER (isnan(value)) AS nans, min(step) AS first_step FROM r_points GROUP BY key, ref"""
    )
    resumed = [run.ref for run in runs if run.attempt > 1]
    con.execute(f"CREATE VIEW r_newest AS {newest_points(resumed)}")


@pytest.fixture(scope="module")
def con():
    connection = duckdb.connect()
    fill(connection, RUNS)
    yield connection
    connection.close()


def select(con, text, *, now=NOW, base_where="", catalogue=Catalogue):
    query = compile_query(parse(text), catalogue(), now=now, text=text, base_where=base_where)
    return [ref for (ref,) in con.execute(query.sql, query.params).fetchall()]


EVERY = [1, 2, 3, 4, 5, 6, 7]

MATCHES: list[tuple[str, list[int]]] = [
    ("", EVERY),
    ("   \n\t ", EVERY),
    # Attributes
    ("status = finished", [1, 2, 4]),
    ("status == finished", [1, 2, 4]),
    ("status <> 'finished'", [3, 5, 6, 7]),
    ("status in (failed, killed)", [3, 6]),
    ("status not in (failed, killed)", [1, 2, 4, 5, 7]),
    ("experiment = 'my flights'", [6]),
    ('experiment = "my flights"', [6]),
    ("experiment ~ flights", [1, 2, 6, 7]),
    ("experiment !~ '^flights$'", [3, 4, 5, 6]),
    ("experiment ~ '(?i)FLIGHTS'", [1, 2, 6, 7]),
    ("name = 'odd \\' name'", [6]),
    ("name = 'odd '' name'", [6]),
    ('name = "odd \' name"', [6]),
    ("name = ''", [7]),
    ("name < c", [1, 7]),
    (f"id = {1:026d}", [1]),
    ("id = 00000002", [2]),
    (f"id in (00000002, {3:026d})", [2, 3]),
    ("id ~ '[67]$'", [6, 7]),
    ("parent = 00000001", [4]),
    ("has parent", [4]),
    ("parent is null", [1, 2, 3, 5, 6, 7]),
    ("forked_from = 00000002", [5]),
    ("user = bob", [2]),
    ("user != bob", [1, 3, 4, 5, 6]),
    ("not user = bob", [1, 3, 4, 5, 6, 7]),
    ("host is not null", [1, 2, 3, 4, 5, 6]),
    ("note ~ try", [1]),
    ("attempt > 1", [4]),
    ("number >= 6", [6, 7]),
    ("number in (1, 2, 99)", [1, 2]),
    ("archived", [6]),
    ("not archived", [1, 2, 3, 4, 5, 7]),
    ("archived = true or damaged", [6, 7]),
    ("archived != true and damaged = false", [1, 2, 3, 4, 5]),
    # Durations
    ("duration > 10m", [2, 7]),
    ("duration >= 1h", [2, 7]),
    ("duration = 90.5", [3]),
    ("duration = 1m30s500ms", [3]),
    ("duration < 1 minute", [5, 6]),
    ("duration < '60s'", [5, 6]),
    ("duration > 2 days 3 hours", [7]),
    ("duration in (5m, 1h)", [1, 2]),
    # Times: now is 12:00 in a zone one hour ahead of UTC
    ("started > 2 days ago", [2, 3, 4, 5]),
    ("started >= 2days ago", [2, 3, 4, 5]),
    ("started > 49h ago", [2, 3, 4, 5]),
    ("started > 49h1m ago", [1, 2, 3, 4, 5]),
    ("started > 1m ago", [5]),
    ("started = today", [3, 4, 5]),
    ("started >= today", [3, 4, 5]),
    ("started = yesterday", [2]),
    ("started > yesterday", [2, 3, 4, 5]),
    ("started in (yesterday, '2026-11-01')", [1, 2, 6]),
    ("started not in (yesterday, '2026-11-01')", [3, 4, 5, 7]),
    ("started = '2026-11-01'", [1, 6]),
    ("started != 2026-11-01", [2, 3, 4, 5, 7]),
    ("started < '2026-11-01'", [7]),
    ("started <= 2026-11-01 11:00", [1, 6, 7]),
    ("started = '2026-11-01 11:00'", [1]),
    ("started = 2026-11-01T10:00Z", [1]),
    ("started != 2026-11-01T10:00Z", [2, 3, 4, 5, 6, 7]),
    ("started = '2026-11-01T05:00:00-05:00'", [1]),
    ("ended is null", [5]),
    ("ended != today", [1, 2, 6, 7]),
    ("ended < now", [1, 2, 3, 4, 6, 7]),
    ("started < `ended`", [1, 2, 3, 4, 6, 7]),
    # Metrics
    ("loss < 0.15", [1, 7]),
    ("loss > 0.15", [2, 4, 6]),
    ("loss >= -inf", [1, 2, 4, 6, 7]),
    ("loss = inf", [6]),
    ("loss = -inf", [7]),
    ("loss = nan", [3]),
    ("loss != nan", [1, 2, 4, 6, 7]),
    ("loss != 0.1", [2, 4, 6, 7]),
    ("not loss = 0.1", [2, 3, 4, 5, 6, 7]),
    ("not loss > 0.15", [1, 3, 5, 7]),
    ("loss in (0.1, nan)", [1, 3]),
    ("loss in (nan, 0.1, NaN, inf)", [1, 3, 6]),
    ("loss not in (nan, 0.1, NaN, inf)", [2, 4, 7]),
    ("loss not in (0.1, nan)", [2, 4, 6, 7]),
    ("loss not in (0.1, 0.2)", [4, 6, 7]),
    ("has loss", [1, 2, 3, 4, 6, 7]),
    ("has(loss) and status = failed", [3]),
    ("loss is null", [5]),
    ("loss = null", [5]),
    ("loss != null", [1, 2, 3, 4, 6, 7]),
    ("loss in (null, 0.1)", [1, 5]),
    ("val/loss < 0.2", [2]),
    ("metrics.`val/loss` < 0.2", [2]),
    ("`val/loss` < .2", [2]),
    ("acc@5 = inf", [6]),
    ("metrics.name = 5", [1]),
    ("metrics.unheard = 5", []),
    ("not metrics.unheard = 5", EVERY),
    ("last(loss) = 0.3", [4]),
    ("min(loss) = 0.05", [4]),
    ("min(loss) = nan", [3]),
    ("MAX(loss) = 7", [4]),
    ("max(loss) > 1.5", [2, 4, 6]),
    ("mean(loss) = 1.1", [2]),
    ("mean(loss) = nan", [3]),
    ("mean(loss) is null", [5]),
    ("count(loss) = 3", [1, 2]),
    ("nans(loss) >= 1", [2, 3]),
    ("step(loss) = 100", [3]),
    ("first_step(loss) < 0", [7]),
    ("min_step(loss) = 1000 and max_step(loss) = 0", [1, 2]),
    ("metrics.loss > metrics.val/loss", [2]),
    ("loss < `val/loss`", [1]),
    ("loss = last(loss)", [1, 2, 4, 6, 7]),
    ("min(loss) < last(loss)", [4]),
    ("count(loss) < `loss`", [6]),
    # Steps
    ("loss at 1000 < 0.25", [1, 2]),
    ("loss at 1000 = 0.3", [4]),
    ("loss at 100 = nan", [2, 3]),
    ("has loss at 500", [4]),
    ("loss at -5 = -inf", [7]),
    ("min(loss) after 500 = 0.05", [4]),
    ("min(loss) after 501 < 0.25", [1, 2]),
    ("max(loss) before 100 = 2", [2]),
    ("max(loss) before 99 = nan", [3]),
    ("max(loss) between 1 and 100 = 0.5", [1]),
    ("max(loss) between 100 and 100 = nan", [2, 3]),
    ("mean(loss) between 0 and 100 = 0.75", [1]),
    ("count(loss) after 1_000 = 2", [4]),
    ("nans(loss) before 100 = 2", [3]),
    ("last(loss) before 999 = 0.4", [4]),
    ("last(loss) before 999 > min(loss) after 1000", [1, 4]),
    ("min(loss) after 0 is null", [5, 7]),
    ("status = finished and min(loss) after 501 < 0.15", [1]),
    # Params
    ("lr < 0.05", [1]),
    ("lr > 0", [1, 2]),
    ("lr = auto", [3]),
    ("lr = 0.10", [2]),
    ("lr = '0.10'", []),
    ("lr = '0.1'", [2]),
    ("lr != 0.1", [1, 3]),
    ("lr = nan", [5]),
    ("lr != nan", [1, 2, 3]),
    ("lr != auto", [1, 2, 5]),
    ("lr in (0.1, auto)", [2, 3]),
    ("lr not in (0.1, auto)", [1]),
    ("lr ~ '^0'", [1, 2]),
    ("has lr", [1, 2, 3, 4, 5]),
    ("lr is null", [4, 6, 7]),
    ("lr is not null", [1, 2, 3, 5]),
    ("params.lr = null", [4, 6, 7]),
    ("optimizer ~ '^ad'", [1, 2]),
    ("optimizer !~ '^ad'", [3]),
    ("not optimizer ~ '^ad'", [3, 4, 5, 6, 7]),
    ("optimizer < 'b'", [1, 2]),
    ("use_amp = true", [1]),
    ("use_amp = TRUE", [1]),
    ("use_amp = false", [2]),
    ("use_amp != true", [2]),
    ("use_amp", [1]),
    ("not use_amp", [2, 3, 4, 5, 6, 7]),
    ("use_amp = 1", [1]),
    ("seed = 42", [1, 4]),
    ("model.depth = 3", [1]),
    ("params.model.depth >= 4", [2]),
    ("model-a/lr = 0.5", [6]),
    ("params.`o'dd \"k``ey` = 1", [6]),
    ("`o'dd \"k``ey` = 1", [6]),
    ("`params.x` = 2", [6]),
    ("params.x = 2", []),
    ("`and` = 3", [6]),
    ("cfg ~ '\"a\"'", [6]),
    ("lr > params.warmup", []),
    ("lr <= params.warmup", [1, 2]),
    ("lr = params.warmup", [2]),
    ("peak = params.peak", [1, 2]),
    ("peak = params.half", [1]),
    ("peak != params.half", []),
    ("peak != params.warmup", [1, 2]),
    ("loss > params.lr", [1, 2]),
    ("optimizer != `name`", [1, 2, 3]),
    # Tags
    ("team = vision", [1, 2]),
    ("team != vision", [3, 7]),
    ("tags.team = ''", [7]),
    ("priority > 3", [2]),
    ("priority >= 3.0", [1, 2]),
    ("priority > '3'", []),
    ("priority = 3.0", [1]),
    ("priority = '3.0'", []),
    ("version = 1.1", [6]),
    ("version = '1.1'", []),
    ("date = 2026-11-01", [6]),
    ("date >= '2026-10'", [6]),
    ("flag", [3]),
    ("flag = true", [3]),
    # Logic
    ("status = finished and loss < 0.15 or archived", [1, 6]),
    ("status = finished and (loss < 0.15 or archived)", [1]),
    ("not (status = finished and loss < 0.15)", [2, 3, 4, 5, 6, 7]),
    ("not not status = finished", [1, 2, 4]),
    ("not status = finished and not loss = nan", [5, 6, 7]),
    ("NOT status = finished AND loss AT 1000 = INF", [6]),
    ("((((archived))))", [6]),
]


@pytest.mark.parametrize(("text", "expected"), MATCHES, ids=[text for text, _ in MATCHES])
def test_matches(con, text, expected):
    assert sorted(select(con, text)) == expected


ORDERS: list[tuple[str, list[int]]] = [
    ("", [5, 4, 3, 2, 1, 6, 7]),
    ("order by number", EVERY),
    ("order by started", [7, 6, 1, 2, 3, 4, 5]),
    ("order by loss", [7, 1, 2, 4, 6, 5, 3]),
    ("order by loss asc", [7, 1, 2, 4, 6, 5, 3]),
    ("order by loss desc", [6, 4, 2, 1, 7, 5, 3]),
    ("order by lr", [1, 2, 3, 7, 6, 5, 4]),
    ("order by lr desc", [2, 1, 3, 7, 6, 5, 4]),
    ("order by priority", [1, 2, 7, 6, 5, 4, 3]),
    ("order by experiment, name desc", [2, 1, 7, 4, 3, 5, 6]),
    ("order by ended desc", [4, 3, 2, 1, 6, 7, 5]),
    ("order by max(loss) before 100 desc, number", [2, 1, 4, 7, 3, 5, 6]),
    ("status = finished order by duration desc limit 2", [2, 1]),
    ("limit 3", [5, 4, 3]),
    ("limit 0", []),
    ("ORDER BY archived DESC LIMIT 1", [6]),
]


@pytest.mark.parametrize(("text", "expected"), ORDERS, ids=[text for text, _ in ORDERS])
def test_order(con, text, expected):
    assert select(con, text) == expected


@pytest.mark.parametrize(
    "attack",
    [
        "'; DROP TABLE r_runs; --",
        '" OR 1=1 --',
        "x' OR TRUE --",
        "`; DROP TABLE r_runs",
        "$1",
        "?",
        "{restrict}",
        "\\",
        "a\0b",
        "%s",
    ],
)
def test_user_text_is_never_sql(con, attack):
    def filters(text):
        value, key = text.replace("\\", "\\\\").replace("'", "\\'"), text.replace("`", "``")
        yield f"name = '{value}' and experiment in ('{value}', 'x') and name > '{value}'"
        yield f"params.`{key}` = '{value}' and tags.`{key}` > 1 order by metrics.`{key}`"
        yield f"min(metrics.`{key}`) after 3 > 1 and count(metrics.`{key}`) = 0"

    for hostile, harmless in zip(filters(attack), filters("plain"), strict=True):
        query, same = (compile_query(parse(text), Catalogue(), now=NOW) for text in (hostile, harmless))
        assert query.sql == same.sql
        assert attack in query.params
        assert con.execute(query.sql, query.params).fetchall() == []
    assert len(select(con, "")) == len(EVERY)


def test_a_key_is_found_by_its_exact_text(con):
    assert select(con, "params.`O'DD \"k``ey` = 1") == []


def test_an_attribute_hides_a_metric_of_its_name(con):
    assert select(con, "name = base") == [1]
    assert select(con, "min(name) = 5") == [1]


def test_metric_hides_param_hides_tag():
    class Clash:
        metric_keys = frozenset({"a"})
        param_keys = frozenset({"a", "b"})
        tag_keys = frozenset({"a", "b", "c"})

    query = compile_query(parse("a = 1 and b = 1 and c = 1 and tags.a = 1"), Clash(), now=NOW)
    assert query.columns_used == (Term("metric", "a"), Term("param", "b"), Term("tag", "c"), Term("tag", "a"))


def test_columns_used_are_named_once_in_order():
    query = compile_query(
        parse("loss < 1 and lr = 1 and loss > 0 order by min(loss), loss at 5, duration"), Catalogue()
    )
    assert list(map(str, query.columns_used)) == [
        "metrics.loss", "params.lr", "min(metrics.loss)", "metrics.loss at 5", "duration",
    ]  # fmt: skip


def test_one_join_for_each_key():
    query = compile_query(parse("loss < 1 and min(loss) < 1 or max(loss) > 1 order by loss"), Catalogue())
    assert query.sql.count("LEFT JOIN") == 1


def test_points_are_read_for_possible_runs_only():
    restricted = compile_query(
        parse("status = failed and min(loss) after 5 < 1"), Catalogue(), base_where="r.deleted IS NULL"
    )
    assert "AND ref IN (SELECT r.ref FROM r_runs r WHERE (r.deleted IS NULL) AND (r.status = $1))" in restricted.sql
    free = compile_query(parse("status = failed or min(loss) after 5 < 1"), Catalogue(), base_where="r.deleted IS NULL")
    assert "ref IN" not in free.sql


def test_base_where_binds_tighter_than_or(con):
    assert sorted(select(con, "archived or status = lost", base_where="r.damaged IS NULL OR FALSE")) == [6]


@pytest.mark.parametrize(
    ("text", "expected"), [("loss < 1", False), ("not archived", True), ("order by archived", True)]
)
def test_mentions_archived(text, expected):
    assert compile_query(parse(text), Catalogue()).mentions_archived is expected


def test_days_follow_the_zone_of_the_clock(con):
    berlin = ZoneInfo("Europe/Berlin")
    # On 2026-10-25 Berlin leaves summer time: the day lasts from 22:00 to 23:00 UTC, 25 hours.
    query = compile_query(parse("started = 2026-10-25"), Catalogue(), now=datetime(2026, 10, 26, 8, 0, tzinfo=berlin))
    assert query.params == [datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)]
    # The hours of `ago` are real ones.
    query = compile_query(parse("started > 1 day ago"), Catalogue(), now=datetime(2026, 10, 25, 12, 0, tzinfo=berlin))
    assert query.params == [datetime(2026, 10, 24, 11, tzinfo=UTC)]


def test_a_naive_clock_means_the_zone_of_the_machine():
    now = datetime(2026, 11, 3, 12, 0)
    query = compile_query(parse("started > '2026-11-01 08:00'"), Catalogue(), now=now)
    assert query.params == [datetime(2026, 11, 1, 8, 0).astimezone(UTC)]
    assert compile_query(parse("started > 1h ago"), Catalogue(), now=now).params == [
        datetime(2026, 11, 3, 11, 0).astimezone(UTC)
    ]


def test_the_clock_is_the_machine_by_default():
    (moment,) = compile_query(parse("started < now"), Catalogue()).params
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_long_list_is_one_comparison(con):
    ids = ", ".join(f"'{number:08d}'" for number in range(2, 5002))
    assert sorted(select(con, f"id in ({ids})")) == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "pattern", [r"\pL+", r"a\z", "a(?i)B", r"[[:alpha:]]", r"\Qa.b\E", r"[(?=]", r"\\1", r"\(?=", r"\x{61}", "(?U)a+"]
)
def test_patterns_that_only_re2_knows_reach_it(con, pattern):
    escaped = pattern.replace("\\", "\\\\")
    select(con, f"name ~ '{escaped}'")


DOC = (Path(__file__).parents[2] / "docs" / "reference" / "filters.md").read_text(encoding="utf-8")
EXAMPLES = [
    (text.strip(), [int(ref) for ref in refs.split()])
    for block in re.findall(r"```filter\n(.*?)```", DOC, re.DOTALL)
    for text, refs in (line.rsplit("#", 1) for line in block.splitlines())
]
DOC_NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def literal(text: str) -> Any:
    return {"true": True, "false": False, "null": None}.get(text, float(text) if text[0].isdigit() else text)


@pytest.fixture(scope="module")
def documented():
    """Return the lab that the page's first table describes."""
    table = DOC[DOC.index("| number | name |") :].split("\n\n")[0].splitlines()[2:]
    runs = []
    for line in table:
        number, name, experiment, status, started, duration, params, tags, loss = (
            cell.strip() for cell in line.strip("|").split("|")
        )
        points = [(int(step), float(value)) for step, value in (point.split(":") for point in loss.split())]
        runs.append(
            RunRow(
                int(number), experiment, name, status, f"{started}+00", float(duration),
                params={key: literal(value) for key, value in (param.split("=") for param in params.split())},
                tags=dict(tag.split("=") for tag in tags.split()), metrics={"loss": points} if points else {},
            )
        )  # fmt: skip
    con = duckdb.connect()
    fill(con, runs)
    yield con
    con.close()


class DocumentedKeys:
    metric_keys = frozenset({"loss"})
    param_keys = frozenset({"lr", "optimizer", "use_amp"})
    tag_keys = frozenset({"team"})


@pytest.mark.parametrize(("text", "expected"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_documented_examples(documented, text, expected):
    found = select(documented, text, now=DOC_NOW, catalogue=DocumentedKeys)
    assert (found if "order by" in text else sorted(found)) == expected


@pytest.mark.parametrize("block", re.findall(r"```error\n(.*?)```", DOC, re.DOTALL))
def test_documented_errors(block):
    text, _, expected = block.partition("\n")
    with pytest.raises(FilterError) as caught:
        compile_query(parse(text), DocumentedKeys(), text=text)
    assert str(caught.value) == expected.strip()


def test_documented_truths():
    """The table of missing values and NaN holds for metrics, and for params."""
    rows = [
        line.strip("|").split("|") for line in DOC.splitlines() if line.startswith(("| `x ", "| `not x", "| `has x"))
    ]
    assert len(rows) == 11
    cases = [RunRow(1), RunRow(2, params={"x": NAN}), RunRow(3, params={"x": 5}), RunRow(4, params={"x": "a"})]
    metrics = [RunRow(1), RunRow(2, metrics={"x": [(0, NAN)]}), RunRow(3, metrics={"x": [(0, 5.0)]})]

    class Keys:
        metric_keys = param_keys = tag_keys = frozenset({"x"})

    for prefix, runs in (("params.", cases), ("metrics.", metrics)):
        with duckdb.connect() as con:
            fill(con, runs)
            for cell, *truths in rows:
                text = re.sub(r"\bx\b", f"{prefix}x", cell.strip(" `"))
                expected = [run.ref for run, truth in zip(runs, truths, strict=False) if truth.strip() == "yes"]
                assert sorted(select(con, text, catalogue=Keys)) == expected, text


def test_every_attribute_and_function_is_documented():
    for name in (*ATTRIBUTES, *FUNCTIONS, *STATUSES, *RESERVED):
        assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", DOC), name
