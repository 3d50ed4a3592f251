"""The lines of a log as columns: what 200,000 of them need and no more."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from mllab.tui.widgets.log_level import INFO, guess
from mllab.tui.widgets.log_text import MAX_CHARACTERS, plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

# Levels that are not yet known are guessed for so many lines at once, from as many above them.
_CONTEXT = 100


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output; ``time_us`` is UTC, 0 when unknown; ``stream`` is ``stdout`` or ``stderr``."""

    time_us: int
    stream: str
    text: str


class LogLines:
    """Columns with one entry a line, but for ``levels``, which is as long as lines were classified.

    ``times`` are as they were given; ``clock`` is the same, never going back, so that it can be bisected.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.times = array("q")
        self.clock = array("q")
        self.stderr = bytearray()
        self.lengths = array("i")
        self.levels = bytearray()
        self.longest = 0
        self._guessed: dict[int, int] = {}
        # Per stream: the level of its last line, and whether a traceback goes on there.
        self._state = [(INFO, False), (INFO, False)]

    def __len__(self) -> int:
        return len(self.texts)

    def add(self, lines: Sequence[LogLine]) -> None:
        """Append lines; one that holds newlines becomes several."""
        self.add_columns(
            [line.time_us for line in lines], [line.stream == "stderr" for line in lines], [line.text for line in lines]
        )

    def add_columns(self, times: Sequence[int], stderr: Sequence[bool], texts: Sequence[str]) -> None:
        """Append lines that come as columns."""
        if "\n" in "".join(texts):
            times, stderr, texts = _split(times, stderr, texts)
        last = self.clock[-1] if self.clock else 0
        self.times.extend(times)
        clock = accumulate(times, max, initial=last)
        next(clock)
        self.clock.extend(clock)
        self.stderr.extend(stderr)
        lengths = array("i", map(len, texts))
        self.lengths.extend(lengths)
        self.longest = min(max(self.longest, max(lengths, default=0)), MAX_CHARACTERS)
        self.texts.extend(texts)

    def drop_last(self, count: int) -> None:
        """Take away the last lines: those that were still being written and come again complete."""
        keep = max(0, len(self.texts) - count)
        for column in (self.texts, self.times, self.clock, self.stderr, self.lengths, self.levels):
            del column[keep:]
        self._guessed.clear()

    def text(self, line: int) -> str:
        """Return a line as it is shown, without colours."""
        return plain_text(self.texts[line])

    def classify(self, stop: int) -> None:
        """Guess the levels of lines up to ``stop``."""
        for line in range(len(self.levels), min(stop, len(self.texts))):
            stream = self.stderr[line]
            before, in_traceback = self._state[stream]
            level, in_traceback = guess(self.texts[line], before, in_traceback=in_traceback)
            self._state[stream] = (level, in_traceback)
            self.levels.append(level)

    def level(self, line: int) -> int:
        """Return the level of a line, guessed from the lines above it where it is not classified."""
        if line < len(self.levels):
            return self.levels[line]
        if line not in self._guessed:
            self._guessed.clear()
            state = [(INFO, False), (INFO, False)]
            for near in range(max(0, line - _CONTEXT), min(line + _CONTEXT, len(self.texts))):
                stream = self.stderr[near]
                before, in_traceback = state[stream]
                state[stream] = guess(self.texts[near], before, in_traceback=in_traceback)
                if near >= line - _CONTEXT // 2:
                    self._guessed[near] = state[stream][0]
        return self._guessed[line]

    def at_or_before(self, time_us: int) -> int:
        """Return the last line that was written by a time; the first line if none was."""
        return max(0, bisect_right(self.clock, time_us) - 1)

    def at_or_after(self, time_us: int) -> int:
        """Return the first line that was written at or after a time; the last line if none was."""
        return min(max(0, len(self.texts) - 1), bisect_left(self.clock, time_us))

    def first_time(self) -> int:
        """Return the first time that is known, or 0."""
        at = bisect_right(self.clock, 0)
        return self.clock[at] if at < len(self.clock) else 0


def _split(
    times: Sequence[int], stderr: Sequence[bool], texts: Sequence[str]
) -> tuple[list[int], list[bool], list[str]]:
    """Return the columns with a line each for what newlines part; a newline at the end parts nothing."""
    split: tuple[list[int], list[bool], list[str]] = ([], [], [])
    for time_us, is_stderr, text in zip(times, stderr, texts, strict=True):
        for part in text.removesuffix("\n").split("\n"):
            split[0].append(time_us)
            split[1].append(is_stderr)
            split[2].append(part)
    return split
