"""The list of runs behind the table: which runs in which order at one state of the lab, their rows read as needed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mllab.errors import MllabError
from mllab.query.filter_parser import parse
from mllab.query.select import EngineKeys, select_refs
from mllab.query.views import automatic_columns, column
from mllab.tui.services.run_cells import numeric_columns, table_columns, table_row
from mllab.tui.services.run_rows import memory_columns, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mllab.query.engine import Engine
    from mllab.query.filter_ast import Term
    from mllab.query.tables import Tables
    from mllab.query.views import Which
    from mllab.tui.services.reader import Reader
    from mllab.tui.widgets.table_model import TableColumn, TableRow

PAGE_ROWS = 64
MOST_PAGES = 64
REST_S = 1.0
# A query that names 100,000 runs takes seconds: of more runs than these, the ids of all are read from memory.
MOST_NAMED = 1000
WHICH: tuple[Which, ...] = ("present", "archived too", "deleted")


@dataclass(frozen=True, slots=True)
class RunView:
    """What the list shows, in the user's words.

    Attributes:
        filter: a filter.
        order: what to sort by, such as ``loss desc``; the filter's own order when empty.
        columns: columns as a filter names them; chosen by what the runs have when empty.
        which: "present", "archived too" or "deleted".
    """

    filter: str = ""
    order: str = ""
    columns: tuple[str, ...] = ()
    which: Which = "present"

    @property
    def text(self) -> str:
        """The whole as one filter, as Python and the command line take it."""
        if not self.order:
            return self.filter
        return str(replace(parse(self.filter), order=parse(f"order by {self.order}").order))


@dataclass(frozen=True, slots=True)
class Listed:
    """A view, answered: the runs in order at one state of the lab, and the first rows."""

    view: RunView
    state: Tables
    refs: NDArray[np.int64]
    terms: tuple[Term, ...]
    columns: tuple[TableColumn, ...]
    first: tuple[TableRow, ...]
    sorted_by: tuple[str, bool] | None
    present: int


def answer(
    engine: Engine, view: RunView, pins: Sequence[str], widths: Mapping[str, int], terms: Sequence[Term] | None = None
) -> Listed:
    """Answer a view. Slow enough for a thread.

    Args:
        engine: the lab's query engine.
        view: what to show.
        pins: runs to put first, when the view holds them.
        widths: widths of columns that the user changed.
        terms: the columns to keep while the filter is being typed; chosen afresh when None.

    Raises:
        FilterError: the filter or the order is wrong.
        UsageError: a column is none.
    """
    state = engine.pinned()
    with engine.at(state):
        text = view.text
        chosen = select_refs(
            engine, text, include_archived=view.which == "archived too", deleted=view.which == "deleted"
        )
        refs = _pinned_first(engine, chosen.refs, pins)
        sample = [int(ref) for ref in refs[:PAGE_ROWS]]
        keys = EngineKeys(engine)
        if view.columns:
            terms = tuple(column(each, keys) for each in view.columns)
        elif terms is None:
            mentioned = [term for term in chosen.columns if term.kind != "run" and not term.has_steps]
            terms = in_reading_order(automatic_columns(engine, sample, mentioned))
        rows = read_rows(engine, sample, terms)
        now_s = time.time()
        marked = set(pins)
        first = tuple(table_row(run, terms, cells, now_s, marked) for run, cells in rows)
        columns = table_columns(terms, first, widths, numeric_columns(terms, [cells for _, cells in rows]))
        order = parse(text).order
        sorted_by = None
        if order:
            term = column(str(order[0].term), keys)
            sorted_by = (str(term), order[0].descending)
        present = len(refs)
        if view.filter:
            ((present,),) = engine.rows("SELECT count(*) FROM r_runs WHERE deleted IS NULL AND NOT archived")
    return Listed(view, state, refs, tuple(terms), tuple(columns), first, sorted_by, int(present))


# The status is the glyph before the row; what tells runs apart comes before what only dates them.
_LAST = ("duration", "started", "experiment", "id")


def in_reading_order(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Return columns for a narrow table: the name, metrics, params, tags, then when and where."""
    names = [term for term in terms if term.kind == "run" and term.key == "name"]
    rest = [term for term in terms if term.kind == "run" and term.key in _LAST]
    rest.sort(key=lambda term: _LAST.index(term.key))
    return (*names, *(term for term in terms if term.kind != "run"), *rest)


def _pinned_first(engine: Engine, refs: NDArray[np.int64], pins: Sequence[str]) -> NDArray[np.int64]:
    import numpy as np

    if not pins:
        return refs
    found = engine.rows("SELECT ref, run_id FROM r_runs WHERE list_contains(?::VARCHAR[], run_id)", [list(pins)])
    order = {run_id: place for place, run_id in enumerate(pins)}
    wanted = [int(ref) for ref, run_id in sorted(found, key=lambda row: order[row[1]])]
    top = np.array([ref for ref in wanted if ref in refs], np.int64)
    return np.concatenate([top, refs[~np.isin(refs, top)]]) if len(top) else refs


