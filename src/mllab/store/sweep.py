"""Sweeping: what sealing and compaction replaced is removed, late and in the reverse order of its making."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from mllab.errors import StoreCorrupt
from mllab.store.coarse import sweep_coarse
from mllab.store.fs import translate_os_errors
from mllab.store.layout import regular_file_size
from mllab.store.lease import lease
from mllab.store.manifest import commit, load_newest, load_number

if TYPE_CHECKING:
    from mllab.store.fs import Disk
    from mllab.store.layout import Layout
    from mllab.store.manifest import Manifest

GRACE_S = 60.0


def sweep(layout: Layout, disk: Disk, *, grace_s: float = GRACE_S) -> int:
    """Remove sealed segments, void parts and old manifests that no reader can still want; return bytes freed.

    A segment goes only when the two newest intact manifests both replace it, so losing either loses nothing.
    One with damaged bytes goes to the trash instead: damage is never deleted unseen.
    """
    with lease(layout), translate_os_errors("the removal of files that are no longer needed"):
        manifest = load_newest(layout)
        due = _due(manifest, grace_s)
        if due and not due <= load_newest(layout, before=manifest.number).sealed.keys():
            manifest = commit(layout, disk, manifest.following()) or manifest
        freed = sum(_remove_segment(layout, disk, key, manifest.sealed[key][2]) for key in due)
        if due:
            # A name leaves the list only after its file, so its rows can never be read twice.
            rest = {key: value for key, value in manifest.sealed.items() if key not in due}
            manifest = commit(layout, disk, manifest.following(sealed=rest)) or manifest
        kept = _sweep_manifests(layout, disk, manifest, grace_s)
        return freed + _sweep_parts(layout, disk, kept)


def _due(manifest: Manifest, grace_s: float) -> set[str]:
    """Return sealed segments that were sealed long ago. A clock that jumped makes it early, never wrong."""
    now = time.time_ns() // 1000
    return {key for key, (_, at, _) in manifest.sealed.items() if abs(now - at) >= grace_s * 1e6}


def _remove_segment(layout: Layout, disk: Disk, key: str, lost_bytes: int) -> int:
    run_id, _, name = key.partition("/")
    folder = layout.run_folder(run_id)
    path = os.path.join(folder, name)
    size = regular_file_size(path) or 0
    disk.point("before_segment_unlink")
    with contextlib.suppress(FileNotFoundError):
        if lost_bytes or not size:
            disk.mkdir(os.path.join(layout.trash, "segments"))
            disk.rename(path, os.path.join(layout.trash, "segments", f"{run_id}-{name}"))
            size = 0
        else:
            disk.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)
    return size


def _sweep_manifests(layout: Layout, disk: Disk, newest: Manifest, grace_s: float) -> list[Manifest]:
    """Remove manifests superseded for longer than the grace; keep one intact one beside the newest."""
    kept = [newest]
    superseded = []
    now = time.time_ns() // 1000
    for name in reversed(layout.commits(layout.manifests)):
        if int(name[:20]) >= newest.number:
            continue
        try:
            manifest = load_number(layout, name)
        except StoreCorrupt:
            continue  # verify names it; its bytes are evidence
        if len(kept) < 2 or abs(now - kept[-1].created) < grace_s * 1e6:
            kept.append(manifest)
        else:
            superseded.append(name)
    for name in reversed(superseded):  # the oldest first: whenever this stops, no number between others is missing
        disk.unlink(os.path.join(layout.manifests, name))
    return kept


def _sweep_parts(layout: Layout, disk: Disk, kept: list[Manifest]) -> int:
    """Remove parts that no kept manifest names, and their copies. Only the holder of the lease writes there."""
    wanted = {part.name for manifest in kept for part in manifest.all_parts()}
    freed = 0
    for name in os.listdir(layout.parts):
        if name not in wanted:
            path = os.path.join(layout.parts, name)
            freed += regular_file_size(path) or 0
            disk.point("before_part_unlink")
            disk.unlink(path)
    return freed + sweep_coarse(layout, wanted)
