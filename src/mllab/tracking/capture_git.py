"""What the code was: commit, branch, remote and the changes that were not committed.

Git is asked in a way that runs nothing a repository's own configuration names: no hooks, no file-system monitor, no
external diff, text conversion or clean filter. (So a file that a filter changes, as Git LFS does, may count as modified
after it was only touched.) It takes no locks, and every question has two seconds.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, Optional

from mllab.security.redaction import Redactor
from mllab.tracking import capture_git_diff
from mllab.tracking.capture_git_head import read_head
from mllab.tracking.capture_process import Output, run

TIMEOUT_S = 2.0
TOTAL_S = 8.0
MAX_DIFF_BYTES = 1 << 20
MAX_STATUS_BYTES = 4 << 20
MAX_CHANGES = 200
MAX_SUBMODULES = 32
# The lab itself, when it lies in the repository and is not ignored: its files are no change to the code.
LAB_FOLDER = b".mllab"

_FIXED = (
    *("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.quotePath=true", "core.pager=cat"),
    *("diff.noprefix=false", "diff.mnemonicPrefix=false", "diff.relative=false", "status.relativePaths=false"),
)
_DIFF = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index", "--unified=3"),
    *("--submodule=short", "--ignore-submodules=dirty"),
)
_STATUS = (
    *("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--ignore-submodules=dirty"),
    *("--no-renames", "--no-ahead-behind"),
)
_SETTINGS = r"^(remote\..*\.url|branch\..*\.remote|filter\..*\.(clean|process))$"
# What would lead git elsewhere, as in a hook, or run something.
_NOT_PASSED_ON = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS")


@dataclass(frozen=True)
class Change:
    """One file that differs from the commit: modified, added, deleted, conflicted, submodule or untracked."""

    path: str
    status: str


@dataclass(frozen=True)
class GitState:
    """The code at one moment.

    Attributes:
        root: the working tree.
        commit: what is checked out; None before the first commit.
        branch: None when the head is detached.
        remote: the URL of the branch's remote, without credentials.
        dirty: whether a tracked file differs from the commit; None when git could not say.
        changes: at most 200 of the changed and untracked files; ``change_count`` counts all that git listed.
        diff_bytes: a patch of the changes and of small untracked text files, without what looks like a secret.
        diff_truncated: the patch is cut; it says so at its end.
        problem: why something is missing.
    """

    root: str
    commit: Optional[str] = None
    branch: Optional[str] = None
    remote: Optional[str] = None
    dirty: Optional[bool] = None
    changes: tuple[Change, ...] = ()
    change_count: int = 0
    diff_bytes: bytes = field(default=b"", repr=False)
    diff_truncated: bool = False
    diff_redacted: bool = False
    problem: Optional[str] = None

    def as_json(self) -> dict[str, Any]:
        """Return everything but the diff's text as JSON data."""
        return {
            "root": self.root,
            "commit": self.commit,
            "branch": self.branch,
            "remote": self.remote,
            "dirty": self.dirty,
            "changes": [{"path": change.path, "status": change.status} for change in self.changes],
            "change_count": self.change_count,
            "diff_size": len(self.diff_bytes),
            "diff_truncated": self.diff_truncated,
            "diff_redacted": self.diff_redacted,
            "problem": self.problem,
        }


class _Git:
    """Asks git questions in one working tree. Copies share the time that is left for all of them."""

    def __init__(self, folder: str, deadline: float, settings: tuple[str, ...] = _FIXED) -> None:
        self.folder = folder
        self.deadline = deadline
        self._settings = settings

    def ask(self, *arguments: str, limit: int = MAX_STATUS_BYTES) -> Output:
        options = [part for setting in self._settings for part in ("-c", setting)]
        timeout_s = max(0.05, min(TIMEOUT_S, self.deadline - time.monotonic()))
        argv = ["git", "--no-pager", *options, *arguments]
        return run(argv, timeout_s=timeout_s, limit=limit, cwd=self.folder, env=_environment())

    def without(self, filters: set[str]) -> _Git:
        """Return the same with these clean filters switched off."""
        off = [f"filter.{name}.{key}" for name in sorted(filters) for key in ("clean=", "process=", "required=false")]
        return _Git(self.folder, self.deadline, (*self._settings, *off))


