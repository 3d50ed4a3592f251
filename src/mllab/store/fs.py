"""The disk as the store sees it: the few system calls that decide durability, in one replaceable place.

Tests pass their own :class:`Disk` to make calls fail, fall short, or kill the process at a named point.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from typing import TYPE_CHECKING

from mllab.errors import WriteError
from mllab.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform == "darwin":

    def _flush(fd: int) -> None:
        # fsync(2) on macOS stops at the drive's cache.
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)

    _flush_data = _flush
else:
    _flush = os.fsync
    _flush_data = os.fdatasync

FILE_MODE = 0o600
SEALED_MODE = 0o400
FOLDER_MODE = 0o700


class Disk:
    """System calls used by the store; stateless and safe to share between threads."""

    write = staticmethod(os.write)
    writev = staticmethod(os.writev)
    fsync = staticmethod(_flush)
    fdatasync = staticmethod(_flush_data)
    rename = staticmethod(os.rename)
    link = staticmethod(os.link)
    unlink = staticmethod(os.unlink)
    ftruncate = staticmethod(os.ftruncate)

    def point(self, name: str) -> None:
        """Mark a place where a crash is interesting; only tests give it a body."""

    def open_new(self, path: str) -> int:
        """Create ``path`` for appending; raise FileExistsError when it is there."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(path, flags, FILE_MODE)
        if fd > 2:
            return fd
        # Where a process was started with closed standard streams, whatever prints would write into the file.
        try:
            return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        finally:
            os.close(fd)

    def mkdir(self, path: str) -> None:
        """Create ``path`` and its parents, readable by the owner alone (makedirs gives parents the umask's mode)."""
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        if not os.path.isdir(parent):
            self.mkdir(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, FOLDER_MODE)

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.fsync(fd)
        except OSError as error:
            # Some file systems cannot fsync a folder; they order names by other means.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
                raise
        finally:
            os.close(fd)

    def write_all(self, fd: int, data: bytes) -> None:
        """Write every byte of ``data`` or raise."""
        view = memoryview(data)
        while view:
            view = view[self.write(fd, view) :]

    def put_temp(self, path: str, data: bytes, mode: int = FILE_MODE) -> None:
        """Write a synced file under a temporary name; nothing refers to it yet."""
        with contextlib.suppress(FileNotFoundError):
            self.unlink(path)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            self.write_all(fd, data)
            self.fsync(fd)
            os.fchmod(fd, mode)
        except OSError:
            with contextlib.suppress(OSError):
                self.unlink(path)
            raise
        finally:
            os.close(fd)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Commit ``data`` as ``path`` durably, or return False when the name is taken."""
        temporary = f"{path}.{new_id()}.tmp"
        self.put_temp(temporary, data, SEALED_MODE)
        try:
            self.point("before_link")
            self.link(temporary, path)
            self.point("after_link")
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(OSError):  # a leftover, and no reason to call the commit a failure
                self.unlink(temporary)
        self.sync_folder(os.path.dirname(path))
        return True

    def replace(self, path: str, data: bytes) -> None:
        """Replace ``path`` with ``data``: readers see the old or the new file, whole."""
        temporary = f"{path}.{new_id()}.tmp"
        self.put_temp(temporary, data)
        self.rename(temporary, path)
        self.sync_folder(os.path.dirname(path))


@contextlib.contextmanager
def translate_os_errors(what: str) -> Iterator[None]:
    """Turn an OSError into a WriteError that names ``what`` and the way out."""
    try:
        yield
    except OSError as error:
        raise write_error(what, error) from error


def write_error(what: str, error: OSError) -> WriteError:
    """Name a failed write and what to do about it."""
    hints = {
        errno.ENOSPC: "The disk is full: free some space; `mllab store gc` shows what the lab can give back.",
        errno.EDQUOT: "The quota is used up: free some space; `mllab store gc` shows what the lab can give back.",
        errno.EROFS: "The file system is read-only: choose another lab with --lab DIR or MLLAB_LAB.",
        errno.EACCES: "Permission denied: the store belongs to another user; choose another lab with --lab DIR.",
        errno.EIO: "The disk reports an I/O error: copy the lab elsewhere, then run `mllab store verify`.",
        errno.EFBIG: "A file size limit (ulimit -f) is in force: raise it.",
    }
    reason = error.strerror or str(error)
    hint = hints.get(error.errno or 0, "Run `mllab doctor` for the state of the store.")
    return WriteError(f"Could not write {what}: {reason}.", hint)
