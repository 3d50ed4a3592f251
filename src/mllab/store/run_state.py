"""A run's row: what its events add up to. One reducer for live runs, sealing, resuming and edits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mllab.store.run_status import ENDED, FAILED, LOST, RUNNING
from mllab.store.values import INT64_MAX

if TYPE_CHECKING:
    from mllab.store.points import Summary


@dataclass(slots=True)
class RunState:
    """Everything about one run but its points and console output. Times are UTC microseconds."""

    run_id: str
    ref: int = 0
    experiment: str = "default"
    name: str = ""
    status: str = RUNNING
    started: int = 0
    ended: int | None = None
    last_seen: int = 0
    attempt: int = 1
    parent_id: str | None = None
    forked_from: str | None = None
    forked_step: int | None = None
    user: str | None = None
    host: str | None = None
    note: str | None = None
    archived: bool = False
    deleted: int | None = None
    damaged: str | None = None
    error: dict[str, Any] | None = None
    info: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    datasets: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    def apply(self, record: dict[str, Any], header: dict[str, Any]) -> None:
        """Apply one event. An event of an unknown name is left for a later version to read."""
        handler = _HANDLERS.get(str(record.get("e")))
        time_us = record.get("t")
        if isinstance(time_us, int) and header.get("purpose") != "edit":
            self.last_seen = max(self.last_seen, time_us)
        if handler is not None:
            handler(self, record, header)

    def add_summaries(self, summaries: dict[str, Summary]) -> None:
        """Add the summaries of points written after those already counted."""
        for key, summary in summaries.items():
            mine = self.summaries.get(key)
            self.summaries[key] = summary if mine is None else mine.merged(summary)
            self.last_seen = max(self.last_seen, summary.last_time)

    def settle(self, *, is_live: bool) -> None:
        """Decide between running and lost: a run without an end is alive only while a writer holds a lock."""
        if self.status not in ENDED:
            self.status = RUNNING if is_live else LOST

    def add_damage(self, problems: list[str]) -> None:
        """Mark the run as damaged, and say how."""
        if problems:
            seen = self.damaged.split("; ") if self.damaged else []
            self.damaged = "; ".join([*seen, *(problem for problem in problems if problem not in seen)])[:2000]


def _start(run: RunState, record: dict[str, Any], header: dict[str, Any]) -> None:
    run.experiment = str(record.get("experiment") or "default")
    run.name = str(record.get("name") or "")
    run.started = int(record["t"])
    run.parent_id = _text(record.get("parent"))
    run.forked_from = _text(record.get("forked_from"))
    run.forked_step = _integer(record.get("forked_step"))
    _attempt(run, record, header)


def _attempt(run: RunState, _record: dict[str, Any], header: dict[str, Any]) -> None:
    run.attempt = max(run.attempt, int(header.get("attempt", 1)))
    run.user = _text(header.get("user")) or run.user
    run.host = _text(header.get("host")) or run.host
    run.status, run.ended, run.error = RUNNING, None, None


def _finish(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    status = record.get("status")
    run.status = status if status in ENDED else FAILED
    run.ended = int(record["t"])
    error = record.get("error")
    run.error = error if isinstance(error, dict) else None


def _params(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    values = record.get("values")
    if isinstance(values, dict):
        run.params.update(values)


def _tags(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    values = record.get("values")
    for key, value in values.items() if isinstance(values, dict) else ():
        if value is None:
            run.tags.pop(key, None)
        else:
            run.tags[key] = str(value)


def _artifact(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    path = _text(record.get("path"))
    if path:
        run.artifacts[path] = {
            "sha256": _text(record.get("sha256")),
            "size": _integer(record.get("size")),
            "media": _text(record.get("media")),
            "kind": _text(record.get("kind")),
            "time": record.get("t"),
        }


def _dataset(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    fields = ("name", "digest", "context", "source", "schema", "profile")
    data: dict[str, Any] = {key: _text(record.get(key)) for key in fields}
    data |= {"rows": _integer(record.get("rows")), "time": record.get("t")}
    run.datasets[(str(data["name"]), str(data["digest"]), str(data["context"] or ""))] = data


def _info(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    values = record.get("values")
    if isinstance(values, dict):
        run.info.update(values)


def _note(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    run.note = _text(record.get("text"))


def _rename(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    run.name = _text(record.get("name")) or run.name


def _archive(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    run.archived = bool(record.get("value"))


def _delete(run: RunState, record: dict[str, Any], _header: dict[str, Any]) -> None:
    run.deleted = int(record["t"]) if record.get("value") else None


def _text(value: Any) -> str | None:
    return str(value) if value is not None else None


def _integer(value: Any) -> int | None:
    return value if type(value) is int and -INT64_MAX <= value <= INT64_MAX else None


_HANDLERS = {
    "start": _start,
    "resume": _attempt,
    "finish": _finish,
    "params": _params,
    "tags": _tags,
    "artifact": _artifact,
    "dataset": _dataset,
    "info": _info,
    "note": _note,
    "rename": _rename,
    "archive": _archive,
    "delete": _delete,
}
