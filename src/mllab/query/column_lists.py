"""Lists of columns as one text: what `--columns`, `:columns` and links carry."""

from __future__ import annotations

import re
from typing import overload

_QUOTED = r"`(?:[^`]|``)*`"
_PIECE = re.compile(rf"(?:{_QUOTED}|\((?:{_QUOTED}|[^()`])*\)|[^,`])+")


@overload
def split_columns(text: str) -> list[str]: ...
@overload
def split_columns(text: None) -> None: ...
def split_columns(text: str | None) -> list[str] | None:
    """Return the columns of a list, None for None; commas within backticks and parentheses do not separate.

    >>> split_columns("name, min(loss),`a,b`, ema(loss, 0.9)")
    ['name', 'min(loss)', '`a,b`', 'ema(loss, 0.9)']
    """
    if text is None:
        return None
    return [piece for piece in (found.strip() for found in _PIECE.findall(text)) if piece]
