"""A scrolling view whose rows are painted from a few component classes, looked up once a theme."""

from __future__ import annotations

from typing import Any

from rich.style import Style
from textual.scroll_view import ScrollView


class TintedView(ScrollView):
    """Keeps the styles of component classes until the theme or the focus changes them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._tints: dict[str, Style] = {}
        super().__init__(*args, **kwargs)

    def notify_style_update(self) -> None:
        """Forget the styles of another theme."""
        self._tints.clear()
        super().notify_style_update()

    def _base(self) -> Style:
        """Return the style of plain text; asked for each row, and dear."""
        if "" not in self._tints:
            self._tints[""] = self.rich_style
        return self._tints[""]

    def _tint(self, name: str, *, keeps_background: bool = False) -> Style:
        """Return what the rules of a component class say, and nothing that it inherits.

        A background would cover the cursor's, so it is left out unless asked for.
        """
        if name not in self._tints:
            rules = self.get_component_styles(name)
            full = self.get_component_rich_style(name)
            self._tints[name] = Style(
                color=full.color if rules.has_rule("color") else None,
                bgcolor=full.bgcolor if keeps_background and rules.has_rule("background") else None,
                bold=full.bold or None,
                dim=full.dim or None,
                underline=full.underline or None,
                reverse=full.reverse or None,
            )
        return self._tints[name]
