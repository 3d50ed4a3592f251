"""What a check of the store found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

QUARANTINE, PUT_BACK = "quarantine", "put back"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or only worth knowing when it is a note.

    Attributes:
        kind: format, manifest, part, fold, points, segment, blob, catalog, gc or snapshot.
        path: the file, relative to the store.
        message: a sentence.
        lost: what cannot be had any more: runs, metrics with steps, artifacts, bytes.
        remedy: what :func:`mllab.store.verify.repair` can do about it, if anything.
    """

    kind: str
    path: str
    message: str
    lost: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The outcome of a check: problems, harmless notes, and how much was looked at."""

    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    checked: dict[str, int]
    bytes: int

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(slots=True)
class Findings:
    """Collects problems while a check runs."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    bytes: int = 0

    def problem(self, kind: str, path: str, message: str, *lost: str, remedy: str = "") -> None:
        """Add something that is wrong."""
        self.problems.append(Problem(kind, path, message, lost, remedy))

    def note(self, kind: str, path: str, message: str) -> None:
        """Add something worth knowing."""
        self.notes.append(Problem(kind, path, message))

    def add(self, other: Findings) -> None:
        """Take over what another check found."""
        self.problems += other.problems
        self.notes += other.notes
        self.checked += other.checked
        self.bytes += other.bytes

    def report(self) -> VerifyReport:
        """Return the outcome so far."""
        return VerifyReport(tuple(self.problems), tuple(self.notes), dict(self.checked), self.bytes)
