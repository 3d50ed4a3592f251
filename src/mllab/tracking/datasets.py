"""Describing datasets: a name, a digest that changes with the content, the schema, rows and source."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any, Optional

from mllab.errors import InvalidValueError, NotFoundError
from mllab.store.values import clean_text

CHUNK = 1 << 20
MAX_COLUMNS = 2000


def describe(
    data: Any,
    name: Optional[str] = None,
    *,
    context: Optional[str] = None,
    target: Optional[str] = None,
    source: Optional[str] = None,
) -> dict[str, Any]:
    """Return the record of a dataset: name, digest (``sha256:...``), context, source, schema, rows and profile.

    The digest of a path is that of its bytes (of a folder: of names and digests below it), of a frame or table
    that of its Arrow columns, of an array that of its dtype, shape and C-ordered bytes.

    Raises:
        InvalidValueError: the data is of no kind that can be described.
    """
    schema: dict[str, Any] = {}
    rows: Optional[int] = None
    if isinstance(data, (str, os.PathLike)):
        path = os.path.abspath(os.fsdecode(os.fspath(data)))
        if not os.path.exists(path):
            raise NotFoundError(f"There is no dataset {path}.", "Pass the path of an existing file or folder.")
        digest, size = _path_digest(path)
        name = name or os.path.basename(path)
        source = source or path
        profile: dict[str, Any] = {"bytes": size}
    elif _is_frame(data):
        table = _as_arrow(data)
        digest, rows = _arrow_digest(table), table.num_rows
        schema = {column.name: str(column.type) for column in list(table.schema)[:MAX_COLUMNS]}
        profile = {"columns": table.num_columns, "bytes": table.nbytes}
    elif hasattr(data, "dtype") and hasattr(data, "tobytes"):
        digest, rows = _array_digest(data), (int(data.shape[0]) if data.shape else None)
        schema = {"dtype": str(data.dtype), "shape": list(data.shape)}
        profile = {"bytes": int(data.nbytes)}
    else:
        raise InvalidValueError(
            f"{type(data).__name__} is no dataset that can be described.",
            "Pass a path, a pandas or polars DataFrame, an Arrow table or a numpy array.",
        )
    if target is not None:
        if schema and "dtype" not in schema and target not in schema:
            raise InvalidValueError(
                f"The dataset has no column {target!r}.", f"Columns: {', '.join(list(schema)[:20])}."
            )
        profile["target"] = target
    return {
        "name": clean_text(str(name or "dataset")),
        "digest": f"sha256:{digest}",
        "context": context,
        "source": source,
        "schema": _dump(schema),
        "rows": rows,
        "profile": _dump(profile),
    }


def _dump(value: Any) -> str:
    import json

    return json.dumps(value, separators=(",", ":"))


def _path_digest(path: str) -> tuple[str, int]:
    """Return the digest and size of a file, or of everything below a folder."""
    if os.path.isfile(path):
        digest, size = hashlib.sha256(), 0
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size
    digest, total = hashlib.sha256(), 0
    for parent, folders, files in os.walk(path):
        folders.sort()
        for file_name in sorted(files):
            full = os.path.join(parent, file_name)
            if not os.path.isfile(full):
                continue
            inner, size = _path_digest(full)
            relative = os.path.relpath(full, path).replace(os.sep, "/")
            digest.update(f"{inner} {relative}\n".encode("utf-8", "surrogateescape"))
            total += size
    return digest.hexdigest(), total


def _is_frame(data: Any) -> bool:
    return hasattr(data, "__arrow_c_stream__") or (
        hasattr(data, "columns") and hasattr(data, "dtypes") and "pandas" in sys.modules
    )


def _as_arrow(data: Any) -> Any:
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if type(data).__module__.startswith("pandas"):
        return pa.Table.from_pandas(data, preserve_index=False).replace_schema_metadata(None)
    return pa.table(data)


def _arrow_digest(table: Any) -> str:
    """Return a digest of column names, types and values, whatever their layout in memory.

    Chunks, slices, string views, dictionaries and what lies under nulls make no difference.
    """
    digest = hashlib.sha256()
    # One column at a time: combining a whole wide table would double its memory.
    for field, column in zip(table.schema, table.columns):  # noqa: B905  # a table has one column for each field
        digest.update(f"{field.name}\0".encode())
        _feed_column(digest, column)
    return digest.hexdigest()


def _feed_column(digest: Any, column: Any) -> None:
    """Feed a column in one canonical form: its type, length and validity, then the values that are there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        # Views have no cast from a dictionary: its words are looked up one level down.
        words = pa.large_string() if _is_text(pa, kind.value_type) else kind.value_type
        parts = [chunk.dictionary.cast(words).take(chunk.indices) for chunk in chunks]
        column = pa.chunked_array(parts, words)
    for is_kind, canonical in ((_is_text, pa.large_string()), (_is_bytes, pa.large_binary())):
        if is_kind(pa, column.type):
            column = column.cast(canonical)
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    kind = array.type
    digest.update(f"{kind}\0{len(array)}\0".encode())
    if array.null_count:
        digest.update(_packed(pa, array.is_valid()))
        array = array.drop_null()
    if pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            digest.update(f"{kind.field(index).name}\0".encode())
            _feed_column(digest, pc.struct_field(array, index))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        digest.update(_packed(pa, pc.list_value_length(array).cast(pa.int64())))
        _feed_column(digest, array.flatten())
    else:
        digest.update(_packed(pa, array))


def _packed(pa: Any, array: Any) -> Any:
    """Return an array without nulls as the bytes of one Arrow record batch, its buffers cut to the slice."""
    return pa.RecordBatch.from_arrays([array], ["column"]).serialize()


def _is_text(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or kind == pa.string_view())


def _is_bytes(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or kind == pa.binary_view())


def _array_digest(data: Any) -> str:
    digest = hashlib.sha256(f"{data.dtype.str}{tuple(data.shape)}".encode())
    rows = max(1, CHUNK // max(1, data.nbytes // max(1, len(data) if data.shape else 1)))
    if data.ndim == 0 or data.dtype.hasobject:
        digest.update(data.tobytes() if not data.dtype.hasobject else repr(data.tolist()).encode())
    else:
        for first in range(0, len(data), rows):
            digest.update(data[first : first + rows].tobytes())
    return digest.hexdigest()
