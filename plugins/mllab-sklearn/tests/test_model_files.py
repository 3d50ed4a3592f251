"""Kinds of estimators and data that become ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mllab_sklearn.model_files import write_onnx
from sklearn.cluster import KMeans
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from mllab.plugins.manager import Plugins, Source, use_plugins, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CLASSES = make_classification(80, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
NUMBERS = make_regression(80, 5, random_state=0)


@pytest.fixture(autouse=True)
def _this_plugin() -> Iterator[None]:
    before = use_plugins(Plugins.load([Source("sklearn", "mllab_sklearn.plugin", "mllab-sklearn", "0")], environ={}))
    yield
    use_plugins(before)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (RandomForestClassifier(5, random_state=0), CLASSES),
        (Ridge(), NUMBERS),
        (HistGradientBoostingRegressor(max_iter=5), NUMBERS),
        (make_pipeline(MaxAbsScaler(), Ridge()), NUMBERS),
        (KMeans(3, n_init=1, random_state=0), CLASSES),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_model_is_checked_on_its_data(model: Any, data: Any, tmp_path: Path) -> None:
    model.fit(*data)
    assert write_onnx(model, str(tmp_path), data[0])["checked_rows"] == 80
    assert (tmp_path / "model.onnx").stat().st_size > 0


def test_sparse_data_and_lists_are_checked_too(tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    X, y = CLASSES
    model = make_pipeline(MaxAbsScaler(), LogisticRegression()).fit(sparse.csr_matrix(X), y)
    assert write_onnx(model, str(tmp_path), sparse.csr_matrix(X))["checked_rows"] == 80
    assert write_onnx(model, str(tmp_path), X.tolist())["checked_rows"] == 80


def test_without_data_the_input_is_a_matrix_of_numbers(tmp_path: Path) -> None:
    X, y = CLASSES
    written = write_model(LogisticRegression().fit(X, y), str(tmp_path))
    assert (written["plugin"], written["flavor"], written["checked_rows"]) == ("sklearn", "onnx", 0)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [None, 5]
    assert session.run(None, {"X": X.astype(np.float32)})[1].shape == (80, 3)
