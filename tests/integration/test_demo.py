"""The demo from end to end, in its quick form, on the real data."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import polars as pl
import pytest
from click.testing import CliRunner

pytest.importorskip("sklearn", reason="needs the extra mllab[demo]")
pytest.importorskip("skl2onnx", reason="needs the extra mllab[demo]")
pytest.importorskip("onnxruntime", reason="needs the extra mllab[demo]")
pytest.importorskip("matplotlib", reason="needs the extra mllab[demo]")

import mllab
from mllab.cli.main import root
from mllab.demo import export, study, training
from mllab.demo.flights import FEATURES, TARGET, TIME, load_flights
from mllab.demo.plan import QUICK
from mllab.demo.progress import Silent
from mllab.demo.summary import latest_study
from mllab.errors import MllabError
from mllab.lab import Lab

MODELS = [spec.name for spec in QUICK.models]


@pytest.fixture(scope="module")
def flights():
    return load_flights()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A lab with the quick study, and what the first call printed."""
    folder = tmp_path_factory.mktemp("demo") / "lab"
    outcome = call(folder, "--quick")
    assert outcome.exit_code == 0
    return folder, outcome


def call(*args, **kwargs):
    return CliRunner().invoke(root, ["demo", *map(str, args)], **kwargs)


def query(text, lab, **params):
    return mllab.sql(text, params=params or None, lab=lab)


# -- the data ----------------------------------------------------------------------------------------------------


def test_every_flight_is_accounted_for(flights):
    kept = sum(split.frame.height for split in flights.splits)
    assert flights.scheduled == 336_776
    assert (flights.cancelled, flights.diverted) == (8_255, 1_175)
    assert kept + flights.cancelled + flights.diverted == flights.scheduled


def test_splits_follow_each_other_in_time(flights):
    train, valid, test = (split.frame[TIME] for split in flights.splits)
    assert train.max() < valid.min()
    assert valid.max() < test.min()
    assert all(split.frame[TIME].is_sorted() for split in flights.splits)


def test_nothing_known_only_after_departure_is_a_feature(flights):
    leaks = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "month", TARGET, TIME}
    assert leaks.isdisjoint(FEATURES)
    assert set(flights.train.features.columns) == set(FEATURES)


def test_weather_is_of_the_hour_before(flights):
    # JFK, 2013-07-01: the weather table has these temperatures at 16:00 and 17:00 UTC.
    from mllab.demo.flights import _data_folder

    weather = pl.read_csv(_data_folder() / "weather.csv", null_values="NA", infer_schema_length=None)
    at_16 = weather.filter((pl.col("origin") == "JFK") & (pl.col("time_hour") == "2013-07-01T16:00:00Z"))["temp"].item()
    at_17 = weather.filter((pl.col("origin") == "JFK") & (pl.col("time_hour") == "2013-07-01T17:00:00Z"))["temp"].item()
    hour = pl.datetime(2013, 7, 1, 17, time_zone="UTC")
    seen = flights.train.frame.filter((pl.col("origin") == "JFK") & (pl.col(TIME) == hour))["temp"].unique()
    assert seen.to_list() == pytest.approx([at_16])
    assert at_16 != at_17


def test_a_sample_is_the_same_each_time():
    once, again = load_flights(5_000, seed=3), load_flights(5_000, seed=3)
    for one, other in zip(once.splits, again.splits, strict=True):
        assert one.frame.equals(other.frame)
    assert sum(split.frame.height for split in once.splits) == 5_000


# -- the first call ----------------------------------------------------------------------------------------------


def test_runs_of_both_families_under_one_study(first):
    lab, _ = first
    runs = query("SELECT name, status, parent_id, run_id FROM runs ORDER BY started", lab).to_dicts()
    assert [run["status"] for run in runs] == ["finished"] * 3
    parent = next(run for run in runs if run["parent_id"] is None)
    assert {run["name"] for run in runs if run["parent_id"] == parent["run_id"]} == set(MODELS)
    families = query("SELECT DISTINCT text FROM params WHERE key = 'family'", lab)["text"].to_list()
    assert set(families) == {"linear", "boosting"}


def test_every_step_has_its_point(first):
    lab, _ = first
    for spec in QUICK.models:
        points = query(
            "SELECT m.key, m.step FROM metrics m JOIN runs r USING (run_id) WHERE r.name = $name "
            "AND m.key IN ('train/loss', 'valid/loss', 'valid/auc') ORDER BY m.key, m.step",
            lab,
            name=spec.name,
        )
        for key in ("train/loss", "valid/loss", "valid/auc"):
            assert points.filter(pl.col("key") == key)["step"].to_list() == list(range(1, spec.steps + 1))


def test_models_beat_guessing(first):
    lab, _ = first
    found = latest_study(Lab.find(lab), "quick")
    assert found is not None
    for model in found.models:
        assert model.metrics["test/auc"] > 0.62
        assert model.metrics["test/average_precision"] > 1.4 * model.metrics["test/base_rate"]
        assert model.metrics["test/brier"] < model.metrics["test/base_rate"]


def test_datasets_have_the_same_digests_in_every_run(first):
    lab, _ = first
    rows = query("SELECT context, count(DISTINCT digest) AS digests, count(*) AS uses FROM datasets GROUP BY 1", lab)
    assert {row["context"]: (row["digests"], row["uses"]) for row in rows.to_dicts()} == {
        "train": (1, 3),
        "valid": (1, 3),
        "test": (1, 3),
    }


