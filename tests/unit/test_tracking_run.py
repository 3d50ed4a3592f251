from __future__ import annotations

import logging
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mllab
from mllab.errors import InvalidValueError, NotFoundError, RunClosedError, UnsafePathError, UsageError, WriteError
from mllab.lab import Lab
from mllab.store.fs import Disk
from mllab.store.store import Store
from mllab.tracking.run import Run


def start(lab: Lab, name: str = "r", **options: Any) -> Run:
    return mllab.start_run("tests", name, lab=lab, **{"capture": False, **options})


def points(lab: Lab, key: str = "loss") -> list[tuple[Any, ...]]:
    return lab.engine.rows("SELECT step, value FROM metrics WHERE key = ? ORDER BY step, time", [key])


def test_a_run_ends_as_finished_with_its_points(lab: Lab) -> None:
    with start(lab) as run:
        run.log({"loss": 0.5, "acc": 1}, step=3)
        run.log({"loss": np.float32(0.25)}, step=np.int64(4))
        run.log({"loss": True})
    assert points(lab) == [(3, 0.5), (4, 0.25), (5, 1.0)]
    assert lab.engine.rows("SELECT status, ended >= started FROM runs") == [("finished", True)]


def test_steps_count_on_by_themselves(lab: Lab) -> None:
    with start(lab) as run:
        for _ in range(3):
            run.log({"loss": 0.0})
    assert [step for step, _ in points(lab)] == [0, 1, 2]


def test_an_exception_is_recorded_and_passed_on(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError), start(lab) as run:
        run.log({"loss": 1 / 0})
    ((status, error),) = lab.engine.rows("SELECT status, error FROM runs")
    assert status == "failed"
    assert "ZeroDivisionError" in error
    assert "run.log" in error


def test_ctrl_c_ends_a_run_as_killed(lab: Lab) -> None:
    with pytest.raises(KeyboardInterrupt), start(lab):
        raise KeyboardInterrupt
    assert lab.engine.rows("SELECT status FROM runs") == [("killed",)]


def test_sys_exit_zero_is_a_good_end(lab: Lab) -> None:
    with pytest.raises(SystemExit), start(lab):
        raise SystemExit(0)
    with pytest.raises(SystemExit), start(lab):
        raise SystemExit(3)
    assert lab.engine.rows("SELECT status FROM runs ORDER BY started") == [("finished",), ("failed",)]


def test_logging_after_finish_names_the_run_and_stores_nothing(lab: Lab) -> None:
    run = start(lab)
    run.finish()
    run.finish()
    with pytest.raises(RunClosedError, match=run.id):
        run.log({"loss": 1.0})
    assert points(lab) == []


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("0.5", "str"),
        (None, "NoneType"),
        (np.zeros(3), "ndarray"),
        (1j, "complex"),
        (10**400, "too large"),
        (object(), "object"),
    ],
)
def test_a_bad_value_is_counted_and_its_neighbours_are_kept(
    lab: Lab, caplog: pytest.LogCaptureFixture, value: Any, named: str
) -> None:
    with caplog.at_level(logging.WARNING), start(lab) as run:
        run.log({"bad": value, "loss": 2.0}, step=0)
        run.log({"bad": value, "loss": 3.0}, step=1)
    assert points(lab) == [(0, 2.0), (1, 3.0)]
    assert run.dropped == 2
    assert named in caplog.text
    assert caplog.text.count("'bad'") == 1


def test_a_bad_value_raises_where_asked(lab: Lab) -> None:
    with start(lab, on_error="raise") as run:
        with pytest.raises(InvalidValueError, match="'bad'"):
            run.log({"bad": "x", "loss": 1.0})  # type: ignore[dict-item]
        with pytest.raises(InvalidValueError, match="not an integer"):
            run.log({"loss": 1.0}, step="x")  # type: ignore[arg-type]
        with pytest.raises(InvalidValueError, match="mapping"):
            run.log([1.0])  # type: ignore[arg-type]
        with pytest.raises(InvalidValueError, match="64 bits"):
            run.log({"loss": 1.0}, step=2**63)
    assert points(lab) == [(0, 1.0)]


