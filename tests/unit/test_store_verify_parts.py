from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.whole_store import add_run, flip, only, part_of, publish

from mllab.store import schema
from mllab.store.manifest import Manifest, Part, load_newest
from mllab.store.parts import read_part, write_part
from mllab.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

TABLES = ["runs", "params", "tags", "summaries", "artifacts", "datasets", "points", "logs"]


def with_part(store: Store, table: str, change: Callable[[Part], Part]) -> Manifest:
    """Publish a manifest with the first part of a table replaced."""
    manifest = load_newest(store.layout)
    old = part_of(store, table)
    if table in ("points", "logs"):
        parts = tuple(change(part) if part == old else part for part in getattr(manifest, table))
        return publish(store, **{table: parts})
    fold = manifest.folds[0]
    changed = replace(fold, parts={**fold.parts, table: change(old)})
    return publish(store, folds=(changed, *manifest.folds[1:]))


# -- parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("deep", [True, False])
def test_a_missing_part_is_named(full: Store, table: str, deep: bool) -> None:
    part = part_of(full, table)
    os.unlink(full.layout.part(part.name))
    report = full.verify(deep=deep)
    problem = report.problems[0]
    assert (problem.kind, problem.path) == ("part", f"parts/{part.name}")
    assert "is missing" in problem.message
    assert problem.lost
    assert {other.kind for other in report.problems[1:]} <= {"points"}


@pytest.mark.parametrize("table", TABLES)
def test_a_cut_part_is_named(full: Store, table: str) -> None:
    part = part_of(full, table)
    os.chmod(full.layout.part(part.name), 0o600)
    os.truncate(full.layout.part(part.name), part.size - 1)
    problem = full.verify(deep=False).problems[0]
    assert f"{part.size - 1:,} of {part.size:,} bytes" in problem.message