class RunList:
    """Rows of a listed view for the table, read a page at a time in threads; what was read is kept for a while."""

    def __init__(
        self, reader: Reader, listed: Listed, pins: Sequence[str], arrived: Callable[[int, int], None]
    ) -> None:
        self.listed = listed
        self._reader = reader
        self._pins = set(pins)
        self._arrived = arrived
        self._pages: OrderedDict[int, tuple[TableRow, ...]] = OrderedDict()
        if listed.first:
            self._pages[0] = listed.first
        self._wanted: range = range(0)
        self._task: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self.problem: Exception | None = None

    def __len__(self) -> int:
        return len(self.listed.refs)

    def row(self, index: int) -> TableRow | None:
        """Return a row that has been read."""
        rows = self._pages.get(index // PAGE_ROWS)
        return rows[index % PAGE_ROWS] if rows is not None and index % PAGE_ROWS < len(rows) else None

    def want(self, start: int, stop: int) -> None:
        """Read these rows, what is in the middle first; a later call replaces this one."""
        self._wanted = range(max(start, 0) // PAGE_ROWS, -(-min(stop, len(self)) // PAGE_ROWS))
        if self._task is None and any(number not in self._pages for number in self._wanted):
            self._task = asyncio.get_running_loop().create_task(self._read())
        if self._warming is None:
            self._warming = asyncio.get_running_loop().create_task(self._warm())

    async def _read(self) -> None:
        try:
            while missing := [number for number in self._wanted if number not in self._pages]:
                middle = (self._wanted.start + self._wanted.stop - 1) / 2
                number = min(missing, key=lambda each: abs(each - middle))
                rows = await self._reader.call(self._page, number)
                self._pages[number] = rows
                while len(self._pages) > MOST_PAGES:
                    self._pages.popitem(last=False)
                self._arrived(number * PAGE_ROWS, number * PAGE_ROWS + len(rows))
        except Exception as error:  # the state may be too old to be read: the next look at the lab shows a newer
            self.problem = error
        finally:
            self._task = None

    async def _warm(self) -> None:
        """Have memory hold what the columns say of all runs, once the list rests: other orders come from there."""
        await asyncio.sleep(REST_S)
        engine, columns = self._reader.lab.engine, memory_columns(self.listed.terms)

        def load() -> None:
            with engine.steady():
                for column in columns:  # one by one, because whoever filters meanwhile waits until one is there
                    engine.resident_tables([column])

        with contextlib.suppress(MllabError, RuntimeError):  # the reader may be closed meanwhile
            await self._reader.call(load)

    def _page(self, number: int) -> tuple[TableRow, ...]:
        engine = self._reader.lab.engine
        refs = [int(ref) for ref in self.listed.refs[number * PAGE_ROWS : (number + 1) * PAGE_ROWS]]
        with engine.at(self.listed.state):
            rows = read_rows(engine, refs, self.listed.terms)
        now_s = time.time()
        return tuple(table_row(run, self.listed.terms, cells, now_s, self._pins) for run, cells in rows)

    def index_of(self, run_id: str) -> int | None:
        """Return where a run is in the list, among the rows that have been read."""
        for number, rows in self._pages.items():
            for place, row in enumerate(rows):
                if row.key == run_id:
                    return number * PAGE_ROWS + place
        return None


def find_index(engine: Engine, listed: Listed, run_id: str) -> int | None:
    """Return where a run is in a list, wherever that is; slow enough for a thread."""
    import numpy as np

    with engine.at(listed.state):
        rows = engine.rows("SELECT ref FROM r_runs WHERE run_id = ?", [run_id])
    if not rows:
        return None
    places = np.flatnonzero(listed.refs == int(rows[0][0]))
    return int(places[0]) if len(places) else None


def neighbour(engine: Engine, listed: Listed, run_id: str, places: int) -> str | None:
    """Return the run so many rows below another; None where the list ends. Slow enough for a thread."""
    index = find_index(engine, listed, run_id)
    if index is None or not 0 <= index + places < len(listed.refs):
        return None
    with engine.at(listed.state):
        rows = engine.rows("SELECT run_id FROM r_runs WHERE ref = ?", [int(listed.refs[index + places])])
    return str(rows[0][0]) if rows else None


def run_ids(engine: Engine, listed: Listed, most: int = 100_000) -> list[str]:
    """Return the ids of the runs of a list, in order."""
    refs: list[int] = listed.refs[:most].tolist()
    with engine.at(listed.state):
        ids = {}
        named = refs
        if len(refs) > MOST_NAMED:
            _, named = engine.sealed_and_open(refs)
            base, tables = engine.resident_tables(["run_id"])
            column = tables["run_id"]
            both = base.name if column is base else f"{base.name} POSITIONAL JOIN {column.name}"
            found: Any = engine.arrow(f"SELECT ref, run_id FROM {both}")  # noqa: S608  # names of ours
            ids = dict(zip(found.column("ref").to_pylist(), found.column("run_id").to_pylist(), strict=True))
        if named:
            ids |= dict(engine.rows(f"SELECT ref, run_id FROM ({engine.rows_sql('runs', named)})"))  # noqa: S608  # integers
    return [ids[ref] for ref in refs]