@pytest.mark.parametrize("key", ["", "k" * 251, "\udc80", 7, None])
def test_bad_keys_are_named(lab: Lab, key: Any) -> None:
    with start(lab, on_error="raise") as run, pytest.raises(InvalidValueError, match="key"):
        run.log({key: 1.0})


def test_a_hostile_number_cannot_hurt(lab: Lab) -> None:
    class Hostile:
        def __float__(self) -> float:
            raise RuntimeError("no")

        def __repr__(self) -> str:
            raise RuntimeError("no")

    with start(lab) as run:
        run.log({"bad": Hostile(), "loss": 1.0})
    assert points(lab) == [(0, 1.0)]


def test_extremes_are_values(lab: Lab) -> None:
    values = [math.nan, math.inf, -math.inf, 1.7976931348623157e308, 5e-324, -0.0]
    steps = [-(2**63), 2**63 - 1, -1, 0, 1, 2]
    with start(lab) as run:
        for step, value in zip(steps, values, strict=True):
            run.log({"loss": value}, step=step)
    for _ in range(2):
        found = dict(points(lab))
        assert [repr(found[step]) for step in steps] == [repr(value) for value in values]
        lab.store.seal()


def test_batches_of_every_kind_of_array(lab: Lab) -> None:
    import array

    with start(lab) as run:
        run.log_batch("a", range(0, 10, 2), [1, 2, 3, 4, 5])
        run.log_batch("b", np.arange(5), np.arange(5, dtype=np.float32))
        run.log_batch("c", [3, 1, 2], array.array("d", [3.0, 1.0, 2.0]), times=[3, 1, 2])
        run.log_batch("d", [], [])
        run.log_batch("e", np.arange(10)[::2], np.arange(10.0)[::-2])
        for steps, values in ([1, 2], [1.0]), (["x"], [1.0]), ([0.5], [1.0]), ([[1]], [[1.0]]):
            run.log_batch("bad", steps, values)  # type: ignore[arg-type]
    assert run.dropped == 4
    assert points(lab, "a") == [(0, 1.0), (2, 2.0), (4, 3.0), (6, 4.0), (8, 5.0)]
    assert points(lab, "b") == [(step, float(step)) for step in range(5)]
    assert lab.engine.rows("SELECT step, epoch_us(time), value FROM metrics WHERE key = 'c' ORDER BY step") == [
        (1, 1, 1.0), (2, 2, 2.0), (3, 3, 3.0)
    ]  # fmt: skip
    assert points(lab, "e") == [(0, 9.0), (2, 7.0), (4, 5.0), (6, 3.0), (8, 1.0)]


def test_a_large_batch_is_cut_into_frames(lab: Lab) -> None:
    count = 600_000
    with start(lab) as run:
        run.log_batch("loss", range(count), np.arange(count) / 2)
    assert lab.engine.rows("SELECT count(*), sum(value), max(step) FROM metrics") == [
        (count, sum(range(count)) / 2, count - 1)
    ]


def test_params_keep_their_types_and_nest(lab: Lab) -> None:
    params = {
        "lr": 0.1,
        "n": 3,
        "amp": True,
        "opt": "adam",
        "none": None,
        "big": 10**30,
        "model": {"depth": 2, "sizes": [1, 2]},
    }
    with start(lab, params=params) as run:
        run.log_params({"np": np.float64(0.5), "path": Path("a/b"), "nan": math.nan, "empty": {}})
    for _ in range(2):
        found = {key: (kind, text) for key, kind, text in lab.engine.rows("SELECT key, type, text FROM params")}
        assert found == {
            "lr": ("float", "0.1"), "n": ("int", "3"), "amp": ("bool", "true"), "opt": ("str", "adam"), "none": ("null", ""),
            "big": ("str", str(10**30)), "model.depth": ("int", "2"), "model.sizes": ("json", "[1,2]"),
            "np": ("float", "0.5"), "path": ("str", "a/b"), "nan": ("float", "nan"), "empty": ("json", "{}"),
        }  # fmt: skip
        lab.store.seal()


