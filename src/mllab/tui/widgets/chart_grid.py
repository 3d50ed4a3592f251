"""ChartGrid: as many charts as there is room for, in pages, under one cursor and one view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Container
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from mllab.tui.widgets.chart import Chart
from mllab.tui.widgets.chart_data import ChartView, Series
from mllab.tui.widgets.chart_order import merged, shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual import events
    from textual.app import ComposeResult


class ChartGrid(Container):
    """Charts of metrics by key; those of one name, such as ``train/loss`` and ``val.loss``, side by side.

    Only the charts of the page in view exist as widgets, and they are used again for the next page.
    """

    DEFAULT_CSS = """
    ChartGrid {
        height: 1fr;
        width: 1fr;
        & > #chart-cells { layout: grid; grid-gutter: 0 1; height: 1fr; width: 1fr; }
        & > #chart-pages { height: 1; width: 1fr; color: $foreground 70%; display: none; }
        &.-paged > #chart-pages { display: block; }
        & Chart.-selected > .chart--title { text-style: bold underline; }
    }
    """
    is_zoomed: reactive[bool] = reactive(False, repaint=False)
    cursor: reactive[float | None] = reactive(None, repaint=False)

    class CursorMoved(Message):
        """The user moved the cursor of all charts to ``x``."""

        def __init__(self, x: float) -> None:
            super().__init__()
            self.x = x

    class ViewChanged(Message):
        """The user zoomed or panned all charts to ``view``."""

        def __init__(self, view: ChartView) -> None:
            super().__init__()
            self.view = view

    class PageChanged(Message):
        """Another page is in view, or there are other pages: ``page`` counts from 0."""

        def __init__(self, page: int, pages: int, keys: tuple[str, ...]) -> None:
            super().__init__()
            self.page = page
            self.pages = pages
            self.keys = keys

    class Selected(Message):
        """The chart of metric ``key`` is the one that keys act on."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  # Textual's own name
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._cells = Container(id="chart-cells")
        self._footer = Static("", id="chart-pages", markup=False)
        self._series: dict[str, Sequence[Series]] = {}
        self._order: list[str] = []
        self._remembered: list[str] = []
        self._view = ChartView()
        self._selected = ""
        self._page = 0
        self._shape = (1, 1)
        self._shown: tuple[int, int, tuple[str, ...]] | None = None
        self._charts: list[Chart] = []

    def compose(self) -> ComposeResult:
        """Lay out the cells over the line that counts pages."""
        yield self._cells
        yield self._footer

    # What is shown

    def show(self, curves: Mapping[str, Sequence[Series]]) -> None:
        """Show these metrics, in the remembered order; charts whose series are the same objects are left alone."""
        self._series = dict(curves)
        self._order = merged(self._remembered, curves)
        # Metrics that come and go, with a filter or a run, find their place again.
        gone = [key for key in self._remembered if key not in self._series]
        self._remembered = self._order + gone
        if self._selected not in self._series:
            self._selected = self._order[0] if self._order else ""
        self._arrange()

    @property
    def order(self) -> tuple[str, ...]:
        """Return the metrics in their order; those remembered but not shown come last."""
        return tuple(self._remembered)

    def set_order(self, keys: Sequence[str]) -> None:
        """Restore an order; metrics that it does not name come after, beside their kin."""
        self._remembered = list(dict.fromkeys(keys))
        self.show(self._series)

    @property
    def view(self) -> ChartView:
        """Return how all charts look at their series."""
        return self._view

    def set_view(self, view: ChartView) -> None:
        """Look at all charts in another way; posts no message."""
        self._view = view
        for chart in self._charts:
            chart.set_view(view)

    @property
    def charts(self) -> tuple[Chart, ...]:
        """Return the charts in view."""
        return tuple(self._charts)

    @property
    def selected(self) -> str:
        """Return the metric that keys act on, empty when there is none."""
        return self._selected

    @property
    def selected_chart(self) -> Chart | None:
        """Return the chart that keys act on."""
        keys = self._keys_in_view()
        place = keys.index(self._selected) if self._selected in keys else -1
        return self._charts[place] if 0 <= place < len(self._charts) else None

    @property
    def page_index(self) -> int:
        """Return the page in view, counted from 0."""
        return self._page

    @property
    def page_count(self) -> int:
        """Return how many pages there are, at least 1."""
        return max(1, -(-len(self._order) // self._capacity))

    # What a user does

    def move(self, columns: int, rows: int = 0) -> None:
        """Select the chart so many columns to the right and rows below, on another page if need be."""
        if self._order:
            place = self._order.index(self._selected) + columns + rows * self._shape[0]
            self.select(self._order[min(max(place, 0), len(self._order) - 1)])

    def select(self, key: str) -> None:
        """Select the chart of a metric and bring it into view."""
        if key not in self._series:
            return
        is_other = key != self._selected
        self._selected = key
        self._page = self._order.index(key) // self._capacity
        self._arrange()
        chart = self.selected_chart
        if chart is not None and self.has_focus_within and not chart.has_focus:
            chart.focus(scroll_visible=False)
        if is_other:
            self.post_message(self.Selected(key))

    def page(self, pages: int) -> None:
        """Turn pages; the selection comes along."""
        wanted = min(max(self._page + pages, 0), self.page_count - 1)
        if self._order and wanted != self._page:
            self.select(self._order[wanted * self._capacity])

    def move_chart(self, places: int) -> None:
        """Move the selected chart in the order, which is remembered."""
        if not self._order:
            return
        start = self._order.index(self._selected)
        stop = min(max(start + places, 0), len(self._order) - 1)
        self._order.insert(stop, self._order.pop(start))
        self._remembered = self._order + [key for key in self._remembered if key not in self._series]
        self.select(self._selected)

    def toggle_zoom_chart(self) -> None:
        """Give all room to the selected chart, or back to all."""
        if self._order:
            self.is_zoomed = not self.is_zoomed

    def move_cursor(self, columns: int) -> None:
        """Move the cursor of all charts along the points of the selected one."""
        if chart := self.selected_chart:
            chart.move_cursor(columns)
            self.cursor = chart.cursor

    def zoom(self, factor: float) -> None:
        """Magnify the x axis of all charts around the cursor."""
        if chart := self.selected_chart:
            chart.zoom(factor)
            self.set_view(chart.view)

    def pan(self, columns: int) -> None:
        """Look further along the x axis in all charts."""
        if chart := self.selected_chart:
            chart.pan(columns)
            self.set_view(chart.view)

    def reset_zoom(self) -> None:
        """See all points of all charts again."""
        if chart := self.selected_chart:
            chart.reset_zoom()
            self.set_view(chart.view)

    # What the charts say

    def on_chart_cursor_moved(self, event: Chart.CursorMoved) -> None:
        """Move the cursor of the other charts too."""
        event.stop()
        # Of several moves in a row the last counts, also while the first is still being told.
        if event.x == event.chart.cursor:
            self.cursor = event.x
        self.post_message(self.CursorMoved(event.x))

    def on_chart_view_changed(self, event: Chart.ViewChanged) -> None:
        """Look at the other charts the same way."""
        event.stop()
        if event.view == event.chart.view:
            self.set_view(event.view)
        self.post_message(self.ViewChanged(event.view))

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Select the chart that a click focused."""
        keys = self._keys_in_view()
        for key, chart in zip(keys, self._charts, strict=False):
            if chart is event.widget:
                self.select(key)

    def watch_cursor(self, x: float | None) -> None:
        """Set the cursor of every chart in view."""
        for chart in self._charts:
            chart.cursor = x

    def watch_is_zoomed(self) -> None:
        """Lay out one chart, or all that fit."""
        if self._selected:
            self._page = self._order.index(self._selected) // self._capacity
            self._arrange()

    def on_resize(self, event: events.Resize) -> None:
        """Lay out for another size; the selected chart stays in view."""
        del event
        self._arrange(keep_selected=True)

    # Layout

    @property
    def _capacity(self) -> int:
        return 1 if self.is_zoomed else self._shape[0] * self._shape[1]

    def _keys_in_view(self) -> list[str]:
        start = self._page * self._capacity
        return self._order[start : start + self._capacity]

    def _arrange(self, *, keep_selected: bool = False) -> None:
        """Give each metric of the page a chart, laid out in the space there is."""
        width, height = self.size
        if not self.is_attached or not width or not height:
            return
        count = len(self._order)
        self._shape = shape(count, width, height)
        if self._shape[0] * self._shape[1] < count:
            # The line that counts pages takes a row.
            self._shape = shape(count, width, height - 1)
        if keep_selected and self._selected:
            self._page = self._order.index(self._selected) // self._capacity
        self._page = min(self._page, self.page_count - 1)
        self.set_class(self.page_count > 1, "-paged")
        columns, rows = (1, 1) if self.is_zoomed else self._shape
        cells = self._cells.styles
        cells.grid_size_columns, cells.grid_size_rows = columns, rows
        keys = self._keys_in_view()
        self._charts = self._charts[: self._trim(max(len(keys), 1))]
        added = [Chart() for _ in range(max(len(keys), 1) - len(self._charts))]
        self._charts += added
        for chart in added:
            # The others have these already, or are about to say that the user changed them.
            chart.set_view(self._view)
            chart.cursor = self.cursor
        for place, chart in enumerate(self._charts):
            key = keys[place] if place < len(keys) else ""
            chart.title = key
            chart.set_class(key == self._selected and count > 1, "-selected")
            chart.show(self._series.get(key, ()))
        if added:
            self._cells.mount(*added)
        self._say_page(keys)

    def _trim(self, count: int) -> int:
        """Remove the charts past ``count``; return how many stay."""
        for chart in self._charts[count:]:
            chart.remove()
        return count

    def _say_page(self, keys: list[str]) -> None:
        pages = self.page_count
        shown = (self._page, pages, tuple(keys))
        if shown != self._shown:
            self._shown = shown
            first = self._page * self._capacity
            said = f"page {self._page + 1} of {pages} · charts {first + 1}-{first + len(keys)} of {len(self._order)}"
            self._footer.update(said)
            self.post_message(self.PageChanged(*shown))
