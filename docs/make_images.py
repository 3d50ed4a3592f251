"""Draw the pictures of the docs: real output of real commands and real screens, as SVG.

    python docs/make_images.py LAB [FOLDER]

LAB is a folder that `mllab demo` made; FOLDER is docs/images when left out.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 110
PICTURES = {
    "runs": [["runs", "ls", "valid/auc > 0.7 order by test/auc desc"], ["runs", "compare", "linear-slow", "trees-31"]],
    "metrics": [["metrics", "--filter", "order by test/auc desc limit 4", "--keys", "train/loss,valid/loss,valid/auc"]],
}


BEST = "has params.family order by valid/auc desc"
# Screens of the terminal UI: where, and the keys that are pressed there.
SCREENS: dict[str, tuple[str, dict[str, str], tuple[str, ...], tuple[int, int]]] = {
    "tui-runs": ("runs", {"filter": BEST}, (), (124, 32)),
    "tui-charts": ("run", {"tab": "charts", "metrics": "loss"}, ("l", "l", "l"), (124, 32)),
    "tui-compare": ("compare", {}, (), (124, 32)),
    "tui-palette": ("runs", {"filter": BEST}, ("ctrl+p", "s", "o", "r", "t"), (124, 32)),
}


async def draw_screen(lab: str, name: str) -> str:
    """Return the SVG of one screen, drawn without a terminal."""
    import mllab
    from mllab.lab import Lab
    from mllab.tui.app import MllabApp
    from mllab.tui.place import Place

    screen, state, keys, size = SCREENS[name]
    ids = mllab.runs(BEST, lab=lab)["run_id"].to_list()
    if screen == "compare":
        state = {"runs": ",".join([*ids[:2], *ids[-2:]])}
    app = MllabApp(Lab.find(lab), Place(screen, ids[0] if screen == "run" else "", state).link)
    app.theme = "mllab-dark"
    async with app.run_test(size=size) as pilot:
        for key in (None, None, *keys, None):
            if key is None:
                await pilot.pause(1.0)
            else:
                await pilot.press(key)
        return app.export_screenshot(title="mllab")


def main(lab: str, folder: Path) -> None:
    """Write one SVG for each picture."""
    folder.mkdir(parents=True, exist_ok=True)
    environ = os.environ | {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "MLLAB_LAB": lab}
    for name, commands in PICTURES.items():
        console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))  # noqa: SIM115
        for command in commands:
            shown = " ".join(f"'{word}'" if " " in word else word for word in command)
            done = subprocess.run(
                [sys.executable, "-m", "mllab", *command], env=environ, capture_output=True, text=True, check=True
            )
            console.print(Text(f"$ mllab {shown}", style="bold"))
            console.print(Text.from_ansi(done.stdout))
        write(folder, name, console.export_svg(title="mllab", unique_id=name))
    os.environ["XDG_STATE_HOME"] = os.path.join(os.path.abspath(lab), ".mllab", "cache")  # not the user's own session
    for name in SCREENS:
        write(folder, name, asyncio.run(draw_screen(lab, name)))


def write(folder: Path, name: str, drawn: str) -> None:
    """Write a picture without the fonts that a viewer would fetch: its own monospaced font does."""
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "images")
