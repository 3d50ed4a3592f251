from __future__ import annotations

import ast
import errno
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mllab.errors import InvalidValueError, StoreBusy, StoreCorrupt, StoreTooNew, WriteError
from mllab.store import catalog as module
from mllab.store import documents
from mllab.store.catalog import (
    CHECKPOINT_EVERY,
    EXPERIMENT,
    NO_COMMIT,
    PIN,
    Catalog,
    CatalogState,
    Change,
    checkpoint_numbers,
    commit_numbers,
    commit_path,
    read_checkpoint,
)
from mllab.store.fs import Disk
from mllab.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "store"))


def fresh(store: Store) -> Catalog:
    """Return a catalogue that knows nothing yet, as another process has it."""
    return Catalog(store.layout, store.disk)


def pin(store: Store, name: str, value: Any = None) -> CatalogState:
    return fresh(store).commit([Change.set(PIN, name, value)], actor="ada")


def rewrite(store: Store, number: int, /, **changes: Any) -> None:
    """Replace a commit by a document with a right checksum and other fields."""
    path = commit_path(store.layout, number)
    body: dict[str, Any] = {
        "number": number, "time": 1, "actor": "mallory", "reason": None, "changes": [], "previous": NO_COMMIT,
    }  # fmt: skip
    if os.path.exists(path):
        body, _ = documents.read(path, "")
        os.unlink(path)
    body = {key: value for key, value in {**body, **changes}.items() if value is not ...}
    with open(path, "wb") as file:
        file.write(documents.encode(body)[0])


# -- what it does ------------------------------------------------------------------------------------------


def test_an_empty_catalogue(store: Store) -> None:
    assert store.catalog.state() == CatalogState()
    assert store.catalog.state().get(PIN, "x", "nothing") == "nothing"
    assert list(store.catalog.history()) == []


def test_entries_are_set_changed_and_deleted(store: Store) -> None:
    catalog = store.catalog
    catalog.commit([Change.set(PIN, "a", {"reason": "r"}), Change.set(EXPERIMENT, "e", {"note": "n"})], actor="ada")
    catalog.commit([Change.set(PIN, "a", {"reason": "s"}), Change.set(PIN, "b", None)], actor="ada")
    assert catalog.commit([Change.delete(EXPERIMENT, "e")], actor="ada").entries == {
        PIN: {"a": {"reason": "s"}, "b": None}
    }
    state = fresh(store).state()
    assert state == catalog.state()
    assert state.number == 3
    assert EXPERIMENT not in state.entries
    assert dict(state.of(PIN)) == {"a": {"reason": "s"}, "b": None}


def test_history_says_who_why_and_what(store: Store) -> None:
    store.catalog.commit([Change.set(PIN, "a", 1)], actor="ada", reason="in the paper")
    store.catalog.commit([Change.delete(PIN, "a")], actor="bob")
    first, second = fresh(store).history()
    assert (first.number, first.actor, first.reason, first.changes) == (
        1, "ada", "in the paper", (Change("set", PIN, "a", 1),),
    )  # fmt: skip
    assert (second.actor, second.reason, second.changes) == ("bob", None, (Change("delete", PIN, "a"),))
    assert second.previous == first.digest
    assert second.time >= first.time > 1_700_000_000_000_000


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [Change.delete(PIN, "other")],
        [Change.set(PIN, "a", {"x": [1, 2]})],
        [Change.set(PIN, "b", 1), Change.delete(PIN, "b")],
        [Change.delete(PIN, "a"), Change.set(PIN, "a", {"x": (1, 2)})],
    ],
)
def test_changes_without_effect_are_not_written(store: Store, changes: list[Change]) -> None:
    before = pin(store, "a", {"x": [1, 2]})
    assert store.catalog.commit(changes, actor="ada") == before
    assert commit_numbers(store.layout) == [1]


def test_true_and_one_are_different_values(store: Store) -> None:
    pin(store, "a", 1)
    assert pin(store, "a", True).get(PIN, "a") is True
    assert commit_numbers(store.layout) == [1, 2]


def test_memory_holds_what_the_disk_has(store: Store) -> None:
    value = {"list": (1, 2), 3: "number"}
    state = store.catalog.commit([Change.set(PIN, "a", value)], actor="ada")
    assert state == fresh(store).state()
    assert state.get(PIN, "a") == {"list": [1, 2], "3": "number"}


@pytest.mark.parametrize("name", ["ü", "a b/c\n", "\ud800", "x" * 250, "\0"])
def test_any_text_names_an_entry(store: Store, name: str) -> None:
    pin(store, name, "\udfff")
    assert fresh(store).state().of(PIN) == {name: "\udfff"}


