from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.whole_store import a_blob, add_run, flip, manifest_path, only, overwrite, part_of, publish, tree

from mllab.errors import StoreTooNew
from mllab.ids import new_id
from mllab.store import frames
from mllab.store.manifest import encode, load_newest
from mllab.store.store import Store
from mllab.store.verify_parts import PartChecker
from mllab.store.verify_segments import find_damage

if TYPE_CHECKING:
    from collections.abc import Callable


# -- whole stores --------------------------------------------------------------------------------------------


def test_an_empty_store_is_whole(store: Store) -> None:
    report = store.verify()
    assert report.is_intact
    assert (report.problems, report.notes, report.bytes) == ((), (), 0)


def test_a_full_store_is_whole_and_says_what_was_checked(full: Store) -> None:
    report = full.verify()
    assert report.is_intact
    assert report.notes == ()
    assert report.checked["runs"] == 4
    assert report.checked["points"] == 4 * 10
    assert report.checked["segments"] == 6
    assert report.checked["blobs"] == 5
    assert report.checked["catalog commits"] == 3
    assert report.checked["parts"] >= 16
    assert report.bytes > 10_000


@pytest.mark.parametrize("deep", [True, False])
def test_verifying_changes_nothing(full: Store, deep: bool) -> None:
    flip(full.layout.part(part_of(full, "points").name), 50)
    before = tree(full.layout.root)
    full.verify(deep=deep)
    assert tree(full.layout.root) == before


def test_a_compacted_and_swept_store_is_whole(full: Store) -> None:
    full.seal()
    full.compact(full=True)
    full.sweep(grace_s=0)
    full.sweep(grace_s=0)
    report = full.verify()
    assert (report.problems, report.notes) == ((), ())


def test_runs_sealed_again_and_again_are_whole(store: Store) -> None:
    run_id = add_run(store)
    for attempt in (2, 3):
        writer = store.writer(run_id, attempt=attempt)
        writer.event("resume", {})
        for step in range(12, 18):
            writer.points({"loss": 0.0, f"new{attempt}": 1.0}, step)
        writer.close()
        store.seal()
        store.edit(run_id, attempt, [("tags", {"values": {"t": None}}), ("note", {"text": "n"})])
        store.seal()
    assert store.verify().problems == ()


def test_a_live_run_is_no_problem(store: Store) -> None:
    writer = store.writer(new_id())
    writer.event("start", {"experiment": "e"})
    writer.points({"loss": 1.0}, 1)
    try:
        report = store.verify()
        assert (report.problems, report.notes, report.checked["segments"]) == ((), (), 1)
    finally:
        writer.close()


def test_a_flipped_byte_of_any_sealed_file_is_noticed(full: Store) -> None:
    source = random.Random(1)
    layout = full.layout
    files = [path for folder in (layout.parts, layout.manifests, layout.catalog, layout.blobs) for path in tree(folder)]
    files = [path for path in files if os.path.isfile(path)]
    assert len(files) >= 25
    for path in sorted(files):
        offset = source.randrange(os.path.getsize(path))
        flip(path, offset)
        problems = full.verify().problems
        assert any(os.path.basename(path) in problem.path for problem in problems), (path, offset, problems)
        flip(path, offset)
    assert full.verify().is_intact


# -- manifests -----------------------------------------------------------------------------------------------


def test_a_damaged_newest_manifest_is_named_and_the_one_before_is_checked(full: Store) -> None:
    newest = load_newest(full.layout).number
    os.chmod(manifest_path(full, newest), 0o600)
    os.truncate(manifest_path(full, newest), 200)
    problem = only(full.verify(), "manifest")
    assert problem.path == f"manifest/{newest:020d}.json"
    assert "go on with the one before" in problem.message


def test_an_old_damaged_manifest_is_named(full: Store) -> None:
    flip(manifest_path(full, 1), 100)
    assert only(full.verify(), "manifest").path.endswith("00001.json")


def test_missing_numbers_are_named(full: Store) -> None:
    for _ in range(5):
        publish(full)
    newest = load_newest(full.layout).number
    os.unlink(manifest_path(full, newest - 1))
    assert f"manifest {newest - 1} is missing" in only(full.verify(), "manifest").message
    os.unlink(manifest_path(full, newest - 2))
    assert f"manifests {newest - 2} to {newest - 1} are missing" in only(full.verify(), "manifest").message


def test_what_was_swept_is_not_missing(full: Store) -> None:
    for _ in range(5):
        publish(full)
    full.sweep(grace_s=0)
    assert full.verify().is_intact
    assert not os.path.exists(manifest_path(full, 1))


