"""Plain mode: what the table shows, in words; commands from pipes and a terminal; nothing that moves the cursor."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from benchmarks.measure import environment
from benchmarks.pty_session import PtySession
from tests.support.ui import drive

from mllab.plain.listing import numbers
from mllab.plain.session import SYNONYMS, TAKES, PlainSession
from mllab.plain.voice import Voice
from mllab.plain.words import listed_rows, row_words
from mllab.tracking.start import start_run
from mllab.tui.actions import ACTIONS
from mllab.tui.services import run_list

if TYPE_CHECKING:
    from mllab.lab import Lab

ROOT = Path(__file__).parents[2]


class Spoken:
    """A session that is given lines, and what it said."""

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> None:
        self.lab = lab
        self._out, self._err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        self.session = PlainSession(lab, Voice(self._out, self._err))
        self._heard = 0

    def __call__(self, *commands: str, answers: str = "") -> str:
        """Perform commands; return what they said, errors after the rest."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
        for command in commands:
            self.session.command(command)
        buffers = [each.buffer for each in (self._out, self._err)]
        texts = [each.getvalue().decode(self._out.encoding) for each in buffers]
        for each in (self._out, self._err):
            each.seek(0)
            each.truncate()
        return "".join(texts)


@pytest.fixture
def spoken(study: Lab, monkeypatch: pytest.MonkeyPatch) -> Spoken:
    return Spoken(study, monkeypatch)


def piped(lab: Lab, script: str, *options: str, **more) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mllab", "--lab", lab.root, *(options or ("--plain",))]
    return subprocess.run(argv, input=script, capture_output=True, text=True, timeout=120, check=False, **more)


# -- the same as the table -----------------------------------------------------------------------------------

VIEWS = [
    "",
    "mllab:///runs?filter=model+%3D+%27cnn%27&order=train/loss",
    "mllab:///runs?columns=name,status,started,ended,params.lr,metrics.acc,min(train/loss),tags.team,attempt,archived",
    "mllab:///runs?which=deleted",
    "mllab:///runs?filter=lr+%3E+5",
]


