"""Edits of runs from outside: tags, notes, names, archiving, deletion; each knows how to undo itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mllab.errors import UsageError
from mllab.store.values import check_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mllab.store.store import Store

MAX_NAME = 250


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of one run.

    Attributes:
        run_id: which run.
        attempt: the run's newest attempt when it was edited.
        event: the store's word for it: tags, note, rename, archive, delete.
        body: the event's fields.
        before: the fields that undo it.
    """

    run_id: str
    attempt: int
    event: str
    body: Mapping[str, Any]
    before: Mapping[str, Any]

    def reversed(self) -> Edit:
        """Return the edit that undoes this one."""
        return replace(self, body=self.before, before=self.body)

    def as_json(self) -> dict[str, Any]:
        """Return the edit for a journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Edit:
        """Return the edit that :meth:`as_json` described.

        Raises:
            UsageError: it is none.
        """
        try:
            edit = cls(
                str(data["run_id"]), int(data["attempt"]), str(data["event"]), dict(data["body"]), dict(data["before"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError("This entry of the journal cannot be read.", "It is left out.") from error
        if edit.event not in ("tags", "note", "rename", "archive", "delete"):
            raise UsageError(f"There is no edit {edit.event!r}.", "It is left out.")
        return edit


def apply(store: Store, edits: Iterable[Edit]) -> None:
    """Carry out edits, each durable before the next begins."""
    for edit in edits:
        store.edit(edit.run_id, edit.attempt, [(edit.event, dict(edit.body))])


def tag_edit(run_id: str, attempt: int, tags: Mapping[str, str], changes: Mapping[str, str | None]) -> Edit:
    """Return the edit that sets tags, or removes those whose value is None; ``tags`` are the run's present ones."""
    return Edit(run_id, attempt, "tags", {"values": dict(changes)}, {"values": {key: tags.get(key) for key in changes}})


def parse_tag(text: str) -> tuple[str, str | None]:
    """Return the key and value of ``key=value``, or the key and None of ``key-``.

    >>> parse_tag("team=core"), parse_tag("old-")
    (('team', 'core'), ('old', None))
    """
    key, equals, value = storable(text).partition("=")
    if equals:
        return check_key(key, "tag"), value
    if text.endswith("-") and len(text) > 1:
        return check_key(key[:-1], "tag"), None
    raise UsageError(f"{text!r} is no change of a tag.", "Write KEY=VALUE to set one, KEY- to remove one.")


def checked_name(text: str) -> str:
    """Return a run's new name without surrounding space.

    Raises:
        UsageError: it is empty or too long.
    """
    name = storable(text).strip()
    if not name or len(name) > MAX_NAME:
        raise UsageError(f"A name has 1 to {MAX_NAME} characters.", "Give it a few words.")
    return name


def storable(text: str) -> str:
    """Replace what an undecodable argument left behind: the store holds valid Unicode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def kept_days() -> int:
    """Return for how many days a deleted run is kept at least."""
    from mllab.store.gc import DAY_S, Periods

    return round(Periods().restore_s / DAY_S)
