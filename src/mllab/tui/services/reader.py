"""The lab as the terminal UI reads and edits it: what takes time happens in threads."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from mllab.lab import Lab

T = TypeVar("T")
# Two of DuckDB's queries at a time: what the user waits for, and what is drawn beside it.
THREADS = 2


class Reader:
    """A lab and the threads that read it.

    DuckDB, numpy and Arrow let go of the interpreter while they work; what runs here must not hold it for more than
    some milliseconds at a time, or keys wait.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._threads = ThreadPoolExecutor(THREADS, "mllab-reader")
        self._writer = ThreadPoolExecutor(1, "mllab-writer")
        self._threads.submit(self._open)

    def _open(self) -> None:
        """Load DuckDB and look at the lab while the first frame is drawn; what is wrong is said to who asks next."""
        from mllab.query.select import select_refs

        select_refs(self.lab.engine, "")

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Return what ``work(*args)`` returns in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, functools.partial(work, *args))

    async def edit(self, work: Callable[..., T], *args: object) -> T:
        """Do the same in the one thread that writes, so that edits keep their order."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, functools.partial(work, *args))

    def close(self) -> None:
        """Let the threads end; what was asked for and not begun is dropped, edits are finished."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown(wait=True)
