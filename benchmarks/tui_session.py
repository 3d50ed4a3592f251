"""The real ``mllab`` in a terminal of 120 x 40, and what on its screen says that a key has done its work."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any

from benchmarks.measure import command, environment
from benchmarks.pty_session import PtySession
from benchmarks.report import Row, measured, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.measure import Context
    from mllab.lab import Lab

CASE = "tui"
WHO = "mllab"
SECONDS_TO_START = 120.0
REST_S = 2.5
# Braille dots of a curve: U+2801 to U+28FF are E2 A0 81 to E2 A3 BF.
BRAILLE = re.compile(rb"\xe2[\xa0-\xa3][\x80-\xbf]")
# What the empty prompt says, by the key that opens it.
_PROMPT = {b":": b"command; Tab completes", b"/": b"order by acc desc"}
PROMPT_S = 0.3
_ROW = re.compile(rb"row ([\d,]+) of")
_COUNT = re.compile(rb"Runs \(([\d,]+)")


@contextlib.contextmanager
def opened(
    context: Context, lab: Lab, link: str | None = None, *, kib_s: float | None = None, rests: bool = True
) -> Iterator[PtySession]:
    """Start the UI as one who was never here; with ``rests``, wait until it has shown and loaded all."""
    environ = environment(context.work) | {"XDG_STATE_HOME": context.scratch("tui-state")}
    argv = [*command("mllab"), "--lab", lab.root, *(("open", link) if link else ())]
    with PtySession(argv, environ=environ, cwd=context.work, kib_s=kib_s) as session:
        if rests:
            session.wait_for("following", timeout_s=SECONDS_TO_START)
            session.quiet(quiet_s=REST_S, timeout_s=SECONDS_TO_START)
        yield session


def row(what: str, unit: str, samples: Sequence[float], floor: float | None = None, **more: Any) -> Row:
    """Return a row of this case."""
    return measured(CASE, what, WHO, unit, samples, floor=floor, **more)


def guarded(what: str, work: Callable[[], list[Row]]) -> list[Row]:
    """Return rows, or one that says why there are none: the others are worth having."""
    try:
        return work()
    except (TimeoutError, EOFError, RuntimeError, OSError) as error:
        return [missing(CASE, what, WHO, f"failed: {error}"[:300])]


def ask(session: PtySession, opener: bytes, text: str) -> None:
    """Open the prompt and write a text into it, once it is there: what comes sooner would be keys that edit runs."""
    session.press_until(opener, lambda output: _PROMPT[opener] in output)
    session.send(text.encode())
    time.sleep(PROMPT_S)


def row_shown(names: Sequence[bytes]) -> Callable[[bytes], bool]:
    """Return what says whether another row than before is under the cursor, and painted.

    ``names`` are all rows' in order. Beside live runs the same row is painted again and again.
    """
    before = 0

    def is_there(output: bytes) -> bool:
        nonlocal before
        places = _ROW.findall(output)
        place = int(places[-1].replace(b",", b"")) if places else before
        if place == before or (place <= len(names) and names[place - 1] not in output):
            return False
        before = place
        return True

    return is_there


def count_shown(output: bytes) -> bool:
    """Whether the top bar says how many runs there are."""
    return bool(_COUNT.search(output))


def curve_shown(output: bytes) -> bool:
    """Whether dots of a curve are painted."""
    return bool(BRAILLE.search(output))
