"""The one border for terminal text: names, keys, tags, notes, logs and messages from outside, made safe to print.

A terminal obeys what it is sent: ESC sequences move the cursor, set the clipboard (OSC 52), hide or forge lines;
bidirectional and zero-width characters make one name look like another. Every function here takes time linear in
its input. Source of the sequences: ECMA-48, section 5; of the characters: Unicode general categories Cc, Cf, Cs,
Zl and Zp, and the letters that Unicode defines to show as nothing.
"""

from __future__ import annotations

import re
import unicodedata

# Sequences by their form: CSI, then strings (OSC, DCS, SOS, PM, APC) up to their end or the end of the line, then
# the short ones. A string that is never closed must not swallow the lines below it.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x9c|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
# Letters and marks that are printable by category and invisible on screen: joiners, fillers, the braille blank.
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_FORMAT = (
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f\ud800-\udfff"
)
_UNSAFE_IN_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f{_FORMAT}{_INVISIBLE}]")
_UNSAFE_IN_BLOCK = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_FORMAT}{_INVISIBLE}]")
_MARKS = ("Mn", "Me")
_MARKS_IN_A_ROW = 4


def line(text: str) -> str:
    r"""Return ``text`` as one printable line that shows everything in it.

    Controls, bidirectional and invisible characters become escapes such as ``\x1b`` and ``\u202e``: nothing in a
    name is hidden, and none is shown as another.

    >>> line("evil\x1b]52;c;aGk=\x07name\n")
    'evil\\x1b]52;c;aGk=\\x07name\\n'
    """
    if text.isascii() and text.isprintable():
        return text
    return _calm(_UNSAFE_IN_LINE.sub(_escape, text))


def block(text: str) -> str:
    r"""Return ``text`` as printable lines: newlines and tabs stay, escape sequences go, other controls are escaped.

    What a carriage return overwrote goes too, as it would on screen.

    >>> block("\x1b[31mred\x1b[0m\n10%\r20%\n")
    'red\n20%\n'
    """
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    text = _SEQUENCE.sub("", text)
    if "\r" in text:
        text = "\n".join(_overwritten(each) for each in text.split("\n"))
    return _calm(_UNSAFE_IN_BLOCK.sub(_escape, text))


def _overwritten(text: str) -> str:
    """Return what a terminal would show of a line that begins anew at each carriage return, as progress bars do."""
    return text.rstrip("\r").rpartition("\r")[2]


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    short = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    if short:
        return short
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _calm(text: str) -> str:
    """Keep at most a few combining marks in a row: hundreds of them bleed over the lines around."""
    if text.isascii():
        return text
    kept = []
    marks = 0
    for character in text:
        marks = marks + 1 if character >= "\u0300" and unicodedata.category(character) in _MARKS else 0
        if marks <= _MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)


def width(text: str) -> int:
    """Return how many terminal cells a line takes: wide East Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if character < "\u0300":
        return 1
    if unicodedata.category(character) in _MARKS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, cells: int, ellipsis: str = "…") -> str:
    """Cut a line to at most ``cells`` cells, ending in ``ellipsis`` when something was cut.

    >>> fit("validation", 6)
    'valid…'
    """
    if len(text) <= cells and text.isascii():
        return text
    room = cells - len(ellipsis)
    used = 0
    cut = 0
    for position, character in enumerate(text):
        used += _cells(character)
        if used <= room:
            cut = position + 1
        elif used > cells:
            return text[:cut] + ellipsis if room >= 0 else ellipsis[:cells]
    return text
