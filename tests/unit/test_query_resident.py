"""Columns kept in memory: what holds them, what lets go of them, and that no two answers differ."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.support.whole_store import add_run

from mllab.ids import new_id
from mllab.query.engine import Engine
from mllab.query.filter_ast import Term
from mllab.query.resident import MAX_OLDER_BASES
from mllab.query.select import select, select_refs
from mllab.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

LOSS = Term("metric", "loss", "last")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with three sealed runs."""
    store = Store.create(str(tmp_path / "store"))
    for name in ("one", "two", "three"):
        add_run(store, name, seal=False)
    store.seal()
    return store


def tables(engine: Engine) -> int:
    (count,) = engine.rows("SELECT count(*) FROM duckdb_tables() WHERE NOT temporary")[0]
    return int(count)


def test_a_column_is_read_once(store):
    engine = Engine(store)
    select_refs(engine, "loss > 0")
    before = tables(engine)
    assert before == 2  # the base, and loss
    select_refs(engine, "loss > 0.5 or not loss < 2 order by loss")
    assert tables(engine) == before


def test_memory_does_not_grow_with_commits(store):
    engine = Engine(store)
    manifest = engine.refresh().manifest
    (fold,) = manifest.folds
    resident, cursor = engine.resident, engine._connection.cursor()
    counts = set()
    for number in range(100):
        masked = (1,) if number % 2 else ()
        changed = replace(manifest, number=1000 + number, folds=(replace(fold, masked=masked),))
        resident = resident.following(changed)
        if number % 3:  # not every state is asked
            base, _ = resident.tables(cursor, ["ref", "name", LOSS])
            assert base.rows == 3 - len(masked)
        gc.collect(0)
        resident.sweep(cursor)
        counts.add(tables(engine))
    assert max(counts) <= 8


def test_columns_of_old_states_do_not_keep_every_base(tmp_path):
    """After each commit another key is asked for, as by someone who looks around in a lab where runs go on ending."""
    store = Store.create(str(tmp_path / "store"))
    engine, keys = Engine(store), range(8)
    counts = []
    for number in keys:
        writer = store.writer(new_id())
        writer.event("start", {"experiment": "e", "name": str(number)})
        writer.points({f"m{key}": float(key) for key in keys}, 0)
        writer.event("finish", {"status": "finished"})
        writer.close()
        store.seal()
        for _ in range(2):
            assert len(select_refs(engine, f"m{number} = {number}").refs) == number + 1
        gc.collect(0)
        engine.resident.sweep(engine._connection)
        counts.append(tables(engine))
    most = 2 * (1 + MAX_OLDER_BASES)  # a base and a column of each state
    assert max(counts) == most
    assert len(select_refs(engine, "m0 = 0 and m6 = 6").refs) == 8


def test_a_run_that_is_written_again_as_it_was_stays(tmp_path):
    store = Store.create(str(tmp_path / "store"))
    run_id = add_run(store, "one")
    engine = Engine(store)
    assert len(select_refs(engine, "loss > 0").refs) == 1
    for _ in range(2):
        store.edit(run_id, 1, [("tags", {"values": {"none": None}})])
        store.seal()
        folds = engine.refresh().manifest.folds
        assert len(folds) > len({fold.parts["runs"].name for fold in folds}), "two folds share a part"
        assert len(select_refs(engine, "loss > 0").refs) == 1


def test_a_thread_that_keeps_a_state_keeps_its_tables(store):
    engine = Engine(store)
    with engine.steady():
        refs = select_refs(engine, "has loss").refs.tolist()
        kept = engine.resident
        add_run(store, "four")
        other = Engine(store)
        assert len(select(other, "has loss").refs) == len(refs) + 1
        assert select_refs(engine, "has loss").refs.tolist() == refs
        assert engine.resident is kept
    assert len(select_refs(engine, "has loss").refs) == len(refs) + 1
    assert engine.resident is not kept


def test_the_columns_of_keys_are_bounded_and_the_oldest_goes_first(store):
    engine = Engine(store)
    engine.resident._max_key_bytes = 50  # two columns of three numbers
    for filter_text in ("loss > 0", "max(loss) > 0", "loss > 1", "min(loss) > 0"):
        select_refs(engine, filter_text)
    assert engine.resident.has([LOSS, Term("metric", "loss", "min")])
    assert not engine.resident.has([Term("metric", "loss", "max")])
    assert len(select_refs(engine, "max(loss) > 0 and min(loss) > 0 and loss > 0").refs) == 3


def test_an_open_run_changes_no_column(store):
    engine = Engine(store)
    select_refs(engine, "loss > 0")
    before = engine.resident
    add_run(store, "three", seal=False)
    assert len(select_refs(engine, "loss > 0").refs) == 4
    assert engine.resident is before


def test_a_first_page_without_a_condition_reads_no_columns(store):
    engine = Engine(store)
    select(engine, "", limit=2, with_total=False)
    assert tables(engine) == 0
    select(engine, "", limit=2, with_total=False)
    assert tables(engine) == 1
