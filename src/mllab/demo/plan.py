"""Which models the study trains, on how much data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Family = Literal["linear", "boosting"]
EXPERIMENT = "flight-delays"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One run: a model family and its hyper-parameters, under the names scikit-learn gives them."""

    name: str
    family: Family
    steps: int  # epochs of the linear family, trees of the boosting family
    hyper: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole study. ``name`` tells a full study from a quick one wherever its runs are shown."""

    name: Literal["full", "quick"]
    models: tuple[ModelSpec, ...]
    rows: int | None = None  # of a sample; None for all flights
    threads: int | None = None  # of the trees; None for one a core
    seed: int = 13

    @property
    def title(self) -> str:
        """The name of the study's own run."""
        return "study" if self.name == "full" else "study (quick: sampled flights)"


# Each family gets a range that is too weak, about right and too strong, so that the curves have something to tell.
FULL = Plan(
    "full",
    (
        ModelSpec("linear-alpha-1e-5", "linear", 12, {"alpha": 1e-5, "learning_rate": "optimal"}),
        ModelSpec("linear-alpha-1e-4", "linear", 12, {"alpha": 1e-4, "learning_rate": "optimal"}),
        ModelSpec("linear-alpha-1e-3", "linear", 12, {"alpha": 1e-3, "learning_rate": "optimal"}),
        ModelSpec("linear-slow", "linear", 12, {"learning_rate": "constant", "eta0": 2e-4}),
        ModelSpec("linear-decay", "linear", 12, {"learning_rate": "invscaling", "eta0": 0.05}),
        ModelSpec("trees-31", "boosting", 80, {"learning_rate": 0.1, "max_leaf_nodes": 31}),
        ModelSpec("trees-31-fast", "boosting", 60, {"learning_rate": 0.3, "max_leaf_nodes": 31}),
        ModelSpec("trees-15-slow", "boosting", 100, {"learning_rate": 0.05, "max_leaf_nodes": 15}),
        ModelSpec(
            "trees-63-l2", "boosting", 60, {"learning_rate": 0.1, "max_leaf_nodes": 63, "l2_regularization": 1.0}
        ),
        ModelSpec("trees-15-subset", "boosting", 80, {"learning_rate": 0.1, "max_leaf_nodes": 15, "max_features": 0.3}),
    ),
)
# Seconds instead of a minute, for tests and for trying the command out; its scores mean little.
QUICK = Plan(
    "quick",
    (
        ModelSpec("linear-quick", "linear", 4, {"alpha": 1e-3, "learning_rate": "optimal"}),
        ModelSpec("trees-quick", "boosting", 20, {"learning_rate": 0.2, "max_leaf_nodes": 15}),
    ),
    rows=20_000,
    threads=1,  # a histogram of so few rows is built before a second thread wakes up
)
