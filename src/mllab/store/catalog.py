"""The catalogue: what a lab knows beside its runs, as numbered, hash-chained commits. Standard library alone.

A commit is put only if its number is free: of two writers one wins, and the other applies its change again to
the state that won. Each commit carries the digest of the one before, so editing or removing an old one shows.
A checkpoint, made every ``CHECKPOINT_EVERY`` commits, holds the state so far and spares reading what led to it.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union

from mllab.errors import InvalidValueError, MllabError, StoreBusy, StoreCorrupt
from mllab.store import documents
from mllab.store.fs import translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout

PIN = "pin"  # name: a blob's sha256 or a run id that gc must keep; value: {"reason": text}
EXPERIMENT = "experiment"  # name: the experiment's; value: {"note": text, "archived": bool}, both optional

CHECKPOINT_EVERY = 64
CHECKPOINT_NAME = re.compile(r"checkpoint-([0-9]{20})\.json\Z")
NO_COMMIT = "0" * 64
MAX_COMMIT_BYTES = 16 << 20
MAX_NAME = 250
ATTEMPTS = 200
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,39}\Z")
_HINT = "Run `mllab store verify`; copy the named file back from a backup."


class Change(NamedTuple):
    """One change of a commit: ``set`` or ``delete`` the entry ``name`` of a kind. Values are JSON."""

    op: str
    kind: str
    name: str
    value: Any = None

    @classmethod
    def set(cls, kind: str, name: str, value: Any) -> Change:
        """Return a change that gives an entry a value."""
        return cls("set", kind, name, value)

    @classmethod
    def delete(cls, kind: str, name: str) -> Change:
        """Return a change that removes an entry."""
        return cls("delete", kind, name)


@dataclass(frozen=True)
class Commit:
    """One commit as stored; ``time`` is UTC microseconds, ``previous`` the digest of the commit before."""

    number: int
    time: int
    actor: str
    reason: Optional[str]
    changes: tuple[Change, ...]
    previous: str
    digest: str


@dataclass(frozen=True)
class CatalogState:
    """Every entry after commit ``number``, by kind and name. Shared between callers: read it, do not change it."""

    number: int = 0
    digest: str = NO_COMMIT
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, kind: str) -> Mapping[str, Any]:
        """Return the entries of a kind by name."""
        return self.entries.get(kind, {})

    def get(self, kind: str, name: str, default: Any = None) -> Any:
        """Return one entry's value."""
        return self.of(kind).get(name, default)

    def after(self, commit: Commit) -> CatalogState:
        """Return the state that ``commit`` leads to."""
        return CatalogState(commit.number, commit.digest, _applied(self.entries, commit.changes))


