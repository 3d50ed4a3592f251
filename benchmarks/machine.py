"""What the figures depend on: the machine, its disk, and the versions of everybody."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("mllab", "duckdb", "pyarrow", "polars", "numpy", "trackio", "mlflow", "wandb")
DISK_BYTES = 256 << 20


def facts(work: str) -> dict[str, Any]:
    """Return facts about this machine and the disk that ``work`` is on."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "file_system": _file_system(work),
        "disk_write_mb_s": round(disk_write_rate(work) / 1e6),
        "load_before": round(os.getloadavg()[0], 2),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def disk_write_rate(folder: str) -> float:
    """Return bytes a second of writing 256 MiB in pieces of 1 MiB and waiting for the device, as dd does."""
    path = os.path.join(folder, "disk-test.tmp")
    block = os.urandom(1 << 20)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        began = time.perf_counter()
        for _ in range(DISK_BYTES >> 20):
            os.write(fd, block)
        os.fsync(fd)
        return DISK_BYTES / (time.perf_counter() - began)
    finally:
        os.close(fd)
        os.unlink(path)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _file_system(path: str) -> str:
    if not sys.platform.startswith("linux"):
        return "unknown"
    path = os.path.realpath(path)
    best, kind = "", "unknown"
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            point, found = line.split(" ")[1:3]
            if len(point) >= len(best) and (path == point or path.startswith(point.rstrip("/") + "/")):
                best, kind = point, found
    return kind
