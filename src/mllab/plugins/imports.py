"""Calls a function when a module has been imported, without importing it."""

from __future__ import annotations

import sys
import threading
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class ImportWatcher(MetaPathFinder):
    """A finder that finds nothing itself: it lets the others find a module and learns when it has been executed.

    It stands in ``sys.meta_path`` only while it waits for something. Thread-safe.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._lock = threading.RLock()
        self._searching = threading.local()

    def when_imported(self, module: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` once when ``module`` has been imported, at once if it is; return a way to cancel."""
        with self._lock:
            if module not in sys.modules:
                self._waiting.setdefault(module, []).append(callback)
                if self not in sys.meta_path:
                    sys.meta_path.insert(0, self)
                return lambda: self._cancel(module, callback)
        callback()
        return lambda: None

    def _cancel(self, module: str, callback: Callable[[], None]) -> None:
        with self._lock:
            callbacks = self._waiting.get(module, [])
            if callback in callbacks:
                callbacks.remove(callback)
            self._tidy(module)

    def _tidy(self, module: str) -> None:
        if not self._waiting.get(module):
            self._waiting.pop(module, None)
        if not self._waiting and self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        """Return what the other finders find, with a loader that tells."""
        if fullname not in self._waiting or getattr(self._searching, "name", None) == fullname:
            return None
        self._searching.name = fullname
        try:
            for finder in list(sys.meta_path):
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec: Optional[ModuleSpec] = find(fullname, path, target) if find is not None else None
                if spec is not None:
                    self._listen(spec.loader, fullname)
                    return spec
        finally:
            self._searching.name = None
        return None

    def _listen(self, loader: Any, name: str) -> None:
        """Shadow ``exec_module`` on this one loader until it has been called, so that nothing is left behind."""
        if isinstance(loader, type) or not hasattr(loader, "exec_module"):
            return  # built-in and frozen modules, whose loader is shared
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            loader.__dict__.pop("exec_module", None)
            execute(module)
            if module.__name__ == name:
                self._announce(name)

        loader.exec_module = exec_module

    def _announce(self, name: str) -> None:
        with self._lock:
            callbacks = self._waiting.pop(name, [])
            self._tidy(name)
        for callback in callbacks:
            callback()


# One per process, as there is one sys.meta_path.
IMPORTS = ImportWatcher()
