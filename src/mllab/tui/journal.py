"""The journal that undo reads: a folder beside the state with a file for each edit, shared by all sessions on a store.

An entry is written whole or not at all, so a session that is killed while it writes loses that entry alone. What is
done here may take long, and is for the thread that writes.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mllab.edits import Edit, apply
from mllab.errors import UsageError
from mllab.tui.state import locked, write_whole
from mllab.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mllab.lab import Lab
    from mllab.store.store import Store

    Stack = Literal["done", "undone"]

VERSION = 1
MOST_UNDO = 200
# An edit of a run takes 100 to 200 bytes: some 200,000 runs in one entry, and twice that in all.
MAX_ENTRY_BYTES = 32 << 20
MAX_BYTES = 64 << 20
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done at once.

    Attributes:
        file: the name of its file.
        origin: the name it had before it was taken.
        label: what was done, in words.
        edits: the edits as JSON, in the order in which they were done.
    """

    file: str
    origin: str
    label: str
    edits: list[Any]


class Journal:
    """What can be undone and done again, newest last.

    Args:
        state_path: the state file it is beside.
    """

    def __init__(self, state_path: str) -> None:
        self._state_path = state_path
        self._folder = f"{state_path.removesuffix('.json')}.undo"

    def push(self, label: str, edits: Sequence[Edit]) -> None:
        """Add what was done; what was undone before cannot be done again.

        Raises:
            UsageError: it has too many bytes. It is not kept.
            OSError: it cannot be written.
        """
        with self._held():
            file = self._next("done")  # before others go: an entry that is being undone may come back to its number
            for each in self._files("undone"):
                os.unlink(self._path(each))
            write_whole(self._path(file), _lines(label, edits))
            self._trim()

    def take(self, stack: Stack) -> Entry | None:
        """Move the newest entry to the other stack, so that no other session takes it too; None when there is none.

        Raises:
            UsageError: it is damaged. It is dropped.
            OSError: the folder cannot be written.
        """
        with self._held():
            files = self._files(stack)
            if not files:
                return None
            origin = files[-1]
            try:
                label, edits = self._read(origin)
            except UsageError:
                os.unlink(self._path(origin))
                raise
            file = self._next("undone" if stack == "done" else "done")
            os.rename(self._path(origin), self._path(file))
            return Entry(file, origin, label, edits)

    def put_back(self, entry: Entry) -> None:
        """Undo :meth:`take`.

        Raises:
            OSError: the folder cannot be written.
        """
        with self._held():
            try:
                os.rename(self._path(entry.file), self._path(entry.origin))
            except FileNotFoundError:  # another session's edit has dropped what was undone
                write_whole(self._path(entry.origin), _lines(entry.label, entry.edits))

    def drop(self, entry: Entry) -> None:
        """Forget an entry that was taken."""
        with contextlib.suppress(OSError), self._held():
            os.unlink(self._path(entry.file))

    def labels(self, stack: Stack) -> list[str]:
        """Return the labels of the entries that can be read, oldest first."""
        found = []
        for file in self._files(stack):
            with contextlib.suppress(UsageError, OSError):
                found.append(self._read(file)[0])
        return found

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        with locked(self._state_path):
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            yield

    def _path(self, file: str) -> str:
        return os.path.join(self._folder, file)

    def _files(self, stack: Stack | None = None) -> list[str]:
        """Return the files of entries by age."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for file in os.listdir(self._folder):
                name, _, number = file.removesuffix(".jsonl").partition("-")
                if file.endswith(".jsonl") and number.isdecimal() and name == (stack or name):
                    found.append((int(number), file))
        return [file for _, file in sorted(found)]

    def _next(self, stack: Stack) -> str:
        files = self._files()
        last = int(files[-1].removesuffix(".jsonl").partition("-")[2]) if files else 0
        return f"{stack}-{last + 1:08}.jsonl"

    def _read(self, file: str) -> tuple[str, list[Any]]:
        try:
            if os.path.getsize(self._path(file)) > MAX_ENTRY_BYTES:
                raise ValueError("too large")
            with open(self._path(file), encoding="utf-8") as lines:
                head = json.loads(next(lines, ""))
                edits = [json.loads(each) for each in lines]  # by lines, or other threads wait for the whole
            if head["version"] != VERSION or head["edits"] != len(edits):
                raise ValueError("incomplete")
            return str(head["label"]), edits
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(
                "An entry of the journal is damaged.", "It is left out. Try again for the next."
            ) from error

    def _trim(self) -> None:
        """Drop the oldest entries beyond what is kept, and what was being written when a session was killed."""
        room = MAX_BYTES
        for count, file in enumerate(reversed(self._files()), 1):
            room -= os.path.getsize(self._path(file))
            if room < 0 or count > MOST_UNDO:
                os.unlink(self._path(file))
        for file in os.listdir(self._folder):
            if file.endswith(".new"):
                os.unlink(self._path(file))


def _lines(label: str, edits: Sequence[Edit | dict[str, Any]]) -> Iterator[str]:
    """Return the lines of an entry: one that says how many edits follow, and one for each."""
    size = 0
    for each in ({"version": VERSION, "label": label, "edits": len(edits)}, *edits):
        text = f"{json.dumps(_as_json(each) if isinstance(each, Edit) else each)}\n"
        size += len(text)
        if size > MAX_ENTRY_BYTES:
            raise UsageError("This is too large to undo.", f"{MAX_ENTRY_BYTES >> 20} MiB are kept.")
        yield text


def _as_json(edit: Edit) -> dict[str, Any]:
    # What Edit.as_json gives, without its deep copies: they take most of the time of a large entry.
    return {name: getattr(edit, name) for name in Edit.__slots__} | {
        "body": dict(edit.body),
        "before": dict(edit.before),
    }


def carry_out(store: Store, journal: Journal, label: str, edits: Sequence[Edit]) -> str:
    """Carry out edits and keep them in the journal, those before an error too; return why they cannot be undone."""
    done: list[Edit] = []
    problem = ""
    try:
        for edit in edits:
            apply(store, [edit])
            done.append(edit)
    finally:
        if done:
            problem = _kept(journal, label, done)
    return problem


def _kept(journal: Journal, label: str, edits: Sequence[Edit]) -> str:
    try:
        journal.push(label, edits)
    except UsageError as error:
        return error.message
    except OSError as error:
        return f"This cannot be undone: {error.strerror or error}."
    return ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What undo did, in words, whether that is all of it, and whether there was nothing to do."""

    text: str
    is_whole: bool
    is_empty: bool = False


