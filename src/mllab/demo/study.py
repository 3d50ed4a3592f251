"""The study: one run for the whole of it, one run under it for every model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

import mllab
from mllab.demo import evaluation, export, figures, training
from mllab.demo.flights import CATEGORICAL, DELAY_MINUTES, NUMERIC, TARGET, load_flights
from mllab.demo.plan import EXPERIMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mllab.demo.flights import Flights
    from mllab.demo.plan import ModelSpec, Plan
    from mllab.demo.progress import Progress
    from mllab.demo.summary import Study
    from mllab.demo.training import Encoded, Trained
    from mllab.lab import Lab

_FAMILY_TITLES = {
    "linear": "logistic regression by stochastic gradient descent",
    "boosting": "gradient-boosted trees on histograms",
}
_IMPORTANCE_LABELS = {
    "linear": "coefficient (log-odds per standard deviation or category)",
    "boosting": "fall of validation AUC when shuffled",
}
_ON_CURVES = ("valid/auc", "valid/log_loss")


def run_study(plan: Plan, lab: Lab, progress: Progress, unfinished: Study | None = None) -> str:
    """Train and track every model of the plan; return the id of the study's run.

    Interrupt it at any time: the run in work ends as failed or killed, those before it stay finished.

    Args:
        plan: What to train.
        lab: Where to track it.
        progress: Hears how it goes.
        unfinished: A study of the same plan that stopped early; its finished models are kept, the others trained.

    Raises:
        MllabError: a model's ONNX export does not agree with the model.
    """
    progress.stage("reading 336,776 flights")
    flights = load_flights(plan.rows, plan.seed)
    progress.fact(describe(flights))
    scores = {row.name: row.metrics for row in unfinished.finished} if unfinished else {}
    if scores:
        progress.fact(f"going on with a study that stopped after {len(scores)} of {len(plan.models)} runs")
    run = mllab.start_run(
        EXPERIMENT,
        plan.title,
        resume=unfinished.run_id if unfinished else None,
        params={"seed": plan.seed, "models": len(plan.models), "rows": plan.rows, "delay_minutes": DELAY_MINUTES},
        tags={"demo": "study", "demo.plan": plan.name},
        lab=lab,
    )
    with run, threadpool_limits(plan.threads, user_api="openmp"):
        run.set_note(_study_note(flights, plan))
        _log_splits(run, flights)
        run.log({f"{split.name}/base_rate": split.base_rate for split in flights.splits}, step=0)
        encoded: dict[str, Encoded] = {}
        for number, spec in enumerate(plan.models, 1):
            if spec.name in scores:
                continue
            progress.run_started(number, len(plan.models), spec.name)
            if spec.family not in encoded:  # the plan's models come family by family
                encoded = {spec.family: training.encode(spec.family, flights, plan.seed)}
            scores[spec.name] = _run_model(
                spec, plan, flights, encoded[spec.family], parent=run.id, lab=lab, progress=progress
            )
            progress.run_finished(number, len(plan.models), spec.name, scores[spec.name])
        best = max(scores, key=lambda name: scores[name]["valid/auc"])
        run.set_tags({"best": best})
        run.log({f"best/{key}": scores[best][key] for key in ("valid/auc", "test/auc")}, step=len(plan.models))
        return str(run.id)


def describe(flights: Flights) -> str:
    """Say in one sentence how many flights there are, and what was left out."""
    kept = " + ".join(f"{split.frame.height:,}" for split in flights.splits)
    return (
        f"{flights.scheduled:,} flights; without {flights.cancelled:,} cancelled and {flights.diverted:,} diverted or "
        f"unrecorded ones, {kept} to train, validate and test"
    )


def _run_model(
    spec: ModelSpec, plan: Plan, flights: Flights, data: Encoded, *, parent: str, lab: Lab, progress: Progress
) -> dict[str, float]:
    """Train, evaluate, export and check one model in a run of its own; return its final metrics."""
    with mllab.start_run(
        EXPERIMENT,
        spec.name,
        parent=parent,
        params={
            "family": spec.family,
            "seed": plan.seed,
            "steps": spec.steps,
            "model": spec.hyper,
            "features": {"numeric": list(NUMERIC), "categorical": list(CATEGORICAL)},
            "target": f"arrival more than {DELAY_MINUTES} minutes late",
        },
        tags={"demo": "model", "demo.plan": plan.name, "family": spec.family},
        lab=lab,
    ) as run:
        _log_splits(run, flights)

        def log(step: int, metrics: Mapping[str, float]) -> None:
            run.log(metrics, step=step)
            progress.run_advanced(step / spec.steps, metrics)

        trained = training.train(spec, data, plan.seed, log)
        threshold = evaluation.best_threshold(data.valid_target, trained.valid)
        scores = evaluation.score("test", data.test_target, trained.test, threshold)
        scores |= evaluation.score("valid", data.valid_target, trained.valid, threshold)
        scores |= {"threshold": threshold, "fit_seconds": trained.fit_seconds}
        scores["onnx/max_abs_diff"] = _log_model(run, trained, data, flights)
        # The curves end at this step with the validation AUC and loss: logged again they would be there twice.
        run.log({key: value for key, value in scores.items() if key not in _ON_CURVES}, step=spec.steps)
        _log_evidence(run, spec, data, trained, threshold=threshold, seed=plan.seed)
        run.set_note(_model_note(spec, plan, flights, scores))
        export.require_agreement(scores["onnx/max_abs_diff"])
        return scores


def _log_splits(run: Any, flights: Flights) -> None:
    for split in flights.splits:
        run.log_dataset(
            split.frame, f"nyc-flights-2013-{split.name}", context=split.name, target=TARGET, source=flights.source
        )


def _log_model(run: Any, trained: Trained, data: Encoded, flights: Flights) -> float:
    """Log the model as ONNX; return how far its probabilities are from the original's on the test split."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export.export_onnx(data.encoder, trained.classifier, path)
        difference = export.check_onnx(path, flights.test.features, trained.test)
        run.log_model(path, name="model")
    verdict = "passed" if difference <= export.TOLERANCE else "failed"
    run.set_tags({"onnx.check": verdict, "onnx.tolerance": f"{export.TOLERANCE:g}"})
    return difference


