"""Where charts go: the order of their metrics, and the rows and columns there is room for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LEAST_WIDTH = 36
LEAST_HEIGHT = 9
# A cell is twice as high as wide, so this is a chart half as high again as a golden rectangle.
_BEST_SHAPE = 3.0


def base_name(key: str) -> str:
    """Return what a metric measures, without the part of the data that it was measured on.

    Example:
        >>> base_name("train/loss"), base_name("val.loss"), base_name("loss")
        ('loss', 'loss', 'loss')
    """
    return re.split(r"[/.]", key, maxsplit=1)[-1]


def side_by_side(keys: Iterable[str]) -> list[str]:
    """Return metrics with those of one name next to each other, otherwise as they came.

    Example:
        >>> side_by_side(["train/acc", "train/loss", "val.acc", "val.loss", "lr"])
        ['train/acc', 'val.acc', 'train/loss', 'val.loss', 'lr']
    """
    groups: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        groups.setdefault(base_name(key), []).append(key)
    return [key for group in groups.values() for key in group]


def merged(order: Sequence[str], keys: Iterable[str]) -> list[str]:
    """Return the remembered order of those ``keys`` that are in it, with others beside their kin, else at the end.

    Example:
        >>> merged(["b", "train/a"], ["val/a", "train/a", "b", "c"])
        ['b', 'train/a', 'val/a', 'c']
    """
    wanted = dict.fromkeys(keys)
    found = [key for key in order if key in wanted]
    known = set(found)
    for key in side_by_side(wanted):
        if key not in known:
            kin = [place for place, other in enumerate(found) if base_name(other) == base_name(key)]
            found.insert(kin[-1] + 1 if kin else len(found), key)
            known.add(key)
    return found


def shape(count: int, width: int, height: int) -> tuple[int, int]:
    """Return the columns and rows for ``count`` charts in a space: as many as fit, then of the best shape.

    Example:
        >>> shape(6, 120, 40), shape(2, 80, 24), shape(50, 120, 40), shape(1, 20, 5)
        ((3, 2), (2, 1), (3, 4), (1, 1))
    """
    most_columns, most_rows = max(1, width // LEAST_WIDTH), max(1, height // LEAST_HEIGHT)
    if count >= most_columns * most_rows:
        return most_columns, most_rows
    found = [
        (columns, rows) for columns in range(1, most_columns + 1) if (rows := -(-max(count, 1) // columns)) <= most_rows
    ]
    return min(found, key=lambda each: abs(width / each[0] / (height / each[1]) - _BEST_SHAPE))
