"""The trash: what gc took lies here for a while, in a folder for each sweep, and can be put back."""

from __future__ import annotations

import contextlib
import os
import re
import time
from calendar import timegm
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mllab.store.fs import translate_os_errors
from mllab.store.layout import DIGEST, regular_file_size
from mllab.store.lease import lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout

_DATED = re.compile(r"[0-9]{8}T[0-9]{6}Z\Z")
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class TrashedBlob:
    """A blob in the trash and when it got there (UTC seconds)."""

    digest: str
    path: str
    size: int
    since_s: int


def trashed_blobs(layout: Layout) -> Iterator[TrashedBlob]:
    """Yield every blob in the trash, the latest sweep first."""
    try:
        dates = sorted((name for name in os.listdir(layout.trash) if _DATED.match(name)), reverse=True)
    except FileNotFoundError:
        return
    for date in dates:
        folder = os.path.join(layout.trash, date, "blobs")
        with contextlib.suppress(ValueError, FileNotFoundError, NotADirectoryError):
            since_s = timegm(time.strptime(date, _DATE_FORMAT))
            for digest in sorted(filter(DIGEST.match, os.listdir(folder))):
                path = os.path.join(folder, digest)
                size = regular_file_size(path)
                if size is not None:
                    yield TrashedBlob(digest, path, size, since_s)


def new_folder(layout: Layout) -> str:
    """Return the folder for the blobs of a sweep that begins now."""
    return os.path.join(layout.trash, time.strftime(_DATE_FORMAT, time.gmtime()), "blobs")


def throw_away(
    layout: Layout, disk: Disk, digest: str, folder: str, is_wanted: Callable[[os.stat_result], bool]
) -> bool:
    """Move a blob into a folder of the trash; return False when it turned out to be wanted and stayed.

    Args:
        layout: the store.
        disk: its disk.
        digest: the blob.
        folder: see :func:`new_folder`.
        is_wanted: asked once the blob is out of reach: only then can nobody refresh its time any more.
    """
    target, path = os.path.join(folder, digest), layout.blob(digest)
    with translate_os_errors("the trash"):
        disk.mkdir(folder)
        disk.point("before_trash_rename")
        try:
            disk.rename(path, target)
        except FileNotFoundError:
            return False
        disk.point("after_trash_rename")
        if is_wanted(os.lstat(target)):
            _move_back(layout, disk, digest, target)
            return False
        disk.sync_folder(folder)
    return True


def put_back(layout: Layout, disk: Disk, wanted: Callable[[str], bool]) -> list[TrashedBlob]:
    """Move blobs from the trash back to where they were; return those moved. The caller holds the lease."""
    moved: dict[str, TrashedBlob] = {}
    with translate_os_errors("a blob from the trash"):
        for blob in trashed_blobs(layout):
            if blob.digest not in moved and wanted(blob.digest) and not os.path.lexists(layout.blob(blob.digest)):
                # The grace starts again: what was wanted back must not be swept at once.
                os.utime(blob.path)
                _move_back(layout, disk, blob.digest, blob.path)
                moved[blob.digest] = blob
    _remove_empty(layout)
    return list(moved.values())


def restore_trash(layout: Layout, disk: Disk, *, wait: bool = False) -> list[TrashedBlob]:
    """Undo what gc swept and has not purged; return the blobs that are back.

    Raises:
        StoreBusy: another process works on the store and ``wait`` is false.
    """
    with lease(layout, wait=wait):
        return put_back(layout, disk, lambda _: True)


def empty_trash(layout: Layout, disk: Disk, older_than_s: float, *, apply: bool) -> list[TrashedBlob]:
    """Remove for good the blobs swept at least so long ago; return them. With ``apply`` false only look."""
    now = time.time()
    due = [blob for blob in trashed_blobs(layout) if now - blob.since_s >= older_than_s]
    if apply:
        with translate_os_errors("the trash"):
            for blob in due:
                disk.point("before_purge_unlink")
                with contextlib.suppress(FileNotFoundError):
                    disk.unlink(blob.path)
        _remove_empty(layout)
    return due


def tree_bytes(root: str) -> int:
    """Return the size of all regular files below a folder; links are not followed."""
    return sum(
        regular_file_size(os.path.join(parent, name)) or 0 for parent, _, names in os.walk(root) for name in names
    )


def _move_back(layout: Layout, disk: Disk, digest: str, path: str) -> None:
    target = layout.blob(digest)
    disk.mkdir(os.path.dirname(target))
    disk.rename(path, target)
    disk.sync_folder(os.path.dirname(target))


def _remove_empty(layout: Layout) -> None:
    """Remove the folders of sweeps of which nothing is left."""
    for name in filter(_DATED.match, os.listdir(layout.trash) if os.path.isdir(layout.trash) else ()):
        for folder in (os.path.join(layout.trash, name, "blobs"), os.path.join(layout.trash, name)):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
