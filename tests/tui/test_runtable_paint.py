"""Text from outside in exactly as many cells, and lines of few pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from tests.tui.demo_runtable import COLUMNS as DEMO_COLUMNS
from tests.tui.demo_runtable import made_up_row

from mllab.security import terminal
from mllab.tui.widgets.table_layout import lay_out
from mllab.tui.widgets.table_model import ASCII_GLYPHS, TableCell, TableColumn, TableGlyphs, TableRow
from mllab.tui.widgets.table_paint import TablePainter, cell_text

BASE = Style.parse("white on black")
STYLES = {
    "cursor": Style.parse("white on blue bold"),
    "bad": Style.parse("red"),
    "best": Style.parse("green bold underline"),
    "dim": Style.parse("dim"),
    "mark": Style.parse("yellow"),
    "header-selected": Style.parse("underline"),
    "header": Style.parse("white on grey30"),
}
COLUMNS = [TableColumn("name", "name", 8), *(TableColumn(key, key, 6, "right") for key in "abc")]


def painter(width: int = 60, first: int = 0, columns=COLUMNS, glyphs=None) -> TablePainter:
    layout = lay_out(columns, width, 1, first)
    return TablePainter(columns, layout, glyphs or TableGlyphs(), BASE, lambda name: STYLES.get(name, Style.null()))


def underlined(strip) -> list[str]:
    return [segment.text for segment in strip if segment.style.underline]


def colors(strip) -> set[tuple[str, str]]:
    return {(segment.style.color.name, segment.style.bgcolor.name) for segment in strip}


def row(*cells: TableCell, **more) -> TableRow:
    return TableRow("key", cells, **more)


@given(st.text(), st.integers(1, 30), st.sampled_from(["left", "right"]))
def test_any_text_takes_exactly_its_cells(text, width, align) -> None:
    shown = cell_text(text, width, align)
    assert terminal.width(shown) == cell_len(shown) == width


@pytest.mark.parametrize(
    "text", ["❤️", "👍🏽", "\U0001f469\u200d\U0001f467 family", "नि", "🇩🇪", "é" * 9, "日本語のタグ", "\u202eevil"]
)
def test_what_terminals_disagree_about_takes_its_cells_too(text) -> None:
    shown = cell_text(text, 7, "left")
    assert terminal.width(shown) == cell_len(shown) == 7


def test_numbers_line_up_and_cuts_show() -> None:
    assert [cell_text(text, 7, "right") for text in ("0.25", "12.50", "1234567.5")] == ["   0.25", "  12.50", "123456…"]


def test_controls_are_shown_and_never_sent() -> None:
    text = painter().line(row(TableCell("a\x1b[31mb"))).text
    assert "\x1b" not in text
    assert "a\\x1b[3" in text


def test_markup_is_text() -> None:
    assert "[b]x[/b]" in painter().line(row(TableCell("[b]x[/b]"))).text


def test_a_plain_row_is_one_piece() -> None:
    assert len(list(painter().line(row(*(TableCell("x"),) * 4)))) == 1


def test_a_styled_value_costs_two_pieces() -> None:
    cells = (TableCell("x"), TableCell("1"), TableCell("bad", "bad"), TableCell("2"))
    assert [segment.text.strip() for segment in painter().line(row(*cells))] == ["x             1", "bad", "2"]


def test_the_two_lines_of_a_move_take_600_bytes_at_most() -> None:
    console = Console(color_system="truecolor", force_terminal=True)
    subject = painter(width=119, columns=DEMO_COLUMNS)
    rows = [made_up_row(index) for index in range(200)]
    sizes = [
        len((subject.line(left).render(console) + subject.line(right, state="cursor").render(console)).encode())
        for left, right in itertools.pairwise(rows)
    ]
    assert 2 * 119 < max(sizes) <= 600


def test_values_of_one_style_side_by_side_are_one_piece() -> None:
    cells = (TableCell("x"), TableCell("1", "bad"), TableCell("2", "bad"), TableCell("3", "bad"))
    assert len(list(painter().line(row(*cells)))) == 2


def test_an_underline_does_not_run_on_over_blanks() -> None:
    line = painter(width=40).line(row(TableCell("x"), TableCell("123456", "best"), TableCell("2")))
    assert underlined(line) == ["123456"]


def test_the_cursor_line_is_marked_without_colour_and_keeps_underlines_not_colours() -> None:
    line = painter().line(row(TableCell("x"), TableCell("1", "bad"), TableCell("123456", "best")), state="cursor")
    assert line.text.startswith("▌")
    assert colors(line) == {("white", "blue")}
    assert underlined(line) == ["123456"]


def test_marks_and_the_glyph_stand_before_the_columns() -> None:
    assert painter().line(row(TableCell("x"), glyph="✗"), marked=True).text.startswith(" ●✗ x")
    assert painter().line(row(TableCell("x"), glyph="✗"), state="cursor").text.startswith("▌ ✗ x")
    plain = painter(glyphs=ASCII_GLYPHS)
    assert plain.line(row(TableCell("x" * 9)), state="cursor", marked=True).text.startswith(">*  xxxxxxx~")


def test_a_row_with_too_few_or_too_many_cells_is_shown() -> None:
    assert painter().line(row()).cell_length == 60
    assert painter().line(row(*(TableCell("x"),) * 9)).text.count("x") == 4


def test_a_row_that_is_not_loaded_is_dots() -> None:
    line = painter().line(None)
    assert line.text.count("…") == 4
    assert line.cell_length == 60


def test_a_strip_is_kept_until_the_row_has_other_values() -> None:
    subject = painter()
    one = subject.line(row(TableCell("1")))
    assert subject.line(row(TableCell("1"))) is one
    assert subject.line(row(TableCell("2"))).text != one.text
    assert subject.line(row(TableCell("2")), marked=True).text != subject.line(row(TableCell("2"))).text


def test_the_header_shows_the_sort_on_the_side_of_the_numbers() -> None:
    text = painter().header(("b", True), 0).text
    assert "│   ▼ b│" in text
    assert painter().header(("name", False), 0).text.startswith("    name ▲  │")
    assert "▲" not in painter().header(None, 0).text


def test_the_header_shows_the_selected_column_and_hidden_ones() -> None:
    assert underlined(painter().header(None, 2)) == ["     b"]
    narrow = painter(width=30, first=2)
    assert "<" in narrow.header(None, 0).text
    assert painter(width=25).header(None, 0).text.endswith(">")
    assert painter(width=25).header(None, 0).cell_length == 25


@given(st.integers(1, 60), st.integers(0, 5), st.sampled_from([None, ("a", True), ("name", False)]))
def test_every_line_has_the_width_of_the_table(width, first, sort) -> None:
    subject = painter(width, first)
    lines = [
        subject.header(sort, 0),
        subject.line(None),
        subject.line(row(*(TableCell("日本"),) * 4)),
        subject.blank("x"),
    ]
    assert {cell_len(line.text) for line in lines} == {width}
    assert {line.cell_length for line in lines} == {width}
