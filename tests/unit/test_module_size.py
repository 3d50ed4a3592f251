"""A module holds one noun: past 600 lines there is a second."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for folder in ("src", "plugins", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py"))


def test_modules_have_at_most_600_lines() -> None:
    long = {str(p): n for p in MODULES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 600}
    assert MODULES
    assert not long
