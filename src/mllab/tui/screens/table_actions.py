"""Moving and marking in a table: what every screen with one does alike."""

from __future__ import annotations

from mllab.tui.screens.lab_screen import LabScreen
from mllab.tui.widgets.runtable import RunTable


class TableActions(LabScreen):
    """A screen with a table."""

    @property
    def table(self) -> RunTable:
        """The table."""
        return self.query_one(RunTable)

    def do_down(self, _: str) -> None:
        """Move down."""
        self.table.move(1)

    def do_up(self, _: str) -> None:
        """Move up."""
        self.table.move(-1)

    def do_page_down(self, _: str) -> None:
        """Move a page down."""
        self.table.page(1)

    def do_page_up(self, _: str) -> None:
        """Move a page up."""
        self.table.page(-1)

    def do_half_down(self, _: str) -> None:
        """Move half a page down."""
        self.table.half_page(1)

    def do_half_up(self, _: str) -> None:
        """Move half a page up."""
        self.table.half_page(-1)

    def do_top(self, _: str) -> None:
        """Move to the first row."""
        self.table.home()

    def do_bottom(self, _: str) -> None:
        """Move to the last row."""
        self.table.end()

    def do_column_right(self, _: str) -> None:
        """Select the next column."""
        self.table.scroll_columns(1)

    def do_column_left(self, _: str) -> None:
        """Select the column before."""
        self.table.scroll_columns(-1)

    def do_mark(self, _: str) -> None:
        """Mark, and go on."""
        self.table.toggle_mark()
        self.table.move(1)

    def do_mark_range(self, _: str) -> None:
        """Mark up to here."""
        self.table.mark_range()

    def do_mark_none(self, _: str) -> None:
        """Take all marks away."""
        self.table.clear_marks()
