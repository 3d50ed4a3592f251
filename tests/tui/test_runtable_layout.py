"""Where columns stand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mllab.tui.widgets.table_layout import GUTTER, lay_out, revealing
from mllab.tui.widgets.table_model import TableColumn

COLUMNS = [TableColumn("name", "name", 12), *(TableColumn(key, key, 8) for key in "abcdef")]

columns = st.lists(
    st.builds(TableColumn, st.just("k"), st.just("t"), st.integers(0, 40), min_width=st.integers(1, 12)), max_size=12
)


def shown(layout):
    return [place.index for place in layout.placed]


def test_all_columns_are_shown_where_they_fit() -> None:
    layout = lay_out(COLUMNS, 100, 1, 0)
    assert shown(layout) == list(range(7))
    assert not layout.before
    assert not layout.after


def test_frozen_columns_stay_while_others_scroll() -> None:
    layout = lay_out(COLUMNS, 50, 1, 3)
    assert shown(layout)[:2] == [0, 3]
    assert layout.before
    assert layout.after


def test_the_last_column_is_cut_only_down_to_its_least_width() -> None:
    assert lay_out(COLUMNS, GUTTER + 13 + 9 + 5, 0, 0).placed[-1].cut
    assert lay_out(COLUMNS, GUTTER + 13 + 9 + 3, 0, 0).placed[-1].index == 1


def test_it_scrolls_no_further_than_the_last_column_needs() -> None:
    layout = lay_out(COLUMNS, 50, 1, 99)
    assert shown(layout)[-1] == 6
    assert not layout.after
    assert layout.first == lay_out(COLUMNS, 50, 1, layout.first).first


def test_a_wide_frozen_column_leaves_room_for_the_others() -> None:
    layout = lay_out([TableColumn("name", "name", 60), *COLUMNS[1:]], 40, 1, 1)
    assert layout.placed[0].width < 20
    assert len(layout.placed) > 1


@settings(max_examples=50)
@given(columns, st.integers(1, 120), st.integers(0, 4), st.integers(0, 14))
def test_columns_never_overlap_nor_leave_the_line(columns, width, fixed, first) -> None:
    layout = lay_out(columns, width, fixed, first)
    end = min(GUTTER, width)
    for place in layout.placed:
        assert place.x >= end
        assert place.width >= 1
        end = place.x + place.width
    assert end <= width
    for x in range(width):
        index = layout.column_at(x)
        assert index is None or layout.border_at(x) is None


@settings(max_examples=50)
@given(columns.filter(bool), st.integers(1, 120), st.integers(0, 4), st.integers(0, 14), st.integers(0, 11))
def test_any_column_can_be_brought_into_sight(columns, width, fixed, first, index) -> None:
    index %= len(columns)
    layout = lay_out(columns, width, fixed, revealing(columns, width, fixed, first, index))
    room = width - GUTTER - sum(place.width + 1 for place in layout.placed if place.index < layout.frozen)
    if room >= max(1, columns[index].width):
        assert any(place.index == index and not place.cut for place in layout.placed)
