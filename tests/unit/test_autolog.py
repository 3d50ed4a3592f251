"""Autologging as every library has it: which run a training is logged to, and that training is never disturbed."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

import mllab
from mllab.errors import InvalidValueError, NotFoundError
from mllab.plugins import manager
from mllab.plugins.hookspecs import hookimpl
from mllab.plugins.manager import Plugins
from mllab.tracking.autolog import is_training

LIBRARY = """
def train(rounds=1, error=None):
    if error is not None:
        raise error
    return rounds
"""


class ToyLogger:
    """Logs the function ``train`` of a toy library."""

    name = "toy"
    module = "toy_library"

    def __init__(self) -> None:
        self.options = {"colour": "red"}
        self.fails_after = False
        self.session = None

    def patch(self, session):
        self.session = session
        library: Any = sys.modules[self.module]
        original = library.train

        def train(rounds=1, **kwargs):
            with session.training() as training:
                if training.run is not None:
                    with session.guard("params"):
                        training.run.log_params({"rounds": rounds, **session.options.extra})
                inner = library.train(0) if rounds > 1 else 0
                result = original(rounds, **kwargs) + inner
                with session.guard("metrics"):
                    if self.fails_after:
                        raise RuntimeError("cannot measure")
                return result

        library.train = train
        return lambda: setattr(library, "train", original)


@pytest.fixture
def logger():
    return ToyLogger()


@pytest.fixture
def library(tmp_path, monkeypatch, logger):
    """Yield a function that imports the toy library, with its autologger as the one plugin."""
    (tmp_path / "toy_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    plugins = Plugins.load([])
    plugins.register(SimpleNamespace(mllab_autolog=hookimpl(lambda: logger)), "toy")
    before = manager.use_plugins(plugins)
    yield lambda: importlib.import_module("toy_library")
    mllab.autolog(disable=True)
    manager.use_plugins(before)
    sys.modules.pop("toy_library", None)


def runs(lab, columns="name, status, experiment, parent_id"):
    return lab.engine.rows(f"SELECT {columns} FROM runs ORDER BY started, run_id")


def test_a_training_gets_a_run_of_its_own(library, lab) -> None:
    assert mllab.autolog("toy", lab=lab, capture=False, experiment="toys") == ("toy",)
    assert library().train(3) == 3
    assert runs(lab, "status, experiment, parent_id") == [("finished", "toys", None)]
    assert lab.engine.rows("SELECT key, text FROM params ORDER BY key") == [("colour", "red"), ("rounds", "3")]
    assert mllab.active_run() is None


def test_a_library_may_be_imported_before(library, lab) -> None:
    toys = library()
    mllab.autolog(lab=lab, capture=False)
    toys.train()
    assert runs(lab, "status, experiment") == [("finished", "default")]


def test_disable_restores_the_original(library, lab) -> None:
    toys = library()
    original = toys.train
    mllab.autolog(lab=lab)
    assert toys.train is not original
    assert mllab.autolog("another", disable=True) == ("toy",)
    assert mllab.autolog("toy", disable=True) == ()
    assert toys.train is original
    toys.train()
    assert runs(lab) == []


def test_disable_before_the_import_leaves_nothing(library, lab) -> None:
    mllab.autolog(lab=lab)
    mllab.autolog(disable=True)
    assert library().train.__name__ == "train"
    library().train()
    assert runs(lab) == []


def test_calling_again_changes_the_options_and_patches_once(library, lab) -> None:
    toys = library()
    original = toys.train
    mllab.autolog("toy", lab=lab, capture=False)
    mllab.autolog("toy", lab=lab, capture=False, colour="blue")
    toys.train()
    assert len(runs(lab)) == 1
    assert lab.engine.rows("SELECT text FROM params WHERE key = 'colour'") == [("blue",)]
    mllab.autolog(disable=True)
    assert toys.train is original


def test_the_active_run_takes_the_first_training_and_its_children_the_rest(library, lab) -> None:
    mllab.autolog(lab=str(lab.root) + "-unused", capture=False)
    with mllab.start_run("mine", "outer", lab=lab, capture=False) as run:
        library().train(1)
        library().train(2)
        library().train(1)
        assert mllab.active_run() is run
    found = runs(lab, "name = 'outer', status, experiment, parent_id")
    assert found == [(True, "finished", "mine", None), *[(False, "finished", "mine", run.id)] * 2]


def test_each_active_run_takes_one(library, lab) -> None:
    mllab.autolog(capture=False)
    for _ in range(2):
        with mllab.start_run("mine", lab=lab, capture=False):
            library().train()
    assert runs(lab, "parent_id") == [(None,), (None,)]


def test_a_failing_training_fails_its_run_and_raises_the_same_error(library, lab) -> None:
    mllab.autolog(lab=lab, capture=False)
    error = ValueError("diverged")
    with pytest.raises(ValueError, match="diverged") as caught:
        library().train(error=error)
    assert caught.value is error
    [(status, kept)] = runs(lab, "status, error")
    assert status == "failed"
    assert "diverged" in kept
    assert "Traceback" in kept
    assert not is_training()


def test_an_interrupted_training_is_killed(library, lab) -> None:
    mllab.autolog(lab=lab, capture=False)
    with pytest.raises(KeyboardInterrupt):
        library().train(error=KeyboardInterrupt())
    assert runs(lab, "status") == [("killed",)]


def test_a_failure_in_the_active_run_is_the_users_to_handle(library, lab) -> None:
    mllab.autolog(capture=False)
    with mllab.start_run("mine", lab=lab, capture=False), pytest.raises(ValueError, match="diverged"):
        library().train(error=ValueError("diverged"))
    assert runs(lab, "status") == [("finished",)]


def test_failures_of_autologging_are_one_warning(library, lab, logger, caplog) -> None:
    logger.fails_after = True
    mllab.autolog(lab=lab, capture=False)
    assert [library().train() for _ in range(3)] == [1, 1, 1]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "autologging toy failed in metrics; training is not affected: RuntimeError: cannot measure" in caplog.text
    assert runs(lab, "status") == [("finished",)] * 3


def test_without_a_lab_training_goes_on(library, tmp_path, caplog) -> None:
    mllab.autolog(lab=tmp_path / "nowhere", capture=False)
    assert library().train(2) == 2
    assert "starting a run" in caplog.text
    assert not is_training()


def test_a_logger_that_cannot_patch_is_a_warning(library, logger, caplog, monkeypatch) -> None:
    monkeypatch.setattr(logger, "patch", lambda session: 1 / 0)
    mllab.autolog()
    assert library().train() == 1
    assert "failed in patching" in caplog.text


def test_threads_train_apart(library, lab) -> None:
    mllab.autolog(lab=lab, capture=False)
    toys = library()
    together = threading.Barrier(4)

    def work() -> None:
        together.wait(10)
        toys.train(2)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs(lab, "status, parent_id") == [("finished", None)] * 4


def test_unknown_libraries_and_options_are_errors(library) -> None:
    with pytest.raises(NotFoundError, match="No installed plugin logs 'tou'") as caught:
        mllab.autolog("tou")
    assert "Installed: toy" in (caught.value.hint or "")
    with pytest.raises(InvalidValueError, match="no option 'color'") as wrong:
        mllab.autolog("toy", color="red")
    assert wrong.value.hint == "Its own options: colour."
    assert mllab.autolog(disable=True) == ()


def test_without_plugins_autolog_says_so(caplog) -> None:
    before = manager.use_plugins(Plugins.load([]))
    try:
        assert mllab.autolog() == ()
    finally:
        manager.use_plugins(before)
    assert "pip install mllab-sklearn" in caplog.text