def test_deep_params_are_refused_not_crashed_on(lab: Lab) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"x": deep}
    with start(lab, on_error="raise") as run, pytest.raises(InvalidValueError, match="nested"):
        run.log_params({"deep": deep})


def test_tags_are_set_and_removed(lab: Lab) -> None:
    with start(lab, tags={"team": "x", "old": 1}) as run:
        run.set_tags({"old": None, "new": "y"})
    assert lab.engine.rows("SELECT key, value FROM tags ORDER BY key") == [("new", "y"), ("team", "x")]


def test_artifacts_are_stored_once_and_verified(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"w" * 100)
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "a.txt").write_text("a")
    (tmp_path / "folder" / "link").symlink_to(file)
    with start(lab) as run:
        run.log_artifact(file)
        run.log_artifact(file, "copy/w.bin")
        run.log_artifacts(tmp_path / "folder", "all")
        run.log_artifact(b"bytes", "b.bin")
        run.log_model(file, "net")
        run.log_model(tmp_path / "folder", "dir")
    rows = dict(lab.engine.rows("SELECT path, sha256 FROM artifacts"))
    assert sorted(rows) == [
        "all/deep/a.txt", "b.bin", "copy/w.bin", "dir/deep/a.txt", "net/weights.bin", "weights.bin"
    ]  # fmt: skip
    assert rows["weights.bin"] == rows["copy/w.bin"] == rows["net/weights.bin"]
    assert lab.store.blobs.read(rows["weights.bin"]) == b"w" * 100


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../b", "%2e%2e/x", "%252e%252e/x", "a\\b", "C:/x", "a\0b", "con", "~/x"]
)
def test_artifact_names_cannot_leave_the_run(lab: Lab, name: str) -> None:
    with start(lab, on_error="raise") as run, pytest.raises(UnsafePathError):
        run.log_artifact(b"x", name)


def test_missing_files_are_named(lab: Lab, tmp_path: Path) -> None:
    with start(lab, on_error="raise") as run:
        with pytest.raises(NotFoundError, match="nowhere"):
            run.log_artifact(tmp_path / "nowhere")
        with pytest.raises(InvalidValueError, match="path or bytes"):
            run.log_artifact(3)
        with pytest.raises(InvalidValueError, match="no name"):
            run.log_artifact(b"x")


def test_figures_images_tables_and_text(lab: Lab) -> None:
    polars = pytest.importorskip("polars")
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure()
    figure.add_subplot().plot([1, 2])
    with start(lab) as run:
        run.log_figure(figure, "plots/loss")
        run.log_image(np.linspace(0, 1, 48).reshape(4, 4, 3), "image")
        run.log_image(np.zeros((2, 2), np.uint8), "grey.png")
        run.log_table(polars.DataFrame({"a": [1, 2]}), "frame")
        run.log_table({"a": [1, 2], "b": ["x", None]}, "columns")
        run.log_table([{"a": 1}, {"b": 2}], "rows")
        run.log_text("hello", "notes/hello")
    assert run.dropped == 0
    kinds = dict(lab.engine.rows("SELECT path, kind FROM artifacts"))
    assert kinds == {
        "plots/loss.png": "figure", "image.png": "image", "grey.png": "image", "frame.parquet": "table",
        "columns.json": "table", "rows.json": "table", "notes/hello.txt": "text",
    }  # fmt: skip
    digest = dict(lab.engine.rows("SELECT path, sha256 FROM artifacts"))["image.png"]
    image_module = pytest.importorskip("PIL.Image")
    import io

    assert image_module.open(io.BytesIO(lab.store.blobs.read(digest))).size == (4, 4)


