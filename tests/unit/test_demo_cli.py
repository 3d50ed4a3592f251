"""`mllab demo` before it trains anything: what it refuses, and what it loads."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from mllab.cli.demo import demo
from mllab.errors import EnvironmentFault, UsageError


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    outcome = CliRunner().invoke(demo, [str(tmp_path), "--quick"])
    assert isinstance(outcome.exception, UsageError)
    assert str(tmp_path) in outcome.exception.message
    assert "--force" in (outcome.exception.hint or "")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_extra_is_told_before_a_lab_is_made(tmp_path, monkeypatch):
    def missing():
        raise EnvironmentFault("The demo needs skl2onnx.", "pip install 'mllab[demo]'")

    monkeypatch.setattr("mllab.demo.extra.check_installed", missing)
    outcome = CliRunner().invoke(demo, [str(tmp_path / "lab")])
    assert isinstance(outcome.exception, EnvironmentFault)
    assert not (tmp_path / "lab").exists()


@pytest.mark.parametrize("module", ["sklearn", "polars", "duckdb", "matplotlib", "rich.table"])
def test_help_loads_nothing_heavy(module):
    code = f"import sys, mllab.cli.demo; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
