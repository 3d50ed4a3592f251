"""A farm of processes on one store: writers, compactors, readers and an editor, killed and restarted at random.

    python farm.py LAB ACKS KILLS SEED

Runs in an interpreter of its own, which imports everything once and forks each worker from that, so that a kill
costs milliseconds. Every worker leaves proof of its work in files under ACKS, written with write(2) after the work
was acknowledged, which a SIGKILL cannot take back. What went wrong is in ACKS/failures; a report goes to stdout.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

import mllab
from mllab.errors import StoreBusy, StoreCorrupt
from mllab.lab import Lab
from mllab.store import segment
from mllab.store.manifest import load_newest
from mllab.store.parts import read_part
from mllab.store.seal import seal
from mllab.store.snapshot import SnapshotReader
from mllab.tracking import background

if TYPE_CHECKING:
    from collections.abc import Callable

WRITERS, COMPACTORS, READERS = 16, 2, 3
LIFE = 1_000_000  # values of one life of a writer: LIFE * life, LIFE * life + 1, ...
ACK = np.dtype([("kind", "S1"), ("run", "S26"), ("value", "<i8")])
BATCH = 5


class Acks:
    """An append-only file of what one life was promised."""

    def __init__(self, folder: str, name: str) -> None:
        self.fd = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def add(self, kind: str, run_id: str, value: int) -> None:
        record = np.array([(kind.encode(), run_id.encode(), value)], ACK).tobytes()
        assert os.write(self.fd, record) == len(record)


def read_acks(folder: str, prefix: str = "writer-") -> np.ndarray[Any, Any]:
    """Return every acknowledgement so far."""
    pieces = [np.empty(0, ACK)]
    for name in os.listdir(folder):
        if name == prefix or (prefix.endswith("-") and name.startswith(prefix)):
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
            pieces.append(np.frombuffer(data[: len(data) // ACK.itemsize * ACK.itemsize], ACK))
    return np.concatenate(pieces)


def promised_points(acks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the values of points that were acknowledged; of a batch, the last stands for all."""
    values: np.ndarray[Any, Any] = acks["value"][acks["kind"] == b"p"]
    last = acks["value"][acks["kind"] == b"b"]
    return np.concatenate([values, *(last - each for each in range(BATCH))])


# -- workers -----------------------------------------------------------------------------------------------


def write_points(run: mllab.Run, life: int, acks: Acks, dice: random.Random, counter: itertools.count[int]) -> None:
    """Log a few dozen records, each acknowledged after its call has returned."""
    for _ in range(dice.randrange(5, 120)):
        value = life * LIFE + next(counter)
        chance = dice.random()
        if chance < 0.9:
            run.log({"v": value, "w": -value}, step=value % LIFE)
            acks.add("p", run.id, value)
        elif chance < 0.94:
            values = range(value, value + BATCH)
            run.log_batch("v", [each % LIFE for each in values], list(values))
            for _ in range(BATCH - 1):
                next(counter)
            acks.add("b", run.id, value + BATCH - 1)
        elif chance < 0.97:
            run.log({"v": value, f"k{dice.randrange(5)}": 0.0}, step=value % LIFE)
            run.set_tags({f"t{life}": value})
            acks.add("p", run.id, value)
            acks.add("t", run.id, value)
        else:
            run.log({"v": value}, step=value % LIFE)
            acks.add("p", run.id, value)
            run.log_artifact(b"%d" % value * 100, f"{value}.bin")
            acks.add("a", run.id, value)
        if run.dropped:
            raise AssertionError(f"{run.dropped} records of run {run.id} were dropped")
        time.sleep(dice.random() * 0.01)


