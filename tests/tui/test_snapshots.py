"""Every screen at the two sizes that matter, as text with its styles, against what was looked at and found right.

``UPDATE_SNAPSHOTS=1 pytest tests/tui/test_snapshots.py`` writes what is there now; the difference is for review.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.ui import drive

import mllab
from mllab.lab import Lab
from mllab.tui.place import Place

if TYPE_CHECKING:
    from tests.support.ui import Driven

FOLDER = Path(__file__).parent / "snapshots"
GOLDEN = Path(__file__).parents[1] / "golden/stores/format-1"
SIZES = [(80, 24), (120, 40)]
# Where, which keys are pressed there, and what must be on the screen before it is looked at.
SCREENS: dict[str, tuple[str, dict[str, str], tuple[str, ...], str]] = {
    "runs": ("runs", {}, (), "row 1 of"),
    "filtering": ("runs", {}, ("slash", *"status = "), "finished"),
    "overview": ("run", {}, (), "[Overview]"),
    "charts": ("run", {"tab": "charts"}, (), "points"),
    "logs": ("run", {"tab": "logs"}, (), "[Logs]"),
    "system": ("run", {"tab": "system"}, (), "[System]"),
    "artifacts": ("run", {"tab": "artifacts"}, (), "[Artifacts]"),
    "code": ("run", {"tab": "code"}, (), "[Code]"),
    "compare": ("compare", {}, (), "Compare ("),
    "inbox": ("inbox", {"all": "1"}, (), "Inbox ("),
    "help": ("runs", {}, ("question_mark",), "Keys here"),
    "sheet": ("runs", {}, ("D",), "Cancel"),
}


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Return a lab whose ids and times never change, in one zone, seen with all colours."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now = time.time  # more than a month after the runs, so that dates are shown and not how long ago they were
    monkeypatch.setattr(time, "time", lambda: now() + 400 * 86_400)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    lab = Lab.init(str(tmp_path / "golden"))
    shutil.rmtree(lab.store_path)
    shutil.copytree(GOLDEN, lab.store_path)
    return Lab.find(lab.root)


def styled_lines(ui: Driven) -> str:
    """Return the screen as lines, each followed by its runs of style that are not the line's first."""
    lines = []
    for strip in ui.app.screen._compositor.render_strips():  # no public way to read the screen
        text = "".join(segment.text for segment in strip)
        at, runs = 0, []
        for segment in strip:
            style = segment.style
            if style is not None and segment.text.strip():
                words = [str(style.color.name) if style.color else "", *(
                    word for word in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, word)
                )]  # fmt: skip
                runs.append(f"{at}:{' '.join(words)}")
            at += len(segment.text)
        lines.append(text.rstrip())
        lines.append("    " + " | ".join(runs))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_as_it_did_when_it_was_looked_at(golden: Lab, name: str, size: tuple[int, int]) -> None:
    screen, state, keys, awaited = SCREENS[name]
    runs = mllab.runs("order by started", lab=golden)["run_id"].to_list()
    if screen == "compare":
        state = {"runs": ",".join(runs[:3])}
    path = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"
    seen = []

    async def story(ui: Driven) -> None:
        ui.app.is_following = False
        await ui.sees(awaited) if not keys else await ui.sees("row 1 of")
        await ui.press(*keys)
        await ui.sees(awaited)
        last = ""
        while last != (last := styled_lines(ui)):  # until nothing moves any more
            await ui.pilot.pause(0.4)
        seen.append(last)

    drive(golden, story, Place(screen, runs[0] if screen == "run" else "", state).link, size=size)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(seen[0], encoding="utf-8")
    assert seen[0] == path.read_text(encoding="utf-8")
