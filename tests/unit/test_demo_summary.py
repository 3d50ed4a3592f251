"""Which model is best, and whether a study is whole."""

from mllab.demo.plan import FULL, QUICK
from mllab.demo.summary import ModelRow, Study


def row(name, status="finished", **metrics):
    return ModelRow("0" * 26, name, status, 1.0, "linear", {}, {key.replace("_", "/"): v for key, v in metrics.items()})


def study(*rows, status="finished"):
    return Study("0" * 26, "quick", status, 2.0, rows)


def test_best_is_chosen_on_validation_among_finished_models():
    rows = (
        row("a", valid_auc=0.70, test_auc=0.90),
        row("b", valid_auc=0.72, test_auc=0.60),
        row("c", "failed", valid_auc=0.99),
    )
    best = study(*rows).best
    assert best is not None
    assert best.name == "b"


def test_no_finished_model_is_no_best():
    assert study(row("a", "killed")).best is None


def test_complete_means_every_model_of_the_plan_and_the_study_itself():
    names = [spec.name for spec in QUICK.models]
    assert study(*map(row, names)).is_complete(QUICK)
    assert not study(*map(row, names), status="killed").is_complete(QUICK)
    assert not study(row(names[0]), row(names[1], "failed")).is_complete(QUICK)
    assert study(row(names[0], "failed"), *map(row, names)).is_complete(QUICK)  # trained again after it failed


def test_the_full_study_is_what_was_promised():
    assert len(FULL.models) >= 8
    assert {spec.family for spec in FULL.models} == {"linear", "boosting"}
    assert len({spec.name for spec in FULL.models}) == len(FULL.models)
    assert FULL.rows is None
