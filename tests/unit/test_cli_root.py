"""The command line itself: options, errors, exit status, completion, doctor and the reference."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

import mllab
from mllab.cli import completion_values, failures
from mllab.cli.main import COMMANDS, root
from mllab.cli.reference import reference
from mllab.errors import FilterError, StoreError, UsageError
from mllab.plugins.manager import Plugins, use_plugins
from mllab.tui.place import Place, parse_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mllab.lab import Lab

    Call = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs one command and returns status, output and diagnostics."""
    monkeypatch.setenv("MLLAB_LAB", lab.root)

    def run(*args: str) -> tuple[int, str, str]:
        status = root.main(list(args), standalone_mode=False)
        done = capsys.readouterr()
        return status, done.out, done.err

    return run


def commands(group: click.Group = root, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group, **root.context_settings)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], call: Call) -> None:
    status, out, _ = call(*path, "--help")
    assert status == 0
    assert out.startswith(f"Usage: mllab {' '.join(path)}")
    assert call(*path, "-h")[:2] == (0, out)


def test_help_lists_every_command(call: Call) -> None:
    status, out, _ = call("--help")
    assert status == 0
    assert all(f"  {name} " in out for name in COMMANDS)


def test_the_version(call: Call) -> None:
    assert call("--version") == (0, f"mllab {mllab.__version__}\n", "")