@pytest.mark.parametrize("link", VIEWS)
def test_the_cells_are_those_of_the_terminal_ui(link: str, spoken: Spoken, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken("show 3", "delete", answers="y\n")
    spoken("runs", "pin 2")
    # "2s ago" must not become "3s ago" between the two.
    monkeypatch.setattr(run_list, "time", SimpleNamespace(time=lambda: 2e9))
    shown: list[tuple[list[str], list[list[str]]]] = []

    async def look(ui) -> None:
        await ui.until(lambda: ui.app.listed is not None, "the list")
        screen = ui.app.lab_screen
        await ui.until(lambda: (screen.source is not None and screen.source.row(0) is not None) or not len(screen.source), "rows")  # fmt: skip
        rows = [screen.source.row(index) for index in range(len(screen.source))]
        shown.append(
            ([column.title for column in screen.table.columns], [[cell.text for cell in row.cells] for row in rows])
        )

    drive(spoken.lab, look, link or "mllab:///runs")
    said = spoken(f"open {link or 'mllab:///runs'}").splitlines()
    listed = spoken.session.present_list()
    ((titles, cells),) = shown
    assert [column.title for column in listed.columns] == titles
    rows = listed_rows(spoken.lab.engine, listed, 0, len(listed.refs), spoken.session.state.pins)
    assert [[cell.text for cell in row.cells] for row in rows] == cells
    lines = [line for line in said if line.split(".")[0].isdigit()]
    assert len(lines) == len(cells)
    for line, texts in zip(lines, cells, strict=True):
        pieces = line.partition(". ")[2].split(", ")
        for text in filter(None, texts):
            assert any(piece == text or piece.endswith(f" {text}") for piece in pieces), (text, line)
        has_status = "status" in titles
        assert len(pieces) == len(list(filter(None, texts))) + (not has_status)


def test_rows_beyond_the_first_page_are_read_the_same(spoken: Spoken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_list, "PAGE_ROWS", 4)
    listed = spoken.session.present_list()
    assert len(listed.first) == 4
    engine = spoken.lab.engine
    far = listed_rows(engine, listed, 2, 9, ())
    monkeypatch.undo()
    whole = run_list.answer(engine, spoken.session.view, (), {}, listed.terms).first
    assert [row.key for row in far] == [row.key for row in whole[2:9]]
    assert [row_words(listed, row).rpartition(", ")[0] for row in far] == [
        row_words(listed, row).rpartition(", ")[0] for row in whole[2:9]
    ]


def test_every_command_is_an_action_of_the_table(spoken: Spoken) -> None:
    names = {action.name for action in ACTIONS}
    offered = spoken.session.offered()
    assert {"runs", "filter", "sort", "columns", "show", "open", "compare", "inbox", "tag", "note", "rename", "archive",
            "delete", "undo", "redo", "export", "help", "quit", "follow", "page-down", "page-up"} <= set(offered)  # fmt: skip
    methods = {name for name in dir(spoken.session) if name.startswith("do_")}
    assert methods == {action.method for action in offered.values()}, "a command is no action"
    assert set(offered) <= names
    assert set(TAKES) <= set(offered)
    assert set(SYNONYMS.values()) <= set(offered)
    said = spoken("help").splitlines()
    for name in offered:
        assert any(line.split(":")[0].split(" ")[0] == name for line in said), name
    assert spoken("help sort").startswith("sort TERM [desc]: ")


def test_it_imports_nothing_of_textual() -> None:
    code = "import sys, mllab.cli.plain, mllab.plain.session; print('textual' in sys.modules, 'duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"


# -- commands ------------------------------------------------------------------------------------------------


def test_filters_orders_columns_and_pages(spoken: Spoken, monkeypatch: pytest.MonkeyPatch) -> None:
    said = spoken("filter model = 'cnn' and lr < 1", "sort acc desc", "columns name,acc").splitlines()
    assert said[-6:] == [
        "4 of 9 runs, filter model = 'cnn' and lr < 1", "By metrics.acc, descending", "1. cnn-0.1-1, acc 0.9936, finished",
        "2. cnn-0.1-2, acc 0.9886, finished", "3. cnn-0.01-1, acc 0.7178, finished", "4. cnn-0.01-2, acc 0.7128, finished",
    ]  # fmt: skip
    assert spoken("/lr = 1").splitlines()[0] == "1 of 9 runs, filter lr = 1"
    assert spoken("filter").splitlines()[0] == "9 runs"
    monkeypatch.setattr("mllab.plain.listing.PAGE_ROWS", 4)
    assert "Rows 1 to 4 of 9" in spoken("top")
    assert "\n5. " in spoken("next")
    assert spoken("page-down", "page-down").splitlines()[-1] == "There are no more rows."
    assert "Rows 5 to 8 of 9" in spoken("previous")
    assert "Rows 9 to 9 of 9" in spoken("bottom")
    assert spoken("top", "page-up").splitlines()[-1] == "These are the first rows."


def test_a_run_is_a_fact_a_line(spoken: Spoken) -> None:
    said = spoken("open broken").splitlines()
    assert said[0] == "Run broken"
    assert "status: failed" in said
    assert "error: ValueError: the loss is NaN \\x1b[31m[red]" in said
    assert "param lr: 1.0" in said
    assert (
        "metric train/loss: last nan at step 19, least 1 at step 0, most 1 at step 0, 20 points, 10 of them NaN" in said
    )
    assert spoken("sort name", "show 1").splitlines()[-16:] != said
    assert "Run broken" in spoken("show 1")


def test_comparisons_and_the_inbox(spoken: Spoken) -> None:
    said = spoken("compare cnn-0.1-1 cnn-0.1-2").splitlines()
    assert said[0] == "Comparing 2 runs; cnn-0.1-1 is the baseline."
    assert "seed of cnn-0.1-2: 2" in said
    assert "status of cnn-0.1-1: finished" in said
    assert not any(line.startswith("lr of") for line in said)
    marked = spoken("sort name", "mark 2-3", "compare")
    assert "2 runs marked." in marked
    assert "Comparing 2 runs" in marked
    assert "1. failed, broken, ValueError" in spoken("inbox")
    assert "Nothing needs attention." in spoken("acknowledge 1")
    assert "1. seen, failed, broken" in spoken("all")


def test_edits_are_undone_and_shared_with_the_terminal_ui(spoken: Spoken) -> None:
    assert "Which run?" in spoken("tag a=b")
    said = spoken("open broken", "tag a=b team-", "note two words", "rename mended", "archive")
    for each in ("Tagged broken: a=b team-", "Noted on broken", "Renamed broken to mended", "Archived mended"):
        assert f"{each}. undo takes it back." in said
    assert "That changes nothing." in spoken("tag a=b")
    assert spoken.session.journal.labels("done")[-1] == "Archived mended"
    said = spoken("undo", "undo", "undo", "undo", "undo")
    assert said.splitlines()[-1] == "There is nothing to undo."
    assert "Run broken" in spoken("open broken")
    assert "Done again: Tagged broken: a=b team-" in spoken("redo")

    async def look(ui) -> None:
        await ui.press("z")
        await ui.until(lambda: "Undone: Tagged broken" in ui.said, "the undo")

    drive(spoken.lab, look)
    assert "tag a" not in spoken("open broken")
    assert "There is nothing to undo." in spoken("undo")


@pytest.mark.parametrize(("answer", "deleted"), [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False), ("", False), ("yup\n", False)])  # fmt: skip
def test_deletion_asks(answer: str, deleted: bool, spoken: Spoken) -> None:
    said = spoken("filter lr = 1", "delete 1", answers=answer)
    assert "Delete 1 run? y or n:" in said
    assert ("Deleted broken. undo takes it back." in said) == deleted
    assert ("Nothing was deleted." in said) != deleted
    assert spoken("filter").startswith("8 runs" if deleted else "9 runs")


