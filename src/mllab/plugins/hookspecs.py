"""The hooks of mllab: everything a plugin may implement, with the shapes of what it returns.

A plugin is a module (or any object) with functions of these names, each marked with :data:`hookimpl`; its package
names the module as an entry point of the group ``mllab``. Hooks are never called on the log path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Protocol

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import click

    from mllab.tracking.autolog import AutologSession
    from mllab.tracking.run import Run

hookspec = HookspecMarker("mllab")
hookimpl = HookimplMarker("mllab")


class Autologger(Protocol):
    """Logs what one library trains by itself.

    Attributes:
        name: what users write in ``mllab.autolog("name")``.
        module: the module whose import makes patching possible, such as ``sklearn.base``.
        options: the library's own options with their defaults; users pass them to ``mllab.autolog``.
    """

    name: str
    module: str
    options: Mapping[str, Any]

    def patch(self, session: AutologSession) -> Callable[[], None]:
        """Patch the imported library; return a function that restores exactly what was there."""
        ...


@dataclass(frozen=True)
class ModelWriter:
    """One format in which a plugin can write a model object.

    Attributes:
        flavor: the format, such as ``onnx``; what users write in ``run.log_model(model, flavor="onnx")``.
        write: called with the object and an empty folder; writes files there and returns what it did as JSON data.
    """

    flavor: str
    write: Callable[[Any, str], Mapping[str, Any]]


@hookspec
def mllab_autolog() -> Optional[Autologger]:
    """Return an :class:`Autologger`: what logs the trainings of one library by itself.

    Called by ``mllab.autolog()``. The library need not be imported yet, and must not be imported here.
    """


@hookspec
def mllab_model_writers(model: Any) -> Optional[Sequence[ModelWriter]]:
    """Return the formats in which this plugin can write ``model``, best first, or None for a foreign object.

    Called by ``run.log_model(model)``. Nothing is written here: the chosen :class:`ModelWriter` is called later, and
    the next one when it fails. Recognise the object by its type; do not import a library to do so.
    """


@hookspec
def mllab_capture(run: Run) -> Optional[Mapping[str, Any]]:
    """Return facts about how ``run`` came to be, as JSON data by name, or None when there are none.

    Called once when a run starts, in a background thread, when the run captures its environment.
    """


@hookspec
def mllab_cli_commands() -> Optional[Sequence[click.Command]]:
    """Return click commands to add below ``mllab``. A command of mllab's own of that name wins.

    Called when the command line is not one of mllab's own commands, and for ``mllab --help``.
    """
