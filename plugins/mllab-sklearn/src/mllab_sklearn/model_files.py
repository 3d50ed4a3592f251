"""Writing estimators as files that open without running code: ONNX, or skops where ONNX has no words for them."""

from __future__ import annotations

import importlib.util
import os
import threading
import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.base import is_classifier

from mllab.errors import EnvironmentFault, InvalidValueError
from mllab_sklearn.estimators import core_of

# skl2onnx writes about 60,000 tree nodes a second, in Python: this is about 8 s.
MAX_NODES = 500_000
# And about 2.4 million numbers a second of the training data that a model of nearest neighbours holds: about 8 s.
MAX_HELD = 20_000_000
CHECKED_ROWS = 100
# float32 rounds a few features across a tree's threshold: 1 row of 100 may fall on the other side.
MAX_DIFFERENT = 0.01
TOLERANCE = 1e-3
# warnings.catch_warnings is the process's; two conversions at once would mix up what they restore.
_converting = threading.Lock()


def write_best(model: Any, folder: str, data: Any) -> dict[str, Any] | str:
    """Write ``model`` in the best format that can be had, or say why there is none."""
    reasons = []
    for name, package, write in (("onnx", "skl2onnx", write_onnx), ("skops", "skops", write_skops)):
        if importlib.util.find_spec(package) is None:
            reasons.append(f"{name}: {package} is not installed")
            continue
        try:
            return {"flavor": name, **(write(model, folder, data) if write is write_onnx else write(model, folder))}
        except Exception as error:  # converters raise anything
            message = getattr(error, "message", None) or str(error) or type(error).__name__
            reasons.append(f"{name}: {message.strip().partition(chr(10))[0][:200]}")
    return f"not stored: {'; '.join(reasons)}"


def write_onnx(model: Any, folder: str, data: Any = None) -> dict[str, Any]:
    """Write ``model.onnx`` and check it against the model on the first rows of ``data``.

    Args:
        model: a fitted estimator.
        folder: where to.
        data: what it was fitted on: array[n, n_features] or a frame. Without it the model has one input of numbers,
            and is not checked.

    Raises:
        EnvironmentFault: skl2onnx is not installed.
        InvalidValueError: the estimator cannot be converted, or the conversion predicts something else.
    """
    try:
        from skl2onnx import to_onnx
    except ImportError as error:
        raise EnvironmentFault(
            "Writing a scikit-learn model as ONNX needs skl2onnx.", "pip install 'mllab-sklearn[onnx]'"
        ) from error
    nodes = count_nodes(model)
    if nodes > MAX_NODES:
        raise InvalidValueError(
            f"The model has {nodes:,} tree nodes; up to {MAX_NODES:,} are converted to ONNX.", 'Use flavor="skops".'
        )
    held = max(int(np.size(getattr(core_of(model), name, 0))) for name in ("_fit_X", "support_vectors_", "X_train_"))
    if held > MAX_HELD:
        raise InvalidValueError(
            f"The model holds {held:,} numbers of its training data; up to {MAX_HELD:,} are converted to ONNX.",
            'Use flavor="skops".',
        )
    rows = None if data is None else data[:CHECKED_ROWS]
    inputs = _inputs(model, rows)
    with _converting, warnings.catch_warnings():
        # skl2onnx writes bools into integer fields, which protobuf 6 warns of.
        warnings.simplefilter("ignore")
        options = {id(model): {"zipmap": False}} if is_classifier(model) else None
        proto = to_onnx(model, initial_types=inputs, options=options)
    content = proto.SerializeToString()
    checked = 0 if rows is None else _check(content, model, _feed(inputs, rows), rows)
    with open(os.path.join(folder, "model.onnx"), "wb") as file:
        file.write(content)
    return {"file": "model.onnx", "sklearn": sklearn.__version__, "checked_rows": checked}


