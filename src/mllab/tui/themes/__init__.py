"""The themes: dark, light, and one in the terminal's own sixteen colours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from textual.app import App
from textual.theme import Theme

from mllab.tui.compat import fit_no_color
from mllab.tui.themes.palette import (
    CHART_ANSI,
    CHART_DARK,
    CHART_LIGHT,
    STATUS_ANSI,
    STATUS_DARK,
    STATUS_LIGHT,
    variables,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ReturnT = TypeVar("ReturnT")

DARK = Theme(
    name="mllab-dark",
    dark=True,
    primary="#4a9eda",
    secondary="#2f6f9f",
    accent="#e69f00",
    warning="#f0b840",
    error="#ff8a70",
    success="#4fc79a",
    foreground="#e4e4e4",
    background="#12151a",
    surface="#1a1e25",
    panel="#232935",
    variables={
        **variables(CHART_DARK, STATUS_DARK),
        "block-cursor-background": "#2b4d6b",
        "block-cursor-foreground": "#ffffff",
        "footer-key-foreground": "#e69f00",
    },
)
LIGHT = Theme(
    name="mllab-light",
    dark=False,
    primary="#00629b",
    secondary="#4d7ea8",
    accent="#8f5a00",
    warning="#7d5200",
    error="#b02a10",
    success="#006b4e",
    foreground="#1d2126",
    background="#f7f7f5",
    surface="#efefec",
    panel="#e4e5e3",
    variables={
        **variables(CHART_LIGHT, STATUS_LIGHT),
        "block-cursor-background": "#cfe3f3",
        "block-cursor-foreground": "#10151a",
        "footer-key-foreground": "#8f5a00",
    },
)
# Every colour is one of the terminal's own, so that 16-colour terminals and their users' palettes decide.
ANSI = Theme(
    name="mllab-ansi",
    ansi=True,
    dark=True,
    primary="ansi_blue",
    secondary="ansi_cyan",
    accent="ansi_yellow",
    warning="ansi_yellow",
    error="ansi_bright_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        **variables(CHART_ANSI, STATUS_ANSI),
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "ansi_yellow",
        "border": "ansi_cyan",
        "border-blurred": "ansi_bright_black",
        "input-selection-background": "ansi_bright_blue",
        "input-selection-foreground": "ansi_black",
        "screen-selection-background": "ansi_bright_blue",
        "screen-selection-foreground": "ansi_black",
    },
)
THEMES = (DARK, LIGHT, ANSI)
# What `$chart-0` and the like mean under a theme that knows nothing of them, one of Textual's own or of the user's.
VARIABLE_DEFAULTS = variables(CHART_DARK, STATUS_DARK)
_LIGHT_DEFAULTS = variables(CHART_LIGHT, STATUS_LIGHT)
_ANSI_DEFAULTS = variables(CHART_ANSI, STATUS_ANSI)


def theme_for(environ: Mapping[str, str] = os.environ) -> str:
    """Return the theme that suits the terminal: the 16-colour one unless it claims 256 colours or more.

    Under NO_COLOR too: of that theme nothing is left but bold, underlined and reversed text, of others greys.

    >>> theme_for({"TERM": "xterm-256color"}), theme_for({"TERM": "linux"})
    ('mllab-dark', 'mllab-ansi')
    """
    if environ.get("NO_COLOR"):
        return ANSI.name
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return DARK.name
    term = environ.get("TERM", "").lower()
    return DARK.name if "256color" in term or "direct" in term or "kitty" in term else ANSI.name


class ThemedApp(App[ReturnT]):
    """An app in which every theme has the variables of the palette, and NO_COLOR suits it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = theme_for()
        fit_no_color(self)

    def watch_theme(self) -> None:
        """Keep NO_COLOR right under the new theme."""
        fit_no_color(self)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give themes without a palette the one that suits their background."""
        theme = self.current_theme
        if theme.ansi:
            return _ANSI_DEFAULTS
        return VARIABLE_DEFAULTS if theme.dark else _LIGHT_DEFAULTS
