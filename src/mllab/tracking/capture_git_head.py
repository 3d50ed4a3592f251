"""Reads a repository's commit and branch from its files: where git is not installed, hangs or refuses."""

from __future__ import annotations

import os
import re
from typing import NamedTuple, Optional

from mllab.tracking.capture_files import read_text

MAX_PACKED_REFS = 16 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"refs/[^\0\s]{1,400}")


class Head(NamedTuple):
    """Where a repository is and what is checked out there."""

    root: str
    commit: Optional[str]
    branch: Optional[str]


def read_head(cwd: str) -> Optional[Head]:
    """Return the head of the repository that ``cwd`` lies in, or None. Worktrees and submodules are understood."""
    root = os.path.abspath(cwd)
    while True:
        found = _head_in(root)
        parent = os.path.dirname(root)
        if found is not None or parent == root:
            return found
        root = parent


def _head_in(root: str) -> Optional[Head]:
    folder = os.path.join(root, ".git")
    link = read_text(folder, 4096)
    if link is not None:
        if not link.startswith("gitdir:"):
            return None
        folder = os.path.join(root, link[len("gitdir:") :].strip())
    head = read_text(os.path.join(folder, "HEAD"), 4096)
    if head is None:
        return None
    head = head.strip()
    if not head.startswith("ref:"):
        return Head(root, head if _COMMIT.fullmatch(head) else None, None)
    ref = head[len("ref:") :].strip()
    if not _REF.fullmatch(ref) or ".." in ref:
        return Head(root, None, None)
    branch = ref[len("refs/heads/") :] if ref.startswith("refs/heads/") else None
    return Head(root, _commit_of(folder, ref), branch)


def _commit_of(folder: str, ref: str) -> Optional[str]:
    """Return the commit of ``ref``; a worktree keeps its branches in the folder that ``commondir`` names."""
    common = read_text(os.path.join(folder, "commondir"), 4096)
    folders = [folder] if common is None else [folder, os.path.join(folder, common.strip())]
    for place in folders:
        commit = (read_text(os.path.join(place, ref), 4096) or "").strip()
        if _COMMIT.fullmatch(commit):
            return commit
        for line in (read_text(os.path.join(place, "packed-refs"), MAX_PACKED_REFS) or "").splitlines():
            commit, _, name = line.partition(" ")
            if name == ref and _COMMIT.fullmatch(commit):
                return commit
    return None
