"""Sealing happens by itself, in a process that nobody waits for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import mllab
from mllab.lab import Lab
from mllab.store import store as store_module

if TYPE_CHECKING:
    import pytest

WAIT_S = 60


def test_finished_runs_are_sealed_in_the_background(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SEAL_RUNS", 5)
    monkeypatch.setenv("MLLAB_STORE_AUTO_COMPACT", "1")
    opened = Lab(lab.root)
    for number in range(5):
        with mllab.start_run("upkeep", f"r{number}", lab=opened, capture=False) as run:
            run.log({"loss": float(number)})
    tick = threading.Event()
    for _ in range(WAIT_S * 10):
        if lab.store.snapshot().manifest.folds and not lab.store.snapshot().tails:
            break
        tick.wait(0.1)
    assert lab.store.snapshot().tails == ()
    assert lab.engine.rows("SELECT count(*), sum(value) FROM metrics") == [(5, 10.0)]


def test_upkeep_of_a_store_that_is_not_there_ends_with_its_exit_code(tmp_path: object) -> None:
    from mllab.store.upkeep import main

    assert main(f"{tmp_path}/nothing") == 2
