"""What the run prints: a copy of every write to ``sys.stdout`` and ``sys.stderr``.

The copy is taken by giving the stream object a ``write`` of its own, so that everyone who holds the object is seen:
``print``, tqdm, a logging handler made long before. The stream itself stays in place, with its encoding, buffer and
file descriptor. Output that does not pass through Python (of C libraries and child processes) is not seen: catching
it takes a pipe under the descriptor, and that blocks for ever a C extension that prints more than the pipe holds
while it has the interpreter lock, and ends with SIGPIPE the children that outlive the run.

A print costs one append to a queue, without a lock; everything else happens in :meth:`ConsoleCapture.flush`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Optional

from mllab.tracking.capture_screen import GROUP_US, Screen

if TYPE_CHECKING:
    Sink = Callable[[str, str, int], None]

MAX_BYTES = 50 << 20
STREAMS = ("stdout", "stderr")
_now_ns = time.time_ns


class _Delivering(threading.local):
    """Set while a sink runs in this thread: what it prints is not captured again, by this run or by another."""

    on = False


_delivering = _Delivering()
# Weak references, for one purpose: a forked child must let go of its parent's captures.
_captures: weakref.WeakSet[ConsoleCapture] = weakref.WeakSet()


class ConsoleCapture:
    """Hands what is printed to ``sink(stream, text, time_us)``, in the thread that calls :meth:`flush`.

    A text is one or more whole lines and ends with a newline; its time is that of its first line. Only a text that
    does not end with a newline is something else: the state of a line that is still being written, such as a
    progress bar, and the next text of the same stream takes its place. However often a line is rewritten, only its
    state at each flush is handed over. Secrets are taken out. Nothing in here raises into the code that prints.

    Args:
        sink: called for each text, never twice at once.
        max_bytes: how much to hand over; beyond it, what is printed is only counted, in :attr:`dropped_bytes`.
    """

    def __init__(self, sink: Sink, max_bytes: int = MAX_BYTES) -> None:
        self.dropped_bytes = 0
        self._sink = sink
        self._max_bytes = max_bytes
        self._room = max_bytes
        self._is_over = self._has_told = False
        self._queue: deque[tuple[str, str, int]] = deque()
        self._append = self._queue.append
        self._queued = 0
        self._screens = {name: Screen() for name in STREAMS}
        self._tees: list[Tee] = []
        self._flushing = threading.Lock()

    def start(self) -> None:
        """Begin to copy what is printed."""
        _captures.add(self)
        for name in STREAMS:
            tee = _tee(name)
            if tee is not None and tee not in self._tees:
                tee.add(self)
                self._tees.append(tee)

    def flush(self) -> None:
        """Hand over what was printed since the last flush; to be called about once a second. Never raises."""
        self._deliver(is_last=False)

    def stop(self) -> None:
        """Hand over what is left and restore the streams; where somebody wrapped them since, theirs stays."""
        if self._let_go():
            self._deliver(is_last=True)

    def after_fork_in_child(self) -> None:
        """Forget everything in a forked child: what was printed before the fork is the parent's to hand over."""
        self._let_go()
        self._queue.clear()
        self._screens = {name: Screen() for name in STREAMS}
        self._flushing = threading.Lock()  # the parent's may be held by a thread that does not exist here

    def take(self, stream: str, text: str) -> None:
        """Queue what was written. Runs inside ``print``, so it takes no lock: a signal handler may print as well."""
        if _delivering.on:
            return
        # Two threads at once may miscount by one text; the count starts anew with every flush.
        size = len(text)
        if self._queued + size > self._room:
            self.dropped_bytes += size
            self._is_over = True
            return
        self._queued += size
        self._append((stream, text, _now_ns()))

    def _let_go(self) -> bool:
        """Stop copying; say whether there was something to stop."""
        tees, self._tees = self._tees, []
        for tee in tees:
            tee.remove(self)
        _captures.discard(self)
        return bool(tees)

    def _deliver(self, *, is_last: bool) -> None:
        # A tick that meets another flush has nothing to do; the last flush waits for it.
        if not self._flushing.acquire(timeout=5.0 if is_last else 0.0):
            return
        _delivering.on = True
        try:
            texts = self._texts(is_last=is_last)
            if texts:
                from mllab.security.redaction import Redactor  # takes 8 ms, which start_run need not wait for

                redactor = Redactor()
                for stream, text, time_us in texts:
                    self._send(stream, redactor.text(text), time_us)
            self._report_loss(is_last=is_last)
        except Exception:  # noqa: S110  # whatever it is, it is not the training's to handle
            pass
        finally:
            _delivering.on = False
            self._flushing.release()

    def _texts(self, *, is_last: bool) -> list[tuple[str, str, int]]:
        """Empty the queue into the screens and return what they have to show, in the order of printing."""
        texts: list[tuple[str, str, int]] = []

        def collect(name: str) -> None:
            texts.extend((name, *text) for text in self._screens[name].finished())

        before, since_us = STREAMS[0], 0
        pieces: list[str] = []
        for _ in range(len(self._queue)):
            stream, written, time_ns = self._queue.popleft()
            if stream != before or time_ns // 1000 - since_us > GROUP_US:
                self._screens[before].write("".join(pieces), since_us)
                pieces, since_us = [], time_ns // 1000
            if stream != before:
                collect(before)
                before = stream
            pieces.append(written)
        self._screens[before].write("".join(pieces), since_us)
        self._queued = sum(len(written) for _, written, _ in list(self._queue))
        for name in (before, *(name for name in STREAMS if name != before)):
            collect(name)
            screen = self._screens[name]
            texts.extend((name, *text) for text in (screen.close() if is_last else screen.unfinished()))
        return texts

    def _send(self, stream: str, text: str, time_us: int) -> None:
        data = text.encode("utf-8", "replace")  # a lone surrogate is no character
        size = len(data)
        if size > self._room:
            self.dropped_bytes += size
            self._is_over = True
            return
        self._room -= size
        try:
            self._sink(stream, data.decode(), time_us)
        except Exception:  # a full disk, say; the next text may find room
            self.dropped_bytes += size

    def _report_loss(self, *, is_last: bool) -> None:
        """Say once that the limit was reached, and at the end how much is missing."""
        now = time.time_ns() // 1000
        if self._is_over and not self._has_told:
            self._has_told = True
            self._room = 0
            self._sink(
                "stderr", f"[mllab: from here on output is not kept; the limit is {self._max_bytes:,} bytes]\n", now
            )
        if is_last and self.dropped_bytes:
            self._sink("stderr", f"[mllab: {self.dropped_bytes:,} bytes of output were not kept]\n", now)


