"""The promise of docs/reference/store-format.md: its code alone, with mllab out of reach, reads everything."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

import mllab
from mllab.lab import Lab
from mllab.store.catalog import EXPERIMENT, PIN, Change
from mllab.store.manifest import load_newest
from mllab.tracking.background import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mllab.tracking.run import Run

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "store-format.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

ODD = [0.5, math.nan, math.inf, -math.inf, 5e-324, 1e308, -0.0, 0.1]

# Runs the page's code where mllab cannot be imported, then answers queries over its tables, one a line.
READER = """
import importlib.abc, json, sys

class NoMllab(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mllab", "numpy", "pyarrow", "polars", "pandas"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, NoMllab())
try:
    import mllab
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("mllab can be imported, so this proves nothing")

order = json.loads(sys.stdin.read())
names = {"__name__": "page"}
for number, block in enumerate(order["blocks"]):
    exec(compile(block, f"block {number}", "exec"), names)
answer = {key: names["db"].execute(query).fetchall() for key, query in order["queries"].items()}
answer["blobs"] = [names["read_blob"](digest).decode("latin-1") for (digest,) in answer["digests"]]
answer["entries"] = names["entries"]
answer["best"] = names["best"]
print(json.dumps(answer, default=str))
"""

QUERIES = {
    "runs": """SELECT r.name, r.experiment, r.status, r.attempt, r.note, r.archived, r.deleted IS NOT NULL, r.error,
        r.run_id, p.name, r.forked_from IS NOT NULL, r.forked_step, r.duration >= 0, r.ended >= r.started,
        r.last_seen >= r.started FROM runs r LEFT JOIN runs p ON p.run_id = r.parent_id ORDER BY r.name""",
    "info": "SELECT name, info FROM runs WHERE info IS NOT NULL",
    "params": "SELECT name, key, type, number, text FROM params JOIN runs USING (ref) ORDER BY ALL",
    "tags": "SELECT name, key, value FROM tags JOIN runs USING (ref) ORDER BY ALL",
    "points": """SELECT r.name, p.key, p.step, p.value::VARCHAR, p.attempt, epoch_us(p.time)
        FROM points p JOIN runs r USING (ref) ORDER BY r.name, p.key, p.attempt, p.step, p.seq""",
    "metrics": "SELECT name, key, step, value::VARCHAR, m.attempt FROM metrics m JOIN runs USING (run_id) ORDER BY ALL",
    "summaries": """SELECT r.name, s.key, s.last::VARCHAR, s.last_step, s.min::VARCHAR, s.min_step, s.max::VARCHAR,
        s.max_step, s.sum::VARCHAR, s.count, s.nans, s.first_step, s.attempt
        FROM summaries s JOIN runs r USING (ref) ORDER BY ALL""",
    "logs": "SELECT name, stream, text, l.attempt FROM logs l JOIN runs USING (ref) ORDER BY name, l.attempt, time, seq",
    "artifacts": "SELECT name, path, sha256, size, media, kind FROM artifacts JOIN runs USING (ref) ORDER BY name, path",
    "digests": "SELECT sha256 FROM artifacts JOIN runs USING (ref) ORDER BY name, path",
    "datasets": """SELECT r.name, d.name, digest, context, source, schema, rows, profile
        FROM datasets d JOIN runs r USING (ref) ORDER BY ALL""",
    "types": """SELECT table_name, column_name, data_type FROM information_schema.columns
        WHERE table_name IN ('points', 'logs') ORDER BY ALL""",
}


class Answer(NamedTuple):
    """What the page's code said, and the runs that were made."""

    rows: dict[str, Any]
    made: dict[str, Run]

    def of(self, table: str, name: str) -> list[Any]:
        """Return the rows of one run, without its name."""
        return [row[1:] for row in self.rows[table] if row[0] == name]


def start(lab: Lab, name: str, **options: Any) -> Run:
    return mllab.start_run(
        options.pop("experiment", "plain"), name, lab=lab, capture=False, on_error="raise", **options
    )


def say(run: Run, text: str, stream: str = "stdout") -> None:
    run.writer.event("out", {"s": stream, "x": text})


def fill(lab: Lab, seal: Callable[[], object]) -> dict[str, Run]:
    """Make a store with some of everything; ``seal`` is called in between."""
    made = {}
    with start(lab, "a", params={"lr": 0.1, "n": 3, "on": True, "none": None, "s": 'text\'s "ü"\n'}) as run:
        made["a"] = run
        run.log_params({"model": {"depth": 3, "sizes": [1, 2.5, "x"]}, "big": 2**62})
        run.set_tags({"team": "vision", "gone": "x", "q'\"": "ü"})
        run.set_tags({"gone": None})
        run.set_note("a *note*")
        run.log_info({"git": {"commit": "abc"}})
        for step, value in enumerate(ODD):
            run.log({"odd/ü": value, "loss": 1 / (step + 1)}, step=step)
        run.log({"loss": 9.0}, step=3)  # a step that is there already
        run.log({"edge": 1.0}, step=2**63 - 1)
        run.log({"edge": 2.0}, step=-(2**63))
        run.log({"all nan": math.nan}, step=7)
        say(run, "hello\n")
        say(run, "warn ü\n", "stderr")
        run.log_artifact(b"replaced", name="sub/a.bin")
        run.log_artifact(b"content of a", name="sub/a.bin")
        run.log_text("text", "note")
        run.log_dataset(np.arange(6, dtype="int64").reshape(2, 3), "matrix", context="train", source="memory")
    with start(lab, "b", parent=made["a"], tags={"keep": "1", "change": "old"}) as run:
        made["b"] = run
        run.log_batch("curve", range(100, 0, -2), [step / 10 for step in range(50)])
    with start(lab, "c") as run:
        made["c"] = run
        for step in range(10):
            run.log({"loss": 100.0 + step, "only first": step}, step=step)
    with start(lab, "d", params={"lr": 9}) as run:
        made["d"] = run
        run.log({"loss": -1000.0}, step=0)
    with pytest.raises(ZeroDivisionError), start(lab, "e"):
        raise ZeroDivisionError("made to fail")
    seal()
    edit = lab.store.edit
    edit(made["b"].id, 1, [("tags", {"values": {"change": "new", "added": "x"}}), ("note", {"text": "from outside"})])
    edit(made["b"].id, 1, [("rename", {"name": "b renamed"}), ("archive", {"value": True})])
    edit(made["d"].id, 1, [("delete", {"value": True})])
    with start(lab, "", resume=made["c"].id) as run:
        for step in range(5, 15):
            run.log({"loss": 200.0 + step}, step=step)
        say(run, "again\n")
    seal()

    edit(made["a"].id, 1, [("tags", {"values": {"team": None, "late": "edit"}}), ("archive", {"value": True})])
    edit(made["a"].id, 1, [("params", {"values": {"lr": 0.2}})])
    with start(lab, "", resume=made["c"].id) as run:
        run.log({"loss": 300.0}, step=12)
    with start(lab, "g", fork=made["c"], fork_step=7, params={"x": [1]}, experiment="other") as run:
        made["g"] = run
        run.log_batch("times", [3, 1, 2], [0.25, math.nan, -math.inf], times=[1_000_000, 2_000_000, 3_000_001])
        run.log_batch("stride", range(10, 40, 10), [1, 2, 3])
        run.log({"loss": math.nan, "m": 1}, step=8)
        run.log({"m": 2, "loss": 1}, step=9)
        say(run, "open line\n")
        run.log_artifact(b"\x00\xffraw", name="raw.bin")
        run.log_artifact(b"content of a", name="same.bin")
        run.log_dataset(np.arange(3.0), "vector")
        run.set_tags({"t": "1", "u": "2"})
        run.set_tags({"u": None})
    run = made["h"] = start(lab, "h")
    run.log({"loss": 7.0}, step=1)
    run.writer.close()  # as if it had been killed, in the middle of a record
    BACKGROUND.remove(run)
    folder = lab.store.layout.run_folder(run.id)
    with open(os.path.join(folder, os.listdir(folder)[0]), "ab") as file:
        file.write(b"\x40\0\0\0\x01\0 a record cut short")
    lab.store.catalog.commit([Change.set(PIN, made["a"].id, {"reason": "r"}), Change.set(PIN, "x", 1)], actor="ada")
    lab.store.catalog.commit([Change.set(EXPERIMENT, "other", {"note": "ü"}), Change.delete(PIN, "x")], actor="ada")
    return made


# What was logged: (key, step, value, attempt) in order of writing.
C_FIRST = [(key, step, value, 1) for step in range(10) for key, value in (("loss", 100.0 + step), ("only first", step))]
C_LATER = [("loss", step, 200.0 + step, 2) for step in range(5, 15)] + [("loss", 12, 300.0, 3)]
POINTS: dict[str, list[tuple[str, int, float, int]]] = {
    "a": [
        *((key, step, value, 1) for step, odd in enumerate(ODD) for key, value in (("odd/ü", odd), ("loss", 1 / (step + 1)))),
        ("loss", 3, 9.0, 1),
        ("edge", 2**63 - 1, 1.0, 1),
        ("edge", -(2**63), 2.0, 1),
        ("all nan", 7, math.nan, 1),
    ],
    "b renamed": [("curve", 100 - 2 * row, row / 10, 1) for row in range(50)],
    "c": C_FIRST + C_LATER,
    "d": [("loss", 0, -1000.0, 1)],
    "g": [
        *(("loss", step, (100.0 if step < 5 else 200.0) + step, 1) for step in range(8)),
        *(("only first", step, step, 1) for step in range(8)),
        ("times", 3, 0.25, 1), ("times", 1, math.nan, 1), ("times", 2, -math.inf, 1),
        ("stride", 10, 1, 1), ("stride", 20, 2, 1), ("stride", 30, 3, 1),
        ("loss", 8, math.nan, 1), ("m", 8, 1, 1), ("m", 9, 2, 1), ("loss", 9, 1, 1),
    ],
    "h": [("loss", 1, 7.0, 1)],
    "z": [("loss", 0, 0.25, 1)],
}  # fmt: skip


def bits(value: float | str) -> str:
    """Return a float so that equal means equal in every bit but a NaN's."""
    return float(value).hex()


def test_pages_code_is_there() -> None:
    assert len(BLOCKS) >= 9


@pytest.fixture(params=["nothing sealed", "partly sealed", "all sealed"], scope="module")
def answer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answer]:
    """Yield what the page's code found in a store, in three states of the same content."""
    lab = Lab.init(str(tmp_path_factory.mktemp("plain") / "it's [a] ref=5"))
    with start(lab, "z") as live:
        live.log({"loss": 0.25}, step=0)

        def seal() -> None:
            if request.param != "nothing sealed":
                lab.store.seal()
                lab.store.compact(full=True)

        made = fill(lab, seal)
        if request.param == "all sealed":
            seal()
            lab.store.sweep(grace_s=0)
        manifest = load_newest(lab.store.layout)
        assert bool(manifest.folds) == (request.param != "nothing sealed")
        assert (len(lab.store.layout.open_run_ids()) == 1) == (request.param == "all sealed")
        yield Answer(read(lab), made)


