"""What the process is: interpreter, command line, packages, host, container and the few variables that matter."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import re
import shlex
import socket
import sys
from typing import Any, Optional

from mllab.security.redaction import Redactor
from mllab.tracking.capture_files import read_bytes, read_text

MAX_COMMAND = 32 << 10
MAX_VALUE = 1000
MAX_SCRIPT_BYTES = 16 << 20

# Never the whole environment: it is where secrets live.
_NAMES = """
    CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_LAUNCH_BLOCKING HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES
    NVIDIA_VISIBLE_DEVICES CUBLAS_WORKSPACE_CONFIG NVIDIA_TF32_OVERRIDE TF_DETERMINISTIC_OPS PYTORCH_CUDA_ALLOC_CONF
    XLA_FLAGS JAX_PLATFORMS WORLD_SIZE LOCAL_WORLD_SIZE RANK LOCAL_RANK GROUP_RANK NODE_RANK MASTER_ADDR MASTER_PORT
    OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_RANK PMI_SIZE PMI_RANK OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS
    NUMEXPR_NUM_THREADS TOKENIZERS_PARALLELISM PYTHONHASHSEED CONDA_DEFAULT_ENV VIRTUAL_ENV PBS_JOBID LSB_JOBID
    LANG TZ
"""
_VARIABLES = frozenset(_NAMES.split())
_PREFIXES = ("SLURM_",)
_CGROUP_RUNTIMES = (("kubepods", "kubernetes"), ("docker", "docker"), ("libpod", "podman"), ("lxc", "lxc"))
_DIST_INFO = re.compile(r"(?P<name>[A-Za-z0-9].*?)-(?P<version>\d[^-]*)(?:-py\d[\d.]*)?\.(?:dist|egg)-info")


def snapshot() -> dict[str, Any]:
    """Return the facts as JSON data, without secrets; never raises. Takes about a millisecond a hundred packages."""
    redactor = Redactor()
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "command": command_line(redactor),
        "interface": _interface(),
        "cwd": _cwd(),
        "script": _script(),
        "host": socket.gethostname(),
        "user": _user(),
        "pid": os.getpid(),
        "container": container(),
        "variables": _variables(redactor),
        "packages": packages(),
    }


def packages() -> dict[str, str]:
    """Return the installed packages that this process can import: normal name to version, sorted.

    Read from the names of the metadata folders, not from the files in them: that is a hundred times faster than
    ``importlib.metadata``, which takes half a millisecond a package.
    """
    return {name: version for name, (version, _) in sorted(_distributions().items())}


def lock_text() -> str:
    """Return one line a package, as ``pip freeze`` writes them: sorted, with the origin of what is from no index."""
    redactor = Redactor()
    lines = []
    for name, (version, folder) in sorted(_distributions().items()):
        origin = read_text(os.path.join(folder, "direct_url.json"), 1 << 16)
        line = None if origin is None else _from_origin(name, version, origin)
        lines.append(f"{name}=={version}" if line is None else redactor.text(line))
    return "".join(f"{line}\n" for line in lines)


def command_line(redactor: Redactor) -> str:
    """Return how the process was started, quoted for a shell."""
    argv = getattr(sys, "orig_argv", None) or [sys.executable, *getattr(sys, "argv", ())]
    room = MAX_COMMAND
    kept = []
    for argument in argv:
        room -= len(argument) + 1
        if room < 0:  # ten thousand files by a glob: their names would take long to look through
            kept.append("...")
            break
        kept.append(str(argument))
    return shlex.join(redactor.argv(kept))


def container() -> Optional[str]:
    """Return the kind of container this process runs in, or None."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    if os.path.exists("/run/.containerenv"):
        return "podman"
    if os.path.exists("/.dockerenv"):
        return "docker"
    if "APPTAINER_CONTAINER" in os.environ or "SINGULARITY_CONTAINER" in os.environ:
        return "apptainer"
    groups = read_text("/proc/1/cgroup") or ""
    for mark, runtime in _CGROUP_RUNTIMES:
        if mark in groups:
            return runtime
    return os.environ.get("container") or None  # noqa: SIM112  # systemd-nspawn and others spell it so


def _distributions() -> dict[str, tuple[str, str]]:
    """Return normal name -> (version, metadata folder). The first on the path is the one that is imported."""
    found: dict[str, tuple[str, str]] = {}
    for entry in list(sys.path):
        try:
            names = os.listdir(entry or ".")
        except OSError:  # a zip archive, or a folder that is gone
            continue
        for name in names:
            if not name.endswith("-info"):
                continue
            match = _DIST_INFO.fullmatch(name)
            folder = os.path.join(entry, name)
            if match is not None:
                found.setdefault(_normal(match["name"]), (match["version"], folder))
            elif name.endswith(".egg-info"):
                # `setup.py develop` leaves a folder without a version in the source tree.
                version = re.search(r"(?m)^Version: *(\S+)", read_text(os.path.join(folder, "PKG-INFO")) or "")
                if version is not None:
                    found.setdefault(_normal(name[: -len(".egg-info")]), (version[1], folder))
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _from_origin(name: str, version: str, text: str) -> Optional[str]:
    """Return the line for a package with a ``direct_url.json`` (Source: packaging.python.org, Direct URL)."""
    try:
        origin = json.loads(text)
        url = str(origin["url"])
        if "vcs_info" in origin:
            vcs = origin["vcs_info"]
            line = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
            if origin.get("subdirectory"):
                line += f"#subdirectory={origin['subdirectory']}"
            return f"{name} @ {line}"
        if origin.get("dir_info", {}).get("editable"):
            return f"-e {url}  # {name}=={version}"
        digest = origin.get("archive_info", {}).get("hash", "")
        return f"{name} @ {url}" + (f"#{digest}" if digest else "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _interface() -> str:
    """Say how Python was started: as a script, a module, a notebook, or by hand."""
    if "ipykernel" in sys.modules:
        return "notebook"
    main = sys.modules.get("__main__")
    if getattr(main, "__file__", None) is None:
        return "interactive" if hasattr(sys, "ps1") else "command"
    spec = getattr(main, "__spec__", None)
    return "script" if spec is None else "module"


def _script() -> Optional[dict[str, Any]]:
    """Return the file that Python runs and the sha256 of its bytes."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(path, str):
        return None
    data = read_bytes(path, MAX_SCRIPT_BYTES + 1)
    is_whole = data is not None and len(data) <= MAX_SCRIPT_BYTES
    digest = hashlib.sha256(data).hexdigest() if data is not None and is_whole else None
    return {"path": os.path.abspath(path), "sha256": digest}


def _cwd() -> Optional[str]:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # an id without a name, as in containers
        return str(os.getuid())


def _variables(redactor: Redactor) -> dict[str, str]:
    chosen = {
        name: value[:MAX_VALUE]
        for name, value in sorted(os.environ.items())
        if name in _VARIABLES or name.startswith(_PREFIXES)
    }
    redacted: dict[str, str] = redactor.value(chosen)
    return redacted
