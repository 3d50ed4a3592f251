"""Where data goes: standard output, or a file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import IO, TYPE_CHECKING

from mllab.cli.screen import is_tty
from mllab.errors import UsageError
from mllab.exporting import whole_file
from mllab.security.terminal import block

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def binary_output(path: str | None, *, what: str = "") -> Iterator[IO[bytes]]:
    """Give a stream for bytes: the file ``path``, which replaces what was there once all is written, or stdout.

    On a terminal the bytes are taken as text, and made safe.

    Args:
        path: None or "-" for standard output.
        what: the format, when it is none for a terminal.

    Raises:
        UsageError: ``what`` would go to a terminal.
        WriteError: the file cannot be written.
    """
    if path is None or path == "-":
        if what and is_tty(sys.stdout):
            raise UsageError(f"{what} is no text for a terminal.", "Name a file with -o FILE, or pipe it somewhere.")
        if sys.stdout is None:
            with open(os.devnull, "wb") as nothing:
                yield nothing
            return
        sys.stdout.flush()
        if is_tty(sys.stdout):
            text = io.BytesIO()
            yield text
            sys.stdout.write(block(text.getvalue().decode("utf-8", "replace")))
            return
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with whole_file(path, hint="Name another file with -o.") as file:
        yield file
