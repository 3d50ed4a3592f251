"""What a static import graph cannot see: what really gets loaded, in a fresh interpreter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mllab
from mllab.lab import Lab

HEAVY = [
    "duckdb",
    "pyarrow",
    "polars",
    "numpy",
    "pandas",
    "textual",
    "docker",
    "kubernetes",
    "mlflow",
    "pydantic",
    "click",
    "rich",
    "pluggy",
    "sklearn",
]
SRC = Path(__file__).parents[2] / "src"


def loaded_by(code: str, *, cwd: Path) -> set[str]:
    """Return the heavy modules that ``code`` loads."""
    script = f"import sys\n{code}\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_mllab_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_by("import mllab", cwd=tmp_path) == set()


def test_tracking_writes_with_the_standard_library_alone(tmp_path: Path) -> None:
    code = """
import mllab
lab = mllab.Lab.init("lab")
with mllab.start_run("e", params={"a": {"b": 1}}, tags={"t": "x"}, lab=lab) as run:
    run.log({"loss": 1.0}, step=1)
    run.log_batch("curve", range(3), [1, 2, 3])
    run.log_text("hello", "notes/a")
    run.log_table({"a": [1, 2]}, "table")
    run.set_note("note")
"""
    # Where pluggy is installed, plugins are asked for facts; without it (below, on 3.9) there are none to ask.
    assert loaded_by(code, cwd=tmp_path) <= {"pluggy"}


CALL = """
import contextlib, io, os
from mllab.cli.main import root
os.environ.update({environ!r})
with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")) as shown:  # completion writes bytes
    root.main({args!r}, prog_name="mllab", standalone_mode=False)
    shown.flush()
assert {expected!r} in shown.buffer.getvalue().decode()
"""


@pytest.mark.parametrize(
    ("args", "environ", "expected", "needed"),
    [
        (["--version"], {}, "mllab", "click"),
        (["runs", "ls"], {}, "sample", "duckdb"),
        ([], {"_MLLAB_COMPLETE": "bash_complete", "COMP_WORDS": "mllab runs sh", "COMP_CWORD": "2"}, "show", "click"),
        ([], {"_MLLAB_COMPLETE": "bash_complete", "COMP_WORDS": "mllab runs show s", "COMP_CWORD": "3"}, "sample", "duckdb"),
    ],
    ids=["version", "runs ls", "complete a command", "complete a run"],
)  # fmt: skip
def test_the_command_line_loads_no_textual(
    lab: Lab, args: list[str], environ: dict[str, str], expected: str, needed: str
) -> None:
    with mllab.start_run("tests", "sample", lab=lab, capture=False):
        pass
    # A loaded machine may take longer to complete than a shell should wait.
    patient = "import mllab.cli.completion_values as values\nvalues.BUDGET_S = 60.0\n" if environ else ""
    code = patient + CALL.format(args=args, environ=environ | {"MLLAB_LAB": lab.root}, expected=expected)
    loaded = loaded_by(code, cwd=Path(lab.root))
    assert "textual" not in loaded
    assert needed in loaded, "the command did its work"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("columns", [["name", "started", "params.n", "tags.t", "metrics.loss"], None])
@pytest.mark.parametrize("text", [None, "loss < 1 and params.n > 0 and status = finished order by loss"])
def test_a_page_of_runs_loads_polars_and_duckdb_alone(
    lab: Lab, text: str | None, columns: list[str] | None, times: int
) -> None:
    with mllab.start_run("e", "sample", params={"n": 1, "f": 0.5}, tags={"t": "x"}, lab=lab, capture=False) as run:
        run.log({"loss": 0.5}, step=1)
    lab.store.seal()
    code = f"""
import mllab
lab = mllab.Lab.find({lab.root!r})
for _ in range({times}):
    frame = mllab.runs({text!r}, columns={columns!r}, limit=50, lab=lab)
    assert frame["params.n"].to_list() == [1] and frame["metrics.loss"].to_list() == [0.5]
"""
    assert loaded_by(code, cwd=Path(lab.root)) == {"duckdb", "polars"}


@pytest.mark.parametrize("args", [[], ["loss < 1 order by params.n"], ["--json"], ["--columns", "name,loss,started"]])
def test_a_list_of_sealed_runs_loads_neither_numpy_nor_pyarrow(lab: Lab, args: list[str]) -> None:
    with mllab.start_run("e", "sample", params={"n": 1}, tags={"t": "x"}, lab=lab, capture=False) as run:
        run.log({"loss": 0.5}, step=1)
    lab.store.seal()
    code = CALL.format(args=["runs", "ls", *args], environ={"MLLAB_LAB": lab.root}, expected="sample")
    loaded = loaded_by(code, cwd=Path(lab.root))
    assert "duckdb" in loaded
    assert not loaded & {"numpy", "pyarrow", "pandas", "polars", "textual"}


def test_the_check_can_fail(tmp_path: Path) -> None:
    assert loaded_by("import numpy", cwd=tmp_path) == {"numpy"}


def _find_python_39() -> str | None:
    installed = sorted(Path.home().glob(".pyenv/versions/3.9*/bin/python"))
    found = [*map(str, installed), shutil.which("python3.9")]
    return next((path for path in found if path), None)


# Looked up at import: the tests themselves run with an empty home.
PYTHON_39 = _find_python_39()

WRITING = [
    "__init__.py", "errors.py", "ids.py", "lab.py", "config/settings.py", "security/paths.py", "security/redaction.py",
    "store/__init__.py", "store/blobs.py", "store/frames.py", "store/fs.py", "store/layout.py", "store/run_status.py",
    "store/segment.py", "store/store.py", "store/values.py",
]  # fmt: skip


def test_the_writing_side_parses_as_python_39() -> None:
    import ast

    files = [SRC / "mllab" / name for name in WRITING] + sorted((SRC / "mllab" / "tracking").glob("*.py"))
    for file in files:
        ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=(3, 9))


@pytest.mark.skipif(PYTHON_39 is None, reason="no Python 3.9 on this machine; its syntax is checked all the same")
def test_a_run_on_python_39_with_nothing_installed(tmp_path: Path) -> None:
    assert PYTHON_39 is not None
    script = """
import mllab
with mllab.start_run("old", "from-3.9", params={"lr": 0.1}, lab="lab") as run:
    print("hello from the past")
    for step in range(100):
        run.log({"loss": 1 / (step + 1)}, step=step)
    run.log_text("text", "a.txt")
    assert "from-3.9" in run._repr_html_()
for options in ({"resume": run}, {"fork": run}):
    try:
        mllab.start_run(lab="lab", **options)
    except mllab.MllabError as error:
        assert error.code == "ENV-001", error
    else:
        raise AssertionError("reading cannot work here")
print(run.dropped)
"""
    lab = mllab.Lab.init(str(tmp_path / "lab"))
    done = subprocess.run(
        [PYTHON_39, "-S", "-E", "-c", f"import sys; sys.path.insert(0, {str(SRC)!r})\n{script}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "0", done.stderr
    assert lab.engine.rows("SELECT name, status FROM runs") == [("from-3.9", "finished")]
    assert lab.engine.rows("SELECT count(*) FROM metrics WHERE key = 'loss'") == [(100,)]
