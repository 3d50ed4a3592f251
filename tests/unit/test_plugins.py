"""Finding, loading and calling plugins; and that none of them can do harm."""

from __future__ import annotations

import ast
import importlib
import logging
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest

from mllab.errors import InvalidValueError
from mllab.plugins import manager
from mllab.plugins.hookspecs import ModelWriter, hookimpl
from mllab.plugins.imports import ImportWatcher
from mllab.plugins.manager import InstalledPlugin, Plugins, Source

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))


@pytest.fixture
def plugins():
    """Put an empty set of plugins in the place of the installed ones."""
    empty = Plugins.load([])
    before = manager.use_plugins(empty)
    yield empty
    manager.use_plugins(before)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that makes an importable module from source."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def make(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


HOOK = "from mllab.plugins.hookspecs import hookimpl\n@hookimpl\n"
GOOD = HOOK + "def mllab_capture(run):\n    return {'good': 1}\n"


def writer(flavor: str, *, fails: str = "") -> ModelWriter:
    def write(model, folder):
        Path(folder, f"{flavor}.txt").write_text(str(model))
        if fails:
            Path(folder, "sub").mkdir()
            raise RuntimeError(fails)
        return {"file": f"{flavor}.txt"}

    return ModelWriter(flavor, write)


def offering(*writers: ModelWriter):
    return SimpleNamespace(
        mllab_model_writers=hookimpl(lambda model: list(writers) if isinstance(model, str) else None)
    )


# -- loading ------------------------------------------------------------------------------------------------------


def test_a_plugin_is_loaded_and_described(module) -> None:
    found = Plugins.load([Source("good", module("plugin_good", GOOD), "mllab-good", "1.2")])
    known = found.known["good"]
    assert (known.version, known.distribution, known.hooks, known.problem) == (
        "1.2",
        "mllab-good",
        ("mllab_capture",),
        None,
    )
    assert known.origin.endswith("plugin_good.py")
    assert list(found.call("mllab_capture", run=None)) == [("good", {"good": 1})]


def test_an_entry_point_may_name_an_object(module) -> None:
    name = module("plugin_object", "class Plugin:\n    " + GOOD.replace("\n", "\n    ") + "\nplugin = Plugin\n")
    found = Plugins.load([Source("object", f"{name}:plugin", "d", "1")])
    assert found.known["object"].problem is None


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise RuntimeError('broken at import')", "broken at import"),
        ("import a_module_that_is_nowhere", "a_module_that_is_nowhere"),
        (HOOK + "def mllab_from_the_future(): ...", "no hook"),
        (HOOK + "def mllab_capture(run, surprise): ...", "surprise"),
    ],
)
def test_a_plugin_that_does_not_load_is_passed_over(module, caplog, source: str, told: str) -> None:
    bad, good = module("plugin_bad", source), module("plugin_good", GOOD)
    found = Plugins.load([Source("bad", bad, "mllab-bad", "1"), Source("good", good, "mllab-good", "1")])
    assert told in (found.known["bad"].problem or "")
    assert found.known["bad"].hooks == ()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "mllab-bad" in caplog.text
    assert [name for name, _ in found.call("mllab_capture", run=None)] == ["good"]


def test_a_hook_of_a_later_mllab_may_be_optional(module) -> None:
    source = GOOD + "@hookimpl(optionalhook=True)\ndef mllab_from_the_future(): ...\n"
    assert Plugins.load([Source("new", module("plugin_new", source), "d", "1")]).known["new"].problem is None


def test_the_second_plugin_of_a_name_is_passed_over(module, caplog) -> None:
    first, second = module("plugin_first", GOOD), module("plugin_second", GOOD)
    found = Plugins.load([Source("same", first, "d1", "1"), Source("same", second, "d2", "1")])
    assert found.known["same"].distribution == "d1"
    assert "Another plugin is named same" in caplog.text


