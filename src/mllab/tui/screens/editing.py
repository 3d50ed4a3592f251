"""Editing runs from a screen: tags, notes, names, archiving, deletion; of one run, or of all that are marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mllab.edits import Edit, checked_name, kept_days, parse_tag, storable, tag_edit
from mllab.errors import UsageError
from mllab.query.run_detail import rows_with_tags
from mllab.security.terminal import line
from mllab.tui.acting import find, in_background
from mllab.tui.screens.chooser import Sheet
from mllab.tui.screens.lab_screen import LabScreen
from mllab.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.query.views import RunRow
    from mllab.tui.actions import Scope

SHOWN = 8


class EditingScreen(LabScreen):
    """A screen whose runs can be edited."""

    edit_scope: Scope = "runs"

    def targets(self) -> list[str]:
        """Return the ids of the runs that an action is about."""
        return []

    def target(self) -> str | None:
        """Return the id of the run under the cursor: what concerns one run is not for those that are marked."""
        return next(iter(self.targets()), None)

    async def _row(self) -> RunRow:
        run = self.target()
        if run is None:
            raise UsageError("There is no run here.", "Move to one.")
        ((row, _),) = await self.mllab.reader.call(rows_with_tags, self.mllab.reader.lab.engine, [run])
        return row

    async def _rows(self) -> list[tuple[RunRow, dict[str, str]]]:
        runs = self.targets()
        if not runs:
            raise UsageError("There is no run here.", "Move to one, or mark some with Space.")
        return await self.mllab.reader.call(rows_with_tags, self.mllab.reader.lab.engine, runs)

    def _named(self, rows: Sequence[tuple[RunRow, dict[str, str]]]) -> str:
        return line(rows[0][0].name) if len(rows) == 1 else plural(len(rows), "run")

    async def do_tag(self, argument: str) -> None:
        """Set and remove tags."""
        rows = await self._rows()
        if not argument:
            present = " ".join(f"{key}={value}" for key, value in rows[0][1].items()) if len(rows) == 1 else ""
            self.ask_argument(
                find("tag", (self.edit_scope,)),
                f"tag {self._named(rows)}",
                hint=present or "KEY=VALUE, or KEY- to remove",
            )
            return
        changes = dict(map(parse_tag, argument.split()))
        edits = [
            tag_edit(row.run_id, row.attempt, tags, changes)
            for row, tags in rows
            if any(tags.get(key) != value for key, value in changes.items())
        ]
        await self.mllab.edit(f"Tagged {self._named(rows)}: {line(argument)}", edits)

    async def do_note(self, argument: str) -> None:
        """Write the note of one run."""
        row = await self._row()
        if not argument:
            self.ask_argument(find("note", (self.edit_scope,)), f"note on {line(row.name)}", row.note or "")
            return
        text = storable(argument).strip()
        edit = Edit(row.run_id, row.attempt, "note", {"text": text or None}, {"text": row.note})
        await self.mllab.edit(f"Noted on {line(row.name)}", [edit] if text != (row.note or "") else [])

    async def clear_note(self) -> None:
        """Take the note away."""
        row = await self._row()
        if row.note:
            edit = Edit(row.run_id, row.attempt, "note", {"text": None}, {"text": row.note})
            await self.mllab.edit(f"Removed the note of {line(row.name)}", [edit])

    async def do_rename(self, argument: str) -> None:
        """Give one run another name."""
        row = await self._row()
        if not argument:
            self.ask_argument(find("rename", (self.edit_scope,)), "name", row.name)
            return
        name = checked_name(argument)
        edit = Edit(row.run_id, row.attempt, "rename", {"name": name}, {"name": row.name})
        await self.mllab.edit(f"Renamed {line(row.name)} to {line(name)}", [edit] if name != row.name else [])

    async def do_archive(self, _: str) -> None:
        """Archive, or take out of the archive when all are there."""
        rows = await self._rows()
        value = not all(row.archived for row, _ in rows)
        edits = [
            Edit(row.run_id, row.attempt, "archive", {"value": value}, {"value": row.archived})
            for row, _ in rows
            if row.archived != value
        ]
        await self.mllab.edit(f"{'Archived' if value else 'Unarchived'} {self._named(rows)}", edits)

    async def do_delete(self, _: str) -> None:
        """Delete, after a look at what goes; restore when all are deleted."""
        rows = await self._rows()
        if all(row.deleted for row, _ in rows):
            edits = [Edit(row.run_id, row.attempt, "delete", {"value": False}, {"value": True}) for row, _ in rows]
            await self.mllab.edit(f"Restored {self._named(rows)}", edits)
            return
        self.mllab.hold_keys()
        in_background(self, "sheet", self._delete, rows)

    async def _delete(self, rows: list[tuple[RunRow, dict[str, str]]]) -> None:
        live = [row for row, _ in rows if row.status == "running"]
        if live:
            self.app.notify(f"{line(live[0].name)} is still running. Stop it first.", severity="warning", markup=False)
            return
        names = [f"  {line(row.name)}  {row.run_id}  {row.status}" for row, _ in rows[:SHOWN]]
        if len(rows) > SHOWN:
            names.append(f"  and {len(rows) - SHOWN:,} more")
        text = "\n".join([*names, "", f"They can be restored for {kept_days()} days, and z brings them back at once."])
        what = plural(len(rows), "run")
        if await self.app.push_screen_wait(Sheet(f"Delete {what}?", text, f"Delete {what}")):
            edits = [
                Edit(row.run_id, row.attempt, "delete", {"value": True}, {"value": False})
                for row, _ in rows
                if not row.deleted
            ]
            await self.mllab.edit(f"Deleted {self._named(rows)}", edits)
