"""The plugin as mllab loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mllab.plugins.manager import Plugins, Source

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def plugins() -> Plugins:
    """Return a set of plugins that holds this one alone."""
    return Plugins.load([Source("template", "mllab_template.plugin", "mllab-template", "0.1.0")], environ={})


def facts(plugins: Plugins) -> dict[str, Any]:
    """Return what the plugin records of a run."""
    return dict(plugins.call("mllab_capture", run=None))


def test_it_loads_and_implements_its_hook(plugins: Plugins) -> None:
    assert plugins.known["template"].problem is None
    assert plugins.known["template"].hooks == ("mllab_capture",)


def test_it_records_the_environment(plugins: Plugins, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "my-env"))
    assert facts(plugins) == {"template": {"virtual_environment": "my-env"}}


def test_it_says_nothing_outside_one(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    assert facts(plugins) == {}
