"""scikit-learn autologging with the real library: what is logged, and that fitting is as it was."""

from __future__ import annotations

import importlib
import importlib.machinery
import io
import json
import logging
import pickle
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import mllab
from mllab.plugins import manager
from mllab.plugins.manager import Plugins, Source
from mllab.store.values import as_json

SRC = Path(__file__).parents[2] / "plugins" / "mllab-sklearn" / "src"
if str(SRC) not in sys.path:
    sys.path.insert(0, str(SRC))

CLASSES = make_classification(120, 6, n_informative=4, random_state=0)
NUMBERS = make_regression(120, 6, noise=3.0, random_state=0)


@pytest.fixture(autouse=True)
def plugin():
    """Put the sklearn plugin, and it alone, in the place of the installed ones."""
    before = manager.use_plugins(Plugins.load([Source("sklearn", "mllab_sklearn.plugin", "mllab-sklearn", "0")]))
    yield
    mllab.autolog(disable=True)
    manager.use_plugins(before)


@pytest.fixture
def autolog(lab):
    """Return autolog() into the test's lab, without models: most tests do not need the seconds these take."""

    def start(**options: Any) -> None:
        mllab.autolog("sklearn", **{"lab": lab, "capture": False, "log_models": False, **options})

    return start


def runs(lab, columns="status, parent_id"):
    return lab.engine.rows(f"SELECT {columns} FROM runs ORDER BY started, run_id")


def pairs(lab, table, columns, **where):
    condition = " AND ".join([f"{key} = '{value}'" for key, value in where.items()] or ["TRUE"])
    return dict(lab.engine.rows(f"SELECT {columns} FROM {table} WHERE {condition}"))


def values(lab, **where):
    return pairs(lab, "metric_summaries", "key, last", **where)


def artifact(lab, path):
    [(digest,)] = lab.engine.rows("SELECT sha256 FROM artifacts WHERE path = ?", [path])
    return lab.store.blobs.read(digest)


def table(lab, path):
    content = json.loads(artifact(lab, path))
    return {name: [row[i] for row in content["data"]] for i, name in enumerate(content["columns"])}


# -- what is logged ---------------------------------------------------------------------------------------------------


def test_a_classifier_is_logged(lab, autolog) -> None:
    autolog()
    X, y = CLASSES
    model = LogisticRegression(C=0.5).fit(X, y)
    assert runs(lab) == [("finished", None)]
    params = pairs(lab, "params", "key, text")
    assert params["C"] == "0.5"
    assert params["estimator_class"] == "sklearn.linear_model._logistic.LogisticRegression"
    found = values(lab)
    assert found["training/accuracy"] == found["training/score"] == pytest.approx(model.score(X, y))
    assert {"training/f1", "training/log_loss", "training/roc_auc", "training/fit_seconds"} <= set(found)
    assert found["training/n_iter"] == model.n_iter_.max()
    datasets = lab.engine.rows("SELECT name, context, rows FROM datasets ORDER BY name")
    assert datasets == [("X", "train", 120), ("y", "train", 120)]
    assert pairs(lab, "tags", "key, value") == {"autolog": "sklearn", "sklearn.estimator": "LogisticRegression"}
    [(info,)] = runs(lab, "info")
    assert json.loads(info)["sklearn"]["data"] == {"type": "ndarray", "rows": 120, "columns": 6}
    coefficients = table(lab, "coefficients.json")
    assert coefficients["coefficient"] == sorted(model.coef_[0].tolist(), key=abs, reverse=True)
    assert coefficients["feature"][0] == f"x{np.abs(model.coef_[0]).argmax()}"


def test_several_classes_and_text_labels(lab, autolog) -> None:
    autolog()
    X, y = make_classification(120, 6, n_classes=3, n_informative=4, random_state=0)
    LogisticRegression().fit(X, np.array(["red", "green", "blue"])[y])
    assert {"training/accuracy", "training/f1", "training/log_loss", "training/roc_auc"} <= set(values(lab))
    assert set(table(lab, "coefficients.json")["output"]) == {"red", "green", "blue"}


