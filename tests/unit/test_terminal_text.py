"""What is printed can neither command a terminal nor pass for something else."""

from __future__ import annotations

import doctest
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllab.security import terminal
from mllab.security.terminal import block, fit, line, width

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b[2J\x1b[H",  # clear the screen
    "\x1b]52;c;cm0gLXJm\x07",  # set the clipboard
    "\x1b]52;c;cm0gLXJm",  # the same, never closed
    "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",  # a link with another target
    "\x1b]0;title\x9c",
    "\x9b31m",  # 8-bit CSI
    "\x9d0;title\x9c",
    "\x90q\x9c\x98\x9e\x9f",
    "\x1bP1$r\x1b\\",
    "\x1b(0lqk\x1b(B",  # another character set
    "\x1bc",  # reset
    "a\rb\x08\x08c\x07\x0c\x0b\x00\x7f",
    "safe\u202etxt.exe",
    "\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "ad\u200bmin\u2060\ufeff\u00ad\u034f",
    "line\u2028separator\u2029",
    "\ud800lone\udfff",
    "tag\U000e0041\U000e007f",
    "\u115f\u3164\uffa0\u2800",
]
SPOOFING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_safe(text: str, allowed: str = "") -> bool:
    return all(unicodedata.category(c) not in SPOOFING for c in text if c not in allowed)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_harmless(text: str) -> None:
    assert is_safe(line(text))
    assert is_safe(block(text), "\n\t")
    assert "\x1b" not in line(text) + block(text)


def test_a_line_shows_everything_that_was_in_it() -> None:
    names = ["run", "ru\u200bn", "run\x1b[0m", "run\n", "run\u202e"]
    assert len({line(name) for name in names}) == len(set(names))
    assert line("a\nb\tc\rd") == "a\\nb\\tc\\rd"
    assert line("\x9b") == "\\x9b"
    assert line("\u202e") == "\\u202e"
    assert line("\U000e0041") == "\\U000e0041"


@pytest.mark.parametrize(
    "text",
    ["naïve café", "訓練 损失", "Привет", "\u2018quotes\u2019 \u2013 dashes…", "loss ↓ 0.1 µs", "e\u0301", "👍🏽"],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert line(text) == text
    assert block(f"{text}\n\t{text}") == f"{text}\n\t{text}"


def test_every_dangerous_code_point_is_escaped() -> None:
    passed = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in SPOOFING and chr(code) in line(chr(code))
    ]
    assert passed == []


def test_a_block_keeps_lines_and_takes_sequences_out_whole() -> None:
    assert block("\x1b[1;31merror\x1b[0m: no\n\tsuch file\n") == "error: no\n\tsuch file\n"
    assert block("one\x1b]0;title\x07two") == "onetwo"
    assert block("before\x1b]52;c;never closed\nafter\n") == "before\nafter\n"
    assert block("\x1b(0x\x1b(B") == "x"


def test_a_block_shows_what_carriage_returns_leave() -> None:
    assert block("10%\r20%\r30%\n") == "30%\n"
    assert block("windows\r\nlines\r\n") == "windows\nlines\n"
    assert block("50%\r") == "50%"


def test_stacked_marks_cannot_bleed_over_other_lines() -> None:
    zalgo = "a" + "\u0300" * 500 + "b"
    assert len(line(zalgo)) == 6
    assert len(block(zalgo)) == 6


@given(st.text(alphabet=st.characters(codec=None, categories=None)))
def test_any_text_is_safe_in_either_form(text: str) -> None:
    assert is_safe(line(text))
    assert is_safe(block(text), "\n\t")
    assert line(line(text)) == line(text)
    assert block(block(text)) == block(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["x", "é", "\x1b[", "\x1b]", "\x1b", "\r", "a\r", "\u0300", "\x1b[1;", "\x9d", "\n"])
def test_a_megabyte_takes_no_longer_than_its_length(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    line(text)
    block(text)
    fit(line(text), 80)


def test_width_counts_cells() -> None:
    assert width("loss") == 4
    assert width("訓練") == 4
    assert width("e\u0301") == 1
    assert width("né") == 2


@pytest.mark.parametrize(
    ("text", "cells", "cut"),
    [
        ("validation", 10, "validation"),
        ("validation", 9, "validati…"),
        ("訓練損失", 5, "訓練…"),
        ("ab", 1, "…"),
        ("ab", 0, ""),
        ("", 0, ""),
    ],
)
def test_fit_cuts_to_cells(text: str, cells: int, cut: str) -> None:
    assert fit(text, cells) == cut


@given(st.text(alphabet="ab訓é\u0301"), st.integers(0, 20))
def test_fit_never_exceeds_the_cells(text: str, cells: int) -> None:
    assert width(fit(text, cells)) <= cells
    assert fit(text, width(text)) == text


def test_examples() -> None:
    assert doctest.testmod(terminal).failed == 0
