"""Filters run on a small real DuckDB with the engine's tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from mllab.errors import FilterError
from mllab.query.filter_ast import Term
from mllab.query.filter_parser import parse
from mllab.query.filter_sql import MAX_COMPARISONS, MAX_KEYS, compile_query

NAN, INF = math.nan, math.inf
NOW = datetime(2026, 11, 3, 12, 0, tzinfo=timezone(timedelta(hours=1)))  # 11:00 UTC

TABLES = """
CREATE TABLE r_runs(ref BIGINT, run_id VARCHAR, experiment VARCHAR, name VARCHAR, status VARCHAR, started TIMESTAMPTZ,
    ended TIMESTAMPTZ, last_seen TIMESTAMPTZ, duration DOUBLE, attempt INTEGER, parent_id VARCHAR, forked_from VARCHAR,
    forked_step BIGINT, "user" VARCHAR, host VARCHAR, note VARCHAR, archived BOOLEAN, deleted BOOLEAN, damaged BOOLEAN,
    error VARCHAR, info VARCHAR);
CREATE TABLE r_params(key VARCHAR, ref BIGINT, type VARCHAR, number DOUBLE, text VARCHAR);
CREATE TABLE r_tags(key VARCHAR, ref BIGINT, value VARCHAR);
CREATE TABLE r_summaries(key VARCHAR, ref BIGINT, last DOUBLE, last_step BIGINT, last_time TIMESTAMPTZ, min DOUBLE,
    min_step BIGINT, max DOUBLE, max_step BIGINT, sum DOUBLE, count BIGINT, nans BIGINT, first_step BIGINT,
    attempt INTEGER);
CREATE TABLE r_points(ref BIGINT, key VARCHAR, step BIGINT, time TIMESTAMPTZ, value DOUBLE, attempt INTEGER, seq BIGINT);
"""


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
    damaged: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.ref:026d}"


RUNS = [
    RunRow(
        1, "flights", "base", "finished", "2026-11-01 10:00+00", 300, note="first try",
        params={"lr": 0.01, "optimizer": "adam", "model.depth": 3, "use_amp": True, "seed": 42, "warmup": 0.1, "peak": 1},
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
        metrics={"loss": [(0, 1.0), (500, 0.05), (1000, 7.0), (500, 0.4, 2), (1000, 0.3, 2)]},
    ),
    RunRow(5, "mnist", "live", "running", "2026-11-03 10:59:30+00", 30, forked_from=f"{2:026d}", params={"lr": NAN}),
    RunRow(
        6, "my flights", "odd ' name", "killed", "2026-10-31 23:30+00", 0.5, archived=True,
        params={"o'dd \"k`ey": 1, "params.x": 2, "and": 3, "model-a/lr": 0.5, "cfg": {"a": [1]}},
        tags={"date": "2026-11-01", "version": "1.10"},
        metrics={"acc@5": [(0, INF)], "loss": [(1000, INF)]},
    ),
    RunRow(
        7, "flights", "", "lost", "2026-01-01 00:00+00", 200_000, user=None, host=None, damaged=True,
        tags={"team": ""}, metrics={"loss": [(-5, -INF)]},
    ),
]  # fmt: skip


class Catalogue:
    metric_keys = frozenset(key for run in RUNS for key in run.metrics)
    param_keys = frozenset(key for run in RUNS for key in run.params)
    tag_keys = frozenset(key for run in RUNS for key in run.tags)


def param_row(value: Any) -> tuple[str, float | None, str]:
    """Mirror the store's rule for params."""
    if isinstance(value, bool):
        return "bool", float(value), "true" if value else "false"
    if isinstance(value, (int, float)):
        return type(value).__name__, float(value), repr(value)
    if isinstance(value, str):
        return "str", None, value
    return ("null", None, "") if value is None else ("json", None, '{"a":[1]}')