@pytest.mark.parametrize(
    "change",
    [
        Change.set(PIN, "", 1),
        Change.set(PIN, "x" * 251, 1),
        Change.set(PIN, 5, 1),  # type: ignore[arg-type]
        Change.set("Pin", "a", 1),
        Change.set("", "a", 1),
        Change.set("p" * 41, "a", 1),
        Change("replace", PIN, "a", 1),
        Change.set(PIN, "a", float("nan")),
        Change.set(PIN, "a", {"x": float("inf")}),
        Change.set(PIN, "a", object()),
        Change.set(PIN, "a", {1: 1, "a": 1, (2,): 3}),
        Change.set(PIN, "a", "x" * (17 << 20)),
    ],
)
def test_what_cannot_be_stored_is_refused_whole(store: Store, change: Change) -> None:
    with pytest.raises(InvalidValueError):
        store.catalog.commit([Change.set(PIN, "good", 1), change], actor="ada")
    assert fresh(store).state() == CatalogState()


def test_a_value_that_contains_itself_is_refused(store: Store) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidValueError):
        pin(store, "a", value)


# -- many at once ------------------------------------------------------------------------------------------


def test_a_change_is_applied_again_when_another_commits_first(store: Store) -> None:
    seen = []

    def change(state: CatalogState) -> list[Change]:
        seen.append(state.number)
        if len(seen) == 1:
            pin(store, "other", "theirs")
        return [Change.set(PIN, "count", len(state.of(PIN)))]

    state = store.catalog.commit(change, actor="ada")
    assert seen == [0, 1]
    assert state.of(PIN) == {"other": "theirs", "count": 1}
    assert fresh(store).state() == state


def test_a_change_may_give_up(store: Store) -> None:
    def change(state: CatalogState) -> list[Change]:
        raise KeyError(state.number)

    with pytest.raises(KeyError):
        store.catalog.commit(change, actor="ada")
    assert commit_numbers(store.layout) == []


def test_whoever_never_wins_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 3)

    class Unlucky(Disk):
        def put_if_absent(self, path: str, data: bytes) -> bool:
            return False

    with pytest.raises(StoreBusy):
        Catalog(store.layout, Unlucky()).commit([Change.set(PIN, "a", 1)], actor="ada")


@pytest.mark.parametrize("shared", [True, False])
def test_no_commit_of_many_threads_is_lost(store: Store, shared: bool) -> None:
    threads, each = 6, 8
    errors: list[BaseException] = []

    def increment(state: CatalogState) -> list[Change]:
        return [Change.set(PIN, "n", state.get(PIN, "n", 0) + 1)]

    def work() -> None:
        catalog = store.catalog if shared else fresh(store)
        try:
            for _ in range(each):
                catalog.commit(increment, actor="ada")
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert fresh(store).state().get(PIN, "n") == threads * each
    assert commit_numbers(store.layout) == list(range(1, threads * each + 1))
    assert store.verify().is_intact
    assert not [name for name in os.listdir(store.layout.catalog) if name.endswith(".tmp")]


def test_other_processes_commits_are_seen(store: Store) -> None:
    mine = fresh(store)
    assert mine.state().number == 0
    pin(store, "a")
    assert mine.state().number == 1


# -- checkpoints -------------------------------------------------------------------------------------------


def fill(store: Store, count: int) -> CatalogState:
    state = CatalogState()
    for number in range(count):
        state = store.catalog.commit([Change.set(PIN, f"p{number % 7}", number)], actor="ada")
    return state


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    reads: list[str] = []
    original = documents.read

    def counted(path: str, *args: Any) -> tuple[dict[str, Any], str]:
        result = original(path, *args)
        reads.append(os.path.basename(path))
        return result

    monkeypatch.setattr(documents, "read", counted)
    return reads


