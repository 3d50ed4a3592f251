"""Which content the runs of a store refer to: what gc keeps, verify looks for and stats counts. Needs pyarrow."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mllab.errors import StoreCorrupt
from mllab.store.layout import DIGEST

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from mllab.store.layout import Layout
    from mllab.store.manifest import Fold, Part
    from mllab.store.snapshot import Snapshot


class Reference(NamedTuple):
    """An artifact of a run. ``sha256`` and ``size`` are what its record says, which may be wrong."""

    run_id: str
    path: str
    sha256: str
    size: int


class BlobFile(NamedTuple):
    """A blob as the disk has it."""

    size: int
    inode: int
    mtime_ns: int


def read_columns(layout: Layout, part: Part, columns: Sequence[str]) -> pa.Table:
    """Read some columns of a part, times as UTC microseconds; raise StoreCorrupt when that is impossible."""
    try:
        table = pq.read_table(layout.part(part.name), columns=list(columns), page_checksum_verification=True)
    except FileNotFoundError:
        raise StoreCorrupt(f"The part {part.name} is missing.", "Run `mllab store verify`.") from None
    except (pa.ArrowException, OSError) as error:
        raise StoreCorrupt(f"The part {part.name} is not readable: {error}.", "Run `mllab store verify`.") from error
    missing = set(columns) - set(table.column_names)
    if missing:
        raise StoreCorrupt(f"The part {part.name} has no column {min(missing)}.", "Run `mllab store verify`.")
    for index, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(pa.int64()))
    return table


def sealed_runs(layout: Layout, fold: Fold, columns: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Return the rows of a fold's runs that are not masked, by ref."""
    table = read_columns(layout, fold.parts["runs"], ["ref", *columns])
    masked = set(fold.masked)
    return {row["ref"]: row for row in table.to_pylist() if row["ref"] not in masked}


def references(layout: Layout, snapshot: Snapshot) -> Iterator[Reference]:
    """Yield every artifact of every run, sealed and open, deleted ones included."""
    yield from open_references(snapshot)
    open_refs = {tail.state.ref for tail in snapshot.tails}
    for fold in snapshot.manifest.folds:
        yield from fold_references(layout, fold, open_refs)


def open_references(snapshot: Snapshot) -> Iterator[Reference]:
    """Yield the artifacts of open runs."""
    for tail in snapshot.tails:
        run = tail.state
        for path, artifact in run.artifacts.items():
            yield Reference(run.run_id, path, str(artifact["sha256"]), artifact["size"])


def fold_references(layout: Layout, fold: Fold, without: Collection[int] = ()) -> Iterator[Reference]:
    """Yield the artifacts of a fold's runs, less those of the refs ``without``."""
    if "artifacts" in fold.parts:
        runs = sealed_runs(layout, fold, ["run_id"])
        table = read_columns(layout, fold.parts["artifacts"], ["ref", "path", "sha256", "size"])
        for ref, path, digest, size in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if ref in runs and ref not in without:
                yield Reference(runs[ref]["run_id"], path, str(digest), size)


def dataset_digests(layout: Layout, snapshot: Snapshot) -> set[str]:
    """Return the sha256 of every dataset any run names; their content may be stored as an artifact too."""
    names = {str(key[1]) for tail in snapshot.tails for key in tail.state.datasets}
    for fold in snapshot.manifest.folds:
        if "datasets" in fold.parts:
            names.update(read_columns(layout, fold.parts["datasets"], ["digest"])["digest"].to_pylist())
    return {digest for name in names if name and DIGEST.match(digest := name.removeprefix("sha256:"))}


def blob_files(layout: Layout) -> dict[str, BlobFile]:
    """Return every blob that is there, by digest; anything else in the folders is left out."""
    found = {}
    for folder, name in _entries(layout.blobs):
        path = os.path.join(folder, name)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and DIGEST.match(name) and name[:2] == os.path.basename(folder):
            found[name] = BlobFile(status.st_size, status.st_ino, status.st_mtime_ns)
    return found


def _entries(root: str) -> Iterator[tuple[str, str]]:
    """Yield (folder, name) for everything two levels down."""
    try:
        folders = sorted(os.listdir(root))
    except FileNotFoundError:
        return
    for folder in folders:
        path = os.path.join(root, folder)
        if len(folder) == 2 and os.path.isdir(path) and not os.path.islink(path):
            for name in os.listdir(path):
                yield path, name
