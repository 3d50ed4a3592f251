"""What the tests of the terminal UI share."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.support.ui import make_study

from mllab.lab import Lab

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def _study(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make the study once: nine runs take longer to track than to copy."""
    folder = str(tmp_path_factory.mktemp("study") / "lab")
    before = os.environ.get("MLLAB_STORE_AUTO_COMPACT")
    os.environ["MLLAB_STORE_AUTO_COMPACT"] = "0"
    try:
        make_study(Lab.init(folder))
    finally:
        del os.environ["MLLAB_STORE_AUTO_COMPACT"]
        if before is not None:
            os.environ["MLLAB_STORE_AUTO_COMPACT"] = before
    return folder


@pytest.fixture
def study(_study: str, tmp_path: Path) -> Lab:
    """Return a lab with a small study, for this test alone."""
    shutil.copytree(_study, tmp_path / "lab")
    return Lab.find(str(tmp_path / "lab"))
