"""Lines of a diff: read out of a unified diff, or found by comparing two texts."""

from __future__ import annotations

import re
from bisect import bisect_left
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEADER, HUNK, ADDED, REMOVED, SAME, NOTE = "header", "hunk", "added", "removed", "same", "note"
# Stretches between lines that both texts have once are compared line by line up to this many pairs; beyond, they
# count as replaced: difflib takes the square of their length.
_MAX_PAIRS = 250_000
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


class DiffLine(NamedTuple):
    """One line: its kind, its number on either side (0: not there) and its text."""

    kind: str
    old: int
    new: int
    text: str


def of_patch(patch: str) -> list[DiffLine]:
    """Read a unified diff, as git writes it. What is none of its parts is kept as a note: nothing gets lost.

    Source: https://git-scm.com/docs/diff-format, and POSIX ``diff -u``.
    """
    lines = []
    old = new = old_left = new_left = 0
    for text in patch.removesuffix("\n").split("\n"):
        sign = text[:1]
        if (old_left or new_left) and sign in ("+", "-", " ", ""):
            if sign == "+":
                lines.append(DiffLine(ADDED, 0, new, text[1:]))
            elif sign == "-":
                lines.append(DiffLine(REMOVED, old, 0, text[1:]))
            else:
                lines.append(DiffLine(SAME, old, new, text[1:]))
            if sign != "+":
                old, old_left = old + 1, max(0, old_left - 1)
            if sign != "-":
                new, new_left = new + 1, max(0, new_left - 1)
        elif hunk := _HUNK.match(text):
            old, new = int(hunk[1]), int(hunk[3])
            old_left, new_left = int(hunk[2] or 1), int(hunk[4] or 1)
            lines.append(DiffLine(HUNK, 0, 0, text))
        elif text.startswith("diff "):
            old_left = new_left = 0
            lines.append(DiffLine(HEADER, 0, 0, text))
        else:
            lines.append(DiffLine(NOTE, 0, 0, text))
    return lines


def of_texts(left: str, right: str, names: tuple[str, str]) -> list[DiffLine]:
    """Compare two texts; the first line names them."""
    a, b = left.splitlines(), right.splitlines()
    lines = [DiffLine(HEADER, 0, 0, f"{names[0]} → {names[1]}")]
    if left == right:
        lines.append(DiffLine(NOTE, 0, 0, "no difference"))
        return lines
    for tag, a_start, a_stop, b_start, b_stop in _changes(a, b):
        if tag == SAME:
            lines += [DiffLine(SAME, at + 1, b_start + at - a_start + 1, a[at]) for at in range(a_start, a_stop)]
        else:
            lines += [DiffLine(REMOVED, at + 1, 0, a[at]) for at in range(a_start, a_stop)]
            lines += [DiffLine(ADDED, 0, at + 1, b[at]) for at in range(b_start, b_stop)]
    if a == b:
        lines.append(DiffLine(NOTE, 0, 0, "only the ends of lines differ"))
    return lines


def _changes(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield stretches (kind, start and stop in either) that cover both: patience diff, difflib between its anchors.

    Source: B. Cohen's patience diff, as https://bramcohen.livejournal.com/73318.html tells it.
    """
    at_a = at_b = 0
    for anchor_a, anchor_b in [*_anchors(a, b), (len(a), len(b))]:
        yield from _between(a, b, (at_a, anchor_a), (at_b, anchor_b))
        at_a, at_b = anchor_a + 1, anchor_b + 1
        if anchor_a < len(a):
            yield SAME, anchor_a, at_a, anchor_b, at_b


def _between(
    a: Sequence[str], b: Sequence[str], range_a: tuple[int, int], range_b: tuple[int, int]
) -> Iterator[tuple[str, int, int, int, int]]:
    (a_start, a_stop), (b_start, b_stop) = range_a, range_b
    while a_start < a_stop and b_start < b_stop and a[a_start] == b[b_start]:
        yield SAME, a_start, a_start + 1, b_start, b_start + 1
        a_start, b_start = a_start + 1, b_start + 1
    tail = 0
    while a_start < a_stop - tail and b_start < b_stop - tail and a[a_stop - tail - 1] == b[b_stop - tail - 1]:
        tail += 1
    a_stop, b_stop = a_stop - tail, b_stop - tail
    if (a_stop - a_start) * (b_stop - b_start) > _MAX_PAIRS:
        yield "changed", a_start, a_stop, b_start, b_stop
    elif a_start < a_stop or b_start < b_stop:
        matcher = SequenceMatcher(None, a[a_start:a_stop], b[b_start:b_stop], autojunk=False)
        for tag, i, j, k, m in matcher.get_opcodes():
            yield SAME if tag == "equal" else "changed", a_start + i, a_start + j, b_start + k, b_start + m
    if tail:
        yield SAME, a_stop, a_stop + tail, b_stop, b_stop + tail


def _anchors(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Return the longest run of lines, in order in both, that each of them has exactly once."""
    once_a, once_b = _once(a), _once(b)
    pairs = [(at, once_b[text]) for text, at in once_a.items() if text in once_b]
    tops: list[int] = []  # the smallest end of a run of each length
    ends: list[int] = []  # which pair that is
    before: list[int] = []
    for index, (_, at_b) in enumerate(pairs):
        length = bisect_left(tops, at_b)
        tops[length : length + 1] = [at_b]
        ends[length : length + 1] = [index]
        before.append(ends[length - 1] if length else -1)
    run = []
    index = ends[-1] if ends else -1
    while index >= 0:
        run.append(pairs[index])
        index = before[index]
    return run[::-1]


def _once(texts: Sequence[str]) -> dict[str, int]:
    seen: dict[str, int] = {}
    twice = set()
    for at, text in enumerate(texts):
        if text in seen:
            twice.add(text)
        seen[text] = at
    return {text: at for text, at in seen.items() if text not in twice}


def partners(lines: Sequence[DiffLine]) -> dict[int, int]:
    """Pair removed lines with the added ones that follow them, the first with the first."""
    found = {}
    at = 0
    while at < len(lines):
        start = at
        while at < len(lines) and lines[at].kind == REMOVED:
            at += 1
        middle = at
        while at < len(lines) and lines[at].kind == ADDED:
            at += 1
        for offset in range(min(at - middle, middle - start)):
            found[start + offset] = middle + offset
            found[middle + offset] = start + offset
        at = max(at, start + 1)
    return found


def changed_part(text: str, other: str) -> tuple[int, int] | None:
    """Return which characters of a text its partner does not share; None when that says nothing."""
    shorter = min(len(text), len(other))
    start = next((at for at in range(shorter) if text[at] != other[at]), shorter)
    end = next((at for at in range(shorter - start) if text[-1 - at] != other[-1 - at]), shorter - start)
    return (start, len(text) - end) if (start + end) * 3 >= len(text) and start < len(text) - end else None
