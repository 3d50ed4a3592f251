"""Autologging: runs that log themselves. Plugins patch libraries; here they get their options and their runs.

Runs on Python 3.9 and the standard library alone, like everything in this package; the plugins need what they patch.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from mllab.errors import InvalidValueError, NotFoundError
from mllab.plugins.imports import IMPORTS
from mllab.tracking.background import BACKGROUND
from mllab.tracking.start import start_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from mllab.lab import Lab
    from mllab.plugins.hookspecs import Autologger
    from mllab.tracking.run import Run

_log = logging.getLogger("mllab")


@dataclass(frozen=True)
class AutologOptions:
    """What the user asked ``mllab.autolog`` for; :func:`autolog` says what each means."""

    experiment: Optional[str] = None
    lab: Union[Lab, str, os.PathLike[str], None] = None
    capture: Union[bool, Mapping[str, bool], None] = None
    log_models: bool = True
    log_datasets: bool = True
    max_rows: int = 50_000
    extra: Mapping[str, Any] = field(default_factory=dict)


def autolog(
    *libraries: str,
    disable: bool = False,
    experiment: Optional[str] = None,
    lab: Union[Lab, str, os.PathLike[str], None] = None,
    capture: Union[bool, Mapping[str, bool], None] = None,
    log_models: bool = True,
    log_datasets: bool = True,
    max_rows: int = 50_000,
    **options: Any,
) -> tuple[str, ...]:
    """Log by itself what libraries train from here on; a library may be imported before or after.

    A training is logged to the active run, or to a run of its own when there is none. The second and later trainings
    within one active run become its child runs. Whatever goes wrong in autologging is a warning; the training itself
    behaves, returns and raises as it would without.

    Args:
        libraries: such as ``"sklearn"``; every library with an installed plugin when left out.
        disable: stop, and restore what was patched.
        experiment: of the runs that autologging starts; the active run's, or ``default``, when left out.
        lab: of the runs that autologging starts without an active run, as in :func:`mllab.start_run`.
        capture: for the same runs, as in :func:`mllab.start_run`.
        log_models: store the trained model, in a format that opens without running code.
        log_datasets: record name, digest and schema of the training data, up to 64 MiB of it.
        max_rows: compute metrics on training data of at most so many rows; 0 for none.
        options: further options of the one library that is named.

    Returns:
        The names of the libraries that are being logged.

    Raises:
        NotFoundError: no plugin logs a library that was named.
        InvalidValueError: there is no such option.

    Example:
        >>> import mllab
        >>> mllab.autolog(disable=True)
        ()
    """
    with _SESSIONS.lock:
        if disable:
            _SESSIONS.close(libraries)
            return _SESSIONS.names()
        from mllab.plugins.manager import autologgers

        known = autologgers()
        for name in libraries:
            if name not in known:
                raise NotFoundError(
                    f"No installed plugin logs {name!r}.",
                    f"pip install mllab-{name}, if there is one. Installed: {', '.join(known) or 'none'}.",
                )
        if not known:
            _log.warning("mllab: autolog() found no plugin to log a library with; try: pip install mllab-sklearn")
        common = AutologOptions(experiment, lab, capture, log_models, log_datasets, max_rows)
        chosen = {name: known[name] for name in dict.fromkeys(libraries or known)}
        prepared = [AutologSession(logger, common, options) for logger in chosen.values()]
        for session in prepared:
            _SESSIONS.open(session)
        return _SESSIONS.names()


class AutologSession:
    """What an :class:`~mllab.plugins.hookspecs.Autologger` patches a library with.

    Attributes:
        library: its name.
        options: what the user asked for; ``options.extra`` has the library's own options, defaults filled in.
    """

    def __init__(self, logger: Autologger, common: AutologOptions, extra: Mapping[str, Any]) -> None:
        unknown = sorted(set(extra) - set(logger.options))
        if unknown:
            raise InvalidValueError(
                f"autolog has no option {unknown[0]!r} for {logger.name}.",
                f"Its own options: {', '.join(sorted(logger.options)) or 'none'}.",
            )
        self.library = logger.name
        self.options = replace(common, extra={**logger.options, **extra})
        self._logger = logger
        self._cancel: Callable[[], None] = lambda: None
        self._restore: Optional[Callable[[], None]] = None
        self._warned: set[str] = set()
        self.is_open = False

    def open(self) -> None:
        """Patch the library as soon as it is imported."""
        self.is_open = True
        self._cancel = IMPORTS.when_imported(self._logger.module, self._patch)

    def _patch(self) -> None:
        with self.guard("patching"):
            self._restore = self._logger.patch(self)

    def close(self) -> None:
        """Restore the library; trainings that are under way end without being logged further."""
        self.is_open = False
        self._cancel()
        restore, self._restore = self._restore, None
        if restore is not None:
            with self.guard("restoring"):
                restore()

    def guard(self, what: str) -> Guard:
        """Return a context in which no exception leaves: it is logged, once for each ``what``."""
        return Guard(self, what)

    def warn(self, what: str, error: BaseException) -> None:
        """Log a failure of autologging, once for each ``what``."""
        if what not in self._warned:
            self._warned.add(what)
            _log.warning(
                "mllab: autologging %s failed in %s; training is not affected: %s: %s",
                self.library,
                what,
                type(error).__name__,
                error,
            )

    def training(self, *, is_logged: bool = True) -> Training:
        """Return the context of one training; inside it, this thread's further trainings are parts of it.

        Args:
            is_logged: False for a training that gets no run but whose parts must not get one either.
        """
        return Training(self, is_logged=is_logged)

    def child_run(self, parent: Run, name: Optional[str] = None) -> Run:
        """Start a run below ``parent``, in its lab and experiment and with its settings, that captures nothing."""
        from mllab.lab import Lab

        store, settings = parent.store, parent.settings
        lab = Lab(os.path.dirname(store.layout.root), "parent run")
        lab._store = store  # noqa: SLF001  # the same store, even when its folder is not below the lab's
        return _start_own(
            self.options.experiment or parent.experiment,
            name,
            parent=parent,
            lab=lab,
            capture=False,
            on_error=settings.on_error,
            durability=settings.durability,
        )

    def find_run(self) -> tuple[Run, bool]:
        """Return the run for a training that begins, and whether it was started for it."""
        with _SESSIONS.lock:
            active = next((run for run in reversed(BACKGROUND.open_runs()) if run not in _OWN), None)
            if active is not None and active not in _USED:
                _USED.add(active)
                return active, False
        if active is not None:
            return self.child_run(active), True
        options = self.options
        return _start_own(options.experiment or "default", lab=options.lab, capture=options.capture), True


def _start_own(*args: Any, **kwargs: Any) -> Run:
    """Start a run that no other training takes for the user's active run, in whatever thread."""
    with _SESSIONS.lock:
        run = start_run(*args, **kwargs)
        _OWN.add(run)
    return run


