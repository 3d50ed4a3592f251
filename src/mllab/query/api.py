"""Reading from Python: ``mllab.runs``, ``mllab.metrics`` and ``mllab.sql`` give polars frames."""

from __future__ import annotations

import importlib
import math
import threading
from collections import Counter
from numbers import Real
from typing import TYPE_CHECKING, Any

from mllab.errors import UsageError
from mllab.ids import is_run_id
from mllab.lab import Lab
from mllab.query.select import select
from mllab.query.wide import shown_columns, wide_frame

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from mllab.query.curves import Curve
    from mllab.query.engine import Engine
    from mllab.tracking.run import Run


def runs(
    filter: str | None = None,  # noqa: A002  # the word users know
    *,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    include_archived: bool = False,
    lab: Lab | str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """Return runs as a frame, one row each, in the order the filter asks for (newest first otherwise).

    Args:
        filter: a filter, such as ``"status = finished and loss < 0.1 order by auc desc"``.
        columns: which columns to return, such as ``["name", "params.lr", "metrics.loss"]``; all when None.
        limit: the most rows.
        include_archived: also archived runs (a filter that mentions ``archived`` decides by itself).
        lab: a folder or Lab.

    Returns:
        Run attributes, then ``params.<key>`` (with its own type), ``tags.<key>`` and ``metrics.<key>``, the
        metric's last value.

    Raises:
        FilterError: the filter is wrong; the message points at the column.
        UsageError: there is no such column, one is named twice, or the limit is no whole number from 0.

    Example:
        >>> import mllab
        >>> frame = mllab.runs("loss < 0.5 order by loss", lab=getfixture("lab"))
    """
    if limit is not None:
        if not _is_whole(limit) or limit < 0:
            raise UsageError(f"limit is {limit!r}.", "Give a whole number from 0, or None for all runs.")
        limit = int(limit)  # of numpy's types too
    if isinstance(columns, str):
        raise UsageError(f"columns is {columns!r}.", f"Give a list of names: columns=[{columns!r}].")
    twice = next((name for name, count in Counter(columns or ()).items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"columns names {twice!r} twice.", "A frame has each column once.")
    engine = Lab.find(lab).engine
    # polars takes longer to import than DuckDB to filter: meanwhile, not before.
    threading.Thread(target=importlib.import_module, args=("polars",)).start()

    def read() -> pl.DataFrame:
        show = shown_columns(columns)
        chosen = select(engine, filter, include_archived=include_archived, limit=limit, with_total=False, show=show)
        return wide_frame(engine, chosen.refs, columns, chosen.shown)

    # Of one state of the store: an open run has another number in the next.
    return engine.consistently(read)


def metrics(
    runs: str | Run | Iterable[str | Run] | pl.DataFrame | None = None,
    keys: str | Sequence[str] | None = None,
    *,
    max_points: int | None = None,
    attempts: str = "newest",
    steps: tuple[int | None, int | None] = (None, None),
    lab: Lab | str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """Return metric points as a frame with the columns run_id, key, step, time and value.

    Args:
        runs: a filter, a run, runs by id or name, or a frame with a column ``run_id``; all runs when None.
        keys: one metric or several; all when None.
        max_points: the most points of each curve. Minima, maxima, first, last and NaN of every stretch stay.
        attempts: ``newest`` leaves out what a resumed run began anew; ``all`` keeps every point.
        steps: first and last step, inclusive; None for no bound.
        lab: a folder or Lab.

    Raises:
        FilterError: the filter is wrong; the message points at the column.
        UsageError: an argument is none of what it can be.

    Example:
        >>> import mllab
        >>> frame = mllab.metrics(keys="loss", max_points=500, lab=getfixture("lab"))
        >>> frame.columns
        ['run_id', 'key', 'step', 'time', 'value']
    """
    import numpy as np
    import polars as pl

    from mllab.query.curves import curves

    if attempts not in ("newest", "all"):
        raise UsageError(f"attempts is {attempts!r}.", "Choose newest or all.")
    if not _is_window(steps):
        raise UsageError(
            f"steps is {steps!r}.", "Give the first and the last step, with None for no bound: steps=(1000, None)."
        )
    engine = Lab.find(lab).engine
    wanted = [keys] if isinstance(keys, str) else keys

    def read() -> tuple[dict[int, str], list[Curve]]:
        refs = _refs(engine, runs)
        newest = attempts == "newest"
        return refs, list(curves(engine, list(refs), wanted, max_points=max_points, newest=newest, steps=steps))

    refs, found = engine.consistently(read)
    lengths = [len(curve.step) for curve in found]

    def column(name: str, dtype: Any) -> pl.Series:
        parts = [getattr(curve, name) for curve in found]
        return pl.Series(name, np.concatenate(parts) if parts else [], dtype=dtype)

    def labels(name: str, values: list[str]) -> pl.Series:
        words = pl.Series(name, values, dtype=pl.String)
        return words.gather(np.repeat(np.arange(len(found)), lengths)) if found else words

    return pl.DataFrame(
        [
            labels("run_id", [refs[curve.ref] for curve in found]),
            labels("key", [curve.key for curve in found]),
            column("step", pl.Int64),
            column("time", pl.Int64).cast(pl.Datetime("us", "UTC")),
            column("value", pl.Float64),
        ]
    )


def sql(
    query: str,
    *,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
    lab: Lab | str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """Run SQL over the lab's views and return a frame. docs/reference/sql.md lists the views.

    The query reads the lab and nothing else: no files, no network, no settings.

    Args:
        query: DuckDB SQL.
        params: values for ``?`` or ``$name`` in the query.
        timeout_s: cancel the query after this many seconds.
        lab: a folder or Lab.

    Example:
        >>> import mllab
        >>> counts = mllab.sql("SELECT status, count(*) AS n FROM runs GROUP BY status", lab=getfixture("lab"))
    """
    from mllab.query.sandbox import Sandbox

    sandbox = Sandbox(Lab.find(lab).store)
    frame: pl.DataFrame = sandbox.run(query, lambda result: result.pl(), params=params, timeout_s=timeout_s)
    return frame


def _is_window(steps: Any) -> bool:
    is_pair = isinstance(steps, (tuple, list)) and len(steps) == 2
    return is_pair and all(step is None or _is_whole(step) for step in steps)


def _is_whole(number: Any) -> bool:
    """Whether this is a whole number, of whatever type."""
    return isinstance(number, Real) and math.isfinite(number) and float(number).is_integer()


def _refs(engine: Engine, runs: Any) -> dict[int, str]:
    """Return run ids by ref, in order."""
    import polars as pl

    from mllab.tracking.run import Run

    if runs is None or (isinstance(runs, str) and not is_run_id(runs)):
        refs = select(engine, runs, include_archived=True).refs
        ids = dict(
            engine.rows("SELECT ref, run_id FROM r_runs SEMI JOIN (SELECT unnest(?) AS ref) USING (ref)", [refs])
        )
        return {ref: ids[ref] for ref in refs}
    if isinstance(runs, pl.DataFrame):
        if "run_id" not in runs.columns:
            raise UsageError("The frame has no column run_id.", "Pass what mllab.runs returned.")
        runs = runs["run_id"].to_list()
    names = [run.id if isinstance(run, Run) else str(run) for run in ([runs] if isinstance(runs, (str, Run)) else runs)]
    rows = engine.rows(
        "SELECT run_id, ref FROM r_runs SEMI JOIN (SELECT unnest(?) AS run_id) USING (run_id) WHERE deleted IS NULL",
        [[name for name in names if is_run_id(name)]],
    )
    known = {run_id: (int(ref), run_id) for run_id, ref in rows}
    return dict(known.get(name) or engine.find(name) for name in names)
