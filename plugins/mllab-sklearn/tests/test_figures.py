"""Which metrics, curves and weights are read off estimators."""

from __future__ import annotations

import numpy as np
import pytest
from mllab_sklearn.fit_record import FitArguments, arguments_of
from mllab_sklearn.learned import curves, feature_names, weights
from mllab_sklearn.metrics import own_figures, training_metrics
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.ensemble import AdaBoostClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

CLASSES = make_classification(80, 5, random_state=0)
NUMBERS = make_regression(80, 5, random_state=0)


def test_the_data_is_found_however_it_is_passed() -> None:
    model, pipeline = LogisticRegression(), make_pipeline(LogisticRegression())
    X, y = CLASSES
    weight = np.ones(len(y))
    assert arguments_of(LogisticRegression.fit, model, (X, y, weight), {}) == FitArguments(X, y, weight)
    assert arguments_of(LogisticRegression.fit, model, (X,), {"y": y}) == FitArguments(X, y, None)
    assert (
        arguments_of(LogisticRegression.fit, model, (), {"y": y, "X": X, "sample_weight": weight}).sample_weight
        is weight
    )
    assert arguments_of(type(pipeline).fit, pipeline, (X, y), {"sample_weight": weight}).sample_weight is weight


def test_margins_give_the_area_under_the_curve() -> None:
    X, y = CLASSES
    found = training_metrics(SVC().fit(X, y), FitArguments(X, y))
    assert set(found) == {"accuracy", "f1", "roc_auc", "score"}
    assert found["roc_auc"] > 0.8


def test_several_labels_have_the_metrics_that_have_a_meaning() -> None:
    X, y = make_multilabel_classification(60, 5, random_state=0)
    found = training_metrics(DecisionTreeClassifier().fit(X, y), FitArguments(X, y))
    assert found == {"accuracy": 1.0, "f1": 1.0, "score": 1.0}


def test_weights_count() -> None:
    X, y = CLASSES
    model = LogisticRegression(C=1e-3).fit(X, y)
    weight = np.where(y == 1, 100.0, 1.0)
    found = training_metrics(model, FitArguments(X, y, weight))
    assert found["accuracy"] == pytest.approx(model.score(X, y, weight))
    assert found["accuracy"] != pytest.approx(model.score(X, y))


def test_without_a_target_there_is_nothing_to_measure() -> None:
    X, _ = CLASSES
    mixture = GaussianMixture(2, random_state=0).fit(X)
    assert training_metrics(mixture, FitArguments(X)) == {}
    assert own_figures(mixture)["lower_bound"] == pytest.approx(mixture.lower_bound_)


def test_curves_are_numbers_by_iteration() -> None:
    found = curves(AdaBoostClassifier(n_estimators=4).fit(*CLASSES))
    assert set(found) == {"estimator_errors"}
    assert curves(LinearRegression().fit(*NUMBERS)) == {}


def test_iterations_of_one_estimator_are_one_figure() -> None:
    assert own_figures(SGDClassifier(random_state=0).fit(*CLASSES))["n_iter"] > 0


def test_features_have_the_names_the_last_step_sees() -> None:
    texts = ["red apple", "green pear", "red pear", "green apple"]
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [0, 1, 0, 1])
    assert feature_names(pipeline, 4) == ["apple", "green", "pear", "red"]
    assert feature_names(pipeline, 3) == ["x0", "x1", "x2"]
    assert set(weights(pipeline)["coefficients"]["feature"][:2]) == {"green", "red"}


def test_only_the_greatest_weights_are_kept() -> None:
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(30, 1500)), generator.normal(size=30)
    model = TransformedTargetRegressor(LinearRegression()).fit(X, y)
    table = weights(model)["coefficients"]
    assert len(table["coefficient"]) == 1000
    assert abs(table["coefficient"][-1]) >= np.sort(np.abs(model.regressor_.coef_))[-1001]
