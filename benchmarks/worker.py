"""What is measured inside a process of its own: ``python -m benchmarks.worker COMMAND ...`` prints one line of JSON."""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks import peers

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP = 200
# As many points in short runs as in middling and in long ones.
RUNS_OF_LENGTH = {200: 500, 2_000: 50, 20_000: 5}


def log(name: str, calls: str, folder: str) -> dict[str, Any]:
    """Time ``log`` call by call, then as many calls in one go, then the end of the run."""
    count = int(calls)
    tracker = peers.load(name).start(folder)
    for step in range(min(WARM_UP, count)):
        tracker.log(_metrics(step), step)
    time.sleep(1.0)  # what the start of a run does in the background is not what is measured
    call, now = tracker.log, time.perf_counter_ns
    times = [0] * count
    for step in range(count):
        metrics = _metrics(step)
        began = now()
        call(metrics, WARM_UP + step)
        times[step] = now() - began
    began = now()
    for step in range(count):
        call(
            {"loss": step * 0.1, "accuracy": 0.5, "lr": 1e-3, "grad_norm": 1.5, "throughput": 950.0},
            WARM_UP + count + step,
        )
    acknowledged = now() - began
    tracker.finish()
    stored = now() - began
    times.sort()
    return {
        "median": times[count // 2] / 1e9,
        "best": times[0] / 1e9,
        "p99": times[int(count * 0.99)] / 1e9,
        "calls_s": count / (acknowledged / 1e9),
        "stored_calls_s": count / (stored / 1e9),
    }


def kill(name: str, folder: str) -> dict[str, Any]:
    """Log until killed; the number of calls that returned stands in the file ``acknowledged``."""
    tracker = peers.load(name).start(folder)
    path = os.path.join(folder, "acknowledged")
    with open(path + ".new", "w+b") as file:
        file.write(bytes(8))
        file.flush()
        counter = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
        os.rename(path + ".new", path)
        step = 0
        while True:
            tracker.log(_metrics(step), step)
            step += 1
            counter[0] = step


def count(name: str, folder: str) -> dict[str, Any]:
    """Count what a fresh reader finds."""
    return {"calls": peers.load(name).calls(folder)}


def batch(points: str, times: str, folder: str) -> dict[str, Any]:
    """Time ``log_batch`` of numpy arrays, and the end of the run."""
    import numpy as np

    import mllab
    from mllab.lab import Lab

    steps, values = np.arange(int(points)), np.random.default_rng(0).random(int(points))
    run = mllab.start_run("benchmark", lab=Lab.init(os.path.join(folder, "lab")))
    run.log_batch("loss", steps, values)
    rates = []
    began = time.perf_counter()
    for _ in range(int(times)):
        call = time.perf_counter()
        run.log_batch("loss", steps, values)
        rates.append(len(steps) / (time.perf_counter() - call))
    run.finish()
    return {"rates": rates, "stored": len(steps) * int(times) / (time.perf_counter() - began)}


def size(scale: str, folder: str) -> dict[str, Any]:
    """Log realistic curves of runs of many lengths, and seal them."""
    import mllab
    from benchmarks.synthetic.curves import five_curves
    from mllab.lab import Lab

    lab = Lab.init(os.path.join(folder, "lab"))
    for length, runs in RUNS_OF_LENGTH.items():
        for number in range(max(1, runs // int(scale))):
            with mllab.start_run("size", lab=lab, capture=False) as run:
                for key, times, values in five_curves(length, number):
                    run.log_batch(key, range(length), values, times)
    lab.store.seal()
    lab.store.compact(full=True)
    return {}


def mlflow_batch(points: str, folder: str) -> dict[str, Any]:
    """Time MLflow's ``log_batch``, which takes 1,000 metrics a call at most."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from benchmarks.peers.mlflow_peer import database

    client = MlflowClient(f"sqlite:///{database(folder)}")
    run_id = client.create_run(client.create_experiment("batch")).info.run_id
    rates = []
    for first in range(0, int(points), 1000):
        metrics = [Metric("loss", step * 0.1, first, step) for step in range(first, first + 1000)]
        began = time.perf_counter()
        client.log_batch(run_id, metrics=metrics)
        rates.append(1000 / (time.perf_counter() - began))
    return {"rates": rates}


def mlflow_search(runs: str, keys: str, folder: str) -> dict[str, Any]:
    """Fill MLflow's database with runs, then time its search. Logging them through its API would take hours."""
    import sqlite3

    from mlflow import MlflowClient

    from benchmarks.peers.mlflow_peer import database

    client = MlflowClient(f"sqlite:///{database(folder)}")
    experiment = client.create_experiment("search")
    count, width = int(runs), int(keys)
    with sqlite3.connect(database(folder)) as connection:
        connection.executemany(
            """INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri,
            source_type, user_id, experiment_id)
            VALUES (?, ?, 'FINISHED', ?, ?, 'active', '', 'LOCAL', 'ada', ?)""",
            ((f"{run:032x}", f"run-{run}", run * 1000, run * 1000 + 900, int(experiment)) for run in range(count)),
        )
        connection.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            ((f"param_{key}", str(run % 97), f"{run:032x}") for run in range(count) for key in range(width)),
        )
        connection.executemany(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, 10, 0, ?)",
            (
                (f"metric_{key}", (run * 7919 + key) % 10007 / 10007, run * 1000, f"{run:032x}")
                for run in range(count)
                for key in range(width)
            ),
        )
    times = []
    for _ in range(8):
        began = time.perf_counter()
        client.search_runs(
            [experiment],
            "metrics.metric_1 < 0.3 and metrics.metric_2 < 0.5 and attributes.status = 'FINISHED'",
            order_by=["metrics.metric_3 DESC"],
            max_results=50,
        )
        times.append(time.perf_counter() - began)
    return {"times": times[1:]}


def tail(calls: str, folder: str) -> dict[str, Any]:
    """Log and die without ``finish``, so that nothing is sealed."""
    import mllab
    from mllab.lab import Lab

    run = mllab.start_run("benchmark", lab=Lab.init(os.path.join(folder, "lab")), capture=False)
    for step in range(int(calls)):
        run.log(_metrics(step), step)
    print(json.dumps({"run": run.id}), flush=True)
    os._exit(0)


def _metrics(step: int) -> dict[str, float]:
    return {"loss": step * 0.1, "accuracy": 0.5, "lr": 1e-3, "grad_norm": 1.5, "throughput": 950.0}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    command.__name__: command for command in (log, kill, count, batch, size, mlflow_batch, mlflow_search, tail)
}

if __name__ == "__main__":
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])), flush=True)
