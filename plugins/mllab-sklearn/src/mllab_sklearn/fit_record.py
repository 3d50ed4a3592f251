"""What is logged of one fit: before it what goes in, after it what came out.

Each part stands in a guard of its own: one that fails is a warning, and the others are logged all the same.
"""

from __future__ import annotations

import inspect
import tempfile
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import sklearn

from mllab_sklearn import datasets, learned, metrics, search
from mllab_sklearn.estimators import class_path, core_of, is_search, params_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mllab.tracking.autolog import AutologSession
    from mllab.tracking.run import Run

PREFIX = "training/"


class FitArguments(NamedTuple):
    """The data an estimator is fitted with."""

    X: Any
    y: Any = None
    sample_weight: Any = None


def arguments_of(original: Any, estimator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> FitArguments:
    """Return the data among the arguments of a fit method, however they were passed."""
    bound = inspect.signature(original).bind_partial(estimator, *args, **kwargs).arguments
    names = list(bound)
    rest = {key: value for name in names if isinstance(bound[name], dict) for key, value in bound[name].items()}
    return FitArguments(
        bound[names[1]] if len(names) > 1 else None,
        bound.get("y"),
        bound.get("sample_weight", rest.get("sample_weight")),
    )


class FitRecord:
    """Logs one fit of one estimator to one run."""

    def __init__(self, session: AutologSession, run: Run, estimator: Any) -> None:
        self.session = session
        self.run = run
        self.estimator = estimator
        self.data = FitArguments(None)
        self.facts: dict[str, Any] = {"estimator": class_path(estimator), "version": sklearn.__version__}
        self._began = 0.0

    def before(self, original: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Log the estimator and its data; done before the fit, so that a fit that never ends has them too."""
        run, guard = self.run, self.session.guard
        with guard("params"):
            run.log_params({"estimator_class": class_path(self.estimator), **params_of(self.estimator)})
            run.set_tags({"autolog": "sklearn", "sklearn.estimator": type(self.estimator).__name__})
        with guard("data"):
            self.data = arguments_of(original, self.estimator, args, kwargs)
            self.facts["data"] = datasets.shape_of(self.data.X)
        with guard("datasets"):
            if self.session.options.log_datasets:
                datasets.log_datasets(run, self.data)
        with guard("info"):
            run.log_info({"sklearn": self.facts})
        self._began = time.perf_counter()

    def after(self) -> None:
        """Log what the fit led to."""
        seconds = time.perf_counter() - self._began
        run, guard, estimator = self.run, self.session.guard, self.estimator
        with guard("metrics"):
            self._log({"fit_seconds": seconds, **metrics.own_figures(core_of(estimator))})
        with guard("training metrics"):
            self._training_metrics()
        with guard("curves"):
            for key, values in learned.curves(core_of(estimator)).items():
                run.log_batch(PREFIX + key, range(len(values)), values)
        with guard("importances"):
            for name, table in learned.weights(estimator).items():
                run.log_table(table, name)
        with guard("search"):
            if is_search(estimator):
                search.log_search(self.session, run, estimator)
        with guard("model"):
            if self.session.options.log_models:
                self._log_model()
        with guard("info"):
            run.log_info({"sklearn": self.facts})

    def _log(self, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            # A batch of one: it leaves the user's own step counter alone.
            self.run.log_batch(PREFIX + key, [0], [value])

    def _training_metrics(self) -> None:
        rows, limit = self.facts.get("data", {}).get("rows"), self.session.options.max_rows
        if rows is None or rows > limit:
            self.facts["training_metrics"] = f"skipped: {rows} rows are more than max_rows={limit}"
            return
        self._log(metrics.training_metrics(self.estimator, self.data))

    def _log_model(self) -> None:
        from mllab_sklearn.model_files import write_best

        model = getattr(self.estimator, "best_estimator_", None) if is_search(self.estimator) else self.estimator
        if model is None:
            self.facts["model"] = "not stored: the search was run with refit=False"
            return
        with tempfile.TemporaryDirectory(prefix="mllab-") as folder:
            self.facts["model"] = written = write_best(model, folder, self.data.X)
            if isinstance(written, dict):
                self.run.log_model(folder)
