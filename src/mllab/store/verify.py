"""Verifying a store: every hash and invariant, and by name what is lost. Reads only, takes no lock. Needs pyarrow."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from typing import TYPE_CHECKING

from mllab.errors import StoreCorrupt
from mllab.store.findings import PUT_BACK, QUARANTINE, Findings
from mllab.store.fs import translate_os_errors
from mllab.store.gc import read_marks
from mllab.store.layout import DIGEST
from mllab.store.lease import lease
from mllab.store.manifest import Manifest, load_newest, load_number
from mllab.store.references import blob_files, fold_references, open_references
from mllab.store.snapshot import SnapshotReader
from mllab.store.trash import put_back, trashed_blobs
from mllab.store.verify_catalog import check_catalog
from mllab.store.verify_parts import PartChecker
from mllab.store.verify_segments import check_segments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllab.store.findings import VerifyReport
    from mllab.store.fs import Disk
    from mllab.store.layout import Layout
    from mllab.store.references import Reference

CHUNK = 1 << 20
MAX_NAMED = 5


def verify(layout: Layout, *, deep: bool = True) -> VerifyReport:
    """Check a store and name what is lost. Changes nothing; safe beside writers, readers and upkeep.

    Args:
        layout: the store.
        deep: also read and hash everything; otherwise check presence, sizes, manifests and the catalogue.

    Raises:
        StoreTooNew: a later version wrote the store, and only that one can tell.
    """
    findings = Findings()
    _check_format(layout, findings)
    intact = _check_manifests(layout, findings)
    findings.add(_check_parts(layout, intact, deep=deep))
    check_segments(layout, intact[0] if intact else Manifest(), findings, deep=deep)
    check_catalog(layout, findings)
    _check_blobs(layout, findings, deep=deep)
    _check_marks(layout, findings)
    return findings.report()


def repair(layout: Layout, disk: Disk, report: VerifyReport, *, wait: bool = False) -> list[str]:
    """Do what can be done about a report's problems without losing a byte; return the paths that moved.

    Damaged manifests and blobs go to ``trash/quarantine``, so that readers fall back and content logged again
    is stored again; blobs that are in the trash come back.

    Raises:
        StoreBusy: another process works on the store and ``wait`` is false.
    """
    moved = []
    folder = os.path.join(layout.trash, "quarantine")
    with lease(layout, wait=wait), translate_os_errors("the quarantine"):
        missing = {os.path.basename(item.path) for item in report.problems if item.remedy == PUT_BACK}
        if missing:
            back = put_back(layout, disk, missing.__contains__)
            moved += [os.path.relpath(layout.blob(blob.digest), layout.root) for blob in back]
        for item in report.problems:
            path = os.path.join(layout.root, item.path)
            if item.remedy == QUARANTINE and not _is_whole_again(layout, item.kind, path):
                disk.mkdir(folder)
                with contextlib.suppress(FileNotFoundError):
                    disk.rename(path, os.path.join(folder, item.path.replace(os.sep, "-")))
                    moved.append(item.path)
        for parent in {os.path.dirname(os.path.join(layout.root, path)) for path in moved}:
            disk.sync_folder(parent)
    return moved


def _is_whole_again(layout: Layout, kind: str, path: str) -> bool:
    """Whether a file was replaced by an intact one since it was checked."""
    name = os.path.basename(path)
    if kind == "blob":
        return _digest(path) == name
    with contextlib.suppress(StoreCorrupt, FileNotFoundError):
        load_number(layout, name)
        return True
    return False


def _check_format(layout: Layout, findings: Findings) -> None:
    try:
        content = layout.check_format()
    except StoreCorrupt as error:
        findings.problem("format", "FORMAT", error.message)
    else:
        if not isinstance(content.get("store_id"), str):
            findings.problem("format", "FORMAT", "The FORMAT file has no store_id.")


def _check_manifests(layout: Layout, findings: Findings) -> list[Manifest]:
    """Check every manifest and return the intact ones, newest first."""
    intact: list[Manifest] = []
    names = layout.commits(layout.manifests)
    for name in reversed(names):
        findings.checked["manifests"] += 1
        try:
            intact.append(load_number(layout, name))
        except FileNotFoundError:
            continue  # swept since the listing
        except StoreCorrupt as error:
            effect = "" if intact else " Readers go on with the one before it."
            findings.problem("manifest", f"manifest/{name}", error.message + effect, remedy=QUARANTINE)
    if names and not intact:
        findings.problem("manifest", "manifest", "No manifest is intact.", "every sealed run")
    # Sweeping removes the oldest and keeps damaged ones as evidence: between intact ones none may be missing.
    there = sorted(int(name[:20]) for name in names)
    for before, after in itertools.pairwise(there):
        if intact and intact[-1].number <= before < after - 1:
            which = f"manifest {before + 1} is" if after == before + 2 else f"manifests {before + 1} to {after - 1} are"
            findings.problem("manifest", "manifest", f"The {which} missing.")
    return intact


def _check_parts(layout: Layout, intact: list[Manifest], *, deep: bool) -> Findings:
    """Check the parts; again when they were replaced meanwhile."""
    if not intact:
        return Findings()
    manifest, fallbacks = intact[0], intact[1:]
    for _ in range(3):
        findings = PartChecker(layout, manifest, deep=deep).check(fallbacks)
        newest = load_newest(layout)
        if not findings.problems or newest.number == manifest.number:
            break
        manifest, fallbacks = newest, []
    named = {part.name for item in [manifest, *intact] for part in item.all_parts()}
    with contextlib.suppress(FileNotFoundError):
        orphans = sorted(set(os.listdir(layout.parts)) - named)
        if orphans:
            _note_orphans(findings, "part", "parts", orphans, "no manifest names; the next sweep removes them")
    return findings


# -- blobs -------------------------------------------------------------------------------------------------


def _check_blobs(layout: Layout, findings: Findings, *, deep: bool) -> None:
    files = blob_files(layout)
    trashed = {blob.digest for blob in trashed_blobs(layout)}
    damaged = set()
    for digest, file in files.items():
        findings.checked["blobs"] += 1
        if deep:
            findings.bytes += file.size
            if _digest(layout.blob(digest)) not in (digest, None):
                damaged.add(digest)
    users: dict[str, list[str]] = {}
    wrong_size = set()
    for item in _references(layout, findings):
        users.setdefault(item.sha256, []).append(f"artifact {item.path!r} of run {item.run_id}")
        if item.sha256 in files and item.size != files[item.sha256].size:
            wrong_size.add(item.sha256)
    for digest in sorted(damaged | wrong_size):
        path = os.path.relpath(layout.blob(digest), layout.root)
        if digest in damaged:
            message = f"The blob {digest[:12]} does not match its name."
            findings.problem("blob", path, message, *users.get(digest, ()), remedy=QUARANTINE)
        else:
            message = f"The blob {digest[:12]} has {files[digest].size:,} bytes; an artifact's record says otherwise."
            findings.problem("blob", path, message, *users[digest])
    for digest in sorted(users.keys() - files.keys()):
        is_digest = bool(DIGEST.match(digest))
        path = os.path.relpath(layout.blob(digest), layout.root) if is_digest else "blobs"
        where = " It is in the trash." if digest in trashed else ""
        remedy = PUT_BACK if digest in trashed else ""
        findings.problem("blob", path, f"The blob {digest[:12]} is missing.{where}", *users[digest], remedy=remedy)
    unused = sorted(files.keys() - users.keys())
    if unused:
        _note_orphans(findings, "blob", "blobs", unused, "no artifact refers to")


def _references(layout: Layout, findings: Findings) -> Iterator[Reference]:
    """Yield the artifacts of every run; deleted ones keep their content until they are purged."""
    try:
        snapshot = SnapshotReader(layout).take()
    except StoreCorrupt as error:
        findings.problem("snapshot", "", error.message)
        return
    yield from open_references(snapshot)
    open_refs = {tail.state.ref for tail in snapshot.tails}
    for fold in snapshot.manifest.folds:
        with contextlib.suppress(StoreCorrupt):  # reported with the parts
            yield from fold_references(layout, fold, open_refs)


def _digest(path: str) -> str | None:
    """Return a file's sha256, or None when it is gone; what cannot be read has the digest of nothing."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except OSError:
        return ""


def _check_marks(layout: Layout, findings: Findings) -> None:
    for name in layout.commits(os.path.join(layout.root, "gc")):
        try:
            read_marks(layout, int(name[:20]))
        except FileNotFoundError:
            continue
        except StoreCorrupt as error:
            findings.note("gc", f"gc/{name}", f"{error.message} Every grace starts again.")


def _note_orphans(findings: Findings, kind: str, path: str, names: list[str], what: str) -> None:
    shown = ", ".join(name[:40] for name in names[:MAX_NAMED])
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    findings.note(kind, path, f"{len(names):,} files {what}: {shown}{more}.")
