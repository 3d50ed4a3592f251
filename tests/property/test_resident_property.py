"""Columns kept in memory change no answer, whatever is written, sealed, compacted or deleted between two questions."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.property.test_store_machine import StoreMachine

from mllab.query.engine import Engine
from mllab.query.filter_parser import parse
from mllab.query.filter_sql import compile_query
from mllab.query.select import DELETED, LIVE, NOT_ARCHIVED, EngineKeys, select, select_refs
from mllab.query.views import RunRow, column, page, run_rows, term_values
from mllab.query.wide import wide_frame

FILTERS = [
    "", "metrics.loss > 0", "order by metrics.acc", "not metrics.loss > 0 order by params.p desc, min(metrics.loss)",
    "status = running", "params.p >= 0 or tags.t = x", "has tags.t and not params.p = 1", "mean(metrics.loss) < 1",
    "count(metrics.loss) > 1 and status != running", "metrics.loss at 1 is null order by metrics.loss at 1",
    "min(metrics.loss) after 2 < 5", "status = finished and max(metrics.loss) between 1 and 3 > -1",
    "last(metrics.`läß/x`) = metrics.loss", "order by max_step(metrics.loss), tags.t", "name ~ '[1-5]' and attempt > 1",
    "nans(metrics.loss) = 0 order by name desc limit 3",
]  # fmt: skip
COLUMNS = ["name", "metrics.loss", "min(metrics.loss)", "mean(metrics.acc)", "params.p", "tags.t", "status", "number"]
FRAME = ["name", "metrics.loss", "status", "params.p", "tags.t", "metrics.none", "started"]


class ResidentMachine(StoreMachine):
    """The machine of the store, asked in two ways."""

    def the_store_holds_what_the_model_holds(self) -> None:
        """Leave that to the machine of the store: here columns shall stay unused for some steps."""

    @rule(text=st.sampled_from(FILTERS), base=st.sampled_from([NOT_ARCHIVED, LIVE, DELETED]))
    def filter(self, text: str, base: str) -> None:
        with self.engine.steady():
            plain = compile_query(parse(text), EngineKeys(self.engine), base_where=base)
            expected = [ref for (ref,) in self.engine.rows(plain.sql, plain.params)]
            options: Any = {"include_archived": base == LIVE, "deleted": base == DELETED}
            assert select_refs(self.engine, text, **options).refs.tolist() == expected
            assert select(self.engine, text, **options).refs == expected
            two = select(self.engine, text, limit=2, **options)
            assert (two.refs, two.total) == (expected[:2], len(expected))

    @rule(names=st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4, unique=True))
    def page(self, names: list[str]) -> None:
        with self.engine.steady():
            plain = [int(ref) for (ref,) in self.engine.rows("SELECT ref FROM r_runs ORDER BY ref")]
            terms = [column(name, EngineKeys(self.engine)) for name in names]
            expected: dict[Any, dict[int, Any]] = {}
            for kind in ("metric", "param", "tag"):
                expected |= term_values(self.engine, plain, kind, terms)
            rows, cells = page(self.engine, plain, names)
            own = {"name": "name", "status": "status"}
            for ref, row, cell in zip(plain, rows, cells, strict=True):
                assert cell == tuple(
                    ref if term.key == "number" else getattr(row, own[term.key]) if term.kind == "run"
                    else expected[term].get(ref) for term in terms
                )  # fmt: skip
            assert {row.run_id: row for row in rows} == plain_rows(self.engine)

    @rule()
    def frame(self) -> None:
        with self.engine.steady():
            refs = select(self.engine, "order by name").refs
            first, second = wide_frame(self.engine, refs, FRAME), wide_frame(self.engine, refs, FRAME)
        assert first.equals(second)
        assert first.schema == second.schema


def plain_rows(engine: Engine) -> dict[str, RunRow]:
    """Return the runs' rows by id as an engine says that keeps nothing."""
    fresh = Engine(engine.store)
    with fresh.steady():
        refs = [int(ref) for (ref,) in fresh.rows("SELECT ref FROM r_runs")]
        return {row.run_id: row for row in run_rows(fresh, refs).values()}


ResidentMachine.TestCase.settings = settings(
    max_examples=10, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestResidentMachine = ResidentMachine.TestCase
