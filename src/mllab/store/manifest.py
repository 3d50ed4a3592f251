"""Manifests: numbered, immutable files; the newest intact one says which parts make up the store."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mllab.errors import StoreCorrupt, StoreTooNew
from mllab.ids import is_run_id
from mllab.store.fs import translate_os_errors
from mllab.store.layout import PART_NAME, SEGMENT_NAME, regular_file_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout

FORMAT = 1
MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """One immutable Parquet file; ``first_ref`` and ``last_ref`` bound the runs it has rows of."""

    name: str
    size: int
    sha256: str
    rows: int
    first_ref: int
    last_ref: int


@dataclass(frozen=True, slots=True)
class Fold:
    """The rows of a group of runs, a part for each run-level table.

    ``masked`` lists refs whose rows here are void, because a later fold has newer ones or the run was purged.
    """

    parts: dict[str, Part]
    runs: int
    masked: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A state of the sealed store.

    ``sealed`` maps ``run_id/segment`` to the bytes that were read, when (UTC microseconds), and how many of
    them held no intact record: readers ignore the segment, and a later pass removes the file.
    """

    number: int = 0
    created: int = 0
    next_ref: int = 1
    folds: tuple[Fold, ...] = ()
    points: tuple[Part, ...] = ()
    logs: tuple[Part, ...] = ()
    deleted: tuple[int, ...] = ()
    sealed: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def all_parts(self) -> Iterator[Part]:
        """Yield every part."""
        for fold in self.folds:
            yield from fold.parts.values()
        yield from self.points
        yield from self.logs

    def following(self, **changes: Any) -> Manifest:
        """Return a successor with some fields changed; :func:`commit` numbers it."""
        return replace(self, created=time.time_ns() // 1000, **changes)


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest file: its JSON with a checksum of the rest."""
    body = {"format": FORMAT, **asdict(manifest)}
    return _dump(body | {"sha256": _digest(body)}) + b"\n"


def _dump(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode("ascii")


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(_dump(body)).hexdigest()


def decode(data: bytes, name: str) -> Manifest:
    """Return the manifest in ``data``; raise StoreCorrupt or StoreTooNew, naming the file."""
    hint = "Run `mllab store verify`; readers go on with the manifest before it."
    try:
        body = json.loads(data)
        written = body.pop("format")
        if not isinstance(written, int) or written > FORMAT:
            raise StoreTooNew(f"The manifest {name} has format {written!r}.", "Upgrade mllab: pip install -U mllab")
        digest = body.pop("sha256")
        if digest != _digest({"format": written, **body}):
            raise StoreCorrupt(f"The manifest {name} does not match its checksum.", hint)
        return Manifest(
            number=int(body["number"]),
            created=int(body["created"]),
            next_ref=int(body["next_ref"]),
            folds=tuple(_fold(fold) for fold in body["folds"]),
            points=tuple(_part(part) for part in body["points"]),
            logs=tuple(_part(part) for part in body["logs"]),
            deleted=tuple(int(ref) for ref in body["deleted"]),
            sealed={
                _segment(key): (int(value[0]), int(value[1]), int(value[2])) for key, value in body["sealed"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError) as error:
        raise StoreCorrupt(f"The manifest {name} is not readable: {type(error).__name__} {error}.", hint) from error


def _fold(data: dict[str, Any]) -> Fold:
    parts = {str(table): _part(part) for table, part in data["parts"].items()}
    if "runs" not in parts:
        raise StoreCorrupt("A manifest has a fold without a part of runs.")
    return Fold(parts, int(data["runs"]), tuple(int(ref) for ref in data["masked"]))


def _part(data: dict[str, Any]) -> Part:
    part = Part(**data)
    if not PART_NAME.match(part.name):
        raise StoreCorrupt(f"A manifest names the part {part.name[:80]!r}, which is no part name.")
    if any(type(number) is not int for number in (part.size, part.rows, part.first_ref, part.last_ref)):
        raise StoreCorrupt(f"A manifest describes the part {part.name} with something that is no number.")
    return part


def _segment(key: str) -> str:
    run_id, _, name = key.partition("/")
    if not is_run_id(run_id) or not SEGMENT_NAME.match(name):
        raise StoreCorrupt(f"A manifest names the segment {key[:80]!r}, which is no segment name.")
    return key


def load_number(layout: Layout, name: str) -> Manifest:
    """Read one manifest file."""
    path = os.path.join(layout.manifests, name)
    size = regular_file_size(path)
    if size is None and not os.path.lexists(path):
        raise FileNotFoundError(path)
    if size is None or size > MAX_BYTES:
        raise StoreCorrupt(f"The manifest {name} is no regular file of at most {MAX_BYTES >> 20} MiB.")
    with open(path, "rb") as file:
        manifest = decode(file.read(), name)
    if f"{manifest.number:020d}.json" != name:
        raise StoreCorrupt(f"The manifest {name} says that it is number {manifest.number}.")
    return manifest


def load_newest(layout: Layout, *, before: int | None = None) -> Manifest:
    """Return the newest intact manifest (numbered below ``before``); an empty one for a new store.

    Raises:
        StoreCorrupt: there are manifests and none is intact.
        StoreTooNew: the newest was written by a later format.
    """
    for _ in range(5):
        names = layout.commits(layout.manifests)
        if before is not None:
            names = [name for name in names if int(name[:20]) < before]
        problem: StoreCorrupt | None = None
        for name in reversed(names):
            try:
                return load_number(layout, name)
            except FileNotFoundError:
                break  # swept since the listing: list again
            except StoreCorrupt as error:
                problem = problem or error
        else:
            if problem is not None:
                raise problem
            return Manifest()
    raise StoreCorrupt("The manifests change faster than they can be read.", "Run `mllab store verify`.")


def next_number(layout: Layout) -> int:
    """Return the number after the newest manifest's, intact or not."""
    names = layout.commits(layout.manifests)
    return int(names[-1][:20]) + 1 if names else 1


def commit(layout: Layout, disk: Disk, manifest: Manifest) -> Manifest | None:
    """Publish a manifest durably under the next number; None when another process took that number."""
    number = next_number(layout)
    if number >= 10**20:
        raise StoreCorrupt(f"No number is left after the manifest {number - 1}.", "Run `mllab store verify`.")
    numbered = replace(manifest, number=number)
    path = os.path.join(layout.manifests, f"{number:020d}.json")
    with translate_os_errors(f"the manifest {number}"):
        return numbered if disk.put_if_absent(path, encode(numbered)) else None