class Catalog:
    """The catalogue of one store. Safe to use from many threads and processes at once."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout = layout
        self._disk = disk
        self._known: Optional[CatalogState] = None

    def state(self) -> CatalogState:
        """Return the present state; repeated calls read only commits made since.

        Raises:
            StoreCorrupt: a commit is damaged, missing or not the successor of the one before. Nothing is
                guessed: a pin that is overlooked would cost its content.
        """
        state = self._known or self._open()
        while True:
            try:
                state = state.after(read_commit(self._layout, state.number + 1, state.digest))
            except FileNotFoundError:
                self._known = state
                return state

    def commit(
        self,
        change: Union[Iterable[Change], Callable[[CatalogState], Iterable[Change]]],
        *,
        actor: str,
        reason: Optional[str] = None,
    ) -> CatalogState:
        """Commit changes durably and return the state they lead to; without effect nothing is written.

        Args:
            change: changes, or a function that returns them for the present state. When another process commits
                first it is called again with the new state, and may raise to give up.
            actor: who asks for it.
            reason: why, for the history.

        Raises:
            InvalidValueError: a kind, name or value cannot be stored.
            StoreBusy: others committed first every time.
            WriteError: the disk refused; nothing changed.
        """
        fixed = None if callable(change) else tuple(change)
        for _ in range(ATTEMPTS):
            state = self.state()
            changes = tuple(_as_stored(item) for item in (change(state) if callable(change) else fixed or ()))
            if not _has_effect(state.entries, changes):
                return state
            data = _encode(state, changes, actor, reason)
            commit = _parse(*documents.decode(data, "a new commit"), state.number + 1)
            with translate_os_errors("the catalogue"):
                won = self._disk.put_if_absent(commit_path(self._layout, commit.number), data)
            if won:
                self._known = state.after(commit)
                if commit.number % CHECKPOINT_EVERY == 0:
                    self._checkpoint(self._known)
                return self._known
            time.sleep(os.urandom(1)[0] / 25_600)  # not random.random(): a seeded script must not lose draws
        raise StoreBusy("Other processes keep changing the catalogue.", "Call again.")

    def history(self) -> Iterator[Commit]:
        """Yield every commit, oldest first; raise StoreCorrupt at the first that is not intact."""
        digest = NO_COMMIT
        for number in range(1, self.state().number + 1):
            try:
                commit = read_commit(self._layout, number, digest)
            except FileNotFoundError:
                raise _missing(number) from None
            digest = commit.digest
            yield commit

    def _open(self) -> CatalogState:
        """Return the state by the newest intact checkpoint and the commits after it, as listed."""
        checkpoints = checkpoint_numbers(self._layout)  # before the commits: a checkpoint follows its commit
        last = max(commit_numbers(self._layout), default=0)
        if checkpoints and checkpoints[-1] > last:
            raise _missing(last + 1)
        state = CatalogState()
        for number in reversed(checkpoints):
            try:
                state = read_checkpoint(self._layout, number)
                break
            except (StoreCorrupt, FileNotFoundError):
                continue  # an older one and more commits lead to the same state; verify names it
        for number in range(state.number + 1, last + 1):
            try:
                state = state.after(read_commit(self._layout, number, state.digest))
            except FileNotFoundError:
                raise _missing(number) from None
        return state

    def _checkpoint(self, state: CatalogState) -> None:
        data, _ = documents.encode({"number": state.number, "commit": state.digest, "entries": state.entries})
        path = os.path.join(self._layout.catalog, f"checkpoint-{state.number:020d}.json")
        try:
            self._disk.point("before_checkpoint")
            self._disk.put_if_absent(path, data)
        except (OSError, MllabError):
            return  # the commit is made; a checkpoint only saves time


def commit_path(layout: Layout, number: int) -> str:
    """Return the path of a commit."""
    return os.path.join(layout.catalog, f"{number:020d}.json")


def commit_numbers(layout: Layout) -> list[int]:
    """Return the numbers of the commits that are there, in order."""
    return [int(name[:20]) for name in layout.commits(layout.catalog)]


def checkpoint_numbers(layout: Layout) -> list[int]:
    """Return the numbers of the checkpoints that are there, in order."""
    try:
        names = os.listdir(layout.catalog)
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for match in map(CHECKPOINT_NAME.match, names) if match)


def read_commit(layout: Layout, number: int, previous: Optional[str] = None) -> Commit:
    """Read one commit; with ``previous``, also check that it follows the commit with that digest.

    Raises:
        FileNotFoundError: there is no such commit.
        StoreCorrupt: it is damaged, or follows another commit.
    """
    body, digest = documents.read(commit_path(layout, number), f"The catalogue commit {number}", MAX_COMMIT_BYTES)
    commit = _parse(body, digest, number)
    if previous is not None and commit.previous != previous:
        raise StoreCorrupt(
            f"The catalogue commit {number} does not follow the one before it: one of them was changed.", _HINT
        )
    return commit


def _parse(body: dict[str, Any], digest: str, number: int) -> Commit:
    name = f"The catalogue commit {number}"
    try:
        commit = Commit(
            number=_typed(body["number"], int),
            time=_typed(body["time"], int),
            actor=_typed(body["actor"], str),
            reason=None if body["reason"] is None else _typed(body["reason"], str),
            changes=tuple(_change(item) for item in _typed(body["changes"], list)),
            previous=_typed(body["previous"], str),
            digest=digest,
        )
    except (KeyError, TypeError, InvalidValueError) as error:
        raise StoreCorrupt(f"{name} lacks a field or has one of a wrong type.", _HINT) from error
    if commit.number != number:
        raise StoreCorrupt(f"{name} says that it is number {commit.number}.", _HINT)
    return commit


def read_checkpoint(layout: Layout, number: int) -> CatalogState:
    """Read a checkpoint and check it against the commit it was made after."""
    name = f"The catalogue checkpoint {number}"
    body, _ = documents.read(os.path.join(layout.catalog, f"checkpoint-{number:020d}.json"), name)
    entries = body.get("entries")
    if body.get("number") != number or not isinstance(entries, dict):
        raise StoreCorrupt(f"{name} is not what its name says.", _HINT)
    if not all(isinstance(names, dict) for names in entries.values()):
        raise StoreCorrupt(f"{name} has entries of a wrong type.", _HINT)
    if read_commit(layout, number).digest != body.get("commit"):
        raise StoreCorrupt(f"{name} was made after another commit than number {number}.", _HINT)
    return CatalogState(number, str(body["commit"]), entries)


def _encode(state: CatalogState, changes: tuple[Change, ...], actor: str, reason: Optional[str]) -> bytes:
    data, _ = documents.encode(
        {
            "number": state.number + 1,
            "time": time.time_ns() // 1000,
            "actor": str(actor),
            "reason": None if reason is None else str(reason),
            "changes": [_item(change) for change in changes],
            "previous": state.digest,
        }
    )
    if len(data) > MAX_COMMIT_BYTES:
        raise InvalidValueError(
            f"A change of the catalogue takes {len(data):,} bytes; {MAX_COMMIT_BYTES:,} is the limit.",
            "Store large content as an artifact.",
        )
    return data


def _item(change: Change) -> dict[str, Any]:
    """Return a change as a commit's JSON has it."""
    item = {"op": change.op, "kind": change.kind, "name": change.name}
    return {**item, "value": change.value} if change.op == "set" else item


