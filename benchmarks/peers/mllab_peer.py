"""mllab itself, with the captures it has by default."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import mllab
from mllab.lab import Lab

if TYPE_CHECKING:
    from benchmarks.peers import Tracker

MODULE = "mllab"


def start(folder: str) -> Tracker:
    """Start a run in a lab of its own."""
    return mllab.start_run("benchmark", lab=Lab.init(os.path.join(folder, "lab")))


def calls(folder: str) -> int:
    """Count the points of one metric."""
    lab = Lab.find(os.path.join(folder, "lab"))
    return int(lab.engine.rows("SELECT count(*) FROM r_points WHERE key = 'loss'")[0][0])
