"""What the terminal UI remembers: sessions side by side, and files and disks that fail."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mllab.tui import state as state_module
from mllab.tui.state import Memory, State, load_state, merged, save_changes


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "mllab" / "store.json")


def test_sessions_side_by_side_keep_what_each_changed(path: str) -> None:
    first, second = Memory(path), Memory(path)
    first.state.views |= {"a": "1", "b": "2"}
    first.state.pins += ["x", "y"]
    first.state.filters = ["lr = 1"]
    assert not first.save()
    second.state.views["c"] = "3"
    second.state.seen["item"] = 0
    second.state.filters = ["lr = 2"]
    assert not second.save()
    assert second.state.views == {"a": "1", "b": "2", "c": "3"}  # what the other saved is there from here on
    del second.state.views["a"]
    second.state.pins.remove("x")
    assert not second.save()
    first.state.widths["name"] = 9
    first.state.seen["other"] = 5
    assert not first.save()
    found = load_state(path)
    assert found.views == first.state.views == {"b": "2", "c": "3"}
    assert found.pins == first.state.pins == ["y"]
    assert found.filters == ["lr = 2", "lr = 1"]
    assert found.seen == {"item": 0, "other": 5}
    assert found.widths == {"name": 9}


def test_of_place_columns_and_theme_the_last_that_was_changed_is_kept(path: str) -> None:
    first, second = Memory(path), Memory(path)
    for memory, place, theme in ((first, "here", "dark"), (second, "there", ""), (first, "here", "dark")):
        memory.state.theme = theme
        before, mine = memory.begin(place)
        memory.finish(before, mine, save_changes(path, before, mine))
    assert (load_state(path).place, load_state(path).theme) == ("here", "dark")
    assert (second.state.place, second.state.theme) == ("there", "")


def test_saves_on_the_way_are_in_order_and_a_failed_one_is_made_good(path: str) -> None:
    memory = Memory(path)
    memory.state.views["a"] = "1"
    one = memory.begin()
    memory.state.views["b"] = "2"
    two = memory.begin()
    assert "will not be remembered" in memory.finish(*one, OSError(errno.ENOSPC, "No space left on device"))
    assert not memory.finish(*two, OSError(errno.ENOSPC, "No space left on device"))  # it is said once
    other = Memory(path)
    other.state.views["c"] = "3"
    assert not other.save()
    assert not memory.save()
    assert load_state(path).views == {"a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "result"),
    [
        (["a", "b"], ["b", "a"], ["c", "a", "b"], ["b", "c", "a"]),
        (["a", "b"], ["n", "a", "b"], ["a", "b"], ["n", "a", "b"]),
        ([], ["n"], ["a"], ["n", "a"]),
        (["a"], ["a"], ["b", "a"], ["b", "a"]),
    ],
)
def test_filters_that_were_used_come_first(
    base: list[str], mine: list[str], theirs: list[str], result: list[str]
) -> None:
    assert merged(State(filters=base), State(filters=mine), State(filters=theirs)).filters == result


def test_sessions_that_save_at_once_lose_nothing(path: str) -> None:
    def save(number: int) -> None:
        memory = Memory(path)
        for view in range(10):
            memory.state.views[f"{number}-{view}"] = "x"
            assert not memory.save()

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load_state(path).views) == 40


@pytest.mark.parametrize("damage", ["", "[]", "{" * 9, '{"version": 1, "views"', '{"version": 99}', "[" * 100_000])
def test_a_damaged_file_is_kept_aside_and_costs_no_session_what_it_knows(path: str, damage: str) -> None:
    memory = Memory(path)
    memory.state.views["a"] = "1"
    assert not memory.save()
    Path(path).write_text(damage, encoding="utf-8")
    assert load_state(path) == State()
    memory.state.views["b"] = "2"
    assert not memory.save()
    assert load_state(path).views == {"a": "1", "b": "2"}
    assert Path(f"{path}.damaged").read_text(encoding="utf-8") == damage


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    memory = Memory(str(tmp_path / "file" / "store.json"))
    memory.state.views["a"] = "1"
    said = memory.save()
    assert said.startswith(f"This session will not be remembered: {tmp_path / 'file'}: ")
    assert memory.save() == ""
    assert memory.state.views == {"a": "1"}


def test_a_disk_that_is_full_leaves_the_file_as_it_was(path: str) -> None:
    memory = Memory(path)
    memory.state.views["a"] = "1"
    assert not memory.save()
    memory.state.views["b"] = "x" * 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        assert "File too large" in memory.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_state(path).views == {"a": "1"}
    assert sorted(os.listdir(os.path.dirname(path))) == ["store.json", "store.json.lock"]
    assert not memory.save()
    assert load_state(path).views.keys() == {"a", "b"}


def test_a_session_that_is_stopped_with_the_lock_does_not_stop_others(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "PATIENCE_S", 0.05)
    os.makedirs(os.path.dirname(path))
    memory = Memory(path)
    memory.state.views["a"] = "1"
    with open(f"{path}.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "locked" in memory.save()
    assert not memory.save()
    assert load_state(path).views == {"a": "1"}


def test_a_file_system_without_locks_is_written_all_the_same(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    memory = Memory(path)
    memory.state.views["a"] = "1"
    assert not memory.save()
    assert load_state(path).views == {"a": "1"}


def test_a_session_that_is_killed_while_it_writes_leaves_the_file_whole(path: str) -> None:
    memory = Memory(path)
    memory.state.views["a"] = "1"
    assert not memory.save()
    script = (
        "import os, signal, sys\n"
        "from mllab.tui.state import locked, write_whole\n"
        "def pieces():\n"
        "    yield 'x' * 100_000\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "with locked(sys.argv[1]): write_whole(sys.argv[1], pieces())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert os.path.exists(f"{path}.new")  # it was at work
    memory.state.views["b"] = "2"
    assert not memory.save()
    assert load_state(path).views == {"a": "1", "b": "2"}
    assert not os.path.exists(f"{path}.new")
    assert json.loads(Path(path).read_text(encoding="utf-8"))["version"] == 1
