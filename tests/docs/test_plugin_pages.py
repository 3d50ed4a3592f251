"""The code on the pages about plugins runs, and does what the pages say."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import mllab
from mllab.lab import Lab
from mllab.plugins import manager
from mllab.plugins.manager import Plugins, Source

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    found = BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert found
    return found


@pytest.fixture
def restored():
    """Put the plugins of the process back after the test, and what they patched."""
    before = manager.use_plugins(None)
    yield
    mllab.autolog(disable=True)
    manager.use_plugins(before)


def test_each_example_of_a_hook_is_a_plugin(tmp_path, monkeypatch, lab: Lab, restored: None) -> None:
    (tmp_path / "toy_library.py").write_text("def train(rounds):\n    return rounds\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins = Plugins.load([])
    for number, body in enumerate(blocks("reference/hooks.md")):
        names: dict[str, object] = {"__name__": f"example{number}"}
        exec(compile(body, f"hooks.md[{number}]", "exec"), names)
        plugins.register(
            SimpleNamespace(**{key: value for key, value in names.items() if "__" not in key}), f"p{number}"
        )
        line = names.get("Line")
        if isinstance(line, type):
            written = plugins.call("mllab_model_writers", model=line())
            [(_, [writer])] = written
            assert writer.write(line(), str(tmp_path)) == {"file": "line.json"}
    assert sorted(hook for known in plugins.known.values() for hook in known.hooks) == [
        "mllab_autolog", "mllab_capture", "mllab_cli_commands", "mllab_model_writers",
    ]  # fmt: skip
    manager.use_plugins(plugins)
    assert set(manager.cli_commands()) == {"hello"}
    assert mllab.autolog(lab=lab, capture=False) == ("toy",)
    assert importlib.import_module("toy_library").train(3) == 3
    assert lab.engine.rows("SELECT key, text FROM params") == [("rounds", "3")]
    mllab.autolog(disable=True)
    del sys.modules["toy_library"]


def test_the_page_on_writing_plugins(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "plugins" / "template" / "src"))
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere/env")
    names: dict[str, object] = {"__name__": "docs"}
    for body in blocks("how-to/write-a-plugin.md"):
        exec(compile(body, "write-a-plugin.md", "exec"), names)
    template = (ROOT / "plugins/template/src/mllab_template/plugin.py").read_text(encoding="utf-8")
    body = blocks("how-to/write-a-plugin.md")[0].partition("def ")[2].partition("\n")[2]
    assert body in template, "the page shows another plugin than the template"


def test_the_page_on_autologging(monkeypatch, tmp_path, lab: Lab, restored: None) -> None:
    for name in ("GIT", "ENVIRONMENT", "CONSOLE", "SYSTEM"):
        monkeypatch.setenv(f"MLLAB_CAPTURE_{name}", "0")
    monkeypatch.setenv("MLLAB_LAB", lab.root)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "plugins" / "mllab-sklearn" / "src"))
    manager.use_plugins(Plugins.load([Source("sklearn", "mllab_sklearn.plugin", "mllab-sklearn", "0")]))
    names: dict[str, object] = {"__name__": "docs"}
    for number, body in enumerate(blocks("how-to/autolog-scikit-learn.md")):
        exec(compile(body, f"autolog-scikit-learn.md[{number}]", "exec"), names)


def test_the_options_on_the_page_are_the_options(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "plugins" / "mllab-sklearn" / "src"))
    options = importlib.import_module("mllab_sklearn.autologger").SklearnAutologger.options
    page = (ROOT / "docs/how-to/autolog-scikit-learn.md").read_text(encoding="utf-8")
    signature = inspect.signature(mllab.autolog).parameters
    named = {name for name, one in signature.items() if one.kind is inspect.Parameter.KEYWORD_ONLY}
    for option in named | set(options):
        assert re.search(rf"\b{option}=", page), option
