"""Scores and tables against answers worked out by hand."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra mllab[demo]")

from mllab.demo import evaluation
from mllab.demo.training import log_loss

TARGET = np.array([0, 0, 0, 1, 0, 1, 0, 0, 0, 0])
PROBABILITY = np.array([0.1, 0.2, 0.3, 0.9, 0.6, 0.7, 0.1, 0.2, 0.1, 0.05])


def test_threshold_separates_what_can_be_separated():
    assert evaluation.best_threshold(TARGET, PROBABILITY) == pytest.approx(0.7)


def test_scores():
    scores = evaluation.score("test", TARGET, PROBABILITY, 0.5)
    assert scores["test/auc"] == 1.0
    assert scores["test/precision"] == pytest.approx(2 / 3)
    assert scores["test/recall"] == 1.0
    assert scores["test/recall_at_10pct"] == 0.5  # one row of ten is the riskiest tenth
    assert scores["test/base_rate"] == pytest.approx(0.2)
    assert scores["test/brier"] == pytest.approx(((PROBABILITY - TARGET) ** 2).mean())


def test_confusion_counts_every_flight_once():
    rows = evaluation.confusion(TARGET, PROBABILITY, 0.5).rows()
    assert rows == [
        ("on time", "on time", 7),
        ("on time", "late", 1),
        ("late", "on time", 0),
        ("late", "late", 2),
    ]


def test_log_loss_is_finite_for_a_model_that_is_sure_and_wrong():
    assert log_loss(np.array([1]), np.array([0.0])) == pytest.approx(-np.log(np.finfo(np.float64).eps))
    assert log_loss(np.array([1, 0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))
