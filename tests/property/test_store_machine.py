"""The store against a plain model: whatever happens in whatever order, it holds what was acknowledged."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from mllab.query.engine import Engine
from mllab.store.segment import SegmentWriter
from mllab.store.store import Store

KEYS = st.sampled_from(["loss", "acc", "läß/x"])
VALUES = st.floats(allow_nan=False, width=32)
SEALED = st.booleans()


@dataclass
class ModelRun:
    """What the store should know of one run."""

    name: str
    status: str = "running"
    attempt: int = 1
    points: list[tuple[str, int, float, int]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, int] = field(default_factory=dict)
    is_deleted: bool = False

    def newest(self) -> list[tuple[str, int, float]]:
        """Return the default view: what a later attempt began anew is left out."""
        shown = []
        for key, step, value, attempt in self.points:
            later: dict[int, int] = {}
            for other, other_step, _, other_attempt in self.points:
                if other == key and other_attempt > attempt:
                    later[other_attempt] = min(other_step, later.get(other_attempt, other_step))
            if all(step < first for first in later.values()):
                shown.append((key, step, value))
        return sorted(shown)


class StoreMachine(RuleBasedStateMachine):
    """Runs are named by their ids; ``writers`` holds the open writer of each live one."""

    live = Bundle("live")
    ended = Bundle("ended")

    @initialize()
    def make(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="mllab-machine-")
        self.store = Store.create(f"{self.folder}/store")
        self.engine = Engine(self.store)
        self.model: dict[str, ModelRun] = {}
        self.writers: dict[str, SegmentWriter] = {}

    def teardown(self) -> None:
        for writer in getattr(self, "writers", {}).values():
            writer.close()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    # -- runs ----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model) < 12)
    @rule(target=live)
    def start(self) -> str:
        from mllab.ids import new_id

        run_id = new_id()
        name = f"run-{len(self.model)}"
        self.writers[run_id] = self.store.writer(run_id)
        self.writers[run_id].event("start", {"experiment": "machine", "name": name})
        self.model[run_id] = ModelRun(name)
        return run_id

    @rule(run_id=live, key=KEYS, step=st.integers(0, 5), value=VALUES)
    def log(self, run_id: str, key: str, step: int, value: float) -> None:
        self.writers[run_id].points({key: value}, step)
        run = self.model[run_id]
        run.points.append((key, step, value, run.attempt))

    @rule(run_id=live, key=KEYS, values=st.lists(VALUES, min_size=1, max_size=4), first=st.integers(0, 5))
    def log_batch(self, run_id: str, key: str, values: list[float], first: int) -> None:
        self.writers[run_id].batch(key, range(first, first + len(values)), values)
        run = self.model[run_id]
        run.points += [(key, first + place, value, run.attempt) for place, value in enumerate(values)]

    @rule(run_id=live, value=st.integers(-5, 5))
    def params(self, run_id: str, value: int) -> None:
        self.writers[run_id].event("params", {"values": {"p": value}})
        self.model[run_id].params["p"] = value

    @rule(run_id=live)
    def roll(self, run_id: str) -> None:
        self.writers[run_id]._open_segment()
        self.writers[run_id].tick()

    @rule(target=ended, run_id=consumes(live), status=st.sampled_from(["finished", "failed", "killed"]), sealed=SEALED)
    def finish(self, run_id: str, status: str, *, sealed: bool) -> str:
        writer = self.writers.pop(run_id)
        writer.event("finish", {"status": status})
        writer.close()
        self.model[run_id].status = status
        self._seal_if(sealed)
        return run_id

    @rule(target=ended, run_id=consumes(live), torn=st.binary(max_size=40))
    def crash(self, run_id: str, torn: bytes) -> str:
        """End as kill -9 in the middle of a write would: no farewell, and perhaps half a frame."""
        import os

        writer = self.writers.pop(run_id)
        with open(writer._segment.path, "ab") as file:
            file.write(torn)
        os.close(writer._segment.fd)
        writer._segment.fd = -1
        writer._closed = True
        run = self.model[run_id]
        run.status = "lost"
        return run_id

    @rule(target=live, run_id=consumes(ended))
    def resume(self, run_id: str) -> str:
        run = self.model[run_id]
        run.attempt += 1
        run.status = "running"
        self.writers[run_id] = self.store.writer(run_id, attempt=run.attempt)
        self.writers[run_id].event("resume", {})
        return run_id

    # -- edits ---------------------------------------------------------------------------------------------

    @rule(run_id=st.one_of(live, ended), value=st.sampled_from(["x", "y", None]), sealed=SEALED)
    def tag(self, run_id: str, value: str | None, *, sealed: bool) -> None:
        run = self.model[run_id]
        self.store.edit(run_id, run.attempt, [("tags", {"values": {"t": value}})])
        run.tags = {} if value is None else {"t": value}
        self._seal_if(sealed)

    @rule(run_id=st.one_of(live, ended), is_deleted=st.booleans(), sealed=SEALED)
    def delete_or_restore(self, run_id: str, *, is_deleted: bool, sealed: bool) -> None:
        run = self.model[run_id]
        self.store.edit(run_id, run.attempt, [("delete", {"value": is_deleted})])
        run.is_deleted = is_deleted
        self._seal_if(sealed)

    # -- upkeep --------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(["seal", "seal live", "compact", "compact full", "sweep", "collect"]))
    def upkeep(self, kind: str) -> None:
        from mllab.store.seal import seal

        if kind.startswith("seal"):
            seal(self.store.layout, self.store.disk, live_bytes=0 if kind == "seal live" else 1 << 30)
        elif kind.startswith("compact"):
            self.store.compact(full=kind == "compact full")
        elif kind == "sweep":
            self.store.sweep(grace_s=0)
        else:
            self.store.gc(apply=True)

    @rule()
    def reopen(self) -> None:
        self.store = Store.open(self.store.layout.root)
        self.engine = Engine(self.store)

    # -- the promise ---------------------------------------------------------------------------------------

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "engine"):
            return
        expected = {run_id: run for run_id, run in self.model.items() if not run.is_deleted}
        rows = self.engine.rows("SELECT run_id, name, status, attempt FROM runs ORDER BY run_id")
        assert rows == sorted((run_id, run.name, run.status, run.attempt) for run_id, run in expected.items())
        assert self._by_run("SELECT run_id, key, step, value FROM metrics") == {
            run_id: run.newest() for run_id, run in expected.items() if run.points
        }
        assert self._by_run("SELECT r.run_id, p.key, p.step, p.value FROM r_points p JOIN r_live r USING (ref)") == {
            run_id: sorted(point[:3] for point in run.points) for run_id, run in expected.items() if run.points
        }
        counts = {run_id: len(run.points) for run_id, run in expected.items() if run.points}
        assert (
            dict(self.engine.rows("SELECT run_id, sum(count)::BIGINT FROM metric_summaries GROUP BY run_id")) == counts
        )
        assert self._by_run("SELECT run_id, key, value FROM tags") == {
            run_id: sorted(run.tags.items()) for run_id, run in expected.items() if run.tags
        }
        assert self._by_run("SELECT run_id, key, number::BIGINT FROM params") == {
            run_id: sorted(run.params.items()) for run_id, run in expected.items() if run.params
        }

    def _seal_if(self, sealed: bool) -> None:
        """Seal at once, half of the time: what goes wrong between two seals needs both in one short history."""
        if sealed:
            self.store.seal()

    def _by_run(self, sql: str) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for run_id, *row in self.engine.rows(sql):
            found.setdefault(run_id, []).append(tuple(row))
        return {run_id: sorted(rows) for run_id, rows in found.items()}


StoreMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStoreMachine = StoreMachine.TestCase
