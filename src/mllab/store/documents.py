"""Documents: small JSON files that carry their own checksum. Standard library alone, on Python 3.9 and later.

A document is an object in canonical form (ASCII, sorted keys, no spaces, no NaN) with one more field, ``sha256``:
the digest of the same object without it. Only the canonical bytes are accepted, so one content has one file.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import Any

from mllab.errors import InvalidValueError, StoreCorrupt, StoreTooNew

FORMAT = 1
MAX_BYTES = 256 << 20
_HINT = "Run `mllab store verify`."


def encode(body: dict[str, Any]) -> tuple[bytes, str]:
    """Return a document's bytes and its digest; ``format`` and ``sha256`` are added here.

    Raises:
        InvalidValueError: ``body`` holds something that JSON cannot say, such as NaN.
    """
    try:
        full = {"format": FORMAT, **body}
        digest = hashlib.sha256(_canonical(full)).hexdigest()
        return _canonical({**full, "sha256": digest}) + b"\n", digest
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(
            f"This cannot be written as JSON: {error}.", "Use text, finite numbers and lists."
        ) from None


def decode(data: bytes, name: str) -> tuple[dict[str, Any], str]:
    """Return the object in ``data``, less what :func:`encode` added, and its digest.

    Raises:
        StoreCorrupt: the bytes are not exactly those of a document; ``name`` says of which.
        StoreTooNew: a later format wrote it.
    """
    try:
        body = json.loads(data.decode("ascii"))
        written = body.pop("format")
        if type(written) is int and written > FORMAT:
            raise StoreTooNew(f"{name} has format {written}.", "Upgrade mllab: pip install -U mllab")
        digest = body.pop("sha256")
        whole = encode(body) == (data, digest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidValueError) as error:
        raise StoreCorrupt(f"{name} is not readable ({type(error).__name__}).", _HINT) from error
    if not whole:
        raise StoreCorrupt(f"{name} does not match its checksum.", _HINT)
    return body, digest


def read(path: str, name: str, max_bytes: int = MAX_BYTES) -> tuple[dict[str, Any], str]:
    """Read a document; FileNotFoundError when there is none, StoreCorrupt when it is not intact."""
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise StoreCorrupt(f"{name} is not a regular file.", _HINT)
    if status.st_size > max_bytes:
        raise StoreCorrupt(f"{name} has {status.st_size:,} bytes; {max_bytes:,} is the limit.", _HINT)
    try:
        with open(path, "rb") as file:
            return decode(file.read(max_bytes + 1), name)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreCorrupt(f"{name} cannot be read: {error.strerror}.", _HINT) from error


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), sort_keys=True, allow_nan=False).encode("ascii")
