"""A canvas of braille: 2 x 4 dots in a cell, drawn in layers, each cell in the style of the topmost."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLANK = ord(" ")
_BRAILLE = 0x2800
# Source: Unicode, Braille Patterns: dots 1 2 3 7 go down on the left, 4 5 6 8 on the right.
_BITS = np.array([[1, 8], [2, 16], [4, 32], [64, 128]], dtype=np.uint32)


class Canvas:
    """A grid of cells: ``codes`` uint32[height, width] are characters, ``styles`` uint16 numbers of styles."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.codes: NDArray[np.uint32] = np.full((height, width), BLANK, dtype=np.uint32)
        self.styles: NDArray[np.uint16] = np.zeros((height, width), dtype=np.uint16)

    @property
    def dot_width(self) -> int:
        """Return the dots across."""
        return self.width * 2

    @property
    def dot_height(self) -> int:
        """Return the dots up."""
        return self.height * 4

    def draw(
        self, low: NDArray[np.float64], high: NDArray[np.float64], style: int, *, is_half_tone: bool = False
    ) -> None:
        """Draw a layer on top: in each dot column the rows from ``low`` to ``high``, counted from below."""
        rows = np.arange(self.dot_height - 1, -1, -1, dtype=np.float64)[:, None]
        with np.errstate(invalid="ignore"):
            dots = (rows >= low) & (rows <= high)
        if is_half_tone:
            dots &= (rows.astype(np.intp) + np.arange(self.dot_width)) % 2 == 0
        cells = dots.reshape(self.height, 4, self.width, 2)
        bits = (cells * _BITS[None, :, None, :]).sum(axis=(1, 3), dtype=np.uint32)
        is_drawn = bits > 0
        self.codes[is_drawn] = bits[is_drawn] + _BRAILLE
        self.styles[is_drawn] = style

    def put(self, row: int, column: int, character: str, style: int) -> None:
        """Put a character into a cell."""
        self.codes[row, column] = ord(character)
        self.styles[row, column] = style

    def join_blanks(self) -> None:
        """Give blank cells the style of what is left of them, or else right: fewer stretches, fewer bytes to send."""
        columns = np.arange(self.width)
        is_drawn = self.codes != BLANK
        before = np.maximum.accumulate(np.where(is_drawn, columns, -1), axis=1)
        source = np.where(before < 0, is_drawn.argmax(axis=1)[:, None], before)
        self.styles = np.take_along_axis(self.styles, source, axis=1)

    def copy(self) -> Canvas:
        """Return a canvas of the same cells, to draw on further."""
        twin = Canvas.__new__(Canvas)
        twin.width, twin.height = self.width, self.height
        twin.codes, twin.styles = self.codes.copy(), self.styles.copy()
        return twin

    def differences(self, other: Canvas) -> list[tuple[int, int, int]]:
        """Return the rows in which this looks unlike another of its size, with the first and the end column.

        The style of a blank cell does not show.
        """
        differs = (self.codes != other.codes) | ((self.styles != other.styles) & (self.codes != BLANK))
        rows = np.flatnonzero(differs.any(axis=1))
        firsts = differs[rows].argmax(axis=1)
        ends = self.width - differs[rows, ::-1].argmax(axis=1)
        return list(zip(rows.tolist(), firsts.tolist(), ends.tolist(), strict=True))

    def spans(self, row: int) -> list[tuple[str, int]]:
        """Return a row as stretches of text of one style."""
        styles = self.styles[row]
        text = self.codes[row].astype("<u4").tobytes().decode("utf-32-le")
        cuts = [0, *(np.flatnonzero(np.diff(styles)) + 1).tolist(), self.width]
        return [(text[a:b], int(styles[a])) for a, b in pairwise(cuts)]
