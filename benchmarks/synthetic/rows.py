"""The run-level tables of made-up runs, built a column at a time in the order they are stored in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from benchmarks.synthetic.curves import SUMMARY_FIELDS
from benchmarks.synthetic.plan import STATUSES
from mllab.store.schema import RUN_TABLES, TIME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.synthetic.curves import Metric
    from benchmarks.synthetic.plan import Plan

EXPERIMENTS = (
    "churn",
    "detector",
    "digits",
    "forecast",
    "pricing",
    "ranker",
    "segmenter",
    "speech",
    "summaries",
    "vision",
)
USERS = ("ada", "alan", "barbara", "edsger", "grace", "katherine", "linus", "radia")
OPTIMIZERS = ("adam", "adamw", "lion", "sgd")
PACKAGES = {
    "numpy": "2.1.3", "pandas": "2.2.3", "pyarrow": "18.0.0", "scipy": "1.14.1", "scikit-learn": "1.5.2",
    "torch": "2.5.1", "torchvision": "0.20.1", "lightning": "2.4.0", "matplotlib": "3.9.2", "tqdm": "4.67.0",
    "pillow": "11.0.0", "requests": "2.32.3", "certifi": "2024.8.30", "packaging": "24.2", "pyyaml": "6.0.2",
    "rich": "13.9.4", "jinja2": "3.1.4", "fsspec": "2024.10.0", "filelock": "3.16.1", "sympy": "1.13.1",
    "networkx": "3.4.2", "typing-extensions": "4.12.2",
}  # fmt: skip
# The end comes a little after the last point; a run that was lost has none.
CLOSING_US = 2_000_000


def make_tables(
    plan: Plan,
    metrics: Sequence[Metric],
    runs: NDArray[np.intp],
    summaries: dict[str, NDArray[Any]],
    blobs: Sequence[tuple[str, int]],
    *,
    edited: bool = False,
) -> dict[str, pa.Table]:
    """Return the run-level tables of the runs at the positions ``runs`` of the plan.

    Args:
        plan: the plan.
        metrics: the metrics, sorted by key.
        runs: positions, ascending.
        summaries: for each field an array [metrics, runs].
        blobs: digest and size of what the runs have as artifacts.
        edited: these runs were archived and tagged after they had been sealed.
    """
    tables = {
        "runs": _runs(plan, runs, summaries["last_time"].max(axis=0), edited=edited),
        "params": _by_key("params", runs, _params(plan, runs)),
        "tags": _by_key("tags", runs, _tags(plan, runs, edited=edited)),
        "summaries": _summaries(metrics, runs, summaries),
        "artifacts": _artifacts(plan, runs, blobs),
        "datasets": _datasets(plan, runs),
    }
    return {name: table for name, table in tables.items() if table.num_rows}


def uniform(plan: Plan, runs: NDArray[np.intp], salt: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each run that depends on the run and ``salt`` alone.

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
    """
    state = (runs.astype(np.uint64) << np.uint64(20)) + np.uint64(salt)
    state = (state + np.uint64(plan.shape.seed << 60 & (1 << 64) - 1)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)) / float(1 << 53)


def _pick(plan: Plan, runs: NDArray[np.intp], salt: int, words: Sequence[str]) -> list[str]:
    return [words[i] for i in (uniform(plan, runs, salt) * len(words)).astype(np.intp).tolist()]


def _runs(plan: Plan, runs: NDArray[np.intp], last_point: NDArray[np.int64], *, edited: bool) -> pa.Table:
    names = [f"{experiment}-{number:06d}" for experiment, number in zip(_experiments(plan, runs), runs, strict=True)]
    status = plan.status[runs]
    is_lost = status == STATUSES.index("lost")
    failed = status == STATUSES.index("failed")
    last_seen = np.where(is_lost, last_point, last_point + CLOSING_US)
    is_child = (uniform(plan, runs, 1) < 0.05) & (runs > 0)
    error = json.dumps({"type": "RuntimeError", "message": "out of memory", "traceback": "Traceback ..."})
    none = [None] * len(runs)
    columns = {
        "ref": runs + 1,
        "run_id": plan.run_id[runs],
        "experiment": _experiments(plan, runs),
        "name": names,
        "status": [STATUSES[number] for number in status.tolist()],
        "started": pa.array(plan.start[runs]).cast(TIME),
        "ended": pa.array(last_seen, mask=is_lost).cast(TIME),
        "last_seen": pa.array(last_seen).cast(TIME),
        "duration": (last_seen - plan.start[runs]) / 1e6,
        "attempt": np.where(plan.resumed[runs], 2, 1).astype(np.int32),
        "parent_id": pa.array(plan.run_id[np.maximum(runs - 1, 0)], mask=~is_child),
        "forked_from": none,
        "forked_step": none,
        "user": _pick(plan, runs, 2, USERS),
        "host": _pick(plan, runs, 3, ("gpu-1", "gpu-2", "gpu-3", "laptop")),
        "note": none,
        "archived": np.full(len(runs), edited),
        "deleted": none,
        "damaged": none,
        "error": [error if is_failed else None for is_failed in failed.tolist()],
        "info": [_info(run_id) for run_id in plan.run_id[runs].tolist()],
    }
    return pa.table(columns, schema=RUN_TABLES["runs"])


def _experiments(plan: Plan, runs: NDArray[np.intp]) -> list[str]:
    return _pick(plan, runs, 4, EXPERIMENTS)


