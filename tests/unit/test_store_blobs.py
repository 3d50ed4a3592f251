from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mllab.errors import NotFoundError, StoreCorrupt, UnsafePathError, WriteError
from mllab.store import blobs as module
from mllab.store.blobs import Blob, Blobs
from mllab.store.fs import Disk
from mllab.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "store"))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def temporaries(store: Store) -> list[str]:
    return [name for name in os.listdir(store.layout.blobs) if name.endswith(".tmp")]


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 10, bytes(range(256)) * 5000])
def test_what_goes_in_comes_out(store: Store, data: bytes) -> None:
    blob = store.blobs.put_bytes(data)
    assert blob == Blob(sha256(data), len(data))
    assert store.blobs.read(blob.sha256) == data
    with store.blobs.open(blob.sha256) as file:
        assert file.read() == data
    assert b"".join(store.blobs.chunks(blob.sha256)) == data
    assert temporaries(store) == []


def test_a_blob_lies_under_its_digest_and_cannot_be_written_to(store: Store) -> None:
    digest = store.blobs.put_bytes(b"x").sha256
    path = os.path.join(store.layout.root, "blobs", "sha256", digest[:2], digest)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o400


def test_a_file_is_read_in_pieces(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    data = os.urandom(100)
    (tmp_path / "file").write_bytes(data)
    blob = store.blobs.put_file(str(tmp_path / "file"))
    assert blob == Blob(sha256(data), 100)
    assert b"".join(store.blobs.chunks(blob.sha256)) == data


def test_a_link_to_a_file_is_followed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert store.blobs.put_file(str(tmp_path / "link")).sha256 == sha256(b"content")


def test_equal_content_is_stored_once_and_its_time_refreshed(store: Store) -> None:
    digest = store.blobs.put_bytes(b"x").sha256
    path = store.layout.blob(digest)
    os.utime(path, ns=(1, 1))
    before = os.stat(path).st_ino
    assert store.blobs.put_bytes(b"x").sha256 == digest
    after = os.stat(path)
    assert after.st_ino == before
    assert after.st_mtime_ns > time.time_ns() - 60 * 10**9
    assert temporaries(store) == []


def test_content_that_gc_takes_while_it_is_logged_again_is_stored_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.blobs.put_bytes(b"x").sha256
    path = store.layout.blob(digest)
    utime = os.utime

    def gone(name: str, **options: Any) -> None:
        os.unlink(name)
        utime(name, **options)

    monkeypatch.setattr(os, "utime", gone)
    assert store.blobs.put_bytes(b"x").sha256 == digest
    with open(path, "rb") as file:
        assert file.read() == b"x"


def test_a_cut_blob_is_replaced_when_it_is_logged_again(store: Store) -> None:
    digest = store.blobs.put_bytes(b"content").sha256
    os.chmod(store.layout.blob(digest), 0o600)
    os.truncate(store.layout.blob(digest), 3)
    store.blobs.put_bytes(b"content")
    assert store.blobs.read(digest) == b"content"


@pytest.mark.parametrize("damage", [b"", b"conten", b"Content", b"content and more"])
def test_damage_is_noticed_on_reading(store: Store, damage: bytes) -> None:
    digest = store.blobs.put_bytes(b"content").sha256
    path = store.layout.blob(digest)
    os.chmod(path, 0o600)
    with open(path, "wb") as file:
        file.write(damage)
    with pytest.raises(StoreCorrupt, match=digest[:12]):
        store.blobs.read(digest)
    with pytest.raises(StoreCorrupt):
        list(store.blobs.chunks(digest))


def test_a_blob_that_is_not_there(store: Store) -> None:
    for use in (store.blobs.open, store.blobs.read, lambda d: list(store.blobs.chunks(d))):
        with pytest.raises(NotFoundError):
            use(sha256(b"nothing"))


@pytest.mark.parametrize("digest", ["", "x", "../" * 20 + "etc/passwd", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n"])
def test_only_digests_name_blobs(store: Store, digest: str) -> None:
    with pytest.raises(StoreCorrupt):
        store.blobs.read(digest)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_regular_file_is_refused_without_waiting(
    store: Store, tmp_path: Path, make: Callable[[str], None]
) -> None:
    path = str(tmp_path / "odd")
    make(path)
    with pytest.raises((UnsafePathError, WriteError)):
        store.blobs.put_file(path)
    assert temporaries(store) == []


def test_a_source_that_fails_leaves_nothing(store: Store) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"some"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.blobs.put_chunks(chunks())
    assert temporaries(store) == []
    assert os.listdir(store.layout.blobs) == []


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_disk_that_refuses_leaves_nothing(store: Store, call: str) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk = Disk()
    setattr(disk, call, refuse)
    with pytest.raises(WriteError, match="an artifact"):
        Blobs(store.layout, disk).put_bytes(b"content")
    assert temporaries(store) == []
    with pytest.raises(NotFoundError):
        store.blobs.read(sha256(b"content"))
    store.blobs.put_bytes(b"content")
    assert store.blobs.read(sha256(b"content")) == b"content"


def test_short_writes_are_continued(store: Store) -> None:
    class Slow(Disk):
        @staticmethod
        def write(fd: int, data: Any) -> int:
            return os.write(fd, data[:3])

    blob = Blobs(store.layout, Slow()).put_bytes(b"0123456789")
    assert store.blobs.read(blob.sha256) == b"0123456789"


def test_content_is_on_the_device_before_it_has_its_name(store: Store) -> None:
    calls = []

    def fsync(fd: int) -> None:
        calls.append("fsync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "fsync file")

    def rename(source: str, target: str) -> None:
        calls.append("rename")
        os.rename(source, target)

    disk: Any = Disk()
    disk.fsync, disk.rename = fsync, rename
    Blobs(store.layout, disk).put_bytes(b"x")
    assert calls.index("fsync file") < calls.index("rename")
    assert calls[-1] == "fsync folder"


def test_many_threads_store_the_same_content_at_once(store: Store) -> None:
    data = os.urandom(200_000)
    results: list[Blob] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        results.append(store.blobs.put_bytes(data))

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [Blob(sha256(data), len(data))] * 8
    assert store.blobs.read(sha256(data)) == data
    assert temporaries(store) == []
