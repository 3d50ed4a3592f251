"""Names and folders of a store, its FORMAT file, and what a store refuses to live on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import uuid
from typing import TYPE_CHECKING, Optional

from mllab.errors import NotFoundError, StoreCorrupt, StoreError, StoreTooNew
from mllab.ids import is_run_id
from mllab.store.fs import translate_os_errors

if TYPE_CHECKING:
    from mllab.store.fs import Disk

FORMAT = 1
SEGMENT_NAME = re.compile(r"([0-9a-hjkmnp-tv-z]{26})-([0-9]{6})\.seg\Z")
COMMIT_NAME = re.compile(r"[0-9]{20}\.json\Z")
PART_NAME = re.compile(r"[a-z]+-[0-9a-f]{24}\.parquet\Z")
DIGEST = re.compile(r"[0-9a-f]{64}\Z")
RESERVE_BYTES = 1 << 20
_NETWORK_TYPES = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "glusterfs", "drvfs", "webdav"}


class Layout:
    """Paths inside one store. Holds no state but the root."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.format_file = os.path.join(self.root, "FORMAT")
        self.runs = os.path.join(self.root, "runs")
        self.manifests = os.path.join(self.root, "manifest")
        self.parts = os.path.join(self.root, "parts")
        self.blobs = os.path.join(self.root, "blobs", "sha256")
        self.catalog = os.path.join(self.root, "catalog")
        self.trash = os.path.join(self.root, "trash")
        self.cache = os.path.join(self.root, "cache")
        self.lease = os.path.join(self.root, "lease")
        self.reserve = os.path.join(self.root, "reserve")

    def run_folder(self, run_id: str) -> str:
        """Return the folder of a run that has records which are not sealed yet."""
        return os.path.join(self.runs, run_id)

    def part(self, name: str) -> str:
        """Return the path of a part; ``name`` comes from a manifest and is checked."""
        if not PART_NAME.match(name):
            raise StoreCorrupt(
                f"A manifest names the part {name[:80]!r}, which is no part name.", "Run `mllab store verify`."
            )
        return os.path.join(self.parts, name)

    def blob(self, digest: str) -> str:
        """Return the path of a blob by its sha256 in hex."""
        if not DIGEST.match(digest):
            raise StoreCorrupt(f"{digest[:80]!r} is no sha256 digest.", "Run `mllab store verify`.")
        return os.path.join(self.blobs, digest[:2], digest)

    def commits(self, folder: str) -> list[str]:
        """Return the commit files of a folder, oldest first; anything else in it is ignored."""
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if COMMIT_NAME.match(name))

    def open_run_ids(self) -> list[str]:
        """Return the ids of runs that have a folder of segments, oldest first."""
        try:
            names = os.listdir(self.runs)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if is_run_id(name))

    def segment_names(self, run_id: str) -> list[str]:
        """Return the names of a run's segments, sorted by writer, then number.

        None of a folder that may not be read: what a container left as root must not hide the lab. Verify names it.
        """
        try:
            names = os.listdir(self.run_folder(run_id))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []
        return sorted(name for name in names if SEGMENT_NAME.match(name))

    def create(self, disk: Disk, *, allow_network: bool = False) -> None:
        """Make an empty store; does nothing when there is one."""
        if os.path.exists(self.format_file):
            self.check_format()
            return
        with translate_os_errors(f"the store {self.root}"):
            self._create(disk, allow_network=allow_network)

    def _create(self, disk: Disk, *, allow_network: bool) -> None:
        disk.mkdir(self.root)
        kind = network_file_system(self.root)
        if kind and not allow_network:
            raise StoreError(
                f"{self.root} is on a {kind} file system, where locks and appends cannot be trusted.",
                "Put the lab on a local disk, or pass --allow-network-fs to use it from one host only.",
                code="STORE-006",
            )
        for folder in (self.runs, self.manifests, self.parts, self.blobs, self.catalog, self.trash):
            disk.mkdir(folder)
        ignore = os.path.join(self.root, ".gitignore")
        if not os.path.exists(ignore):
            # A store inside a repository is data, not source.
            disk.put_temp(ignore, b"*\n")
        if not os.path.exists(self.reserve):
            with contextlib.suppress(OSError):  # where there is no room for it, a store can still be
                disk.put_temp(self.reserve, b"\0" * RESERVE_BYTES)
        content = json.dumps({"format": FORMAT, "min_reader": FORMAT, "store_id": uuid.uuid4().hex}) + "\n"
        disk.put_if_absent(self.format_file, content.encode())

    def check_format(self) -> dict[str, object]:
        """Return the FORMAT file's content, or raise for a store this version must not touch."""
        try:
            with open(self.format_file, "rb") as file:
                content = json.loads(file.read(65536))
            written, needed = int(content["format"]), int(content["min_reader"])
        except PermissionError:
            raise StoreError(
                f"{self.format_file} may not be read by this user.", "Choose another lab with --lab DIR or MLLAB_LAB."
            ) from None
        except FileNotFoundError:
            raise NotFoundError(f"There is no store in {self.root}.", "Run `mllab init` to make one.") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StoreCorrupt(
                f"{self.format_file} is not readable as a FORMAT file: {error}.",
                "Copy the FORMAT file of another store of the same version here, then run `mllab store verify`.",
            ) from error
        if needed > FORMAT:
            raise StoreTooNew(
                f"The store in {self.root} has format {written}; this mllab reads up to {FORMAT}.",
                "Upgrade mllab: pip install -U mllab",
            )
        result: dict[str, object] = content
        return result


def regular_file_size(path: str) -> Optional[int]:
    """Return a regular file's size without following a link; None for anything else."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def network_file_system(path: str) -> Optional[str]:
    """Return the type of a file system that is not local, or None. Linux only; elsewhere None."""
    if not sys.platform.startswith("linux"):
        return None
    path = os.path.realpath(path)
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.split(" ")
                point = fields[1].replace("\\040", " ")
                if len(point) >= len(best) and (path == point or path.startswith(point.rstrip("/") + "/")):
                    best, kind = point, fields[2]
    except OSError:
        return None
    return kind if kind in _NETWORK_TYPES or kind.startswith("fuse.") else None
