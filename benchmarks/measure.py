"""Taking times: of calls, and of whole processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Context:
    """What every case gets: a scratch folder that exists, whether to scale down, and where big stores are."""

    work: str
    quick: bool
    store: str | None = None

    def scaled(self, full: int, quick: int) -> int:
        """Return one of two sizes."""
        return quick if self.quick else full

    def path(self, name: str) -> str:
        """Return a path in the scratch folder."""
        return os.path.join(self.work, name)

    def scratch(self, *names: str) -> str:
        """Return an empty folder below the scratch folder."""
        path = os.path.join(self.work, *names)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path


def repeated(call: Callable[[], Any], count: int, warm_up: int = 1) -> list[float]:
    """Return the seconds that each of ``count`` calls took, after some that do not count."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times


def environment(work: str) -> dict[str, str]:
    """Return the environment of child processes: a home of their own, nothing that phones home, no upkeep beside."""
    home = os.path.join(work, "home")
    os.makedirs(home, exist_ok=True)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [root, os.path.join(root, "src"), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLLAB_", "MLFLOW_", "WANDB_"))}
    return kept | {
        "HOME": home,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "MLLAB_STORE_AUTO_COMPACT": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRACKIO_DIR": os.path.join(work, "trackio"),
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_DIR": work,
        "GIT_PYTHON_REFRESH": "quiet",
    }


def processes(argv: Sequence[str], work: str, count: int, warm_up: int = 1) -> list[float]:
    """Return the wall seconds of running a command again and again, each time as a new process."""
    environ = environment(work)

    def call() -> None:
        done = subprocess.run(argv, env=environ, cwd=work, capture_output=True, timeout=TIMEOUT_S, check=False)
        if done.returncode:
            raise RuntimeError(f"{argv} failed: {done.stderr.decode(errors='replace')[-500:]}")

    return repeated(call, count, warm_up)


def worker(work: str, *argv: str) -> dict[str, Any]:
    """Run ``python -m benchmarks.worker`` with arguments and return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", *argv],
        env=environment(work),
        cwd=work,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{argv} failed: {done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def why_absent(module: str) -> str | None:
    """Return why a peer cannot be measured, or None."""
    if find_spec(module) is None:
        return "not installed: pip install 'mllab[benchmarks]'"
    return None


def command(name: str) -> list[str]:
    """Return how to run a console script of this environment, or its module."""
    path = os.path.join(os.path.dirname(sys.executable), name)
    return [path] if os.path.exists(path) else [sys.executable, "-m", name]