def test_export_views_and_links(spoken: Spoken, tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    assert f"Wrote 4 runs to {path}" in spoken("filter model = 'mlp'", "columns name,lr", f"export {path}")
    assert len(json.loads(path.read_text())) == 4
    assert "Saved as mine" in spoken("save-view mine", "filter")
    assert "4 of 9 runs, filter model = 'mlp'" in spoken("views mine")
    link = spoken("link").strip()
    assert spoken("filter", f"open {link}").splitlines()[-5:-4] == ["4 of 9 runs, filter model = 'mlp'"]
    assert spoken("views").splitlines() == ["1 saved view", "mine"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("filter loss <", "error: The filter ends where a value was expected. [FILTER-001]\nAt character 7 of: loss <\n"),
        ("charts", "There is no command 'charts'"), ("shw 1", "Did you mean show?"), ("zoom-in", "zoom-in works in the terminal UI alone"),
        ("show", "Which row?"), ("show 99", "There is no row 99."), ("show 0", "There is no row 0."), ("open", "Which run?"),
        ("open nobody", "nobody"), ("compare cnn-0.1-1", "at least two"), ("sort", "Sort by what?"), ("columns nope", "nope"),
        ("export", "To which file?"), ("export x.doc", "names no format"), ("mark x", "'x' is no number."), ("rename", "Which run?"),
        ("views nope", "There is no view 'nope'"), ("which x", "There is no choice"), ("acknowledge 1", "There is no item 1."),
    ],
)  # fmt: skip
def test_errors_say_what_and_what_to_do(command: str, words: str, spoken: Spoken) -> None:
    assert words in spoken(command)
    assert spoken.session.status == 2


def test_remarks_and_colons_and_empty_lines(spoken: Spoken) -> None:
    assert spoken("", "   ", "# a remark") == ""
    # How long ago a run was may change from one call to the next.
    first, second = (re.sub(r"(now|\d+\w ago)$", "", spoken(text), flags=re.MULTILINE)
                     for text in (":filter lr = 1", "filter lr = 1"))  # fmt: skip
    assert first == second
    assert spoken.session.status == 0
    spoken("q")
    assert spoken.session.is_over


def test_numbers_are_bounded() -> None:
    from mllab.errors import UsageError

    assert numbers("1 3-5,4", 5, "row") == [1, 3, 4, 5]
    for text in ("", "0", "6", "5-4", "1-", "-1", "1-2-3", "a", "1.5", "²"):
        with pytest.raises(UsageError):
            numbers(text, 5, "row")
    with pytest.raises(UsageError):
        numbers("1-1000000", 1_000_000, "row")


# -- what goes out -------------------------------------------------------------------------------------------


