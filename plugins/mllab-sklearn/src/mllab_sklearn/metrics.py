"""How well an estimator fits the data that it was trained on. Every metric that has a meaning for it, each once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import metrics as of_sklearn
from sklearn.base import ClassifierMixin, RegressorMixin, is_classifier, is_regressor
from sklearn.utils.multiclass import type_of_target

from mllab_sklearn.estimators import core_of, is_search

if TYPE_CHECKING:
    from collections.abc import Callable

    from mllab_sklearn.fit_record import FitArguments

# What estimators know about their own fit.
_FIGURES = ("n_iter_", "inertia_", "oob_score_", "lower_bound_", "reconstruction_err_", "kl_divergence_")
_log = logging.getLogger("mllab")


def own_figures(core: Any) -> dict[str, float]:
    """Return the figures an estimator keeps about its fit; of several iteration counts the greatest."""
    found = {}
    for name in _FIGURES:
        value = getattr(core, name, None)
        if value is not None and np.size(value) and np.asarray(value).dtype.kind in "iuf":
            found[name.rstrip("_")] = float(np.max(value))
    return found


def training_metrics(estimator: Any, data: FitArguments) -> dict[str, float]:
    """Return the metrics on the training data; calls ``predict`` once, and ``predict_proba`` once for classifiers.

    The f1 of several classes is their mean weighted by frequency; so is the area under the ROC curve, of each class
    against the rest. A metric that is not defined for the data is left out.
    """
    if data.y is None or not hasattr(estimator, "predict"):
        return {}
    found: dict[str, float] = {}
    weight = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
    if is_classifier(estimator):
        found = _of_classifier(estimator, data, weight)
    elif is_regressor(estimator):
        found = _of_regressor(estimator, data, weight)
    if "score" not in found and hasattr(estimator, "score"):
        _add(found, "score", lambda: estimator.score(data.X, data.y))
    return found


def _of_classifier(estimator: Any, data: FitArguments, weight: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    predicted = estimator.predict(data.X)
    _add(found, "accuracy", lambda: of_sklearn.accuracy_score(data.y, predicted, **weight))
    _add(
        found,
        "f1",
        lambda: of_sklearn.f1_score(data.y, predicted, average="weighted", zero_division=0, **weight),
    )
    if _has_plain_score(estimator, ClassifierMixin) and "accuracy" in found:
        found["score"] = found["accuracy"]
    kind = type_of_target(data.y)
    if kind not in {"binary", "multiclass"} or len(np.unique(np.asarray(data.y))) < 2:
        return found
    if hasattr(estimator, "predict_proba"):
        chances = estimator.predict_proba(data.X)
        classes = estimator.classes_
        _add(found, "log_loss", lambda: of_sklearn.log_loss(data.y, chances, labels=classes, **weight))
        if kind == "binary":
            _add(found, "roc_auc", lambda: of_sklearn.roc_auc_score(data.y, chances[:, 1], **weight))
        else:
            more = {"multi_class": "ovr", "average": "weighted", "labels": classes, **weight}
            _add(found, "roc_auc", lambda: of_sklearn.roc_auc_score(data.y, chances, **more))
    elif kind == "binary" and hasattr(estimator, "decision_function"):
        margins = estimator.decision_function(data.X)
        _add(found, "roc_auc", lambda: of_sklearn.roc_auc_score(data.y, margins, **weight))
    return found


def _of_regressor(estimator: Any, data: FitArguments, weight: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    predicted = estimator.predict(data.X)
    if len(predicted) > 1:
        _add(found, "r2", lambda: of_sklearn.r2_score(data.y, predicted, **weight))
    _add(found, "mae", lambda: of_sklearn.mean_absolute_error(data.y, predicted, **weight))
    _add(found, "rmse", lambda: of_sklearn.root_mean_squared_error(data.y, predicted, **weight))
    if _has_plain_score(estimator, RegressorMixin) and "r2" in found:
        found["score"] = found["r2"]
    return found


def _has_plain_score(estimator: Any, mixin: Any) -> bool:
    """Say whether ``score`` is the accuracy or R² that is known already; a search scores with what it optimised."""
    return not is_search(estimator) and type(core_of(estimator)).score is mixin.score


def _add(found: dict[str, float], name: str, compute: Callable[[], Any]) -> None:
    try:
        value = float(compute())
    except Exception as error:  # metrics raise anything on data they are not defined for
        _log.debug("mllab: %s is not defined here: %r", name, error)
    else:
        found[name] = value
