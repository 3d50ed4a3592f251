"""Rows of a list of runs: the same from Parquet, from columns in memory, and of runs that are still open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mllab.edits import Edit, apply
from mllab.lab import Lab
from mllab.query.select import EngineKeys, select_refs
from mllab.query.views import column, list_runs
from mllab.tracking.start import start_run
from mllab.tui.services.run_rows import memory_columns, read_rows

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = [
    "name", "number", "id", "parent", "started", "ended", "attempt", "metrics.loss", "min(metrics.loss)",
    "mean(metrics.loss)", "ema(loss)", "params.lr", "params.none", "tags.team", "status",
]  # fmt: skip


def make_lab(folder: Path) -> Lab:
    """Return a lab with four sealed runs, of which one is deleted, and one that is resumed and open."""
    lab = Lab.init(str(folder))
    for number in range(4):
        params: dict[str, Any] = {"lr": number / 10, "none": None} if number else {}
        tags = {"team": f"t{number}"} if number % 2 else {}
        with start_run("e", f"r{number}", lab=lab, params=params, tags=tags, capture=False) as run:
            for step in range(number):
                run.log({"loss": step - number}, step=step)
    first, second, *_ = list_runs(lab.engine, "order by name").rows
    lab.store.seal()
    apply(lab.store, [Edit(second.run_id, second.attempt, "delete", {"value": True}, {"value": False})])
    lab.store.seal()
    with start_run("e", resume=first.run_id, lab=lab, capture=False) as run:
        run.log({"loss": 7.0}, step=1)
    return lab


def test_rows_from_memory_are_those_from_parquet(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    engine = lab.engine
    with engine.steady():
        terms = [column(name, EngineKeys(engine)) for name in COLUMNS]
        chosen = [select_refs(engine, "", deleted=is_deleted).refs.tolist() for is_deleted in (False, True)]
        assert [len(refs) for refs in chosen] == [3, 1]
        stored = [read_rows(engine, refs, terms) for refs in chosen]
        assert not engine.resident.has(memory_columns(terms))
        engine.resident_tables(memory_columns(terms))
        assert engine.resident.has(memory_columns(terms))
        assert [read_rows(engine, refs, terms) for refs in chosen] == stored
        present, (deleted,) = stored
        assert [run.deleted is None for run, _ in present] == [True] * 3
        assert deleted[0].deleted is not None
        assert {run.status for run, _ in present} == {"finished"}
        assert {cells[COLUMNS.index("metrics.loss")] for _, cells in present} == {-1.0, 7.0}
        assert read_rows(engine, [], terms) == []
