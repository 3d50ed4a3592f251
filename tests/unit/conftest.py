"""Stores for the tests of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.whole_store import add_run

from mllab.store.catalog import PIN, Change
from mllab.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store.create(str(tmp_path / "store"))


@pytest.fixture
def full(store: Store) -> Store:
    """Return a store that has some of everything and is whole."""
    for name in ("one", "two", "three"):
        add_run(store, name, seal=False)
    store.seal()
    store.edit(add_run(store, "four"), 1, [("delete", {"value": True})])
    store.seal()
    add_run(store, "open", seal=False)
    for number in range(3):
        store.catalog.commit([Change.set(PIN, "a" * 64, number)], actor="ada")
    store.gc(apply=True)
    report = store.verify()
    assert report.problems == ()
    return store