def test_evidence_that_a_sweep_left_is_no_gap(full: Store) -> None:
    flip(manifest_path(full, 1), 100)
    for _ in range(5):
        publish(full)
    full.sweep(grace_s=0)
    assert only(full.verify(), "manifest").path.endswith("00001.json")


def test_without_an_intact_manifest_the_sealed_runs_are_lost(store: Store) -> None:
    add_run(store)
    overwrite(manifest_path(store, 1), b"garbage")
    problems = store.verify().problems
    assert [problem.kind for problem in problems] == ["manifest", "manifest", "snapshot"]
    assert problems[1].lost == ("every sealed run",)


def test_a_manifest_far_ahead_is_only_damage(full: Store) -> None:
    with open(manifest_path(full, 10**20 - 1), "wb") as file:
        file.write(encode(replace(load_newest(full.layout), number=7)))
    problem = full.verify().problems[0]
    assert "says that it is number 7" in problem.message


def test_a_fallback_that_lacks_a_part_is_a_problem(full: Store) -> None:
    full.seal()
    old = load_newest(full.layout)
    full.compact(full=True)
    gone = old.points[0].name
    assert gone not in {part.name for part in load_newest(full.layout).all_parts()}
    os.unlink(full.layout.part(gone))
    assert "falls back on" in only(full.verify(), "part").message


# -- segments ------------------------------------------------------------------------------------------------


def open_segment(store: Store) -> str:
    """Return the path of the segment of a finished run that is not sealed."""
    run_id = add_run(store, "open", points=50, seal=False)
    return os.path.join(store.layout.run_folder(run_id), store.layout.segment_names(run_id)[0])


def test_damage_in_a_segment_is_named_with_its_offset(store: Store) -> None:
    path = open_segment(store)
    with open(path, "rb") as file:
        data = memoryview(file.read())
    offsets = [len(frames.MAGIC), *(frame.next for frame in frames.walk(data, len(frames.MAGIC)))]
    bad = offsets[20]
    flip(path, bad + 20)
    problem = only(store.verify(), "segment")
    assert problem.lost == (f"{offsets[21] - bad:,} bytes at {bad:,} of run {os.path.basename(os.path.dirname(path))}",)
    flip(path, offsets[30] + 20)
    assert len(only(store.verify(), "segment").lost) == 2
    store.seal()
    report = store.verify()
    assert report.is_intact
    assert [note.kind for note in report.notes] == ["run"]  # the run says what it lacks


def test_a_record_cut_short_is_only_noted(store: Store) -> None:
    path = open_segment(store)
    size = os.path.getsize(path)
    for cut in (1, 5, 17):
        os.truncate(path, size - cut)
        report = store.verify()
        assert report.is_intact
        (note,) = report.notes
        assert "cut short" in note.message
        assert not store.verify(deep=False).notes


def test_a_whole_last_record_that_is_wrong_is_a_problem(store: Store) -> None:
    path = open_segment(store)
    flip(path, os.path.getsize(path) - 1)
    assert "bytes at" in only(store.verify(), "segment").lost[0]


@pytest.mark.parametrize("data", [b"", b"x", b"not a segment at all", frames.MAGIC, frames.MAGIC + b"\0" * 100])
def test_what_is_no_segment_inside_is_named(store: Store, data: bytes) -> None:
    path = open_segment(store)
    overwrite(path, data)
    report = store.verify()
    assert report.problems or report.notes or len(data) <= len(frames.MAGIC)


def test_a_segment_under_another_name_is_named(store: Store) -> None:
    path = open_segment(store)
    folder = store.layout.run_folder(new_id())
    os.makedirs(folder)
    os.rename(path, os.path.join(folder, os.path.basename(path)))
    assert "belongs to the run" in only(store.verify(), "segment").message


@pytest.mark.parametrize("make", [lambda path: os.symlink("/etc/hostname", path), os.mkfifo, os.mkdir])
@pytest.mark.parametrize("deep", [True, False])
def test_a_segment_that_is_no_file_is_named(store: Store, make: Callable[[str], None], deep: bool) -> None:
    path = open_segment(store)
    os.unlink(path)
    make(path)
    assert "regular file" in only(store.verify(deep=deep), "segment").message


def test_a_sealed_segment_that_grew_is_a_problem(store: Store) -> None:
    path = open_segment(store)
    store.seal()
    assert store.verify().is_intact
    with open(path, "ab") as file:
        file.write(b"more")
    for deep in (True, False):
        assert "were sealed" in only(store.verify(deep=deep), "segment").message


