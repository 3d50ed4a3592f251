"""Files, figures, images, tables and models as artifacts. Foreign libraries are recognised, never imported."""

from __future__ import annotations

import io
import json
import mimetypes
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any, Optional

from mllab.errors import InvalidValueError, NotFoundError, UnsafePathError
from mllab.security.paths import safe_relative
from mllab.store.values import as_json

if TYPE_CHECKING:
    from mllab.store.blobs import Blob
    from mllab.tracking.run import Run


def _record(run: Run, blob: Blob, name: str, kind: str) -> None:
    """Tie a stored content to the run; durable when this returns."""
    path = safe_relative(name)
    media = mimetypes.guess_type(path)[0] or "application/octet-stream"
    body = {"path": path, "sha256": blob.sha256, "size": blob.size, "media": media, "kind": kind}
    run.writer.event("artifact", body, sync=True)


def log_bytes(run: Run, data: bytes, name: str, kind: str = "file") -> None:
    """Store bytes as the artifact ``name``."""
    safe_relative(name)  # a bad name must not cost a write
    _record(run, run.store.blobs.put_bytes(data), name, kind)


def log_artifact(run: Run, path_or_bytes: Any, name: Optional[str], kind: str = "file") -> None:
    """Store a file or bytes."""
    if isinstance(path_or_bytes, (bytes, bytearray, memoryview)):
        if name is None:
            raise InvalidValueError("Bytes have no name of their own.", 'Pass name="report.html".')
        log_bytes(run, bytes(path_or_bytes), name, kind)
        return
    path = _existing(path_or_bytes)
    if os.path.isdir(path):
        log_folder(run, path, name if name is not None else os.path.basename(os.path.abspath(path)), kind)
        return
    name = safe_relative(name if name is not None else os.path.basename(path))
    _record(run, run.store.blobs.put_file(path), name, kind)


def log_folder(run: Run, folder: Any, prefix: str, kind: str = "file") -> None:
    """Store the regular files below a folder. Links are left out: they would smuggle in what lies elsewhere."""
    root = _existing(folder)
    if not os.path.isdir(root):
        raise InvalidValueError(f"{root} is not a folder.", "Use log_artifact for a file.")
    for parent, folders, files in os.walk(root):
        folders.sort()
        for file in sorted(files):
            path = os.path.join(parent, file)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            relative = os.path.relpath(path, root).replace(os.sep, "/")
            name = safe_relative(f"{prefix}/{relative}" if prefix else relative)
            _record(run, run.store.blobs.put_file(path), name, kind)


def _existing(path: Any) -> str:
    try:
        text = os.fspath(path)
    except TypeError:
        raise InvalidValueError(
            f"An artifact is a path or bytes, not {type(path).__name__}.",
            "Use log_figure, log_image, log_table or log_model for objects.",
        ) from None
    text = os.fsdecode(text)
    if "\0" in text:
        raise UnsafePathError(f"The path {text[:80]!r} holds a NUL character.", "Pass the path of an existing file.")
    if not os.path.exists(text):
        raise NotFoundError(f"There is no file {text}.", "Pass the path of an existing file or folder.")
    return text


def with_suffix(name: str, suffix: str) -> str:
    """Return ``name`` with ``suffix`` when it has none of its own."""
    if not isinstance(name, str):
        raise InvalidValueError(f"The name of an artifact is text, not {type(name).__name__}.", 'Pass name="plots/a".')
    return name if os.path.splitext(name)[1] else name + suffix


def log_figure(run: Run, figure: Any, name: str) -> None:
    """Store a matplotlib figure as PNG, a plotly figure as HTML."""
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        path = with_suffix(name, ".png")
        try:
            figure.savefig(buffer, format=os.path.splitext(path)[1][1:])
        except ValueError as error:
            raise InvalidValueError(
                f"The figure {name!r} cannot be drawn: {error}.", "Use .png, .svg or .pdf."
            ) from None
        log_bytes(run, buffer.getvalue(), path, "figure")
    elif hasattr(figure, "to_html"):
        log_bytes(run, figure.to_html(include_plotlyjs=True).encode(), with_suffix(name, ".html"), "figure")
    else:
        raise InvalidValueError(
            f"{type(figure).__name__} is no figure of matplotlib or plotly.", "Save it yourself and use log_artifact."
        )


