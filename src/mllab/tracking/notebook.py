"""How a run shows itself in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mllab.errors import EnvironmentFault

if TYPE_CHECKING:
    from mllab.tracking.run import Run

MAX_ROWS = 20


def run_html(run: Run) -> str:
    """Return a small table: status, params and the metrics' last values. Everything from outside is escaped."""
    rows = [("run", f"{run.name} ({run.id})"), ("experiment", run.experiment), ("attempt", str(run.attempt))]
    try:
        state = run.store.run_state(run.id)
    except (ImportError, EnvironmentFault):
        state = None
    if state is not None:
        rows.append(("status", state.status))
        rows += [(f"params.{key}", str(value)) for key, value in list(state.params.items())[:MAX_ROWS]]
        rows += [(key, f"{summary.last:.6g}") for key, summary in list(state.summaries.items())[:MAX_ROWS]]
    body = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in rows)
    return f"<table>{body}</table>"