def writer(root: str, folder: str, life: int) -> None:
    """Log to one run after another, new or resumed, some with a forked child that logs to the same run."""
    os.setpgid(0, 0)
    segment.ROLL_BYTES = 8_000
    background.TICK_S = 0.02
    dice = random.Random(life)
    lab = Lab.find(root)
    acks = Acks(folder, f"writer-{life}")
    counter = itertools.count()
    last = None
    while True:
        resume = last if dice.random() < 0.3 else None
        last = None
        run = mllab.start_run("farm", f"life-{life}", lab=lab, capture=False, resume=resume)
        child = 0
        if dice.random() < 0.2:
            write_points(run, life, acks, dice, counter)
            child = os.fork()
            if not child:
                # It goes on counting where the child before it ended.
                before = len(promised_points(read_acks(folder, f"writer-{life + 1}")))
                write_points(run, life + 1, Acks(folder, f"writer-{life + 1}"), dice, itertools.count(before))
                os._exit(0)
        write_points(run, life, acks, dice, counter)
        if child and os.waitpid(child, 0)[1]:
            raise AssertionError("the forked child failed")
        run.finish()
        acks.add("f", run.id, 0)
        last = run.id


def compactor(root: str, folder: str, life: int) -> None:
    """Seal, compact and sweep without any grace."""
    dice = random.Random(life)
    acks = Acks(folder, f"compactor-{life}")
    store = Lab.find(root).store
    while True:
        work = dice.choice("sscw")
        acks.add(work, "", 0)
        try:
            if work == "s":
                seal(store.layout, store.disk, wait=True, live_bytes=dice.choice([0, 64 << 20]))
            elif work == "c":
                store.compact(full=dice.random() < 0.5, wait=True)
            else:
                store.sweep(grace_s=0)
        except StoreBusy:
            time.sleep(0.01)
        time.sleep(dice.random() * 0.1)


def reader(root: str, folder: str, life: int) -> None:
    """Look again and again: what was acknowledged before must be there, once, without a hole, and stay."""
    acks = Acks(folder, f"reader-{life}")
    layout = Lab.find(root).store.layout
    snapshots = SnapshotReader(layout)
    while True:
        promised = promised_points(read_acks(folder))
        snapshot = snapshots.take()
        try:
            sealed = [read_part(layout, part) for part in snapshot.manifest.points]
        except StoreCorrupt:
            if load_newest(layout).number == snapshot.manifest.number:
                raise
            continue  # there is no grace here: a part was swept that this snapshot still wants
        values = [table["value"].to_numpy()[pc.equal(table["key"], "v").to_numpy()] for table in sealed]
        for tail in snapshot.tails:
            values += [chunk.value[np.array(chunk.keys)[chunk.key] == "v"] for chunk in tail.points]
        check(np.concatenate(values).astype(np.int64) if values else np.empty(0, np.int64), promised)
        ids = [tail.state.run_id for tail in snapshot.tails]
        assert len(set(ids)) == len(ids), "a run is there twice"
        acks.add("r", "", len(promised))


def check(found: np.ndarray[Any, Any], promised: np.ndarray[Any, Any]) -> None:
    """Compare points with promises: nothing lost, nothing twice, and of each life a prefix."""
    ordered = np.sort(found)
    assert np.all(np.diff(ordered) > 0), f"{len(found) - len(np.unique(found))} points are there twice"
    lost = np.setdiff1d(promised, ordered)
    assert not len(lost), f"{len(lost)} acknowledged points are lost, such as {lost[:5]}"
    starts = ordered[np.diff(ordered, prepend=-2) > 1]
    holes = starts[starts % LIFE > 0].tolist()
    assert not holes, f"there are holes before {holes[:5]}"


def editor(root: str, folder: str, life: int) -> None:
    """Tag runs from outside."""
    dice = random.Random(life)
    acks = Acks(folder, f"editor-{life}")
    store = Lab.find(root).store
    for number in itertools.count():
        promised = read_acks(folder)
        if len(promised):
            run_id = dice.choice(promised["run"]).decode()
            state = store.run_state(run_id)
            assert state is not None, f"the run {run_id} is lost"
            store.edit(run_id, state.attempt, [("tags", {"values": {f"e{life * LIFE + number}": "x"}})])
            acks.add("e", run_id, life * LIFE + number)
        time.sleep(dice.random() * 0.2)