def write_skops(model: Any, folder: str) -> dict[str, Any]:
    """Write ``model.skops``: every part of the estimator, as data that names the types it needs.

    Raises:
        EnvironmentFault: skops is not installed.
    """
    try:
        from skops.io import dump  # type: ignore[import-not-found,unused-ignore]  # an extra
    except ImportError as error:
        raise EnvironmentFault(
            "Writing a scikit-learn model as skops needs skops.", "pip install 'mllab-sklearn[skops]'"
        ) from error
    dump(model, os.path.join(folder, "model.skops"))
    return {"file": "model.skops", "sklearn": sklearn.__version__}


def count_nodes(model: Any) -> int:
    """Return the number of tree nodes anywhere in the model."""
    tree = getattr(model, "tree_", None)
    if tree is not None:
        return int(getattr(tree, "node_count", 0))
    parts = [part for _, part in getattr(model, "steps", [])]
    for name in ("estimators_", "calibrated_classifiers_"):
        found = getattr(model, name, None)
        parts.extend(found.ravel() if isinstance(found, np.ndarray) else found or [])
    total = sum(count_nodes(part) for part in parts if hasattr(part, "__dict__"))
    predictors = getattr(model, "_predictors", None)  # histogram gradient boosting
    if isinstance(predictors, list):
        total += sum(len(tree.nodes) for trees in predictors for tree in trees)
    return total


def _inputs(model: Any, rows: Any) -> list[tuple[str, Any]]:
    """Return the inputs: one matrix of floats, or one column each when some hold text or are picked by name."""
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    if not _is_by_column(model, rows):
        count = getattr(model, "n_features_in_", None) or (rows.shape[1] if rows is not None else None)
        if count is None:
            raise InvalidValueError("The model does not say how many features it takes.", "Is it fitted?")
        return [("X", FloatTensorType([None, int(count)]))]
    return [
        (str(name), (FloatTensorType if np.asarray(rows[name]).dtype.kind in "iufb" else StringTensorType)([None, 1]))
        for name in rows.columns
    ]


def _is_by_column(model: Any, rows: Any) -> bool:
    if not hasattr(rows, "columns"):
        return False
    steps = getattr(model, "steps", None)
    picks = steps is not None and hasattr(steps[0][1], "transformers_")
    return picks or any(np.asarray(rows[name]).dtype.kind not in "iufb" for name in rows.columns)


def _feed(inputs: list[tuple[str, Any]], rows: Any) -> dict[str, Any]:
    """Return ``rows`` as the inputs want them."""
    if hasattr(rows, "columns") and list(map(str, rows.columns)) == [name for name, _ in inputs]:
        columns = {str(name): np.asarray(rows[name]) for name in rows.columns}
        texts = {name for name, kind in inputs if type(kind).__name__ == "StringTensorType"}
        return {
            name: values.astype(object if name in texts else np.float32).reshape(-1, 1)
            for name, values in columns.items()
        }
    matrix = rows.toarray() if hasattr(rows, "toarray") else np.asarray(rows)
    return {inputs[0][0]: matrix.astype(np.float32)}


def _check(content: bytes, model: Any, feed: dict[str, Any], rows: Any) -> int:
    """Return how many rows the ONNX model was compared on; 0 without onnxruntime.

    Raises:
        InvalidValueError: it predicts something else.
    """
    if importlib.util.find_spec("onnxruntime") is None or not hasattr(model, "predict"):
        return 0
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    expected = np.asarray(model.predict(rows))
    got = np.asarray(session.run(None, feed)[0]).reshape(expected.shape)
    if expected.dtype.kind == "f":
        wrong = ~(np.abs(got - expected) <= TOLERANCE * max(1e-12, float(np.abs(expected).max())))
    else:
        wrong = got != expected
    count = len(expected)
    if wrong.reshape(count, -1).any(axis=1).sum() > max(1, count * MAX_DIFFERENT):
        raise InvalidValueError(
            f"The ONNX model predicts something else for {wrong.sum():,} of {count:,} training rows.",
            "Another version of skl2onnx may convert it correctly; skops keeps it as it is.",
        )
    return count
