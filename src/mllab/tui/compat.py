"""Every use of Textual's private names, and what they are used for: pacing frames, suspending, measuring the link.

Textual is pinned; a test beside each name fails when an upgrade takes it away. Where a name is missing at run time,
the feature behind it is off and the rest works.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from textual.screen import ModalScreen, Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import App

ResultT = TypeVar("ResultT")


def backlog(app: App[Any]) -> int:
    """Return how many writes wait for the terminal to take them; 0 where nothing is queued or there is no terminal.

    A frame is one write, or three under a terminal with synchronized output. The one being written does not count.
    """
    thread = getattr(app._driver, "_writer_thread", None)  # noqa: SLF001  # no public way to ask
    queue = getattr(thread, "_queue", None)
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


class PacedScreen(_Paced, Screen[ResultT]):
    """A screen that never asks more of a slow link than it takes. Every screen of the UI is one."""


class PacedModalScreen(_Paced, ModalScreen[ResultT]):
    """A modal screen that never asks more of a slow link than it takes."""


@contextmanager
def suspended(app: App[Any]) -> Iterator[None]:
    """Hand the terminal to another program inside the block, as ``App.suspend`` does, without its deadlock.

    While suspended nobody empties the queue of writes, so a widget that goes on repainting would fill it and stop the
    event loop for good; in a batch nothing is painted.
    """
    with app.batch_update(), app.suspend():
        yield
