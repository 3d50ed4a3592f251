"""What can be read off a fitted estimator: curves over its iterations, importances, coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np

from mllab_sklearn.estimators import core_of, is_search

MAX_ROWS = 1000
# One value an iteration. In gradient boosting train_score_ is a loss, in histogram gradient boosting a score.
_CURVES = (
    "loss_curve_",
    "train_score_",
    "validation_score_",
    "validation_scores_",
    "oob_scores_",
    "oob_improvement_",
    "estimator_errors_",
    "lower_bounds_",
)


def curves(core: Any) -> dict[str, Any]:
    """Return key to float64[n_iterations] of every curve the estimator keeps."""
    found = {}
    for name in _CURVES:
        values = getattr(core, name, None)
        if values is None:
            continue
        curve = np.asarray(values)
        if curve.ndim == 1 and curve.size > 1 and curve.dtype.kind in "iuf":
            found[name.rstrip("_")] = curve.astype(float)
    return found


def weights(estimator: Any) -> dict[str, dict[str, list[Any]]]:
    """Return the tables of importances and coefficients, greatest first, at most 1,000 rows each."""
    core, tables = core_of(estimator), {}
    importances = getattr(core, "feature_importances_", None)
    if importances is not None and np.ndim(importances) == 1:
        values = np.asarray(importances, dtype=float)
        top = np.argsort(-np.abs(values), kind="stable")[:MAX_ROWS]
        names = feature_names(estimator, len(values))
        tables["feature_importances"] = {"feature": [names[i] for i in top], "importance": values[top].tolist()}
    coefficients = getattr(core, "coef_", None)
    if coefficients is not None:
        dense = coefficients.toarray() if hasattr(coefficients, "toarray") else np.asarray(coefficients)
        if dense.ndim in (1, 2) and dense.size and dense.dtype.kind in "iuf":
            tables["coefficients"] = _coefficients(estimator, core, np.atleast_2d(dense))
    return tables


def _coefficients(estimator: Any, core: Any, matrix: Any) -> dict[str, list[Any]]:
    """Return the largest of coefficients[n_outputs, n_features]."""
    outputs, count = matrix.shape
    top = np.argsort(-np.abs(matrix), axis=None, kind="stable")[:MAX_ROWS]
    names = feature_names(estimator, count)
    table: dict[str, list[Any]] = {"feature": [names[i % count] for i in top]}
    if outputs > 1:
        classes = getattr(core, "classes_", None)
        labels = classes if classes is not None and len(classes) == outputs else range(outputs)
        table["output"] = [str(labels[i // count]) for i in top]
    return {**table, "coefficient": matrix.ravel()[top].astype(float).tolist()}


def feature_names(estimator: Any, count: int) -> list[str]:
    """Return the names of the features that reach the last step; x0, x1, ... when they have none."""
    if is_search(estimator):
        estimator = getattr(estimator, "best_estimator_", estimator)
    names: Any = None
    if hasattr(estimator, "steps") and len(estimator.steps) > 1:
        try:
            names = estimator[:-1].get_feature_names_out()
        except (AttributeError, ValueError, TypeError):  # a transformer that does not say
            names = None
    else:
        names = getattr(core_of(estimator), "feature_names_in_", None)
    if names is None or len(names) != count:
        return [f"x{i}" for i in range(count)]
    return [str(name) for name in names]
