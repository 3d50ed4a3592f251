"""Where the lab is, without opening or making it: for completion, `mllab doctor` and `mllab store verify`."""

from __future__ import annotations

import os
from pathlib import Path

from mllab.config.settings import FILE_NAME
from mllab.lab import Lab, default_folder


def locate(lab_path: str | None) -> Lab | None:
    """Return the lab that a command would use, its store unopened; None when there is none yet.

    Raises:
        ConfigError: its settings are wrong.
    """
    for folder, origin in ((lab_path, "argument"), (os.environ.get("MLLAB_LAB"), "MLLAB_LAB")):
        if folder:
            root = Path(os.path.abspath(os.path.expanduser(folder)))
            root = root.parent if root.name == FILE_NAME else root
            return Lab(str(root), origin) if (root / FILE_NAME).is_file() else None
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the working directory was removed
        folders = []
    else:
        folders = [here, *here.parents]
    for root in folders:
        if (root / FILE_NAME).is_file():
            return Lab(str(root), FILE_NAME)
    default = Path(default_folder(os.environ))
    return Lab(str(default), "user default") if (default / FILE_NAME).is_file() else None
