"""Edits of runs by commands, with undo: the same edits, journal and wording as the terminal UI's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from mllab.edits import Edit, checked_name, kept_days, parse_tag, storable, tag_edit
from mllab.errors import UsageError
from mllab.query.run_detail import rows_with_tags
from mllab.tui.journal import carry_out, replay
from mllab.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mllab.lab import Lab
    from mllab.plain.asking import Asking
    from mllab.plain.voice import Voice
    from mllab.query.views import RunRow
    from mllab.tui.journal import Journal
    from mllab.tui.state import Memory, State


class Editing(ABC):
    """What can be changed. The session gives the lab, the voice and which runs are meant."""

    lab: Lab
    voice: Voice
    asking: Asking
    memory: Memory
    journal: Journal
    state: State

    @abstractmethod
    def targets(self, argument: str = "") -> list[str]:
        """Return the ids of the runs that a command is about."""

    @abstractmethod
    def looked_at_again(self) -> None:
        """Answer the view again after an edit."""

    def change_state(self, change: Callable[[State], object]) -> None:
        """Change what is remembered, as it is on disk by now: a terminal UI may run beside."""
        self.memory.refresh()
        change(self.state)
        warning = self.memory.save()
        if warning:
            self.voice.say(f"Warning: {warning}")

    def _rows(self, argument: str = "") -> list[tuple[RunRow, dict[str, str]]]:
        runs = self.targets(argument)
        if not runs:
            raise UsageError("Which run?", "Write show and the number of a row first, or mark some rows.")
        return rows_with_tags(self.lab.engine, runs)

    def _edit(self, label: str, edits: Sequence[Edit]) -> None:
        if not edits:
            self.voice.say("That changes nothing.")
            return
        problem = carry_out(self.lab.store, self.journal, label, edits)
        self.voice.say(f"{label}. {problem or 'undo takes it back.'}")
        self.looked_at_again()

    def do_tag(self, argument: str) -> None:
        """Set and remove tags."""
        if not argument:
            raise UsageError("Which tag?", "Write tag KEY=VALUE to set one, tag KEY- to remove one.")
        rows = self._rows()
        changes = dict(map(parse_tag, argument.split()))
        edits = [
            tag_edit(row.run_id, row.attempt, tags, changes)
            for row, tags in rows
            if any(tags.get(key) != value for key, value in changes.items())
        ]
        self._edit(f"Tagged {_named(rows)}: {argument}", edits)

    def do_note(self, argument: str) -> None:
        """Write the note of one run; without a text, say it."""
        row, _ = self._rows()[0]
        text = storable(argument).strip()
        if not text:
            self.voice.say_block(row.note or "There is no note.")
            return
        edit = Edit(row.run_id, row.attempt, "note", {"text": text}, {"text": row.note})
        self._edit(f"Noted on {row.name}", [edit] if text != row.note else [])

    def do_rename(self, argument: str) -> None:
        """Give one run another name."""
        row, _ = self._rows()[0]
        name = checked_name(argument)
        edit = Edit(row.run_id, row.attempt, "rename", {"name": name}, {"name": row.name})
        self._edit(f"Renamed {row.name} to {name}", [edit] if name != row.name else [])

    def do_archive(self, argument: str) -> None:
        """Archive, or take out of the archive when all are there."""
        rows = self._rows(argument)
        value = not all(row.archived for row, _ in rows)
        edits = [
            Edit(row.run_id, row.attempt, "archive", {"value": value}, {"value": row.archived})
            for row, _ in rows
            if row.archived != value
        ]
        self._edit(f"{'Archived' if value else 'Unarchived'} {_named(rows)}", edits)

    def do_delete(self, argument: str) -> None:
        """Delete, after a question; restore when all are deleted."""
        rows = self._rows(argument)
        if all(row.deleted for row, _ in rows):
            edits = [Edit(row.run_id, row.attempt, "delete", {"value": False}, {"value": True}) for row, _ in rows]
            self._edit(f"Restored {_named(rows)}", edits)
            return
        live = [row for row, _ in rows if row.status == "running"]
        if live:
            raise UsageError(f"{live[0].name} is still running.", "Stop it first.")
        for row, _ in rows:
            self.voice.say(f"{row.name}, {row.run_id}, {row.status}")
        self.voice.say(f"Deleted runs can be restored for {kept_days()} days, and undo brings them back at once.")
        answer = self._answer(f"Delete {plural(len(rows), 'run')}? y or n: ")
        if answer.strip().lower() not in ("y", "yes"):
            self.voice.say("Nothing was deleted.")
            return
        edits = [
            Edit(row.run_id, row.attempt, "delete", {"value": True}, {"value": False})
            for row, _ in rows
            if not row.deleted
        ]
        self._edit(f"Deleted {_named(rows)}", edits)

    def _answer(self, question: str) -> str:
        if not self.asking.is_interactive:
            self.voice.say(question)
        return self.asking.line(question) or ""

    def do_undo(self, _: str) -> None:
        """Undo the last edit."""
        self._replay(reverse=True)

    def do_redo(self, _: str) -> None:
        """Do the last undone edit again."""
        self._replay(reverse=False)

    def _replay(self, *, reverse: bool) -> None:
        done = replay(self.lab, self.journal, reverse=reverse)
        self.voice.say(done.text)
        if not done.is_empty:
            self.looked_at_again()


def _named(rows: Sequence[tuple[RunRow, dict[str, str]]]) -> str:
    return rows[0][0].name if len(rows) == 1 else plural(len(rows), "run")
