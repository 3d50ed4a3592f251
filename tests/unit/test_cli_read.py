"""The commands that read: runs, metrics, artifacts, sql, store, and `mllab` alone."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import mllab
from mllab.cli.main import root
from mllab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., str]

# As the capture hands it over: a text without a newline is a line that is still being written.
OUTPUT = [
    ("stdout", "epoch 1\nepoch 2\n"),
    ("stderr", "\x1b[31mwarning\x1b[0m\n"),
    ("stdout", "50%"),
    ("stdout", "100%\n"),
]
EVIL = "evil\x1b]52;c;aGk=\x07\u202ename"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab that the tests of this module only read."""
    lab = Lab.init(str(tmp_path_factory.mktemp("cli") / "lab"), name="study")
    for seed in range(5):
        params = {"lr": 0.1 / (seed + 1), "seed": seed, "optimizer": "adam", "formula": "=1+1"}
        tags = {"team": "core", "odd" if seed % 2 else "even": "yes"}
        with mllab.start_run("digits", f"run-{seed}", lab=lab, capture=False, params=params, tags=tags) as run:
            run.log_batch("train/loss", range(50), [1 / (step + 1) + seed for step in range(50)])
            run.log({"=key": 1.0, "system/cpu_percent": 50.0})
            run.log_artifact(b"\x00\xff" * 50, "model/weights.bin")
            run.log_text("hello\n", "notes/a.txt")
            if seed == 1:
                run.log({"train/loss": float("nan")}, step=50)
                run.set_note("# The best\n\nso far")
                for stream, text in OUTPUT:
                    run.writer.event("out", {"s": stream, "x": text})
    with pytest.raises(RuntimeError), mllab.start_run("flights", EVIL, lab=lab, capture=False, tags={"t\n": EVIL}):
        raise RuntimeError(f"no {EVIL}")
    return lab


