"""The one border for paths from outside: artifact names, archive members, names in manifests."""

from __future__ import annotations

import unicodedata
from urllib.parse import unquote

from mllab.errors import UnsafePathError

MAX_BYTES = 1024
MAX_PART_BYTES = 255
_RESERVED = {"con", "prn", "aux", "nul", *(f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10))}
_BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_HINT = "Use a relative path such as plots/loss.png, with / between folders."


def safe_relative(name: object) -> str:
    """Return ``name`` as a relative path that stays inside its folder on every platform, in NFC.

    Rejected, also when percent-encoded once or twice: ``..``, absolute and drive paths, backslashes, NUL and
    other control characters, ``~`` and URLs, reserved device names, trailing dots and spaces, over-long names
    and bidirectional marks.

    Raises:
        UnsafePathError: naming what is wrong.
    """
    if not isinstance(name, str):
        raise UnsafePathError(f"A path is text, not {type(name).__name__}.", _HINT)
    text = unicodedata.normalize("NFC", name)
    decoded = text
    for _ in range(3):
        problem = _problem(decoded)
        if problem:
            raise UnsafePathError(f"The path {name[:120]!r} {problem}.", _HINT)
        following = unquote(decoded, errors="replace")
        if following == decoded:
            break
        decoded = following
    return text


def _problem(path: str) -> str | None:
    if not path:
        return "is empty"
    try:
        if len(path.encode()) > MAX_BYTES:
            return f"is longer than {MAX_BYTES} bytes"
    except UnicodeEncodeError:
        return "holds a lone surrogate"
    if any(unicodedata.category(character) == "Cc" for character in path):
        return "holds a control character"
    if any(character in _BIDI for character in path):
        return "holds a bidirectional mark"
    if "\\" in path:
        return "holds a backslash"
    if path.startswith(("/", "~")):
        return "is not relative"
    if ":" in path.split("/", 1)[0]:
        return "begins with a drive or a scheme"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"has the part {part!r}"
        if len(part.encode()) > MAX_PART_BYTES:
            return f"has a part longer than {MAX_PART_BYTES} bytes"
        if part[-1] in ". ":
            return "has a part that ends with a dot or a space"
        if part.split(".")[0].strip().lower() in _RESERVED:
            return f"uses the reserved name {part!r}"
    return None
