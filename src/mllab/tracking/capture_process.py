"""Runs a short command whose output is wanted now or not at all. Never raises."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_STDERR = 4096
_CHUNK = 1 << 16


class Output(NamedTuple):
    """What a command printed. ``problem`` says why that is not the whole truth; ``stdout`` may be useful anyway."""

    stdout: bytes
    problem: Optional[str] = None
    is_truncated: bool = False


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    limit: int = 1 << 20,
    cwd: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
) -> Output:
    """Run ``argv`` without a shell and return at most ``limit`` bytes of its output.

    A command that takes longer, or prints more, is killed with everything that it started.
    """
    name = os.path.basename(argv[0])
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=None if env is None else dict(env),
            start_new_session=True,  # a group of its own: its helpers can be killed too, and Ctrl-C does not reach it
        )
    except FileNotFoundError:
        missing = f"the folder {cwd} does not exist" if cwd and not os.path.isdir(cwd) else f"{name} is not installed"
        return Output(b"", missing)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Output(b"", f"{name} does not start: {error}")
    try:
        stdout, stderr, is_truncated, is_late = _read(process, time.monotonic() + timeout_s, limit)
        if not (is_late or is_truncated):
            try:
                # Both pipes are at their end; a command that lingers beyond that is as good as hung.
                code = process.wait(timeout=max(0.1, timeout_s))
            except subprocess.TimeoutExpired:
                is_late = True
    finally:
        _end(process)
    if is_late:
        return Output(stdout, f"{name} took longer than {timeout_s:.3g} s", True)
    if is_truncated:
        return Output(stdout, None, True)
    if code != 0:
        lines = stderr.decode("utf-8", "replace").strip().splitlines()
        return Output(stdout, f"{name} failed ({code}): {lines[0][:300] if lines else 'no reason given'}")
    return Output(stdout)


def _read(process: subprocess.Popen[bytes], deadline: float, limit: int) -> tuple[bytes, bytes, bool, bool]:
    """Read both pipes to their end, the deadline or the limit: (stdout, stderr, is truncated, is late)."""
    stdout, stderr = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        assert process.stdout is not None
        assert process.stderr is not None
        selector.register(process.stdout, selectors.EVENT_READ, stdout)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                if left <= 0:
                    return bytes(stdout), bytes(stderr), False, True
                continue
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                key.data.extend(chunk)
            if len(stdout) > limit:
                return bytes(stdout[:limit]), bytes(stderr), True, False
            del stderr[MAX_STDERR:]
    return bytes(stdout), bytes(stderr), False, False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the command's group, close the pipes and reap it."""
    if process.returncode is None:
        # Not reaped, so the id cannot belong to anybody else by now.
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