def test_opening_reads_a_checkpoint_and_what_came_after(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    state = fill(store, 2 * CHECKPOINT_EVERY + 3)
    assert checkpoint_numbers(store.layout) == [CHECKPOINT_EVERY, 2 * CHECKPOINT_EVERY]
    reads = count_reads(monkeypatch)
    catalog = fresh(store)
    assert catalog.state() == state
    assert len(reads) == 2 + 3  # the checkpoint, its commit and three more
    reads.clear()
    assert catalog.state() == state
    assert reads == []


@pytest.mark.parametrize("damage", [b"", b"{}", b"garbage", None])
def test_without_its_newest_checkpoint_the_state_is_the_same(store: Store, damage: bytes | None) -> None:
    state = fill(store, 2 * CHECKPOINT_EVERY + 1)
    path = os.path.join(store.layout.catalog, f"checkpoint-{2 * CHECKPOINT_EVERY:020d}.json")
    os.unlink(path)
    if damage is not None:
        with open(path, "wb") as file:
            file.write(damage)
    assert fresh(store).state() == state
    assert [problem.kind for problem in store.verify().problems] == ([] if damage is None else ["catalog"])


def test_a_checkpoint_that_lies_is_found(store: Store) -> None:
    state = fill(store, CHECKPOINT_EVERY)
    path = os.path.join(store.layout.catalog, f"checkpoint-{CHECKPOINT_EVERY:020d}.json")
    os.unlink(path)
    body = {"number": CHECKPOINT_EVERY, "commit": state.digest, "entries": {PIN: {"p0": "another"}}}
    with open(path, "wb") as file:
        file.write(documents.encode(body)[0])
    (problem,) = store.verify().problems
    assert "differs" in problem.message


@pytest.mark.parametrize("changes", [{"number": 1}, {"commit": "0" * 64}, {"entries": []}, {"entries": {PIN: 5}}])
def test_a_checkpoint_of_something_else_is_not_used(store: Store, changes: dict[str, Any]) -> None:
    state = fill(store, CHECKPOINT_EVERY)
    path = os.path.join(store.layout.catalog, f"checkpoint-{CHECKPOINT_EVERY:020d}.json")
    body, _ = documents.read(path, "")
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(documents.encode({**body, **changes})[0])
    with pytest.raises(StoreCorrupt):
        read_checkpoint(store.layout, CHECKPOINT_EVERY)
    assert fresh(store).state() == state


def test_a_disk_that_refuses_the_checkpoint_does_not_undo_the_commit(store: Store) -> None:
    class Full(Disk):
        def put_if_absent(self, path: str, data: bytes) -> bool:
            if "checkpoint" in path:
                raise OSError(errno.ENOSPC, "full")
            return super().put_if_absent(path, data)

    catalog = Catalog(store.layout, Full())
    for number in range(CHECKPOINT_EVERY):
        catalog.commit([Change.set(PIN, "a", number)], actor="ada")
    assert checkpoint_numbers(store.layout) == []
    assert fresh(store).state().number == CHECKPOINT_EVERY


# -- faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("point", "expected"), [("before_link", 0), ("after_link", 1)])
def test_a_crash_leaves_all_or_nothing(store: Store, point: str, expected: int) -> None:
    class Crash(BaseException):
        pass

    class Crashing(Disk):
        def point(self, name: str) -> None:
            if name == point:
                raise Crash

    with pytest.raises(Crash):
        Catalog(store.layout, Crashing()).commit([Change.set(PIN, "a", 1)], actor="ada")
    assert fresh(store).state().number == expected
    assert pin(store, "a", 1).of(PIN) == {"a": 1}
    assert commit_numbers(store.layout) == [1]


def test_a_full_disk_changes_nothing(store: Store) -> None:
    class Full(Disk):
        @staticmethod
        def write(fd: int, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(WriteError, match="catalogue"):
        Catalog(store.layout, Full()).commit([Change.set(PIN, "a", 1)], actor="ada")
    assert fresh(store).state() == CatalogState()
    assert os.listdir(store.layout.catalog) == []


# -- damage and hostile content ----------------------------------------------------------------------------


def check_is_corrupt(store: Store, words: str = "commit") -> None:
    with pytest.raises(StoreCorrupt, match=words):
        fresh(store).state()
    problems = [problem for problem in store.verify().problems if problem.kind == "catalog"]
    assert problems
    assert all(problem.lost for problem in problems)


def test_every_flipped_byte_of_the_newest_commit_is_noticed(store: Store) -> None:
    pin(store, "a", {"reason": "one"})
    path = commit_path(store.layout, 1)
    with open(path, "rb") as file:
        whole = file.read()
    os.chmod(path, 0o600)
    for position in range(len(whole)):
        for flip in (0x01, 0x20, 0x80):
            damaged = bytearray(whole)
            damaged[position] ^= flip
            with open(path, "wb") as file:
                file.write(damaged)
            with pytest.raises((StoreCorrupt, StoreTooNew)):
                fresh(store).state()


def test_every_cut_of_the_newest_commit_is_noticed(store: Store) -> None:
    pin(store, "a", {"reason": "one"})
    path = commit_path(store.layout, 1)
    size = os.path.getsize(path)
    os.chmod(path, 0o600)
    for cut in reversed(range(size)):
        os.truncate(path, cut)
        with pytest.raises(StoreCorrupt, match="commit 1"):
            fresh(store).state()
    check_is_corrupt(store, "commit 1")


def test_a_gap_is_noticed(store: Store) -> None:
    fill(store, 5)
    os.unlink(commit_path(store.layout, 3))
    check_is_corrupt(store, "commit 3 is missing")
    (problem,) = store.verify().problems
    assert problem.message == "The catalogue commit 3 is missing."


def test_commits_lost_at_the_end_show_by_their_checkpoint(store: Store) -> None:
    fill(store, CHECKPOINT_EVERY)
    for number in range(60, CHECKPOINT_EVERY + 1):
        os.unlink(commit_path(store.layout, number))
    check_is_corrupt(store, "commit 60 is missing")
    assert "commits 60 to 64 are missing" in store.verify().problems[0].message


def test_an_edited_old_commit_breaks_the_chain(store: Store) -> None:
    fill(store, 4)
    rewrite(store, 2, changes=[{"op": "set", "kind": PIN, "name": "p1", "value": "forged"}])
    check_is_corrupt(store, "commit 3 does not follow")


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 2},
        {"number": True},
        {"number": "1"},
        {"time": "now"},
        {"time": 1.5},
        {"actor": None},
        {"actor": ...},
        {"reason": 5},
        {"reason": ...},
        {"changes": {}},
        {"changes": None},
        {"changes": ["set"]},
        {"changes": [{"op": "set", "kind": PIN, "name": "a"}]},
        {"changes": [{"op": "drop", "kind": PIN, "name": "a"}]},
        {"changes": [{"op": "delete", "kind": ["pin"], "name": "a"}]},
        {"changes": [{"op": "delete", "kind": PIN, "name": ["a"]}]},
        {"changes": [{"op": "delete", "kind": PIN, "name": ""}]},
        {"changes": [None]},
        {"previous": None},
        {"previous": "f" * 64},
        {"previous": ...},
    ],
)
def test_wrong_fields_under_a_right_checksum_are_refused(store: Store, changes: dict[str, Any]) -> None:
    rewrite(store, 1, **changes)
    check_is_corrupt(store)


