"""Standard output: how wide it is, whether it takes colour, and which characters it can show."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mllab.json_text import json_text
from mllab.wording import STATUS_GLYPHS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The few characters beyond ASCII, each with a stand-in for streams that cannot encode it.

    ``bars`` are the heights of a sparkline, ``gap`` stands in it for NaN, ``dash`` for a value that is not there.
    """

    ellipsis: str
    bars: str
    gap: str
    dash: str
    status: Mapping[str, str]


UNICODE = Glyphs(
    ellipsis="…",
    bars="▁▂▃▄▅▆▇█",
    gap="\u00d7",
    dash="\u2013",
    status=STATUS_GLYPHS,
)
ASCII = Glyphs(
    ellipsis="~",
    bars="_.-~=+*#",
    gap="x",
    dash="-",
    status={"running": "*", "finished": "+", "failed": "x", "killed": "#", "lost": "?"},
)
STATUS_STYLES = {"running": "cyan", "finished": "green", "failed": "red", "killed": "yellow", "lost": "yellow"}


@dataclass(frozen=True, slots=True)
class Screen:
    """What a stream can show. ``width`` is None where nothing has to be cut: in pipes and files."""

    stream: TextIO | None
    width: int | None
    color: bool
    glyphs: Glyphs

    @classmethod
    def of_stdout(cls, *, color: bool = True) -> Screen:
        """Return standard output, which may be closed."""
        return cls._of(sys.stdout, os.environ, color=color)

    @classmethod
    def of_stderr(cls, *, color: bool = True) -> Screen:
        """Return standard error, which may be closed."""
        return cls._of(sys.stderr, os.environ, color=color)

    @classmethod
    def _of(cls, stream: TextIO | None, environ: Mapping[str, str], *, color: bool) -> Screen:
        is_terminal = is_tty(stream)
        width = shutil.get_terminal_size().columns if is_terminal or environ.get("COLUMNS", "").isdigit() else None
        takes_color = (is_terminal and environ.get("TERM") != "dumb") or environ.get("FORCE_COLOR", "0") not in (
            "",
            "0",
        )
        color = color and takes_color and not environ.get("NO_COLOR")
        return cls(stream, width, color, UNICODE if can_show_unicode(stream) else ASCII)

    def styled(self, text: str, *styles: str | None) -> str:
        """Return ``text`` in colour where there is colour; a style of None changes nothing."""
        codes = [_STYLES[style] for style in styles if style]
        if not self.color or not codes or not text:
            return text
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m"

    def status(self, status: str) -> str:
        """Return a run's status as glyph and word; the colour says nothing that they do not."""
        return f"{self.glyphs.status.get(status, '?')} {status}"

    def print(self, text: str = "") -> None:
        """Print a line. The caller has made text from outside safe."""
        if self.stream is not None:
            self.stream.write(text + "\n")


def is_tty(stream: Any) -> bool:
    """Whether a stream is a terminal; a closed one is not."""
    try:
        return stream is not None and bool(stream.isatty())
    except ValueError:
        return False


def can_show_unicode(stream: Any) -> bool:
    """Whether a stream's encoding has the glyphs."""
    try:
        (UNICODE.ellipsis + UNICODE.bars + "".join(UNICODE.status.values())).encode(
            getattr(stream, "encoding", None) or "ascii"
        )
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def note(text: str) -> None:
    """Print a line of diagnostics to stderr."""
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")


def print_json(data: Any) -> None:
    """Print JSON in ASCII, so that it is exact in every locale and harmless on every terminal."""
    if sys.stdout is not None:
        sys.stdout.write(json_text(data, indent=2) + "\n")
