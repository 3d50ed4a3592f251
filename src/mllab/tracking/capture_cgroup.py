"""The limits that a container or a job scheduler sets: control groups of version 2, 1, or both at once (Linux).

Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from mllab.tracking.capture_files import read_number, read_text

# Version 1 writes "no limit" as the largest multiple of the page size in 63 bits.
_NO_LIMIT = 1 << 60


class Place(NamedTuple):
    """Where one controller keeps its files for this process: its own group's folder and the ones above."""

    version: int
    folders: tuple[str, ...]


def find(controller: str, *, proc: str = "/proc/self", root: str = "/sys/fs/cgroup") -> Optional[Place]:
    """Return where ``controller`` (such as ``memory``) limits this process, or None."""
    unified = None
    for line in (read_text(os.path.join(proc, "cgroup")) or "").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller in names.split(","):
            return Place(1, _folders(os.path.join(root, names), os.path.join(root, controller), path))
        if not names:
            unified = path
    if unified is None:
        return None
    return Place(2, _folders(root, os.path.join(root, "unified"), unified))


def cpu_limit(*, proc: str = "/proc/self", root: str = "/sys/fs/cgroup") -> Optional[float]:
    """Return how many CPUs this process may use at once, or None when nothing limits it."""
    place = find("cpu", proc=proc, root=root)
    limits = []
    for folder in place.folders if place is not None else ():
        if place is not None and place.version == 2:
            quota, _, period = (read_text(os.path.join(folder, "cpu.max"), 64) or "").strip().partition(" ")
            if quota.isdigit() and period.isdigit() and int(period):
                limits.append(int(quota) / int(period))
        else:
            quota_us = read_number(os.path.join(folder, "cpu.cfs_quota_us"))
            period_us = read_number(os.path.join(folder, "cpu.cfs_period_us"))
            if quota_us is not None and period_us and quota_us > 0:
                limits.append(quota_us / period_us)
    return min(limits, default=None)


class MemoryGroup:
    """The group that limits this process's memory most, if any; cheap to ask again and again."""

    def __init__(self, *, proc: str = "/proc/self", root: str = "/sys/fs/cgroup") -> None:
        self.limit: Optional[int] = None
        self._usage = self._statistics = ""
        self._reclaimable = "inactive_file "
        place = find("memory", proc=proc, root=root)
        if place is None:
            return
        limit_name, usage_name = ("memory.max", "memory.current")
        if place.version == 1:
            limit_name, usage_name = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            self._reclaimable = "total_inactive_file "
        for folder in place.folders:
            limit = read_number(os.path.join(folder, limit_name))
            if limit is not None and 0 < limit < _NO_LIMIT and (self.limit is None or limit < self.limit):
                self.limit = limit
                self._usage = os.path.join(folder, usage_name)
                self._statistics = os.path.join(folder, "memory.stat")

    def used_bytes(self) -> Optional[int]:
        """Return what counts against the limit, less the file cache that the kernel can drop at once."""
        if self.limit is None:
            return None
        usage = read_number(self._usage)
        if usage is None:
            return None
        for line in (read_text(self._statistics) or "").splitlines():
            if line.startswith(self._reclaimable):
                return max(0, usage - int(line[len(self._reclaimable) :]))
        return usage


def _folders(first: str, second: str, path: str) -> tuple[str, ...]:
    """Return the group's folder and those above it, up to the mount; a container may see only the mount itself."""
    mount = first if os.path.isdir(first) else second
    folders = [mount]
    for part in path.split("/"):
        if part not in ("", ".", ".."):
            folders.append(os.path.join(folders[-1], part))
    return tuple(folder for folder in reversed(folders) if os.path.isdir(folder))
