r"""Turn one line of console output into text that is safe to show, and the colours it asked for.

Of escape sequences only SGR (``ESC [ ... m``: colours, bold and the like) means something here;
`mllab.security.terminal` takes out all others, and what ``\r`` overwrote goes too: of a progress bar its last state
stays. Source: ECMA-48, 8.3.117 (SGR).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rich.color import Color, ColorType
from rich.style import Style

from mllab.security.terminal import block

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of a longer line this many characters are shown and searched: 200 rows of a wide terminal, parsed in 5 ms.
MAX_CHARACTERS = 20_000
TAB = 8
_SGR = re.compile(r"(?:\x1b\[|\x9b)([0-9;:]*)m")
# Blinking, concealing and fonts are not in it: they hide text or annoy.
# Characters beyond ASCII that are shown as they are, of what logs often hold: Latin, Greek, Cyrillic, punctuation,
# arrows to dingbats, braille but its blank, kana, Han, Hangul, full-width forms, emoji. None of them is invisible or
# joins another. It is only a short cut: `mllab.security.terminal` judges everything else.
_COMMON = re.compile(
    "[ -~\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0377\u037a-\u037f\u0384-\u03ff\u0400-\u0482\u2010-\u2027\u2030-\u205e"
    "\u20a0-\u20c0\u2190-\u27ff\u2801-\u2bff\u3001-\u3029\u3030-\u303d\u3041-\u3096\u309b-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff01-\uff9f"
    "\U0001f300-\U0001f3fa\U0001f400-\U0001faff]*"
)
_SWITCHES: dict[int, Any] = {
    1: {"bold": True},
    2: {"dim": True},
    3: {"italic": True},
    4: {"underline": True},
    9: {"strike": True},
    22: {"bold": False, "dim": False},
    23: {"italic": False},
    24: {"underline": False},
    29: {"strike": False},
}
_PLAIN = Style()


@dataclass(frozen=True, slots=True)
class ShownText:
    """A line as it is shown: ``spans`` are (start, stop, style) in characters of ``text``, in order, never overlapping.

    ``left_out`` counts characters past the limit.
    """

    text: str
    spans: tuple[tuple[int, int, Style], ...] = ()
    left_out: int = 0


def is_plain(text: str) -> bool:
    """Return whether a line is shown exactly as it is, one cell a character."""
    return text.isascii() and text.isprintable()


def shown(text: str) -> ShownText:
    r"""Return what to show of a line.

    >>> shown("\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07text").text
    'red text'
    >>> shown(" 10%\r 20%").text
    ' 20%'
    """
    left_out = max(0, len(text) - MAX_CHARACTERS)
    if "\r" in text:  # before cutting: the last state of a bar is at its end
        text = text.rstrip("\r").rpartition("\r")[2]
        left_out = max(0, len(text) - MAX_CHARACTERS)
    text = text[:MAX_CHARACTERS]
    if is_plain(text) or _COMMON.fullmatch(text):
        return ShownText(text, (), left_out)
    parts: list[str] = []
    spans: list[tuple[int, int, Style]] = []
    at = 0
    for piece, style in _pieces(text):
        if not is_plain(piece) and not _COMMON.fullmatch(piece):
            piece = _untabbed(block(piece).replace("\n", " "), at)  # noqa: PLW2901  # the same, made safe
        if piece and style is not _PLAIN:
            spans.append((at, at + len(piece), style))
        parts.append(piece)
        at += len(piece)
    return ShownText("".join(parts), tuple(spans), left_out)


def plain_text(text: str) -> str:
    """Return the text of what is shown of a line, without the styles: what is searched."""
    if len(text) <= MAX_CHARACTERS and "\r" not in text:
        bare = _SGR.sub("", text) if "\x1b" in text else text
        if is_plain(bare) or _COMMON.fullmatch(bare):
            return bare
    return shown(text).text


def _pieces(text: str) -> Iterator[tuple[str, Style]]:
    """Yield the texts between SGR sequences, each with the style in force."""
    style = _PLAIN
    position = 0
    for match in _SGR.finditer(text):
        if match.start() > position:
            yield text[position : match.start()], style
        style = _changed(style, match[1])
        position = match.end()
    yield text[position:], style


def _untabbed(text: str, at: int) -> str:
    """Expand tabs of a text that begins in column ``at``."""
    if "\t" not in text:
        return text
    lead = at % TAB
    return (" " * lead + text).expandtabs(TAB)[lead:]


@lru_cache(1024)
def _changed(style: Style, parameters: str) -> Style:
    """Return the style after one SGR sequence; what is unknown or malformed changes nothing."""
    codes = [int(code[:4]) if code else 0 for code in parameters.replace(":", ";").split(";")]
    position = 0
    while position < len(codes):
        code = codes[position]
        position += 1
        if code == 0:
            style = _PLAIN
        elif code in _SWITCHES:
            style += Style(**_SWITCHES[code])
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style += Style(color=_standard(code - 30 if code < 90 else code - 82))
        elif code == 39:
            style += Style(color="default")
        elif code in (38, 48, 58):
            color, position = _extended(codes, position)
            if code == 38 and color is not None:
                style += Style(color=color)
        # Backgrounds (40 to 49, 100 to 107) and reverse video (7) are left out: they belong to the cursor and to the
        # matches, and a foreground like its background hides what was printed.
    return _PLAIN if style == Style(color="default") else style


def _standard(number: int) -> Color:
    return Color(f"color{number}", ColorType.STANDARD, number=number)


def _extended(codes: list[int], position: int) -> tuple[Color | None, int]:
    """Return the colour of ``5;n`` or ``2;r;g;b`` and where the next code is."""
    kind = codes[position : position + 1]
    if kind == [5]:
        number = codes[position + 1 : position + 2]
        color = Color.from_ansi(number[0]) if number and number[0] < 256 else None
        return color, position + 2
    if kind == [2]:
        rgb = codes[position + 1 : position + 4]
        color = Color.from_rgb(*rgb) if len(rgb) == 3 and max(rgb) < 256 else None
        return color, position + 4
    return None, position + 1
