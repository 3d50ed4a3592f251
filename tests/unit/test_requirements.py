"""The lower bounds in pyproject.toml are ones that can be installed."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def lowest(requirements: list[str], name: str) -> tuple[int, ...]:
    """Return the version that the one requirement of ``name`` begins at."""
    (requirement,) = (text for text in requirements if re.match(rf"{name}\b", text))
    found = re.search(r">=([\d.]+)", requirement)
    assert found, requirement
    version = [int(number) for number in found[1].split(".")]
    return tuple(version + [0] * (3 - len(version)))


def test_rich_is_one_that_textual_takes() -> None:
    ours = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    assert lowest(ours, "rich") >= lowest(requires("textual") or [], "rich")