def read(lab: Lab, blocks: list[str] = BLOCKS) -> dict[str, Any]:
    """Run the page's code over the lab's store in another process, and the queries after it."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", READER],
        input=json.dumps({"blocks": blocks, "queries": QUERIES}),
        env={"STORE": lab.store_path, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows: dict[str, Any] = json.loads(done.stdout)
    return rows


def test_runs(answer: Answer) -> None:
    rows = {row[0]: row[1:] for row in answer.rows["runs"]}
    assert list(rows) == ["a", "b renamed", "c", "d", "e", "g", "h", "z"]
    ids = {name[0]: row[7] for name, row in rows.items()}
    assert {name: ids[name] for name in answer.made} == {name: run.id for name, run in answer.made.items()}
    experiments = {name: row[0] for name, row in rows.items()}
    assert experiments == {**dict.fromkeys(rows, "plain"), "g": "other"}
    assert {name: row[1] for name, row in rows.items()} == {
        "a": "finished", "b renamed": "finished", "c": "finished", "d": "finished", "e": "failed", "g": "finished",
        "h": "lost", "z": "running",
    }  # fmt: skip
    assert {name: row[2] for name, row in rows.items()} == {**dict.fromkeys(rows, 1), "c": 3}
    notes = {name: row[3] for name, row in rows.items() if row[3] is not None}
    assert notes == {"a": "a *note*", "b renamed": "from outside"}
    assert [name for name, row in rows.items() if row[4]] == ["a", "b renamed"]
    assert [name for name, row in rows.items() if row[5]] == ["d"]
    errors = {name: json.loads(row[6]) for name, row in rows.items() if row[6]}
    assert list(errors) == ["e"]
    assert (errors["e"]["type"], errors["e"]["message"]) == ("ZeroDivisionError", "made to fail")
    assert {name: row[8] for name, row in rows.items() if row[8]} == {"b renamed": "a"}
    assert {name: row[10] for name, row in rows.items() if row[9]} == {"g": 7}
    for name, row in rows.items():
        has_end = row[12] if name not in ("h", "z") else row[12] is None
        assert row[11], name
        assert has_end, name
        assert row[13], name
    info = {name: json.loads(text) for name, text in answer.rows["info"] if text != "{}"}
    assert info == {"a": {"git": {"commit": "abc"}}}


def test_params_and_tags(answer: Answer) -> None:
    assert answer.of("params", "a") == [
        ["big", "int", 2.0**62, str(2**62)],
        ["lr", "float", 0.2, "0.2"],
        ["model.depth", "int", 3, "3"],
        ["model.sizes", "json", None, '[1,2.5,"x"]'],
        ["n", "int", 3, "3"],
        ["none", "null", None, ""],
        ["on", "bool", 1, "true"],
        ["s", "str", None, 'text\'s "ü"\n'],
    ]
    assert answer.of("params", "g") == [["x", "json", None, "[1]"]]
    assert {row[0] for row in answer.rows["params"]} == {"a", "d", "g"}
    tags: dict[str, dict[str, str]] = {}
    for name, key, value in answer.rows["tags"]:
        assert key not in tags.setdefault(name, {})
        tags[name][key] = value
    assert tags == {
        "a": {"q'\"": "ü", "late": "edit"},
        "b renamed": {"keep": "1", "change": "new", "added": "x"},
        "g": {"t": "1"},
    }


def test_points(answer: Answer) -> None:
    assert {row[0] for row in answer.rows["points"]} == set(POINTS)
    for name, points in POINTS.items():
        found = answer.of("points", name)
        # Where a step is there twice, in the order of writing.
        expected = sorted(points, key=lambda point: (point[0], point[3], point[1]))
        assert [(key, step, bits(value), attempt) for key, step, value, attempt, _ in found] == [
            (key, step, bits(value), attempt) for key, step, value, attempt in expected
        ], name
    times = {row[1]: row[4] for row in answer.of("points", "g") if row[0] == "times"}
    assert times == {3: 1_000_000, 1: 2_000_000, 2: 3_000_001}
    assert all(row[5] > 1_700_000_000_000_000 for row in answer.rows["points"] if row[1] != "times")


def test_the_default_view(answer: Answer) -> None:
    found: dict[str, list[tuple[str, int, str, int]]] = {}
    for name, key, step, value, attempt in answer.rows["metrics"]:
        found.setdefault(name, []).append((key, step, bits(value), attempt))
    expected = {name: points for name, points in POINTS.items() if name != "d"}
    expected["c"] = [
        point for point in POINTS["c"] if point[0] != "loss" or point[3] == 3 or point[1] < {1: 5, 2: 12}[point[3]]
    ]
    assert {name: sorted(rows) for name, rows in found.items()} == {
        name: sorted((key, step, bits(value), attempt) for key, step, value, attempt in points)
        for name, points in expected.items()
    }


def test_summaries(answer: Answer) -> None:
    found = {(row[0], row[1]): row[2:] for row in answer.rows["summaries"]}
    expected = {(name, key) for name, points in POINTS.items() for key, *_ in points}
    assert len(answer.rows["summaries"]) == len(found)
    assert found.keys() == expected
    for (name, key), row in found.items():
        last, last_step, low, low_step, high, high_step, total, count, nans, first_step, attempt = row
        points = [
            (point[3], point[1], number, point[2]) for number, point in enumerate(POINTS[name]) if point[0] == key
        ]
        numbers = [point for point in sorted(points) if not math.isnan(point[3])]
        newest = max(points, key=lambda point: point[:3])
        assert (bits(last), last_step, attempt) == (bits(newest[3]), newest[1], newest[0]), (name, key)
        assert (count, nans) == (len(points), len(points) - len(numbers)), (name, key)
        assert first_step == min(point[1] for point in points), (name, key)
        values = [point[3] for point in numbers] or [math.nan]
        assert (bits(low), bits(high)) == (bits(min(values)), bits(max(values))), (name, key)
        if numbers:
            assert low_step == next(point[1] for point in numbers if point[3] == min(values)), (name, key)
            assert high_step == next(point[1] for point in numbers if point[3] == max(values)), (name, key)
        else:
            assert (low_step, high_step) == (7, 7)
        assert float(total) == pytest.approx(sum(point[3] for point in numbers), nan_ok=True), (name, key)


def test_console_output(answer: Answer) -> None:
    assert answer.rows["logs"] == [
        ["a", "stdout", "hello\n", 1],
        ["a", "stderr", "warn ü\n", 1],
        ["c", "stdout", "again\n", 2],
        ["g", "stdout", "open line\n", 1],
    ]


def test_artifacts_and_their_content(answer: Answer) -> None:
    contents = {
        "sub/a.bin": b"content of a",
        "note.txt": b"text",
        "raw.bin": b"\x00\xffraw",
        "same.bin": b"content of a",
    }
    rows = answer.rows["artifacts"]
    assert [(row[0], row[1]) for row in rows] == [
        ("a", "note.txt"), ("a", "sub/a.bin"), ("g", "raw.bin"), ("g", "same.bin"),
    ]  # fmt: skip
    for (_, path, digest, size, media, kind), blob in zip(rows, answer.rows["blobs"], strict=True):
        content = contents[path]
        assert blob.encode("latin-1") == content
        assert (digest, size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert (media, kind) == (("text/plain", "text") if path == "note.txt" else ("application/octet-stream", "file"))


def test_datasets(answer: Answer) -> None:
    matrix, vector = answer.rows["datasets"]
    assert matrix[:2] == ["a", "matrix"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", matrix[2])
    assert matrix[3:5] == ["train", "memory"]
    assert json.loads(matrix[5]) == {"dtype": "int64", "shape": [2, 3]}
    assert (matrix[6], json.loads(matrix[7])) == (2, {"bytes": 48})
    assert vector[:2] == ["g", "vector"]
    assert vector[3] is None


def test_the_catalogue(answer: Answer) -> None:
    assert answer.rows["entries"] == {
        "pin": {answer.made["a"].id: {"reason": "r"}},
        "experiment": {"other": {"note": "ü"}},
    }


def test_the_example_query(answer: Answer) -> None:
    ids = {name[0]: row[7] for name, *row in answer.rows["runs"]}
    assert answer.rows["best"] == [
        [ids["a"], 0.125, "0.2"], [ids["z"], 0.25, None], [ids["g"], 1.0, None], [ids["h"], 7.0, None],
        [ids["c"], 100.0, None],
    ]  # fmt: skip


def test_types_do_not_depend_on_what_is_sealed(answer: Answer) -> None:
    assert answer.rows["types"] == [
        ["logs", "attempt", "INTEGER"], ["logs", "ref", "BIGINT"], ["logs", "seq", "BIGINT"],
        ["logs", "stream", "VARCHAR"], ["logs", "text", "VARCHAR"], ["logs", "time", "TIMESTAMP WITH TIME ZONE"],
        ["points", "attempt", "INTEGER"], ["points", "key", "VARCHAR"], ["points", "ref", "BIGINT"],
        ["points", "seq", "BIGINT"], ["points", "step", "BIGINT"], ["points", "time", "TIMESTAMP WITH TIME ZONE"],
        ["points", "value", "DOUBLE"],
    ]  # fmt: skip


def test_the_reader_cannot_import_mllab(lab: Lab) -> None:
    for module in ("mllab", "mllab.store.decode", "numpy"):
        with pytest.raises(AssertionError, match=f"No module named '{module.partition('.')[0]}"):
            read(lab, [f"import {module}"])