class Tee:
    """Stands in for the ``write`` of one stream: writes as before, then shows the text to every capture."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name = name
        self._stream = stream
        self._write = stream.write
        self._takes: tuple[Callable[[str, str], None], ...] = ()
        self._had_own = "write" in getattr(stream, "__dict__", ())
        self._stand_in: Optional[_StandIn] = None

    def __call__(self, text: str) -> Any:
        """Write ``text`` and let it be seen; what the stream raises is raised, what a capture does is not."""
        result = self._write(text)
        if isinstance(text, str):
            for take in self._takes:
                take(self._name, text)
        return result

    def install(self) -> None:
        """Take the place of the stream's ``write``, or of the whole stream where its attributes are fixed."""
        with contextlib.suppress(AttributeError, TypeError):
            self._stream.write = self
        if getattr(self._stream, "write", None) is not self:
            self._stand_in = _StandIn(self._stream, self)
            setattr(sys, self._name, self._stand_in)

    def add(self, capture: ConsoleCapture) -> None:
        """Show ``capture`` what is written from here on."""
        self._takes = (*self._takes, capture.take)

    def remove(self, capture: ConsoleCapture) -> None:
        """Forget ``capture``; the last one to go restores the stream."""
        self._takes = tuple(take for take in self._takes if take != capture.take)
        if self._takes:
            return
        if self._stand_in is not None:
            if getattr(sys, self._name, None) is self._stand_in:
                setattr(sys, self._name, self._stream)
        elif getattr(self._stream, "write", None) is self:
            # Somebody may have wrapped this since: then theirs stays, and this only passes on.
            if self._had_own:
                self._stream.write = self._write
            else:
                del self._stream.write


class _StandIn:
    """A stream like another but for its ``write``."""

    def __init__(self, stream: Any, write: Tee) -> None:
        self._mllab_stream = stream
        self.write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mllab_stream, name)

    def __iter__(self) -> Any:
        return iter(self._mllab_stream)

    def writelines(self, lines: Any) -> None:
        """Write each of ``lines``."""
        for line in lines:
            self.write(line)


def _tee(name: str) -> Optional[Tee]:
    """Return the tee of ``sys.stdout`` or ``sys.stderr``, installed; None where there is no such stream."""
    stream = getattr(sys, name, None)
    write = getattr(stream, "write", None)
    if write is None or isinstance(write, Tee):
        return write
    tee = Tee(name, stream)
    tee.install()
    return tee


def _forget_in_child() -> None:
    for capture in list(_captures):
        capture.after_fork_in_child()


os.register_at_fork(after_in_child=_forget_in_child)
