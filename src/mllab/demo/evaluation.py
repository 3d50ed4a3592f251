"""Scores, tables and importances of a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score

from mllab.demo.training import log_loss

if TYPE_CHECKING:
    from mllab.demo.training import Encoded

_ALERTS = 0.10  # the share of flights that a traveller would be warned about
_CALIBRATION_BINS = 10
_IMPORTANCE_ROWS = 4_000
_IMPORTANCE_REPEATS = 3


def best_threshold(target: Any, probability: Any) -> float:
    """Return the probability above which calling a flight late gives the best F1 score.

    Chosen on the validation split; the test split only ever sees the result.
    """
    precision, recall, thresholds = precision_recall_curve(target, probability)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
    return float(thresholds[int(np.argmax(f1[:-1]))])


def score(split: str, target: Any, probability: Any, threshold: float) -> dict[str, float]:
    """Return the metrics of one split, under keys like ``test/auc``."""
    called = probability >= threshold
    hits = float((called & (target == 1)).sum())
    riskiest = np.argsort(-probability, kind="stable")[: max(1, int(len(target) * _ALERTS))]
    late = float((target == 1).sum())
    metrics = {
        "auc": roc_auc_score(target, probability),
        "average_precision": average_precision_score(target, probability),
        "brier": brier_score_loss(target, probability),
        "log_loss": log_loss(target, probability),
        "precision": hits / max(1.0, float(called.sum())),
        "recall": hits / late,
        # Of the late flights, how many are among the tenth that the model finds riskiest; 0.1 is guessing.
        "recall_at_10pct": float((target[riskiest] == 1).sum()) / late,
        "base_rate": late / len(target),
    }
    return {f"{split}/{name}": float(value) for name, value in metrics.items()}


def confusion(target: Any, probability: Any, threshold: float) -> pl.DataFrame:
    """Count the flights by what they were and what they were called: columns actual, predicted, flights."""
    called = probability >= threshold
    rows = [
        (actual, predicted, int(((target == is_late) & (called == is_called)).sum()))
        for actual, is_late in (("on time", 0), ("late", 1))
        for predicted, is_called in (("on time", False), ("late", True))
    ]
    return pl.DataFrame(rows, schema=["actual", "predicted", "flights"], orient="row")


def calibration(target: Any, probability: Any) -> pl.DataFrame:
    """Compare predicted with observed shares in ten bins of equally many flights: columns predicted, observed."""
    observed, predicted = calibration_curve(target, probability, n_bins=_CALIBRATION_BINS, strategy="quantile")
    return pl.DataFrame({"predicted": predicted, "observed": observed})


def importances(classifier: Any, data: Encoded, seed: int) -> pl.DataFrame:
    """Rank the encoded features, strongest first: columns feature, importance and, where sampled, deviation.

    Trees: how much validation AUC falls when a column is shuffled. Linear models: the coefficient, in log-odds per
    standard deviation of a number and per category, ranked by size.
    """
    names = list(data.encoder.get_feature_names_out())
    if data.family == "linear":
        table = pl.DataFrame({"feature": names, "importance": classifier.coef_[0]})
        return table.sort(pl.col("importance").abs(), descending=True)
    rows = np.sort(np.random.default_rng(seed).permutation(len(data.valid_target))[:_IMPORTANCE_ROWS])
    found = permutation_importance(
        classifier,
        data.valid[rows],
        data.valid_target[rows],
        scoring="roc_auc",
        n_repeats=_IMPORTANCE_REPEATS,
        random_state=seed,
    )
    table = pl.DataFrame({"feature": names, "importance": found.importances_mean, "deviation": found.importances_std})
    return table.sort("importance", descending=True)
