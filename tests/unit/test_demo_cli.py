"""`mllab demo` before it trains anything: what it refuses, what it loads, and how it shows progress."""

import io
import subprocess
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.progress import Progress, TextColumn

from mllab.cli.demo_display import Bars, display
from mllab.cli.main import root
from mllab.demo.plan import QUICK
from mllab.demo.progress import Silent
from mllab.demo.summary import ModelRow, Study
from mllab.errors import EnvironmentFault

SCORES = {"valid/auc": 0.7301, "test/auc": 0.7202, "onnx/max_abs_diff": 2e-7}


def call(*args):
    return CliRunner().invoke(root, ["demo", *args])


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    outcome = call(str(tmp_path), "--quick")
    assert outcome.exit_code == 2
    assert str(tmp_path) in outcome.stderr
    assert "--force" in outcome.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "lab").write_text("not a folder")
    assert call(str(tmp_path / "lab")).exit_code == 2
    assert (tmp_path / "lab").read_text() == "not a folder"


def test_a_missing_extra_is_told_before_a_lab_is_made(tmp_path, monkeypatch):
    def missing():
        raise EnvironmentFault("The demo needs skl2onnx.", "pip install 'mllab[demo]'")

    monkeypatch.setattr("mllab.demo.extra.check_installed", missing)
    outcome = call(str(tmp_path / "lab"))
    assert outcome.exit_code == 3
    assert "pip install 'mllab[demo]'" in outcome.stderr
    assert not (tmp_path / "lab").exists()


def a_study(status="finished"):
    metrics = {"valid/auc": 0.71, "test/auc": 0.7}
    rows = [
        ModelRow(f"{number:026}", spec.name, "finished", 2.5, spec.family, {"learning_rate": "0.1"}, metrics)
        for number, spec in enumerate(QUICK.models)
    ]
    return Study("9" * 26, "quick", status, 6.0, tuple(rows))


@pytest.fixture
def held(monkeypatch):
    """Let every lab hold a finished study."""
    pytest.importorskip("sklearn", reason="needs the extra mllab[demo]")
    monkeypatch.setattr("mllab.demo.summary.latest_study", lambda lab, plan: a_study())


@pytest.mark.usefixtures("held")
def test_force_makes_a_lab_beside_what_is_there(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    assert call(str(tmp_path), "--quick", "--force").exit_code == 0
    assert (tmp_path / "mllab.toml").is_file()
    assert (tmp_path / "thesis.tex").read_text() == "precious"


@pytest.mark.usefixtures("held")
def test_the_summary_fits_80_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    outcome = call("--quick")
    assert outcome.exit_code == 0
    table = outcome.stdout.split("Try next")[0].splitlines()[:4]
    assert all(len(line) <= 80 for line in table)
    assert "lr=0.1" in outcome.stdout
    assert (tmp_path / "mllab-demo" / "mllab.toml").is_file()


@pytest.mark.usefixtures("held")
def test_the_global_lab_option_names_the_folder_too(tmp_path):
    outcome = CliRunner().invoke(root, ["--lab", str(tmp_path / "other lab"), "demo", "--quick"])
    assert outcome.exit_code == 0
    assert f"--lab '{tmp_path}/other lab'" in outcome.stdout


def test_a_study_at_work_in_another_process_is_left_alone(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="needs the extra mllab[demo]")
    monkeypatch.setattr("mllab.demo.summary.latest_study", lambda lab, plan: a_study("running"))
    outcome = call(str(tmp_path / "lab"), "--quick")
    assert outcome.exit_code == 2
    assert "--fresh" in outcome.stderr


@pytest.mark.parametrize("module", ["sklearn", "polars", "duckdb", "matplotlib", "rich"])
def test_help_loads_nothing_heavy(module):
    code = f"import sys, mllab.cli.demo; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lines_where_there_is_no_terminal(monkeypatch):
    taken = io.BytesIO()
    stderr = io.TextIOWrapper(taken, "utf-8")
    monkeypatch.setattr(sys, "stderr", stderr)
    with display(2) as progress:
        progress.stage("reading")
        progress.run_started(1, 2, "a")
        progress.run_advanced(0.5, SCORES)
        progress.run_finished(1, 2, "a", SCORES)
    assert taken.getvalue().decode() == "1/2 a: valid/auc 0.730, test/auc 0.720, ONNX agrees to 2e-07\n"
    assert not taken.closed
    assert not stderr.closed


def test_a_closed_stderr_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with display(2) as progress:
        assert isinstance(progress, Silent)


def test_bars_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.percentage:.0f}%"),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=console, auto_refresh=False) as bars:
        shown = Bars(bars, 2)
        shown.stage("reading")
        shown.run_started(2, 2, "trees")
        shown.run_advanced(0.25, SCORES)
        study, run = bars.tasks
        assert (study.completed, study.fields["detail"]) == (1, "run 2 of 2")
        assert (run.completed, run.description, run.visible) == (0.25, "trees", True)
        assert run.fields["detail"] == "valid/auc 0.730"
        shown.run_advanced(1.0, SCORES)
        assert "ONNX" in run.fields["detail"]
        shown.run_finished(2, 2, "trees", SCORES)
        assert study.finished
        assert not run.visible
    assert "2/2 trees: valid/auc 0.730" in console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO
