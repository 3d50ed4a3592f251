"""The terminal UI in tests: a small study, and an app that is driven by keys and read as text."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING

from mllab.tracking.start import start_run
from mllab.tui.app import MllabApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from textual.pilot import Pilot

    from mllab.lab import Lab

PATIENCE_S = 60.0


def make_study(lab: Lab) -> None:
    """Track eight runs of two models, two learning rates and two seeds, and one that failed with NaN."""
    for model in ("cnn", "mlp"):
        for lr in (0.1, 0.01):
            for seed in (1, 2):
                name = f"{model}-{lr}-{seed}"
                params = {"model": model, "lr": lr, "seed": seed}
                with start_run("digits", name, lab=lab, params=params, tags={"team": "core"}, capture=False) as run:
                    for step in range(60):
                        loss = math.exp(-step * lr) + seed / 100 + (0.1 if model == "mlp" else 0)
                        run.log({"train/loss": loss, "acc": 1 - loss / 2, "system/cpu": 50.0 + step % 7}, step=step)
                    run.log_text(f"# {name}\nfine [bold]not markup[/bold]\n", "notes.md")
    with contextlib.suppress(ValueError), start_run("digits", "broken", lab=lab, capture=False) as run:
        run.log_params({"model": "cnn", "lr": 1.0, "seed": 1})
        for step in range(20):
            run.log({"train/loss": math.nan if step > 9 else 1.0}, step=step)
        raise ValueError("the loss is NaN \x1b[31m[red]")


class Driven:
    """An app under test."""

    def __init__(self, app: MllabApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait for a condition."""
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < limit, f"never came: {what}\n{self.text}"
            await self.pilot.pause(0.01)

    async def sees(self, *texts: str) -> None:
        """Wait until the screen shows all texts."""
        await self.until(lambda: all(text in self.text for text in texts), " and ".join(map(repr, texts)))

    async def sees_no(self, text: str) -> None:
        """Wait until the screen does not show a text."""
        await self.until(lambda: text not in self.text, f"no {text!r}")

    async def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            await self.pilot.press(key)

    async def type(self, text: str) -> None:
        """Type a text."""
        for character in text:
            await self.pilot.press("space" if character == " " else character)

    async def command(self, text: str) -> None:
        """Type a command and Enter."""
        await self.press("colon")
        await self.until(lambda: self.app.lab_screen is not None and self.app.lab_screen.prompt.is_open, "the prompt")
        await self.type(text)
        await self.press("enter")

    @property
    def text(self) -> str:
        """What the screen shows, as lines."""
        strips = self.app.screen._compositor.render_strips()  # no public way to read the screen
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)

    @property
    def said(self) -> str:
        """Everything that was said."""
        return "\n".join(text for _, text in self.app.said)


@contextlib.asynccontextmanager
async def driven(lab: Lab, link: str | None = None, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Driven]:
    """Run the UI on a lab, without a terminal."""
    app = MllabApp(lab, link)
    async with app.run_test(size=size) as pilot:
        driver = Driven(app, pilot)
        await driver.until(lambda: app.history.present is not None, "the first screen")
        yield driver
        app.exit()


def drive(
    lab: Lab,
    story: Callable[[Driven], Awaitable[None]],
    link: str | None = None,
    *,
    size: tuple[int, int] = (120, 40),
) -> None:
    """Run the UI, and a story that drives it."""

    async def run() -> None:
        async with driven(lab, link, size) as ui:
            await story(ui)

    asyncio.run(run())