@pytest.fixture
def call(study: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs one command on the lab and returns what it prints."""
    monkeypatch.setenv("MLLAB_LAB", study.root)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*args: str, status: int = 0, err: bool = False) -> str:
        found = root.main(list(args), standalone_mode=False)
        done = capsys.readouterr()
        assert found == status, done.err
        return done.err if err else done.out

    return run


def test_ls_lists_the_newest_first(call: Call) -> None:
    heading, *rows = call("runs", "ls").splitlines()
    assert heading.split() == [
        "id", "name", "experiment", "status", "started", "duration", "train/loss", "=key", "lr", "seed", "formula",
    ]  # fmt: skip
    assert [row.split()[1] for row in rows[1:]] == ["run-4", "run-3", "run-2", "run-1", "run-0"]
    assert "✓ finished" in rows[1]
    assert "✗ failed" in rows[0]


def test_ls_shows_hostile_names_harmlessly(call: Call) -> None:
    for args in (["runs", "ls"], ["runs", "show", EVIL], ["metrics"], ["runs", "compare", EVIL, "run-1"], []):
        text = call(*args)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\x07" not in text


@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_tables_fit_the_terminal(call: Call, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for args in (["runs", "ls"], ["runs", "show", "run-1"], ["runs", "compare", "run-1", "run-2", "run-3"], ["metrics"], ["artifacts", "ls", "run-1"]):  # fmt: skip
        lines = call(*args).splitlines()
        # A run's id and a heading stay whole: they are what is copied.
        assert all(len(line) <= max(columns, 40) for line in lines), (args, max(lines, key=len))


def test_ls_filters_and_limits(call: Call) -> None:
    text = call("runs", "ls", "lr < 0.06 order by lr", "-n", "2", "-c", "name,lr")
    assert [line.split() for line in text.splitlines()] == [["name", "lr"], ["run-4", "0.02"], ["run-3", "0.025"]]
    assert call("runs", "ls", "seed", "=", "3", "-c", "name").split() == ["name", "run-3"]
    assert "runs 1 to 2 of 6" in call("runs", "ls", "-n", "2", err=True)
    assert call("runs", "ls", "seed = 77") == ""
    assert "No run fits" in call("runs", "ls", "seed = 77", err=True)


def test_ls_as_json_has_every_key(call: Call) -> None:
    found = json.loads(call("runs", "ls", "name = run-1", "--json"))
    assert (found["total"], found["offset"], len(found["runs"])) == (1, 0, 1)
    run = found["runs"][0]
    assert run["params"] == {"lr": 0.05, "seed": 1, "optimizer": "adam", "formula": "=1+1"}
    assert run["tags"] == {"team": "core", "odd": "yes"}
    assert run["metrics"]["train/loss"] == "NaN"
    assert run["started"].endswith("Z")
    assert run["duration_s"] >= 0
    assert json.loads(call("runs", "ls", "status = failed", "--json"))["runs"][0]["name"] == EVIL
    assert json.loads(call("--json", "runs", "ls", "seed = 77")) == {
        "lab": found["lab"], "total": 0, "offset": 0, "runs": [],
    }  # fmt: skip


def test_show_tells_everything(call: Call) -> None:
    text = call("runs", "show", "run-1")
    for part in ("run-1", "✓ finished", "digits", "# The best", "train/loss", "51 (1 nan)", "optimizer", "adam", "team",
                 "model/weights.bin", "100 B"):  # fmt: skip
        assert part in text
    text = call("runs", "show", "run-0")
    assert "Note" not in text
    assert "█" in text


def test_show_tells_why_a_run_failed(call: Call) -> None:
    text = call("runs", "show", EVIL)
    assert "RuntimeError: no evil\\x1b]52" in text
    assert "Traceback" in text
    found = json.loads(call("runs", "show", EVIL, "--json"))
    assert found["error"]["type"] == "RuntimeError"
    assert found["name"] == EVIL


def test_show_as_json(call: Call) -> None:
    found = json.loads(call("runs", "show", "run-2", "--json"))
    assert found["metrics"]["train/loss"]["count"] == 50
    assert [each["path"] for each in found["artifacts"]] == ["model/weights.bin", "notes/a.txt"]
    assert found["note"] is None


def test_open_shows_a_run_or_what_a_link_is_about(call: Call, study: Lab) -> None:
    run_id = study.engine.resolve("run-2")
    wanted = call("runs", "show", run_id, "--json")
    assert call("open", "run-2", "--json") == call("open", f"mllab:///runs/{run_id}?at=step", "--json") == wanted


def test_compare_prints_changes_from_the_first(call: Call) -> None:
    text = call("runs", "compare", "run-1", "run-2", "run-4", "--by", "min")
    (loss,) = (line for line in text.splitlines() if line.strip().startswith("train/loss"))
    assert loss.split() == ["train/loss", "1.02", "2.02", "(+1)", "4.02", "(+3)"]
    assert "optimizer" not in text
    assert "params and tags are equal" in text
    assert "optimizer" in call("runs", "compare", "run-1", "run-2", "--all")
    assert "system/" not in text


def test_compare_puts_many_runs_below_each_other(call: Call) -> None:
    lines = call("runs", "compare", "run-0", "run-1", "run-2", "run-3", "run-4").splitlines()
    assert [line.split()[0] for line in lines[1:6]] == [f"run-{seed}" for seed in range(5)]


def test_compare_as_json(call: Call) -> None:
    found = json.loads(call("runs", "compare", "run-0", "run-2", "--json"))
    (loss,) = (each for each in found["metrics"] if each["key"] == "train/loss")
    assert loss["changes"] == [0.0, 2.0]
    assert {each["key"] for each in found["params"] if each["differs"]} == {"lr", "seed"}


def test_diff(call: Call) -> None:
    text = call("runs", "diff", "run-0", "run-2")
    assert "lr" in text
    assert "optimizer" not in text
    found = json.loads(call("runs", "diff", "run-0", "run-2", "--json"))
    assert found["params"][0] == {"key": "lr", "first": 0.1, "second": 0.1 / 3}


def test_tail_prints_lines_without_sequences(call: Call) -> None:
    assert call("runs", "tail", "run-1") == "epoch 1\nepoch 2\nwarning\n100%\n"
    assert call("runs", "tail", "run-1", "-n", "3") == "epoch 2\nwarning\n100%\n"
    assert call("runs", "tail", "run-1", "-n", "1") == "100%\n"
    assert call("runs", "tail", "run-1", "--stream", "stderr") == "warning\n"
    assert call("runs", "tail", "run-1", "--stream", "stderr", "--raw") == "\x1b[31mwarning\x1b[0m\n"
    assert call("runs", "tail", "run-1", "--follow") == "epoch 1\nepoch 2\nwarning\n100%\n", "the run has ended"
    assert call("runs", "tail", "run-0") == ""
    first, *_ = map(json.loads, call("runs", "tail", "run-1", "--json").splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {"attempt": 1, "stream": "stdout", "text": "epoch 1\nepoch 2\n"}


def test_export_csv_guards_texts_and_headings(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    assert call("runs", "export", "-o", str(path), "experiment = digits order by seed") == ""
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["name"] for row in rows] == [f"run-{seed}" for seed in range(5)]
    assert {row["params.formula"] for row in rows} == {"'=1+1"}
    assert float(rows[1]["params.lr"]) == 0.05
    assert rows[0]["started"].endswith("Z")
    text = call("runs", "export", "-c", "name,min(train/loss),params.lr,`=key`", "name = run-3")
    assert next(csv.reader(io.StringIO(text))) == ["name", "min(metrics.train/loss)", "params.lr", "metrics.=key"]
    assert call("runs", "export", "-c", "id", "name = run-3").splitlines()[0] == "run_id"


def test_export_parquet_keeps_types(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    call("runs", "export", "-o", str(path))
    frame = pl.read_parquet(path)
    assert frame.height == 6
    assert frame.schema["params.seed"] == pl.Int64
    assert frame.schema["params.lr"] == pl.Float64
    assert set(frame["params.formula"].drop_nulls()) == {"=1+1"}


def test_export_json_jsonl_and_markdown(call: Call) -> None:
    found = json.loads(call("runs", "export", "--format", "json"))
    assert len(found) == 6
    lines = call("runs", "export", "--format", "jsonl", "order by seed").splitlines()
    assert [json.loads(line)["name"] for line in lines][:2] == ["run-0", "run-1"]
    assert json.loads(call("--json", "runs", "export"))[0].keys() == found[0].keys()
    heading, rule, *rows = call("runs", "export", "--format", "md").splitlines()
    assert heading.startswith("| id | name |")
    assert set(rule) <= set("|-: ")
    assert len(rows) == 6
    assert "\\\\x1b\\]52" in rows[0]
    assert heading.count("|") == rule.count("|") == rows[1].count("|")


def test_metrics_as_a_table_and_as_points(call: Call, tmp_path: Path) -> None:
    heading, *rows = call("metrics", "run-0", "run-2").splitlines()
    assert heading.split() == ["id", "run", "metric", "curve", "last", "min", "max", "points"]
    assert len(rows) == 4
    assert "system/cpu_percent" in call("metrics", "run-0", "-k", "system/cpu_percent")
    points = list(csv.DictReader(io.StringIO(call("metrics", "run-1", "-k", "train/loss", "-f", "csv"))))
    assert len(points) == 51
    assert points[0].keys() == {"run_id", "key", "step", "time", "value"}
    assert points[-1]["value"] == "nan"
    path = tmp_path / "points.parquet"
    call("metrics", "--filter", "experiment = digits", "-o", str(path))
    assert pl.read_parquet(path).height == 5 * 51 + 1
    lines = call("metrics", "run-1", "-f", "jsonl", "-k", "train/loss", "--max-points", "8").splitlines()
    assert len(lines) <= 8
    assert json.loads(lines[-1])["value"] == "NaN"
    assert "'=key" in call("metrics", "run-1", "-f", "csv")
    found = json.loads(call("metrics", "run-1", "--json"))["metrics"]
    assert {each["key"] for each in found} == {"=key", "train/loss"}
    call("metrics", "run-1", "--filter", "seed = 1", status=2)


def test_artifacts_come_whole_and_replace_nothing(call: Call, tmp_path: Path) -> None:
    assert "model/weights.bin" in call("artifacts", "ls", "run-0")
    folder = tmp_path / "got"
    printed = call("artifacts", "get", "run-0", "-o", str(folder)).splitlines()
    assert printed == [str(folder / "model/weights.bin"), str(folder / "notes/a.txt")]
    assert (folder / "model/weights.bin").read_bytes() == b"\x00\xff" * 50
    (folder / "notes/a.txt").write_text("mine")
    (folder / "model/weights.bin").unlink()
    assert "there already" in call("artifacts", "get", "run-0", "-o", str(folder), status=2, err=True)
    assert (folder / "notes/a.txt").read_text() == "mine"
    assert not (folder / "model/weights.bin").exists(), "nothing is fetched when something is in the way"
    call("artifacts", "get", "run-0", "notes", "-o", str(folder), "--force")
    assert (folder / "notes/a.txt").read_text() == "hello\n"
    assert call("artifacts", "get", "run-0", "notes/a.txt", "-o", "-") == "hello\n"
    call("artifacts", "get", "run-0", "notes/missing", status=2)
    call("artifacts", "get", "run-0", "-o", "-", status=2)
    assert sorted(os.listdir(folder / "notes")) == ["a.txt"], "no temporary file is left"


def test_artifacts_do_not_follow_links_out(call: Call, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "got"
    outside.mkdir()
    folder.mkdir()
    (folder / "notes").symlink_to(outside)
    assert "[STORE-005]" in call(
        "artifacts", "get", "run-0", "notes/a.txt", "-o", str(folder), "--force", status=3, err=True
    )
    assert not list(outside.iterdir())
    (folder / "notes").unlink()
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").symlink_to(outside / "target")
    call("artifacts", "get", "run-0", "notes/a.txt", "-o", str(folder), "--force")
    assert not list(outside.iterdir()), "the link itself was replaced"


def test_a_damaged_artifact_does_not_appear(study: Lab, call: Call, tmp_path: Path) -> None:
    (row,) = json.loads(call("runs", "show", "run-4", "--json"))["artifacts"][1:]
    path = Path(study.store.layout.blob(row["sha256"]))
    content = path.read_bytes()
    path.chmod(0o600)
    try:
        path.write_bytes(b"HELLO\n")
        call("artifacts", "get", "run-4", "notes/a.txt", "-o", str(tmp_path), status=3)
        assert not [name for _, _, names in os.walk(tmp_path) for name in names]
    finally:
        path.write_bytes(content)


def test_sql(call: Call, tmp_path: Path) -> None:
    query = "SELECT name, started, 2.5 AS x, '=1+1' AS f, NULL AS n, true AS b FROM runs WHERE name = 'run-1'"
    heading, row = call("sql", query).splitlines()
    assert heading.split() == ["name", "started", "x", "f", "n", "b"]
    assert row.split()[0] == "run-1"
    assert row.split()[-2:] == ["NULL", "true"]
    (found,) = json.loads(call("sql", query, "--json"))
    assert found["f"] == "=1+1"
    assert found["started"].endswith("Z")
    (line,) = csv.DictReader(io.StringIO(call("sql", query, "--format", "csv")))
    assert line["f"] == "'=1+1"
    assert line["started"] == found["started"]
    path = tmp_path / "out.parquet"
    call("sql", "SELECT 1 AS a, 2 AS a, started FROM runs", "-o", str(path))
    assert pl.read_parquet(path).columns == ["a", "a_2", "started"]
    assert json.loads(call("sql", "SELECT 1 AS a, 2 AS a", "--json")) == [{"a": 1, "a_2": 2}]
    assert json.loads(call("sql", "SELECT 1 WHERE FALSE", "--json")) == []
    assert json.loads(call("sql", "SELECT sum(attempt) AS n FROM runs", "--json")) == [{"n": 6}]
    values = "SELECT [1, 2] AS l, {'a': 'b'} AS s, 'ab'::BLOB AS x, DATE '2025-01-02' AS d, INTERVAL 3 DAY AS i"
    (found,) = json.loads(call("sql", values, "--json"))
    assert (found["l"], found["s"], found["x"], found["d"]) == ([1, 2], {"a": "b"}, "6162", "2025-01-02")
    assert "2025-01-02" in call("sql", values)
    assert '"[1,2]"' in call("sql", values, "--format", "csv")


def test_sql_fails_clearly(call: Call) -> None:
    text = call("sql", "SELEC 1", status=1, err=True)
    assert text.startswith("error: Parser Error")
    assert "[QUERY-001]" in text.splitlines()[0]
    assert "[QUERY-003]" in call("sql", "SELECT * FROM read_text('/etc/hostname')", status=1, err=True)
    slow = "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE a.range = -b.range - 1"
    for kind in ("table", "csv"):
        assert "[QUERY-002]" in call("sql", slow, "--timeout", "0.2", "--format", kind, status=1, err=True)


def test_sql_from_standard_input(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 7 AS seven"))
    assert call("sql", "-").split() == ["seven", "7"]
    monkeypatch.setattr("sys.stdin", None)
    call("sql", "-", status=2)


def test_sql_shows_the_first_rows_of_many(call: Call) -> None:
    assert len(call("sql", "SELECT * FROM range(5000)").splitlines()) == 1001
    assert "only the first 1,000 rows" in call("sql", "SELECT * FROM range(5000)", err=True)
    assert len(call("sql", "SELECT * FROM range(5000)", "--format", "csv").splitlines()) == 5001


def test_the_store_tells_its_size(call: Call) -> None:
    assert "on disk" in call("store", "stats")
    assert json.loads(call("store", "stats", "--json"))["runs"]["open"] == 6


def test_alone_mllab_gives_an_overview(call: Call, study: Lab) -> None:
    text = call()
    assert "study" in text
    assert "6 runs in 2 experiments: 5 finished, 1 failed" in text
    found: dict[str, Any] = json.loads(call("--json"))
    assert (found["runs"], found["by_status"], found["origin"]) == (6, {"finished": 5, "failed": 1}, "MLLAB_LAB")
    assert call("--lab", study.root).splitlines()[0].endswith("(--lab)")


def test_an_empty_lab_says_how_to_begin(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert root.main(["--lab", lab.root], standalone_mode=False) == 0
    assert "mllab demo" in capsys.readouterr().out
    assert root.main(["--lab", lab.root, "runs", "ls"], standalone_mode=False) == 0
    done = capsys.readouterr()
    assert done.out == ""
    assert "mllab demo" in done.err