@pytest.mark.parametrize("disabled", ["all", "bad", "mllab-bad", " other , bad "])
def test_a_disabled_plugin_is_not_even_imported(module, disabled: str) -> None:
    bad = module("plugin_bad", "raise RuntimeError('imported')")
    builtin = Source("slurm", manager.BUILT_IN["slurm"], "mllab", "1")
    found = Plugins.load([builtin, Source("bad", bad, "mllab-bad", "1")], {"MLLAB_PLUGINS_DISABLE": disabled})
    assert found.known["bad"].problem == "disabled by MLLAB_PLUGINS_DISABLE"
    assert found.known["slurm"].problem is None


def test_a_built_in_plugin_is_disabled_by_its_name() -> None:
    builtin = Source("slurm", manager.BUILT_IN["slurm"], "mllab", "1")
    found = Plugins.load([builtin], {"MLLAB_PLUGINS_DISABLE": "slurm"})
    assert found.known["slurm"].problem is not None
    assert not list(found.call("mllab_capture", run=None))


def test_built_in_plugins_load_through_the_same_hooks() -> None:
    known = Plugins.load(manager.sources(), {}).known
    assert {name: known[name].hooks for name in manager.BUILT_IN} == {
        "onnx": ("mllab_model_writers",),
        "slurm": ("mllab_capture",),
    }


def test_packages_on_the_path_are_found(tmp_path, monkeypatch) -> None:
    for folder, metadata in (("ours", "Metadata-Version: 2.1\nName: mllab-ours\nVersion: 3.1\n"), ("nameless", "")):
        info = tmp_path / f"{folder}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[mllab]\n{folder} = {folder}_module\n[other]\nx = y\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))  # a folder that is on the path twice brings its plugins once
    assert manager.sources().count(Source("ours", "ours_module", "mllab-ours", "3.1")) == 1


def test_installed_lists_by_name(plugins) -> None:
    plugins.register(offering(), "b")
    plugins.register(offering(), "a")
    assert [type(one) for one in manager.installed()] == [InstalledPlugin] * 2
    assert [one.name for one in manager.installed()] == ["a", "b"]
    plugins.unregister("a")
    plugins.unregister("never there")
    assert [one.name for one in manager.installed()] == ["b"]


def test_without_pluggy_there_are_no_plugins(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "pluggy", None)
    monkeypatch.delitem(sys.modules, "mllab.plugins.hookspecs")
    without = Plugins.load(manager.sources())
    before = manager.use_plugins(without)
    try:
        assert manager.installed() == []
        assert manager.autologgers() == {}
        assert manager.capture(None) == {}  # type: ignore[arg-type]
        assert manager.cli_commands() == {}
        with pytest.raises(InvalidValueError, match="No plugin"):
            manager.write_model(1, str(tmp_path))
        with pytest.raises(InvalidValueError, match="needs pluggy"):
            without.register(object(), "x")
    finally:
        manager.use_plugins(before)