def test_strange_files_among_runs_are_only_noted(store: Store) -> None:
    path = open_segment(store)
    for strange in (os.path.join(store.layout.runs, "notes.txt"), os.path.join(os.path.dirname(path), "x.seg")):
        with open(strange, "w") as file:
            file.write("?")
    with open(path + ".new", "w") as file:
        file.write("?")
    report = store.verify()
    assert report.is_intact
    assert [note.kind for note in report.notes] == ["segment", "segment"]


def test_damage_is_found_wherever_it_is(store: Store) -> None:
    with open(open_segment(store), "rb") as file:
        whole = file.read()
    assert find_damage(memoryview(whole)) == []
    source = random.Random(3)
    for _ in range(40):
        offset = source.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << source.randrange(8)
        (found, *rest) = find_damage(memoryview(damaged))
        assert found.offset <= offset < found.offset + found.size
        assert not rest or offset < len(frames.MAGIC)


# -- blobs ---------------------------------------------------------------------------------------------------


def test_a_missing_blob_is_named_by_run_and_artifact(full: Store) -> None:
    os.unlink(a_blob(full))
    for deep in (True, False):
        problem = only(full.verify(deep=deep), "blob")
        assert "is missing" in problem.message
        (lost,) = problem.lost
        assert lost.startswith("artifact 'a.txt' of run ")


def test_a_damaged_blob_is_named_by_run_and_artifact(full: Store) -> None:
    flip(a_blob(full), 3)
    assert full.verify(deep=False).is_intact
    problem = only(full.verify(), "blob")
    assert "does not match its name" in problem.message
    assert problem.lost


def test_a_cut_blob_shows_without_reading_it(full: Store) -> None:
    os.chmod(a_blob(full), 0o600)
    os.truncate(a_blob(full), 3)
    problem = only(full.verify(deep=False), "blob")
    assert "3 bytes" in problem.message


def test_a_record_of_a_wrong_size_is_a_problem(store: Store) -> None:
    writer = store.writer(new_id())
    writer.event("start", {"experiment": "e"})
    writer.event("artifact", {"path": "a", "sha256": store.blobs.put_bytes(b"x").sha256, "size": 5})
    writer.close()
    assert "record says otherwise" in only(store.verify(), "blob").message


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", None, 5, "A" * 64])
def test_a_hostile_digest_is_only_missing(store: Store, digest: Any) -> None:
    writer = store.writer(new_id())
    writer.event("start", {"experiment": "e"})
    writer.event("artifact", {"path": "a", "sha256": digest, "size": 5})
    writer.close()
    problem = only(store.verify(), "blob")
    assert (problem.path, problem.remedy) == ("blobs", "")
    store.seal()
    assert only(store.verify(), "blob") == problem


def test_blobs_that_no_artifact_names_are_only_noted(full: Store) -> None:
    for number in range(7):
        full.blobs.put_bytes(b"unused %d" % number)
    report = full.verify()
    assert report.is_intact
    (note,) = report.notes
    assert note.kind == "blob"
    assert note.message.startswith("7 files no artifact refers to: ")
    assert note.message.endswith("and 2 more.")


def test_damage_that_cannot_be_read_is_a_problem(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mllab.store.verify._digest", lambda _: "")
    assert {problem.kind for problem in full.verify().problems} == {"blob"}


# -- the rest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"garbage", b"[]", b'{"format": "x"}', b'{"format": 1, "min_reader": 1}'])
def test_a_damaged_format_file_is_named(full: Store, data: bytes) -> None:
    overwrite(full.layout.format_file, data)
    assert only(full.verify(), "format").path == "FORMAT"


def test_a_store_of_a_later_version_is_left_to_it(full: Store) -> None:
    overwrite(full.layout.format_file, b'{"format": 9, "min_reader": 9, "store_id": "x"}')
    with pytest.raises(StoreTooNew):
        full.verify()


def test_the_catalogue_is_checked(full: Store) -> None:
    flip(os.path.join(full.layout.catalog, f"{2:020d}.json"), 30)
    problem = full.verify().problems[0]
    assert (problem.kind, problem.lost) == ("catalog", ("what commit 2 changed",))


def test_parts_replaced_while_they_are_checked_are_no_problem(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced: list[Any] = []

    def racing(*args: Any, **options: Any) -> Any:
        if not replaced:
            replaced.append(full.seal())
            full.compact(full=True)
            for _ in range(3):
                publish(full)
            full.sweep(grace_s=0)
        return PartChecker(*args, **options)

    monkeypatch.setattr("mllab.store.verify.PartChecker", racing)
    assert full.verify().problems == ()
    assert replaced


def test_a_report_can_be_written_as_json(full: Store) -> None:
    import json
    from dataclasses import asdict

    os.unlink(a_blob(full))
    report = json.loads(json.dumps(asdict(full.verify())))
    assert report["problems"][0]["kind"] == "blob"
