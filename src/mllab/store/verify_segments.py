"""Checking segments: whether they decode, and where bytes are lost. Needs numpy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mllab.errors import StoreError
from mllab.ids import is_run_id
from mllab.store import frames
from mllab.store.decode import SegmentDecoder, is_locked, read_regular
from mllab.store.layout import SEGMENT_NAME, regular_file_size

if TYPE_CHECKING:
    from mllab.store.findings import Findings
    from mllab.store.layout import Layout
    from mllab.store.manifest import Manifest


class Damage(NamedTuple):
    """Bytes of a segment that hold no intact record."""

    offset: int
    size: int
    is_torn_end: bool


def check_segments(layout: Layout, manifest: Manifest, findings: Findings, *, deep: bool) -> None:
    """Check the segments of every run that has a folder."""
    for run_id in sorted(os.listdir(layout.runs)) if os.path.isdir(layout.runs) else ():
        folder = layout.run_folder(run_id)
        if not is_run_id(run_id) or not os.path.isdir(folder) or os.path.islink(folder):
            findings.note("segment", f"runs/{run_id}", "This is no run's folder.")
            continue
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            reason = f"The records of run {run_id} cannot be read: {error.strerror}."
            findings.problem("segment", f"runs/{run_id}", reason)
            continue
        for name in names:
            path = f"runs/{run_id}/{name}"
            if not SEGMENT_NAME.match(name):
                if not name.endswith(".seg.new"):
                    findings.note("segment", path, "This is no segment.")
                continue
            findings.checked["segments"] += 1
            sealed = manifest.sealed.get(f"{run_id}/{name}")
            if sealed is not None:
                _check_sealed(layout, findings, path, sealed[0])
            elif deep:
                _check_open(layout, findings, path, run_id)
            elif regular_file_size(os.path.join(layout.root, path)) is None:
                findings.problem("segment", path, f"The segment {name} of run {run_id} is not a regular file.")


def find_damage(data: memoryview) -> list[Damage]:
    """Return where a whole segment's bytes hold no intact record.

    A torn end is one frame that is cut short: what a write leaves that a power failure or a full disk stopped,
    before it was acknowledged.
    """
    if bytes(data[: len(frames.MAGIC)]) != frames.MAGIC:
        return [Damage(0, len(data), is_torn_end=False)]
    found, offset = [], len(frames.MAGIC)
    effort = frames.Effort(len(data))
    while offset < len(data):
        for frame in frames.walk(data, offset):
            offset = frame.next
        if offset == len(data):
            break
        following = frames.resync(data, offset, effort)
        end = len(data) if following is None else following
        found.append(Damage(offset, end - offset, is_torn_end=following is None and _is_cut(data, offset)))
        offset = end
    return found


def _is_cut(data: memoryview, offset: int) -> bool:
    rest = len(data) - offset
    if rest < frames.HEAD.size:
        return True
    length: int = frames.HEAD.unpack_from(data, offset)[0]
    return length <= frames.MAX_PAYLOAD and length + frames.OVERHEAD > rest


def _check_sealed(layout: Layout, findings: Findings, path: str, size: int) -> None:
    """A segment that was sealed and not yet removed must be as it was: nothing may be added to it."""
    found = regular_file_size(os.path.join(layout.root, path))
    if found is not None and found != size:
        findings.problem("segment", path, f"A sealed segment has {found:,} bytes; {size:,} were sealed.")


def _check_open(layout: Layout, findings: Findings, path: str, run_id: str) -> None:
    full = os.path.join(layout.root, path)
    decoder = SegmentDecoder(full, run_id)
    is_live = is_locked(full)
    try:
        decoder.feed(final=not is_live)
        damage = find_damage(read_regular(full)) if decoder.lost_bytes else []
    except FileNotFoundError:
        return  # sealed and swept since the listing
    except StoreError as error:
        findings.problem("segment", path, error.message, f"records of run {run_id}")
        return
    findings.bytes += decoder.offset
    lost = [f"{item.size:,} bytes at {item.offset:,} of run {run_id}" for item in damage if not item.is_torn_end]
    problems = list(dict.fromkeys(decoder.problems))
    if lost or problems:
        said = "; ".join(problems) or "damaged bytes"
        findings.problem("segment", path, f"The segment {os.path.basename(path)} has problems: {said}.", *lost)
    for item in damage:
        if item.is_torn_end:
            message = (
                f"The last {item.size:,} bytes are a record cut short at {item.offset:,}; it was not acknowledged."
            )
            findings.note("segment", path, message)
