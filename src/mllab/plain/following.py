"""What happens, said as it happens: lines that a run prints, runs that begin and end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mllab.query.views import find_run, run_rows
from mllab.tui.services.run_logs import RunLogs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.plain.voice import Voice
    from mllab.query.engine import Engine
    from mllab.store.snapshot import Snapshot

POLL_S = 0.5
_Runs = dict[str, tuple[str, str]]


def follow_run(engine: Engine, run_id: str, voice: Voice) -> None:
    """Say each whole line that a run prints from here on, until it has ended."""
    logs = RunLogs(engine, run_id)
    held: Sequence[str] = logs.more().texts
    is_old = True  # what was printed before is not said
    voice.say("Following what the run prints.")
    while True:
        snapshot = engine.refresh()
        is_live = any(tail.state.run_id == run_id and tail.is_live for tail in snapshot.tails)
        more = logs.more()
        # The last lines before, as many as are replaced, were still being written.
        for text in () if is_old else held[: len(held) - more.replaced]:
            voice.say_block(text)
        held, is_old = more.texts, False
        if not is_live:
            break
        time.sleep(POLL_S)
    for text in held:
        voice.say_block(text)
    ref, _ = find_run(engine, run_id)
    row = run_rows(engine, [ref])[ref]
    voice.say(f"{row.name} is not running: {row.status}.")


def follow_runs(engine: Engine, voice: Voice, *, until_idle: bool) -> None:
    """Say which runs begin and end, until Ctrl-C, or until nothing runs any more."""
    known = _statuses(engine)
    voice.say("Following which runs begin and end.")
    while True:
        snapshot = engine.refresh()
        found = _statuses(engine)
        for run_id, (name, status) in found.items():
            before = known.get(run_id)
            if before is None:
                voice.say(f"{name} began: {status}.")
            elif before[1] != status:
                voice.say(f"{name} was {before[1]} and is {status}.")
        known = found
        live = _live(snapshot)
        if until_idle and not live:
            voice.say("Nothing is running.")
            return
        time.sleep(POLL_S)


def _live(snapshot: Snapshot) -> int:
    return sum(tail.is_live for tail in snapshot.tails)


def _statuses(engine: Engine) -> _Runs:
    rows = engine.rows("SELECT run_id, name, status FROM r_runs WHERE deleted IS NULL ORDER BY started DESC LIMIT 1000")
    return {str(run_id): (str(name), str(status)) for run_id, name, status in rows}
