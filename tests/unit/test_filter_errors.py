"""A filter that parses and means nothing is refused at the column of the cause."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mllab.errors import FilterError
from mllab.query.filter_parser import parse
from mllab.query.filter_sql import MAX_COMPARISONS, MAX_KEYS, compile_query

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


class Catalogue:
    metric_keys = frozenset({"loss", "val/loss"})
    param_keys = frozenset({"lr", "model.depth"})
    tag_keys = frozenset({"team"})


ERRORS: list[tuple[str, int, str]] = [
    ("los < 1", 0, "Did you mean loss"),
    ("status = failed and los < 1", 20, "Did you mean loss"),
    ("depth = 3", 0, "Did you mean model.depth"),
    ("zzz = 3", 0, "Known: archived"),
    ("min(lr) < 1", 4, "No run has the metric lr"),
    ("order by nothing_like_it", 9, "No run has"),
    ("loss = adam", 7, "is not a number"),
    ("loss = '0.1'", 7, "is not a number"),
    ("loss < val/loss", 7, "write metrics.key"),
    ("loss < 1e999", 7, "too large"),
    ("loss in (1, x)", 12, "is not a number"),
    ("loss ~ '1'", 7, "Only text can be matched"),
    ("started ~ '2026'", 10, "Only text can be matched"),
    ("loss = true", 7, "is not a number"),
    ("loss < null", 7, "Use = or !="),
    ("loss < nan", 7, "Use = nan"),
    ("lr < adam", 5, "is not a number"),
    ("lr < 10m", 5, "is not a number"),
    ("loss and archived", 0, "A comparison is missing"),
    ("status", 0, "A comparison is missing"),
    ("archived = 1", 11, "true or false"),
    ("archived < true", 11, "Use = or !="),
    ("status = finishd", 9, "Did you mean finished"),
    ("status in (finished, xyz)", 21, "States: running"),
    ("name = 3 blind", 9, "Found blind"),
    ("name = 3 days", 7, "needs quotes"),
    ("duration > soon", 11, "is not a duration"),
    ("duration > 10x", 11, "is not a duration"),
    ("duration > 10m5", 11, "is not a duration"),
    ("duration > ''", 11, "is not a duration"),
    ("started > soon", 10, "is not a time"),
    ("started > 5", 10, "is not a time"),
    ("started > '2026-13-01'", 10, "is not a time"),
    ("started > 2026-11-01 25:00", 10, "is not a time"),
    ("started > 5 parsecs ago", 12, "Found parsecs"),
    ("started > '5 parsecs ago'", 10, "is not a duration"),
    ("started > 99999999 days ago", 10, "outside the years"),
    (f"started > '{'9' * 400} days ago'", 10, "outside the years"),
    ("started > '9999-12-31T23:59:59-12:00'", 10, "outside the years"),
    ("name ~ '(('", 7, "The regular expression is wrong"),
    ("name ~ '[a'", 7, "The regular expression is wrong"),
    ("name ~ 'a{99999999999}'", 7, "The regular expression is wrong"),
    ("name ~ '(?=a)'", 7, "lookaround"),
    ("name ~ '(?<!a)b'", 7, "lookaround"),
    ("name ~ '(a)\\1'", 7, "back-references"),
    (f"name ~ '{'a' * 1001}'", 7, "1,000 is the limit"),
    ("started < metrics.loss", 10, "A time cannot be compared with a number"),
    ("archived = `name`", 11, "A flag cannot be compared with a text"),
    ("started < params.lr", 10, "cannot be compared"),
    (" or ".join(["loss = 1"] * (MAX_COMPARISONS + 1)), MAX_COMPARISONS * 12, "more than 250 comparisons"),
    (f"started in ({', '.join(['today'] * 300)})", 0, "more than 250 comparisons"),
    (" and ".join(f"params.k{n:02d} = 1" for n in range(MAX_KEYS + 1)), MAX_KEYS * 19, "more than 32 params"),
]


@pytest.mark.parametrize(("text", "column", "part"), ERRORS, ids=[text[:40] for text, _, _ in ERRORS])
def test_errors_point_at_their_cause(text, column, part):
    with pytest.raises(FilterError) as caught:
        compile_query(parse(text), Catalogue(), now=NOW, text=text)
    assert part in str(caught.value)
    assert (caught.value.column, caught.value.text) == (column, text)
