"""The lines that are left when a terminal's worth of rewriting is over."""

from __future__ import annotations

import pytest

from mllab.tracking import capture_screen
from mllab.tracking.capture_screen import Screen


def seen(*writes: str) -> str:
    """Return the lines that a run which writes this leaves behind, with a flush after each write."""
    screen, lines = Screen(), ""
    for number, text in enumerate(writes):
        screen.write(text, number + 1)
        lines += "".join(text.text for text in screen.finished())
        screen.unfinished()
    return lines + "".join(text.text for text in screen.close())


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("", ""),
        ("\n", "\n"),
        ("a\nb\n\nc", "a\nb\n\nc\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("10%\r20%\r30%\n", "30%\n"),
        ("working...\rdone\n", "done\n"),
        ("end with return\r", "end with return\n"),
        ("|\b/\b-\b\\\b \n", " \n"),
        ("abc\b\b\b\b\bxy\n", "xy\n"),
        ("long text\r\x1b[Kshort\n", "short\n"),
        ("long text\x1b[2K\rshort\n", "short\n"),
        ("keep\x1b[K\n", "keep\n"),
        ("a\nb\nc\x1b[2A\rA\n\n\n", "A\nb\nc\n"),
        ("a\nb\nc\r\x1b[2A\x1b[JX\n", "X\n"),
        ("up\x1b[99A beyond\n", "up beyond\n"),
        ("\x1b[?25lhidden\x1b[?25h\n", "hidden\n"),
        ("\x1b[31mred\x1b[0m\n", "\x1b[31mred\x1b[0m\n"),
        ("a\x1b[1Fb\n", "b\n"),
    ],
)
def test_one_write(written: str, left: str) -> None:
    assert seen(written) == left


@pytest.mark.parametrize("written", ["a\nb\rc\n\x1b[1Ad\n\n", "x\n\ny\r\n12\b3\n", "1\r2\r3\n4"])
def test_pieces_make_no_difference(written: str) -> None:
    # Escape sequences are written whole by every program known; the rest may come in any pieces.
    pieces = written.replace("\x1b[1A", "\0").split("\0")
    screen = Screen()
    for number, piece in enumerate(pieces):
        if number:
            screen.write("\x1b[1A", 1)
        for character in piece:
            screen.write(character, 1)
    assert "".join(text.text for text in screen.close()) == seen(written)


def test_nested_bars_leave_one_line_each() -> None:
    # What tqdm writes for an outer bar at row 0 and an inner one at row 1.
    writes = []
    for outer in range(3):
        writes.append(f"\router {outer}/3")
        writes += [f"\n\rinner {inner}/9\x1b[A" for inner in range(10)]
        writes.append("\n\r       \r\x1b[A")
    writes += ["\router 3/3", "\n"]
    assert seen(*writes) == "outer 3/3\n"


def test_live_displays_leave_their_last_state() -> None:
    # What rich writes: erase the rows from the bottom up, then draw them again.
    erase = "\r\x1b[2K\x1b[1A\x1b[2K"
    writes = ["\x1b[?25l", "A 0\nB 0"]
    writes += [f"{erase}A {n}\nB {n}" for n in range(1, 5)]
    writes += [f"{erase}a message\nA 5\nB 5", f"{erase}A 6\nB 6", "\n\x1b[?25h"]
    assert seen(*writes) == "a message\nA 6\nB 6\n"


def test_states_show_all_open_rows_once() -> None:
    screen = Screen()
    screen.write("outer 1\n\rinner 5\x1b[A", 1)
    assert [text.text for text in screen.finished()] == []
    assert [text.text for text in screen.unfinished()] == ["outer 1\ninner 5"]
    assert screen.unfinished() == []
    screen.write("\n\rinner 6\x1b[A", 2)
    screen.finished()
    assert [text.text for text in screen.unfinished()] == ["outer 1\ninner 6"]


def test_a_line_that_only_grows_is_shown_a_few_times() -> None:
    screen, shown = Screen(), 0
    for number in range(1000):
        screen.write(".", number)
        shown += sum(len(text.text) for text in screen.unfinished())
    assert shown < 3000
    assert "".join(text.text for text in screen.close()) == "." * 1000 + "\n"


def test_lines_of_one_moment_are_one_text_and_keep_their_time() -> None:
    screen = Screen()
    screen.write("a\n", 1_000_000)
    screen.write("b\n", 1_050_000)
    screen.write("c\n", 1_200_000)
    assert screen.finished() == [("a\nb\n", 1_000_000), ("c\n", 1_200_000)]
    screen.write("late ", 2_000_000)
    screen.write("line\n", 3_000_000)
    assert screen.finished() == [("late line\n", 2_000_000)]


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("control", ["", "\r"])
def test_endless_lines_are_broken(end: str, control: str) -> None:
    size = 3 * capture_screen.MAX_LINE + 5
    left = seen(control + "x" * size + end)
    assert left.count("x") == size
    assert left.endswith("\n")
    assert max(map(len, left.split("\n"))) <= capture_screen.MAX_LINE


def test_texts_stay_moderate_and_whole() -> None:
    screen = Screen()
    written = "".join(f"line {number}\n" for number in range(30_000))
    screen.write(written, 1)
    texts = [text.text for text in screen.finished()]
    assert "".join(texts) == written
    assert max(map(len, texts)) <= capture_screen.MAX_TEXT
    assert all(text.endswith("\n") for text in texts)


def test_many_open_rows_are_given_up() -> None:
    screen = Screen()
    screen.write("a\n" * 5000 + "\x1b[90Ax\r" + "b\n" * 5000, 1)
    assert len(screen._rows) <= capture_screen.MAX_OPEN_ROWS
    lines = "".join(text.text for text in screen.finished()) + "".join(text.text for text in screen.close())
    assert (lines.count("a"), lines.count("b")) == (4910, 5000)
