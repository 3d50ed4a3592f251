"""`mllab artifacts`: the files of a run, listed and fetched."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from mllab.cli.completion_values import complete_run
from mllab.cli.invocation import Invocation, LabCommand, LazyGroup, pass_invocation
from mllab.cli.output import binary_output
from mllab.cli.screen import is_tty, note, print_json
from mllab.errors import NotFoundError, UnsafePathError, UsageError
from mllab.security.terminal import block, line
from mllab.wording import plural, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mllab.query.run_detail import Artifact, RunDetail
    from mllab.store.blobs import Blobs

COMMANDS = {"ls": "mllab.cli.artifacts:ls", "get": "mllab.cli.artifacts:get"}
_TEXT_FOR_TERMINAL = 1 << 20


@click.group(cls=LazyGroup, homes=COMMANDS)
def artifacts() -> None:
    """List and fetch the files of a run."""


def _detail(invocation: Invocation, run: str) -> RunDetail:
    from mllab.query.run_detail import run_detail

    return run_detail(invocation.engine, run, spark_cells=0)


@click.command("ls", cls=LabCommand)
@click.argument("run", shell_complete=complete_run)
@pass_invocation
def ls(invocation: Invocation, run: str) -> None:
    """List the files of RUN."""
    from mllab.cli.show import detail_as_json, print_files

    detail = _detail(invocation, run)
    if invocation.as_json:
        print_json({"run_id": detail.run.run_id, "artifacts": detail_as_json(detail)["artifacts"]})
    elif detail.artifacts:
        print_files(invocation.screen, detail, indent=0)
        total = sum(each.size for each in detail.artifacts)
        if is_tty(sys.stderr):
            note(f"{plural(len(detail.artifacts), 'file')}, {size(total)}")
    else:
        note(f"{line(detail.run.name)} has no files.")


@click.command("get", cls=LabCommand)
@click.argument("run", shell_complete=complete_run)
@click.argument("path", required=False)
@click.option("--output", "-o", metavar="DIR", default=".", help='Below which folder; "-" writes one file to stdout.')
@click.option("--force", is_flag=True, help="Replace files that are there.")
@pass_invocation
def get(invocation: Invocation, run: str, path: str | None, output: str, *, force: bool) -> None:
    """Fetch files of RUN: the file or folder PATH, or all. Each comes to its path below DIR, its digest checked.

    Files that are there are never replaced without --force; then nothing is fetched.
    """
    detail = _detail(invocation, run)
    chosen = _matching(detail, path)
    blobs = invocation.lab.store.blobs
    if output == "-":
        if len(chosen) != 1:
            raise UsageError(
                f"{path or 'The run'} stands for {len(chosen)} files.", "Name one of `mllab artifacts ls`."
            )
        _to_stdout(blobs, chosen[0])
        return
    written = fetch(blobs, chosen, output, force=force)
    if invocation.as_json:
        print_json({"run_id": detail.run.run_id, "files": [{"path": each} for each in written]})
        return
    for each in written:
        invocation.screen.print(line(each))


def _matching(detail: RunDetail, path: str | None) -> list[Artifact]:
    if path is None:
        chosen = list(detail.artifacts)
    else:
        wanted = path.rstrip("/")
        chosen = [each for each in detail.artifacts if each.path == wanted or each.path.startswith(f"{wanted}/")]
    if not chosen:
        what = "no files" if path is None else f"no file or folder {path!r}"
        raise NotFoundError(f"{detail.run.name} has {what}.", f"See `mllab artifacts ls {detail.run.run_id}`.")
    return chosen


def _to_stdout(blobs: Blobs, artifact: Artifact) -> None:
    if is_tty(sys.stdout):
        if artifact.size > _TEXT_FOR_TERMINAL:
            raise UsageError(
                f"{artifact.path} has {size(artifact.size)}.", "Fetch it with -o DIR, or pipe it somewhere."
            )
        try:
            text = blobs.read(artifact.sha256).decode()
        except UnicodeDecodeError:
            raise UsageError(f"{artifact.path} is no text for a terminal.", "Fetch it with -o DIR.") from None
        click.echo(block(text), nl=not text.endswith("\n"))
        return
    with binary_output(None) as stream:
        for chunk in blobs.chunks(artifact.sha256):
            stream.write(chunk)


def fetch(blobs: Blobs, artifacts: Sequence[Artifact], folder: str, *, force: bool) -> list[str]:
    """Write artifacts below ``folder`` and return their paths.

    No path leaves the folder, not by a link in it either; a file appears whole and verified or not at all.

    Raises:
        UsageError: files are there already and ``force`` is false; nothing was written.
        UnsafePathError: an artifact's path is none that may be written.
        StoreCorrupt: a stored content is not what its digest says.
    """
    from mllab.security.paths import safe_relative
    from mllab.store.fs import translate_os_errors

    paths = [safe_relative(each.path) for each in artifacts]
    there = [path for path in paths if os.path.lexists(os.path.join(folder, path))]
    if there and not force:
        more = f" and {len(there) - 1:,} more files are" if len(there) > 1 else " is"
        raise UsageError(f"{os.path.join(folder, there[0])}{more} there already.", "Add --force, or another -o DIR.")
    with translate_os_errors(folder):
        os.makedirs(folder, exist_ok=True)
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for path, artifact in zip(paths, artifacts, strict=True):
                _write(root, path, blobs.chunks(artifact.sha256), folder, force=force)
        finally:
            os.close(root)
    return [os.path.join(folder, path) for path in paths]


def _write(root: int, path: str, chunks: Iterator[bytes], folder: str, *, force: bool) -> None:
    *parents, name = path.split("/")
    descriptor = os.dup(root)
    temporary = f".{name[:100]}.{os.getpid()}.tmp"
    try:
        for parent in parents:
            with contextlib.suppress(FileExistsError):
                os.mkdir(parent, dir_fd=descriptor)
            try:
                inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            except OSError as error:
                raise UnsafePathError(
                    f"{parent!r} on the way to {os.path.join(folder, path)} is no folder.", "Choose another -o DIR."
                ) from error
            os.close(descriptor)
            descriptor = inner
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=descriptor), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            _place(temporary, name, descriptor, os.path.join(folder, path), force=force)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _place(temporary: str, name: str, descriptor: int, shown: str, *, force: bool) -> None:
    if force:
        os.replace(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        return
    places: dict[str, Any] = {"src_dir_fd": descriptor, "dst_dir_fd": descriptor}
    try:
        os.link(temporary, name, **places, follow_symlinks=False)
    except FileExistsError:
        raise UsageError(f"{shown} is there already.", "Add --force, or another -o DIR.") from None
    except OSError:
        # A file system without hard links: the check a moment ago must do.
        if os.path.lexists(shown):
            raise
        os.replace(temporary, name, **places)
