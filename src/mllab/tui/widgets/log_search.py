"""Search with regular expressions that cannot hang the screen.

Python's ``re`` backtracks: ``(a+)+$`` takes years on a line of 60 characters. It does look for signals while it
matches, so a timer of the CPU time of this process ends a match that takes too long.
"""

from __future__ import annotations

import re
import signal
import threading
from bisect import bisect_left
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# The kernel counts CPU time in ticks of up to 10 ms, so a limit is kept to the next tick.
LIMIT_S = 0.005
MAX_HARD_LINES = 20


class TooHardError(Exception):
    """A pattern took longer on a text than it may; caught where the search goes on."""


_armed: list[bool] = []


def _expire(_signal: int, _frame: Any) -> None:
    if _armed:
        raise TooHardError


def can_limit() -> bool:
    """Return whether a match can be ended: signals reach the main thread alone."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def limited(seconds: float = LIMIT_S) -> Iterator[None]:
    """End the block with `TooHardError` when it took ``seconds`` of CPU time; where that cannot be, only run it."""
    if not can_limit():
        yield
        return
    if signal.getsignal(signal.SIGVTALRM) is not _expire:
        # It stays: taken away, it could not answer a signal that is on its way.
        signal.signal(signal.SIGVTALRM, _expire)
    try:
        try:
            _armed.append(True)
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
            yield
        finally:
            _armed.clear()
    finally:  # once more: the signal may have come between the block and the line above
        _armed.clear()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


@dataclass(slots=True)
class Search:
    """One pattern, where it was found so far, and what is wrong with it; ``problem`` is for the reader to see.

    Without capitals in the pattern, case does not matter.
    """

    pattern: str
    problem: str = ""
    matches: list[int] = field(default_factory=list)  # lines, in order
    hard_lines: int = 0
    is_complete: bool = False
    compiled: re.Pattern[str] | None = None
    _places: dict[int, tuple[str, list[tuple[int, int]]]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, pattern: str) -> Search:
        """Compile a pattern; one that is no regular expression has a problem instead."""
        if not can_limit():
            pattern_text, problem = re.escape(pattern), "searched as plain text"
        else:
            pattern_text, problem = pattern, ""
        flags = re.IGNORECASE if pattern == pattern.lower() else re.NOFLAG
        try:
            with limited(0.05):
                compiled = re.compile(pattern_text, flags)
        except (re.error, OverflowError, RecursionError) as error:
            return cls(pattern, f"not a regular expression: {error}", is_complete=True)
        except TooHardError:
            return cls(pattern, "this pattern takes too long", is_complete=True)
        return cls(pattern, problem, compiled=compiled)

    def give_up(self, line: int) -> None:
        """Note that a line could not be searched in time; after some of them the search ends."""
        self.hard_lines += 1
        if self.hard_lines >= MAX_HARD_LINES:
            self.is_complete = True
            self.problem = f"this pattern takes too long: stopped at line {line + 1:,}"
        else:
            one = self.hard_lines == 1
            self.problem = (
                f"{self.hard_lines} line{'' if one else 's'} took too long and {'was' if one else 'were'} left out"
            )

    def spans(self, line: int, text: str) -> list[tuple[int, int]]:
        """Return where in a line the pattern is, at most the first 200 places; none before the line was searched.

        Only lines that matched in time are looked at again, and once.
        """
        at = bisect_left(self.matches, line)
        if self.compiled is None or self.matches[at : at + 1] != [line]:
            return []
        known = self._places.get(line)
        if known is None or known[0] != text:
            if len(self._places) > 500:
                self._places.clear()
            known = self._places[line] = (text, _places(self.compiled, text))
        return known[1]


def _places(compiled: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    with suppress(TooHardError), limited():
        for match in compiled.finditer(text):
            if match.end() > match.start():
                found.append(match.span())
            if len(found) >= 200:
                break
    return found
