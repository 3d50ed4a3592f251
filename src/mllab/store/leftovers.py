"""Leftovers: temporary files of writers that died, and checkpoints that later ones replace."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from mllab.store.catalog import checkpoint_numbers
from mllab.store.decode import is_locked
from mllab.store.fs import translate_os_errors
from mllab.store.layout import RESERVE_BYTES, regular_file_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout


def remove_leftovers(layout: Layout, disk: Disk, older_than_s: float, *, apply: bool) -> dict[str, int]:
    """Remove what writers that died left behind; return sizes by path. Makes the reserve anew where it is gone."""
    found = {}
    now = time.time()
    for path in _leftovers(layout):
        with contextlib.suppress(FileNotFoundError):
            if now - os.lstat(path).st_mtime >= older_than_s and not is_locked(path):
                found[path] = regular_file_size(path) or 0
    if apply:
        with translate_os_errors("the store"):
            for path in found:
                with contextlib.suppress(FileNotFoundError):
                    disk.unlink(path)
        for run_id in layout.open_run_ids():
            with contextlib.suppress(OSError):  # a writer makes the folder again when it needs it
                os.rmdir(layout.run_folder(run_id))
        if not os.path.lexists(layout.reserve):
            with contextlib.suppress(OSError):  # on a full disk there is none to be had
                disk.replace(layout.reserve, b"\0" * RESERVE_BYTES)
    return found


def _leftovers(layout: Layout) -> Iterator[str]:
    """Yield files that only a dead writer can have left, should they be old."""
    for folder in (layout.root, layout.manifests, layout.catalog, layout.blobs, os.path.join(layout.root, "gc")):
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folder):
                if name.endswith(".tmp"):
                    yield os.path.join(folder, name)
    for run_id in layout.open_run_ids():
        folder = layout.run_folder(run_id)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(folder):
                if name.endswith(".seg.new"):
                    yield os.path.join(folder, name)
    for number in checkpoint_numbers(layout)[:-2]:
        yield os.path.join(layout.catalog, f"checkpoint-{number:020d}.json")
