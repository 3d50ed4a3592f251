"""Names of artifacts that try to lead somewhere else: a named error, and not a byte outside of the store."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

import pytest

import mllab
from mllab.errors import UnsafePathError
from mllab.security.paths import safe_relative

if TYPE_CHECKING:
    from pathlib import Path

    from mllab.lab import Lab

HOSTILE = {
    "up": "..",
    "up within": "a/../../b",
    "up at the end": "a/b/..",
    "here": "./a",
    "nothing between": "a//b",
    "nothing": "",
    "encoded once": "%2e%2e%2fetc%2fpasswd",
    "encoded in part": "..%2fx",
    "encoded twice": "%252e%252e%252fetc",
    "an encoded slash first": "%2fetc%2fpasswd",
    "an encoded NUL": "a%00.txt",
    "an encoded newline": "a%0ab",
    "an encoded backslash": "..%5cx",
    "a backslash": "..\\x",
    "a backslash within": "a\\..\\b",
    "absolute": "/etc/passwd",
    "a NUL": "a\0b",
    "a newline": "a\nb",
    "an escape": "a\x1b[2Jb",
    "a C1 control": "a\x9bb",
    "a drive": "C:\\x",
    "a drive with a slash": "C:/x",
    "a share": "\\\\host\\share",
    "a home": "~/x",
    "somebody's home": "~root/x",
    "a URL": "file:///etc/passwd",
    "an encoded URL": "file%3a///etc/passwd",
    "a data stream": "a:b",
    "a trailing dot": "a./b",
    "a trailing space": "a /b",
    "a device": "CON",
    "a device with a suffix": "folder/nul.txt",
    "a numbered device": "com7.log",
    "a name of 300 bytes": "n" * 300,
    "a name of 300 bytes in a folder": "a/" + "é" * 150,
    "a path of many kilobytes": "/".join(["n" * 100] * 60),
    "a right-to-left override": "gnp.\u202etxt.exe",
    "an isolate": "a\u2066b",
    "a lone surrogate": "a\udc80b",
}

HARMLESS = {
    "a semicolon": "a;b/..;c",
    "dots within": "a..b/...c",
    "percent signs": "100%/50%25",
    "spaces": "my plot (1).png",
    "Unicode": "größe/温度.csv",
    "a dash first": "-rf",
    "a quote": "a'b\"c",
    "a dollar": "$(id)`id`",
    "255 bytes": "n" * 255,
}


def tree(folder: Path) -> set[str]:
    return {os.path.join(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_name_that_leads_elsewhere_is_refused_and_writes_nothing(lab: Lab, tmp_path: Path, kind: str) -> None:
    name = HOSTILE[kind]
    source = tmp_path / "source.bin"
    source.write_bytes(b"content")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.bin").write_bytes(b"content")
    with mllab.start_run("tests", "r", lab=lab, capture=False, on_error="raise") as run:
        before = tree(tmp_path)
        with pytest.raises(UnsafePathError) as caught:
            run.log_artifact(b"content", name)
        assert caught.value.hint
        assert len(str(caught.value)) < 500
        assert all(character.isprintable() or character == "\n" for character in str(caught.value))
        if name:
            with pytest.raises(UnsafePathError):
                run.log_artifact(source, name)
            with pytest.raises(UnsafePathError):
                run.log_artifacts(tmp_path / "folder", name)
            with pytest.raises(UnsafePathError):
                run.log_model(source, name)
        assert tree(tmp_path) - before == set()
    assert lab.engine.rows("SELECT path FROM artifacts") == []


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_strange_name_that_leads_nowhere_is_kept_as_it_is(lab: Lab, tmp_path: Path, kind: str) -> None:
    outside = {path for path in tree(tmp_path) if not path.startswith(lab.root)}
    with mllab.start_run("tests", "r", lab=lab, capture=False, on_error="raise") as run:
        run.log_artifact(b"content", HARMLESS[kind])
    assert lab.engine.rows("SELECT path FROM artifacts") == [(HARMLESS[kind],)]
    assert {path for path in tree(tmp_path) if not path.startswith(lab.root)} == outside


def test_twins_in_another_normal_form_are_one_name_and_other_twins_are_two(lab: Lab) -> None:
    with mllab.start_run("tests", "r", lab=lab, capture=False, on_error="raise") as run:
        run.log_artifact(b"composed", unicodedata.normalize("NFC", "é.txt"))
        run.log_artifact(b"decomposed", unicodedata.normalize("NFD", "é.txt"))
        run.log_artifact(b"lower", "readme")
        run.log_artifact(b"upper", "README")
    found = dict(lab.engine.rows("SELECT path, sha256 FROM artifacts"))
    assert sorted(found) == ["README", "readme", "é.txt"]
    assert lab.store.blobs.read(found["é.txt"]) == b"decomposed"
    assert lab.store.blobs.read(found["readme"]) == b"lower"


def test_a_path_is_text() -> None:
    for name in (None, 7, b"a", ["a"]):
        with pytest.raises(UnsafePathError, match="A path is text"):
            safe_relative(name)


def test_a_folder_that_links_out_of_itself_is_stored_without_the_link(lab: Lab, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "file").write_text("x")
    (folder / "link").symlink_to(secret)
    (folder / "deep" / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "fifo")
    with mllab.start_run("tests", "r", lab=lab, capture=False, on_error="raise") as run:
        run.log_artifacts(folder)
        with pytest.raises(UnsafePathError, match="not a regular file"):
            run.log_artifact(folder / "fifo")
        with pytest.raises(UnsafePathError, match="not a regular file"):
            run.log_artifact("/dev/zero")
    assert lab.engine.rows("SELECT path FROM artifacts") == [("file",)]
