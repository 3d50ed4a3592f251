"""Tables, numbers and streams: what the command line's output is made of."""

from __future__ import annotations

import doctest
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllab import edits, wording
from mllab.cli import screen
from mllab.cli.output import binary_output
from mllab.cli.screen import ASCII, UNICODE, Screen, can_show_unicode
from mllab.cli.table import Cell, Column, print_pairs, print_table, wrap
from mllab.errors import UsageError
from mllab.query.column_lists import split_columns
from mllab.security.terminal import width


def make_screen(columns: int | None = None, *, color: bool = False) -> tuple[Screen, io.StringIO]:
    stream = io.StringIO()
    return Screen(stream, columns, color=color, glyphs=UNICODE), stream


@pytest.mark.parametrize("module", [wording, edits], ids=lambda m: m.__name__)
def test_examples(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed


def test_a_table_aligns_text_left_and_numbers_right() -> None:
    shown, stream = make_screen()
    print_table(shown, [Column("name"), Column("loss", right=True)], [["a", "0.5"], ["long", "12"]])
    assert stream.getvalue() == "name  loss\na      0.5\nlong    12\n"


def test_a_wide_table_gives_up_text_then_the_least_important_columns() -> None:
    columns = [
        Column("name", least=6),
        Column("status", rank=1, least=6),
        Column("loss", right=True, rank=2),
        Column("lr", right=True, rank=3),
    ]
    rows = [["a-long-name", "finished", "0.123456", "0.001"]]
    for room, kept in ((40, 4), (31, 4), (30, 3), (20, 2), (10, 1)):
        shown, stream = make_screen(room)
        hidden = print_table(shown, columns, rows)
        lines = stream.getvalue().splitlines()
        assert all(width(each) <= room for each in lines), lines
        assert hidden == 4 - kept
        assert ("0.123456" in lines[1]) == (kept >= 3), "a number is whole or not there"


@given(
    st.lists(st.tuples(st.text(max_size=30), st.text(alphabet="0123456789.", max_size=12)), max_size=5),
    st.integers(1, 60),
)
def test_a_table_never_exceeds_its_width(rows: list[tuple[str, str]], room: int) -> None:
    shown, stream = make_screen(room)
    print_table(shown, [Column("name"), Column("value", right=True, rank=1)], rows)
    assert all(width(each) <= room for each in stream.getvalue().split("\n"))


def test_cells_are_made_safe_and_colour_does_not_move_columns() -> None:
    shown, stream = make_screen(color=True)
    print_table(shown, [Column("na\x1bme"), Column("x")], [[Cell("a\x1b[2J", "red"), "1"], ["訓練", "2"]])
    heading, first, second = stream.getvalue().splitlines()
    assert "\x1b[2J" not in first
    assert first == "\x1b[31ma\\x1b[2J\x1b[0m  1"
    assert second == "訓練      2"
    assert "na\\x1bme" in heading


def test_pairs_wrap_long_values_below_themselves() -> None:
    shown, stream = make_screen(30)
    print_pairs(shown, [("lr", "0.1"), ("command", "python train.py --epochs 10 --lr 0.1")])
    assert stream.getvalue() == "lr       0.1\ncommand  python train.py\n         --epochs 10 --lr 0.1\n"


@given(st.text(max_size=80), st.integers(2, 40))
def test_wrapping_loses_only_spaces(text: str, room: int) -> None:
    pieces = wrap(text, room)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    assert all(width(piece) <= room for piece in pieces)


def test_colour_depends_on_terminal_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", Terminal())
    assert Screen.of_stdout().color
    assert not Screen.of_stdout(color=False).color
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Screen.of_stdout().color
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen.of_stdout().color
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert not Screen.of_stdout().color
    assert Screen.of_stdout().width is None
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "33")
    assert Screen.of_stdout().color
    assert Screen.of_stdout().width == 33


def test_a_closed_standard_output_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    shown = Screen.of_stdout()
    shown.print("nobody reads this")
    screen.print_json({"a": 1})
    with binary_output(None) as stream:
        stream.write(b"nothing")


@pytest.mark.parametrize(("encoding", "glyphs"), [("utf-8", UNICODE), ("ascii", ASCII), ("latin-1", ASCII)])
def test_glyphs_fit_the_encoding(encoding: str, glyphs: object) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert (UNICODE if can_show_unicode(stream) else ASCII) is glyphs
    assert set(UNICODE.status) == set(ASCII.status)


def test_sparklines() -> None:
    assert wording.sparkline([0, 1, 2, 3], "▁▃▅█", "!") == "▁▃▅█"
    assert wording.sparkline([5, 5], "▁▃▅█", "!") == "▃▃"
    assert wording.sparkline([None, float("nan"), 1, float("inf"), 2], "▁▃▅█", "!") == " !▁!█"
    assert wording.sparkline([-1.7e308, 0, 1.7e308], "▁▃█", "!") == "▁▃█"
    assert wording.sparkline([], "▁▃█", "!") == ""


def test_ages_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    second = 1_000_000
    now = 1_750_000_000
    ages = [wording.ago((now - age) * second, now) for age in (0, 5, 90, 7200, 86400 * 3, 86400 * 40)]
    assert ages[:5] == ["now", "5s ago", "1m ago", "2h ago", "3d ago"]
    assert ages[5].startswith("2025-05-")
    assert wording.ago((now + 3600) * second, now).startswith("2025-06-"), "a clock that is ahead"
    assert wording.iso_time(1_750_000_000_000_001) == "2025-06-15T15:06:40.000001Z"
    assert wording.iso_time(-1) == "1969-12-31T23:59:59.999999Z"
    assert wording.iso_time(2**62) is None
    assert wording.local_time(2**62)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e300, -1e-300, float("nan"), float("inf"), 123456789.0, 0.1 + 0.2])
def test_numbers_are_short(value: float) -> None:
    assert len(wording.number(value)) <= 10


def test_sizes_round_up_into_the_next_unit() -> None:
    assert [wording.size(n) for n in (999, 1000, 999_499, 99_400, 10**12)] == [
        "999 B",
        "1.0 kB",
        "999 kB",
        "99.4 kB",
        "1.0 TB",
    ]


def test_binary_formats_do_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(UsageError, match="Parquet"), binary_output(None, what="Parquet"):
        pytest.fail("never gets here")
    with binary_output("-") as stream:
        stream.write(b"name\n\x1b[2Jevil\n")
    assert terminal.getvalue() == "name\nevil\n"


def test_columns_are_split_outside_backticks() -> None:
    assert split_columns(None) is None
    assert split_columns("name, loss ,,`a,b`,min(`x``,y`)") == ["name", "loss", "`a,b`", "min(`x``,y`)"]
    assert split_columns("ema(loss, 0.9),time_to(`a(,b` < 1),x") == ["ema(loss, 0.9)", "time_to(`a(,b` < 1)", "x"]
    assert split_columns("min(loss, name") == ["min(loss", "name"], "what is no list is for the filter to refuse"
