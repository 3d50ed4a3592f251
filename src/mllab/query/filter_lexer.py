"""Filter text into tokens, each with the column it begins at."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from mllab.errors import FilterError
from mllab.query.filter_ast import PREFIXES, Kind

MAX_LENGTH = 100_000

TokenKind: TypeAlias = Literal["word", "key", "text", "operator", "(", ")", ",", "end"]
OPERATORS = {"==": "=", "<>": "!=", **{operator: operator for operator in ("=", "!=", "<", "<=", ">", ">=", "~", "!~")}}
_HINTS = {
    "&": "Write `and` between conditions.",
    "|": "Write `or` between conditions.",
    ";": "A filter is one expression; there is nothing to separate.",
}
_OPERATOR_HINTS = {
    "!": "Write `not` before a condition, or != between two sides.",
    "=~": "Write ~ to match a regular expression.",
    "=<": "Write <=.",
    "=>": "Write >=.",
}
_ESCAPE = re.compile(r"\\(.)|''|\"\"", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
# Possessive, so that a quote that is never closed is reported where it opens. A word begins with a letter, digit
# or number sign; inside it, punctuation must be followed by a letter or digit: `val/loss`, `top-1`, `2026-11-01`.
_TOKEN = re.compile(
    r"""\s*+(?:
      (?P<key>(?:(?P<prefix>metrics|params|tags)\.)?`(?P<quoted>(?:[^`]|``)*+)`)
    | (?P<word>[+-]?\.?\w+(?:[./:@%+#-]+\w+)*)
    | '(?P<single>(?:[^'\\]|\\.|'')*+)'
    | "(?P<double>(?:[^"\\]|\\.|"")*+)"
    | (?P<operator>[=!<>~]+)
    | (?P<mark>[(),])
    )""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A piece of a filter. ``value`` is the key without its prefix, the text without its quotes, or the operator."""

    kind: TokenKind
    text: str
    column: int
    value: str
    prefix: Kind = ""


def tokenize(text: str) -> list[Token]:
    """Split a filter into tokens; the last one is of kind "end".

    Raises:
        FilterError: at the first character that begins no token.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(
            f"The filter has {len(text):,} characters; {MAX_LENGTH:,} is the limit.",
            "Tag the runs you mean, and filter on the tag.",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FilterError("The filter holds a lone surrogate, which is no character.", column=error.start) from None
    tokens, offset, end = [], 0, len(text.rstrip())
    while offset < end:
        match = _TOKEN.match(text, offset)
        if match is None:
            raise _unexpected(text, len(text) - len(text[offset:].lstrip()))
        tokens.append(_token(match))
        offset = match.end()
    return [*tokens, Token("end", "", end, "")]


def _token(match: re.Match[str]) -> Token:
    text = match[0].lstrip()
    column = match.end() - len(text)
    if match["key"]:
        if not match["quoted"]:
            raise FilterError("The key between the backticks is empty.", column=column)
        kind = PREFIXES[match["prefix"]] if match["prefix"] else ""
        return Token("key", text, column, match["quoted"].replace("``", "`"), kind)
    if match["word"]:
        prefix, dot, rest = text.partition(".")
        kind = PREFIXES.get(prefix, "") if dot else ""
        return Token("word", text, column, rest if kind else text, kind)
    if match["operator"]:
        if text not in OPERATORS:
            raise FilterError(
                f"There is no operator {text[:20]}.",
                _OPERATOR_HINTS.get(text, "Use = != < <= > >= ~ !~."),
                column=column,
            )
        return Token("operator", text, column, OPERATORS[text])
    if match["mark"]:
        return Token(match["mark"], text, column, text)  # type: ignore[arg-type]  # one of ( ) ,
    return Token("text", text, column, _unescape(text[1:-1], text[0]))


def _unescape(text: str, quote: str) -> str:
    r"""Undo escapes and doubled quotes; an unknown escape stays, so that '\d+' is the pattern it looks like."""

    def undo(match: re.Match[str]) -> str:
        if match[1] is None:
            return quote if match[0][0] == quote else match[0]
        return _ESCAPED.get(match[1], match[0])

    return _ESCAPE.sub(undo, text)


def _unexpected(text: str, column: int) -> FilterError:
    character = text[column]
    if character in "'\"":
        return FilterError(
            f"The text that begins with {character} is never closed.", f"Add {character}.", column=column
        )
    if character == "`":
        return FilterError("The key that begins with ` is never closed.", "Add `.", column=column)
    hint = _HINTS.get(character, "Put text in quotes, and a key with such characters in backticks.")
    return FilterError(f"The character {character!r} has no meaning here.", hint, column=column)
