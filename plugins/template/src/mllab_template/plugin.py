"""The hooks this plugin implements. Import heavy libraries inside the functions: this module is loaded early."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mllab.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from mllab.tracking.run import Run


@hookimpl
def mllab_capture(run: Run) -> dict[str, Any] | None:  # noqa: ARG001  # the hook's argument; leave it out if unused
    """Return the name of the virtual environment, or None outside one."""
    path = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX")
    return {"virtual_environment": os.path.basename(path)} if path else None