def _info(run_id: str) -> str:
    facts = {
        "git": {"commit": run_id[:20] * 2, "branch": "main", "dirty": False},
        "environment": {"python": "3.12.4", "command": ["train.py", "--seed", run_id[-4:]], "packages": PACKAGES},
        "hardware": {"cpu": 16, "memory_bytes": 68_719_476_736, "gpus": ["A100-80GB"]},
    }
    return json.dumps(facts, separators=(",", ":"))


def _by_key(name: str, runs: NDArray[np.intp], columns: dict[str, dict[str, Any]]) -> pa.Table:
    """Return a table sorted by key and ref from columns for each key."""
    tables = [
        pa.table({"key": pa.repeat(key, len(runs)), "ref": runs + 1, **columns[key]}, schema=RUN_TABLES[name])
        for key in sorted(columns)
    ]
    return pa.concat_tables(tables) if tables else RUN_TABLES[name].empty_table()


def _params(plan: Plan, runs: NDArray[np.intp]) -> dict[str, dict[str, Any]]:
    named = ("lr", "batch_size", "optimizer", "augment", "seed", "weight_decay", "model.depth", "model.width")
    keys = [*named, *(f"model.block_{i:02d}.dropout" for i in range(plan.shape.params))][: plan.shape.params]
    return {key: _param(plan, runs, 100 + number, key) for number, key in enumerate(keys)}


def _param(plan: Plan, runs: NDArray[np.intp], salt: int, key: str) -> dict[str, Any]:
    """Return type, number and text, as :func:`mllab.store.schema.param_row` gives them."""
    draw = uniform(plan, runs, salt)
    if key == "optimizer":
        return _typed("str", None, _pick(plan, runs, salt, OPTIMIZERS))
    if key == "augment":
        return _typed("bool", draw < 0.5, ["true" if is_on else "false" for is_on in (draw < 0.5).tolist()])
    if key in ("lr", "weight_decay"):
        numbers = 10 ** (-5 + 4 * draw)
    elif "dropout" in key:
        numbers = np.rint(draw * 10) / 20
    else:
        whole = {
            "batch_size": 2 ** (4 + draw * 7).astype(np.int64),
            "seed": (draw * 2**31).astype(np.int64),
            "model.depth": (2 + draw * 30).astype(np.int64),
            "model.width": 64 * (1 + draw * 32).astype(np.int64),
        }[key]
        return _typed("int", whole, list(map(str, whole.tolist())))
    return _typed("float", numbers, list(map(repr, numbers.tolist())))


def _typed(kind: str, numbers: NDArray[Any] | None, texts: list[str]) -> dict[str, Any]:
    shown = pa.nulls(len(texts), pa.float64()) if numbers is None else numbers.astype(np.float64)
    return {"type": pa.repeat(kind, len(texts)), "number": shown, "text": texts}


def _tags(plan: Plan, runs: NDArray[np.intp], *, edited: bool) -> dict[str, dict[str, Any]]:
    tags = {
        "dataset": {"value": _pick(plan, runs, 5, [f"v{number}" for number in range(40)])},
        "team": {"value": _pick(plan, runs, 6, ("core", "growth", "platform", "research"))},
    }
    return tags | ({"reviewed": {"value": pa.repeat("yes", len(runs))}} if edited else {})


def _summaries(metrics: Sequence[Metric], runs: NDArray[np.intp], summaries: dict[str, NDArray[Any]]) -> pa.Table:
    columns: dict[str, Any] = {name: summaries[name].reshape(-1) for name in SUMMARY_FIELDS}
    columns["last_time"] = pa.array(columns["last_time"]).cast(TIME)
    key = pa.concat_arrays([pa.repeat(metric.key, len(runs)) for metric in metrics])
    return pa.table({"key": key, "ref": np.tile(runs + 1, len(metrics)), **columns}, schema=RUN_TABLES["summaries"])


def _artifacts(plan: Plan, runs: NDArray[np.intp], blobs: Sequence[tuple[str, int]]) -> pa.Table:
    chosen = (uniform(plan, runs, 7) * len(blobs)).astype(np.intp).tolist()
    columns = {
        "ref": runs + 1,
        "path": pa.repeat("environment/requirements.txt", len(runs)),
        "sha256": [blobs[i][0] for i in chosen],
        "size": [blobs[i][1] for i in chosen],
        "media": pa.repeat("text/plain", len(runs)),
        "kind": pa.repeat("environment", len(runs)),
        "time": pa.array(plan.start[runs]).cast(TIME),
    }
    return pa.table(columns, schema=RUN_TABLES["artifacts"])


def _datasets(plan: Plan, runs: NDArray[np.intp]) -> pa.Table:
    versions = (uniform(plan, runs, 8) * 40).astype(np.int64)
    columns = {
        "ref": runs + 1,
        "name": pa.repeat("samples", len(runs)),
        "digest": [f"sha256:{number:064x}" for number in versions.tolist()],
        "context": pa.repeat("train", len(runs)),
        "source": [f"data/samples-v{number}.parquet" for number in versions.tolist()],
        "schema": pa.repeat('[{"name":"x","type":"float64"},{"name":"y","type":"int64"}]', len(runs)),
        "rows": 10_000 * (1 + versions),
        "profile": pa.nulls(len(runs), pa.string()),
        "time": pa.array(plan.start[runs]).cast(TIME),
    }
    return pa.table(columns, schema=RUN_TABLES["datasets"])
