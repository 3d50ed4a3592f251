"""What is said: one line after the other, never moved, redrawn or coloured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mllab.errors import FilterError
from mllab.security.terminal import block, line

if TYPE_CHECKING:
    from typing import TextIO

    from mllab.errors import MllabError

# For encodings that lack them. What is not here is said by its number.
_ASCII = str.maketrans({"★": "*", "…": "...", "±": "+/-", "\u2013": "-", "Δ": "d"})


class Voice:
    """Says lines on a stream, and errors on another. Nothing from outside reaches a terminal as it is."""

    def __init__(self, out: TextIO | None, err: TextIO | None) -> None:
        self._out = out
        self._err = err

    def say(self, text: str) -> None:
        """Say one line."""
        _write(self._out, line(text))

    def say_block(self, text: str) -> None:
        """Say each line of a text."""
        for each in block(text).rstrip("\n").expandtabs(4).split("\n"):
            self.say(each)

    def complain(self, error: MllabError) -> None:
        """Say in full what went wrong, where, and the way out."""
        if self._out is not None:
            self._out.flush()
        first, *rest = block(error.message).split("\n")
        _write(self._err, f"error: {first} [{error.code}]")
        for each in rest:
            _write(self._err, line(each))
        if isinstance(error, FilterError) and error.text:
            _write(self._err, line(f"At character {error.column + 1} of: {error.text}"))
        if error.hint:
            _write(self._err, line(error.hint))


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    encoding = stream.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    stream.write(text + "\n")
    stream.flush()
