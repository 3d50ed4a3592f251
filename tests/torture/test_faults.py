"""Every call to the disk goes wrong once, in every way a disk has, and kills the process once."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mllab.store
from mllab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

pytestmark = [pytest.mark.torture, pytest.mark.timeout(900)]

OPERATIONS = ("open_new", "mkdir", "write", "fsync", "fdatasync", "rename", "link", "unlink", "ftruncate")
NAMED_POINTS = (
    "before_link", "after_link", "before_part_rename", "after_part_rename", "before_manifest", "after_manifest",
    "before_segment_unlink", "before_part_unlink", "before_blob_rename",
)  # fmt: skip
ERRORS = {name: getattr(errno, name) for name in ("EIO", "ENOSPC", "EDQUOT", "EROFS")}


class Days:
    """Makes labs to ruin, and throws them away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self.template = Lab.init(str(folder / "template"))
        os.unlink(self.template.store.layout.reserve)  # a megabyte to copy for each of a thousand days

    def new(self) -> str:
        self.number += 1
        return str(shutil.copytree(self.template.root, self.folder / str(self.number)))

    def forget(self, root: str) -> None:
        shutil.rmtree(root)


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(tmp_path)


def test_on_a_good_disk_the_day_loses_nothing(days: Days, scenario: ModuleType) -> None:
    root = days.new()
    acknowledged = scenario.Acknowledged()
    disk = scenario.FaultyDisk("nothing", 0, 0)
    scenario.live_through(root, disk, acknowledged)
    assert acknowledged.points == list(range(3 * scenario.POINTS))
    assert len(acknowledged.files) == len(acknowledged.finished) == 3
    assert len(acknowledged.tags) == 4
    scenario.check(root, acknowledged)


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_error_of_any_call_loses_nothing_acknowledged(
    days: Days, scenario: ModuleType, operation: str, lasts: bool
) -> None:
    """The errors take turns: what differs between them is the hint that they are shown with."""
    names = itertools.cycle(ERRORS)
    for call in calls(operation, every=3 if lasts else 1):
        error = next(names)
        disk = scenario.FaultyDisk(operation, call, ERRORS[error], lasts=lasts)
        if not survives(days, scenario, disk, f"{operation} call {call}: {error}"):
            return


def test_a_short_write_of_any_call_loses_nothing_acknowledged(days: Days, scenario: ModuleType) -> None:
    for call in calls("write", every=2):
        if not survives(days, scenario, scenario.FaultyDisk("write", call, "short"), f"short write {call}"):
            return


def calls(operation: str, every: int) -> Iterator[int]:
    """Yield which calls to try until one is never reached; of the many like writes of records, one of seven."""
    return itertools.chain(range(1, 15), itertools.count(15, 7)) if operation == "write" else itertools.count(1, every)


def survives(days: Days, scenario: ModuleType, disk: Any, what: str) -> bool:
    """Live through a day on ``disk`` and check what is left; return whether the fault was reached at all."""
    root = days.new()
    acknowledged = scenario.Acknowledged()
    try:
        scenario.live_through(root, disk, acknowledged)
        scenario.check(root, acknowledged)
    except BaseException as problem:
        problem.add_note(what)
        raise
    days.forget(root)
    return bool(disk.hits)


# -- killed at each call, and at each named point ----------------------------------------------------------


class Nursery:
    """A process that lives through days which end in a SIGKILL of its children, so to speak: nothing is flushed."""

    def __init__(self, process: subprocess.Popen[bytes], days: Days, scenario: ModuleType) -> None:
        self.process, self.days, self.scenario = process, days, scenario
        self.killed = 0

    def day(self, **case: Any) -> bool:
        """Live through one day and check what is left; return whether it was cut short."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        root = self.days.new()
        self.process.stdin.write(json.dumps({"root": root, **case}).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["exit"] in (0, 9), answer
        acknowledged = self.scenario.Acknowledged.read(answer["acknowledged"].encode())
        try:
            self.scenario.check(root, acknowledged)
        except BaseException as problem:
            problem.add_note(str(case))
            raise
        self.days.forget(root)
        self.killed += answer["exit"] == 9
        return bool(answer["exit"])


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[bytes]]:
    script = Path(__file__).with_name("scenario.py")
    with subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        yield started
        assert started.stdin is not None
        started.stdin.close()
        assert started.wait() == 0


@pytest.fixture
def nursery(process: subprocess.Popen[bytes], days: Days, scenario: ModuleType) -> Nursery:
    return Nursery(process, days, scenario)


@pytest.mark.parametrize("operation", OPERATIONS[:-1])
def test_being_killed_at_any_call_loses_nothing_acknowledged(nursery: Nursery, operation: str) -> None:
    """Before the call, that is: behind it is before the next one."""
    for call in calls(operation, every=1):
        if not nursery.day(operation=operation, call=call):
            break
    assert nursery.killed >= 4


@pytest.mark.parametrize("name", NAMED_POINTS)
def test_being_killed_at_a_named_point_loses_nothing_acknowledged(nursery: Nursery, name: str) -> None:
    for call in itertools.count(1):
        if not nursery.day(operation=f"point:{name}", call=call):
            break
    assert nursery.killed >= 3


def test_every_named_point_is_tried() -> None:
    """A point that someone adds to sealing, compacting, sweeping or storing blobs belongs into the list above."""
    folder = Path(mllab.store.__path__[0])
    names = {
        match
        for module in ("fs", "parts", "manifest", "seal", "compact", "sweep", "blobs", "segment")
        for match in re.findall(r'\.point\("(\w+)"\)', (folder / f"{module}.py").read_text())
    }
    assert names == set(NAMED_POINTS)
