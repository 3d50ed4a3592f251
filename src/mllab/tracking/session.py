"""What a run captures by itself: git, environment, hardware, console and system samples, each switchable."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Optional

from mllab.errors import MllabError
from mllab.tracking import artifacts

if TYPE_CHECKING:
    from mllab.config.settings import Settings
    from mllab.tracking.capture_console import ConsoleCapture
    from mllab.tracking.capture_system import Sampler
    from mllab.tracking.run import Run

CAPTURE_TIMEOUT_S = 10.0
_log = logging.getLogger("mllab")


class Session:
    """The captures of one attempt of a run. Nothing in here may ever stop the run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pid = os.getpid()
        self._console: Optional[ConsoleCapture] = None
        self._sampler: Optional[Sampler] = None
        self._next_sample = 0.0
        self._samples = 0
        self._thread: Optional[threading.Thread] = None

    def start(self, run: Run) -> None:
        """Begin; the slow parts (git, packages, hardware) run in a thread that :meth:`stop` waits for."""
        settings = self._settings
        if settings.console:
            from mllab.tracking.capture_console import ConsoleCapture

            def sink(stream: str, text: str, time_us: int) -> None:
                run.writer.event("out", {"s": stream, "x": text, "t": time_us})

            self._console = ConsoleCapture(sink)
            self._console.start()
        if settings.system:
            from mllab.tracking.capture_system import Sampler

            self._sampler = Sampler()
            self._next_sample = time.monotonic() + min(1.0, settings.system_interval_s)
        if settings.git or settings.environment:
            self._thread = threading.Thread(target=self._capture, args=(run,), name="mllab-capture", daemon=True)
            self._thread.start()

    def _capture(self, run: Run) -> None:
        try:
            if self._settings.git:
                _capture_git(run)
            if self._settings.environment:
                _capture_environment(run)
        except MllabError as error:
            _log.warning("mllab: the environment of run %s was not recorded whole: %s", run.id, error)
        except Exception as error:  # a capture must never hurt the run
            _log.warning("mllab: capturing the environment of run %s failed: %r", run.id, error)

    def tick(self, run: Run) -> None:
        """Flush the console and take a sample when one is due."""
        if self._console is not None:
            self._console.flush()
        if self._sampler is not None and time.monotonic() >= self._next_sample:
            self._next_sample = time.monotonic() + self._settings.system_interval_s
            self._sample(run)

    def _sample(self, run: Run) -> None:
        assert self._sampler is not None
        values = self._sampler.sample()
        if values:
            run.writer.points(values, self._samples)
            self._samples += 1

    def stop(self) -> None:
        """End the captures; what they have is recorded first."""
        if self._pid != os.getpid():
            return
        if self._console is not None:
            self._console.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            # At interpreter exit a daemon thread may be frozen: then waiting would never end.
            self._thread.join(0.0 if sys.is_finalizing() else CAPTURE_TIMEOUT_S)


def _capture_git(run: Run) -> None:
    from mllab.tracking import capture_git

    state = capture_git.snapshot(os.getcwd())
    if state is None:
        return
    run.log_info({"git": state.as_json()})
    if state.diff_bytes:
        artifacts.log_bytes(run, state.diff_bytes, "code/uncommitted.diff", "code")


def _capture_environment(run: Run) -> None:
    from mllab.plugins.manager import capture
    from mllab.tracking import capture_environment, capture_hardware

    facts: dict[str, Any] = {"environment": capture_environment.snapshot()}
    facts["hardware"] = capture_hardware.snapshot(run.store.layout.root)
    run.log_info({**capture(run), **facts})
    artifacts.log_bytes(run, capture_environment.lock_text().encode(), "environment/requirements.txt", "environment")