@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_part_is_named(full: Store, table: str) -> None:
    part = part_of(full, table)
    flip(full.layout.part(part.name), part.size // 2)
    assert full.verify(deep=False).is_intact
    problem = full.verify().problems[0]
    assert (problem.kind, problem.path) == ("part", f"parts/{part.name}")
    assert "checksum" in problem.message


def test_lost_points_are_named_by_run_metric_and_steps(store: Store) -> None:
    lost = [add_run(store, "first", points=5, seal=False), add_run(store, "second", points=3, seal=False)]
    store.seal()
    kept = add_run(store, "third")
    os.unlink(store.layout.part(part_of(store, "points").name))
    report = store.verify()
    gone, first, second = report.problems
    assert gone.kind == "part"
    assert gone.lost == ("16 points at most; the runs below say whose",)
    assert first.message == f"The run first ({lost[0]}) lacks points."
    assert first.lost == ("5 of 5 points of 'größe', steps 10 to 14", "5 of 5 points of 'loss', steps 10 to 14")
    assert second.message == f"The run second ({lost[1]}) lacks points."
    assert second.lost == ("3 of 3 points of 'größe', steps 10 to 12", "3 of 3 points of 'loss', steps 10 to 12")
    assert kept not in str(report.problems)


def test_a_run_that_lost_only_some_points_is_named(store: Store) -> None:
    run_id = add_run(store, points=5)
    writer = store.writer(run_id, attempt=2)
    writer.event("resume", {})
    for step in range(100, 107):
        writer.points({"loss": 1.0}, step)
    writer.close()
    store.seal()
    os.unlink(store.layout.part(load_newest(store.layout).points[1].name))
    report = store.verify()
    assert report.problems[1].lost == ("7 of 12 points of 'loss', steps 10 to 106",)


def test_a_lost_table_names_the_runs_it_had(full: Store) -> None:
    os.unlink(full.layout.part(part_of(full, "params").name))
    (lost,) = only(full.verify(), "part").lost
    assert all(f"{name} (" in lost for name in ("one", "two", "three"))
    os.unlink(full.layout.part(part_of(full, "runs").name))
    problems = full.verify().problems
    assert problems[0].lost == ("3 runs, numbered 1 to 3",)
    assert problems[1].lost == ("the params of 3 runs, numbered 1 to 3",)


def rewrite_part(store: Store, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Publish a part whose rows were changed, under a right checksum."""
    changed = change(read_part(store.layout, part_of(store, table)))
    with_part(store, table, lambda _: write_part(store.layout, store.disk, table, changed))


@pytest.mark.parametrize("table", ["runs", "params", "tags", "summaries", "points"])
def test_rows_out_of_order_are_a_problem(full: Store, table: str) -> None:
    rewrite_part(full, table, lambda rows: rows.take(list(reversed(range(rows.num_rows)))))
    problem = full.verify().problems[0]
    assert problem.kind == "part"
    assert "not sorted" in problem.message


def test_order_is_checked_across_row_groups(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mllab.store.parts.write_options", lambda name: {**schema.write_options(name), "row_group_size": 4}
    )
    add_run(store, points=20)
    assert pq.ParquetFile(store.layout.part(part_of(store, "points").name)).num_row_groups == 10
    assert store.verify().is_intact
    rewrite_part(store, "points", lambda rows: pa.concat_tables([rows.slice(4, 4), rows.slice(0, 4), rows.slice(8)]))
    assert "not sorted" in store.verify().problems[0].message


def test_points_that_no_summary_counts_are_a_problem(full: Store) -> None:
    rewrite_part(full, "points", lambda rows: pa.concat_tables([rows.slice(0, 1), rows]))
    problem = only(full.verify(), "points")
    assert "6 points of 'größe'; its summary says 5" in problem.message


def test_points_of_a_metric_without_a_summary_are_a_problem(full: Store) -> None:
    import pyarrow.compute as pc

    rewrite_part(full, "summaries", lambda rows: rows.filter(pc.not_equal(rows["key"], "loss")))
    assert {problem.kind for problem in full.verify().problems} == {"points"}


def test_rows_of_unknown_runs_are_a_problem(full: Store) -> None:
    for table in ("points", "params", "logs"):
        fresh = load_newest(full.layout)

        def moved(rows: pa.Table) -> pa.Table:
            refs = pa.array([77] * rows.num_rows, pa.int64())
            return rows.set_column(rows.schema.get_field_index("ref"), "ref", refs)

        rewrite_part(full, table, moved)
        assert any("no fold has" in p.message or "its fold lacks" in p.message for p in full.verify().problems), table
        publish(full, folds=fresh.folds, points=fresh.points, logs=fresh.logs)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("changes", [{"rows": 1}, {"last_ref": 99}, {"first_ref": 0}])
def test_a_manifest_that_describes_a_part_wrongly_is_a_problem(
    full: Store, table: str, changes: dict[str, Any]
) -> None:
    with_part(full, table, lambda part: replace(part, **changes))
    problem = full.verify().problems[0]
    assert problem.kind == "part"


def write_raw(store: Store, table: str, write: Callable[[str], None]) -> Part:
    """Put any file in place of a part, with a right size and checksum."""
    path = os.path.join(store.layout.parts, "raw.tmp")
    write(path)
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    part = replace(
        part_of(store, table), name=f"{table}-{digest[:24]}.parquet", size=os.path.getsize(path), sha256=digest
    )
    os.rename(path, store.layout.part(part.name))
    return part


@pytest.mark.parametrize("table", TABLES)
def test_a_part_with_other_columns_is_a_problem(full: Store, table: str) -> None:
    part = write_raw(full, table, lambda path: pq.write_table(pa.table({"ref": [1], "extra": ["x"]}), path))
    with_part(full, table, lambda _: part)
    assert "other columns" in full.verify().problems[0].message


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" * 100, b"\0" * 1000])
def test_a_part_that_is_no_parquet_is_a_problem(full: Store, data: bytes) -> None:
    def write(path: str) -> None:
        with open(path, "wb") as file:
            file.write(data)

    part = write_raw(full, "points", write)
    with_part(full, "points", lambda _: part)
    assert "not readable" in full.verify().problems[0].message


def test_rows_without_a_run_are_a_problem(full: Store) -> None:
    def write(path: str) -> None:
        rows = read_part(full.layout, part_of(full, "tags"))
        refs = pa.array([None, *rows["ref"].to_pylist()[1:]], pa.int64())
        pq.write_table(rows.set_column(1, "ref", refs), path)

    part = write_raw(full, "tags", write)
    with_part(full, "tags", lambda _: part)
    assert "without a run or key" in full.verify().problems[0].message


def test_files_that_no_manifest_names_are_only_noted(full: Store) -> None:
    with open(os.path.join(full.layout.parts, "points-" + "0" * 24 + ".parquet"), "w") as file:
        file.write("orphan")
    report = full.verify()
    assert report.is_intact
    assert [note.kind for note in report.notes] == ["part"]


# -- folds ---------------------------------------------------------------------------------------------------


def test_a_run_that_is_there_twice_is_a_problem(full: Store) -> None:
    manifest = load_newest(full.layout)
    publish(full, folds=(*manifest.folds, manifest.folds[0]))
    assert any("there twice" in problem.message for problem in full.verify().problems)


def test_a_void_row_that_is_no_longer_masked_is_a_problem(full: Store) -> None:
    manifest = load_newest(full.layout)
    assert any(fold.masked for fold in manifest.folds)
    publish(full, folds=tuple(replace(fold, masked=()) for fold in manifest.folds))
    assert any("there twice" in problem.message for problem in full.verify().problems)


def test_a_number_that_may_be_given_again_is_a_problem(full: Store) -> None:
    publish(full, next_ref=3)
    assert any("out of range" in problem.message for problem in full.verify().problems)


def test_a_fold_of_another_size_is_a_problem(full: Store) -> None:
    manifest = load_newest(full.layout)
    publish(full, folds=(replace(manifest.folds[0], runs=99), *manifest.folds[1:]))
    assert "A fold of 99 runs has 3" in only(full.verify(), "fold").message


def test_a_fold_with_an_unknown_table_is_a_problem(full: Store) -> None:
    manifest = load_newest(full.layout)
    fold = manifest.folds[0]
    publish(full, folds=(replace(fold, parts={**fold.parts, "pets": fold.parts["tags"]}), *manifest.folds[1:]))
    assert "pets" in full.verify().problems[0].message


@pytest.mark.parametrize("deleted", [(), (1, 4)])
def test_manifest_and_runs_must_agree_on_what_is_deleted(full: Store, deleted: tuple[int, ...]) -> None:
    publish(full, deleted=deleted)
    assert "deleted" in only(full.verify(), "fold").message
