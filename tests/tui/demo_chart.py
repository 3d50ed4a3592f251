"""Look at the charts: ``python -m tests.tui.demo_chart [charts] [points]``; six live charts without arguments.

Keys: arrows move the cursor, i and I zoom, r resets, L logs y, s smooths, c clips, z gives one chart all room,
n and p turn pages, tab goes to the next chart, f freezes, x changes the kind of x axis, q quits.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import ClassVar

import numpy as np
from textual.app import App

from mllab.tui.widgets.chart import Series
from mllab.tui.widgets.chart_grid import ChartGrid

NAMES = ["train/loss", "val.loss", "train/accuracy", "val.accuracy", "lr", "grad/norm", "system/gpu", "system/memory"]


def curve(name: str, seed: int, size: int, color: int = 0, label: str = "run-a1b2") -> Series:
    random = np.random.default_rng(seed)
    x = np.arange(size, dtype=np.float64)
    y = np.exp(-x / max(size, 1) * 4) + 0.05 * random.normal(size=size)
    if "accuracy" in name:
        y = 1 - y
    if name == "grad/norm":
        y = np.exp(random.normal(size=size) * 2)
        y[size // 3 : size // 3 + 1] = np.nan
        y[size // 2 : size // 2 + 1] = np.inf
    if name == "lr":
        y = 1e-3 * (1 + np.cos(x / max(size, 1) * np.pi)) / 2
    band = (y - 0.1, y + 0.1) if name == "val.loss" else None
    return Series(label, x, y, color=color, band=band)


class Demo(App[None]):
    BINDINGS: ClassVar = [
        ("left", "cursor(-1)"), ("right", "cursor(1)"), ("i", "zoom(1.5)"), ("I", "zoom(0.66)"), ("r", "reset"),
        ("L", "log"), ("s", "smooth"), ("c", "clip"), ("z", "maximise"), ("n", "page(1)"), ("p", "page(-1)"),
        ("tab", "next"), ("f", "freeze"), ("x", "axis"), ("q", "quit"),
    ]  # fmt: skip

    def __init__(self, count: int = 6, points: int = 2000, hertz: float = 2.0) -> None:
        super().__init__()
        self.count = count
        self.points = points
        self.hertz = hertz
        self.grid = ChartGrid()
        self.is_live = hertz > 0
        self.names = [NAMES[n % len(NAMES)] + (str(n // len(NAMES)) if n >= len(NAMES) else "") for n in range(count)]
        self.curves = {
            name: [curve(name, n + 10 * each, points, each, f"run-{each}") for each in range(3)]
            for n, name in enumerate(self.names)
        }

    def compose(self):
        yield self.grid

    def on_mount(self) -> None:
        self.seen = self.points // 2 if self.is_live else self.points
        self.step()
        if self.is_live:
            self.set_interval(1 / self.hertz, self.step)

    def step(self) -> None:
        if self.is_live:
            self.seen = min(self.seen + max(self.points // 400, 1), self.points)
        self.grid.show({name: [self.part(each) for each in series] for name, series in self.curves.items()})

    def part(self, series: Series) -> Series:
        band = series.band and (series.band[0][: self.seen], series.band[1][: self.seen])
        return replace(series, x=series.x[: self.seen], y=series.y[: self.seen], band=band)

    def change(self, **changes) -> None:
        self.grid.set_view(replace(self.grid.view, **changes))

    def action_cursor(self, columns: int) -> None:
        self.grid.move_cursor(columns)

    def action_zoom(self, factor: float) -> None:
        self.grid.zoom(factor)

    def action_reset(self) -> None:
        self.grid.reset_zoom()

    def action_log(self) -> None:
        self.change(is_log_y=not self.grid.view.is_log_y)

    def action_smooth(self) -> None:
        kinds = ["off", "ema", "median"]
        self.change(smoothing=kinds[(kinds.index(self.grid.view.smoothing) + 1) % 3], smoothing_amount=0.9)

    def action_clip(self) -> None:
        self.change(clip=not self.grid.view.clip)

    def action_axis(self) -> None:
        kinds = ["step", "relative", "wall"]
        self.change(x_axis=kinds[(kinds.index(self.grid.view.x_axis) + 1) % 3])

    def action_maximise(self) -> None:
        self.grid.toggle_zoom_chart()

    def action_page(self, pages: int) -> None:
        self.grid.page(pages)

    def action_next(self) -> None:
        self.grid.move(1)

    def action_freeze(self) -> None:
        self.is_live = not self.is_live


if __name__ == "__main__":
    Demo(*map(int, sys.argv[1:3])).run()
