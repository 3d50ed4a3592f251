"""Built-in plugin: writes ONNX models that are in memory as ``model.onnx``."""

from __future__ import annotations

import os
from typing import Any, Optional

from mllab.plugins.hookspecs import ModelWriter, hookimpl


@hookimpl
def mllab_model_writers(model: Any) -> Optional[list[ModelWriter]]:
    """Offer the format ``onnx`` for ``onnx.ModelProto``."""
    kind = type(model)
    is_onnx = kind.__name__ == "ModelProto" and kind.__module__.partition(".")[0] == "onnx"
    return [ModelWriter("onnx", write_onnx)] if is_onnx else None


def write_onnx(model: Any, folder: str) -> dict[str, Any]:
    """Write an ``onnx.ModelProto`` as ``model.onnx``."""
    with open(os.path.join(folder, "model.onnx"), "wb") as file:
        file.write(model.SerializeToString())
    return {"file": "model.onnx", "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}}