def test_through_clicks_own_runner(lab: Lab) -> None:
    done = CliRunner().invoke(root, ["--lab", lab.root, "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["runs"] == 0
    done = CliRunner().invoke(root, ["runs", "ls", "--bogus"])
    assert done.exit_code == 2
    assert "error: No such option" in done.output


@pytest.mark.parametrize("before", [True, False])
def test_global_options_stand_before_or_behind_the_command(call: Call, tmp_path: Path, before: bool) -> None:
    other = mllab.Lab.init(str(tmp_path / "other"))
    options = ["--lab", other.root, "--json"]
    command = ["store", "stats"]
    status, out, _ = call(*options, *command) if before else call(*command, *options)
    assert status == 0
    assert json.loads(out)["runs"]["open"] == 0
    assert json.loads(call("store", *options, "stats")[1])["total_bytes"]


@pytest.mark.parametrize(
    ("args", "status", "code"),
    [
        (["nonsense"], 2, "USE-001"), (["runs", "lss"], 2, "USE-001"), (["runs", "ls", "--bogus"], 2, "USE-001"),
        (["runs", "ls", "--limit", "x"], 2, "USE-001"), (["runs", "show"], 2, "USE-001"), (["runs"], 2, "USE-001"),
        (["runs", "show", "nope"], 2, "USE-002"), (["--lab", "/no/such/lab", "runs", "ls"], 2, "USE-004"),
        (["runs", "ls", "lr <"], 2, "FILTER-001"), (["runs", "ls", "-c", "nope"], 2, "USE-001"),
        (["sql", "SELEC"], 1, "QUERY-001"), (["init", "/dev/null/x"], 2, "USE-001"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_errors_are_one_line_and_a_hint(call: Call, args: list[str], status: int, code: str) -> None:
    found, out, err = call(*args)
    assert (found, out) == (status, "")
    assert err.startswith("error: ")
    assert f"[{code}]" in err.splitlines()[0]
    assert "Traceback" not in err
    found, out, err = call(*args, "--json")
    assert (found, out) == (status, "")
    error = json.loads(err)["error"]
    assert error.keys() >= {"code", "message", "hint"}
    assert error["code"] == code


def test_a_command_that_is_nearly_right_is_named(call: Call) -> None:
    assert "Did you mean 'runs'?" in call("rusn")[2]
    assert "Did you mean 'show'?" in call("runs", "shwo")[2]


def test_a_wrong_filter_is_pointed_at(call: Call) -> None:
    _, _, err = call("runs", "ls", "status = finished and")
    lines = err.splitlines()
    assert lines[1] == "  status = finished and"
    assert lines[2].index("^") == len("  status = finished and") + 0
    error = json.loads(call("runs", "ls", "status = finished and", "--json")[2])["error"]
    assert (error["text"], error["column"]) == ("status = finished and", 21)


def test_the_pointer_stays_under_its_column_in_long_and_strange_text() -> None:
    text = "x" * 500 + "\x1b訓" + "!" + "y" * 500
    shown, caret = failures.pointer(text, 502)
    assert len(shown) < 120
    before = shown[: shown.index("!")]
    from mllab.security.terminal import width

    assert width(before) == caret.index("^")
    assert failures.pointer("short", 5) == ("short", "     ^")


def test_debug_adds_a_traceback(call: Call) -> None:
    assert "Traceback" in call("runs", "show", "nope", "--debug")[2]
    assert "Traceback" in call("--debug", "runs", "show", "nope")[2]


@pytest.mark.parametrize(
    ("error", "status", "code", "words"),
    [
        (StoreError("The store\x1b[2J is odd."), 3, "STORE-001", "error: The store\\x1b[2J is odd."),
        (FilterError("No.", text="a < ", column=4), 2, "FILTER-001", "error: No."),
        (OSError(28, "No space left on device", "/x"), 3, "ENV-001", "No space left on device: /x"),
        (ModuleNotFoundError("No module named 'x'"), 3, "ENV-001", "No module named 'x'"),
        (ZeroDivisionError("division by zero"), 1, "MLLAB-000", "Unexpected ZeroDivisionError: division by zero"),
        (AssertionError(), 1, "MLLAB-000", "Unexpected AssertionError"),
    ],
)
def test_any_error_ends_in_words(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str, words: str
) -> None:
    def fail(*_args: Any) -> None:
        raise error

    monkeypatch.setattr("mllab.cli.lab.print_overview", fail)
    found, out, err = call()
    assert (found, out) == (status, "")
    assert words in err
    assert f"[{code}]" in err
    assert "\x1b" not in err


def test_ctrl_c_and_a_broken_pipe_have_their_own_status(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_args: Any) -> None:
        raise KeyboardInterrupt

    def broken(*_args: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("mllab.cli.lab.print_overview", interrupt)
    assert call() == (130, "", "")
    monkeypatch.setattr("mllab.cli.lab.print_overview", broken)
    monkeypatch.setattr("mllab.cli.main._stop_writing", lambda *_: None)
    assert call() == (141, "", "")


def test_multi_line_messages_keep_their_lines(call: Call) -> None:
    err = call("sql", "SELECT 1 FROM\n nowhere")[2]
    first, *rest = err.splitlines()
    assert first.endswith("[QUERY-001]")
    assert all(line.startswith("  ") for line in rest[:-1] if line)


# -- plugins ---------------------------------------------------------------------------------------------------


@pytest.fixture
def plugin() -> Iterator[None]:
    from mllab.plugins.hookspecs import hookimpl

    class Hello:
        @hookimpl
        def mllab_cli_commands(self) -> list[click.Command]:
            @click.command("hello", help="Greet.")
            def hello() -> None:
                click.echo("hello")

            @click.command("runs")
            def runs() -> None:
                click.echo("not these")

            return [hello, runs]

    plugins = Plugins.load([])
    plugins.register(Hello(), "hello")
    before = use_plugins(plugins)
    yield
    use_plugins(before)


@pytest.mark.usefixtures("plugin")
def test_plugins_add_commands_and_replace_none(call: Call) -> None:
    assert call("hello") == (0, "hello\n", "")
    assert call("runs", "ls")[1] == ""
    out = call("--help")[1]
    assert "hello" in out
    assert out.count("  runs ") == 1
    assert "hello" not in reference()


# -- init ------------------------------------------------------------------------------------------------------


def test_init_makes_a_lab_once(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "new lab"
    status, out, _ = call("init", str(folder), "--name", 'my "lab"')
    assert status == 0
    assert str(folder) in out
    found = json.loads(call("init", str(folder), "--json")[1])
    assert (found["created"], found["name"]) == (False, 'my "lab"')
    assert "already" in call("init", str(folder))[1]
    assert mllab.Lab.find(str(folder)).name == 'my "lab"'


def test_links_lead_to_runs() -> None:
    assert parse_link("mllab:///runs/abc?at=step") == Place("run", "abc", {"at": "step"})
    assert parse_link("mllab://lab/runs/a%20b") == Place("run", "a b")
    assert parse_link("plain name") == Place("run", "plain name")
    with pytest.raises(UsageError, match="no link"):
        parse_link("mllab:")


def test_a_link_to_a_list_needs_a_terminal_and_says_what_does_without(call: Call, lab: Lab) -> None:
    status, out, err = call("open", "--lab", lab.root, "mllab:///runs?filter=loss+%3C+1")
    assert (status, out) == (2, "")
    assert "mllab open --plain 'mllab:///runs?filter=loss+%3C+1'" in err


# -- completion ------------------------------------------------------------------------------------------------


def completed(
    words: str, incomplete: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Return what a shell would be offered behind ``words``."""
    typed = f"mllab {words}".split()
    monkeypatch.setenv("_MLLAB_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join([*typed, f'"{incomplete}' if " " in incomplete else incomplete]))
    monkeypatch.setenv("COMP_CWORD", str(len(typed)))
    assert root.main([], standalone_mode=False) in (0, 1)
    done = capsys.readouterr()
    assert done.err == ""
    return [line.partition(",")[2] for line in done.out.splitlines() if line]


@pytest.fixture
def complete(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], list[str]]:
    for name in ("mlp-small", "mlp-large", "twin", "twin", "has space", "evil\x1b]52;c;x\x07"):
        with mllab.start_run("e", name, lab=lab, capture=False, params={"lr": 0.1}) as run:
            run.log({"train/loss": 1.0})
    monkeypatch.setenv("MLLAB_LAB", lab.root)
    return lambda words, incomplete: completed(words, incomplete, capsys, monkeypatch)


def test_commands_and_options_complete(complete: Callable[[str, str], list[str]]) -> None:
    assert complete("runs", "sh") == ["show"]
    assert "--limit" in complete("runs ls", "--li")
    assert complete("runs compare --by", "m") == ["min", "max", "mean"]


def test_runs_complete_by_name_or_id(complete: Callable[[str, str], list[str]], lab: Lab) -> None:
    assert complete("runs show", "mlp") == ["mlp-large", "mlp-small"]
    run_id = lab.engine.resolve("mlp-small")
    assert complete("runs show", run_id[-8:-2]) == [run_id[-8:]]
    assert set(complete("runs show", run_id[:3])) > {run_id}, "the start of an id gives whole ids"
    texts = complete("runs show", "")
    assert "twin" not in texts, "two runs have this name: their ids can be typed"
    assert not any("\x1b" in text or " " in text for text in texts)
    assert len(texts) == 6


def test_filters_complete(complete: Callable[[str, str], list[str]]) -> None:
    assert "train/loss" in complete("runs ls", "tra")
    assert "status" in complete("runs ls", "stat")
    assert "finished" in complete("runs ls status =", "fin")
    assert "lr < 0.1 and train/loss" in complete("runs ls", "lr < 0.1 and tr")


def test_completion_without_a_lab_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completed("runs show", "x", capsys, monkeypatch) == []
    assert completed("--lab /no/such runs show", "x", capsys, monkeypatch) == []
    assert not Path(os.environ["XDG_DATA_HOME"]).exists()


def test_completion_gives_up_in_time(
    complete: Callable[[str, str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr("mllab.cli.locating.locate", lambda _path: release.wait(30))
    monkeypatch.setattr(completion_values, "BUDGET_S", 0.05)
    assert complete("runs show", "mlp") == []
    release.set()


@pytest.mark.parametrize("instruction", ["bash_nonsense", "nonsense", "tcsh_complete"])
def test_wrong_questions_are_answered_with_nothing(
    instruction: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_MLLAB_COMPLETE", instruction)
    assert root.main([], standalone_mode=False) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(call: Call, shell: str) -> None:
    status, out, _ = call("completion", shell)
    assert status == 0
    assert "_MLLAB_COMPLETE" in out
    assert f"{shell}_complete" in out


# -- the reference ---------------------------------------------------------------------------------------------


def test_the_reference_is_up_to_date() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m mllab.cli.reference > docs/reference/cli.md"


def test_the_reference_has_every_command() -> None:
    page = reference()
    for path in commands():
        assert f" mllab {' '.join(path)}\n" in page