def test_evidence_is_logged(first):
    lab, _ = first
    paths = set(query("SELECT DISTINCT path FROM artifacts", lab)["path"].to_list())
    for name in ("confusion_matrix", "calibration", "feature_importances"):
        assert {f"{name}.png", f"{name}.parquet"} <= paths
    assert "model/model.onnx" in paths


def test_onnx_agrees_with_the_original(first):
    lab, _ = first
    checks = query("SELECT last FROM metric_summaries WHERE key = 'onnx/max_abs_diff'", lab)["last"].to_list()
    assert len(checks) == len(MODELS)
    assert all(0 <= difference <= export.TOLERANCE for difference in checks)
    tags = query("SELECT value FROM tags WHERE key = 'onnx.check'", lab)["value"].to_list()
    assert tags == ["passed"] * len(MODELS)


def test_summary_names_the_runs_and_what_to_try(first):
    _lab, outcome = first
    assert "quick" in outcome.stdout
    assert len(commands(outcome.stdout)) == 3
    assert sum(line.startswith("*") for line in outcome.stdout.splitlines()) == 2  # the best run, and the legend
    assert "\x1b[" not in outcome.stdout
    progress = outcome.stderr.splitlines()
    assert [line for line in progress if line.startswith(("1/2", "2/2"))] == progress[-2:]


def commands(text):
    return [shlex.split(line) for line in text.splitlines() if line.startswith("  mllab ")]


def test_what_to_try_works_as_it_is(first):
    _, outcome = first
    for _mllab, *args in commands(outcome.stdout):
        tried = CliRunner().invoke(root, args)
        assert tried.exit_code == 0, (args, tried.stderr)
        assert "0.7" in tried.stdout


# -- calls after it ----------------------------------------------------------------------------------------------


def test_second_call_shows_what_is_there(first):
    lab, _ = first
    outcome = call(lab, "--quick", "--json")
    summary = json.loads(outcome.stdout)
    assert summary["reused"]
    assert {run["name"] for run in summary["runs"]} == set(MODELS)
    assert summary["best"] in {run["run_id"] for run in summary["runs"]}
    assert query("SELECT count(*) AS n FROM runs", lab)["n"].item() == 3


@pytest.mark.parametrize("answer", ["quit", "reuse"])
def test_second_call_asks_on_a_terminal(first, monkeypatch, answer):
    monkeypatch.setattr("mllab.cli.failures.can_ask", lambda: True)
    lab, _ = first
    outcome = call(lab, "--quick", input=f"{answer}\n")
    assert "finished study: 2 runs" in outcome.stderr
    assert ("Try next" in outcome.stdout) == (answer == "reuse")
    assert query("SELECT count(*) AS n FROM runs", lab)["n"].item() == 3


def test_interrupted_study_goes_on_where_it_stopped(tmp_path, monkeypatch):
    lab = str(tmp_path / "lab")
    train, trained = training.train, []

    def interrupted(spec, *args):
        trained.append(spec.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(spec, *args)

    monkeypatch.setattr(training, "train", interrupted)
    outcome = call(lab, "--quick")
    assert outcome.exit_code == 130
    assert "Interrupted" in outcome.stderr
    assert f"mllab demo {lab} --quick" in outcome.stderr
    statuses = dict(query("SELECT name, status FROM runs", lab).rows())
    assert statuses == {QUICK.title: "killed", MODELS[0]: "finished", MODELS[1]: "killed"}

    outcome = call(lab, "--quick", "--json")
    assert trained == [MODELS[0], MODELS[1], MODELS[1]]
    summary = json.loads(outcome.stdout)
    assert not summary["reused"]
    assert summary["status"] == "finished"
    assert [run["status"] for run in summary["runs"]] == ["finished", "killed", "finished"]
    assert query("SELECT count(*) AS n FROM runs WHERE parent_id IS NULL", lab)["n"].item() == 1


def test_an_export_that_disagrees_fails_its_run(tmp_path, monkeypatch):
    lab = Lab.init(str(tmp_path / "lab"))
    monkeypatch.setattr(export, "check_onnx", lambda *_: 0.2)
    with pytest.raises(MllabError, match="DEMO-001"):
        study.run_study(QUICK, lab, Silent())
    failed = query("SELECT name, status FROM runs WHERE parent_id IS NOT NULL", lab).rows()
    assert failed == [(MODELS[0], "failed")]
    assert query("SELECT value FROM tags WHERE key = 'onnx.check'", lab)["value"].to_list() == ["failed"]


def test_fresh_adds_a_study_with_the_same_scores(first, tmp_path):
    lab = shutil.copytree(first[0], tmp_path / "lab")
    before = latest_study(Lab.find(lab), "quick")
    outcome = call(lab, "--quick", "--fresh")
    assert outcome.exit_code == 0
    after = latest_study(Lab.find(lab), "quick")
    assert before is not None
    assert after is not None
    assert before.run_id != after.run_id
    for old, new in zip(before.models, after.models, strict=True):
        assert old.metrics["test/auc"] == new.metrics["test/auc"]
    digests = query("SELECT context, count(DISTINCT digest) AS n FROM datasets GROUP BY 1", lab)["n"].to_list()
    assert digests == [1, 1, 1]


def test_the_command_works_with_warnings_as_errors_and_without_a_terminal(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "mllab.cli.main", "demo", "lab", "--quick"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b[" not in done.stdout + done.stderr
    assert "mllab runs ls --lab lab " in done.stdout
