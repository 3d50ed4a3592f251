from __future__ import annotations

import pytest

from mllab.query.filter_complete import complete


class Catalogue:
    metric_keys = frozenset({"loss", "val/loss", "a b", "name"})
    param_keys = frozenset({"lr", "limit"})
    tag_keys = frozenset({"team"})


@pytest.mark.parametrize(
    ("text", "first", "absent"),
    [
        ("", "id", "and"),
        ("los", "loss", "lr"),
        ("status = fi", "finished", "loss"),
        ("status = ", "running", "loss"),
        ("started > yes", "yesterday", "now"),
        ("loss < ", None, None),
        ("loss < 1 a", "and", "archived"),
        ("loss < 1 and l", "loss", "team"),
        ("(te", "team", "loss"),
        ("min(va", "val/loss", "lr"),
        ("order by lo", "loss", "and"),
        ("order by loss, nu", "number", "loss"),
        ("a b", "order by", "loss"),
        ("lim", "`limit`", "loss"),
        ("params.l", "params.`limit`", "loss"),
        ("na", "name", "loss"),
        ("not arch", "archived", "loss"),
        ("has `a b", None, None),
        ("name = 'an open text", None, None),
    ],
)
def test_complete(text, first, absent):
    found = [completion.text for completion in complete(text, len(text), Catalogue())]
    if first is None:
        assert found == []
    else:
        assert found[0] == first
    assert absent not in found


def test_a_key_that_an_attribute_hides_is_completed_with_its_prefix():
    assert ("metrics.name", 0, "metric") in complete("na", 2, Catalogue())


def test_complete_in_the_middle_replaces_the_word_before_the_cursor():
    completion = complete("status = failed and los < 1", 23, Catalogue())[0]
    assert completion == ("loss", 20, "metric")
