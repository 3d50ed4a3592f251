"""Copying from a screen: a menu of what there is, or by name from the command line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mllab.errors import UsageError
from mllab.tui.acting import in_background
from mllab.tui.screens.chooser import Choice, Chooser
from mllab.tui.screens.lab_screen import LabScreen

if TYPE_CHECKING:
    from collections.abc import Sequence


class CopyingScreen(LabScreen):
    """A screen from which something can be copied."""

    def copies(self) -> list[Choice]:
        """Return what can be copied: the text, a letter and what it is, and its word on the command line."""
        return []

    def copied_text(self, choice: Choice) -> str:
        """Return the text of a choice; what takes work to say is said here."""
        return choice.value

    async def do_copy(self, argument: str) -> None:
        """Copy something."""
        choices = self.copies()
        if not argument:
            self.mllab.hold_keys()
            in_background(self, "menu", self._choose_copy, choices)
            return
        chosen = next((choice for choice in choices if choice.remark == argument), None)
        if chosen is None:
            raise UsageError(f"There is no {argument[:40]!r} to copy.", ", ".join(choice.remark for choice in choices))
        await self._copy(chosen)

    def complete_copy(self, argument: str) -> list[tuple[str, int, str]]:
        """Return what can be copied, for the command line."""
        return [(choice.remark, 0, "") for choice in self.copies() if choice.remark.startswith(argument)]

    async def _choose_copy(self, choices: Sequence[Choice]) -> None:
        numbered = [replace(choice, value=str(at)) for at, choice in enumerate(choices)]
        chosen = await self.app.push_screen_wait(Chooser("Copy", numbered))
        if chosen:
            await self._copy(choices[int(chosen[0])])

    async def _copy(self, choice: Choice) -> None:
        _, _, what = choice.text.partition("  ")
        await self.mllab.copy_text(self.copied_text(choice), f"Copied {what}")
