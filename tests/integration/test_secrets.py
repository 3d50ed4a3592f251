"""Secrets that pass through a run reach none of the bytes it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mllab.lab import Lab

# Made of pieces, so that no file of this project holds anything that looks like a secret.
SECRETS = {
    "environment": "zq" + "81hT0pS3cretValue",
    "github": "ghp_" + "Ab3" * 12,
    "aws": "AKIA" + "QWERTYUIOP012345",
    "url": "p4ssw0rd" + "InUrl",
    "param": "param" + "S3cret99",
    "argument": "argument" + "S3cret77",
}

SCRIPT = """
import os, sys
import mllab

environment, github, aws, url, param = os.environ["PLANTED"].split("|")
with mllab.start_run("secrets", "s") as run:
    print("the token is", github)
    print(f"cloning https://ann:{url}@example.org/x.git with {environment}", file=sys.stderr)
    run.log_params({"lr": 0.1, "hub": {"api_key": param, "url": f"https://ann:{url}@example.org"}, "note": github})
    run.set_tags({"password": param, "where": aws})
    run.log({"loss": 1.0})
    raise RuntimeError(f"cannot log in with {aws} and {environment}")
"""


def test_planted_secrets_are_nowhere_in_the_store(lab: Lab, tmp_path: Path) -> None:
    planted = [value for name, value in SECRETS.items() if name != "argument"]
    environ = os.environ | {
        "MLLAB_LAB": lab.root,
        "SERVICE_TOKEN": SECRETS["environment"],
        "PLANTED": "|".join(planted),
    }
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "--api-key", SECRETS["argument"]]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "RuntimeError" in done.stderr
    assert SECRETS["github"] in done.stdout  # what the user sees is the user's own
    engine = lab.engine
    assert engine.rows("SELECT status, error LIKE '%[redacted]%' FROM runs") == [("failed", True)]
    assert dict(engine.rows("SELECT key, text FROM params"))["hub.api_key"] == "[redacted]"
    assert engine.rows("SELECT count(*) FROM logs WHERE text LIKE '%[redacted]%'") == [(2,)]
    held = b"".join(path.read_bytes() for path in Path(lab.store.layout.root).rglob("*") if path.is_file())
    assert b"cannot log in" in held
    assert [name for name, value in SECRETS.items() if value.encode() in held] == []