def test_a_regressor_is_logged(lab, autolog) -> None:
    autolog()
    X, y = NUMBERS
    weights = np.linspace(1, 2, len(y))
    model = LinearRegression().fit(X, y, sample_weight=weights)
    found = values(lab)
    assert found["training/r2"] == found["training/score"] == pytest.approx(model.score(X, y, weights))
    assert found["training/rmse"] >= found["training/mae"] > 0


def test_metrics_that_are_not_defined_are_left_out(lab, autolog, caplog) -> None:
    autolog()
    X, y = CLASSES
    DecisionTreeClassifier().fit(X, np.zeros_like(y))
    found = values(lab)
    assert found["training/accuracy"] == 1.0
    assert "training/roc_auc" not in found
    assert caplog.text == ""


def test_a_pipeline_is_one_run(lab, autolog) -> None:
    pd = pytest.importorskip("pandas")
    autolog()
    X, y = CLASSES
    frame = pd.DataFrame(X, columns=list("abcdef"))
    pipeline = Pipeline([("scale", StandardScaler()), ("pca", PCA(3)), ("tree", DecisionTreeClassifier(max_depth=3))])
    pipeline.fit(frame, pd.Series(y, name="target"))
    assert runs(lab) == [("finished", None)]
    params = pairs(lab, "params", "key, text")
    assert params["tree.max_depth"] == "3"
    assert params["tree"] == "DecisionTreeClassifier"
    assert table(lab, "feature_importances.json")["feature"][0].startswith("pca")
    assert pairs(lab, "datasets", "name, rows") == {"X": 120, "y": 120}


@pytest.mark.parametrize("method", ["fit_predict", "fit_transform"])
def test_the_other_ways_to_fit_are_one_run_too(lab, autolog, method: str) -> None:
    autolog()
    getattr(make_pipeline(StandardScaler(), KMeans(2, n_init=1, random_state=0)), method)(CLASSES[0])
    assert runs(lab) == [("finished", None)]
    assert pairs(lab, "tags", "key, value")["sklearn.estimator"] == "Pipeline"
    assert "training/inertia" in values(lab)


def test_what_only_transforms_is_not_logged_nor_are_its_parts(lab, autolog) -> None:
    autolog()
    X, y = CLASSES
    StandardScaler().fit_transform(X)
    PCA(2).fit(X)
    SelectFromModel(LogisticRegression()).fit(X, y)
    assert runs(lab) == []


def test_transformers_are_logged_on_request(lab, autolog) -> None:
    autolog(transformers=True)
    PCA(2).fit(CLASSES[0])
    assert pairs(lab, "params", "key, text")["n_components"] == "2"