def _log_evidence(run: Any, spec: ModelSpec, data: Encoded, trained: Trained, *, threshold: float, seed: int) -> None:
    """Log the tables behind the scores and the figures drawn from them."""
    confusion = evaluation.confusion(data.test_target, trained.test, threshold)
    calibration = evaluation.calibration(data.test_target, trained.test)
    importances = evaluation.importances(trained.classifier, data, seed)
    run.log_table(confusion, "confusion_matrix")
    run.log_table(calibration, "calibration")
    run.log_table(importances, "feature_importances")
    run.log_figure(
        figures.confusion_figure(confusion, f"{spec.name}, test, threshold {threshold:.2f}"), "confusion_matrix"
    )
    run.log_figure(
        figures.calibration_figure(calibration, float(data.test_target.mean()), f"{spec.name}, test"), "calibration"
    )
    run.log_figure(
        figures.importance_figure(importances, spec.name, _IMPORTANCE_LABELS[spec.family]), "feature_importances"
    )


def _study_note(flights: Flights, plan: Plan) -> str:
    months = ", ".join(
        f"{split.months} to {verb}" for split, verb in zip(flights.splits, ("train", "validate", "test"), strict=True)
    )
    rates = ", ".join(f"{split.base_rate:.1%} ({split.name})" for split in flights.splits)
    sampled = f"\n\nA quick look on {plan.rows:,} sampled flights: its scores mean little." if plan.rows else ""
    return (
        f"Which flights out of New York in 2013 arrive more than {DELAY_MINUTES} minutes late?\n\n"
        f"{describe(flights)}.\n\n"
        f"Split by time: {months}. Late: {rates}; the rate moves with the season, so AUC compares better than loss.\n\n"
        "Only what is known before departure is used: the timetable, the plane, the weather an hour earlier. "
        "Compare models by valid/auc; test/auc is for the one chosen." + sampled
    )


def _model_note(spec: ModelSpec, plan: Plan, flights: Flights, scores: Mapping[str, float]) -> str:
    """Write a short model card."""
    hyper = ", ".join(f"{name} {value}" for name, value in spec.hyper.items())
    quick = f" Trained on a sample ({plan.rows:,} flights): a quick look, no result." if plan.rows else ""
    return (
        f"Model: {_FAMILY_TITLES[spec.family]}, {hyper}, {spec.steps} steps.{quick}\n\n"
        f"Use: the probability that a flight arrives more than {DELAY_MINUTES} minutes late, an hour before it leaves. "
        f"Trained on {flights.train.frame.height:,} flights of {flights.train.months} 2013.\n\n"
        f"Test ({flights.test.months}): AUC {scores['test/auc']:.3f}, Brier score {scores['test/brier']:.3f}, "
        f"{scores['test/recall_at_10pct']:.0%} of the late flights among the riskiest tenth "
        f"(base rate {scores['test/base_rate']:.1%}).\n\n"
        "Limits: one year, three airports, no view of the network's delays on the day; cancelled and diverted flights "
        "are not in the data; months after August were never seen in training.\n\n"
        f"ONNX: largest difference to the original on {flights.test.frame.height:,} flights "
        f"{scores['onnx/max_abs_diff']:.1e} ({export.TOLERANCE:g} tolerated)."
    )
