from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tests.support.ui import drive

from mllab.tracking.start import start_run
from mllab.tui.place import Place

if TYPE_CHECKING:
    from tests.support.ui import Driven

    from mllab.lab import Lab

INBOX = Place("inbox").link


def test_failures_and_nan_are_there_until_they_were_seen(study: Lab) -> None:
    with start_run("digits", "not a number", lab=study, capture=False) as run:
        run.log({"loss": 1.0}, step=0)
        run.log({"loss": math.nan}, step=1)

    async def first(ui: Driven) -> None:
        await ui.sees("Inbox (2)", "failed", "nan", "broken", "not a number")
        await ui.press("a")
        await ui.sees("Inbox (1)")

    async def second(ui: Driven) -> None:
        await ui.sees("Inbox (1)")
        await ui.press("A")
        await ui.sees("Inbox (2)")
        await ui.press("A")
        await ui.sees("Inbox (1)")
        await ui.press("s")
        await ui.sees("Inbox (0)", "Nothing needs attention.")

    drive(study, first, INBOX)
    drive(study, second, INBOX)


def test_an_item_opens_the_run_where_it_happened(study: Lab) -> None:
    async def story(ui: Driven) -> None:
        await ui.sees("Inbox (1)")
        await ui.press("enter")
        await ui.sees("broken", "[")
        await ui.press("left_square_bracket")
        await ui.sees("Inbox (1)")

    drive(study, story, INBOX)
