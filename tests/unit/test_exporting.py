"""Runs as files: whole or not at all, and harmless to what opens them."""

from __future__ import annotations

import contextlib
import csv
import doctest
import io
import json
import os
import resource
import stat
from typing import IO, TYPE_CHECKING, cast

import polars as pl
import pytest
from markdown_it import MarkdownIt

import mllab
from mllab import exporting
from mllab.cli.main import root
from mllab.errors import FilterError, UsageError, WriteError
from mllab.exporting import FORMATS, format_of, guarded, json_rows, whole_file, write_runs, write_runs_file
from mllab.lab import Lab
from mllab.query import views
from mllab.query.filter_ast import Term
from mllab.security.terminal import line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mllab.query.engine import Engine
    from mllab.query.views import Which

HOSTILE = "=1+1|*<b>_[x](y)\x1b[2J\u202e`#\\&lt;~~\r\n@SUM(A1),\"'"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab that the tests of this module only read: present runs, an archived one, a deleted one."""
    lab = Lab.init(str(tmp_path_factory.mktemp("exporting") / "lab"))
    for seed in range(4):
        params = {"lr": 0.1 / (seed + 1), "seed": seed, "formula": HOSTILE}
        with mllab.start_run(
            "digits", f"run-{seed}", lab=lab, capture=False, params=params, tags={"team": "@core"}
        ) as run:
            run.log({"loss": seed / 10, HOSTILE.replace("\r\n", " ").replace("\x1b", ""): 1.0})
        if seed >= 2:
            event = "archive" if seed == 2 else "delete"
            lab.store.edit(run.id, 1, [(event, {"value": True})])
    return lab


@pytest.fixture
def engine(study: Lab) -> Engine:
    """Return the engine of that lab."""
    return study.engine


def test_examples() -> None:
    result = doctest.testmod(exporting)
    assert result.attempted
    assert not result.failed


def names_in(path: Path) -> list[str]:
    """Return the runs' names that a file holds, whatever its format."""
    kind = path.suffix[1:].lower()
    if kind == "parquet":
        return pl.read_parquet(path)["name"].to_list()
    text = path.read_text(encoding="utf-8")
    if kind == "csv":
        return [row["name"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    if kind == "json":
        return [row["name"] for row in json.loads(text)]
    if kind == "jsonl":
        return [json.loads(line)["name"] for line in text.splitlines()]
    return [line.split(" | ")[1] for line in text.splitlines()[2:]]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("which", "names"),
    [("present", ["run-0", "run-1"]), ("archived too", ["run-0", "run-1", "run-2"]), ("deleted", ["run-3"])],
)
def test_a_file_in_each_format(engine: Engine, tmp_path: Path, kind: str, which: Which, names: list[str]) -> None:
    path = tmp_path / f"runs.{kind}"
    assert write_runs_file(engine, "order by seed", None, str(path), which=which) == len(names)
    assert names_in(path) == names
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_command_line_writes_the_same_file(study: Lab, tmp_path: Path, kind: str) -> None:
    for which, option in (("present", []), ("archived too", ["--all"]), ("deleted", ["--deleted"])):
        path, other = tmp_path / f"runs.{kind}", tmp_path / f"other.{kind}"
        write_runs_file(study.engine, "order by seed", None, str(path), which=cast("Which", which))
        args = ["--lab", study.root, "runs", "export", "order by seed", "-o", str(other), *option]
        assert root.main(args, standalone_mode=False) == 0
        assert other.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_chosen_columns(engine: Engine, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"runs.{kind.upper()}"
    columns = ["name", "params.lr", "min(loss)"]
    assert write_runs_file(engine, "seed = 1", columns, str(path)) == 1
    assert names_in(path.rename(tmp_path / f"runs.{kind}")) == ["run-1"] or kind == "md"
    found = (tmp_path / f"runs.{kind}").read_bytes()
    assert b"seed" not in found
    assert b"lr" in found
    assert b"formula" not in found


@pytest.mark.parametrize("kind", FORMATS)
def test_no_runs_make_a_file_without_rows(engine: Engine, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"runs.{kind}"
    assert write_runs_file(engine, "seed = 77", None, str(path)) == 0
    assert names_in(path) == []


@pytest.mark.parametrize("name", ["runs", "runs.xlsx", "runs.csv.gz", ".csv", "csv", "runs.csv/"])
def test_an_ending_that_names_no_format(engine: Engine, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="names no format") as caught:
        write_runs_file(engine, "", None, str(tmp_path / name) if name != "runs.csv/" else f"{tmp_path}/runs.csv/")
    assert all(f".{kind}" in (caught.value.hint or "") for kind in FORMATS)
    assert os.listdir(tmp_path) == []


def test_formats_by_ending() -> None:
    assert format_of("a/b.CSV", FORMATS) == "csv"
    assert format_of("a.parquet", ("csv",)) is None
    assert format_of(None, FORMATS) is None


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_leaves_what_was_there(engine: Engine, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"runs.{kind}"
    path.write_text("before")
    with no_file_larger_than(100), pytest.raises(WriteError, match=f"runs\\.{kind}") as caught:
        write_runs_file(engine, "", None, str(path))
    assert caught.value.code == "USE-005"
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == [path.name], "nothing half written is left"
    assert write_runs_file(engine, "", None, str(path)) == 2
    assert len(names_in(path)) == 2, "and with room it can be written"


@contextlib.contextmanager
def no_file_larger_than(size_bytes: int) -> Iterator[None]:
    """Let every write beyond a size fail, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_or_a_pipe_is_not_replaced(engine: Engine, tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder.csv", tmp_path / "pipe.csv"
    folder.mkdir()
    os.mkfifo(pipe)
    with pytest.raises(WriteError, match="it is a folder"):
        write_runs_file(engine, "", None, str(folder))
    with pytest.raises(WriteError, match="no file that could be replaced"):
        write_runs_file(engine, "", None, str(pipe))
    assert folder.is_dir()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["folder.csv", "pipe.csv"]


def test_a_wrong_filter_or_column_touches_nothing(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("before")
    with pytest.raises(FilterError):
        write_runs_file(engine, "loss <", None, str(path))
    with pytest.raises(UsageError, match="is no column"):
        write_runs_file(engine, "", ["nothing"], str(path))
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["runs.csv"]


def fail_half_way(stream: IO[bytes]) -> None:
    stream.write(b"half")
    raise ValueError("half way")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")
    with pytest.raises(ValueError, match="half"), whole_file(str(path)) as stream:
        fail_half_way(stream)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["out.csv"]
    with path.open() as reader:
        with whole_file(str(path)) as stream:
            stream.write(b"after")
            stream.flush()
            assert path.read_text() == "before", "nobody sees it half written"
        assert reader.read() == "before", "who reads the old file keeps it"
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["out.csv"]


def test_two_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with whole_file(str(path)) as first, whole_file(str(path)) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first", "the one that ended last"
    assert os.listdir(tmp_path) == ["out.csv"]


def test_the_longest_name_has_room(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 251}.csv"
    with whole_file(str(path)) as stream:
        stream.write(b"x")
    assert path.read_bytes() == b"x"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"missing/out\.csv"), whole_file(str(tmp_path / "missing" / "out.csv")):
        pytest.fail("never gets here")


@pytest.mark.parametrize("kind", FORMATS)
def test_progress_counts_runs_and_can_stop(engine: Engine, kind: str) -> None:
    seen: list[int] = []
    write_runs(engine, "", None, kind, io.BytesIO(), on_row=seen.append)
    assert seen == ([2] if kind in ("csv", "parquet") else [1, 2])

    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_runs(engine, "", None, kind, io.BytesIO(), on_row=stop)


@pytest.mark.parametrize("order", ["", "order by seed", "order by name desc"])
def test_rows_in_chunks_are_the_rows_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    texts = []
    for size in (1, 2, 2000):
        monkeypatch.setattr(exporting, "_CHUNK", size)
        stream = io.BytesIO()
        write_runs(engine, order, None, "jsonl", stream, which="archived too")
        texts.append(stream.getvalue())
    assert len(texts[0].splitlines()) == 3
    assert len(set(texts)) == 1


def test_chunks_lie_together_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_CHUNK", 10)
    refs = list(range(100))
    assert exporting._chunks([]) == []
    assert exporting._chunks(refs) == [refs[start : start + 10] for start in range(0, 100, 10)]
    almost = [ref ^ 1 for ref in reversed(refs)]
    assert len(exporting._chunks(almost)) == 10, "runs that started while others ran"
    scattered = [ref * 37 % 100 for ref in refs]
    assert exporting._chunks(scattered) == [scattered], "or each would look through the whole store"


def test_rows_are_read_as_they_are_taken(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(engine: Engine, refs: Sequence[int]) -> dict[int, views.RunRow]:
        asked.append(len(refs))
        return run_rows(engine, refs)

    run_rows = views.run_rows
    monkeypatch.setattr(exporting, "_CHUNK", 1)
    monkeypatch.setattr(views, "run_rows", counted)
    with json_rows(engine, "", None, which="archived too", limit=2) as chosen:
        assert (chosen.count, chosen.total) == (2, 3)
        assert asked == []
        next(chosen.rows)
        assert asked == [1]
        assert len(list(chosen.rows)) == 1


def test_columns_of_one_metric_at_several_steps_stay_apart() -> None:
    terms = [Term("metric", "loss", "at", step, step) for step in (1, 2)] + [Term("metric", "loss", "min")]
    assert exporting.headings(terms) == ["loss at 1", "loss at 2", "min(loss)"]
    names = [exporting._frame_name(term) for term in terms]
    assert names == ["metrics.loss at 1", "metrics.loss at 2", "min(metrics.loss)"]


@pytest.mark.parametrize(
    "filter_text", ["loss at 0 >= 0", "min(loss) >= 0", "lr > 0 and team = '@core'", "duration < 1d"]
)
def test_what_a_filter_mentions_is_no_hindrance(engine: Engine, filter_text: str) -> None:
    stream = io.BytesIO()
    assert write_runs(engine, filter_text, None, "jsonl", stream) == 2
    row = json.loads(stream.getvalue().splitlines()[0])
    assert {"lr", "seed", "formula"} <= row["params"].keys()
    assert ("min(loss)" in row["metrics"]) == filter_text.startswith("min")
    assert "loss" in row["metrics"]


def test_hostile_cells_in_csv(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    write_runs_file(engine, "", None, str(path))
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    assert {len(row) for row in rows} == {len(rows[0])}, "no cell breaks out of its column"
    cells = [cell for row in rows for cell in row]
    assert f"'{HOSTILE}" in cells
    assert "'@core" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]


def test_hostile_cells_in_markdown(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "runs.md"
    write_runs_file(engine, "", ["name", "params.formula", "tags.team"], str(path))
    text = path.read_text(encoding="utf-8")
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text.splitlines()) == 4, "no cell breaks out of its row"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    cells = [token for token in tokens if token.type == "inline"]
    assert [cell.content for cell in cells[:3]] == ["name", "formula", "team"]
    assert len(cells) == 9, "nor out of its column"
    for cell in cells:
        pieces = cell.children or []
        assert {piece.type for piece in pieces} <= {"text"}, "nothing in it is markup"
    shown = ["".join(piece.content for piece in cell.children or []) for cell in cells]
    assert shown[3:6] == ["run-1", line(HOSTILE), "@core"], "and all of it is seen"


@pytest.mark.parametrize(
    "text", ["=1+1", "+A1", "-1+cmd", "@SUM(A1)", "\t=1", "\r=1", "-", "=", "- item", "-1e5x", "+1_0"]
)
def test_formulas_are_guarded(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["adam", "", "1.5", "-1.5", "+3", "-1e-5", "'=1", " =1", "a=b"])
def test_other_texts_are_left_alone(text: str) -> None:
    assert guarded(text) == text


def test_guarded_cells_survive_a_csv_reader() -> None:
    text = io.StringIO()
    csv.writer(text).writerow([guarded('=HYPERLINK("http://x","y")'), "plain"])
    assert next(csv.reader(io.StringIO(text.getvalue())))[0].startswith("'=")


@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "jsonl", "md"])
def test_functions_of_metrics_alone_are_columns_too(engine: Engine, tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / f"runs.{kind}")
    count = write_runs_file(engine, "", ["min(loss)", "ema(loss, 0.9)"], path)
    assert count == len(engine.rows("SELECT 1 FROM r_runs WHERE deleted IS NULL AND NOT archived"))


def test_a_link_stays_one_and_the_mode_is_kept(engine: Engine, tmp_path: Path) -> None:
    target = tmp_path / "target.csv"
    target.write_text("before")
    target.chmod(0o640)
    link = tmp_path / "link.csv"
    link.symlink_to(target)
    write_runs_file(engine, "", ["name"], str(link))
    assert link.is_symlink()
    assert target.read_text().startswith("name")
    assert target.stat().st_mode & 0o777 == 0o640
