"""The big store that several cases read: the one that was named, or one made once and kept."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from benchmarks.generate import generate
from benchmarks.synthetic.plan import Shape
from mllab.lab import Lab

if TYPE_CHECKING:
    from benchmarks.measure import Context

FULL = Shape()
QUICK = Shape(runs=2_000, params=20, metrics=20, points=2_000_000)


def big_store(context: Context) -> Lab:
    """Return the lab to read."""
    if context.store:
        return Lab.find(context.store)
    shape = QUICK if context.quick else FULL
    folder = context.path(f"store-{shape.runs}-{shape.metrics}-{shape.points}")
    if not os.path.exists(os.path.join(folder, "complete")):
        print(f"Making a store of {shape.runs:,} runs and {shape.points:,} points in {folder} ...", file=sys.stderr)
        generate(folder, shape)
        with open(os.path.join(folder, "complete"), "x", encoding="ascii"):
            pass
    return Lab.find(folder)
