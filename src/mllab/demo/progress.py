"""How the study tells of its progress, to whatever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Progress(Protocol):
    """What a display of the study hears. Calls come in order, from the thread that runs the study."""

    def stage(self, text: str) -> None:
        """Hear what is being done between runs: reading data, loading libraries."""

    def fact(self, text: str) -> None:
        """Hear a result worth keeping on the screen."""

    def run_started(self, number: int, total: int, name: str) -> None:
        """Hear that run ``number`` of ``total`` (from 1) has begun."""

    def run_advanced(self, fraction: float, metrics: Mapping[str, float]) -> None:
        """Hear how far the current run is (0 to 1) and its newest metrics."""

    def run_finished(self, number: int, total: int, name: str, scores: Mapping[str, float]) -> None:
        """Hear the final metrics of a run."""


class Silent:
    """A display that shows nothing."""

    def stage(self, text: str) -> None:
        """Show nothing."""

    def fact(self, text: str) -> None:
        """Show nothing."""

    def run_started(self, number: int, total: int, name: str) -> None:
        """Show nothing."""

    def run_advanced(self, fraction: float, metrics: Mapping[str, float]) -> None:
        """Show nothing."""

    def run_finished(self, number: int, total: int, name: str, scores: Mapping[str, float]) -> None:
        """Show nothing."""
