"""Work on the lines of a log in slices: taking them in, keeping those of a level, searching them."""

from __future__ import annotations

from collections import deque
from time import perf_counter, thread_time
from typing import TYPE_CHECKING

import numpy as np

from mllab.tui.widgets.log_search import LIMIT_S, Search, TooHardError, limited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.tui.widgets.log_lines import LogLine, LogLines
    from mllab.tui.widgets.log_rows import LogRows

SLICE_S = 0.004
_LOAD = 1_000
_CLASSIFY = 500
_SEARCH = 200
_SEARCH_CHARACTERS = 40_000
# The CPU time of other threads counts towards the limit of a match, so one that ran into it gets another chance.
_TRIES = 3

Columns = tuple["Sequence[int]", "Sequence[bool]", "Sequence[str]"]


class LogFeed:
    """What remains to be done for a log; ``go_on`` does some of it."""

    def __init__(self, lines: LogLines, rows: LogRows) -> None:
        self._lines = lines
        self._rows = rows
        self._waiting: deque[tuple[Sequence[LogLine] | Columns, int]] = deque()
        self._threshold = 0
        self._filtered = 0  # lines that were kept or not
        self._searched = 0  # positions
        self._tries = 0
        self.search: Search | None = None

    def give(self, lines: Sequence[LogLine] | Columns) -> None:
        """Queue lines, as objects or as columns (times, whether from stderr, texts)."""
        self._waiting.append((lines, 0))

    def keep(self, threshold: int) -> None:
        """Show lines at or above a level only; 0 for all."""
        self._threshold = threshold
        self._filtered = 0
        self._rows.kept = [] if threshold else None
        self.look_for(self.search and Search.of(self.search.pattern))

    def look_for(self, search: Search | None) -> None:
        """Search the lines that are shown, and those to come."""
        self.search = search
        self._searched = 0

    def dropped(self) -> None:
        """Note that the last lines were taken away."""
        count = len(self._lines)
        self._rows.total = count
        self._filtered = min(self._filtered, count)
        lists = [self._rows.kept, self.search and self.search.matches]
        for listed in lists:
            while listed and listed[-1] >= count:
                listed.pop()
        self._searched = min(self._searched, len(self._rows))

    @property
    def is_loading(self) -> bool:
        """Whether lines wait to be taken in."""
        return bool(self._waiting)

    @property
    def is_searching(self) -> bool:
        """Whether lines wait to be searched."""
        search = self.search
        return search is not None and not search.is_complete and self._searched < len(self._rows)

    def go_on(self, seconds: float = SLICE_S) -> bool:
        """Work for a few milliseconds; return whether anything remains."""
        end = perf_counter() + seconds
        while perf_counter() < end:
            if self._waiting:
                self._load()
            elif self._threshold and self._filtered < len(self._lines):
                self._filter()
            elif self.is_searching:
                self._search()
            else:
                return False
        return True

    def _load(self) -> None:
        source, start = self._waiting.popleft()
        stop = start + _LOAD
        if isinstance(source, tuple) and len(source) == 3 and not hasattr(source[0], "text"):
            times, stderr, texts = source
            total = len(texts)
            self._lines.add_columns(times[start:stop], stderr[start:stop], texts[start:stop])
        else:
            total = len(source)
            self._lines.add(source[start:stop])
        if stop < total:
            self._waiting.appendleft((source, stop))
        self._rows.total = len(self._lines)

    def _filter(self) -> None:
        start = self._filtered
        if start >= len(self._lines.levels):
            self._lines.classify(start + _CLASSIFY)
        levels = np.frombuffer(bytes(self._lines.levels[start:]), np.uint8)
        kept = self._rows.kept
        assert kept is not None
        kept.extend((np.flatnonzero(levels >= self._threshold) + start).tolist())
        self._filtered = start + len(levels)

    def _search(self) -> None:
        """Search some lines. What makes a line of them too hard is found by searching it alone."""
        search = self.search
        assert search is not None
        assert search.compiled is not None
        texts: list[tuple[int, str]] = []
        characters = 0
        for position in range(self._searched, min(self._searched + (1 if self._tries else _SEARCH), len(self._rows))):
            line = self._rows.line(position)
            texts.append((line, self._lines.text(line)))
            characters += len(texts[-1][1])
            if characters > _SEARCH_CHARACTERS:
                break
        find = search.compiled.search
        done = 0
        began = thread_time()
        try:
            with limited():
                for line, text in texts:
                    if find(text):
                        search.matches.append(line)
                    done += 1
            self._tries = 0
        except TooHardError:
            is_alone = len(texts) == 1
            self._tries = self._tries + 1 if is_alone else 1
            if is_alone and (thread_time() - began > LIMIT_S * 0.8 or self._tries > _TRIES):
                search.give_up(texts[0][0])
                done, self._tries = 1, 0
        self._searched += done
