"""How two runs came to differ: their data and everything that was captured around them, for front ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mllab.errors import MllabError, UsageError
from mllab.query.run_detail import run_detail
from mllab.query.views import find_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mllab.query.engine import Engine
    from mllab.query.run_detail import RunDetail
    from mllab.query.views import ParamValue, RunRow

PATCH = "code/uncommitted.diff"
# Comparing line by line takes time in the product of the lengths.
MAX_PATCH_LINES = 5000
MAX_PATCH_BYTES = 2 << 20
Change = tuple[str, str | None, str | None]
# Of what is captured: process numbers always differ and say nothing.
_SURROUNDINGS = (
    "command", "python", "implementation", "executable", "platform", "cwd", "host", "user", "container",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunDifferences:
    """What differs between two runs. Every group holds (key, value of the first, value of the second).

    ``patch`` is a line-by-line comparison of their uncommitted changes; None when these are equal, or too long for it.
    """

    first: RunRow
    second: RunRow
    params: tuple[tuple[str, ParamValue | None, ParamValue | None], ...]
    tags: tuple[Change, ...]
    metrics: tuple[tuple[str, float | None, float | None], ...]
    packages: tuple[Change, ...]
    code: tuple[Change, ...]
    surroundings: tuple[Change, ...]
    patch: tuple[str, ...] | None
    patch_differs: bool


def differences(engine: Engine, first: str, second: str) -> RunDifferences:
    """Return what differs between two runs, each given by id, short id or name.

    Raises:
        NotFoundError: one of them does not exist.
        UsageError: they are one run.
    """
    with engine.steady():
        if find_run(engine, first) == find_run(engine, second):
            raise UsageError(f"{first!r} and {second!r} are the same run.", "Name two different runs.")
        a, b = (run_detail(engine, run, spark_cells=0) for run in (first, second))
    patches = [_patch(engine, each) for each in (a, b)]
    environments = [_mapping(each.info.get("environment")) for each in (a, b)]
    gits = [_mapping(each.info.get("git")) for each in (a, b)]
    metrics = [{summary.key: summary.last for summary in each.metrics} for each in (a, b)]
    return RunDifferences(
        a.run,
        b.run,
        _pairs(a.params, b.params),
        _pairs(a.tags, b.tags),
        _pairs(*metrics),
        _texts(*(_mapping(each.get("packages")) for each in environments)),
        _texts(*(_code(git) for git in gits)),
        _texts(*(_surroundings(each, info) for each, info in zip(environments, (a.info, b.info), strict=True))),
        _compared(*patches) if patches[0] != patches[1] else None,
        patches[0] != patches[1],
    )


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    keys = sorted({*first, *second})
    return tuple((key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key))


def _texts(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Change, ...]:
    return tuple(
        (key, None if before is None else str(before), None if after is None else str(after))
        for key, before, after in _pairs(first, second)
    )


def _mapping(value: Any) -> dict[str, Any]:
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}


def _code(git: dict[str, Any]) -> dict[str, Any]:
    return {key: git.get(key) for key in ("commit", "branch", "remote", "dirty")}


def _surroundings(environment: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """Return what was captured of interpreter, command and machine."""
    found = {key: environment.get(key) for key in _SURROUNDINGS}
    script = environment.get("script")
    found["script"] = script.get("sha256", script) if isinstance(script, dict) else script
    found |= {f"variables.{key}": value for key, value in _mapping(environment.get("variables")).items()}
    hardware = _mapping(info.get("hardware"))
    found |= {key: hardware.get(key) for key in ("cpu", "cpu_available", "memory_bytes", "cuda")}
    gpus = hardware.get("gpus")
    if isinstance(gpus, list):
        found["gpus"] = ", ".join(str(_mapping(gpu).get("name", gpu)) for gpu in gpus) or None
    return found


def _patch(engine: Engine, detail: RunDetail) -> str:
    """Return a run's uncommitted changes; empty when there were none or they cannot be read."""
    for artifact in detail.artifacts:
        if artifact.path == PATCH and artifact.size <= MAX_PATCH_BYTES:
            try:
                return engine.store.blobs.read(artifact.sha256).decode("utf-8", "replace")
            except MllabError as error:
                return f"({error.message})\n"
        if artifact.path == PATCH:
            return f"({artifact.size:,} bytes, sha256 {artifact.sha256})\n"
    return ""


def _compared(first: str, second: str) -> tuple[str, ...] | None:
    import difflib

    before, after = first.splitlines(), second.splitlines()
    if len(before) + len(after) > MAX_PATCH_LINES:
        return None
    if not before or not after:
        sign = "+" if after else "-"
        return tuple(f"{sign}{each}" for each in (after or before))
    return tuple(each.rstrip("\n") for each in difflib.unified_diff(before, after, "first", "second", lineterm=""))
