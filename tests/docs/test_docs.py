"""The docs are true: their code runs, and what they list is what there is."""

from __future__ import annotations

import doctest
import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

import mllab
from mllab import errors
from mllab.config.settings import declared
from mllab.lab import Lab
from mllab.query.relations import PUBLIC_VIEWS
from mllab.query.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


@pytest.fixture
def used_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lab:
    """A lab with a few runs, in force for code that names none."""
    monkeypatch.setenv("MLLAB_LAB", lab.root)
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        with mllab.start_run("digits", f"seed-{seed}", lab=lab, capture=False, params={"lr": 0.1, "seed": seed}) as run:
            for step in range(20):
                run.log({"loss": 1 / (step + 1 + seed), "acc": step / 20}, step=step)
    return lab


# These pages bring tests of their own, which know what their blocks need.
TESTED_ELSEWHERE = {"store-format.md", "filters.md", "write-a-plugin.md", "hooks.md", "autolog-scikit-learn.md"}


@pytest.mark.parametrize(
    "page", [p for p in pages_with("python") if p.name not in TESTED_ELSEWHERE], ids=lambda p: str(p.relative_to(ROOT))
)
def test_python_blocks_of_a_page_run_in_order(page: Path, used_lab: Lab) -> None:
    names: dict[str, object] = {"__name__": "docs"}
    for number, body in enumerate(blocks(page, "python")):
        exec(compile(body, f"{page.name}[{number}]", "exec"), names)


@pytest.mark.parametrize(
    "page", [p for p in pages_with("sql") if p.name not in TESTED_ELSEWHERE], ids=lambda p: str(p.relative_to(ROOT))
)
def test_sql_blocks_run(page: Path, used_lab: Lab) -> None:
    for body in blocks(page, "sql"):
        Sandbox(used_lab.store).run(body, lambda result: result.fetchall())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target


def test_every_view_and_column_is_documented(used_lab: Lab) -> None:
    text = (ROOT / "docs/reference/sql.md").read_text(encoding="utf-8")
    sections = {part.split("\n", 1)[0].strip(): part for part in text.split("\n## ")[1:]}
    for view in PUBLIC_VIEWS:
        described = Sandbox(used_lab.store).run(f"DESCRIBE {view}", lambda result: result.fetchall())
        columns = [(name, "TIMESTAMPTZ" if "TIME ZONE" in kind else kind) for name, kind, *_ in described]
        rows = re.findall(r"^\| (\w+) \| ([A-Z]+) \|", sections[view], re.MULTILINE)
        assert rows == columns, view


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\w+) \| `(.+?)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(section, name, json.dumps(default), about) for section, name, default, about, _ in declared()]


def test_every_error_code_is_documented() -> None:
    text = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    codes = set(re.findall(r"""code\s*=\s*"([A-Z]+-\d{3})\"""", source))
    assert codes
    assert set(re.findall(r"^\| ([A-Z]+-\d{3}) \|", text, re.MULTILINE)) == codes


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"(?:[│├└─ ]*)(\w+)(?:  |$)", errors.__doc__, re.MULTILINE)
    defined = [
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.MllabError)
    ]
    assert set(defined) <= set(drawn)


def test_public_names_have_docstrings_with_examples_that_run(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLLAB_LAB", lab.root)
    with mllab.start_run("tests", "sample", lab=lab, capture=False) as run:
        run.log({"loss": 0.1})
        fixtures = {"run": run, "lab": lab}
        finder = doctest.DocTestFinder()
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        examples = 0
        names = [
            "mllab",
            "mllab.tracking.run",
            "mllab.tracking.start",
            "mllab.query.api",
            "mllab.query.decimate",
            "mllab.ids",
            "mllab.store.values",
        ]
        for name in names:
            for test in finder.find(
                importlib.import_module(name), name, extraglobs={"getfixture": fixtures.__getitem__, "np": np}
            ):
                examples += len(test.examples)
                assert runner.run(test).failed == 0, test.name
        assert examples > 10
    for name in mllab.__all__:
        assert name == "__version__" or getattr(mllab, name).__doc__, name
