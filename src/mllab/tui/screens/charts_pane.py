"""A pane of charts: curves of one run or of several, under one cursor and one zoom."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from mllab.errors import MllabError, UsageError
from mllab.tui.acting import Acting, bindings, complain, find, in_background
from mllab.tui.services.run_curves import ChartedRun, read_curves, time_at, x_at
from mllab.tui.widgets.chart_data import SMOOTHINGS, X_AXES, ChartView, Series
from mllab.tui.widgets.chart_grid import ChartGrid
from mllab.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.timer import Timer

    from mllab.query.engine import Engine

ZOOM = 2.0
FINER_DELAY_S = 0.15
# Steps are 64-bit integers, and DuckDB refuses a bound beyond them.
MOST_STEP = float(2**62)


class ChartsPane(Vertical, Acting, can_focus=True):
    """Charts of runs; ``show_runs`` says which, and what it says is read in a thread."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("charts")]
    scopes = ("charts",)
    DEFAULT_CSS = """
    ChartsPane { height: 1fr; }
    ChartsPane #charts-note { height: auto; padding: 0 1; color: $foreground-muted; display: none; }
    """

    class TimeMoved(Message):
        """The cursor stands at another moment: UTC microseconds."""

        def __init__(self, pane: ChartsPane, time_us: int) -> None:
            super().__init__()
            self.pane = pane
            self.time_us = time_us

    def __init__(self, *, prefix: str = "", without: str = "", axis: str = "step", id: str | None = None) -> None:  # noqa: A002
        """Show the metrics that begin with ``prefix``, and not with ``without``."""
        super().__init__(id=id)
        self._prefix = prefix
        self._without = without
        self._axis = axis
        self._runs: tuple[tuple[str, str, int], ...] = ()
        self._charted: list[ChartedRun] = []
        self._extra: Mapping[str, Sequence[Series]] | None = None
        self._text = ""
        self._finer: Timer | None = None
        self._is_stale = False
        self._engine: Engine | None = None

    def compose(self) -> ComposeResult:
        """Return the grid under a line for what is to be said."""
        yield Static("", id="charts-note", markup=False)
        yield ChartGrid()

    def on_mount(self) -> None:
        """Begin with the axis that was asked for."""
        self.grid.set_view(ChartView(x_axis=self._axis))

    @property
    def grid(self) -> ChartGrid:
        """The charts."""
        return self.query_one(ChartGrid)

    def take_focus(self) -> None:
        """Focus the chart that is selected; the pane itself while there is none."""
        self.screen.set_focus(self.grid.selected_chart or self)

    # -- what is shown ---------------------------------------------------------------------------------------

    async def show_runs(self, engine: Engine, runs: Sequence[tuple[str, str, int]]) -> None:
        """Show the curves of runs, each given as (id, name, started in UTC microseconds)."""
        self._engine, self._runs, self._extra = engine, tuple(runs), None
        await self.reread()

    def show_series(self, curves: Mapping[str, Sequence[Series]], note: str = "") -> None:
        """Show series that were made elsewhere, such as the means of groups."""
        self._runs, self._charted, self._extra = (), [], curves
        self._note(note)
        self._draw()

    async def reread(self) -> None:
        """Read what is in view again: there is more of it, or it is to be seen closer."""
        engine, runs = self._engine, self._runs
        if engine is None or not runs:
            return
        view = self.grid.view
        steps: tuple[int | None, int | None] = (None, None)
        if view.x_axis == "step":
            steps = (
                None if view.x_low is None else math.floor(max(view.x_low, -MOST_STEP)),
                None if view.x_high is None else math.ceil(min(view.x_high, MOST_STEP)),
            )
        from asyncio import to_thread

        keys = [key for key in sorted(await to_thread(engine.keys, "summaries")) if self._is_mine(key)]
        charted = await to_thread(lambda: read_curves(engine, runs, keys, steps=steps))
        if runs == self._runs:
            self._charted = charted
            self._draw()

    def _is_mine(self, key: str) -> bool:
        if not key.startswith(self._prefix) or (self._without and key.startswith(self._without)):
            return False
        return all(word in key.lower() for word in self._text.lower().split())

    def _draw(self) -> None:
        if self._extra is not None:
            self.grid.show({key: each for key, each in self._extra.items() if self._is_mine(key)})
            return
        points: dict[str, int] = {}
        for run in self._charted:
            for key, curve in run.curves.items():
                if self._is_mine(key):
                    points[key] = max(points.get(key, 0), curve.total)
        # What was logged once is a number, not a curve: the overview has it, and a chart when it is asked for by name.
        singles = [key for key in points if points[key] == 1] if not self._text else []
        keys = sorted(points.keys() - singles) or sorted(points)
        axis = self.grid.view.x_axis
        found = {key: [run.series(key, axis) for run in self._charted] for key in keys}
        self.grid.show({key: [each for each in series if each is not None] for key, series in found.items()})
        if self.has_focus:
            self.call_after_refresh(self.take_focus)  # the charts are mounted by then
        if not keys:
            self._note("No metric fits." if self._text else "Nothing was logged yet.")
        elif self._text:
            self._note(f"Metrics with {self._text!r}.")
        elif len(keys) < len(points):
            self._note(f"{plural(len(singles), 'metric')} of a single value: / and a name shows one.")
        else:
            self._note("")

    def _note(self, text: str) -> None:
        note = self.query_one("#charts-note", Static)
        note.display = bool(text)
        note.update(text)

    # -- cursor and zoom -------------------------------------------------------------------------------------

    @on(ChartGrid.CursorMoved)
    def _cursor_moved(self, event: ChartGrid.CursorMoved) -> None:
        moment = time_at(self._charted, self.grid.view.x_axis, event.x)
        if moment is not None:
            self.post_message(self.TimeMoved(self, moment))

    @on(ChartGrid.ViewChanged)
    def _view_changed(self) -> None:
        """Read finer points once the zoom rests."""
        if self._finer is not None:
            self._finer.stop()
        self._finer = self.set_timer(FINER_DELAY_S, self._read_finer)

    def _read_finer(self) -> None:
        in_background(self, "finer", self._guarded_reread)

    async def _guarded_reread(self) -> None:
        try:
            await self.reread()
        except MllabError as error:
            complain(self.app, error)

    def go_to_time(self, time_us: int) -> None:
        """Put the cursor where a moment is."""
        x = x_at(self._charted, self.grid.view.x_axis, time_us)
        if x is not None:
            self.grid.cursor = x

    def set_view(self, view: ChartView) -> None:
        """Look in another way, as if the user had."""
        is_other_axis = view.x_axis != self.grid.view.x_axis
        self.grid.set_view(view)
        if is_other_axis:
            self._draw()
        self._view_changed()

    def do_cursor_left(self, _: str) -> None:
        """Move the cursor left."""
        self._move_cursor(-1)

    def do_cursor_right(self, _: str) -> None:
        """Move the cursor right."""
        self._move_cursor(1)

    def _move_cursor(self, columns: int) -> None:
        chart = self.grid.selected_chart
        if chart is not None:
            chart.move_cursor(columns)

    def do_cursor_off(self, _: str) -> None:
        """Take the cursor away."""
        self.grid.cursor = None

    def do_zoom_in(self, _: str) -> None:
        """Look closer."""
        self._zoom(ZOOM)

    def do_zoom_out(self, _: str) -> None:
        """Look from further away."""
        self._zoom(1 / ZOOM)

    def _zoom(self, factor: float) -> None:
        chart = self.grid.selected_chart
        if chart is not None:
            chart.zoom(factor)

    def do_zoom_reset(self, argument: str) -> None:
        """Show all, or from one x to another."""
        low: float | None = None
        high: float | None = None
        if argument:
            try:
                low, high = (float(word) for word in argument.split())
            except ValueError as error:
                raise UsageError(f"{argument!r} is no range.", "Write two numbers: :zoom-reset 0 1000") from error
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise UsageError(f"From {low:g} to {high:g} is no range.", "The second number is the greater.")
        self.set_view(replace(self.grid.view, x_low=low, x_high=high))

    def do_pan_left(self, _: str) -> None:
        """Move to earlier steps."""
        self._pan(-1)

    def do_pan_right(self, _: str) -> None:
        """Move to later steps."""
        self._pan(1)

    def _pan(self, direction: int) -> None:
        chart = self.grid.selected_chart
        if chart is not None:
            chart.pan(direction * max(chart.size.width // 8, 1))

    # -- how it looks ----------------------------------------------------------------------------------------

    def do_axis(self, argument: str) -> None:
        """Go to the next x axis, or to one by name."""
        view = self.grid.view
        if argument and argument not in X_AXES:
            raise UsageError(f"There is no axis {argument[:40]!r}.", f"Choose from {', '.join(X_AXES)}.")
        axis = argument or X_AXES[(X_AXES.index(view.x_axis) + 1) % len(X_AXES)]
        moment = None if self.grid.cursor is None else time_at(self._charted, view.x_axis, self.grid.cursor)
        # What was zoomed in on is somewhere else on another axis.
        self.set_view(replace(view, x_axis=axis, x_low=None, x_high=None))
        if moment is not None:
            self.go_to_time(moment)

    def complete_axis(self, argument: str) -> list[tuple[str, int, str]]:
        """Return the axes."""
        return [(axis, 0, "") for axis in X_AXES if axis.startswith(argument)]

    def do_log_scale(self, _: str) -> None:
        """Switch the y axis between linear and logarithmic."""
        self.set_view(replace(self.grid.view, is_log_y=not self.grid.view.is_log_y))

    def do_smoothing(self, argument: str) -> None:
        """Go to the next smoothing, or to one by name and amount."""
        view = self.grid.view
        name, _, amount = argument.partition(" ")
        if name and name not in SMOOTHINGS:
            raise UsageError(f"There is no smoothing {name[:40]!r}.", f"Choose from {', '.join(SMOOTHINGS)}.")
        try:
            weight = float(amount) if amount else view.smoothing_amount
        except ValueError as error:
            raise UsageError(f"{amount!r} is no number.", "Write for example :smoothing ema 0.9") from error
        if not 0 <= weight < 1:
            raise UsageError(f"The weight is {weight:g}.", "It is at least 0 and less than 1.")
        chosen = name or SMOOTHINGS[(SMOOTHINGS.index(view.smoothing) + 1) % len(SMOOTHINGS)]
        self.set_view(replace(view, smoothing=chosen, smoothing_amount=weight))

    def complete_smoothing(self, argument: str) -> list[tuple[str, int, str]]:
        """Return the smoothings."""
        return [(name, 0, "") for name in SMOOTHINGS if name.startswith(argument)]

    def do_clip(self, _: str) -> None:
        """Leave outliers out of the y range, or show them."""
        self.set_view(replace(self.grid.view, clip=not self.grid.view.clip))

    def do_maximise(self, _: str) -> None:
        """Show one chart, or all."""
        self.grid.toggle_zoom_chart()

    def do_down(self, _: str) -> None:
        """Select the chart below."""
        self.grid.move(0, 1)

    def do_up(self, _: str) -> None:
        """Select the chart above."""
        self.grid.move(0, -1)

    def do_page_down(self, _: str) -> None:
        """Turn to the next page."""
        self.grid.page(1)

    def do_page_up(self, _: str) -> None:
        """Turn to the page before."""
        self.grid.page(-1)

    def do_filter(self, argument: str) -> None:
        """Show the metrics whose names hold all words; none shows all."""
        from mllab.tui.screens.lab_screen import LabScreen

        if not argument:
            if isinstance(self.screen, LabScreen):
                action = find("filter", ("charts",))
                self.screen.ask_argument(action, "metrics with", self._text, hint="part of a name; nothing shows all")
            return
        self._set_text(argument)

    def clear_filter(self) -> None:
        """Show all metrics."""
        self._set_text("")

    def _set_text(self, text: str) -> None:
        self._text = text
        in_background(self, "finer", self._guarded_reread)
        self._draw()

    # -- links -----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, str]:
        """Return what a link keeps: selection, zoom, cursor and looks."""
        view, grid = self.grid.view, self.grid
        found = {
            "key": grid.selected if grid.is_zoomed else "",
            "metrics": self._text,
            "x": "" if view.x_low is None and view.x_high is None else f"{_text(view.x_low)},{_text(view.x_high)}",
            "cursor": _text(grid.cursor),
            "axis": "" if view.x_axis == self._axis else view.x_axis,
            "log": "1" if view.is_log_y else "",
            "clip": "1" if view.clip else "",
            "smooth": "" if view.smoothing == "off" else f"{view.smoothing},{view.smoothing_amount:g}",
        }
        return {key: value for key, value in found.items() if value}

    def restore(self, state: Mapping[str, str]) -> None:
        """Look as a link says; what it says wrongly is as usual."""
        low, _, high = state.get("x", "").partition(",")
        smoothing, _, amount = state.get("smooth", "off").partition(",")
        axis = state.get("axis", self._axis)
        weight = _number(amount)
        view = ChartView(
            x_low=_number(low),
            x_high=_number(high),
            is_log_y=bool(state.get("log")),
            smoothing=smoothing if smoothing in SMOOTHINGS else "off",
            smoothing_amount=weight if weight is not None and 0 <= weight < 1 else 0.6,
            clip=bool(state.get("clip")),
            x_axis=axis if axis in X_AXES else self._axis,
        )
        self._text = state.get("metrics", "")
        self.grid.set_view(view)
        self.grid.cursor = _number(state.get("cursor", ""))
        if state.get("key"):
            self.grid.select(state["key"])
            if not self.grid.is_zoomed:
                self.grid.toggle_zoom_chart()


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.17g}"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124  # NaN