def test_datasets_are_described_the_same_each_time(lab: Lab, tmp_path: Path) -> None:
    polars, pandas, arrow = (pytest.importorskip(name) for name in ("polars", "pandas", "pyarrow"))
    frame = polars.DataFrame({"x": [1, 2, 3], "y": ["a", "b", None]})
    file = tmp_path / "data.csv"
    file.write_text("x\n1\n")
    with start(lab) as run:
        run.log_dataset(frame, "frame", context="train", target="y")
        run.log_dataset(polars.concat([frame[:1], frame[1:]]), "frame", context="valid")
        run.log_dataset(pandas.DataFrame({"x": [1]}), "pandas")
        run.log_dataset(arrow.table({"x": [1]}), "arrow")
        run.log_dataset(np.eye(3), "array")
        run.log_dataset(file)
        run.log_dataset(tmp_path, "folder")
    assert run.dropped == 0
    rows = lab.engine.rows("SELECT name, context, digest, rows, source FROM datasets ORDER BY name, context")
    found = {(name, context): (digest, count) for name, context, digest, count, _ in rows}
    assert found["frame", "train"] == found["frame", "valid"]
    assert found["frame", "train"][1] == 3
    assert found["array", None][1] == 3
    assert all(digest.startswith("sha256:") for digest, _ in found.values())
    assert {source for name, *_, source in rows if name == "data.csv"} == {str(file)}


def test_a_digest_does_not_depend_on_the_layout_in_memory() -> None:
    polars, arrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    from mllab.tracking.datasets import describe

    words = ["a long word indeed, past the inline length", None, "b", "another long word, past the inline length"]
    plain = polars.DataFrame(
        {
            "w": words,
            "n": [1.5, None, 2.5, -0.0],
            "l": [[1], [], None, [2, None]],
            "s": [{"x": 1}, None, {"x": None}, {"x": 2}],
        }
    )
    wide = polars.concat([plain, plain])
    masked = plain.with_columns(n=polars.when(polars.col("n").is_not_null()).then(polars.col("n").fill_null(9.0)))
    same = [
        plain,
        wide[4:],
        wide.filter(polars.arange(0, 8) > 3),
        masked,
        arrow.table(plain),
        plain.to_arrow(compat_level=polars.CompatLevel.oldest()),
    ]
    assert len({describe(frame)["digest"] for frame in same}) == 1
    others = [
        plain.rename({"w": "v"}),
        plain[:3],
        plain.with_columns(n=polars.lit(None, polars.Float64)),
        plain.reverse(),
        plain.with_columns(polars.col("w").fill_null("")),
    ]
    assert len({describe(frame)["digest"] for frame in [plain, *others]}) == 6
    categories = polars.DataFrame({"c": ["x", "y", "x"]}).cast(polars.Categorical)
    assert describe(categories)["digest"] == describe(polars.DataFrame({"c": ["x", "y", "x"]}))["digest"]


def test_dataset_digests_tell_contents_apart() -> None:
    from mllab.tracking.datasets import describe

    digests = {
        describe(data)["digest"] for data in (np.zeros(3), np.zeros((3, 1)), np.zeros(3, np.float32), np.ones(3))
    }
    assert len(digests) == 4


def test_nested_runs_know_their_parent(lab: Lab) -> None:
    with start(lab, "parent") as parent, start(lab, "child", parent=parent) as child:
        assert mllab.active_run() is child
    assert mllab.active_run() is None
    assert lab.engine.rows("SELECT name, parent_id FROM runs ORDER BY name") == [("child", parent.id), ("parent", None)]


def test_resume_makes_a_new_attempt_and_hides_what_it_repeats(lab: Lab) -> None:
    with start(lab, "first") as run:
        for step in range(10):
            run.log({"loss": float(step)}, step=step)
    for seal_between in (False, True):
        if seal_between:
            lab.store.seal()
        with mllab.start_run(resume=run.id, lab=lab, capture=False) as again:
            assert again.name == "first"
            again.log({"loss": 100.0}, step=5 if not seal_between else 7)
            again.log({"loss": 101.0})
    expected = [(step, float(step)) for step in range(5)] + [(5, 100.0), (6, 101.0), (7, 100.0), (8, 101.0)]
    assert points(lab) == expected
    assert lab.engine.rows("SELECT attempt, status FROM runs") == [(3, "finished")]
    frame = mllab.metrics(run.id, "loss", attempts="all", lab=lab)
    assert frame.height == 14