@dataclass
class _Found:
    """What is known of a working tree and its submodules so far."""

    commit: Optional[str] = None
    branch: Optional[str] = None
    remote: Optional[str] = None
    dirty: bool = False
    changes: list[Change] = field(default_factory=list)
    patch: bytearray = field(default_factory=bytearray)
    is_truncated: bool = False
    problem: Optional[str] = None


def snapshot(cwd: str) -> Optional[GitState]:
    """Return the state of the repository that ``cwd`` lies in, or None when it lies in none.

    Where git is missing, hangs or refuses, commit and branch are read from the repository's files; ``problem`` then
    says what is wrong. Never raises for what it finds. Takes about 15 ms in a small repository.
    """
    head = read_head(cwd)
    if head is None:
        return None
    redactor = Redactor()
    found = _Found(head.commit, head.branch)
    _inspect(_Git(head.root, time.monotonic() + TOTAL_S), b"", found)
    text = bytes(found.patch).decode("utf-8", "surrogateescape")
    redacted = redactor.text(text, code=True)
    patch = redacted.encode("utf-8", "surrogateescape")
    return GitState(
        root=_shown(os.fsencode(head.root)),
        commit=found.commit,
        branch=found.branch,
        remote=redactor.text(without_credentials(found.remote)) if found.remote else None,
        dirty=True if found.dirty else None if found.problem else False,
        changes=tuple(found.changes[:MAX_CHANGES]),
        change_count=len(found.changes),
        diff_bytes=patch + capture_git_diff.TRUNCATED if found.is_truncated else patch,
        diff_truncated=found.is_truncated,
        diff_redacted=redacted != text,
        problem=found.problem,
    )


def without_credentials(url: str) -> str:
    """Return a remote's URL without the user and password in it; ``git@host:path`` and paths stay as they are.

    Example:
        >>> without_credentials("https://ann:pa55@example.org/x.git")
        'https://example.org/x.git'
        >>> without_credentials("ssh://git:pa55@example.org/x.git")
        'ssh://git@example.org/x.git'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    host, slash, path = rest.partition("/")
    user, at, host = host.rpartition("@")
    is_ssh = scheme.lower().endswith("ssh")
    keep = user.partition(":")[0] + at if is_ssh else ""
    return f"{scheme}://{keep}{host}{slash}{path}"


def _environment() -> dict[str, str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_PASSED_ON and not name.startswith("GIT_TRACE")
    }
    environment.update(
        GIT_OPTIONAL_LOCKS="0",
        GIT_TERMINAL_PROMPT="0",
        GIT_PAGER="cat",
        GIT_LITERAL_PATHSPECS="1",
        # A partial clone would fetch what it lacks, by a program that its configuration names.
        GIT_NO_LAZY_FETCH="1",
        GIT_ALLOW_PROTOCOL="none",
        LC_ALL="C",
    )
    return environment


def _inspect(git: _Git, prefix: bytes, found: _Found) -> None:
    """Add the state of one working tree, whose paths begin with ``prefix``, and of its submodules."""
    settings = git.ask("config", "-z", "--get-regexp", _SETTINGS)
    if settings.is_truncated:
        found.problem = settings.problem or "the configuration is too long"
        return
    values, filters = _parse_settings(settings.stdout)
    if any("=" in name for name in filters):
        # Such a name cannot be given on a command line, so its filter cannot be switched off.
        found.problem = "the configuration names a filter that cannot be switched off"
        return
    git = git.without(filters)
    status = git.ask(*_STATUS)
    if status.problem is not None:
        found.problem = status.problem
        return
    commit, branch, entries = _parse_status(status.stdout)
    if not prefix:
        found.commit, found.branch = commit, branch
        found.remote = _remote(values, branch)
    tracked = [entry for entry in entries if entry[1] != "untracked"]
    untracked = [path for path, state in entries if state == "untracked"]
    found.changes += [Change(_shown(prefix + path), state) for path, state in entries]
    if tracked:
        found.dirty = True
        _add_diff(git, commit, prefix, found)
    if untracked:
        _add_untracked(git, untracked, prefix, found)
    for path in _submodules(git.folder)[:MAX_SUBMODULES]:
        if time.monotonic() < git.deadline and found.problem is None:
            _inspect(_Git(os.path.join(git.folder, os.fsdecode(path)), git.deadline), prefix + path + b"/", found)


def _parse_settings(output: bytes) -> tuple[dict[str, str], set[str]]:
    """Return the settings by name, and the names of all filters."""
    values: dict[str, str] = {}
    filters: set[str] = set()
    for record in output.split(b"\0")[:-1]:
        name, _, value = os.fsdecode(record).partition("\n")
        values[name] = value
        if name.startswith("filter."):
            filters.add(name[len("filter.") : name.rindex(".")])
    return values, filters


def _parse_status(output: bytes) -> tuple[Optional[str], Optional[str], list[tuple[bytes, str]]]:
    """Return commit, branch and (path, state) pairs of ``git status --porcelain=v2 --branch -z``."""
    commit = branch = None
    entries: list[tuple[bytes, str]] = []
    # What follows the last NUL is nothing, or a record that was cut.
    for record in output.split(b"\0")[:-1]:
        kind = record[:2]
        if kind == b"# ":
            name, _, value = record[2:].decode("utf-8", "replace").partition(" ")
            if name == "branch.oid":
                commit = None if value == "(initial)" else value
            elif name == "branch.head":
                branch = None if value == "(detached)" else value
        elif kind == b"? ":
            if LAB_FOLDER not in record[2:].split(b"/"):
                entries.append((record[2:], "untracked"))
        elif kind in (b"1 ", b"u "):
            fields = record.split(b" ", 8 if kind == b"1 " else 10)
            entries.append((fields[-1], _change(kind, fields[1], fields[2])))
    return commit, branch, entries


def _change(kind: bytes, states: bytes, submodule: bytes) -> str:
    if kind == b"u ":
        return "conflicted"
    if submodule.startswith(b"S"):
        return "submodule"
    return "deleted" if b"D" in states else "added" if b"A" in states else "modified"


def _remote(values: dict[str, str], branch: Optional[str]) -> Optional[str]:
    """Return the URL of the branch's remote, else of origin, else of any."""
    wanted = values.get(f"branch.{branch}.remote", "origin")
    remotes = [name for name in values if name.startswith("remote.")]
    for name in (f"remote.{wanted}.url", "remote.origin.url", *remotes):
        if values.get(name):
            return values[name]
    return None


