"""The lease: one compactor at a time. A lock the kernel frees with its process; losing it costs work, never data."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from mllab.errors import StoreBusy
from mllab.store.fs import FILE_MODE, FOLDER_MODE, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllab.store.layout import Layout


@contextlib.contextmanager
def lease(layout: Layout, *, wait: bool = False) -> Iterator[None]:
    """Hold the store's lease; raise StoreBusy when another process has it and ``wait`` is false."""
    with translate_os_errors(f"to the store in {layout.root}"):
        for folder in (layout.manifests, layout.parts):  # a copy of a store may lack what was empty
            os.makedirs(folder, FOLDER_MODE, exist_ok=True)
        fd = os.open(layout.lease, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise StoreBusy(
                f"Another process is compacting the store in {layout.root}.", "Wait for it, or call again with --wait."
            ) from None
        yield
    finally:
        # Closing alone would leave the lock to a child that was forked meanwhile.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)
