"""The page lists every public name, argument and method, under its own signature."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import mllab

PAGE = (Path(__file__).parents[2] / "docs/reference/python-api.md").read_text(encoding="utf-8")


def test_every_public_name_is_there() -> None:
    for name in mllab.__all__:
        assert name == "__version__" or f"mllab.{name}" in PAGE or f"## {name}" in PAGE, name


def test_every_method_of_run_is_there_with_its_arguments() -> None:
    rows = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", PAGE, re.MULTILINE))
    inside = {"begin", "tick", "continue_from"}
    for name, method in inspect.getmembers(mllab.Run, inspect.isfunction):
        if name.startswith("_") or name in inside:
            continue
        arguments = [argument for argument in inspect.signature(method).parameters if argument != "self"]
        assert re.findall(r"(\w+)(?==|,|$)", re.sub(r"=[^,]*", "=", rows[name])) == arguments, name


def test_signatures_of_functions_are_current() -> None:
    text = " ".join(PAGE.split())
    for name in ("start_run", "runs", "metrics", "sql"):
        shown = re.search(rf"`(?:mllab\.)?{name}\((.*?)\)`", text)
        assert shown is not None, name
        arguments = list(inspect.signature(getattr(mllab, name)).parameters)
        assert re.findall(r"(\w+)=", shown[1].replace("(None, None)", "None")) == [
            a for a in arguments if f"{a}=" in shown[1]
        ]
        assert all(argument in shown[1] for argument in arguments), name
