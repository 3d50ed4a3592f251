"""Colours: eight for charts that colour-blind people tell apart, and those that say how something stands.

Source of the hues: M. Okabe and K. Ito, "Color Universal Design: How to make figures and presentations that are
friendly to colorblind people", 2002, revised 2008, https://jfly.uni-koeln.de/color/. On a dark background their blue
is lighter and their black a light grey; on a light one all but green and blue are darker: each line keeps 3:1 against
its background (WCAG 2.2, 1.4.11), each status word 4.5:1 (1.4.3).
"""

from __future__ import annotations

CHART_COLORS = 8

# In this order the first few, which most charts use, are the furthest apart under every kind of colour blindness.
CHART_DARK = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#2f8fd0", "#c8c8c8")
CHART_LIGHT = ("#1d8cb1", "#957e04", "#008d57", "#703459", "#715b0d", "#5c2a0d", "#0067b1", "#262626")
# Sixteen colours have no vermillion: bright red stands for it.
CHART_ANSI = (
    "ansi_bright_cyan",
    "ansi_yellow",
    "ansi_green",
    "ansi_magenta",
    "ansi_bright_yellow",
    "ansi_bright_red",
    "ansi_bright_blue",
    "ansi_default",
)

STATUS_DARK = {
    "ok": "#4fc79a",
    "bad": "#ff8a70",
    "warn": "#f0b840",
    "live": "#6cc0f0",
    "best": "#f0e442",
    "info": "#9fb8d8",
    "dim": "#9a9a9a",
}
STATUS_LIGHT = {
    "ok": "#006b4e",
    "bad": "#b02a10",
    "warn": "#7d5200",
    "live": "#005f9e",
    "best": "#6a5c00",
    "info": "#3d5878",
    "dim": "#606060",
}
STATUS_ANSI = {
    "ok": "ansi_green",
    "bad": "ansi_bright_red",
    "warn": "ansi_yellow",
    "live": "ansi_bright_cyan",
    "best": "ansi_bright_yellow",
    "info": "ansi_bright_blue",
    "dim": "ansi_default",
}


def variables(chart: tuple[str, ...], status: dict[str, str]) -> dict[str, str]:
    """Return the theme variables ``$chart-0`` to ``$chart-7`` and ``$status-ok`` and so on."""
    return {f"chart-{index}": color for index, color in enumerate(chart)} | {
        f"status-{name}": color for name, color in status.items()
    }
