"""What the terminal UI remembers from one session to the next: per store, in the user's state folder.

It is a convenience, never the truth: a file that is damaged or cannot be written costs the session, nothing else.
Several sessions share the file. Each writes what it changed into what is there by then, under a lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

V = TypeVar("V")

VERSION = 1
MAX_BYTES = 64 << 20
MOST_FILTERS = 50
# A session holds the lock for some milliseconds; one that was stopped meanwhile must not stop the others for good.
PATIENCE_S = 5.0
# A file system that knows no locks: sessions side by side are rare, and to remember nothing at all is worse.
_LOCKLESS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@dataclass(slots=True)
class State:
    """What is remembered. What undo needs is in a journal of its own: :class:`mllab.tui.journal.Journal`.

    Attributes:
        place: the link of the view that was open.
        columns: the columns of the runs list; empty for the usual ones.
        widths: widths of columns that were changed, by column.
        views: saved views, name to link.
        pins: ids of runs that stay on top.
        seen: inbox items that were acknowledged: id to the time until which they are hidden (0: for good).
        theme: the theme's name.
        shows_detail: whether the runs list has its detail beside it.
        filters: filters that were used, newest first.
    """

    place: str = ""
    columns: list[str] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)
    pins: list[str] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    theme: str = ""
    shows_detail: bool = True
    filters: list[str] = field(default_factory=list)

    def copy(self) -> State:
        """Return a state that later changes of this one do not reach."""
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        return State(**{name: value.copy() if hasattr(value, "copy") else value for name, value in kept.items()})


# What sessions put together; of the rest, what was changed last is kept.
_SHARED = ("widths", "views", "pins", "seen", "filters")


def state_path(store_id: str, environ: dict[str, str] | None = None) -> str:
    """Return the file of one store's state."""
    environ = dict(os.environ) if environ is None else environ
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Application Support")
    else:
        base = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "mllab", f"{store_id}.json")


def load_state(path: str) -> State:
    """Return what is remembered; what is missing, damaged or of another type is as in a first session."""
    try:
        return _read(path) or State()
    except OSError:
        return State()


def _read(path: str) -> State | None:
    """Return the state in a file; None when it is damaged.

    Raises:
        OSError: it is missing or cannot be read.
    """
    try:
        if os.path.getsize(path) > MAX_BYTES:
            return None
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        return None
    state = State()
    for each in fields(State):
        value = found.get(each.name)
        if type(value) is type(getattr(state, each.name)):
            setattr(state, each.name, value)
    return _with_right_values(state)


def _with_right_values(found: Any) -> State:
    """Keep what is in the lists and tables of a file only where it is of the right type."""
    state: State = found
    state.columns = [str(name) for name in found.columns]
    state.pins = [str(run) for run in found.pins]
    state.filters = [str(text) for text in found.filters]
    state.views = {name: str(link) for name, link in found.views.items()}
    state.widths = {name: width for name, width in found.widths.items() if type(width) is int and width > 0}
    state.seen = {name: float(until) for name, until in found.seen.items() if type(until) in (int, float)}
    return state


def merged(base: State, mine: State, theirs: State, names: Iterable[str] | None = None) -> State:
    """Return ``theirs`` with what was changed from ``base`` to ``mine``.

    Args:
        base: the state before the changes.
        mine: the state after them.
        theirs: what others made of it meanwhile.
        names: which attributes to change; the others are as in ``theirs``.
    """
    result = theirs.copy()
    for name in [each.name for each in fields(State)] if names is None else names:
        before, after, other = getattr(base, name), getattr(mine, name), getattr(theirs, name)
        if before == after:
            continue
        if isinstance(after, dict):
            after = _merged_tables(before, after, other)
        elif name == "pins":
            after = list(_merged_tables(*(dict.fromkeys(each, "") for each in (before, after, other))))
        elif name == "filters":
            after = _merged_filters(before, after, other)
        setattr(result, name, after.copy() if hasattr(after, "copy") else after)
    return result


def _merged_tables(base: Mapping[str, V], mine: Mapping[str, V], theirs: Mapping[str, V]) -> dict[str, V]:
    kept = {key: value for key, value in theirs.items() if key in mine or key not in base}
    return kept | {key: value for key, value in mine.items() if key not in base or base[key] != value}


