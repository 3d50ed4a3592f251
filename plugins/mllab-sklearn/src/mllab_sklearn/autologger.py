"""Patching scikit-learn: every estimator class, now and later, and its task runner.

``BaseEstimator.__init_subclass__`` is the hook point: Python calls it for each estimator class that is defined, in
scikit-learn, in another library or in the user's script, so nothing has to be imported to be patched. (Listing the
classes with ``all_estimators()`` imports all of scikit-learn, 0.2 to 0.5 s, and misses everybody else's.)
"""

from __future__ import annotations

import copy
import functools
import types
import weakref
from typing import TYPE_CHECKING, Any

from mllab.tracking.autolog import is_training
from mllab_sklearn.estimators import is_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mllab.tracking.autolog import AutologSession

METHODS = ("fit", "fit_predict", "fit_transform")


class SklearnAutologger:
    """The autologger of scikit-learn."""

    name = "sklearn"
    module = "sklearn.base"
    # children: the best candidates of a search that become child runs.
    # transformers: log also estimators that only transform, such as PCA.
    options: Mapping[str, Any] = {"children": 5, "transformers": False}

    def patch(self, session: AutologSession) -> Callable[[], None]:
        """Wrap the fit methods of all estimators; return what restores them."""
        patches = Patches(Observer(session))
        patches.apply()
        return patches.restore


class Observer:
    """Stands between the caller of a fit method and the method."""

    def __init__(self, session: AutologSession) -> None:
        self.session = session

    def __call__(self, original: Any, estimator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Fit, and log it unless it is a part of another training."""
        session = self.session
        if is_training() or not session.is_open:
            return original(estimator, *args, **kwargs)
        is_logged = False
        with session.guard("looking at the estimator"):
            is_logged = is_model(estimator) or bool(session.options.extra["transformers"])
        with session.training(is_logged=is_logged) as training:
            if training.run is None:
                return original(estimator, *args, **kwargs)
            from mllab_sklearn.fit_record import FitRecord

            record = FitRecord(session, training.run, estimator)
            record.before(original, args, kwargs)
            result = original(estimator, *args, **kwargs)
            record.after()
            return result

    def part(self, original: Any, wrapper: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a task that scikit-learn handed to a worker: what is fitted in it is a part of something."""
        with self.session.training(is_logged=False):
            return original(wrapper, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a bystander.

        A class from a script or notebook goes to worker processes by value, with its wrapped methods and all that
        they hold; there it must just fit.
        """
        return _bystander, ()


def _bystander() -> Callable[..., Any]:
    return _fit_only


def _fit_only(original: Any, estimator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return original(estimator, *args, **kwargs)


class Patches:
    """The replaced methods, and how to put the originals back."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        # Weak, so that classes made in a loop do not live for ever.
        self._replaced: weakref.WeakKeyDictionary[type, dict[str, tuple[Any, Any]]] = weakref.WeakKeyDictionary()

    def apply(self) -> None:
        """Patch the classes there are, and arrange for those to come."""
        from sklearn.base import BaseEstimator

        self._watch(BaseEstimator)
        pending, seen = [BaseEstimator], set()
        while pending:
            kind = pending.pop()
            if kind not in seen:
                seen.add(kind)
                self.wrap_class(kind)
                pending.extend(type.__subclasses__(kind))
        with self._observer.session.guard("patching the workers"):
            # The task that scikit-learn's Parallel runs, in this thread, another one or another process.
            from sklearn.utils.parallel import _FuncWrapper

            self._replace(_FuncWrapper, "__call__", self._wrapped(_FuncWrapper.__call__, self._observer.part))

    def _watch(self, base: Any) -> None:
        """Wrap each class derived from ``base`` when it is made."""
        previous = base.__dict__.get("__init_subclass__")

        def watch(cls: Any, /, **kwargs: Any) -> None:
            inherited = super(base, cls).__init_subclass__ if previous is None else previous.__get__(None, cls)
            inherited(**kwargs)
            with self._observer.session.guard("patching"):
                self.wrap_class(cls)

        self._replaced.setdefault(base, {})["__init_subclass__"] = (previous, classmethod(watch))
        base.__init_subclass__ = self._replaced[base]["__init_subclass__"][1]

    def wrap_class(self, kind: Any) -> None:
        """Wrap the fit methods that ``kind`` itself defines."""
        self._replaced.setdefault(kind, {})
        for name in METHODS:
            method = kind.__dict__.get(name)
            if isinstance(method, types.FunctionType):
                self._replace(kind, name, self._wrapped(method, self._observer))
            elif isinstance(getattr(method, "fn", None), types.FunctionType):
                # scikit-learn's available_if: Pipeline.fit_transform is there when its last step has one.
                conditional: Any = copy.copy(method)
                conditional.fn = self._wrapped(conditional.fn, self._observer)
                self._replace(kind, name, conditional)

    @staticmethod
    def _wrapped(original: Any, observer: Any) -> Any:
        @functools.wraps(original)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return observer(original, self, args, kwargs)

        return method

    def _replace(self, kind: Any, name: str, replacement: Any) -> None:
        self._replaced.setdefault(kind, {})[name] = (kind.__dict__[name], replacement)
        setattr(kind, name, replacement)

    def restore(self) -> None:
        """Put back what was there. A method that somebody else has replaced since is theirs, and stays."""
        for kind, methods in list(self._replaced.items()):
            for name, (original, replacement) in methods.items():
                if kind.__dict__.get(name) is not replacement:
                    continue
                if original is None:
                    delattr(kind, name)
                else:
                    setattr(kind, name, original)
        self._replaced.clear()
