"""What an estimator is and what it says about itself: its kind, its parts, its params."""

from __future__ import annotations

import sys
from typing import Any

MAX_ITEMS = 100
MAX_TEXT = 500


def is_search(estimator: Any) -> bool:
    """Say whether this is GridSearchCV or one of its kin."""
    module = sys.modules.get("sklearn.model_selection._search")
    return module is not None and isinstance(estimator, module.BaseSearchCV)


def is_model(estimator: Any) -> bool:
    """Say whether this predicts something; what only transforms data is no model."""
    return hasattr(estimator, "predict") or hasattr(estimator, "fit_predict") or is_search(estimator)


def core_of(estimator: Any) -> Any:
    """Return the fitted estimator inside searches and pipelines: the one that learned."""
    for _ in range(20):
        if is_search(estimator):
            inner = getattr(estimator, "best_estimator_", None)
        elif hasattr(estimator, "steps") and hasattr(estimator, "_final_estimator"):
            inner = estimator.steps[-1][1]
        else:
            inner = getattr(estimator, "regressor_", None)  # TransformedTargetRegressor
        if inner is None or isinstance(inner, str):
            return estimator
        estimator = inner
    return estimator


def class_path(estimator: Any) -> str:
    """Return module and name of the class."""
    kind = type(estimator)
    return f"{kind.__module__}.{kind.__qualname__}"


def params_of(estimator: Any) -> dict[str, Any]:
    """Return the params of an estimator and its parts: ``clf__C`` becomes ``clf.C``, parts become class names."""
    return {name.replace("__", "."): plain(value) for name, value in estimator.get_params(deep=True).items()}


def plain(value: Any, depth: int = 0) -> Any:
    """Return a param as JSON data that is short and the same for equal values."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "..."
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_params"):
        return type(value).__name__
    if isinstance(value, dict) and depth < 5:
        return {str(key): plain(inner, depth + 1) for key, inner in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, (list, tuple, set, frozenset)) and depth < 5:
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else list(value)
        return [plain(inner, depth + 1) for inner in items[:MAX_ITEMS]] + (
            [f"and {len(items) - MAX_ITEMS:,} more"] if len(items) > MAX_ITEMS else []
        )
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):
        return plain(value.item(), depth + 1)
    if shape is not None:
        return f"{type(value).__name__}{tuple(shape)}"
    text = repr(value)
    # A default repr has the address of the object, which differs from run to run.
    return type(value).__name__ if " at 0x" in text else text[:MAX_TEXT]