@pytest.mark.parametrize(
    ("estimator", "key", "attribute"),
    [
        (HistGradientBoostingClassifier(max_iter=5, early_stopping=True), "train_score", "train_score_"),
        (HistGradientBoostingClassifier(max_iter=5, early_stopping=True), "validation_score", "validation_score_"),
        (GradientBoostingRegressor(n_estimators=5), "train_score", "train_score_"),
        (MLPClassifier((4,), max_iter=200, tol=0.1, n_iter_no_change=3), "loss_curve", "loss_curve_"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_curves_are_logged_by_iteration(lab, autolog, estimator, key, attribute) -> None:
    autolog(max_rows=0)
    estimator = clone(estimator).fit(*CLASSES)
    rows = lab.engine.rows(f"SELECT step, value FROM metrics WHERE key = 'training/{key}' ORDER BY step")
    assert rows == list(enumerate(getattr(estimator, attribute)))
    assert len(rows) > 3


def test_training_metrics_are_bounded(lab, autolog, monkeypatch) -> None:
    autolog(max_rows=119)
    monkeypatch.setattr(LogisticRegression, "predict", lambda self, X: pytest.fail("predicted"))
    LogisticRegression().fit(*CLASSES)
    assert "training/accuracy" not in values(lab)
    [(info,)] = runs(lab, "info")
    assert json.loads(info)["sklearn"]["training_metrics"] == "skipped: 120 rows are more than max_rows=119"


def test_datasets_are_bounded_and_optional(lab, autolog, monkeypatch) -> None:
    autolog()
    monkeypatch.setattr("mllab_sklearn.datasets.MAX_BYTES", CLASSES[1].nbytes)
    LogisticRegression().fit(*CLASSES)
    autolog(log_datasets=False)
    LogisticRegression().fit(*CLASSES)
    assert lab.engine.rows("SELECT name FROM datasets") == [("y",)]


# -- searches ---------------------------------------------------------------------------------------------------------


def test_a_search_in_worker_processes_is_one_run_with_children(lab, autolog) -> None:
    autolog(children=2)
    grid = {"logisticregression__C": [0.01, 1.0, 100.0]}
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), grid, n_jobs=2, cv=3).fit(*CLASSES)
    [(parent, above), *children] = runs(lab, "run_id, parent_id")
    assert above is None
    assert [above for _, above in children] == [parent] * 2
    params = pairs(lab, "params", "key, text", run_id=parent)
    assert float(params["best_params.logisticregression.C"]) == search.best_params_["logisticregression__C"]
    assert values(lab, run_id=parent)["search/best_score"] == search.best_score_
    assert table(lab, "cv_results.json")["mean_test_score"] == search.cv_results_["mean_test_score"].tolist()
    best = children[0][0]
    assert pairs(lab, "params", "key, text", run_id=best) == {
        "logisticregression.C": str(search.best_params_["logisticregression__C"])
    }
    assert values(lab, run_id=best)["search/mean_test_score"] == search.best_score_
    assert values(lab, run_id=best)["search/rank_test_score"] == 1


def test_a_search_without_refit_or_children(lab, autolog) -> None:
    autolog(children=0, log_models=True)
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2, refit=False, scoring=["accuracy", "f1"])
    search.fit(*CLASSES)
    [(info,)] = runs(lab, "info")
    assert json.loads(info)["sklearn"]["model"] == "not stored: the search was run with refit=False"
    assert len(table(lab, "cv_results.json")["mean_test_f1"]) == 2


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_parts_that_are_fitted_in_workers_get_no_runs(lab, autolog, backend: str) -> None:
    joblib = pytest.importorskip("joblib")
    autolog()
    members = [("a", LogisticRegression()), ("b", DecisionTreeClassifier())]
    with joblib.parallel_backend(backend, n_jobs=2):
        VotingClassifier(members, n_jobs=2).fit(*CLASSES)
    assert runs(lab) == [("finished", None)]


@pytest.mark.parametrize("jobs", [None, 2])
def test_cross_validation_gets_no_runs(lab, autolog, jobs) -> None:
    joblib = pytest.importorskip("joblib")
    autolog()
    with joblib.parallel_backend("threading"):
        cross_val_score(LogisticRegression(), *CLASSES, cv=3, n_jobs=jobs)
    assert runs(lab) == []
    LogisticRegression().fit(*CLASSES)
    assert len(runs(lab)) == 1


SCRIPT = """
import sys
sys.path[:0] = [{src!r}]
import mllab
from mllab.plugins import manager
from mllab.plugins.manager import Plugins, Source
manager.use_plugins(Plugins.load([Source("sklearn", "mllab_sklearn.plugin", "mllab-sklearn", "0")]))
mllab.autolog("sklearn", lab="lab", capture=False, log_models=False, children=0)
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

class Own(ClassifierMixin, BaseEstimator):
    def __init__(self, depth=1):
        self.depth = depth
    def fit(self, X, y):
        self.tree_ = DecisionTreeClassifier(max_depth=self.depth).fit(X, y)
        self.classes_ = self.tree_.classes_
        return self
    def predict(self, X):
        return self.tree_.predict(X)

search = GridSearchCV(Own(), {{"depth": [1, 2]}}, n_jobs=2, cv=2, error_score="raise")
print(search.fit(*make_classification(60, random_state=0)).best_score_)
"""