def fill(con: duckdb.DuckDBPyConnection, runs: list[RunRow]) -> None:
    con.execute(TABLES)
    for run in runs:
        con.execute(
            """INSERT INTO r_runs SELECT $1, $2, $3, $4, $5, $6::TIMESTAMPTZ AS started,
                 CASE WHEN $5 <> 'running' THEN started + to_microseconds(($7 * 1e6)::BIGINT) END, NULL, $7, $8, $9, $10,
                 NULL, $11, $12, $13, $14, FALSE, $15, NULL, NULL""",
            [
                run.ref, run.id, run.experiment, run.name, run.status, run.started, float(run.duration), run.attempt,
                run.parent, run.forked_from, run.user, run.host, run.note, run.archived, run.damaged,
            ],
        )  # fmt: skip
        for key, value in run.params.items():
            con.execute("INSERT INTO r_params VALUES (?, ?, ?, ?, ?)", [key, run.ref, *param_row(value)])
        for key, value in run.tags.items():
            con.execute("INSERT INTO r_tags VALUES (?, ?, ?)", [key, run.ref, value])
        for key, points in run.metrics.items():
            for seq, (step, value, *attempt) in enumerate(points):
                con.execute(
                    "INSERT INTO r_points VALUES (?, ?, ?, NULL, ?, ?, ?)",
                    [run.ref, key, step, value, attempt[0] if attempt else 1, seq],
                )
    con.execute(
        """INSERT INTO r_summaries SELECT key, ref, arg_max(value, (attempt, step, seq)),
             arg_max(step, (attempt, step, seq)), NULL, coalesce(min(value) FILTER (NOT isnan(value)), 'nan'),
             coalesce(arg_min(step, value) FILTER (NOT isnan(value)), min(step)),
             coalesce(max(value) FILTER (NOT isnan(value)), 'nan'),
             coalesce(arg_max(step, value) FILTER (NOT isnan(value)), min(step)),
             coalesce(sum(value) FILTER (NOT isnan(value)), 0), count(*), count(*) FILTER (isnan(value)), min(step),
             max(attempt) FROM r_points GROUP BY key, ref"""
    )


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
        "\" OR 1=1 --",
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
    query = compile_query(parse("loss < 1 and lr = 1 and loss > 0 order by min(loss), loss at 5, duration"), Catalogue())
    assert list(map(str, query.columns_used)) == [
        "metrics.loss", "params.lr", "min(metrics.loss)", "metrics.loss at 5", "duration",
    ]  # fmt: skip


def test_one_join_for_each_key():
    query = compile_query(parse("loss < 1 and min(loss) < 1 or max(loss) > 1 order by loss"), Catalogue())
    assert query.sql.count("LEFT JOIN") == 1


def test_points_are_read_for_possible_runs_only():
    restricted = compile_query(parse("status = failed and min(loss) after 5 < 1"), Catalogue(), base_where="NOT r.deleted")
    assert "AND ref IN (SELECT r.ref FROM r_runs r WHERE (NOT r.deleted) AND (r.status = $1))" in restricted.sql
    free = compile_query(parse("status = failed or min(loss) after 5 < 1"), Catalogue(), base_where="NOT r.deleted")
    assert "ref IN" not in free.sql


def test_base_where_binds_tighter_than_or(con):
    assert sorted(select(con, "archived or status = lost", base_where="NOT r.damaged OR FALSE")) == [6]


@pytest.mark.parametrize(("text", "expected"), [("loss < 1", False), ("not archived", True), ("order by archived", True)])
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


