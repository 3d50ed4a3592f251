"""What is logged of a search over params: the best, the table of all candidates, the best few as child runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mllab_sklearn.estimators import plain

if TYPE_CHECKING:
    from mllab.tracking.autolog import AutologSession
    from mllab.tracking.run import Run

MAX_CANDIDATES = 10_000


def log_search(session: AutologSession, run: Run, search: Any) -> None:
    """Log a fitted GridSearchCV or one of its kin."""
    results = search.cv_results_
    best = getattr(search, "best_params_", None)
    if best:
        run.log_params({"best_params": candidate_params(best)})
    for key in ("best_score_", "refit_time_", "n_splits_"):
        value = getattr(search, key, None)
        if isinstance(value, (int, float, np.number)):
            run.log_batch(f"search/{key.rstrip('_')}", [0], [float(value)])
    run.log_table(table_of(results), "cv_results")
    for index in best_candidates(search, int(session.options.extra["children"])):
        with session.guard("the candidates of a search"), session.child_run(run, f"candidate {index}") as child:
            child.log_params(candidate_params(results["params"][index]))
            child.set_tags({"autolog": "sklearn", "sklearn.candidate": index})
            for key, values in results.items():
                if key.startswith(("mean_", "std_", "rank_")):
                    child.log_batch(f"search/{key}", [0], [float(values[index])])


def candidate_params(params: Any) -> dict[str, Any]:
    """Return the params of a candidate under the names they have elsewhere: ``clf__C`` is ``clf.C``."""
    return {name.replace("__", "."): plain(value) for name, value in params.items()}


def best_candidates(search: Any, count: int) -> list[int]:
    """Return the indices of the best candidates; the last round of a halving search has the best."""
    results = search.cv_results_
    scored_by = search.refit if isinstance(search.refit, str) else "score"
    ranks = results.get(f"rank_test_{scored_by}")
    if ranks is None:
        return []
    return [int(index) for index in np.argsort(ranks, kind="stable")[:count]]


def table_of(results: Any) -> dict[str, list[Any]]:
    """Return ``cv_results_`` as columns of JSON data."""
    return {
        key: [None if value is np.ma.masked else plain(value) for value in list(values)[:MAX_CANDIDATES]]
        for key, values in results.items()
    }
