"""Draw the pictures of the docs: real output of real commands, as SVG.

    python docs/make_images.py LAB [FOLDER]

LAB is a folder that `mllab demo` made; FOLDER is docs/images when left out.
"""

from __future__ import annotations

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
        drawn = console.export_svg(title="mllab", unique_id=name)
        # Without the fonts that a viewer would fetch: its own monospaced font does.
        drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
        (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "images")
