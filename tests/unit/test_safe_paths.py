from __future__ import annotations

import os
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllab.errors import UnsafePathError
from mllab.security.paths import safe_relative

HOSTILE = [
    "", ".", "..", "../x", "a/../../b", "a/..", "./a", "a//b", "a/", "/etc/passwd", "//host/share", "\\\\host\\share",
    "..\\x", "a\\..\\b", "%2e%2e%2fx", "%252e%252e%252fx", "%2fetc", "a%00b", "a%5cb", "a\0b", "a\nb", "a\rb", "a\x1b[2Jb",
    "a\x7fb", "a\x85b", "C:\\x", "C:/x", "c:x", "file:///etc/passwd", "http://x/y", "data:x", "~", "~/x", "~root/x",
    "con", "CON", "con.txt", "a/NUL", "com1", "lpt9.log", "aux.", "a.", "a ", "a./b", "dir /b", "a" * 256, "é" * 128,
    "/".join(["d" * 100] * 11), "a\u202eb", "a\u2066b", "a\u200fb", "\udc80",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_paths_are_refused_by_name(name: str) -> None:
    with pytest.raises(UnsafePathError):
        safe_relative(name)


@pytest.mark.parametrize("name", [None, 3, b"x", ["x"]])
def test_a_path_is_text(name: object) -> None:
    with pytest.raises(UnsafePathError, match="text"):
        safe_relative(name)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a/b.txt",
        "loss at 100%.png",
        "weights (1).bin",
        "größe.txt",
        "50%25",
        ".hidden",
        "a..b",
        "...a",
        "conf.txt",
        "x;y",
    ],
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert safe_relative(name) == name


def test_twins_in_unicode_become_one_name() -> None:
    assert safe_relative("e\u0301.txt") == safe_relative("\u00e9.txt") == "\u00e9.txt"


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["..", ".", "a", "%2e", "%252f", "\\", "~", ":"]), max_size=8).map("/".join)
)
def test_what_passes_stays_inside_however_it_is_decoded(name: str) -> None:
    try:
        path = safe_relative(name)
    except UnsafePathError:
        return
    for _ in range(4):
        inside = os.path.normpath(os.path.join("/root/of/run", path))
        assert inside.startswith("/root/of/run/")
        path = unquote(path)


@given(st.text(alphabet="ab./", max_size=20))
def test_encoding_does_not_smuggle(name: str) -> None:
    encoded = quote(name, safe="")
    twice = quote(encoded, safe="")
    try:
        safe_relative(name)
    except UnsafePathError:
        for spelled in (encoded, twice):
            if spelled != name:
                with pytest.raises(UnsafePathError):
                    safe_relative(spelled)