COMPILE_ERRORS: list[tuple[str, int, str]] = [
    ("los < 1", 0, "Did you mean loss"),
    ("status = failed and los < 1", 20, "Did you mean loss"),
    ("depth = 3", 0, "Did you mean model.depth"),
    ("zzz = 3", 0, "Known: archived"),
    ("min(lr) < 1", 4, "No run has the metric lr"),
    ("order by nothing_like_it", 9, "No run has"),
    ("loss = adam", 7, "is not a number"),
    ("loss = '0.1'", 7, "is not a number"),
    ("loss < val/loss", 7, "write metrics.key"),
    ("loss < 1e999", 7, "too large"),
    ("loss in (1, x)", 12, "is not a number"),
    ("loss ~ '1'", 7, "Only text can be matched"),
    ("started ~ '2026'", 10, "Only text can be matched"),
    ("loss = true", 7, "is not a number"),
    ("loss < null", 7, "Use = or !="),
    ("loss < nan", 7, "Use = nan"),
    ("lr < adam", 5, "is not a number"),
    ("lr < 10m", 5, "is not a number"),
    ("loss and archived", 0, "A comparison is missing"),
    ("status", 0, "A comparison is missing"),
    ("archived = 1", 11, "true or false"),
    ("archived < true", 11, "Use = or !="),
    ("status = finishd", 9, "Did you mean finished"),
    ("status in (finished, xyz)", 21, "States: running"),
    ("name = 3 blind", 9, "Found blind"),
    ("name = 3 days", 7, "needs quotes"),
    ("duration > soon", 11, "is not a duration"),
    ("duration > 10x", 11, "is not a duration"),
    ("duration > 10m5", 11, "is not a duration"),
    ("duration > ''", 11, "is not a duration"),
    ("started > soon", 10, "is not a time"),
    ("started > 5", 10, "is not a time"),
    ("started > '2026-13-01'", 10, "is not a time"),
    ("started > 2026-11-01 25:00", 10, "is not a time"),
    ("started > 5 parsecs ago", 12, "Found parsecs"),
    ("started > '5 parsecs ago'", 10, "is not a duration"),
    ("started > 99999999 days ago", 10, "outside the years"),
    (f"started > '{'9' * 400} days ago'", 10, "outside the years"),
    ("started > '9999-12-31T23:59:59-12:00'", 10, "outside the years"),
    ("name ~ '(('", 7, "The regular expression is wrong"),
    ("name ~ '[a'", 7, "The regular expression is wrong"),
    ("name ~ 'a{99999999999}'", 7, "The regular expression is wrong"),
    ("name ~ '(?=a)'", 7, "lookaround"),
    ("name ~ '(?<!a)b'", 7, "lookaround"),
    ("name ~ '(a)\\1'", 7, "back-references"),
    (f"name ~ '{'a' * 1001}'", 7, "1,000 is the limit"),
    ("started < metrics.loss", 10, "A time cannot be compared with a number"),
    ("archived = `name`", 11, "A flag cannot be compared with a text"),
    ("started < params.lr", 10, "cannot be compared"),
    (" or ".join(["loss = 1"] * (MAX_COMPARISONS + 1)), MAX_COMPARISONS * 12, "more than 250 comparisons"),
    (f"started in ({', '.join(['today'] * 300)})", 0, "more than 250 comparisons"),
    (" and ".join(f"params.k{n:02d} = 1" for n in range(MAX_KEYS + 1)), MAX_KEYS * 19, "more than 32 params"),
]


@pytest.mark.parametrize(("text", "column", "part"), COMPILE_ERRORS, ids=[text[:40] for text, _, _ in COMPILE_ERRORS])
def test_errors_point_at_their_cause(text, column, part):
    with pytest.raises(FilterError) as caught:
        compile_query(parse(text), Catalogue(), now=NOW, text=text)
    assert part in str(caught.value)
    assert (caught.value.column, caught.value.text) == (column, text)


@pytest.mark.parametrize("pattern", [r"\pL+", r"a\z", "a(?i)B", r"[[:alpha:]]", r"\Qa.b\E", r"[(?=]", r"\\1", r"\(?=", r"\x{61}", "(?U)a+"])
def test_patterns_of_re2_reach_it(con, pattern):
    escaped = pattern.replace("\\", "\\\\")
    select(con, f"name ~ '{escaped}'")