def replay(lab: Lab, journal: Journal, *, reverse: bool) -> Replayed:
    """Undo the newest entry, or do the newest undone one again; runs that are gone from the store are left out.

    The entry is taken first: of two sessions that undo at once, one undoes this and the other the one before.

    Raises:
        UsageError: the entry cannot be read. It is left out.
        MllabError: the store refused. The entry is kept.
    """
    word, otherwise = ("Undone", "undo") if reverse else ("Done again", "do again")
    try:
        entry = journal.take("done" if reverse else "undone")
    except OSError as error:
        raise UsageError(f"The journal cannot be used: {error.strerror or error}.", "Nothing was changed.") from error
    if entry is None:
        return Replayed(f"There is nothing to {otherwise}.", is_whole=True, is_empty=True)
    try:
        edits = [Edit.from_json(each) for each in entry.edits]
    except UsageError:
        journal.drop(entry)
        raise
    try:
        known = _known(lab, edits)
        gone = list(dict.fromkeys(edit.run_id for edit in edits if edit.run_id not in known))
        left = [edit for edit in edits if edit.run_id in known]
        apply(lab.store, [edit.reversed() for edit in reversed(left)] if reverse else left)
    except BaseException:
        with contextlib.suppress(OSError):
            journal.put_back(entry)
        raise
    if not left:
        journal.drop(entry)
        return Replayed(f"Not {word.lower()}: {entry.label}, of {_gone(gone)}", is_whole=False)
    text = f"{word}: {entry.label}"
    return Replayed(f"{text}. But not for {_gone(gone)}" if gone else text, is_whole=not gone)


def _known(lab: Lab, edits: Sequence[Edit]) -> set[str]:
    """Return which of the edited runs are in the store, deleted or not: an edit of another would make a new run."""
    wanted = list({edit.run_id for edit in edits})
    rows = lab.engine.rows(
        "SELECT run_id FROM r_runs SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS run_id) USING (run_id)", [wanted]
    )
    return {str(run) for (run,) in rows}


def _gone(runs: Sequence[str]) -> str:
    named = ", ".join(runs[:_MOST_NAMED]) + (", ..." if len(runs) > _MOST_NAMED else "")
    return f"{plural(len(runs), 'run')} no longer in the store: {named}."
