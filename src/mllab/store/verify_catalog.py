"""Checking the catalogue's chain and its checkpoints. Standard library alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mllab.errors import StoreCorrupt
from mllab.store.catalog import (
    NO_COMMIT,
    CatalogState,
    checkpoint_numbers,
    commit_numbers,
    read_checkpoint,
    read_commit,
)

if TYPE_CHECKING:
    from mllab.store.findings import Findings
    from mllab.store.layout import Layout


def check_catalog(layout: Layout, findings: Findings) -> None:
    """Check that every commit is intact and follows the one before, and that checkpoints say the same."""
    checkpoints = checkpoint_numbers(layout)
    numbers = commit_numbers(layout)
    state: CatalogState | None = CatalogState()
    previous: str | None = NO_COMMIT
    expected = 1
    for number in numbers:
        if number > expected:
            _report_missing(findings, expected, number - 1)
            state = previous = None
        expected = number + 1
        findings.checked["catalog commits"] += 1
        try:
            commit = read_commit(layout, number, previous)
        except StoreCorrupt as error:
            findings.problem("catalog", f"catalog/{number:020d}.json", error.message, f"what commit {number} changed")
            state = previous = None
            continue
        previous = commit.digest
        state = state.after(commit) if state is not None else None
        if number in checkpoints:
            _check_checkpoint(layout, findings, number, state)
    if checkpoints and checkpoints[-1] >= expected:
        _report_missing(findings, expected, checkpoints[-1])


def _check_checkpoint(layout: Layout, findings: Findings, number: int, state: CatalogState | None) -> None:
    path = f"catalog/checkpoint-{number:020d}.json"
    try:
        found = read_checkpoint(layout, number)
    except FileNotFoundError:
        return
    except StoreCorrupt as error:
        findings.problem("catalog", path, f"{error.message} Readers go on with an older one.")
        return
    if state is not None and found != state:
        findings.problem("catalog", path, f"The catalogue checkpoint {number} differs from what its commits lead to.")


def _report_missing(findings: Findings, first: int, last: int) -> None:
    which = f"commit {first} is" if first == last else f"commits {first} to {last} are"
    findings.problem("catalog", "catalog", f"The catalogue {which} missing.", f"what {which.rsplit(' ', 1)[0]} changed")
