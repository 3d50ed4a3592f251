"""Every hook and every part of its contract has its place in docs/reference/hooks.md, and nothing else has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from mllab.plugins import hookspecs
from mllab.plugins.manager import BUILT_IN, DISABLE, GROUP

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")
HOOKS = {name: value for name, value in vars(hookspecs).items() if name.startswith("mllab_")}


def section(title: str) -> str:
    """Return the text below a heading of level 2 or 3."""
    found = re.search(rf"^###? `{re.escape(title)}`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference/hooks.md has no heading for {title}"
    return found[1]


def test_each_hook_has_a_section_with_its_arguments() -> None:
    assert HOOKS
    for name, hook in HOOKS.items():
        arguments = ", ".join(inspect.signature(hook).parameters)
        assert section(f"{name}({arguments})").strip()


def test_no_hook_is_made_up() -> None:
    assert set(re.findall(r"\bmllab_[a-z_]+(?=\()", PAGE)) == set(HOOKS)


def test_what_hooks_return_is_described() -> None:
    for contract in (hookspecs.Autologger, hookspecs.ModelWriter):
        text = section(contract.__name__)
        for name in contract.__annotations__:
            assert f"`{name}`" in text, f"{contract.__name__}.{name} is not described"


def test_the_rest_of_the_machinery_is_described() -> None:
    assert DISABLE in PAGE
    assert f"[project.entry-points.{GROUP}]" in PAGE
    for name in BUILT_IN:
        assert f"| `{name}` |" in PAGE