def write_raw(store: Store, data: bytes) -> None:
    with open(commit_path(store.layout, 1), "wb") as file:
        file.write(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        b"\xff\xfe{\0}\0",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"number": ' + b"9" * 5000 + b"}",
        json.dumps({"format": 1, "sha256": "0" * 64, "number": 1}).encode(),
    ],
)
def test_no_bytes_break_the_reader(store: Store, data: bytes) -> None:
    write_raw(store, data)
    check_is_corrupt(store, "commit 1")


def test_the_same_content_in_other_bytes_is_not_accepted(store: Store) -> None:
    pin(store, "a")
    with open(commit_path(store.layout, 1), "rb") as file:
        content = json.load(file)
    os.unlink(commit_path(store.layout, 1))
    write_raw(store, json.dumps(content, indent=1, sort_keys=True).encode())
    check_is_corrupt(store)


def test_a_huge_commit_is_not_read(store: Store) -> None:
    with open(commit_path(store.layout, 1), "wb") as file:
        file.truncate(1 << 40)  # sparse
    check_is_corrupt(store, "limit")


@pytest.mark.parametrize("make", [lambda path: os.symlink("/etc/hostname", path), os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_not_read(store: Store, make: Callable[[str], None]) -> None:
    make(commit_path(store.layout, 1))
    check_is_corrupt(store, "regular file")


def test_a_later_format_is_left_alone(store: Store) -> None:
    data, _ = documents.encode({"number": 1})
    write_raw(store, data.replace(b'"format":1', b'"format":2'))
    with pytest.raises(StoreTooNew):
        fresh(store).state()


def test_a_commit_far_ahead_is_a_gap(store: Store) -> None:
    pin(store, "a")
    rewrite(store, 99999999999999999999)
    check_is_corrupt(store, "commit 2 is missing")


def test_other_files_are_ignored(store: Store) -> None:
    pin(store, "a")
    for name in ("notes.txt", "00000000000000000002.json.abc.tmp", "2.json", "checkpoint-1.json"):
        with open(os.path.join(store.layout.catalog, name), "w") as file:
            file.write("?")
    assert fresh(store).state().number == 1
    assert store.verify().is_intact


def test_history_stops_at_damage(store: Store) -> None:
    fill(store, 3)
    catalog = fresh(store)
    catalog.state()
    os.unlink(commit_path(store.layout, 2))
    history = catalog.history()
    assert next(history).number == 1
    with pytest.raises(StoreCorrupt, match="commit 2"):
        next(history)


# -- the standard library alone ----------------------------------------------------------------------------


def test_it_needs_the_standard_library_alone() -> None:
    code = "import mllab.store.catalog, sys; print(*{'numpy', 'pyarrow', 'duckdb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("loaded", [module, documents])
def test_it_parses_as_python_39(loaded: Any) -> None:
    with open(loaded.__file__, encoding="utf-8") as file:
        ast.parse(file.read(), feature_version=(3, 9))
