"""The entry point: which hooks of mllab this package implements. Imports nothing of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mllab.plugins.hookspecs import ModelWriter, hookimpl
from mllab_sklearn.autologger import SklearnAutologger

if TYPE_CHECKING:
    from mllab.plugins.hookspecs import Autologger


@hookimpl
def mllab_autolog() -> Autologger:
    """Log what scikit-learn estimators are fitted with, and how well they do."""
    return SklearnAutologger()


@hookimpl
def mllab_model_writers(model: Any) -> list[ModelWriter] | None:
    """Write estimators as ONNX, or as skops when ONNX cannot express them."""
    if not any(kind.__module__.startswith("sklearn.") for kind in type(model).__mro__):
        return None
    from mllab_sklearn.model_files import write_onnx, write_skops

    return [ModelWriter("onnx", write_onnx), ModelWriter("skops", write_skops)]