def _add_diff(git: _Git, commit: Optional[str], prefix: bytes, found: _Found) -> None:
    base = commit
    if base is None:
        # Before the first commit everything staged is new: the empty tree, whose name depends on the hash in use.
        base = git.ask("hash-object", "-t", "tree", "/dev/null").stdout.decode("ascii", "replace").strip()
    if not base:
        return
    room = MAX_DIFF_BYTES - len(found.patch)
    place = os.fsdecode(prefix)
    output = git.ask(*_DIFF, f"--src-prefix=a/{place}", f"--dst-prefix=b/{place}", base, "--", limit=max(0, room))
    if output.problem is not None:
        found.problem = output.problem
    found.is_truncated |= output.is_truncated
    found.patch += output.stdout[: output.stdout.rfind(b"\n") + 1] if output.is_truncated else output.stdout


def _add_untracked(git: _Git, untracked: list[bytes], prefix: bytes, found: _Found) -> None:
    folders = [path for path in untracked if path.endswith(b"/")]
    paths = [path for path in untracked if not path.endswith(b"/")]
    if folders:
        names = [os.fsdecode(folder) for folder in folders[:MAX_CHANGES]]
        listed = git.ask("ls-files", "--others", "--exclude-standard", "-z", "--", *names).stdout
        paths += listed.split(b"\0")[:-1]
    room = MAX_DIFF_BYTES - len(found.patch)
    patch, is_truncated = capture_git_diff.untracked_patch(os.fsencode(git.folder), paths, prefix, room)
    found.patch += patch
    found.is_truncated |= is_truncated


def _submodules(root: str) -> list[bytes]:
    """Return the submodules that are checked out in this working tree."""
    listing = os.path.join(root, ".gitmodules")
    if not os.path.lexists(listing):
        return []
    argv = ["git", "config", "--file", listing, "-z", "--get-regexp", r"^submodule\..*\.path$"]
    output = run(argv, timeout_s=TIMEOUT_S, cwd=root, env=_environment()).stdout
    inside = os.path.join(os.path.realpath(root), "")
    found = []
    for record in output.split(b"\0")[:-1]:
        path = record.partition(b"\n")[2].rstrip(b"/")
        place = os.path.join(root, os.fsdecode(path))
        # A path from the repository must not lead out of it, and one that is not checked out shows its parent.
        if os.path.realpath(place).startswith(inside) and os.path.lexists(os.path.join(place, ".git")):
            found.append(path)
    return found


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