class Guard:
    """Keeps the failures of autologging away from the training."""

    def __init__(self, session: AutologSession, what: str) -> None:
        self._session = session
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> bool:
        if not isinstance(error, Exception):
            return False  # Ctrl-C is the user's
        self._session.warn(self._what, error)
        return True


class Training:
    """One training from its beginning to its end.

    Attributes:
        run: where to log it; None for a part of another training, and when no run could be started.
    """

    def __init__(self, session: AutologSession, *, is_logged: bool) -> None:
        self.run: Optional[Run] = None
        self._session = session
        self._is_logged = is_logged
        self._is_own = False

    def __enter__(self) -> Training:  # noqa: PYI034  # typing.Self came with 3.11
        is_outermost = not is_training()
        _local.depth = getattr(_local, "depth", 0) + 1
        if is_outermost and self._is_logged and self._session.is_open:
            try:
                with self._session.guard("starting a run"):
                    self.run, self._is_own = self._session.find_run()
            except BaseException:
                _local.depth -= 1
                raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            if self.run is not None and self._is_own:
                with self._session.guard("finishing a run"):
                    self.run.__exit__(kind, error, trace)
        finally:
            _local.depth -= 1


def is_training() -> bool:
    """Say whether this thread is inside a training, of any library that is logged."""
    return getattr(_local, "depth", 0) > 0


class _Sessions:
    """The libraries that are being logged in this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._open: dict[str, AutologSession] = {}

    def open(self, session: AutologSession) -> None:
        """Open a session, in place of the library's present one."""
        self.close((session.library,))
        self._open[session.library] = session
        session.open()

    def close(self, libraries: tuple[str, ...]) -> None:
        """Close the sessions of some libraries; of all when none is named."""
        for name in libraries or tuple(self._open):
            session = self._open.pop(name, None)
            if session is not None:
                session.close()

    def names(self) -> tuple[str, ...]:
        """Return the libraries that are being logged."""
        return tuple(sorted(self._open))

    def renew_lock(self) -> None:
        """Replace a lock that another thread of the parent may have held when this child was forked."""
        self.lock = threading.RLock()


# Patches are the process's, so what keeps track of them is too.
_SESSIONS = _Sessions()
os.register_at_fork(after_in_child=_SESSIONS.renew_lock)
_local = threading.local()
_OWN: weakref.WeakSet[Run] = weakref.WeakSet()  # runs that autologging started
_USED: weakref.WeakSet[Run] = weakref.WeakSet()  # runs of the user's that hold a training already
