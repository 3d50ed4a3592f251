"""Blobs: content by its sha256, written once, verified when read. Standard library alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from mllab.errors import NotFoundError, StoreCorrupt, UnsafePathError
from mllab.ids import new_id
from mllab.store.fs import FILE_MODE, SEALED_MODE, translate_os_errors
from mllab.store.layout import regular_file_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout

CHUNK = 1 << 20


class Blob(NamedTuple):
    """A stored content: its sha256 in hex and its size in bytes."""

    sha256: str
    size: int


class Blobs:
    """The content-addressed part of a store. Safe to use from many processes at once."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout = layout
        self._disk = disk

    def put_file(self, path: str) -> Blob:
        """Store a file's content; it is durable when this returns. Links are followed, special files refused."""
        with translate_os_errors(f"the artifact {path}"):
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise UnsafePathError(f"{path} is not a regular file.", "Log regular files and folders.")
                return self.put_chunks(iter(lambda: file.read(CHUNK), b""))

    def put_bytes(self, data: bytes) -> Blob:
        """Store bytes; they are durable when this returns."""
        return self.put_chunks([data])

    def put_chunks(self, chunks: Iterable[bytes]) -> Blob:
        """Store the concatenation of ``chunks``: hashed on the way, synced, then renamed to its digest."""
        digest = hashlib.sha256()
        size = 0
        temporary = os.path.join(self._layout.blobs, f"{new_id()}.tmp")
        with translate_os_errors("an artifact"):
            self._disk.mkdir(self._layout.blobs)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            try:
                for chunk in chunks:
                    digest.update(chunk)
                    self._disk.write_all(fd, chunk)
                    size += len(chunk)
                blob = Blob(digest.hexdigest(), size)
                path = self._layout.blob(blob.sha256)
                if regular_file_size(path) == size:
                    # Refreshing the time keeps gc from taking it between this and the record that names it;
                    # where gc was faster, the content is stored like any other.
                    with contextlib.suppress(FileNotFoundError):
                        os.utime(path)
                        return blob
                self._disk.fsync(fd)
                os.fchmod(fd, SEALED_MODE)
                folder = os.path.dirname(path)
                if not os.path.isdir(folder):
                    self._disk.mkdir(folder)
                    self._disk.sync_folder(self._layout.blobs)
                self._disk.point("before_blob_rename")
                self._disk.rename(temporary, path)
                self._disk.sync_folder(folder)
                return blob
            finally:
                os.close(fd)
                with contextlib.suppress(FileNotFoundError):
                    self._disk.unlink(temporary)

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for reading, unverified; :meth:`read` and :meth:`chunks` verify."""
        try:
            return open(self._layout.blob(digest), "rb")
        except FileNotFoundError:
            raise NotFoundError(
                f"The store does not hold the content {digest[:12]}.", "Run `mllab store verify`; gc may have taken it."
            ) from None

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Yield a blob's content, and raise StoreCorrupt at the end when it is not what its name says."""
        check = hashlib.sha256()
        with self.open(digest) as file:
            while chunk := file.read(CHUNK):
                check.update(chunk)
                yield chunk
        if check.hexdigest() != digest:
            raise StoreCorrupt(
                f"The stored content {digest[:12]} is damaged.",
                "Run `mllab store verify --repair`, then log the artifact again.",
            )

    def read(self, digest: str) -> bytes:
        """Return a blob's verified content."""
        return b"".join(self.chunks(digest))