def log_image(run: Run, image: Any, name: str) -> None:
    """Store an encoded, PIL or array image."""
    if isinstance(image, (bytes, bytearray)):
        kinds = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}
        suffix = next((suffix for magic, suffix in kinds.items() if bytes(image).startswith(magic)), "")
        log_bytes(run, bytes(image), with_suffix(name, suffix), "image")
    elif isinstance(image, (str, os.PathLike)):
        suffix = os.path.splitext(os.fspath(image))[1]
        log_artifact(run, image, with_suffix(name, suffix), "image")
    elif hasattr(image, "save") and hasattr(image, "mode"):
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        log_bytes(run, buffer.getvalue(), with_suffix(name, ".png"), "image")
    elif hasattr(image, "__array__") or hasattr(image, "shape"):
        log_bytes(run, _png(image, name), with_suffix(name, ".png"), "image")
    else:
        raise InvalidValueError(
            f"{type(image).__name__} is no image.", "Pass PNG bytes, a path, a PIL image or an array."
        )


def _png(image: Any, name: str) -> bytes:
    """Encode an array [height, width(, 1, 3 or 4)] of bytes, or of floats from 0 to 1, as PNG.

    Source: PNG (ISO/IEC 15948), colour types 0, 2 and 6 at 8 bits.
    """
    array = image.detach().cpu().numpy() if hasattr(image, "detach") else image
    shape = tuple(array.shape)
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in (1, 3, 4):
        raise InvalidValueError(
            f"The image {name!r} has the shape {shape}.", "Use [height, width] or [height, width, 3]."
        )
    if array.dtype.kind == "f":
        array = array.clip(0, 1) * 255 + 0.5
    pixels = array.astype("uint8", order="C").tobytes()
    height, width = shape[:2]
    row = width * channels
    raw = b"".join(b"\0" + pixels[start : start + row] for start in range(0, height * row, row))
    colour = {1: 0, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(raw, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def log_table(run: Run, table: Any, name: str) -> None:
    """Store a DataFrame as Parquet; plain Python data as JSON with ``columns`` and ``data``."""
    buffer = io.BytesIO()
    if hasattr(table, "write_parquet"):  # polars
        table.write_parquet(buffer)
    elif hasattr(table, "to_parquet"):  # pandas
        table.to_parquet(buffer)
    elif hasattr(table, "schema") and hasattr(table, "to_batches"):  # Arrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, buffer)
    else:
        columns, rows = _plain_table(table, name)
        data = json.dumps({"columns": columns, "data": rows}, default=str).encode()
        log_bytes(run, data, with_suffix(name, ".json"), "table")
        return
    log_bytes(run, buffer.getvalue(), with_suffix(name, ".parquet"), "table")


def _plain_table(table: Any, name: str) -> tuple[list[str], list[list[Any]]]:
    if isinstance(table, dict):
        columns = {str(key): list(values) for key, values in table.items()}
        if len({len(values) for values in columns.values()}) > 1:
            raise InvalidValueError(
                f"The columns of the table {name!r} differ in length.", "Pad the short ones with None."
            )
        return list(columns), [[as_json(value) for value in row] for row in zip(*columns.values())]  # noqa: B905  # 3.9; lengths were checked
    if isinstance(table, (list, tuple)) and all(isinstance(row, dict) for row in table):
        names = list(dict.fromkeys(str(key) for row in table for key in row))
        return names, [[as_json(row.get(key)) for key in names] for row in table]
    raise InvalidValueError(
        f"{type(table).__name__} is no table.",
        "Pass a DataFrame, an Arrow table, a dict of columns or a list of dicts.",
    )


def log_model(run: Run, model: Any, name: str, flavor: Optional[str]) -> None:
    """Store a model file or folder as it is, or have a plugin write the object."""
    if isinstance(model, (str, os.PathLike)):
        path = _existing(model)
        prefix = name if os.path.isdir(path) else f"{name}/{os.path.basename(path)}"
        log_artifact(run, path, prefix, "model")
        return
    import tempfile

    from mllab.plugins.manager import write_model

    with tempfile.TemporaryDirectory(prefix="mllab-") as folder:
        write_model(model, folder, flavor)
        log_folder(run, folder, name, "model")
