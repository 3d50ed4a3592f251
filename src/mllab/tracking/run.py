"""A run: what a training script holds in its hand. Writes with the standard library alone, on Python 3.9 and later."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
import traceback
from typing import TYPE_CHECKING, Any, Optional, SupportsFloat, SupportsIndex

from mllab.errors import InvalidValueError, MllabError, RunClosedError, WriteError
from mllab.store.run_status import ENDED
from mllab.store.values import as_json, check_key, clean_text, flatten
from mllab.tracking import artifacts, datasets
from mllab.tracking.background import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from mllab.config.settings import Settings
    from mllab.store.segment import SegmentWriter
    from mllab.store.store import Store
    from mllab.tracking.session import Session

MAX_TRACEBACK = 64 << 10
MAX_WARNINGS = 20
_log = logging.getLogger("mllab")


class Run:
    """One tracked run. Made by :func:`mllab.start_run`; use it in a ``with`` block, or call :meth:`finish`.

    A record is safe from the process being killed once the call that logged it has returned, and from a power
    failure about a second later. All methods can be called from any thread. In a forked child the object keeps
    working and adds to the same run; pickled to another process it does too. Only the process that started the
    run finishes it.

    A record that cannot be stored (a full disk, a metric that is no number) is counted in :attr:`dropped` and
    logged once as a warning, or raised with ``on_error="raise"``.

    Attributes:
        id: 26 characters, unique everywhere.
        name: the name for people.
        experiment: the experiment it belongs to.
        attempt: 1, and one more each time the run is resumed.
        dropped: how many records could not be stored.
    """

    def __init__(
        self,
        store: Store,
        writer: SegmentWriter,
        *,
        name: str,
        experiment: str,
        settings: Settings,
        next_step: int = 0,
        is_owner: bool = True,
    ) -> None:
        self.id = writer.run_id
        self.name = name
        self.experiment = experiment
        self.attempt = writer.attempt
        self.dropped = 0
        self.store = store
        self.settings = settings
        self.writer = writer
        self._points = writer.points
        self._next_step = next_step
        self._owner_pid = os.getpid() if is_owner else -1
        self._finished = False
        self._failures: set[str] = set()
        self._session: Optional[Session] = None
        BACKGROUND.add(self)
        writer.on_new_process = functools.partial(BACKGROUND.add, self)

    # -- metrics -------------------------------------------------------------------------------------------

    def log(self, metrics: Mapping[str, SupportsFloat], step: Optional[SupportsIndex] = None) -> None:
        """Log the present value of one or more metrics.

        Args:
            metrics: key to number. Numbers of any library will do; NaN and infinities are values.
            step: an integer; without it, one more than the last step logged through this object.

        Example:
            >>> run = getfixture("run")
            >>> run.log({"loss": 0.5, "accuracy": 0.8}, step=10)
            >>> run.log({"loss": 0.4})
        """
        try:
            if step is None:
                step = self._next_step
            self._points(metrics, step)
            self._next_step = step + 1  # type: ignore[operator]  # whatever packs as an integer adds like one
        except MllabError as error:
            self._failed(error)

    def log_batch(self, key: str, steps: Iterable[int], values: Iterable[float], times: Any = None) -> None:
        """Log a whole curve, or a piece of one, at once.

        Args:
            key: the metric.
            steps: int64[n]: an array, a list or a range.
            values: float64[n].
            times: int64[n] UTC microseconds; the present time when left out.
        """
        with self._reporting():
            self.writer.batch(key, steps, values, times)

    # -- what describes a run ------------------------------------------------------------------------------

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record params: nested mappings become dotted keys, and numbers, booleans and text keep their type.

        A secret among them, known by its name, its shape or the environment, is recorded as ``[redacted]``.
        """
        with self._reporting():
            self.writer.event("params", {"values": _redacted(flatten(params))})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; a value of None removes one. Secrets are redacted, as in params."""
        with self._reporting():
            values = {
                check_key(key, "tag"): None if value is None else clean_text(str(as_json(value)))
                for key, value in dict(tags).items()
            }
            self.writer.event("tags", {"values": _redacted(values)})

    def set_note(self, text: str) -> None:
        """Set the run's note, in Markdown; it replaces the one before."""
        with self._reporting():
            self.writer.event("note", {"text": clean_text(str(text))})

    def log_info(self, values: Mapping[str, Any]) -> None:
        """Record facts about how the run came to be; captures use this, and so may plugins."""
        with self._reporting():
            self.writer.event("info", {"values": as_json(dict(values))})

    # -- artifacts -----------------------------------------------------------------------------------------

    def log_artifact(self, path_or_bytes: Any, name: Optional[str] = None) -> None:
        """Store a file (or bytes) with the run; durable when this returns, and stored once however often logged.

        Args:
            path_or_bytes: a file's path, or bytes.
            name: the path inside the run; the file's name when left out.
        """
        with self._reporting():
            artifacts.log_artifact(self, path_or_bytes, name)

    def log_artifacts(self, folder: Any, prefix: str = "") -> None:
        """Store every regular file below a folder, under ``prefix``; links are not followed."""
        with self._reporting():
            artifacts.log_folder(self, folder, prefix)

    def log_figure(self, figure: Any, name: str) -> None:
        """Store a figure: matplotlib as PNG, plotly as HTML."""
        with self._reporting():
            artifacts.log_figure(self, figure, name)

    def log_image(self, image: Any, name: str) -> None:
        """Store an image: encoded bytes, a path, a PIL image, or an array [height, width(, 3 or 4)]."""
        with self._reporting():
            artifacts.log_image(self, image, name)

    def log_table(self, table: Any, name: str) -> None:
        """Store a table: a DataFrame or Arrow table as Parquet, a dict of columns or list of rows as JSON."""
        with self._reporting():
            artifacts.log_table(self, table, name)

    def log_text(self, text: str, name: str) -> None:
        """Store text as a file."""
        with self._reporting():
            artifacts.log_bytes(self, clean_text(text).encode(), artifacts.with_suffix(name, ".txt"), "text")

    def log_model(self, path_or_model: Any, name: str = "model", *, flavor: Optional[str] = None) -> None:
        """Store a model: a file or folder as it is, or an object that a plugin knows how to write.

        Args:
            path_or_model: a path, or a model object.
            name: the folder inside the run.
            flavor: the plugin to use when several know the object.
        """
        with self._reporting():
            artifacts.log_model(self, path_or_model, name, flavor)

    def log_dataset(
        self,
        data: Any,
        name: Optional[str] = None,
        *,
        context: Optional[str] = None,
        target: Optional[str] = None,
        source: Optional[str] = None,
    ) -> None:
        """Record which data the run used: name, digest, schema, rows and source. The data itself is not copied.

        Args:
            data: a path, a DataFrame, an Arrow table, or a numpy array.
            name: the dataset's name; a path's own name when left out.
            context: what it was used for, such as ``train`` or ``test``.
            target: the name of the column to predict.
            source: where it came from, when that is not the path itself.
        """
        with self._reporting():
            record = datasets.describe(data, name, context=context, target=target, source=source)
            self.writer.event("dataset", record)

    # -- the end -------------------------------------------------------------------------------------------

    def finish(self, status: str = "finished", error: Optional[BaseException] = None) -> None:
        """End the run: everything is on the device when this returns. Calling it again does nothing.

        Args:
            status: ``finished``, ``failed`` or ``killed``.
            error: what went wrong; its traceback is kept.
        """
        if status not in ENDED:
            raise InvalidValueError(f"There is no status {status!r}.", f"Choose one of: {', '.join(ENDED)}.")
        if self._finished:
            return
        self._finished = True
        session, self._session = self._session, None
        BACKGROUND.remove(self)
        try:
            if session is not None:
                session.stop()
            if self._is_owner():
                record: dict[str, Any] = {"status": status, "dropped": self.dropped}
                if error is not None:
                    record["error"] = _describe_error(error)
                self._say_the_end(record)
        except MllabError as problem:
            self._failed(problem)
        finally:
            try:
                self.writer.close()
            except MllabError as problem:
                self._failed(problem)
        if self.dropped:
            _log.warning("mllab: %s records of run %r were not stored.", f"{self.dropped:,}", self.name)
        if self._is_owner() and self.settings.auto_compact:
            from mllab.tracking.upkeep import start_upkeep

            start_upkeep(self.store)

    def __enter__(self) -> Run:  # noqa: PYI034  # Self came with Python 3.11
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.finish()
        else:
            self.finish("killed" if isinstance(error, KeyboardInterrupt) else "failed", error)

    # -- inside --------------------------------------------------------------------------------------------

    def begin(self, session: Session) -> None:
        """Attach the captures of this run; for :func:`mllab.start_run`."""
        self._session = session
        session.start(self)

    def continue_from(self, step: int) -> None:
        """Number the next ``log()`` without a step ``step``."""
        self._next_step = step

    def tick(self) -> None:
        """Do what the log path leaves undone; called about once a second by the background thread."""
        try:
            self.writer.tick()
        except MllabError as error:
            self._failed(error)
        if self._session is not None and self._is_owner():
            self._session.tick(self)

    def _say_the_end(self, record: dict[str, Any]) -> None:
        try:
            self.writer.event("finish", record)
        except WriteError:
            # A full disk must still be able to say how a run ended: the reserve gives back a little room, once.
            with contextlib.suppress(OSError):
                self.store.disk.unlink(self.store.layout.reserve)
            self.writer.event("finish", record)

    def _is_owner(self) -> bool:
        return self._owner_pid == os.getpid()

    @contextlib.contextmanager
    def _reporting(self) -> Any:
        try:
            yield
        except MllabError as error:
            self._failed(error)

    def _failed(self, error: MllabError) -> None:
        """Count a record that was not stored and say so once a kind, or raise."""
        self.dropped += 1
        if isinstance(error, RunClosedError) or self.settings.on_error == "raise":
            raise error
        kind = error.code if isinstance(error, WriteError) else error.message
        if kind not in self._failures and len(self._failures) < MAX_WARNINGS:
            self._failures.add(kind)
            _log.warning("mllab: %s\nThe run goes on; further failures like this one are only counted.", error)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a way back to the same run, for processes that do not inherit this one's memory."""
        labels = (self.name, self.experiment)
        return _attach, (self.store.layout.root, self.id, self.attempt, labels, self.settings)

    def __repr__(self) -> str:
        state = "finished" if self._finished else "open"
        return f"<mllab.Run {self.name!r} {self.id} ({self.experiment}, attempt {self.attempt}, {state})>"

    def _repr_html_(self) -> str:
        from mllab.tracking.notebook import run_html

        return run_html(self)


def _attach(root: str, run_id: str, attempt: int, labels: tuple[str, str], settings: Settings) -> Run:
    from mllab.store.store import Store

    store = Store.open(root)
    power_safe = settings.durability == "power"
    writer = store.writer(run_id, attempt=attempt, power_safe=power_safe, about={"purpose": "attach"})
    name, experiment = labels
    return Run(store, writer, name=name, experiment=experiment, settings=settings, is_owner=False)


def _redacted(values: dict[str, Any]) -> dict[str, Any]:
    from mllab.security.redaction import redact_mapping  # its patterns take longer to compile than a run to start

    return redact_mapping(values)


def _describe_error(error: BaseException) -> dict[str, str]:
    from mllab.security.redaction import redact_text

    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return {
        "type": type(error).__name__,
        "message": redact_text(clean_text(str(error)))[:4096],
        "traceback": redact_text(clean_text(trace))[-MAX_TRACEBACK:],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
