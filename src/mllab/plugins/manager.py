"""Finds, loads and calls plugins. Nothing is loaded before a hook is needed, and no plugin can stop training.

A plugin that does not load, or raises in a hook, is reported once as a warning and passed over. Without pluggy, as in
a training image that has the standard library alone, there are no plugins.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import threading
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from mllab.errors import InvalidValueError, MllabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import click

    from mllab.plugins.hookspecs import Autologger
    from mllab.tracking.run import Run

GROUP = "mllab"
DISABLE = "MLLAB_PLUGINS_DISABLE"
BUILT_IN = {"onnx": "mllab.plugins.onnx", "slurm": "mllab.plugins.slurm"}
# Which package writes the models of which library: for the hint when it is not installed.
_WRITERS = {"sklearn": "mllab-sklearn"}
_log = logging.getLogger("mllab")


class Source(NamedTuple):
    """Where a plugin comes from: its name, its module, and the distribution that brought it."""

    name: str
    module: str
    distribution: str
    version: str


@dataclass(frozen=True)
class InstalledPlugin:
    """What is known of a plugin.

    Attributes:
        name: the entry point's name; what ``MLLAB_PLUGINS_DISABLE`` takes.
        version: the distribution's.
        distribution: the package that brought it.
        origin: the file it was loaded from, or the module it would be.
        hooks: the hooks it implements.
        problem: why it is not in use, or None.
    """

    name: str
    version: str
    distribution: str
    origin: str
    hooks: tuple[str, ...] = ()
    problem: Optional[str] = None


@dataclass
class Plugins:
    """The plugins of a process, called through pluggy.

    Attributes:
        known: every plugin by name, including those not in use.
    """

    known: dict[str, InstalledPlugin] = field(default_factory=dict)
    _pluggy: Any = None
    _warned: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def load(cls, sources: Iterable[Source], environ: Optional[Mapping[str, str]] = None) -> Plugins:
        """Load plugins, passing over those that fail and those that ``MLLAB_PLUGINS_DISABLE`` names."""
        plugins = cls()
        try:
            import pluggy

            from mllab.plugins import hookspecs
        except ImportError:
            return plugins
        plugins._pluggy = pluggy.PluginManager("mllab")
        plugins._pluggy.add_hookspecs(hookspecs)
        text = (os.environ if environ is None else environ).get(DISABLE, "")
        disabled = {part.strip() for part in text.split(",") if part.strip()}
        for source in sources:
            plugins._load(source, disabled)
        return plugins

    def _load(self, source: Source, disabled: set[str]) -> None:
        known = InstalledPlugin(source.name, source.version, source.distribution, source.module)
        is_built_in = source.name in BUILT_IN and source.module == BUILT_IN[source.name]
        if disabled & {source.name, source.distribution if not is_built_in else "", "all" if not is_built_in else ""}:
            self.known.setdefault(source.name, _with_problem(known, f"disabled by {DISABLE}"))
            return
        try:
            module, _, attribute = source.module.partition(":")
            plugin: Any = importlib.import_module(module)
            for part in filter(None, attribute.split(".")):
                plugin = getattr(plugin, part)
            self.register(plugin, source.name, source)
        except Exception as error:  # whatever a plugin does while it loads, training goes on
            problem = error.message if isinstance(error, MllabError) else f"{type(error).__name__}: {error}"
            self.known.setdefault(source.name, _with_problem(known, problem))
            _log.warning("mllab: the plugin %s (%s) was not loaded: %s", source.name, source.distribution, problem)

    def register(self, plugin: Any, name: str, source: Optional[Source] = None) -> None:
        """Add a plugin object.

        Raises:
            InvalidValueError: it does not fit the hooks, or its name is taken.
        """
        if self._pluggy is None:
            raise InvalidValueError(f"The plugin {name} needs pluggy.", "pip install pluggy")
        if name in self.known and self.known[name].problem is None:
            raise InvalidValueError(f"Another plugin is named {name}.", "Uninstall or rename one of them.")
        try:
            self._pluggy.register(plugin, name)
        except Exception as error:
            if self._pluggy.has_plugin(name):
                self._pluggy.unregister(name=name)
            raise InvalidValueError(f"The plugin {name} does not fit the hooks: {error}") from error
        callers = self._pluggy.get_hookcallers(plugin) or []
        unknown = [caller.name for caller in callers if not caller.has_spec() and not _is_optional(caller, plugin)]
        if unknown:
            self._pluggy.unregister(name=name)
            raise InvalidValueError(
                f"The plugin {name} implements {unknown[0]}, which is no hook.", "docs/reference/hooks.md lists them."
            )
        origin = getattr(plugin, "__file__", None) or getattr(plugin, "__module__", None) or type(plugin).__module__
        hooks = tuple(sorted(caller.name for caller in callers))
        self.known[name] = InstalledPlugin(
            name,
            source.version if source else "",
            source.distribution if source else "",
            str(origin),
            hooks,
        )

    def unregister(self, name: str) -> None:
        """Remove a plugin; nothing happens when there is none of that name."""
        if self.known.pop(name, None) is not None and self._pluggy is not None and self._pluggy.has_plugin(name):
            self._pluggy.unregister(name=name)

    def call(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Yield (plugin, result) of each plugin that implements ``hook`` and answers with something.

        pluggy's own call would end at the first plugin that raises; here the others are still asked.
        """
        caller = getattr(self._pluggy.hook, hook) if self._pluggy is not None else None
        for one in reversed(caller.get_hookimpls()) if caller is not None else ():
            try:
                result = one.function(*(arguments[name] for name in one.argnames))
            except Exception as error:  # the fault of one plugin is not the fault of the others
                self.warn(one.plugin_name, hook, f"{type(error).__name__}: {error}")
                continue
            if result is not None:
                yield one.plugin_name, result

    def warn(self, name: str, hook: str, problem: str) -> None:
        """Report a plugin's fault once a hook."""
        if (name, hook) not in self._warned:
            self._warned.add((name, hook))
            _log.warning("mllab: the plugin %s failed in %s and is passed over there: %s", name, hook, problem)


