"""What could be typed next in a filter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mllab.errors import FilterError
from mllab.query.filter_ast import DERIVED, PREFIXES, RESERVED, Term
from mllab.query.filter_lexer import tokenize
from mllab.query.filter_parser import FUNCTIONS
from mllab.query.filter_terms import ATTRIBUTES, STATUSES

if TYPE_CHECKING:
    from mllab.query.filter_terms import KeyCatalogue

_WORD = re.compile(r"[\w./:@%+#`-]*\Z")
_TIMES = ("today", "yesterday", "1h ago", "1d ago", "1w ago")


class Completion(NamedTuple):
    """A text to put from ``start`` to the cursor, and what it is: attribute, metric, param, tag, function, ..."""

    text: str
    start: int
    kind: str


def complete(text: str, cursor: int, catalogue: KeyCatalogue) -> list[Completion]:
    """Return what can follow the first ``cursor`` characters, those that begin with the word typed before others."""
    match = _WORD.search(text, 0, cursor)
    start = match.start() if match else cursor
    typed = text[start:cursor].lower().strip("`")
    try:
        before = tokenize(text[:start])[:-1]
    except FilterError:
        return []  # inside a text that is still open
    options: list[tuple[str, str]] = []
    last = before[-1] if before else None
    if last is not None and last.kind == "operator":
        left = before[-2].value if len(before) > 1 else ""
        values = {"status": STATUSES, "started": _TIMES, "ended": _TIMES, "archived": ("true", "false")}
        options = [(value, "value") for value in values.get(left, ())]
    elif last is None or last.kind in ("(", ",") or last.text.lower() in {*RESERVED, "by"}:
        is_explicit = typed.partition(".")[0] in PREFIXES
        options = [(name, "attribute") for name in ATTRIBUTES]
        keys = (catalogue.metric_keys, catalogue.param_keys, catalogue.tag_keys)
        for kind, kind_keys in zip(PREFIXES.values(), keys, strict=True):
            for key in sorted(kind_keys):
                options.append((str(Term(kind if is_explicit or key in ATTRIBUTES else "", key)), kind))
        options += [(f"{function}(", "function") for function in (*FUNCTIONS, *DERIVED)]
        options += [(word, "keyword") for word in ("not", "has", *(f"{prefix}." for prefix in PREFIXES))]
    else:
        options = [(word, "keyword") for word in ("and", "or", "in", "is", "not", "order by", "desc", "limit")]
    ranked = sorted((name.replace("`", "").lower().find(typed), i) for i, (name, _) in enumerate(options))
    return [Completion(options[i][0], start, options[i][1]) for place, i in ranked if place >= 0]
