"""Settings of a lab: `mllab.toml`, then ``MLLAB_*`` variables. Each setting is declared once, here."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from mllab.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "mllab.toml"
MAX_BYTES = 1 << 20


def _setting(section: str, default: Any, about: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"section": section, "about": about, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """What `mllab.toml` may say. Read :attr:`sources` for where each value came from."""

    name: str = _setting("lab", "", "The lab's name, shown in front ends; the folder's name when empty.")
    path: str = _setting("store", ".mllab", "The store's folder, relative to mllab.toml.")
    auto_compact: bool = _setting("store", True, "Seal and compact in the background after runs finish.")
    on_error: str = _setting(
        "tracking", "warn", "What a record that cannot be stored does: count and warn, or raise.", ("warn", "raise")
    )
    durability: str = _setting(
        "tracking",
        "process",
        "What a returned log() survives: the process's death at once and power loss within a second, or power loss.",
        ("process", "power"),
    )
    git: bool = _setting("capture", True, "Record commit, branch and the uncommitted diff.")
    environment: bool = _setting("capture", True, "Record Python, packages, host and command line.")
    console: bool = _setting("capture", True, "Record what the run prints.")
    system: bool = _setting("capture", True, "Sample CPU, memory, disk, network and GPU.")
    system_interval_s: float = _setting("capture", 10.0, "Seconds between system samples.")
    sources: Mapping[str, str] = field(default_factory=dict)


def declared() -> list[tuple[str, str, Any, str, tuple[str, ...]]]:
    """Return section, name, default, meaning and choices of every setting."""
    return [
        (f.metadata["section"], f.name, f.default, f.metadata["about"], f.metadata["choices"])
        for f in fields(Settings)
        if f.metadata
    ]


def load(folder: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the lab in ``folder``: defaults, then its file, then the environment.

    Raises:
        ConfigError: a name, type or value is wrong; the message says where it came from.
    """
    environ = os.environ if environ is None else environ
    path = os.path.join(folder, FILE_NAME)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    known = {(section, name): (default, choices) for section, name, default, _, choices in declared()}
    for section, table in _read(path).items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section} is not a section.", f"Write [{section}] and its settings below.")
        for name, value in table.items():
            if (section, name) not in known:
                raise ConfigError(f"{path}: there is no setting {section}.{name}.", _nearest(name, known))
            values[name] = _checked(f"{path}: {section}.{name}", value, *known[section, name])
            sources[name] = path
    for (section, name), (default, choices) in known.items():
        variable = f"MLLAB_{section}_{name}".upper()
        if variable in environ:
            values[name] = _checked(variable, _parse(environ[variable], default), default, choices)
            sources[name] = variable
    return Settings(**values, sources=sources)


def _read(path: str) -> dict[str, Any]:
    if not os.path.exists(path) or sys.version_info < (3, 11):
        # A training image with an old Python writes with the defaults; tomllib came with 3.11.
        return {}
    import tomllib

    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB.", "It should hold a few settings.")
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.", "See docs/reference/settings.md for an example.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error


def _parse(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        return {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }.get(text.strip().lower(), text)
    if isinstance(default, float):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _checked(where: str, value: Any, default: Any, choices: tuple[str, ...]) -> Any:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(default):
        raise ConfigError(f"{where} is {value!r}, not a {type(default).__name__}.", f"The default is {default!r}.")
    if choices and value not in choices:
        raise ConfigError(f"{where} is {value!r}.", f"Choose one of: {', '.join(choices)}.")
    if isinstance(value, float) and not value > 0:
        raise ConfigError(f"{where} is {value!r}, not a positive number.", f"The default is {default!r}.")
    return value


def _nearest(name: str, known: Mapping[tuple[str, str], Any]) -> str:
    from difflib import get_close_matches

    names = [known_name for _, known_name in known]
    close = get_close_matches(name, names, 1)
    return f"Did you mean {close[0]}?" if close else f"Settings: {', '.join(names)}."
