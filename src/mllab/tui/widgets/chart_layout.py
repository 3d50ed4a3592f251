"""Where the parts of a chart go, and which of them give way when there is little room."""

from __future__ import annotations

from dataclasses import dataclass

GUTTER = 8
_LEAST_WIDTH_FOR_TICKS = 24
_MOST_LEGEND_ROWS = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """A chart of ``width`` x ``height`` cells: title, legend, plot with its ``gutter``, rule, labels, footer.

    Room runs out in this order: legend, footer, ticks; the rule stays as long as it can, for it shows the NaN.
    """

    width: int
    height: int
    legend_rows: int
    gutter: int
    plot_height: int
    has_rule: bool
    has_labels: bool
    has_footer: bool

    @property
    def plot_top(self) -> int:
        """Return the first row of the plot."""
        return 1 + self.legend_rows

    @property
    def plot_width(self) -> int:
        """Return the columns of the plot."""
        return self.width - self.gutter


def lay_out(width: int, height: int, legend_rows: int = 1) -> Layout | None:
    """Return a layout for a size, None where not even a title and a row fit.

    Example:
        >>> full = lay_out(80, 24)
        >>> full.plot_height, full.gutter, full.has_footer
        (19, 8, True)
        >>> tiny = lay_out(18, 4)
        >>> tiny.plot_height, tiny.gutter, tiny.has_footer, tiny.has_rule
        (2, 0, False, True)
    """
    if width < 2 or height < 2:
        return None
    has_ticks = height >= 6 and width >= _LEAST_WIDTH_FOR_TICKS
    has_rule = height >= 3
    has_footer = height >= 7
    rest = height - 1 - has_rule - has_ticks - has_footer
    # A further row of legend for every six of plot.
    legend = min(legend_rows, _MOST_LEGEND_ROWS, 1 + max(0, rest - 6) // 6) if height >= 9 else 0
    gutter = GUTTER if has_ticks else 0
    return Layout(width, height, legend, gutter, rest - legend, has_rule, has_ticks, has_footer)
