"""What a filter may name: attributes of a run, and the metric, param and tag keys that a lab has."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from mllab.errors import FilterError
from mllab.query.filter_ast import Kind, Term, quote_name
from mllab.store.run_status import ENDED, LOST, RUNNING

if TYPE_CHECKING:
    from collections.abc import Collection

# "mixed" is a param or tag: a number where it has one, and a text.
ValueType: TypeAlias = Literal["number", "duration", "text", "id", "status", "time", "flag", "mixed"]
ATTRIBUTES: dict[str, tuple[ValueType, str]] = {
    "id": ("id", "r.run_id"),
    "name": ("text", "r.name"),
    "experiment": ("text", "r.experiment"),
    "status": ("status", "r.status"),
    "started": ("time", "r.started"),
    "ended": ("time", "r.ended"),
    "duration": ("duration", "r.duration"),
    "user": ("text", 'r."user"'),
    "host": ("text", "r.host"),
    "note": ("text", "r.note"),
    "parent": ("id", "r.parent_id"),
    "forked_from": ("id", "r.forked_from"),
    "attempt": ("number", "r.attempt"),
    "archived": ("flag", "r.archived"),
    "damaged": ("flag", "(r.damaged IS NOT NULL)"),  # the column says what is wrong
    "number": ("number", "r.ref"),
}
STATUSES = (RUNNING, *ENDED, LOST)


class KeyCatalogue(Protocol):
    """The keys that runs of a lab have. Membership is tested often, so sets or dicts serve best."""

    @property
    def metric_keys(self) -> Collection[str]:
        """Keys of metrics."""

    @property
    def param_keys(self) -> Collection[str]:
        """Keys of params, nested ones joined by dots."""

    @property
    def tag_keys(self) -> Collection[str]:
        """Keys of tags."""


def resolve(term: Term, catalogue: KeyCatalogue) -> Term:
    """Return ``term`` with its kind; a bare name is an attribute, else a metric, else a param, else a tag.

    Raises:
        FilterError: when a bare name is none of these.
    """
    if term.kind:
        return term
    known: dict[Kind, Collection[str]] = {"metric": catalogue.metric_keys}
    if not term.function:
        known = {"run": ATTRIBUTES, **known, "param": catalogue.param_keys, "tag": catalogue.tag_keys}
    for kind, keys in known.items():
        if term.key in keys:
            return replace(term, kind=kind)
    what = "metric" if term.function else "attribute, metric, param or tag"
    raise _unknown(what, term, [key for keys in known.values() for key in sorted(keys)])


def _unknown(what: str, term: Term, known: list[str]) -> FilterError:
    """Suggest keys that are spelled alike, or that end in the name: val/loss for loss."""
    close = get_close_matches(term.key, known, 3) if len(term.key) <= 250 else []
    tails = [key for key in known if key.endswith((f"/{term.key}", f".{term.key}"))]
    names = list(dict.fromkeys([*close, *tails]))[:3]
    hint = f"Did you mean {' or '.join(map(quote_name, names))}?" if names else f"Known: {', '.join(known[:16])}."
    return FilterError(f"No run has the {what} {term.key[:60]}.", hint, column=term.column)
