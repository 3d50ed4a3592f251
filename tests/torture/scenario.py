"""One day of a lab on a disk that does not behave, and what must be true afterwards.

    python scenario.py

As a program it is a nursery: it reads one case a line, {"root": ..., "operation": ..., "call": ..., ...}, forks a
child that lives through the day in ``root`` until the disk kills it, and answers with how the child ended and what
was acknowledged to it.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import mllab
from mllab.errors import MllabError, WriteError
from mllab.lab import Lab
from mllab.store.fs import Disk
from mllab.store.parts import load_states, read_part
from mllab.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS = ("open_new", "mkdir", "write", "fsync", "fdatasync", "rename", "link", "unlink", "ftruncate")
POINTS = 50


class QuickDisk(Disk):
    """A disk that syncs nothing: what the kernel has, it keeps, as long as only processes die."""

    def fsync(self, fd: int) -> None:  # type: ignore[override]
        os.fstat(fd)

    fdatasync = fsync  # type: ignore[assignment]


class FaultyDisk(QuickDisk):
    """A disk on which the n-th call of one operation (from 1) goes wrong, and others too when asked.

    Args:
        operation: its name, or ``point:<name>`` for a named place in the code.
        call: which call.
        act: what happens then, instead of the call: an errno, ``short`` for a write that takes half of the bytes,
            or ``kill``.
        lasts: the same happens on each later call, also of the other operations that take space.
    """

    def __init__(self, operation: str, call: int, act: int | str, *, lasts: bool = False) -> None:
        self.operation, self.call, self.act, self.lasts = operation, call, act, lasts
        self.calls = 0
        self.hits = 0
        for name in OPERATIONS:
            setattr(self, name, self._wrapped(name, getattr(QuickDisk(), name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            if not self._is_due(name):
                return real(*args)
            self.hits += 1
            if self.act == "kill":
                os._exit(9)
            if self.act == "short":
                return real(args[0], bytes(args[1])[: len(args[1]) // 2])
            assert isinstance(self.act, int)
            raise OSError(self.act, os.strerror(self.act))

        return wrapped

    def _is_due(self, name: str) -> bool:
        if self.lasts and self.hits:
            return name in ("write", "open_new", "mkdir", "link", "rename", self.operation)
        if name == self.operation:
            self.calls += 1
            return self.calls == self.call
        return False

    def point(self, name: str) -> None:
        if f"point:{name}" == self.operation:
            self.calls += 1
            if self.calls == self.call:
                self.hits += 1
                os._exit(9)


@dataclass
class Acknowledged:
    """What the lab promised; ``out`` hears of it at once, so that it survives the process."""

    points: list[int] = field(default_factory=list)
    files: list[tuple[str, int]] = field(default_factory=list)
    tags: list[tuple[str, str]] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    out: int | None = None

    def add(self, kind: str, value: Any) -> None:
        getattr(self, kind).append(value)
        if self.out is not None:
            os.write(self.out, json.dumps([kind, value]).encode() + b"\n")

    @classmethod
    def read(cls, lines: bytes) -> Acknowledged:
        """Return what another process was promised."""
        acknowledged = cls()
        for line in lines.splitlines():
            kind, value = json.loads(line)
            acknowledged.add(kind, tuple(value) if isinstance(value, list) else value)
        return acknowledged


def live_through(root: str, disk: Disk, acknowledged: Acknowledged) -> None:
    """Track two runs, seal, edit, resume, compact and sweep, on ``disk``; what fails is left out and goes on.

    Raises:
        Exception: anything but an MllabError would have ended a training script.
    """
    lab = Lab(root)
    lab._store = Store(lab.store_path, disk)
    first = track(lab, acknowledged, 0)
    tolerate(lambda: lab.store.seal(wait=True))
    if first is not None:
        tolerate(
            lambda: lab.store.edit(first, 1, [("tags", {"values": {"edited": "yes"}})]),
            acknowledged,
            "tags",
            (first, "edited"),
        )
    track(lab, acknowledged, POINTS)
    tolerate(lambda: lab.store.seal(wait=True))
    tolerate(lambda: lab.store.compact(full=True, wait=True))
    tolerate(lambda: lab.store.sweep(grace_s=0))
    tolerate(lambda: lab.store.sweep(grace_s=0))
    if first is not None:
        track(lab, acknowledged, 2 * POINTS, resume=first)
    tolerate(lambda: lab.store.seal(wait=True))
    tolerate(lambda: lab.store.compact(full=True, wait=True))
    tolerate(lambda: lab.store.sweep(grace_s=0))


def tolerate(
    work: Callable[[], Any], acknowledged: Acknowledged | None = None, kind: str = "", value: Any = None
) -> bool:
    """Do something that a faulty disk may refuse; only a named error is a refusal."""
    try:
        work()
    except MllabError:
        return False
    if acknowledged is not None:
        acknowledged.add(kind, value)
    return True


def track(lab: Lab, acknowledged: Acknowledged, first: int, resume: str | None = None) -> str | None:
    try:
        run = mllab.start_run("day", f"run-{first}", lab=lab, capture=False, on_error="raise", resume=resume)
    except WriteError:
        return None
    for value in range(first, first + POINTS):
        if value % 10 == 9:
            log = functools.partial(run.log_batch, "v", [value], [value])
        else:
            log = functools.partial(run.log, {"v": value}, step=value)
        tolerate(log, acknowledged, "points", value)
        if value % 20 == 0:
            tolerate(run.writer.tick)
    tolerate(lambda: run.set_tags({f"t{first}": "x"}), acknowledged, "tags", (run.id, f"t{first}"))
    tolerate(lambda: run.log_artifact(b"%d" % first * 50, "a.bin"), acknowledged, "files", (run.id, first))
    dropped = run.dropped
    tolerate(run.finish)
    if run.dropped == dropped:
        acknowledged.add("finished", run.id)
    return run.id


def check(root: str, acknowledged: Acknowledged) -> None:
    """Read everything with a disk that behaves, before and after upkeep: nothing lost, nothing twice."""
    lab = Lab(root)
    lab._store = store = Store.open(lab.store_path, QuickDisk())
    look(store, acknowledged)
    store.seal()
    store.compact(full=True)
    store.sweep(grace_s=0)
    store.sweep(grace_s=0)
    look(Store.open(lab.store_path), acknowledged)
    assert not store.snapshot().tails
    # And the lab goes on.
    with mllab.start_run("day", "after", lab=lab, capture=False, on_error="raise") as run:
        run.log({"v": -1.0}, step=0)
    assert store.run_state(run.id) is not None


def look(store: Store, acknowledged: Acknowledged) -> None:
    snapshot = store.snapshot()
    found = [value for part in snapshot.manifest.points for value in read_part(store.layout, part)["value"].to_pylist()]
    found += [value for tail in snapshot.tails for chunk in tail.points for value in chunk.value.tolist()]
    assert len(found) == len(set(found)), sorted(value for value in found if found.count(value) > 1)
    assert set(acknowledged.points) <= set(found), sorted(set(acknowledged.points) - set(found))
    assert set(found) <= set(map(float, range(3 * POINTS)))
    named = {run_id for run_id, _ in (*acknowledged.files, *acknowledged.tags)} | set(acknowledged.finished)
    states = load_states(store.layout, snapshot.manifest, sorted(named))
    states |= {tail.state.run_id: tail.state for tail in snapshot.tails}
    for state in states.values():
        assert state.damaged is None, state.damaged
        assert state.status in ("finished", "lost", "failed")  # failed where starting it was refused
    for run_id, key in acknowledged.tags:
        assert key in states[run_id].tags
    for run_id, number in acknowledged.files:
        digest = states[run_id].artifacts["a.bin"]["sha256"]
        assert store.blobs.read(digest) in {b"%d" % each * 50 for each in (number, number + 2 * POINTS)}
    for run_id in acknowledged.finished:
        assert states[run_id].status == "finished" or states[run_id].attempt > 1


def warm_up() -> None:
    """Load all that a day needs, once for every child: a cold start takes longer than a day."""
    with tempfile.TemporaryDirectory(prefix="mllab-") as folder:
        root = Lab.init(os.path.join(folder, "lab")).root
        live_through(root, QuickDisk(), Acknowledged())
        check(root, Acknowledged())


def nursery() -> None:
    """Fork one child for each case that is read, and report its end and its acknowledgements."""
    warm_up()
    # Newer Pythons warn of a fork beside threads; nothing here has started one.
    warnings.simplefilter("ignore", DeprecationWarning)
    for line in sys.stdin.buffer:
        case = json.loads(line)
        root = case.pop("root")
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            status = 1
            try:
                live_through(root, FaultyDisk(**case, act="kill"), Acknowledged(out=writer))
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            lines = file.read()
        _, status = os.waitpid(child, 0)
        answer = {"exit": os.waitstatus_to_exitcode(status), "acknowledged": lines.decode()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    nursery()
