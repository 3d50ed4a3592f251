"""Styles of a chart as small numbers, which a canvas can hold, and what they are in the theme of the day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from textual.color import Color, ColorParseError

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN, TITLE, AXIS, LABEL, FOOTER, CURSOR, ALERT, LEGEND, EMPTY = range(9)
COMPONENTS = {
    TITLE: "chart--title",
    AXIS: "chart--axis",
    LABEL: "chart--label",
    FOOTER: "chart--footer",
    CURSOR: "chart--cursor",
    ALERT: "chart--alert",
    LEGEND: "chart--legend",
    EMPTY: "chart--empty",
}
PALETTE_SIZE = 8
MARKERS = "●▲■◆○△□◇"
_FIRST_SERIES = 16
# For an app whose theme names no chart colours. Source: Okabe and Ito, "Color Universal Design" (2008), black
# left out and grey added; on a light ground each is darkened.
_DEFAULTS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442", "#999999")


def series_style(color: int, *, is_dim: bool = False) -> int:
    """Return the number of a series' style; ``under_cursor`` makes it that of a cell that the cursor crosses."""
    return _FIRST_SERIES + color % PALETTE_SIZE * 4 + 2 * is_dim


def is_series(style: int) -> bool:
    """Say whether a number is that of a series' style."""
    return style >= _FIRST_SERIES


def under_cursor(style: int) -> int:
    """Return the style of a cell of a series that the cursor crosses."""
    return style | 1 if is_series(style) else style


def marker(color: int) -> str:
    """Return the glyph that stands for a color, for those who do not see it."""
    return MARKERS[color % PALETTE_SIZE]


def palette(variables: Mapping[str, str], *, is_dark: bool) -> list[Style]:
    """Return the colours of series: ``chart-0`` to ``chart-7`` of the theme's variables, else defaults."""
    found = []
    for number, default in enumerate(_DEFAULTS):
        try:
            color = Color.parse(variables[f"chart-{number}"])
        except (KeyError, ColorParseError):
            color = Color.parse(default) if is_dark else Color.parse(default).darken(0.2)
        found.append(Style(color=color.rich_color))
    return found


def drawn(style: int, colors: list[Style], cursor: Style) -> Style:
    """Return a series' style in full."""
    number, bits = divmod(style - _FIRST_SERIES, 4)
    found = colors[number]
    if bits & 2:
        found += Style(dim=True)
    if bits & 1:
        found += cursor
    return found
