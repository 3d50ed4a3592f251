"""Where one is: a screen with what it shows. Places are what links, history and the restored session are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from mllab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCREENS = ("runs", "run", "compare", "inbox")
MAX_LINK = 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """A screen and its state.

    Attributes:
        screen: which screen.
        subject: the run of the screen "run"; empty elsewhere.
        state: what the screen needs to look the same again, as texts.
    """

    screen: str
    subject: str = ""
    state: Mapping[str, str] = field(default_factory=dict)

    @property
    def link(self) -> str:
        """A link that `mllab open` understands.

        >>> Place("runs", state={"filter": "loss < 0.1"}).link
        'mllab:///runs?filter=loss+%3C+0.1'
        """
        path = f"/runs/{quote(self.subject, safe='')}" if self.screen == "run" else f"/{self.screen}"
        query = urlencode({key: value for key, value in self.state.items() if value})
        return f"mllab://{path}{'?' + query if query else ''}"


def parse_link(text: str) -> Place:
    """Return the place that a link, or a run's id or name, is about.

    Raises:
        UsageError: it is a link, and none of ours.

    >>> parse_link("mllab:///runs/01abc?tab=logs")
    Place(screen='run', subject='01abc', state={'tab': 'logs'})
    """
    if not text.startswith("mllab:"):
        return Place("run", text)
    if len(text) > MAX_LINK:
        raise UsageError(f"The link has {len(text):,} characters; {MAX_LINK:,} is the limit.", "Copy it again.")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise UsageError(f"{text[:200]!r} is no link of mllab: {error}.", "Copy it again.") from error
    pieces = [unquote(piece) for piece in parts.path.split("/") if piece]
    state = dict(parse_qsl(parts.query))
    if len(pieces) == 2 and pieces[0] == "runs":
        return Place("run", pieces[1], state)
    if len(pieces) == 1 and pieces[0] in SCREENS and pieces[0] != "run":
        return Place(pieces[0], "", state)
    raise UsageError(
        f"{text[:200]!r} is no link of mllab.", "Links look like mllab:///runs/ID, mllab:///runs?filter=... ."
    )


class History:
    """The places one has been at, with a present one: what `[`, `]` and `-` walk through."""

    LIMIT = 100

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._at = -1
        self._last = -1

    @property
    def present(self) -> Place | None:
        """The present place."""
        return self._places[self._at] if self._at >= 0 else None

    def go(self, place: Place) -> None:
        """Add a place after the present one; what came after it is forgotten."""
        if self._at >= 0 and _is_same(self._places[self._at], place):
            self._places[self._at] = place
            return
        del self._places[self._at + 1 :]
        self._places.append(place)
        if len(self._places) > self.LIMIT:
            del self._places[0]
        self._last, self._at = len(self._places) - 2, len(self._places) - 1

    def update(self, place: Place) -> None:
        """Say how the present place looks by now."""
        if self._at >= 0 and _is_same(self._places[self._at], place):
            self._places[self._at] = place

    def newest(self, screen: str) -> Mapping[str, str]:
        """Return how a screen looked when it was last shown."""
        return next((place.state for place in reversed(self._places) if place.screen == screen), {})

    def walk(self, places: int) -> Place | None:
        """Return the place so many further, which becomes the present one; None when there is none."""
        return self._jump(self._at + places)

    def swap(self) -> Place | None:
        """Return the place one was at before this one."""
        return self._jump(self._last)

    def _jump(self, at: int) -> Place | None:
        if not 0 <= at < len(self._places) or at == self._at:
            return None
        self._last, self._at = self._at, at
        return self._places[at]


def _is_same(one: Place, other: Place) -> bool:
    return (one.screen, one.subject) == (other.screen, other.subject)
