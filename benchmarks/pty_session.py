"""A command under a terminal of its own: keys go in, and what comes out is timed, counted and, if asked, slowed down.

Nothing answers the questions that a program asks its terminal (synchronized output, keyboard protocols), so that a
frame is one write.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# What terminals send for keys.
KEYS = {
    "up": b"\x1b[A", "down": b"\x1b[B", "right": b"\x1b[C", "left": b"\x1b[D", "home": b"\x1b[H", "end": b"\x1b[F",
    "pageup": b"\x1b[5~", "pagedown": b"\x1b[6~", "enter": b"\r", "escape": b"\x1b", "tab": b"\t",
}  # fmt: skip
QUIET_S = 0.06
_PIECE_S = 0.01


@dataclass(frozen=True, slots=True)
class Burst:
    """What came out after a key, up to a moment of quiet: seconds to the first and to the last byte, and the bytes."""

    first_s: float
    last_s: float
    output: bytes

    @property
    def size_bytes(self) -> int:
        """How many bytes came out."""
        return len(self.output)


class PtySession:
    """A running command with a terminal of ``columns`` x ``rows``; a context manager that ends it.

    With ``kib_s`` its output is read no faster than that, as over a slow link: the kernel buffers some KiB, then the
    command has to wait.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        columns: int = 120,
        rows: int = 40,
        environ: Mapping[str, str] | None = None,
        cwd: str | None = None,
        kib_s: float | None = None,
    ) -> None:
        self.columns = columns
        self.rows = rows
        self._rate = kib_s and kib_s * 1024
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "", "LINES": ""}
        environ = {**(os.environ if environ is None else environ), **terminal}
        environ = {name: value for name, value in environ.items() if value}
        self.started = self.pressed = time.perf_counter()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=cwd, start_new_session=True
        )
        os.close(slave)
        self._arrived = threading.Condition()
        self._pieces: list[tuple[float, bytes]] = []
        self._ended = False
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the command."""
        self.close()

    def close(self) -> None:
        """End the command and what it started: politely, and after two seconds not."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._closing.set()
        self._reader.join()
        os.close(self._master)

    @property
    def output(self) -> bytes:
        """All that came out so far."""
        with self._arrived:
            return b"".join(piece for _, piece in self._pieces)

    @property
    def rss_bytes(self) -> int:
        """The memory that the command holds by now."""
        done = subprocess.run(["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, check=True)
        return int(done.stdout) * 1024

    @property
    def cpu_s(self) -> float:
        """The processor time that the command has used, in steps of 10 ms: what it costs on a busy machine too.

        NaN where there is no ``/proc``.
        """
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
        except FileNotFoundError:
            return math.nan
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def send(self, key: str | bytes) -> float:
        """Send a key by its name, or bytes as they are; return when."""
        data = key if isinstance(key, bytes) else KEYS.get(key) or key.encode()
        self.pressed = time.perf_counter()
        os.write(self._master, data)
        return self.pressed

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, key: str | bytes, *, quiet_s: float = QUIET_S, timeout_s: float = 30.0) -> Burst:
        """Send a key and return what comes out until nothing does for ``quiet_s``.

        Raises:
            TimeoutError: nothing came, or it never became quiet.
            EOFError: the command ended without a word.
        """
        with self._arrived:
            seen = len(self._pieces)
        began = self.send(key)
        self._settle(seen, began + timeout_s, quiet_s)
        with self._arrived:
            pieces = self._pieces[seen:]
        return Burst(pieces[0][0] - began, pieces[-1][0] - began, b"".join(piece for _, piece in pieces))

    def press_until(self, key: str | bytes, is_there: Callable[[bytes], object], *, timeout_s: float = 30.0) -> Burst:
        """Send a key and return what comes out until ``is_there`` says so of all that came after the key.

        Raises:
            TimeoutError: it never did.
            EOFError: the command ended without it.
        """
        with self._arrived:
            seen = begun = len(self._pieces)
        began = self.send(key)
        output = b""
        with self._arrived:
            while True:
                for at, piece in self._pieces[seen:]:
                    seen += 1
                    output += piece
                    if is_there(output):
                        return Burst(self._pieces[begun][0] - began, at - began, output)
                left = began + timeout_s - time.perf_counter()
                if self._ended:
                    raise EOFError(f"the command ended: {self._last_words()}")
                if left <= 0:
                    raise TimeoutError(f"what was expected after {key!r} did not come within {timeout_s:g} s")
                self._arrived.wait(left)

    def quiet(self, *, quiet_s: float = QUIET_S, timeout_s: float = 60.0) -> float:
        """Wait until nothing comes out for ``quiet_s``; return when the last byte came."""
        limit = time.perf_counter() + timeout_s
        with self._arrived:
            while True:
                last = max(self._pieces[-1][0] if self._pieces else 0.0, self.started)
                now = time.perf_counter()
                if self._ended or now - last >= quiet_s:
                    return last
                if now > limit:
                    raise TimeoutError(f"output went on for {timeout_s:g} s")
                self._arrived.wait(min(quiet_s, limit - now) or quiet_s)

    def wait_for(self, text: str | bytes, *, timeout_s: float = 120.0) -> float:
        """Wait until ``text`` came out, in one piece of one style; return the seconds since the start of the command.

        Raises:
            TimeoutError: it did not come.
            EOFError: the command ended without it.
        """
        sought = text if isinstance(text, bytes) else text.encode()
        limit = time.perf_counter() + timeout_s
        tail = b""
        seen = 0
        with self._arrived:
            while True:
                for at, piece in self._pieces[seen:]:
                    tail = tail[-len(sought) :] + piece
                    if sought in tail:
                        return at - self.started
                seen = len(self._pieces)
                if self._ended:
                    raise EOFError(f"the command ended without {text!r}: {self._last_words()}")
                left = limit - time.perf_counter()
                if left <= 0:
                    raise TimeoutError(f"{text!r} did not come within {timeout_s:g} s: {self._last_words()}")
                self._arrived.wait(left)

    def wait_until(self, is_there: Callable[[bytes], object], *, timeout_s: float = 120.0) -> float:
        """Wait until ``is_there`` says so of some output; return the seconds since the start of the command.

        Raises:
            TimeoutError: it never did.
            EOFError: the command ended without it.
        """
        limit = time.perf_counter() + timeout_s
        seen = 0
        with self._arrived:
            while True:
                for at, piece in self._pieces[seen:]:
                    if is_there(piece):
                        return at - self.started
                seen = len(self._pieces)
                left = limit - time.perf_counter()
                if self._ended:
                    raise EOFError(f"the command ended: {self._last_words()}")
                if left <= 0:
                    raise TimeoutError(f"what was expected did not come within {timeout_s:g} s: {self._last_words()}")
                self._arrived.wait(left)

    def pieces(self) -> list[tuple[float, bytes]]:
        """Return what came out so far, in pieces, each with the seconds since the start of the command."""
        with self._arrived:
            return [(at - self.started, piece) for at, piece in self._pieces]

    def screen(self) -> list[str]:
        """Return the lines that a terminal would show by now. Needs pyte."""
        pyte = import_module("pyte")  # has no types
        screen = pyte.Screen(self.columns, self.rows)
        pyte.ByteStream(screen).feed(self.output)
        return list(screen.display)

    def _last_words(self) -> str:
        return b"".join(piece for _, piece in self._pieces[-3:])[-600:].decode(errors="replace")

    def _settle(self, seen: int, limit: float, quiet_s: float) -> None:
        """Wait for output beyond the first ``seen`` pieces, and for quiet after it."""
        with self._arrived:
            while True:
                now = time.perf_counter()
                has_come = len(self._pieces) > seen
                if has_come and (self._ended or now - self._pieces[-1][0] >= quiet_s):
                    return
                if self._ended:
                    raise EOFError(f"the command ended: {self._last_words()}")
                if now >= limit:
                    raise TimeoutError("output never ended" if has_come else "nothing came out after the key")
                until = self._pieces[-1][0] + quiet_s if has_come else limit
                self._arrived.wait(max(0.0005, min(until, limit) - now))

    def _read(self) -> None:
        size = 1 << 16 if not self._rate else max(16, int(self._rate * _PIECE_S))
        began = time.perf_counter()
        taken = 0
        while not self._closing.is_set():
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            try:
                piece = os.read(self._master, size)
            except OSError:  # Linux says EIO when the last process of the terminal is gone
                piece = b""
            now = time.perf_counter()
            with self._arrived:
                if piece:
                    self._pieces.append((now, piece))
                else:
                    self._ended = True
                self._arrived.notify_all()
            if not piece:
                return
            if self._rate:
                # An idle link does not save up: what it could have carried is lost.
                if now - began > taken / self._rate + _PIECE_S:
                    began, taken = now, 0
                taken += len(piece)
                time.sleep(max(0.0, began + taken / self._rate - time.perf_counter()))
