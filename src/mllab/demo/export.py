"""Export of a model to ONNX, checked against the model it came from."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.pipeline import Pipeline

from mllab.demo.flights import CATEGORICAL, NUMERIC
from mllab.errors import MllabError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

# Measured on 53,991 flights: both families agree to 3e-7, the rounding of float32. A difference that an unlucky row or
# another machine could add stays far below this; a real fault of the conversion (a branch taken wrongly) does not.
TOLERANCE = 1e-4


def export_onnx(encoder: Any, classifier: Any, path: Path) -> None:
    """Write encoder and classifier as one ONNX graph with one named input per feature, each [n_rows, 1]."""
    inputs = [(name, FloatTensorType([None, 1])) for name in NUMERIC]
    inputs += [(name, StringTensorType([None, 1])) for name in CATEGORICAL]
    with warnings.catch_warnings():
        # skl2onnx 1.20 writes bools into integer fields, which protobuf 6 only warns of.
        warnings.filterwarnings("ignore", message=".*boolean", category=DeprecationWarning)
        model = to_onnx(
            Pipeline([("encode", encoder), ("classify", classifier)]),
            initial_types=inputs,
            options={"zipmap": False},  # a probability matrix, not a list of dictionaries
        )
    path.write_bytes(model.SerializeToString())


def predict_onnx(path: Path, features: pl.DataFrame) -> Any:
    """Return the exported model's probabilities of a late arrival. float32[n_rows]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {name: features[name].to_numpy().astype(np.float32).reshape(-1, 1) for name in NUMERIC}
    feed |= {name: features[name].to_numpy().astype(object).reshape(-1, 1) for name in CATEGORICAL}
    _labels, probabilities = session.run(None, feed)
    return probabilities[:, 1]


def check_onnx(path: Path, features: pl.DataFrame, expected: Any) -> float:
    """Return the largest difference between the exported model's probabilities and the expected ones."""
    return float(np.abs(predict_onnx(path, features) - expected).max())


def require_agreement(difference: float) -> None:
    """Raise unless an exported model agrees with its original.

    Raises:
        MllabError: the difference is above TOLERANCE, or not a number.
    """
    if not difference <= TOLERANCE:
        raise MllabError(
            f"The ONNX export differs from its original by {difference:.2g}; {TOLERANCE:g} is tolerated.",
            "Another version of skl2onnx or onnxruntime may convert this model correctly.",
            code="DEMO-001",
        )
