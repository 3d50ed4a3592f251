"""Untracked text files as a patch that ``git apply`` takes."""

from __future__ import annotations

import os
import re
import stat

from mllab.tracking.capture_files import read_bytes

MAX_FILES = 200
MAX_FILE_BYTES = 128 << 10
TRUNCATED = b"# mllab: truncated here; the changes were larger than what is kept.\n"

_SOURCES = (
    *(
        b".py",
        b".ipynb",
        b".pyx",
        b".toml",
        b".yaml",
        b".yml",
        b".json",
        b".cfg",
        b".ini",
        b".sh",
        b".sql",
        b".r",
        b".jl",
    ),
    *(
        b".c",
        b".cc",
        b".cpp",
        b".cu",
        b".cuh",
        b".h",
        b".hpp",
        b".rs",
        b".go",
        b".ts",
        b".js",
        b".md",
        b".txt",
        b".lock",
    ),
    *(b"dockerfile", b"makefile"),
)
# Files that hold secrets by trade: named in the list of changes, never copied.
_SECRET_FILES = re.compile(
    rb"(?i)(?:^|/)(?:\.env(?:\.(?!example|sample|template)[^/]*)?|[^/]*\.(?:env|pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc|gpg)"
    rb"|id_(?:rsa|dsa|ecdsa|ed25519)[^/]*|\.(?:netrc|npmrc|pypirc|git-credentials|htpasswd|pgpass)|kaggle\.json|kubeconfig[^/]*"
    rb"|[^/]*(?:credential|secret|service[-_]account)[^/]*)$"
)
_ESCAPES = {7: b"\\a", 8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}


def untracked_patch(root: bytes, paths: list[bytes], prefix: bytes, room: int) -> tuple[bytes, bool]:
    """Return a patch that creates the small text files among ``paths``, and whether some had no room.

    Args:
        root: the working tree.
        paths: relative to it.
        prefix: what the patch writes in front of them: where a submodule lies.
        room: the most bytes to return. Source code comes first.
    """
    patch = bytearray()
    is_truncated = False
    wanted = [path for path in paths if not _SECRET_FILES.search(path) and b".mllab" not in path.split(b"/")]
    wanted.sort(key=lambda path: (not path.lower().endswith(_SOURCES), path))
    is_truncated = len(wanted) > MAX_FILES
    for path in wanted[:MAX_FILES]:
        place = os.fsdecode(os.path.join(root, path))
        try:
            status = os.lstat(place)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        data = read_bytes(place, MAX_FILE_BYTES + 1)
        if data is None or b"\0" in data[:8192]:
            continue
        piece = new_file(prefix + path, data, is_executable=bool(status.st_mode & 0o100))
        if len(data) > MAX_FILE_BYTES or len(patch) + len(piece) > room:
            is_truncated = True
            continue
        patch += piece
    return bytes(patch), is_truncated


def new_file(path: bytes, data: bytes, *, is_executable: bool = False) -> bytes:
    """Return the patch that creates one file."""
    old, new = quoted(b"a/" + path), quoted(b"b/" + path)
    head = b"diff --git %s %s\nnew file mode %s\n" % (old, new, b"100755" if is_executable else b"100644")
    if not data:
        return head + b"index 0000000..e69de29\n"
    lines = data.split(b"\n")
    end = b""
    if lines[-1] == b"":
        lines.pop()
    else:
        end = b"\\ No newline at end of file\n"
    # Git ends a name with a tab when it holds a space, so that a date could follow.
    tab = b"\t" if b" " in new else b""
    count = b"1" if len(lines) == 1 else b"1,%d" % len(lines)
    body = b"".join(b"+%s\n" % line for line in lines)
    return head + b"--- /dev/null\n+++ %s%s\n@@ -0,0 +%s @@\n" % (new, tab, count) + body + end


def quoted(path: bytes) -> bytes:
    """Return a path as git writes it in a patch: in quotes and with octal escapes when it is not plain ASCII."""
    if all(32 <= byte < 127 and byte not in _ESCAPES for byte in path):
        return path
    return b'"%s"' % b"".join(
        _ESCAPES.get(byte) or (bytes((byte,)) if 32 <= byte < 127 else b"\\%03o" % byte) for byte in path
    )
