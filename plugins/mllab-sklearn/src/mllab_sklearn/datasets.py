"""The training data: its shape, and its digest when that is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mllab.tracking.run import Run
    from mllab_sklearn.fit_record import FitArguments

# SHA-256 of 64 MiB takes 0.05 to 0.2 s.
MAX_BYTES = 64 << 20


def shape_of(data: Any) -> dict[str, Any]:
    """Return rows, columns and type of ``X``."""
    shape = getattr(data, "shape", None)
    rows = shape[0] if shape else len(data) if hasattr(data, "__len__") else None
    facts: dict[str, Any] = {"type": type(data).__name__, "rows": None if rows is None else int(rows)}
    if shape is not None and len(shape) > 1:
        facts["columns"] = int(shape[1])
    return facts


def log_datasets(run: Run, data: FitArguments) -> None:
    """Record ``X`` and ``y`` as datasets, if they are arrays or frames of a size whose digest is cheap."""
    for name, values in (("X", data.X), ("y", data.y)):
        size = _size(values)
        if size is not None and size <= MAX_BYTES:
            is_column = type(values).__name__ == "Series"
            run.log_dataset(values.to_numpy() if is_column else values, name, context="train")


def _size(data: Any) -> int | None:
    """Return the bytes of an array or frame; None for what has no digest: lists, sparse matrices, objects."""
    if hasattr(data, "estimated_size"):  # polars
        return int(data.estimated_size())
    if hasattr(data, "memory_usage"):  # pandas
        usage = data.memory_usage(index=False)
        return int(usage if isinstance(usage, int) else usage.sum())
    if hasattr(data, "nbytes") and (hasattr(data, "tobytes") or hasattr(data, "to_batches")):
        return int(data.nbytes)
    return None