def test_hostile_names_are_said_harmlessly(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "evil\x1b]0;x\x07\x1b[2J\r\n7. fine, finished\u202e"
    with start_run("e", name, lab=lab, capture=False, params={"p\x1b": "v\x1b[A"}, tags={"t\n": "\x9b1A"}) as run:
        run.set_note("one\x1b[2J\ntwo")
    said = Spoken(lab, monkeypatch)("runs", "show 1", "rename a\x1b[Ab")
    assert not any(ord(character) < 32 and character != "\n" for character in said)
    assert "\x9b" not in said
    assert "\u202e" not in said
    assert "\n7. fine" not in said
    assert "evil\\x1b]0;x\\x07" in said


def test_ascii_only_where_the_encoding_asks(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_run("e", "größe", lab=lab, capture=False) as run:
        run.log({"µ": 1.0})
    assert "1. \u2605 größe, µ 1" in Spoken(lab, monkeypatch)("runs", "pin 1")
    said = Spoken(lab, monkeypatch, "ascii")("runs")
    assert "1. * gr\\xf6\\xdfe, \\xb5 1" in said


# -- pipes and terminals -------------------------------------------------------------------------------------


def test_a_script_runs_to_its_end(study: Lab) -> None:
    done = piped(study, "filter lr = 1\nshow 1\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "mllab>" not in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[0] == "9 runs"
    assert "Run broken" in done.stdout


def test_a_script_that_fails_goes_on_and_says_so_in_its_status(study: Lab) -> None:
    done = piped(study, "filter <\nnope\nfilter lr = 1")
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 2
    assert "1 of 9 runs" in done.stdout


def test_quit_ends_a_script(study: Lab) -> None:
    done = piped(study, "quit\nfilter lr = 1\n")
    assert done.returncode == 0
    assert "1 of 9" not in done.stdout


@pytest.mark.parametrize("options", [("open", "--plain", "broken"), ("--plain", "open", "broken")])
def test_open_begins_at_a_run(options: tuple[str, ...], study: Lab) -> None:
    done = piped(study, "", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Run broken\n")


def test_plain_goes_with_few_commands(study: Lab) -> None:
    assert piped(study, "", "--plain", "doctor").returncode == 2
    assert piped(study, "", "--plain", "--json").returncode == 2


def test_following_says_what_happens_until_nothing_runs(lab: Lab) -> None:
    argv = [sys.executable, "-m", "mllab", "--plain", "--lab", lab.root]
    with start_run("e", "alive", lab=lab, capture=False) as run:
        run.log({"loss": 1.0})
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("columns name\nfollow\n")
        process.stdin.flush()
        while "Following which runs begin" not in process.stdout.readline():
            pass
        with start_run("e", "second", lab=lab, capture=False):
            while "second began: running." not in process.stdout.readline():
                pass
    said, _ = process.communicate(timeout=60)
    assert "alive was running and is finished." in said
    assert said.splitlines()[-1] == "Nothing is running."
    assert process.returncode == 0


def test_following_a_run_says_its_whole_lines(lab: Lab) -> None:
    argv = [sys.executable, "-m", "mllab", "open", "--plain", "--lab", lab.root, "talker"]
    with start_run("e", "talker", lab=lab, capture=False) as run:
        run.writer.event("out", {"s": "stdout", "x": "before\n"})
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("follow\n")
        process.stdin.flush()
        while "Following what" not in process.stdout.readline():
            pass
        for text in ("one\n\x1b[31mtwo\x1b[0m\n", "50%", "100%\n"):
            run.writer.event("out", {"s": "stdout", "x": text})
        heard = [process.stdout.readline() for _ in range(3)]
        run.writer.event("out", {"s": "stderr", "x": "unfinished"})
    said, _ = process.communicate(timeout=60)
    assert heard == ["one\n", "two\n", "100%\n"]
    assert said.splitlines() == ["unfinished", "talker is not running: finished."]


def prompted(session: PtySession, after: int = 0) -> int:
    """Wait for a prompt at the end of the output, the next one after so many; return how many there were."""
    limit = time.monotonic() + 60
    while not session.output.endswith(b"mllab> ") or session.output.count(b"mllab> ") <= after:
        assert time.monotonic() < limit, session.output[-500:]
        time.sleep(0.01)
    return session.output.count(b"mllab> ")


def test_a_terminal_has_a_prompt_history_completion_and_no_sequences(study: Lab, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "mllab", "--plain", "--lab", study.root]
    with PtySession(argv, cwd=str(ROOT), environ=environment(str(tmp_path))) as session:
        session.wait_for("quit to leave")
        session.wait_for("mllab> ")
        session.send(b"filter lr = 1\r")
        session.wait_for("1 of 9 runs")
        prompted(session, 1)  # before it, the terminal itself would edit what is typed
        session.send(b"so\tloss\x15")  # completed to `sort `, then thrown away
        session.wait_for("sort loss")
        session.send("up")
        session.wait_for("mllab> filter lr = 1")
        session.send(b" and seed = 1\r")
        session.wait_for("1 of 9 runs, filter lr = 1 and seed = 1")
        prompted(session)
        session.send(b"follow\r")
        session.wait_for("Following which")
        session.process.send_signal(signal.SIGINT)  # what Ctrl-C sends where the terminal is the controlling one
        session.wait_for("Stopped.")
        prompted(session)
        session.send(b"open broken\rdelete\r")
        session.wait_for("y or n: ")
        session.send(b"n\r")
        session.wait_for("Nothing was deleted.")
        prompts = prompted(session)
        session.process.send_signal(signal.SIGINT)
        prompted(session, prompts)
        session.send(b"nope <\r")
        session.wait_for("There is no command")
        prompted(session)
        session.send(b"\x04")
        assert session.process.wait(30) == 0
        session._reader.join(30)
        assert b"\x1b" not in session.output
    history = next(Path(os.environ["XDG_STATE_HOME"]).rglob("plain-history"))
    assert "filter lr = 1 and seed = 1" in history.read_text()
    assert os.stat(history).st_mode & 0o077 == 0
