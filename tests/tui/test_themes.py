"""Themes: contrast as WCAG computes it, hues that colour-blind people tell apart, and NO_COLOR."""

from __future__ import annotations

import itertools
import math

import pytest
from textual.app import ComposeResult
from textual.color import Color
from textual.geometry import Region
from textual.widgets import Static

from mllab.tui.themes import ANSI, DARK, LIGHT, THEMES, ThemedApp, theme_for
from mllab.tui.themes.palette import CHART_COLORS


def luminance(color: Color) -> float:
    """Return the relative luminance. Source: WCAG 2.2, definition of relative luminance."""

    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(channel / 255) for channel in color.rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(Color.parse(one)), luminance(Color.parse(other))), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_status_words_can_be_read_and_curves_seen_on_every_background(theme) -> None:
    for background in (theme.background, theme.surface, theme.panel):
        for name, color in theme.variables.items():
            if name.startswith("status-"):
                assert contrast(color, background) >= 4.5, (name, background)
            elif name.startswith("chart-"):
                assert contrast(color, background) >= 3, (name, background)
    cursor = theme.variables["block-cursor-background"]
    assert contrast(theme.variables["block-cursor-foreground"], cursor) >= 4.5
    for color in (theme.foreground, theme.error, theme.warning, theme.success):
        assert contrast(color, theme.surface) >= 4.5


# Linear RGB as a dichromat sees it. Source: F. Viénot, H. Brettel, J. Mollon, "Digital video colourmaps for checking
# the legibility of displays by dichromats", Color Research & Application 24(4), 1999; of the matrices: the same
# method, as DaltonLens-Python writes it out.
SEEN = {
    "everybody": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopes": ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
    "deuteranopes": ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
}


def lab(color: str, matrix) -> tuple[float, float, float]:
    """Return CIE L*a*b* (D65) of a colour after a matrix on linear RGB."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in Color.parse(color).normalized]
    rgb = [sum(weight * channel for weight, channel in zip(row, linear, strict=True)) for row in matrix]
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(weight * channel for weight, channel in zip(row, rgb, strict=True)) for row in to_xyz]
    x, y, z = (
        max(value / white, 0) ** (1 / 3) if value / white > 0.008856 else 7.787 * value / white + 16 / 116
        for value, white in zip(xyz, (0.9505, 1.0, 1.089), strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
@pytest.mark.parametrize("who", SEEN)
def test_chart_colours_are_told_apart(theme, who: str) -> None:
    seen = [lab(theme.variables[f"chart-{index}"], SEEN[who]) for index in range(CHART_COLORS)]
    distances = {pair: math.dist(seen[pair[0]], seen[pair[1]]) for pair in itertools.combinations(range(8), 2)}
    # A difference of 2.3 is just noticeable; that of lines a few dots thick must be several times that.
    closest = min(distances, key=lambda pair: distances[pair])
    assert distances[closest] > 9, (closest, distances[closest])
    assert min(distance for pair, distance in distances.items() if max(pair) < 4) > 15, distances


class Sample(ThemedApp[None]):
    CSS = "#a { color: $chart-3; } #b { color: $status-bad; } #c { color: $chart-7; }"

    def compose(self) -> ComposeResult:
        yield Static("a", id="a")
        yield Static("b", id="b")
        yield Static("c", id="c")


@pytest.mark.parametrize("name", [*(theme.name for theme in THEMES), "nord", "textual-light", "ansi-light"])
def test_every_theme_has_the_variables(name: str) -> None:
    import asyncio

    async def run() -> None:
        app = Sample()
        app.theme = name
        async with app.run_test():
            chart, status = (app.query_one(query).styles.color for query in ("#a", "#b"))
            assert chart != status
            if name in (DARK.name, LIGHT.name):
                assert chart == Color.parse((DARK if name == DARK.name else LIGHT).variables["chart-3"])
            app.theme = ANSI.name
            await asyncio.sleep(0)
            assert app.native_ansi_color

    asyncio.run(run())


def test_the_16_colour_theme_has_no_other_colours() -> None:
    colors = [getattr(ANSI, name) for name in ("primary", "secondary", "warning", "error", "success", "foreground")]
    for color in [*colors, *(value for name, value in ANSI.variables.items() if "style" not in name)]:
        assert color.startswith("ansi_"), color


def test_the_theme_suits_the_terminal() -> None:
    assert theme_for({"TERM": "xterm", "COLORTERM": "truecolor"}) == DARK.name
    assert theme_for({"TERM": "screen-256color"}) == DARK.name
    for term in ("linux", "vt100", "xterm", "dumb", ""):
        assert theme_for({"TERM": term}) == ANSI.name


def test_no_color_leaves_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def run() -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        app = Sample()
        app.theme = DARK.name
        async with app.run_test():
            (strip,) = app.query_one("#b").render_lines(Region(0, 0, 10, 1))
            styles = [segment.style for segment in strip]
            colors = [style.color.get_truecolor() for style in styles if style and style.color]
            assert app.no_color
            assert colors
            assert all(len(set(color)) == 1 for color in colors), colors

    asyncio.run(run())
