"""mllab: a local-first lab for machine learning.

>>> import mllab
>>> with mllab.start_run("digits", params={"lr": 0.1}, lab=getfixture("lab"), capture=False) as run:
...     run.log({"loss": 0.5}, step=0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mllab.errors import MllabError
    from mllab.lab import Lab
    from mllab.query.api import metrics, runs, sql
    from mllab.tracking.autolog import autolog
    from mllab.tracking.run import Run
    from mllab.tracking.start import active_run, start_run

# Importing mllab imports nothing: each name loads its module when it is first used.
_HOMES = {
    "Lab": "mllab.lab",
    "MllabError": "mllab.errors",
    "Run": "mllab.tracking.run",
    "active_run": "mllab.tracking.start",
    "autolog": "mllab.tracking.autolog",
    "metrics": "mllab.query.api",
    "runs": "mllab.query.api",
    "sql": "mllab.query.api",
    "start_run": "mllab.tracking.start",
}

__all__ = ["Lab", "MllabError", "Run", "__version__", "active_run", "autolog", "metrics", "runs", "sql", "start_run"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mllab' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
