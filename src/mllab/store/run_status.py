"""The states of a run."""

from __future__ import annotations

RUNNING, FINISHED, FAILED, KILLED, LOST = "running", "finished", "failed", "killed", "lost"
ENDED = (FINISHED, FAILED, KILLED)
