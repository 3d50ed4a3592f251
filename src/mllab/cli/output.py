"""Where data goes: standard output, or a file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import IO, TYPE_CHECKING

from mllab.cli.screen import is_tty
from mllab.errors import UsageError, WriteError
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
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(
            f"Could not write {path}: {error.strerror or error}.", "Name another file with -o.", code="USE-005"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def guarded(text: str) -> str:
    """Return a text for a CSV cell that no spreadsheet takes for a formula.

    A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return gets an apostrophe in front, which
    spreadsheets hide; plain numbers stay as they are. Source: OWASP, CSV Injection.

    >>> guarded("=cmd|' /C calc'!A0"), guarded("-0.5"), guarded("adam")
    ("'=cmd|' /C calc'!A0", '-0.5', 'adam')
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")) or _is_number(text):
        return text
    return f"'{text}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    # float() also takes spaces and underscores, which a spreadsheet reads differently.
    return not set(text) - set("+-.0123456789eE")
