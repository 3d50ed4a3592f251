"""A run tracked inside a container: nothing is installed there but Python, and mllab is mounted read-only."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path

import pytest

from mllab.lab import Lab

SRC = Path(__file__).parents[2] / "src"
pytestmark = pytest.mark.docker

SCRIPT = """
import mllab
with mllab.start_run("container", "inside", params={"lr": 0.1}) as run:
    print("hello from the container")
    for step in range(500):
        run.log({"loss": 1 / (step + 1), "acc": step / 500}, step=step)
    run.log_text("text", "notes/a")
assert run.dropped == 0
"""

ENDLESS = """
import itertools, mllab
run = mllab.start_run("container", "killed", capture=False)
for step in itertools.count():
    run.log({"loss": float(step)}, step=step)
    if step == 1000:
        print("going", flush=True)
"""


def command(lab: Lab, image: str, name: str, script: str) -> list[str]:
    user = f"{os.getuid()}:{os.getgid()}"
    mounts = ["-v", f"{SRC}:/opt/mllab:ro", "-v", f"{lab.root}:/lab"]
    environ = ["-e", "PYTHONPATH=/opt/mllab", "-e", "MLLAB_LAB=/lab", "-e", "PYTHONDONTWRITEBYTECODE=1"]
    limits = ["--network", "none", "--cap-drop", "ALL", "--read-only", "--tmpfs", "/tmp", "--user", user]
    return ["docker", "run", "--rm", "--name", name, *limits, *mounts, *environ, image, "python3", "-c", script]


def test_a_run_in_a_container_is_like_any_other(lab: Lab, docker_image: str) -> None:
    name = f"mllab-test-{uuid.uuid4().hex[:12]}"
    done = subprocess.run(command(lab, docker_image, name, SCRIPT), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    engine = lab.engine
    assert engine.rows("SELECT name, status FROM runs") == [("inside", "finished")]
    assert engine.rows("SELECT key, count FROM metric_summaries WHERE key IN ('loss', 'acc') ORDER BY key") == [
        ("acc", 500),
        ("loss", 500),
    ]
    assert engine.rows("SELECT count(*) FROM logs WHERE text LIKE 'hello from the container%'") == [(1,)]
    ((container,),) = engine.rows("SELECT json_extract_string(info, '$.environment.container') FROM runs")
    assert container


def test_a_killed_container_leaves_a_lost_run_with_its_records(lab: Lab, docker_image: str) -> None:
    name = f"mllab-test-{uuid.uuid4().hex[:12]}"
    with subprocess.Popen(command(lab, docker_image, name, ENDLESS), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        assert lab.engine.rows("SELECT status FROM runs") == [("running",)]
        subprocess.run(["docker", "kill", "--signal", "KILL", name], check=True, capture_output=True, timeout=60)
        process.wait(60)
    ((status, count, last),) = lab.engine.rows(
        "SELECT status, s.count, s.last FROM runs JOIN metric_summaries s USING (run_id)"
    )
    assert status == "lost"
    assert count > 1000
    assert last == count - 1
