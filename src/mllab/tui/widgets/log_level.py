"""Guess how serious a line of console output is, from the ways logging libraries write it.

A word such as "error" in a sentence or in the name of a metric (``val_error=0.1``) says nothing; ``ERROR``,
``[error]``, ``level=error``, ``ValueError: ...`` and lines of a traceback do.
"""

from __future__ import annotations

import re

LEVELS = ("all", "info", "warn", "error")
DEBUG, INFO, WARN, ERROR = 0, 1, 2, 3
_CHARACTERS = 200
_WORDS = {
    "D": DEBUG, "T": DEBUG, "I": INFO, "N": INFO, "W": WARN, "E": ERROR, "C": ERROR, "F": ERROR, "A": ERROR, "P": ERROR,
}  # fmt: skip
# Each begins with the letter that tells: upper-case words anywhere; then words of any case where a level belongs.
_UPPER = re.compile(r"\b(?:DEBUG|TRACE|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|ALERT|PANIC)\b")
_PLACED = re.compile(
    r"""(?:^|\[|\blevel["']?\s*[=:]\s*["']?|\blvl=|<)
    (debug|trace|info|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|alert|panic)(?=[\]:>"'\s]|$)""",
    re.VERBOSE | re.IGNORECASE,
)
_GLOG = re.compile(r"^([IWEF])\d{4} \d\d:\d\d")
_RAISED = re.compile(r"^(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit)(?::|$)")
_WARNED = re.compile(r"\b[A-Z]\w*Warning: ")
_PROGRESS = re.compile(r"\s*\d{1,3}%")
_TRACEBACK = "Traceback (most recent call last)"
# How a traceback goes on: indented, or with what joins two of them.
_JOINED = ("During handling of the above", "The above exception was")


def guess(text: str, before: int = INFO, *, in_traceback: bool = False) -> tuple[int, bool]:
    """Return the level of a line, and whether a traceback goes on after it.

    ``before`` is the level of the line above: an indented line belongs to it.

    >>> guess("2026-01-02 10:00:00 WARNING lr is 0")[0] == WARN, guess("val_error: 0.1")[0] == INFO
    (True, True)
    """
    if _TRACEBACK in text:
        return ERROR, True
    head = text[:_CHARACTERS]
    if in_traceback:
        return ERROR, not head or head[0] in " \t" or head.startswith(_JOINED)
    found = _UPPER.search(head)
    if found:
        return _WORDS[found[0][0]], False
    if _PROGRESS.match(head) or "\r" in text:
        return INFO, False
    if head.startswith(("  ", "\t")):
        return before, False
    placed = _PLACED.search(head) or _GLOG.match(head)
    if placed:
        return _WORDS[placed[1][0].upper()], False
    if _RAISED.match(head) or head.startswith(_JOINED):
        return ERROR, False
    if _WARNED.search(head):
        return WARN, False
    return INFO, False