def test_nothing_is_loaded_before_it_is_needed(tmp_path) -> None:
    code = """
import sys, mllab
lab = mllab.Lab.init("lab")
with mllab.start_run("e", lab=lab, capture=False) as run:
    run.log({"a": 1})
mllab.autolog(disable=True)
print(*sorted({"pluggy", "mllab.plugins.manager"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", ["__init__", "imports", "manager"])
def test_what_the_writing_side_needs_parses_as_python_39(name: str) -> None:
    file = ROOT / "src" / "mllab" / "plugins" / f"{name}.py"
    ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=(3, 9))


# -- calling ------------------------------------------------------------------------------------------------------


def test_a_plugin_that_raises_is_passed_over_and_told_once(plugins, caplog) -> None:
    def explode(run):
        raise RuntimeError("no such machine")

    plugins.register(SimpleNamespace(mllab_capture=hookimpl(explode)), "bad")
    plugins.register(SimpleNamespace(mllab_capture=hookimpl(lambda: {"x": 1})), "good")
    assert manager.capture(None) == {"x": 1}  # type: ignore[arg-type]
    assert manager.capture(None) == {"x": 1}  # type: ignore[arg-type]
    assert len(caplog.records) == 1
    assert "no such machine" in caplog.text


def test_capture_merges_mappings_alone(plugins, caplog) -> None:
    plugins.register(SimpleNamespace(mllab_capture=hookimpl(lambda: {"a": 1})), "one")
    plugins.register(SimpleNamespace(mllab_capture=hookimpl(lambda: {"b": 2})), "two")
    plugins.register(SimpleNamespace(mllab_capture=hookimpl(lambda: 3)), "three")
    plugins.register(SimpleNamespace(mllab_capture=hookimpl(lambda: None)), "four")
    assert manager.capture(None) == {"a": 1, "b": 2}  # type: ignore[arg-type]
    assert "int is no mapping" in caplog.text


def test_slurm_facts_are_recorded_inside_a_job(plugins, monkeypatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    plugins.register(importlib.import_module("mllab.plugins.slurm"), "slurm")
    assert manager.capture(None) == {}  # type: ignore[arg-type]
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "gpu[01-02]")
    assert manager.capture(None) == {"slurm": {"job_id": "4711", "nodes": "gpu[01-02]"}}  # type: ignore[arg-type]


def test_commands_are_collected(plugins, caplog) -> None:
    hello = click.Command("hello")
    plugins.register(SimpleNamespace(mllab_cli_commands=hookimpl(lambda: [hello])), "one")
    plugins.register(SimpleNamespace(mllab_cli_commands=hookimpl(lambda: ["text"])), "two")
    plugins.register(SimpleNamespace(mllab_cli_commands=hookimpl(lambda: [click.Command("hello")])), "zero")
    found = manager.cli_commands()
    assert set(found) == {"hello"}
    assert "no click command" in caplog.text
    assert "another plugin has the command hello" in caplog.text


def test_an_object_that_is_no_autologger_is_passed_over(plugins, caplog) -> None:
    good = SimpleNamespace(name="fine", module="fine", options={}, patch=lambda session: None)
    plugins.register(SimpleNamespace(mllab_autolog=hookimpl(lambda: good)), "good")
    plugins.register(SimpleNamespace(mllab_autolog=hookimpl(lambda: object())), "bad")
    assert manager.autologgers() == {"fine": good}
    assert "object is no Autologger" in caplog.text


# -- models -------------------------------------------------------------------------------------------------------


def test_a_model_is_written_by_the_plugin_that_knows_it(plugins, tmp_path) -> None:
    plugins.register(offering(writer("best"), writer("second")), "ours")
    assert manager.write_model("model", str(tmp_path)) == {"plugin": "ours", "flavor": "best", "file": "best.txt"}
    assert [path.name for path in tmp_path.iterdir()] == ["best.txt"]


def test_the_flavor_can_be_chosen(plugins, tmp_path) -> None:
    plugins.register(offering(writer("best"), writer("second")), "ours")
    assert manager.write_model("model", str(tmp_path), "second")["flavor"] == "second"
    with pytest.raises(InvalidValueError, match="cannot be written as 'third'") as caught:
        manager.write_model("model", str(tmp_path), "third")
    assert caught.value.hint == "Flavors: best, second."


def test_the_next_format_is_used_when_one_fails(plugins, tmp_path) -> None:
    plugins.register(offering(writer("bad", fails="no converter\nmore"), writer("good")), "ours")
    assert manager.write_model("model", str(tmp_path))["flavor"] == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["good.txt"]


def test_all_failures_are_told(plugins, tmp_path) -> None:
    plugins.register(offering(writer("one", fails="no converter\nmore"), writer("two", fails="no room")), "ours")
    with pytest.raises(InvalidValueError, match=r"type str could not be written \(one: no converter; two: no room\)"):
        manager.write_model("model", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_with_several_plugins_the_user_chooses(plugins, tmp_path) -> None:
    plugins.register(offering(writer("a")), "first")
    plugins.register(offering(writer("b")), "second")
    with pytest.raises(InvalidValueError, match="Several plugins can write objects of type str") as caught:
        manager.write_model("model", str(tmp_path))
    assert "flavor=" in (caught.value.hint or "")
    assert manager.write_model("model", str(tmp_path), "a")["plugin"] == "first"


def test_an_unknown_object_names_its_type_and_what_to_do(plugins, tmp_path) -> None:
    with pytest.raises(InvalidValueError, match=r"write an object of type types\.SimpleNamespace") as caught:
        manager.write_model(SimpleNamespace(), str(tmp_path))
    assert caught.value.hint == 'Save it yourself and pass the path: run.log_model("model.onnx").'


def test_the_plugin_to_install_is_named(plugins, tmp_path) -> None:
    estimator = type("Own", (type("Base", (), {"__module__": "sklearn.base"}),), {"__module__": "script"})()
    with pytest.raises(InvalidValueError, match=r"of type script\.Own") as caught:
        manager.write_model(estimator, str(tmp_path))
    assert "pip install mllab-sklearn" in (caught.value.hint or "")


def test_log_model_stores_what_a_plugin_writes(plugins, lab, run) -> None:
    plugins.register(offering(writer("best")), "ours")
    run.log_model("model.txt" and __file__, name="file")
    plugins.register(
        SimpleNamespace(mllab_model_writers=hookimpl(lambda model: [writer("x")] if model == 7 else None)), "ints"
    )
    run.log_model(7)
    run.log_model(object(), name="lost")
    assert run.dropped == 1
    rows = lab.engine.rows("SELECT path, kind FROM artifacts ORDER BY path")
    assert rows == [("file/test_plugins.py", "model"), ("model/x.txt", "model")]


def test_onnx_models_in_memory_are_written(plugins, tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    plugins.register(importlib.import_module("mllab.plugins.onnx"), "onnx")
    graph = onnx.helper.make_graph([], "empty", [], [])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 15)])
    written = manager.write_model(model, str(tmp_path))
    assert written == {"plugin": "onnx", "flavor": "onnx", "file": "model.onnx", "opset": {"ai.onnx": 15}}
    assert onnx.load(str(tmp_path / "model.onnx")).graph.name == "empty"
    with pytest.raises(InvalidValueError, match="No plugin"):
        manager.write_model(graph, str(tmp_path))


# -- packages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_entry_points_of_our_packages_exist(package: Path, monkeypatch) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    monkeypatch.syspath_prepend(str(package / "src"))
    entries = project["entry-points"]["mllab"]
    assert entries
    for name, value in entries.items():
        found = Plugins.load([Source(name, value, project["name"], project["version"])], {})
        assert found.known[name].problem is None
        assert found.known[name].hooks
        assert Path(found.known[name].origin).is_relative_to(package)
    top = importlib.import_module(value.partition(".")[0])
    assert top.__version__ == project["version"]


# -- waiting for an import ------------------------------------------------------------------------------------------


def test_a_callback_waits_for_the_import(module) -> None:
    watcher, seen = ImportWatcher(), []
    name = module("late_module", "value = 1")
    watcher.when_imported(name, lambda: seen.append(sys.modules[name].value))
    assert watcher in sys.meta_path
    assert seen == []
    loaded: Any = importlib.import_module(name)
    assert seen == [1]
    assert watcher not in sys.meta_path
    assert "exec_module" not in vars(loaded.__spec__.loader)
    watcher.when_imported(name, lambda: seen.append(2))
    assert seen == [1, 2]


def test_a_wait_can_be_cancelled(module) -> None:
    watcher, seen = ImportWatcher(), []
    name = module("never_module", "")
    cancel = watcher.when_imported(name, lambda: seen.append(1))
    cancel()
    cancel()
    assert watcher not in sys.meta_path
    importlib.import_module(name)
    assert seen == []


def test_an_import_that_fails_is_waited_for_again(module, tmp_path) -> None:
    watcher, seen = ImportWatcher(), []
    name = module("flaky_module", "raise ValueError('first')")
    watcher.when_imported(name, lambda: seen.append(1))
    with pytest.raises(ValueError, match="first"):
        importlib.import_module(name)
    assert seen == []
    (tmp_path / f"{name}.py").write_text("fine = True  # longer")
    importlib.invalidate_caches()
    assert isinstance(importlib.import_module(name), ModuleType)
    assert seen == [1]


def test_a_module_that_does_not_exist_stays_missing() -> None:
    watcher = ImportWatcher()
    cancel = watcher.when_imported("module_that_is_nowhere", lambda: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("module_that_is_nowhere")
    cancel()
