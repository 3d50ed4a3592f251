"""Chart: curves in braille that lose no spike, say what they show, and repaint only what changed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from mllab.security import terminal
from mllab.tui.widgets import chart_frame, chart_plot, chart_style
from mllab.tui.widgets.chart_data import ChartView, Series
from mllab.tui.widgets.chart_layout import Layout, lay_out
from mllab.tui.widgets.chart_scale import IN_SECONDS, PAD_S, Scale, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

__all__ = ["Chart", "ChartView", "Series"]

_WHEEL = 1.25
# Closer than this part of the whole x axis there is nothing more to see, and floats run out.
_CLOSEST = 1e-9


class Chart(Widget, can_focus=True):
    """Series under a view, with a cursor. Screens bind the keys; the mouse zooms, pans and sets the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = set(chart_style.COMPONENTS.values())
    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        width: 1fr;
        & > .chart--title { text-style: bold; }
        & > .chart--axis { color: $foreground 40%; }
        & > .chart--label { color: $foreground 70%; }
        & > .chart--footer { color: $foreground 70%; text-style: italic; }
        & > .chart--cursor { color: $text-accent; background: $accent-muted; }
        & > .chart--alert { color: $text-error; text-style: bold; }
        & > .chart--legend { color: $foreground; }
        & > .chart--empty { color: $foreground 70%; text-style: italic; }
        &:focus > .chart--title { text-style: bold underline; }
        &:ansi {
            & > .chart--axis { text-style: dim; }
            & > .chart--cursor { color: ansi_default; background: ansi_default; text-style: reverse; }
        }
    }
    """

    title: reactive[str] = reactive("", repaint=False)
    cursor: reactive[float | None] = reactive(None, repaint=False)

    class CursorMoved(Message):
        """The user moved the cursor to ``x``, of ``chart``."""

        def __init__(self, chart: Chart, x: float) -> None:
            super().__init__()
            self.chart = chart
            self.x = x

        @property
        def control(self) -> Chart:
            """Return the chart, for ``@on`` with a selector."""
            return self.chart

    class ViewChanged(Message):
        """The user zoomed or panned ``chart`` to ``view``."""

        def __init__(self, chart: Chart, view: ChartView) -> None:
            super().__init__()
            self.chart = chart
            self.view = view

        @property
        def control(self) -> Chart:
            """Return the chart, for ``@on`` with a selector."""
            return self.chart

    def __init__(
        self,
        title: str = "",
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  # Textual's own name
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._series: tuple[Series, ...] = ()
        self._curves: list[chart_plot.Curve] = []
        self._view = ChartView()
        self._layout: Layout | None = None
        self._plot: chart_plot.Plot | None = None
        self._frame: chart_frame.Frame | None = None
        self._styles_by_number: dict[int, Style] = {}
        self._palette: list[Style] = []
        self._drag_from: int | None = None
        self._was_dragged = False
        self.set_reactive(Chart.title, title)

    @property
    def view(self) -> ChartView:
        """Return how the series are looked at."""
        return self._view

    @property
    def series(self) -> tuple[Series, ...]:
        """Return what is shown."""
        return self._series

    def show(self, series: Sequence[Series]) -> None:
        """Show these series instead of the ones before; only what looks different is repainted.

        The same objects again cost nothing: a series is never changed in place.
        """
        if len(series) == len(self._series) and all(a is b for a, b in zip(series, self._series, strict=True)):
            return
        self._series = tuple(series)
        self._curves = chart_plot.prepare(self._series, self._view)
        self._redraw()

    def set_view(self, view: ChartView) -> None:
        """Look at the series in another way; posts no message."""
        if view == self._view:
            return
        is_same_curve = (view.smoothing, view.smoothing_amount) == (self._view.smoothing, self._view.smoothing_amount)
        self._view = view
        if not is_same_curve:
            self._curves = chart_plot.prepare(self._series, view)
        self._redraw()

    # What a user does

    def move_cursor(self, columns: int) -> None:
        """Move the cursor to the next point at least ``columns`` cells to the right, or left when negative.

        The cursor stands on points, so that its x is one that was logged. Points out of view are panned to.
        """
        plot = self._plot
        xs = [curve.series.x for curve in self._curves if len(curve.series.x)]
        if plot is None or not columns or not xs:
            return
        last = plot.canvas.dot_width - 1
        if self.cursor is None:
            # The first press puts it on the newest point in view.
            place, columns = 1.0, -1
            edge = plot.x.high
        else:
            place = plot.x.fraction(self.cursor)
            cell = round(place * last) // 2 + columns
            edge = plot.x.value((2 * cell + (-0.5 if columns > 0 else 1.5)) / last)
            # A point on the border of two cells is not moved to again.
            beyond = math.nextafter(self.cursor, math.copysign(math.inf, columns))
            edge = max(edge, beyond) if columns > 0 else min(edge, beyond)
        found = [
            x[at]
            for x in xs
            if 0 <= (at := int(x.searchsorted(edge, "left" if columns > 0 else "right")) - (columns < 0)) < len(x)
        ]
        if found:
            x = float(min(found) if columns > 0 else max(found))
        else:
            x = float(max(x[-1] for x in xs) if columns > 0 else min(x[0] for x in xs))
        if x <= 0 and plot.x.is_log:
            return
        self._reveal(x)
        self._place_cursor(x)

    def zoom(self, factor: float) -> None:
        """Magnify the x axis ``factor`` times around the cursor, or the middle; less than 1 zooms out."""
        plot = self._plot
        if plot is None:
            return
        centre = 0.5 if self.cursor is None else plot.x.fraction(self.cursor)
        self._zoom_at(factor, centre if 0 <= centre <= 1 else 0.5)

    def pan(self, columns: int) -> None:
        """Look ``columns`` cells further to the right, or left when negative, as far as there are points."""
        plot = self._plot
        extent = chart_plot.x_extent(self._curves, self._view)
        if plot is None or extent is None:
            return
        part = columns / max(plot.canvas.width, 1)
        whole = [plot.x.fraction(each) for each in extent]
        part = min(part, max(whole[1] - 1.0, 0.0)) if part > 0 else max(part, min(whole[0], 0.0))
        if part:
            self._look(plot.x.value(part), plot.x.value(1.0 + part))

    def reset_zoom(self) -> None:
        """See all points again."""
        self._user_view(replace(self._view, x_low=None, x_high=None))

    def _zoom_at(self, factor: float, centre: float) -> None:
        plot = self._plot
        extent = chart_plot.x_extent(self._curves, self._view)
        if plot is None or extent is None or not (factor > 0 and math.isfinite(factor)):
            return
        low, high = plot.x.value(centre - centre / factor), plot.x.value(centre + (1 - centre) / factor)
        if low <= extent[0] and high >= extent[1]:
            self.reset_zoom()
            return
        pad = PAD_S if self._view.x_axis in IN_SECONDS else None
        whole = Scale(*spread(*extent, is_log=plot.x.is_log, pad=pad), plot.x.is_log)
        if factor < 1 or whole.fraction(high) - whole.fraction(low) > _CLOSEST:
            self._look(max(low, extent[0]), min(high, extent[1]))

    def _reveal(self, x: float) -> None:
        """Pan just far enough that ``x`` is in view, with a tenth of the axis beyond it."""
        plot = self._plot
        if plot is None:
            return
        place = plot.x.fraction(x)
        if place > 1 + 1e-9:
            self.pan(math.ceil((place - 0.9) * plot.canvas.width))
        elif place < -1e-9:
            self.pan(math.floor((place - 0.1) * plot.canvas.width))

    def _look(self, low: float, high: float) -> None:
        if math.isfinite(low) and math.isfinite(high) and low < high:
            self._user_view(replace(self._view, x_low=low, x_high=high))

    def _user_view(self, view: ChartView) -> None:
        if view != self._view:
            self.set_view(view)
            self.post_message(self.ViewChanged(self, view))

    def _place_cursor(self, x: float) -> None:
        if x != self.cursor:
            self.cursor = x
            self.post_message(self.CursorMoved(self, x))

    # The mouse

    def _column(self, event: events.MouseEvent) -> float | None:
        """Return where on the x axis the pointer is, from 0 to 1, None when it is beside the plot."""
        offset = event.get_content_offset(self)
        if self._plot is None or self._layout is None or offset is None:
            return None
        part = (2 * (offset.x - self._layout.gutter) + 0.5) / (self._plot.canvas.dot_width - 1)
        return min(part, 1.0) if part >= 0 else None

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in at the pointer."""
        self._wheel(event, _WHEEL)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out at the pointer."""
        self._wheel(event, 1 / _WHEEL)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        part = self._column(event)
        if part is not None:
            event.stop()
            event.prevent_default()
            self._zoom_at(factor, part)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin what may become a drag."""
        if event.button == 1 and self._column(event) is not None:
            self._drag_from = event.screen_x
            self._was_dragged = False
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Pan with the pointer while a button is held."""
        if self._drag_from is not None and event.screen_x != self._drag_from:
            moved = self._drag_from - event.screen_x
            self._drag_from = event.screen_x
            self._was_dragged = True
            self.pan(moved)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """End a drag."""
        del event
        if self._drag_from is not None:
            self._drag_from = None
            self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """Set the cursor to the point nearest to the pointer."""
        part = self._column(event)
        plot = self._plot
        if part is None or plot is None or self._was_dragged or event.button != 1:
            self._was_dragged = False
            return
        event.stop()
        wanted = plot.x.value(part)
        near = [found[0] for curve in self._curves if (found := curve.value_at(wanted))]
        if near:
            self._place_cursor(min(near, key=lambda x: abs(plot.x.fraction(x) - part)))

    # Painting

    def watch_title(self) -> None:
        """Write another title."""
        self._compose_frame(is_same_plot=True)

    def watch_cursor(self) -> None:
        """Draw the rule elsewhere; the curves stay as they were drawn."""
        self._compose_frame(is_same_plot=True)

    def notify_style_update(self) -> None:
        """Forget styles of the theme before."""
        super().notify_style_update()
        self._styles_by_number.clear()
        self._palette = []

    def on_resize(self, event: events.Resize) -> None:
        """Draw for another size."""
        del event
        self._redraw()

    def _redraw(self) -> None:
        """Draw the plot and repaint what differs."""
        if not self.is_attached:
            return
        width, height = self.content_size
        labels = [terminal.width(each.label) + 12 for each in self._series]
        wanted = min(-(-sum(labels) // width), 9) if width else 1
        self._layout = lay_out(width, height, max(wanted, 1))
        self._plot = None
        if self._layout is not None:
            has_markers = self.app.no_color and len(self._curves) > 1
            self._plot = chart_plot.draw(self._curves, self._view, self._layout, has_markers=has_markers)
        self._compose_frame(is_same_plot=False)

    def _compose_frame(self, *, is_same_plot: bool) -> None:
        """Compose what is shown anew, and mark for painting only the cells that differ."""
        if not self.is_attached:
            return
        before = self._frame
        self._frame = None
        if self._plot is not None and self._layout is not None:
            self._frame = chart_frame.compose(
                self._plot,
                self._curves,
                self._view,
                layout=self._layout,
                title=self.title,
                cursor=self.cursor,
                same_plot=before if is_same_plot else None,
            )
        if before is None or self._frame is None or before.layout != self._frame.layout:
            self.refresh()
            return
        changed = self._frame.differences(before)
        if changed:
            self.refresh(*(Region(first, y, end - first, 1) for y, first, end in changed))

    def render_line(self, y: int) -> Strip:
        """Return one line."""
        width = self.content_size.width
        plain = self._style(chart_style.PLAIN)
        if self._frame is None:
            # Too small for a plot.
            if y:
                return Strip.blank(width, plain)
            name = terminal.fit(terminal.line(self.title), width)
            return Strip([Segment(name, self._style(chart_style.TITLE))]).adjust_cell_length(width, plain)
        if y >= self._frame.layout.height:
            return Strip.blank(width, plain)
        segments = [Segment(text, self._style(style)) for text, style in self._frame.row(y) if text]
        return Strip(segments).adjust_cell_length(width, plain)

    def _style(self, number: int) -> Style:
        found = self._styles_by_number.get(number)
        if found is None:
            if chart_style.is_series(number):
                if not self._palette:
                    self._palette = chart_style.palette(self.app.theme_variables, is_dark=self.app.current_theme.dark)
                cursor = self.get_component_rich_style("chart--cursor")
                found = chart_style.drawn(number, self._palette, Style(bgcolor=cursor.bgcolor, reverse=cursor.reverse))
            elif number in chart_style.COMPONENTS:
                found = self.get_component_rich_style(chart_style.COMPONENTS[number])
            else:
                found = Style.null()
            # What a widget does not paint keeps the terminal's own ground.
            found = self._styles_by_number[number] = self.rich_style + found
        return found
