"""How long it takes to start: `import mllab`, `mllab --version`, and `mllab runs ls` on the big store."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.cases.stores import big_store
from benchmarks.measure import command, environment, processes, why_absent
from benchmarks.report import Row, measured, missing

if TYPE_CHECKING:
    from benchmarks.measure import Context

PEERS = ("mlflow", "wandb", "trackio")


def startup(context: Context) -> list[Row]:
    """Measure imports by `-X importtime` and commands by the wall clock."""
    times = context.scaled(21, 5)
    rows = [measured("startup", "import", "mllab", "s", _imports(context, "mllab", times), floor=0.05, aim=0.02)]
    for name in PEERS:
        reason = why_absent(name)
        if reason:
            rows.append(missing("startup", "import", name, reason))
        else:
            rows.append(measured("startup", "import", name, "s", _imports(context, name, context.scaled(5, 2))))
    nothing = processes([sys.executable, "-c", "pass"], context.work, times)
    rows.append(measured("startup", "a process that does nothing", "python -c pass", "s", nothing))
    version = processes([*command("mllab"), "--version"], context.work, times)
    rows.append(measured("startup", "--version", "mllab", "s", version, floor=0.15, aim=0.08))
    if not why_absent("mlflow"):
        version = processes([*command("mlflow"), "--version"], context.work, context.scaled(5, 2))
        rows.append(measured("startup", "--version", "mlflow", "s", version))
    lab = big_store(context)
    runs = lab.engine.rows("SELECT count(*) FROM r_runs")[0][0]
    listing = processes([*command("mllab"), "--lab", lab.root, "runs", "ls"], context.work, context.scaled(11, 3))
    rows.append(measured("startup", f"runs ls on {runs:,} runs", "mllab", "s", listing, floor=0.8, aim=0.4))
    return rows


def _imports(context: Context, module: str, count: int) -> list[float]:
    """Return seconds that importing a module took, with all it imports, in new processes."""
    found = []
    for _ in range(count + 1):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", f"import {module}"],
            env=environment(context.work),
            cwd=context.work,
            capture_output=True,
            text=True,
            check=True,
        )
        # The last line is the module itself: "import time: self [us] | cumulative | name".
        lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
        found.append(
            next(int(line.split("|")[1]) / 1e6 for line in reversed(lines) if line.split("|")[2].strip() == module)
        )
    return found[1:]