# -- the farm ----------------------------------------------------------------------------------------------


class Farm:
    """Starts, watches and kills the workers."""

    def __init__(self, root: str, folder: str, seed: int) -> None:
        self.root, self.folder = root, folder
        self.dice = random.Random(seed)
        self.lives = itertools.count(0, 2)
        self.alive: dict[int, tuple[Callable[[str, str, int], None], int]] = {}
        self.kills: dict[str, int] = {}
        self.fewest_acks = sys.maxsize

    def start(self, work: Callable[[str, str, int], None]) -> None:
        life = next(self.lives)
        pid = os.fork()
        if pid:
            self.alive[pid] = (work, life)
            return
        status = 1
        try:
            work(self.root, self.folder, life)
        except BaseException:  # whatever it is, it is a finding
            text = f"{work.__name__} {life}: {traceback.format_exc()}\n"
            fd = os.open(os.path.join(self.folder, "failures"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(fd, text.encode())
        os._exit(status)

    def acks_of(self, pid: int) -> int:
        work, life = self.alive[pid]
        try:
            return os.path.getsize(os.path.join(self.folder, f"{work.__name__}-{life}")) // ACK.itemsize
        except FileNotFoundError:
            return 0

    def kill(self, pid: int) -> None:
        """Kill one worker that has proof of its work, and wait for its end."""
        work, _ = self.alive[pid]
        proof = self.acks_of(pid)
        assert proof
        os.killpg(pid, signal.SIGKILL) if work is writer else os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "it ended before it was killed"
        assert os.WTERMSIG(status) == signal.SIGKILL
        del self.alive[pid]
        self.kills[work.__name__] = self.kills.get(work.__name__, 0) + 1
        if work is writer:
            self.fewest_acks = min(self.fewest_acks, proof)

    def run(self, kills: int) -> None:
        for work in [writer] * WRITERS + [compactor] * COMPACTORS + [reader] * READERS + [editor]:
            self.start(work)
        while self.kills.get("writer", 0) < kills and not os.path.exists(os.path.join(self.folder, "failures")):
            time.sleep(self.dice.random() * 0.2)
            ready = [pid for pid in self.alive if self.acks_of(pid) >= self.dice.choice([1, 1, 3, 30, 100])]
            self.dice.shuffle(ready)
            # A few at a time: what one leaves half done, the next must find while others die around it.
            for pid in ready[: self.dice.randrange(1, 4)]:
                victim = self.alive[pid][0]
                self.kill(pid)
                self.start(victim)
        for pid, (survivor, _) in self.alive.items():
            try:
                os.killpg(pid, signal.SIGKILL) if survivor is writer else os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                os.kill(pid, signal.SIGKILL)  # a writer that had no time to become a group of its own
            os.waitpid(pid, 0)


def warm_up() -> None:
    """Load all that the workers need, once for all of them."""
    with tempfile.TemporaryDirectory(prefix="mllab-") as place:
        lab = Lab.init(os.path.join(place, "lab"))
        for _ in range(2):
            with mllab.start_run("farm", "warm", lab=lab, capture=False) as run:
                run.log({"v": 1.0})
            lab.store.seal()
        lab.store.compact(full=True)
        lab.store.sweep(grace_s=0)
        for part in lab.store.snapshot().manifest.points:
            read_part(lab.store.layout, part)


def main() -> None:
    root, folder, kills, seed = sys.argv[1:]
    warm_up()
    farm = Farm(root, folder, int(seed))
    farm.run(int(kills))
    json.dump({"kills": farm.kills, "fewest_acks": farm.fewest_acks}, sys.stdout)


if __name__ == "__main__":
    main()