def test_resume_by_name_goes_on_counting(lab: Lab) -> None:
    with start(lab, "first") as run:
        run.log({"loss": 1.0}, step=41)
    with mllab.start_run(resume="first", lab=lab, capture=False) as again:
        again.log({"loss": 2.0})
    assert points(lab) == [(41, 1.0), (42, 2.0)]
    assert again.id == run.id


def test_a_running_run_cannot_be_resumed(lab: Lab) -> None:
    with start(lab) as run, pytest.raises(UsageError, match="still running"):
        mllab.start_run(resume=run.id, lab=lab, capture=False)


def test_fork_copies_what_came_before(lab: Lab) -> None:
    with start(lab, "base", params={"lr": 1}, tags={"t": "x"}) as base:
        for step in range(10):
            base.log({"loss": float(step)}, step=step)
    with start(lab, "fork", fork=base, fork_step=4) as fork:
        fork.log({"loss": -1.0})
    rows = lab.engine.rows("SELECT step, value FROM metrics WHERE run_id = ? ORDER BY step", [fork.id])
    assert rows == [(step, float(step)) for step in range(5)] + [(5, -1.0)]
    assert lab.engine.rows("SELECT forked_from, forked_step FROM runs WHERE name = 'fork'") == [(base.id, 4)]
    assert lab.engine.rows("SELECT key, text FROM params WHERE run_id = ?", [fork.id]) == [("lr", "1")]


def test_a_pickled_run_logs_to_the_same_run(lab: Lab) -> None:
    with start(lab) as run:
        other = pickle.loads(pickle.dumps(run))
        other.log({"loss": 1.0}, step=1)
        other.finish()
        run.log({"loss": 2.0}, step=2)
        assert lab.engine.rows("SELECT status FROM runs") == [("running",)]
    assert points(lab) == [(1, 1.0), (2, 2.0)]


def test_a_full_disk_is_a_counted_warning_and_never_stops_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import errno

    class Full(Disk):
        full = False

        def write(self, fd: int, data: Any) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return Disk.write(fd, data)

    disk = Full()
    lab = Lab.init(str(tmp_path / "lab"))
    lab._store = Store(lab.store_path, disk)
    run = start(lab)
    run.log({"loss": 1.0}, step=0)
    disk.full = True
    for step in range(1, 100):
        run.log({"loss": 1.0}, step=step)
    disk.full = False
    run.log({"loss": 1.0}, step=100)
    run.finish()
    assert run.dropped == 99
    assert caplog.text.count("The disk is full") == 1
    assert "99 records" in caplog.text
    assert [step for step, _ in points(lab)] == [0, 100]


def test_a_full_disk_raises_where_asked(tmp_path: Path) -> None:
    class Full(Disk):
        def write(self, fd: int, data: Any) -> int:
            if len(data) > 400:
                return Disk.write(fd, memoryview(data)[:7])
            return Disk.write(fd, data)

    lab = Lab.init(str(tmp_path / "lab"))
    lab._store = Store(lab.store_path, Full())
    run = start(lab, on_error="raise")
    with pytest.raises(WriteError, match="only 7 of"):
        run.log_params({"text": "x" * 500})
    run.log({"loss": 1.0})
    run.finish()
    assert points(lab) == [(0, 1.0)]
    assert lab.engine.rows("SELECT damaged FROM runs") == [(None,)]


def test_a_run_shows_itself(lab: Lab) -> None:
    with start(lab, "<b>x", params={"<p>": "<i>"}) as run:
        html = run._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert run.id in repr(run)


def test_wrong_options_are_named(lab: Lab) -> None:
    for options in ({"capture": {"gti": True}}, {"on_error": "explode"}, {"durability": "hope"}):
        with pytest.raises(UsageError):
            start(lab, **options)
    with pytest.raises(NotFoundError):
        mllab.start_run(resume="nothing", lab=lab)
    with pytest.raises(NotFoundError):
        mllab.start_run(fork="nothing", lab=lab)
    with pytest.raises(UsageError, match="parent"):
        mllab.start_run(parent="nothing", lab=lab)
    with pytest.raises(InvalidValueError):
        mllab.start_run("", lab=lab)
    assert lab.engine.rows("SELECT count(*) FROM runs") == [(0,)]
    assert mllab.active_run() is None
