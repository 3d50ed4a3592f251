"""A run that logs until its standard input ends: ``python -m benchmarks.tui_writer LAB NAME HERTZ METRIC...``."""

from __future__ import annotations

import itertools
import math
import sys
import threading
import time

import mllab


def write(lab: str, name: str, hertz: float, keys: list[str]) -> None:
    """Log a value of each metric so many times a second."""
    is_over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=wait, daemon=True).start()
    with mllab.start_run("live", name, lab=lab, capture=False) as run:
        print(run.id, flush=True)
        began = time.perf_counter()
        for step in itertools.count():
            run.log({key: math.exp(-step / 1000) + math.sin(step / 7 + at) / 9 for at, key in enumerate(keys)}, step)
            if is_over.wait(max(0.0, began + (step + 1) / hertz - time.perf_counter())):
                return


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:])