def test_an_estimator_of_a_script_goes_to_worker_processes(tmp_path) -> None:
    """The library is imported after autolog(), and the class of ``__main__`` is pickled by value with its methods."""
    lab = mllab.Lab.init(str(tmp_path / "lab"))
    (tmp_path / "script.py").write_text(SCRIPT.format(src=str(SRC)))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mllab" not in done.stderr
    assert values(lab)["search/best_score"] == float(done.stdout)
    assert runs(lab) == [("finished", None)]


# -- which run --------------------------------------------------------------------------------------------------------


def test_the_active_run_is_used_and_its_steps_are_left_alone(lab, autolog) -> None:
    autolog()
    with mllab.start_run("mine", lab=lab, capture=False) as run:
        run.log({"loss": 1.0})
        LogisticRegression().fit(*CLASSES)
        run.log({"loss": 0.5})
        LogisticRegression(C=3.0).fit(*CLASSES)
    assert runs(lab, "experiment, parent_id") == [("mine", None), ("mine", run.id)]
    assert lab.engine.rows("SELECT step FROM metrics WHERE key = 'loss' ORDER BY step") == [(0,), (1,)]
    assert pairs(lab, "params", "key, text", run_id=run.id)["C"] == "1.0"


def test_a_failing_fit_fails_its_run_and_raises_what_it_raised(lab, autolog) -> None:
    autolog()
    with pytest.raises(ValueError, match="The 'C' parameter"):
        LogisticRegression(C=-1).fit(*CLASSES)
    [(status, error)] = runs(lab, "status, error")
    assert status == "failed"
    assert "InvalidParameterError" in error
    assert pairs(lab, "params", "key, text")["C"] == "-1"
    LogisticRegression().fit(*CLASSES)
    assert len(runs(lab)) == 2


