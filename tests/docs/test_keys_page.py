from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mllab.tui.actions import ACTIONS, Scope, in_scopes
from mllab.tui.key_reference import key_page
from mllab.tui.keymap import TOGETHER


def test_the_page_of_keys_is_the_table_of_actions() -> None:
    page = Path(__file__).parents[2] / "docs/reference/keys.md"
    assert page.read_text(encoding="utf-8") == key_page(), "python -m mllab.tui.key_reference > docs/reference/keys.md"


@pytest.mark.parametrize("scopes", TOGETHER, ids="+".join)
def test_no_key_means_two_things_at_once(scopes: tuple[Scope, ...]) -> None:
    keys = Counter(key for action in in_scopes(*scopes) for key in action.keys)
    assert [key for key, count in keys.items() if count > 1] == []


def test_no_pane_takes_a_key_that_leads_elsewhere() -> None:
    leading = {key for action in in_scopes("app") for key in action.keys}
    for scope in ("charts", "logs", "files"):
        taken = {key for action in in_scopes(scope) for key in action.keys}
        assert taken & leading == set(), scope


def test_no_key_is_one_that_terminals_or_multiplexers_take() -> None:
    forbidden = {f"ctrl+{letter}" for letter in "jmihsqzba["} | {"ctrl+enter", "shift+enter"}
    for action in ACTIONS:
        assert forbidden.isdisjoint(action.keys), action
        assert not any(key.startswith(("alt+", "f1")) for key in action.keys), action


def test_names_are_unique_within_a_scope() -> None:
    counts = Counter((action.scope, action.name) for action in ACTIONS)
    assert max(counts.values()) == 1
