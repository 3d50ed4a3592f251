"""A run as its segments say it: decoded incrementally, reduced to a state, points and console lines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mllab.errors import StoreCorrupt, StoreError, StoreTooNew
from mllab.store.decode import SegmentDecoder, is_locked
from mllab.store.points import concat, summarise
from mllab.store.run_state import RunState
from mllab.store.values import TIME_MAX_US

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mllab.store.layout import Layout
    from mllab.store.points import PointColumns, Summary


class OpenRun:
    """The part of a run that is in segments. :meth:`refresh` reads only what was appended since the last call.

    Attributes:
        is_live: a process that started or continued the run, not one that edits it, still writes.
        unreadable: segments that the system does not let us read at present, and why.
    """

    def __init__(self, layout: Layout, run_id: str) -> None:
        self.run_id = run_id
        self.is_live = False
        self.points: list[PointColumns] = []
        self.logs: list[dict[str, Any]] = []
        self.summaries: dict[str, Summary] = {}
        self._folder = layout.run_folder(run_id)
        self._decoders: dict[str, SegmentDecoder] = {}
        self.unreadable: dict[str, str] = {}
        self._finished: set[str] = set()
        self._events: list[tuple[int, int, str, int, dict[str, Any], dict[str, Any]]] = []
        self._clock: dict[str, int] = {}
        self._problems: list[str] = []

    @property
    def segments(self) -> set[str]:
        """Names of the segments that were read."""
        return set(self._decoders)

    @property
    def needs_base(self) -> bool:
        """Whether the run began in records that were sealed before."""
        return not any(record["e"] == "start" for *_, record, _ in self._events)

    @property
    def has_events(self) -> bool:
        """Whether anything of this run could be read."""
        return bool(self._events or self.points or self.logs)

    def read_bytes(self) -> dict[str, tuple[int, int]]:
        """Return how many bytes of each segment were read, and how many of them hold no intact record."""
        return {name: (decoder.offset, decoder.lost_bytes) for name, decoder in self._decoders.items()}

    def check_present(self) -> None:
        """Raise FileNotFoundError when a segment is gone that was read to its end: its rows may be elsewhere."""
        for name in self._finished:
            os.lstat(os.path.join(self._folder, name))

    def refresh(self, names: Iterable[str]) -> bool:
        """Read what is new in the named segments; return whether anything was.

        Raises:
            FileNotFoundError: a segment vanished, which means that a later manifest has it.
        """
        changed = False
        was_live, self.is_live = self.is_live, False
        self.unreadable = {}
        for name in names:
            if name in self._finished:
                continue
            path = os.path.join(self._folder, name)
            locked = is_locked(path)  # before reading: once unlocked, the bytes are final
            decoder = self._decoders.setdefault(name, SegmentDecoder(path, self.run_id))
            before = decoder.offset
            known = len(decoder.problems)
            try:
                chunk = decoder.feed(final=not locked)
            except StoreCorrupt as error:
                decoder.problems.append(error.message)
                self._finished.add(name)
                continue
            except StoreTooNew:
                raise
            except StoreError as error:
                self.unreadable[name] = error.message
                self.is_live |= locked
                continue
            finally:
                self._problems += [f"{name}: {problem}" for problem in decoder.problems[known:]]
            if not locked:
                self._finished.add(name)
            elif decoder.header.get("purpose") != "edit":
                self.is_live = True
            self._take(decoder, name, chunk.events)
            self.points += chunk.points
            if chunk.points:
                _merge(self.summaries, summarise(concat(chunk.points)))
            changed |= decoder.offset != before
        return changed or was_live != self.is_live

    def _take(self, decoder: SegmentDecoder, name: str, events: list[tuple[int, dict[str, Any]]]) -> None:
        writer = name[:26]
        for seq, record in events:
            time_us = record.get("t")
            # A clock that jumps back must not reorder what one writer wrote.
            now = min(time_us, TIME_MAX_US) if type(time_us) is int else 0
            now = max(now, self._clock.get(writer, 0))
            self._clock[writer] = now
            if record["e"] == "out":
                self.logs.append(
                    {
                        "attempt": decoder.attempt,
                        "seq": seq,
                        "time": now,
                        "stream": str(record.get("s", "stdout")),
                        "text": str(record.get("x", "")),
                    }
                )
            else:
                record["t"] = now
                self._events.append((decoder.attempt, now, writer, seq, record, decoder.header))

    def state(self, base: RunState | None) -> RunState:
        """Return the run's row: the sealed ``base`` (changed in place), if any, with everything since applied."""
        run = base if base is not None else RunState(self.run_id)
        if base is None and self.needs_base:
            run.add_damage(["its first records are missing"])
        for *_, record, header in sorted(self._events, key=lambda event: event[:4]):
            try:
                run.apply(record, header)
            except (ValueError, TypeError, KeyError) as error:
                run.add_damage([f"a {record['e']} record does not fit ({type(error).__name__})"])
        run.add_summaries(self.summaries)
        run.add_damage([*self._problems, *self.unreadable.values()])
        run.started = run.started or run.last_seen
        run.settle(is_live=self.is_live)
        return run


def _merge(into: dict[str, Summary], later: dict[str, Summary]) -> None:
    for key, summary in later.items():
        into[key] = into[key].merged(summary) if key in into else summary
