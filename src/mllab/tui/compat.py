"""Every use of Textual's private names, and what they are used for: pacing frames, suspending, measuring the link.

Textual is pinned; a test beside each name fails when an upgrade takes it away. Where a name is missing at run time,
the feature behind it is off and the rest works.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import select
import signal
import sys
import termios
import threading
import time
from contextlib import contextmanager, suppress
from queue import Empty
from typing import TYPE_CHECKING, Any, TypeVar

from textual.filter import Monochrome, NoColor
from textual.screen import ModalScreen, Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual import events
    from textual.app import App

ResultT = TypeVar("ResultT")

# Seconds that the app has after SIGTERM or SIGHUP to end by itself.
GRACE_S = 3.0
_ATTEMPTS = 30
_DROP_S = 0.01
# Undoes all that Textual's driver turns on. CAN ends a sequence that was cut off in the middle; the rest by name:
# synchronized output, mouse (five modes), bracketed paste, in-band resizes, focus reports, the kitty keyboard
# protocol off; wrapping on, alternate screen left, cursor shown, colours reset.
# Source: ECMA-48; xterm's "XTerm Control Sequences"; https://sw.kovidgoyal.net/kitty/keyboard-protocol/.
RESTORE = (
    b"\x18\x1b[?2026l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l\x1b[?2004l\x1b[?2048l\x1b[?1004l"
    b"\x1b[<u\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m"
)


def _writer(app: App[Any]) -> threading.Thread | None:
    """Return the thread that writes to the terminal, if there is one."""
    thread = getattr(app._driver, "_writer_thread", None)  # noqa: SLF001  # no public way to ask
    return thread if isinstance(thread, threading.Thread) else None


def backlog(app: App[Any]) -> int:
    """Return how many writes wait for the terminal to take them; 0 where nothing is queued or there is no terminal.

    A frame is one write, or three under a terminal with synchronized output. The one being written does not count.
    """
    queue = getattr(_writer(app), "_queue", None)
    return 0 if queue is None else int(queue.qsize())


class _Paced:
    """Draws a frame only when the terminal has taken those before it.

    Textual's writer thread has a queue of 30 writes, and the event loop waits when it is full: on a link of 20 KiB/s
    that froze keys for more than a second. Held back, widgets that change merge into the next frame, as
    they do between two ticks of the timer; so the screen skips frames and is never more than two behind.
    """

    def _on_timer_update(self) -> None:
        if backlog(self.app):  # type: ignore[attr-defined]  # the other base is a Screen
            return  # the timer is left running, so that the frame is tried again at its next tick
        super()._on_timer_update()  # type: ignore[misc]  # the other base is a Screen

    def _on_mount(self, event: events.Mount) -> None:  # noqa: ARG002  # Screen has a handler of the same name
        """Draw all anew after SIGTSTP and `fg`, which leave a blank screen."""
        app: App[Any] = self.app  # type: ignore[attr-defined]  # the other base is a Screen
        app.app_resume_signal.subscribe(self, lambda _: app.refresh(layout=True), immediate=True)  # type: ignore[arg-type]  # the same


class PacedScreen(_Paced, Screen[ResultT]):
    """A screen that never asks more of a slow link than it takes. Every screen of the UI is one."""


class PacedModalScreen(_Paced, ModalScreen[ResultT]):
    """A modal screen that never asks more of a slow link than it takes, and that closes once."""

    _is_closing = False

    def close(self, result: ResultT) -> None:
        """Close with a result; a second key that would close it, in the same burst, does nothing."""
        if not self._is_closing:
            self._is_closing = True
            self.dismiss(result)


def fit_no_color(app: App[Any]) -> None:
    """Under NO_COLOR, use the filter that suits the theme; call it when the theme changes.

    Textual chooses it before a theme is set. Its filter for themes of RGB colours turns the terminal's own default
    colours, which 16-colour themes use, into black on black.
    """
    if app.no_color:
        filters = app._filters  # noqa: SLF001  # no public way to change them
        filters[:] = [each for each in filters if not isinstance(each, (Monochrome, NoColor))]
        filters.append(NoColor() if app.native_ansi_color else Monochrome())


@contextmanager
def suspended(app: App[Any]) -> Iterator[None]:
    """Hand the terminal to another program inside the block, as ``App.suspend`` does, without its deadlock.

    While suspended nobody empties the queue of writes, so a widget that goes on repainting would fill it and stop the
    event loop for good; in a batch nothing is painted.
    """
    with app.batch_update(), app.suspend():
        yield


def install_exit_guards(app: App[Any], *, grace_s: float = GRACE_S) -> None:
    """Leave the terminal as it was however the app ends, but for SIGKILL. Call it before ``app.run()``.

    SIGTERM and SIGHUP end the app as ``app.exit()`` does, with the return code 128 + signal: what a shell shows of a
    process that a signal ended. An app that has not ended after ``grace_s`` (a blocked event loop, a terminal that
    reads nothing), or is told so twice, is ended then and there. Leave with ``sys.exit(app.return_code)``.
    """
    guard = _ExitGuard(app, grace_s)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, guard.on_signal)
    signal.signal(signal.SIGURG, _interrupt)
    atexit.register(guard.restore)


def _interrupt(_number: int, _frame: Any) -> None:
    """Do nothing: a signal with a handler ends the system call that a thread waits in."""


class _ExitGuard:
    """Knows how the terminal was, and brings it back behind Textual's back."""

    def __init__(self, app: App[Any], grace_s: float) -> None:
        self._app = app
        self._grace_s = grace_s
        self._is_ending = False
        # The app may end by itself while the watchdog restores; the interpreter must not exit before that is done.
        self._restoring = threading.RLock()
        # Whether the terminal is gone: nothing can be restored, and its name may be another's by now.
        self._is_gone = False
        self._attributes: list[Any] | None = None
        self._terminal = ""
        if sys.__stdin__ is not None and sys.__stdin__.isatty():
            with suppress(termios.error, OSError):
                self._attributes = termios.tcgetattr(sys.__stdin__.fileno())
                self._terminal = os.ttyname(sys.__stdin__.fileno())
                threading.Thread(target=self._watch, args=(sys.__stdin__.fileno(),), daemon=True).start()

    def _watch(self, terminal: int) -> None:
        """End the app when its terminal is gone: not every terminal that goes sends SIGHUP.

        Textual's input thread would read end of file for ever; its writer dies of the first write, and the event loop
        waits for it as soon as its queue is full.
        """
        outputs = []
        for stream in (sys.__stdout__, sys.__stderr__):
            with suppress(OSError, ValueError):  # closed, or no file
                if stream is not None and stream.isatty():  # which nobody can say once it is gone
                    outputs.append(stream.fileno())
        poll = select.poll()
        poll.register(terminal, 0)
        if not any(state & (select.POLLHUP | select.POLLERR) for _, state in poll.poll()):
            return  # no terminal that could be watched
        self._is_gone = True
        sink = os.open(os.devnull, os.O_WRONLY)
        for output in outputs:
            os.dup2(sink, output)
        os.kill(os.getpid(), signal.SIGHUP)
        while True:  # as long as the process lives
            self._drop_writes()
            time.sleep(_DROP_S)

    def _drop_writes(self) -> None:
        """Take what a dead writer would have written."""
        writer = _writer(self._app)
        queue = getattr(writer, "_queue", None)
        if writer is not None and queue is not None and writer.ident is not None and not writer.is_alive():
            with suppress(Empty):
                while True:
                    queue.get_nowait()

    def on_signal(self, number: int, _frame: Any) -> None:
        """End the app; runs in the main thread, between two steps of whatever it does."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._end(number)
        if self._is_ending:
            if number == signal.SIGHUP and self._is_gone:
                return  # said by the kernel and by the watcher
            self._end(number)
        self._is_ending = True
        watchdog = threading.Timer(self._grace_s, self._end, (number,))
        watchdog.daemon = True
        watchdog.start()
        # Through the loop, because a select that waits must be woken.
        loop.call_soon_threadsafe(lambda: self._app.exit(return_code=128 + number))

    def _end(self, number: int) -> None:
        self.restore()
        os._exit(128 + number)

    def restore(self) -> None:
        """Bring the terminal back, unless the app did; what it has not yet taken of the screen is dropped."""
        with self._restoring:
            self._restore()

    def _restore(self) -> None:
        writer = _writer(self._app)
        if writer is None or not writer.is_alive() or not self._terminal or self._is_gone:
            return
        with suppress(OSError, termios.error):  # the terminal may be gone
            # Opened anew, because a terminal that reads nothing must not hold up the end.
            output = os.open(self._terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, sys.__stderr__.fileno() if sys.__stderr__ else 2)  # the rest of the writer's queue goes there
            for _ in range(_ATTEMPTS):
                # A write that waits for the terminal holds its lock, and a flush alone does not wake it.
                if writer.ident is not None:
                    signal.pthread_kill(writer.ident, signal.SIGURG)
                time.sleep(0.01)
                termios.tcflush(output, termios.TCOFLUSH)
                with suppress(BlockingIOError):
                    os.write(output, RESTORE)
                    break
            if self._attributes is not None:
                termios.tcsetattr(output, termios.TCSANOW, self._attributes)
