"""The checks of `mllab doctor` that look outside the lab: Docker, the cluster, remotes and the terminal."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from mllab.cli.checks import Check, present
from mllab.cli.screen import can_show_unicode, is_tty

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 3.0
_SOCKET = "/var/run/docker.sock"


def docker_checks() -> Iterator[Check]:
    """Check for a Docker engine that answers: by its socket, or through the docker command."""
    host = os.environ.get("DOCKER_HOST", "")
    path = host.removeprefix("unix://") if host.startswith("unix://") else _SOCKET
    remedy = "Start Docker to run steps in containers; until then they run in processes, without isolation."
    if host and not host.startswith("unix://"):
        yield _docker_command(f"DOCKER_HOST is {host}")
        return
    if not os.path.exists(path):
        if present("docker"):
            yield _docker_command(f"no socket at {path}")
        else:
            yield Check("docker", "engine", "lack", f"no socket at {path}, no docker command", remedy)
        return
    try:
        version = docker_version(path)
    except PermissionError:
        yield Check(
            "docker",
            "engine",
            "lack",
            f"{path} may not be used by you",
            "Use rootless Docker or Podman: the group docker is root.",
        )
    except (OSError, ValueError) as error:
        yield Check("docker", "engine", "lack", f"{path} does not answer: {error}", remedy)
    else:
        yield Check(
            "docker", "engine", "ok", f"{version.get('Version', '?')}, API {version.get('ApiVersion', '?')}, {path}"
        )
        if os.name == "posix" and os.geteuid() != 0 and os.access(path, os.W_OK) and os.stat(path).st_uid == 0:
            yield Check(
                "docker",
                "rights",
                "info",
                "you may use the root engine, which is as good as root",
                "Rootless Docker takes that away.",
            )


def docker_version(path: str) -> dict[str, Any]:
    """Ask the engine behind a Unix socket for its version.

    Raises:
        OSError: nobody answers.
        ValueError: the answer is none of Docker's.
    """
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(path)
        connection.sendall(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n")
        answer = b""
        while len(answer) < 1 << 20 and (chunk := connection.recv(65536)):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)
    if len(status) < 2 or status[1] != b"200":
        raise ValueError(head[:80].decode("utf-8", "replace") or "an empty answer")
    found = json.loads(body[body.find(b"{") : body.rfind(b"}") + 1])
    if not isinstance(found, dict):
        raise ValueError("an answer that is no version")  # noqa: TRY004  # of the server, not of the caller
    return found


def _docker_command(why: str) -> Check:
    found, problem = _output(["docker", "version", "--format", "{{.Server.Version}}"])
    if found:
        return Check("docker", "engine", "ok", f"{found} ({why})")
    return Check(
        "docker", "engine", "lack", f"{why}; docker version: {problem}", "Start Docker, or correct DOCKER_HOST."
    )


def _output(argv: list[str]) -> tuple[str, str]:
    """Return what a command prints, or an empty text and why there is none."""
    import subprocess

    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=2 * TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return "", str(error)
    return done.stdout.strip()[:200] if not done.returncode else "", (
        done.stderr.strip() or f"status {done.returncode}"
    )[-200:]


def cluster_checks() -> Iterator[Check]:
    """Check for a kubeconfig and the context it names."""
    paths = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    paths = paths or [os.path.expanduser("~/.kube/config")]
    there = [path for path in paths if os.path.isfile(path)]
    if not there:
        yield Check(
            "cluster", "kubeconfig", "info", f"none ({', '.join(paths)})", "Needed to run steps on Kubernetes only."
        )
        return
    yield Check("cluster", "kubeconfig", "ok", ", ".join(there))
    if not present("kubectl"):
        yield Check("cluster", "context", "info", "unknown: there is no kubectl command")
        return
    context, problem = _output(["kubectl", "config", "current-context"])
    if context:
        yield Check("cluster", "context", "ok", context)
    else:
        yield Check("cluster", "context", "lack", problem, "kubectl config use-context NAME")


def remote_checks() -> Iterator[Check]:
    """Say which MLflow servers are configured."""
    yield Check("remotes", "mllab.toml", "info", "no remote is configured", "A lab works without; syncing needs one.")


def terminal_checks() -> Iterator[Check]:
    """Check what the terminal can show."""
    environ = os.environ
    if not is_tty(sys.stdout):
        yield Check("terminal", "output", "info", "no terminal: plain text, nothing cut")
    size = shutil.get_terminal_size()
    width = f"{size.columns} x {size.lines}"
    if size.columns < 80 or size.lines < 24:
        yield Check("terminal", "size", "lack", width, "Tables leave columns out below 80 columns.")
    else:
        yield Check("terminal", "size", "ok", width)
    yield _color(environ.get("TERM", ""), environ.get("COLORTERM", ""))
    if can_show_unicode(sys.stdout):
        yield Check("terminal", "characters", "ok", f"{getattr(sys.stdout, 'encoding', '?')}")
    else:
        yield Check(
            "terminal",
            "characters",
            "lack",
            f"{getattr(sys.stdout, 'encoding', '?')}: stand-ins in ASCII",
            "Set LANG=C.UTF-8 or another UTF-8 locale.",
        )
    inside = [
        name
        for name, is_so in (
            ("tmux", environ.get("TMUX")),
            ("screen", environ.get("STY")),
            ("ssh", environ.get("SSH_CONNECTION")),
        )
        if is_so
    ]
    yield Check("terminal", "inside", "info", ", ".join(inside) or "neither tmux nor ssh")


def _color(term: str, colorterm: str) -> Check:
    named = f"TERM={term or 'not set'}" + (f", COLORTERM={colorterm}" if colorterm else "")
    if os.environ.get("NO_COLOR"):
        return Check("terminal", "colours", "info", f"off by NO_COLOR ({named})")
    if term in ("", "dumb"):
        return Check("terminal", "colours", "lack", named, "Set TERM, for example to xterm-256color.")
    if colorterm in ("truecolor", "24bit") or "direct" in term:
        return Check("terminal", "colours", "ok", f"16 million ({named})")
    count = "256" if "256" in term else "16"
    return Check(
        "terminal",
        "colours",
        "ok",
        f"{count} ({named})",
        "Set COLORTERM=truecolor where the terminal can: ssh drops it." if os.environ.get("SSH_CONNECTION") else None,
    )
