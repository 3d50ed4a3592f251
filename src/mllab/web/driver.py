"""Textual's driver for the web, fit for a server that may vanish and for links that are slow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TextIO, cast

from textual.drivers._writer_thread import WriterThread
from textual.drivers.web_driver import WebDriver

if TYPE_CHECKING:
    from textual.app import App


class _Packets:
    """A text file in name: each write is a packet of data to the server."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        write_all(self._descriptor, b"D" + len(data).to_bytes(4, "big") + data)

    def flush(self) -> None:
        """Packets are written at once."""


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything: a pipe may take less than it is given."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


class SessionDriver(WebDriver):
    """The driver of one session.

    What is drawn goes through a thread with a queue, as on a terminal, so that the screens skip frames when the
    browser does not keep up and keys are answered all the same. The app ends when the server does, however that ended.
    """

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self._writer_thread = WriterThread(cast("TextIO", _Packets(self.fileno)))

    def start_application_mode(self) -> None:
        """Begin to draw."""
        self._writer_thread.start()
        super().start_application_mode()

    def stop_application_mode(self) -> None:
        """Draw what is left, then say that the session is over."""
        self._writer_thread.stop()
        super().stop_application_mode()

    def write(self, data: str) -> None:
        """Draw in the order of the calls; waits while the queue is full."""
        self._writer_thread.write(data)

    def run_input_thread(self) -> None:
        """Hand keys to the app; when there is nobody any more to send them, leave."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._leave()

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        """Take what the server says beside keys."""
        if packet_type == "quit":  # Textual's own way ends the app without a chance to remember its session
            self._leave()
        elif packet_type in ("resize", "focus", "blur"):
            super().on_meta(packet_type, payload)

    def _leave(self) -> None:
        self._app.call_later(self._app.exit)

    def open_url(self, url: str, new_tab: bool = True) -> None:
        """Do nothing: the UI offers no links of its own, and no text may make it open one."""
