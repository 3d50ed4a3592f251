"""What the machine is: CPU, memory, disk and GPUs, and what a container leaves of them. Never raises."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from typing import Any, Optional

from mllab.tracking import capture_cgroup
from mllab.tracking.capture_files import read_text
from mllab.tracking.capture_gpu import Nvml
from mllab.tracking.capture_process import run

TIMEOUT_S = 2.0
MAX_CPU_INFO = 4 << 20
_QUERY = ("index", "name", "uuid", "memory.total", "driver_version")


def snapshot(path: str = ".") -> dict[str, Any]:
    """Return the facts as JSON data; what cannot be told is None. Takes about 1 ms without a GPU.

    Args:
        path: the disk that holds this is the one described.
    """
    model, physical = _cpu()
    gpus = _gpus()
    return {
        "cpu": model,
        "cpu_physical": physical,
        "cpu_logical": os.cpu_count(),
        "cpu_available": _available_cpus(),
        "cpu_limit": capture_cgroup.cpu_limit(),
        "architecture": platform.machine(),
        "memory_bytes": _memory(),
        "memory_limit_bytes": capture_cgroup.MemoryGroup().limit,
        "disk": _disk(path),
        "gpus": gpus,
        "cuda": _cuda() if gpus else None,
    }


def _cpu() -> tuple[Optional[str], Optional[int]]:
    """Return the model and the number of physical cores."""
    if sys.platform == "darwin":
        output = run(["sysctl", "-n", "machdep.cpu.brand_string", "hw.physicalcpu"], timeout_s=TIMEOUT_S).stdout
        model, _, count = output.decode("utf-8", "replace").strip().partition("\n")
        return model or None, int(count) if count.isdigit() else None
    # Not platform.processor(): that starts a process.
    return cpu_info(read_text("/proc/cpuinfo", MAX_CPU_INFO) or "")


def cpu_info(text: str) -> tuple[Optional[str], Optional[int]]:
    """Return model and number of physical cores from the text of ``/proc/cpuinfo``."""
    model: Optional[str] = None
    cores: set[tuple[str, str]] = set()
    package = ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if name in ("model name", "Model", "cpu model") and model is None:  # x86, ARM boards, MIPS
            model = value
        elif name == "physical id":
            package = value
        elif name == "core id":
            cores.add((package, value))
    return model, len(cores) or None


def _available_cpus() -> Optional[int]:
    """Return how many CPUs the scheduler may put this process on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return os.cpu_count() if affinity is None else len(affinity(0))


def _memory() -> Optional[int]:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _disk(path: str) -> Optional[dict[str, int]]:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return {"total_bytes": usage.total, "free_bytes": usage.free}


def _gpus() -> list[dict[str, Any]]:
    """Return the NVIDIA GPUs; a driver that hangs costs two seconds in a process of its own."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    output = run([tool, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"], timeout_s=TIMEOUT_S)
    if output.problem is not None:
        return []
    gpus = []
    for line in output.stdout.decode("utf-8", "replace").splitlines():
        fields = [value.strip() for value in line.split(",")]
        if len(fields) != len(_QUERY):
            continue
        index, name, uuid, memory_mib, driver = fields
        gpus.append(
            {
                "index": int(index) if index.isdigit() else None,
                "name": name,
                "uuid": uuid,
                "memory_bytes": int(memory_mib) << 20 if memory_mib.isdigit() else None,
                "driver": driver,
            }
        )
    return gpus


def _cuda() -> Optional[str]:
    """Return the newest CUDA version that the driver takes."""
    library = Nvml.open()
    return None if library is None else library.cuda_version()