def test_fits_in_threads_have_runs_of_their_own(lab, autolog) -> None:
    autolog()
    threads = [threading.Thread(target=LogisticRegression(C=c).fit, args=CLASSES) for c in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs(lab) == [("finished", None)] * 3
    assert sorted(lab.engine.rows("SELECT text FROM params WHERE key = 'C'")) == [("1.0",), ("2.0",), ("3.0",)]


# -- fitting is as it was ---------------------------------------------------------------------------------------------


class Own(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """An estimator of the user's, made before autolog."""

    def fit(self, X, y, *, sample_weight=None):
        """Fit."""
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


KINDS: list[Any] = [LogisticRegression, Lasso, Pipeline, GridSearchCV, HistGradientBoostingClassifier, KMeans, PCA, Own]
METHODS = ("fit", "fit_transform", "fit_predict")


def test_disable_restores_the_original_methods_exactly(lab, autolog) -> None:
    from sklearn.utils import parallel

    def present() -> dict[tuple[str, str], Any]:
        found = {(kind.__name__, name): kind.__dict__.get(name) for kind in KINDS for name in METHODS}
        found["BaseEstimator", "__init_subclass__"] = BaseEstimator.__dict__.get("__init_subclass__")
        found["_FuncWrapper", "__call__"] = parallel._FuncWrapper.__dict__["__call__"]
        return found

    before = present()
    autolog()
    autolog(children=1)
    during = present()
    assert {key for key in before if before[key] is not None and during[key] is before[key]} == set()
    mllab.autolog(disable=True)
    after = present()
    assert all(after[key] is before[key] for key in before)

    class Late(Own):
        def fit(self, X, y, **weights):
            return super().fit(X, y, **weights)

    Late().fit(*CLASSES)
    LogisticRegression().fit(*CLASSES)
    assert runs(lab) == []


def test_a_method_that_somebody_else_patched_since_stays_theirs(autolog, monkeypatch) -> None:
    autolog()
    ours = Own.fit
    monkeypatch.setattr(Own, "fit", lambda self, X, y: ours(self, X, y))
    theirs = Own.fit
    mllab.autolog(disable=True)
    assert Own.fit is theirs
    assert Own().fit(*CLASSES).classes_.tolist() == [0, 1]


def test_wrapped_methods_look_like_the_originals(autolog) -> None:
    import inspect

    before = {kind: (inspect.signature(kind.fit), kind.fit.__doc__, kind.fit.__qualname__) for kind in KINDS}
    autolog()
    assert {kind: (inspect.signature(kind.fit), kind.fit.__doc__, kind.fit.__qualname__) for kind in KINDS} == before
    model = LogisticRegression().fit(*CLASSES)
    assert pickle.loads(pickle.dumps(model)).coef_.tolist() == model.coef_.tolist()


def test_an_estimator_defined_later_is_logged_once(lab, autolog) -> None:
    autolog()

    class Late(Own):
        def fit(self, X, y, *, sample_weight=None):
            return super().fit(X, y, sample_weight=sample_weight)

    fitted = Late()
    assert fitted.fit(*CLASSES) is fitted
    assert runs(lab) == [("finished", None)]
    assert values(lab)["training/accuracy"] == pytest.approx(0.5, abs=0.1)


def test_results_and_random_numbers_are_the_same(autolog) -> None:
    def train() -> tuple[Any, float]:
        np.random.seed(3)  # noqa: NPY002  # the global generator is what must stay untouched
        model = MLPClassifier((3,), max_iter=5, tol=10.0, n_iter_no_change=3).fit(*CLASSES)
        return model.coefs_[0].tolist(), np.random.random()  # noqa: NPY002  # the same

    plain = train()
    autolog()
    assert train() == plain


def test_what_fails_in_logging_never_reaches_the_fit(lab, autolog, caplog) -> None:
    autolog()

    class Odd(Own):
        def get_params(self, deep=True):
            raise RuntimeError("no params for you")

        def predict(self, X):
            raise KeyError("no predictions either")

    for _ in range(2):
        Odd().fit(*CLASSES)
    assert runs(lab) == [("finished", None)] * 2
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, told
    assert "failed in params" in told[0]
    assert "failed in training metrics" in told[1]


# -- models -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def onnx():
    pytest.importorskip("skl2onnx")
    return pytest.importorskip("onnxruntime")


def test_the_model_is_stored_as_onnx_and_agrees(lab, autolog, onnx) -> None:
    autolog(log_models=True)
    X, y = CLASSES
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    session = onnx.InferenceSession(artifact(lab, "model/model.onnx"), providers=["CPUExecutionProvider"])
    labels, _chances = session.run(None, {"X": X.astype(np.float32)})
    assert (labels == model.predict(X)).all()
    [(info,)] = runs(lab, "info")
    stored = json.loads(info)["sklearn"]["model"]
    assert (stored["flavor"], stored["checked_rows"]) == ("onnx", 100)


def test_a_frame_with_text_becomes_one_input_a_column(lab, autolog, onnx) -> None:
    pd = pytest.importorskip("pandas")
    autolog(log_models=True)
    X, y = CLASSES
    frame = pd.DataFrame({"size": X[:, 0], "colour": np.where(X[:, 1] > 0, "red", "blue")})
    columns = ColumnTransformer([("n", StandardScaler(), ["size"]), ("t", OneHotEncoder(), ["colour"])])
    make_pipeline(columns, DecisionTreeClassifier(max_depth=2)).fit(frame, y)
    session = onnx.InferenceSession(artifact(lab, "model/model.onnx"), providers=["CPUExecutionProvider"])
    assert {one.name: one.type for one in session.get_inputs()} == {
        "size": "tensor(float)",
        "colour": "tensor(string)",
    }


def test_a_model_that_no_format_can_hold_is_a_note(lab, autolog, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "skops", None)
    autolog(log_models=True)
    Own().fit(*CLASSES)
    [(info,)] = runs(lab, "info")
    note = json.loads(info)["sklearn"]["model"]
    assert note.startswith("not stored: onnx: ")
    assert note.endswith("skops: skops is not installed")
    assert lab.engine.rows("SELECT path FROM artifacts") == []


def test_what_onnx_cannot_hold_is_stored_as_skops(lab, autolog, monkeypatch) -> None:
    """skops itself is an extra of the plugin and none of the tests; what matters here is when it is used, and how."""
    skops = types.ModuleType("skops")
    skops.__spec__ = importlib.machinery.ModuleSpec("skops", None)
    monkeypatch.setitem(sys.modules, "skops", skops)
    monkeypatch.setitem(sys.modules, "skops.io", types.ModuleType("skops.io"))
    dump = lambda model, path: Path(path).write_text(type(model).__name__)  # noqa: E731  # a stand-in
    monkeypatch.setattr(sys.modules["skops.io"], "dump", dump, raising=False)
    autolog(log_models=True)
    Own().fit(*CLASSES)
    assert artifact(lab, "model/model.skops") == b"Own"


def test_log_model_takes_an_estimator(lab, run, onnx) -> None:
    run.log_model(LogisticRegression().fit(*CLASSES))
    assert lab.engine.rows("SELECT path, kind FROM artifacts") == [("model/model.onnx", "model")]
    assert run.dropped == 0


def test_models_that_are_too_large_are_not_converted(tmp_path, monkeypatch) -> None:
    model_files = importlib.import_module("mllab_sklearn.model_files")
    tree = DecisionTreeClassifier(random_state=0).fit(*CLASSES)
    boosting = HistGradientBoostingClassifier(max_iter=3).fit(*CLASSES)
    assert model_files.count_nodes(make_pipeline(StandardScaler(), tree).fit(*CLASSES)) == tree.tree_.node_count
    assert model_files.count_nodes(boosting) == sum(len(t.nodes) for trees in boosting._predictors for t in trees)
    monkeypatch.setattr(model_files, "MAX_NODES", 3)
    with pytest.raises(mllab.MllabError, match="tree nodes"):
        model_files.write_onnx(tree, str(tmp_path))
    monkeypatch.setattr(model_files, "MAX_HELD", 100)
    with pytest.raises(mllab.MllabError, match="holds 720 numbers"):
        model_files.write_onnx(KNeighborsClassifier().fit(*CLASSES), str(tmp_path))


def test_an_onnx_model_that_disagrees_is_not_stored(tmp_path, onnx) -> None:
    model_files = importlib.import_module("mllab_sklearn.model_files")
    X, y = CLASSES

    class Contrary(LogisticRegression):  # type: ignore[misc]  # scikit-learn is untyped
        def predict(self, X):
            return 1 - super().predict(X)

    import skl2onnx

    skl2onnx.update_registered_converter(
        Contrary,
        "Contrary",
        skl2onnx.common.shape_calculator.calculate_linear_classifier_output_shapes,
        importlib.import_module("skl2onnx.operator_converters.linear_classifier").convert_sklearn_linear_classifier,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            "output_class_labels": [False, True],
            "raw_scores": [True, False],
        },
    )
    with pytest.raises(mllab.MllabError, match="predicts something else for 100 of 100"):
        model_files.write_onnx(Contrary().fit(X, y), str(tmp_path), X)
    assert list(tmp_path.iterdir()) == []


def test_params_are_plain() -> None:
    plain = importlib.import_module("mllab_sklearn.estimators").plain
    made = {
        "function": plain(np.mean),
        "class": plain(dict),
        "array": plain(np.zeros((3, 2))),
        "number": plain(np.float32(0.5)),
        "object": plain(io.BytesIO()),
        "estimators": plain([("a", LogisticRegression())]),
        "long": len(plain("x" * 1000)),
        "many": plain(list(range(1000)))[-1],
    }
    assert made == {
        "function": "numpy.mean",
        "class": "builtins.dict",
        "array": "ndarray(3, 2)",
        "number": 0.5,
        "object": "BytesIO",
        "estimators": [["a", "LogisticRegression"]],
        "long": 503,
        "many": "and 900 more",
    }
    assert as_json(made) == made


def test_nothing_is_said_when_all_is_well(lab, autolog, caplog) -> None:
    caplog.set_level(logging.INFO)
    autolog(log_models=True)
    LogisticRegression().fit(*CLASSES)
    assert [record for record in caplog.records if record.name.startswith("mllab")] == []
