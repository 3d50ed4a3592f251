from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import mllab
from mllab.errors import QueryError
from mllab.lab import Lab
from mllab.query.engine import connect
from mllab.query.sandbox import Sandbox


@pytest.fixture
def filled(lab: Lab) -> Lab:
    for number in range(2):
        with mllab.start_run("tests", f"r{number}", lab=lab, capture=False, params={"n": number}) as run:
            run.log({"loss": float(number)}, step=number)
        if number == 0:
            lab.store.seal()
    return lab


def run(lab: Lab, query: str, **options: Any) -> list[tuple[Any, ...]]:
    return Sandbox(lab.store).run(query, lambda result: result.fetchall(), **options)


def test_views_show_sealed_and_open_runs(filled: Lab) -> None:
    assert run(filled, "SELECT name, status FROM runs ORDER BY name") == [("r0", "finished"), ("r1", "finished")]
    assert run(filled, "SELECT r.name, value FROM metrics JOIN runs r USING (run_id) ORDER BY 1") == [
        ("r0", 0.0),
        ("r1", 1.0),
    ]
    assert run(filled, "PIVOT params ON key USING max(number)") != []
    assert run(filled, "SELECT text FROM params WHERE number = ?", params=[1]) == [("1",)]
    assert run(filled, "CREATE TABLE mine AS SELECT 1 AS x; SELECT x FROM mine") == [(1,)]


DENIED = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_parquet('{parts}/../FORMAT')",
    "SELECT * FROM read_blob('{parts}/../manifest/*')",
    "COPY runs TO '{outside}/x.csv'",
    "COPY (SELECT 1) TO '{parts}/x.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{parts}/x.csv'",
    "explain /* */ Analyze copy (select 1) to '{parts}/x.csv'",
    "SELECT 1; COPY (SELECT 1) TO '{parts}/x.csv'",
    "ATTACH '{outside}/x.db'",
    "EXPORT DATABASE '{outside}/x'",
    "INSTALL httpfs",
    "LOAD '{outside}/x.duckdb_extension'",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "CREATE SECRET s (TYPE s3)",
    "SELECT * FROM query('COPY (SELECT 1) TO ''{parts}/x.csv''')",
    "SELECT getenv('HOME')",
    "SELECT * FROM secret_of_python",
    "PREPARE p AS COPY (SELECT 1) TO '{parts}/x.csv'",
]


@pytest.mark.parametrize("query", DENIED)
def test_nothing_but_the_lab_can_be_touched(filled: Lab, tmp_path: Path, query: str) -> None:
    secret_of_python = [1]
    before = sorted(os.listdir(filled.store.layout.parts))
    with pytest.raises(QueryError):
        run(filled, query.format(parts=filled.store.layout.parts, outside=tmp_path))
    assert secret_of_python
    assert sorted(os.listdir(filled.store.layout.parts)) == before
    assert {path.name for path in tmp_path.iterdir()} == {"lab"}


def test_a_query_can_be_timed_out(filled: Lab) -> None:
    with pytest.raises(QueryError, match="took longer"):
        run(
            filled,
            "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE a.range = b.range + 1",
            timeout_s=0.2,
        )


def test_a_query_can_be_cancelled_from_another_thread(filled: Lab) -> None:
    import threading

    sandbox = Sandbox(filled.store)
    started = threading.Event()
    outcome: list[Any] = []

    def fetch(result: Any) -> Any:
        started.set()
        return result.fetchall()

    def work() -> None:
        try:
            outcome.append(sandbox.run("SELECT count(*) FROM range(10000000000) a, range(1000) b", fetch))
        except QueryError as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(30)
    while thread.is_alive():
        sandbox.cancel()
        thread.join(0.05)
    assert isinstance(outcome[0], QueryError)
    assert outcome[0].code == "QUERY-002"


@pytest.mark.parametrize("query", ["", "   ", "SELEC 1", "SELECT nothing FROM runs", "SELECT 1 +", "x" * 2_000_000])
def test_bad_sql_is_an_error_of_ours(filled: Lab, query: str) -> None:
    with pytest.raises(QueryError) as caught:
        run(filled, query)
    assert caught.value.message


def test_wrong_params_are_an_error_of_ours(filled: Lab) -> None:
    for params in ([], [1, 2], {"x": 1}, [object()]):
        with pytest.raises(QueryError):
            run(filled, "SELECT ?", params=params)


def test_what_does_not_fit_in_memory_spills_into_the_cache_and_nowhere_else(
    filled: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    sandbox = Sandbox.__new__(Sandbox)
    sandbox._connection = connect(filled.store.layout.cache)
    sandbox._connection.execute("SET memory_limit = '60MB'")
    sql = "SELECT count(*) FROM (SELECT DISTINCT hash(range) AS h, repeat('x', 50) || range AS t FROM range(2000000))"
    assert sandbox.run(sql, lambda result: result.fetchall()) == [(2_000_000,)]
    assert os.listdir(elsewhere) == []


SLOW = "SELECT count(*) FROM range(100000000) a, range(10000000) b WHERE a.range % 7 <> b.range % 3"
CALLER = """
import sys, mllab
print("ready", flush=True)
try:
    mllab.sql(sys.argv[1], lab=sys.argv[2])
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("way", ["python", "cli"])
def test_ctrl_c_stops_a_query(filled: Lab, way: str) -> None:
    import signal
    import subprocess
    import sys

    python = [sys.executable, "-c", CALLER, SLOW, filled.root]
    cli = [sys.executable, "-m", "mllab", "--lab", filled.root, "sql", SLOW]
    with subprocess.Popen(
        python if way == "python" else cli, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            # Not before the handler for Ctrl-C is in place; from then on at any time.
            if way == "python":
                assert process.stdout.readline() == "ready\n"
            status: int | None = None
            while status is None:
                try:
                    status = process.wait(2)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGINT)
        finally:
            process.kill()
        rest = process.stdout.read()
    assert status == 130
    assert rest == ""
