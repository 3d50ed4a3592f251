"""The scripts of this folder as modules. They also run as programs of their own, so they are no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType


def load(script: str) -> ModuleType:
    name = f"tests.torture.{script}"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{script}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def farm() -> ModuleType:
    return load("farm")


@pytest.fixture(scope="session")
def scenario() -> ModuleType:
    return load("scenario")
