"""What a lab holds of the study, read back from its store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mllab
from mllab.demo.plan import EXPERIMENT

if TYPE_CHECKING:
    from mllab.demo.plan import Plan
    from mllab.lab import Lab

_STUDIES = """
SELECT r.run_id, r.status, r.started, r.duration
FROM runs r
JOIN tags t ON t.run_id = r.run_id AND t.key = 'demo' AND t.value = 'study'
JOIN tags p ON p.run_id = r.run_id AND p.key = 'demo.plan' AND p.value = $plan
WHERE r.experiment = $experiment
ORDER BY r.started DESC
"""
_MODELS = "SELECT run_id, name, status, duration FROM runs WHERE parent_id = $study ORDER BY started, run_id"
_PARAMS = """
SELECT p.run_id, p.key, p.text FROM params p JOIN runs r ON r.run_id = p.run_id WHERE r.parent_id = $study
ORDER BY p.run_id, p.key
"""
_METRICS = """
SELECT m.run_id, m.key, m.last FROM metric_summaries m JOIN runs r ON r.run_id = m.run_id WHERE r.parent_id = $study
"""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model's run as the summary shows it."""

    run_id: str
    name: str
    status: str
    seconds: float
    family: str
    hyper: dict[str, str]
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Study:
    """A study in a lab: its own run and the runs of its models, in the order they started."""

    run_id: str
    plan: str
    status: str
    seconds: float
    models: tuple[ModelRow, ...] = ()

    @property
    def finished(self) -> tuple[ModelRow, ...]:
        """The models that were trained to the end."""
        return tuple(row for row in self.models if row.status == "finished")

    def is_complete(self, plan: Plan) -> bool:
        """Whether the study and all models of its plan ended well."""
        done = {row.name for row in self.finished}
        return self.status == "finished" and all(spec.name in done for spec in plan.models)

    @property
    def ranked(self) -> tuple[ModelRow, ...]:
        """The models by validation AUC, best first, finished ones before others; the test split has no say."""
        return tuple(
            sorted(self.models, key=lambda row: (row.status != "finished", -row.metrics.get("valid/auc", 0.0)))
        )

    @property
    def best(self) -> ModelRow | None:
        """The finished model with the highest validation AUC."""
        return self.ranked[0] if self.finished else None


def latest_study(lab: Lab, plan: str) -> Study | None:
    """Return the newest study of a plan in a lab, whatever became of it; ``None`` if there is none."""
    found = mllab.sql(_STUDIES, params={"plan": plan, "experiment": EXPERIMENT}, lab=lab).to_dicts()
    if not found:
        return None
    newest = found[0]
    return Study(newest["run_id"], plan, newest["status"], newest["duration"], _models(lab, newest["run_id"]))


def _models(lab: Lab, study: str) -> tuple[ModelRow, ...]:
    def rows(query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = mllab.sql(query, params={"study": study}, lab=lab).to_dicts()
        return found

    params: dict[str, dict[str, str]] = {}
    for row in rows(_PARAMS):
        params.setdefault(row["run_id"], {})[row["key"]] = row["text"]
    metrics: dict[str, dict[str, float]] = {}
    for row in rows(_METRICS):
        metrics.setdefault(row["run_id"], {})[row["key"]] = row["last"]
    return tuple(_model(row, params.get(row["run_id"], {}), metrics.get(row["run_id"], {})) for row in rows(_MODELS))


def _model(row: dict[str, Any], params: dict[str, str], metrics: dict[str, float]) -> ModelRow:
    hyper = {key.removeprefix("model."): text for key, text in params.items() if key.startswith("model.")}
    return ModelRow(
        row["run_id"], row["name"], row["status"], row["duration"], params.get("family", ""), hyper, metrics
    )