def _checked(change: Change) -> Change:
    if change.op not in ("set", "delete") or not _KIND.match(str(change.kind)):
        raise InvalidValueError(f"There is no change {change.op!r} of {change.kind!r} entries.", "Use Change.set.")
    if type(change.name) is not str or not 1 <= len(change.name) <= MAX_NAME:
        raise InvalidValueError(
            f"The name of a {change.kind} is {str(change.name)[:40]!r}.",
            f"A name is text of 1 to {MAX_NAME} characters.",
        )
    return change


def _as_stored(change: Change) -> Change:
    """Return a checked change whose value is what reading it back gives."""
    _checked(change)
    try:
        return change._replace(value=json.loads(json.dumps(change.value, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(
            f"The value of the {change.kind} {change.name!r} cannot be written as JSON: {error}.",
            "Use text, finite numbers, lists and mappings.",
        ) from None


def _change(item: Any) -> Change:
    """Return the change in a commit's JSON."""
    return _checked(Change(item["op"], item["kind"], item["name"], item["value"] if item["op"] == "set" else None))


def _has_effect(entries: Mapping[str, Mapping[str, Any]], changes: tuple[Change, ...]) -> bool:
    after = _applied(entries, changes)

    def shown(state: Mapping[str, Mapping[str, Any]], change: Change) -> Optional[str]:
        names = state.get(change.kind, {})
        return json.dumps(names[change.name], sort_keys=True) if change.name in names else None

    return any(shown(entries, change) != shown(after, change) for change in changes)


def _applied(entries: Mapping[str, Mapping[str, Any]], changes: Iterable[Change]) -> dict[str, Mapping[str, Any]]:
    result = dict(entries)
    touched: dict[str, dict[str, Any]] = {}
    for change in changes:
        names = touched.get(change.kind)
        if names is None:
            names = touched[change.kind] = dict(entries.get(change.kind, {}))
        if change.op == "set":
            names[change.name] = change.value
        else:
            names.pop(change.name, None)
    result.update(touched)
    return {kind: names for kind, names in result.items() if names}


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} is no {kind.__name__}")
    return value


def _missing(number: int) -> StoreCorrupt:
    return StoreCorrupt(f"The catalogue commit {number} is missing, though later ones are there.", _HINT)