def _with_problem(known: InstalledPlugin, problem: str) -> InstalledPlugin:
    return InstalledPlugin(known.name, known.version, known.distribution, known.origin, (), problem)


def _is_optional(caller: Any, plugin: Any) -> bool:
    return all(one.optionalhook for one in caller.get_hookimpls() if one.plugin is plugin)


def sources() -> list[Source]:
    """Return the built-in plugins and those that installed packages name, in order of their names."""
    from mllab import __version__

    found = [Source(name, module, "mllab", __version__) for name, module in BUILT_IN.items()]
    seen: set[tuple[str, str]] = set()
    installed = []
    for distribution in metadata.distributions():
        try:
            entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
            name = str(distribution.metadata["Name"]) if entries else ""
        except Exception as error:  # a package with broken metadata is not ours to judge
            _log.debug("mllab: the entry points of %r cannot be read: %r", distribution, error)
            continue
        for entry in entries:
            # The first on sys.path is what an import finds; the same package further back is shadowed.
            if (name, entry.name) not in seen:
                seen.add((name, entry.name))
                installed.append(Source(entry.name, entry.value.partition("[")[0].strip(), name, distribution.version))
    return found + sorted(installed)


class _Registry:
    """The plugins of this process, loaded when they are first asked for."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._plugins: Optional[Plugins] = None

    def get(self) -> Plugins:
        with self._lock:
            if self._plugins is None:
                self._plugins = Plugins.load(sources())
            return self._plugins

    def swap(self, plugins: Optional[Plugins]) -> Optional[Plugins]:
        with self._lock:
            before, self._plugins = self._plugins, plugins
            return before


# One per process, as there is one set of installed packages; made on first use.
_REGISTRY = _Registry()


def plugins() -> Plugins:
    """Return the plugins of this process, loading them the first time."""
    return _REGISTRY.get()


def use_plugins(chosen: Optional[Plugins]) -> Optional[Plugins]:
    """Replace the plugins of this process and return those before; None loads them anew. For tests."""
    return _REGISTRY.swap(chosen)


def installed() -> list[InstalledPlugin]:
    """Return every plugin that is installed, also those that are disabled or do not load, by name."""
    return sorted(plugins().known.values(), key=lambda plugin: plugin.name)


def autologgers() -> dict[str, Autologger]:
    """Return the autologgers by the name users give them."""
    found: dict[str, Autologger] = {}
    for plugin, logger in plugins().call("mllab_autolog"):
        if not (isinstance(getattr(logger, "name", None), str) and callable(getattr(logger, "patch", None))):
            plugins().warn(plugin, "mllab_autolog", f"{type(logger).__name__} is no Autologger")
        else:
            found.setdefault(logger.name, logger)
    return dict(sorted(found.items()))


def capture(run: Run) -> dict[str, Any]:
    """Return what plugins know about how ``run`` came to be."""
    facts: dict[str, Any] = {}
    for plugin, result in plugins().call("mllab_capture", run=run):
        try:
            facts = {**dict(result), **facts}
        except (TypeError, ValueError):
            plugins().warn(plugin, "mllab_capture", f"{type(result).__name__} is no mapping")
    return facts


def cli_commands() -> dict[str, click.Command]:
    """Return the commands that plugins add, by name."""
    found: dict[str, click.Command] = {}
    for plugin, commands in plugins().call("mllab_cli_commands"):
        for command in commands:
            name = getattr(command, "name", None)
            if not isinstance(name, str) or not callable(command):
                plugins().warn(plugin, "mllab_cli_commands", f"{command!r} is no click command with a name")
            elif name in found:
                plugins().warn(plugin, "mllab_cli_commands", f"another plugin has the command {name}")
            else:
                found[name] = command
    return found


def write_model(model: Any, folder: str, flavor: Optional[str] = None) -> dict[str, Any]:
    """Write a model object into an empty folder and return what was written: plugin, flavor and its own facts.

    Args:
        model: an object that some plugin knows.
        folder: an existing, empty folder.
        flavor: the format; otherwise the best of the one plugin that knows the object, or the next that works.

    Raises:
        InvalidValueError: no plugin knows the object, several do and no flavor was named, or writing failed.
    """
    offers = [
        (plugin, writer)
        for plugin, writers in plugins().call("mllab_model_writers", model=model)
        for writer in writers
        if flavor is None or writer.flavor == flavor
    ]
    if not offers:
        raise _no_writer(model, flavor)
    if len({plugin for plugin, _ in offers}) > 1:
        known = ", ".join(f"{writer.flavor} ({plugin})" for plugin, writer in offers)
        raise InvalidValueError(
            f"Several plugins can write objects of type {_type_name(model)}: {known}.",
            f'Choose one: run.log_model(model, flavor="{offers[0][1].flavor}"), or disable a plugin with {DISABLE}.',
        )
    failures = []
    for plugin, writer in offers:
        try:
            return {"plugin": plugin, "flavor": writer.flavor, **(writer.write(model, folder) or {})}
        except Exception as error:  # converters raise anything
            failures.append((writer, error))
            _clear(folder)
    told = "; ".join(f"{writer.flavor}: {_shortly(error)}" for writer, error in failures)
    raise InvalidValueError(
        f"The object of type {_type_name(model)} could not be written ({told}).",
        "Save it yourself and pass the path to log_model.",
    ) from failures[0][1]


def _no_writer(model: Any, flavor: Optional[str]) -> InvalidValueError:
    others = [writer.flavor for _, writers in plugins().call("mllab_model_writers", model=model) for writer in writers]
    if flavor is not None and others:
        return InvalidValueError(
            f"An object of type {_type_name(model)} cannot be written as {flavor!r}.",
            f"Flavors: {', '.join(sorted(set(others)))}.",
        )
    package = next((_WRITERS[root] for root in _libraries(model) if root in _WRITERS), None)
    install = f"pip install {package}, or save" if package else "Save"
    return InvalidValueError(
        f"No plugin knows how to write an object of type {_type_name(model)}.",
        f'{install} it yourself and pass the path: run.log_model("model.onnx").',
    )


def _libraries(model: Any) -> list[str]:
    """Return the top-level packages of the object's classes: a subclass of an estimator is an estimator."""
    return [kind.__module__.partition(".")[0] for kind in type(model).__mro__]


def _type_name(model: Any) -> str:
    kind = type(model)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _shortly(error: Exception) -> str:
    text = error.message if isinstance(error, MllabError) else str(error) or type(error).__name__
    return text.strip().partition("\n")[0][:200]


def _clear(folder: str) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