def _merged_filters(base: list[str], mine: list[str], theirs: list[str]) -> list[str]:
    """Put what was used since ``base`` in front: the shortest beginning of ``mine`` that explains the rest."""
    used: list[str] = []
    for text in mine:
        rest = [each for each in base if each not in used]
        if mine[len(used) :] == rest[: len(mine) - len(used)]:
            break
        used.append(text)
    return [*used, *(each for each in theirs if each not in used)][:MOST_FILTERS]


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold what sessions share beside the state file ``path`` for this one alone, made where there is none.

    Raises:
        OSError: the folder cannot be written, or another session keeps it for too long.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        limit = time.monotonic() + PATIENCE_S
        while not _took_lock(fd):
            if time.monotonic() > limit:
                raise TimeoutError(errno.ETIMEDOUT, "Another session keeps it locked", path)
            time.sleep(0.01)
        yield
    finally:
        with contextlib.suppress(OSError):  # closing alone would leave the lock to a child that was forked meanwhile
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _took_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _LOCKLESS:
            raise
    return True


def write_whole(path: str, pieces: Iterable[str]) -> None:
    """Write a file that has either all pieces or what it had, whatever ends the process or the machine.

    Call it with the lock held.

    Raises:
        OSError: the disk refused; nothing has changed.
    """
    temporary = f"{path}.new"  # one name: whoever is killed leaves one file at most, and the next to write takes it
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def save_changes(path: str, base: State, mine: State) -> State:
    """Write what was changed from ``base`` to ``mine`` into the file, and return what is there.

    A damaged file is kept beside it, under its name and ``.damaged``.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    with locked(path):
        try:
            theirs = _read(path)
            if theirs is None:
                os.replace(path, f"{path}.damaged")
        except FileNotFoundError:
            theirs = None
        state = mine if theirs is None else merged(base, mine, theirs)
        if state != theirs:
            write_whole(path, [json.dumps({"version": VERSION, **asdict(state)})])
        return state


class Memory:
    """The state of one session, and what of it is in the file.

    All but :func:`save_changes` is for one thread. ``begin`` gives what that function takes, and ``finish`` takes what
    it returned or raised; several may be on the way, in the order in which they began.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.state = load_state(path)
        self._told = self.state.copy()
        self._owed: State | None = None  # the state before the first changes that could not be written
        self._has_warned = False

    def begin(self, place: str = "") -> tuple[State, State]:
        """Return the state as it was told last, and as it is.

        Args:
            place: where this session is, which counts as changed: the last session that says so is right.
        """
        before = self._owed or self._told
        if place:
            self.state.place = place
            before.place = ""
        mine = self.state.copy()
        self._told = mine.copy()
        return before, mine

    def finish(self, before: State, mine: State, result: State | OSError) -> str:
        """Take over what others changed; return the warning that is due: once, that nothing is remembered."""
        if isinstance(result, State):
            if before is self._owed:
                self._owed = None
            self._adopt(mine, result)
            return ""
        self._owed = self._owed or before
        has_warned, self._has_warned = self._has_warned, True
        return "" if has_warned else not_remembered(self.path, result)

    def _adopt(self, mine: State, theirs: State) -> None:
        # Columns, theme and place of another session are for the next one: this one shows its own.
        self._told = merged(mine, theirs, self._told, _SHARED)
        found = merged(mine, theirs, self.state, _SHARED)
        for name in _SHARED:
            setattr(self.state, name, getattr(found, name))

    def refresh(self) -> None:
        """Take over what other sessions have written."""
        with contextlib.suppress(OSError):
            found = _read(self.path)
            if found is not None:
                self._adopt(self._told, found)

    def save(self) -> str:
        """Write the changes in this thread; return the warning that is due."""
        before, mine = self.begin()
        return self.finish(before, mine, save_or_error(self.path, before, mine))


def save_or_error(path: str, base: State, mine: State) -> State | OSError:
    """Do what :func:`save_changes` does, and return its error."""
    try:
        return save_changes(path, base, mine)
    except OSError as error:
        return error


def not_remembered(path: str, error: OSError) -> str:
    """Say that the session is not remembered, and why."""
    return f"This session will not be remembered: {os.path.dirname(path)}: {error.strerror or error}."
