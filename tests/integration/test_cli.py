"""The command line as a process: what it loads, and pipes, locales, terminals, signals and read-only labs."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mllab
from mllab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

MLLAB = [sys.executable, "-m", "mllab"]
SRC = str(Path(__file__).parents[2] / "src")
HEAVY = ("numpy", "pyarrow", "polars", "rich", "textual", "pandas", "sklearn", "pluggy")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab with nothing left to seal."""
    lab = Lab.init(str(tmp_path_factory.mktemp("sealed") / "lab"))
    for seed in range(8):
        with mllab.start_run(
            "digits", f"run-{seed} ‰", lab=lab, capture=False, params={"lr": 0.1, "seed": seed}
        ) as run:
            run.log_batch("train/loss", range(100), [1 / (step + 1) for step in range(100)])
            run.writer.event("out", {"s": "stdout", "x": "hello ‰ \x1b[1mworld\n" * 20_000})
    lab.store.seal()
    return lab


def environment(lab: Lab | None = None, **variables: str | None) -> dict[str, str]:
    """Return a small environment; a variable of None is taken out."""
    found = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_DATA_HOME", "PYTHONPATH") if name in os.environ}
    found |= {"PYTHONPATH": os.pathsep.join([SRC, found.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
    found |= {"MLLAB_STORE_AUTO_COMPACT": "0", "PYTHONWARNINGS": "error"}
    if lab is not None:
        found["MLLAB_LAB"] = lab.root
    for name, value in variables.items():
        found.pop(name, None)
        if value is not None:
            found[name] = value
    return found


def mllab_process(*args: str, env: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MLLAB, *args], env=env, capture_output=True, encoding="utf-8", errors="replace", timeout=60, check=False, **options)  # fmt: skip


# -- what is loaded ------------------------------------------------------------------------------------------


def loaded(args: list[str], names: tuple[str, ...], env: dict[str, str]) -> set[str]:
    """Return which of some modules a call loads."""
    script = f"""
import sys
from mllab.cli.main import root
assert root.main({args!r}, standalone_mode=False) == 0
print(*sorted(set({names!r}) & set(sys.modules)), file=sys.stderr)"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.split())


def test_the_version_loads_click_alone(sealed: Lab) -> None:
    names = (*HEAVY, "duckdb", "click", "mllab.lab", "mllab.store.store", "mllab.config.settings", "importlib.metadata")
    assert loaded(["--version"], names, environment(sealed)) == {"click"}


@pytest.mark.parametrize(
    "args",
    [["runs", "ls"], ["runs", "ls", "lr < 1 order by train/loss"], ["runs", "ls", "--json"], ["runs", "show", "run-1 ‰"],
     ["runs", "compare", "run-1 ‰", "run-2 ‰"], ["runs", "tail", "run-1 ‰"], ["metrics", "--json"], []],
    ids=" ".join,
)  # fmt: skip
def test_reading_a_sealed_lab_loads_duckdb_alone(sealed: Lab, args: list[str]) -> None:
    found = loaded(args, (*HEAVY, "duckdb"), environment(sealed))
    assert found - {"run", "runs"} == {"duckdb"}, found


def test_help_loads_nothing_heavy(sealed: Lab) -> None:
    found = loaded(["runs", "--help"], (*HEAVY, "duckdb"), environment(sealed))
    assert found == set()
    # Plugins may add commands to the top: finding them takes pluggy.
    assert loaded(["--help"], (*HEAVY, "duckdb"), environment(sealed)) <= {"pluggy"}


def test_the_check_of_what_is_loaded_can_fail(sealed: Lab) -> None:
    assert "pyarrow" in loaded(["sql", "SELECT 1"], HEAVY, environment(sealed))


# -- pipes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["runs", "tail", "run-1 ‰", "-n", "0"], ["sql", "SELECT * FROM range(3000000)", "-f", "csv"], ["metrics", "-f", "jsonl"]], ids=lambda a: a[0])  # fmt: skip
def test_a_reader_that_leaves_early_is_no_error(sealed: Lab, args: list[str]) -> None:
    with subprocess.Popen(
        [*MLLAB, *args], env=environment(sealed), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10)
        process.stdout.close()
        error = process.stderr.read().decode()
        assert process.wait(60) == 141
    assert error == ""


@pytest.mark.parametrize("close", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(sealed: Lab, close: str) -> None:
    for command in ("runs ls", "runs show nope", "", "doctor"):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {command} {close}', "sh", *MLLAB], env=environment(sealed), capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == (2 if "nope" in command else 0), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_that_cannot_be_written_is_an_error(sealed: Lab) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([*MLLAB, "runs", "ls"], env=environment(sealed), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith("error: No space left on device")


# -- environments --------------------------------------------------------------------------------------------

LOCALES: list[dict[str, str | None]] = [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "POSIX"},
    {"LANG": "nowhere_XX.nothing"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C.UTF-8"},
]


@pytest.mark.parametrize("variables", LOCALES, ids=str)
def test_any_locale(sealed: Lab, variables: dict[str, str | None]) -> None:
    env = environment(sealed, **variables)
    for args in (["runs", "ls"], ["runs", "show", "run-1"[:5]], ["metrics"], ["runs", "tail", "run-2"], ["doctor"], ["runs", "export", "-f", "md"]):  # fmt: skip
        done = mllab_process(*args, env=env)
        assert "Traceback" not in done.stderr, done.stderr
        assert "Unicode" not in done.stderr
        assert done.returncode in (0, 2)
    listed = mllab_process("runs", "ls", "-c", "name,status", env=env)
    assert listed.returncode == 0
    assert "run-7" in listed.stdout
    assert "finished" in listed.stdout


def test_without_a_home(sealed: Lab, tmp_path: Path) -> None:
    env = environment(sealed, HOME=None, XDG_DATA_HOME=None)
    assert mllab_process("runs", "ls", env=env).returncode == 0
    env = environment(None, HOME=str(tmp_path / "home"), XDG_DATA_HOME=None)
    done = mllab_process("--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["origin"] == "user default"


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    env = environment(None, HOME=str(tmp_path / "home"), XDG_DATA_HOME=None)
    done = mllab_process("runs", "ls", env=env, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_in_a_folder_that_is_gone(sealed: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    script = f'cd "{folder}" && rmdir "{folder}" && exec "$@"'
    for args in (["runs", "ls"], ["doctor"], ["completion", "bash"]):
        done = subprocess.run(["sh", "-c", script, "sh", *MLLAB, *args], env=environment(sealed), capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        folder.mkdir()


def read_only(root: Path) -> Iterator[None]:
    """Take away the right to write, for as long as it takes; root needs a file system that says no."""
    paths = [root, *root.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(modes[path] & ~0o222)
    yield
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.fixture
def read_only_lab(tmp_path: Path) -> Iterator[tuple[Lab, list[str]]]:
    """A lab nobody can write to, and how to start a process that root's rights do not help."""
    lab = Lab.init(str(tmp_path / "lab"))
    for name in ("sealed", "open"):
        with mllab.start_run("e", name, lab=lab, capture=False, params={"lr": 0.1}) as run:
            run.log({"loss": 1.0})
            run.log_text("hello", "a.txt")
        if name == "sealed":
            lab.store.seal()
    prefix: list[str] = []
    if os.geteuid() == 0:
        mount = f'mount --bind "{lab.root}" "{lab.root}" && mount -o remount,ro,bind "{lab.root}" && exec "$@"'
        prefix = ["unshare", "-m", "sh", "-c", mount, "sh"]
        with contextlib.suppress(OSError):
            if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
                yield lab, prefix
                return
        pytest.skip("root, and no mount namespaces: everything can be written")
    with contextlib.contextmanager(read_only)(Path(lab.root)):
        yield lab, prefix


def test_a_read_only_lab_can_be_read(read_only_lab: tuple[Lab, list[str]], tmp_path: Path) -> None:
    lab, prefix = read_only_lab

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*prefix, *MLLAB, *args], env=environment(lab), capture_output=True, text=True, timeout=60, check=False)  # fmt: skip

    for args in (
        ["runs", "ls"], ["runs", "show", "open"], ["runs", "compare", "open", "sealed"], ["metrics"], ["sql", "FROM runs"],
        ["store", "verify"], ["store", "stats"], ["store", "gc"], ["doctor"], [], ["artifacts", "get", "open", "-o", str(tmp_path / "got")],
    ):  # fmt: skip
        done = run(*args)
        assert done.returncode == 0, (args, done.stderr)
    checks = {check["name"]: check for check in json.loads(run("doctor", "--json").stdout)["checks"]}
    assert checks["writable"]["state"] == "lack"
    for args in (["runs", "tag", "open", "a=b"], ["store", "seal"]):
        done = run(*args)
        assert done.returncode in (1, 3)
        assert done.stderr.startswith("error: "), done.stderr
        assert "Traceback" not in done.stderr


# -- terminals -----------------------------------------------------------------------------------------------


def on_a_terminal(args: list[str], env: dict[str, str], columns: int, answer: bytes = b"", *, wait_for: bytes = b"[y/N]") -> tuple[str, int]:  # fmt: skip
    """Run a command on a terminal of its own; return what it shows and its status."""
    import fcntl
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # Ctrl-C becomes a signal on a controlling terminal only.
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", take, *MLLAB, *args], env=env, stdin=follower, stdout=follower, stderr=follower,
        start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            ready, _, _ = select.select([leader], [], [], 0.5)
            if ready:
                try:
                    data = os.read(leader, 65536)
                except OSError:  # Linux says EIO when the last writer is gone
                    break
                if not data:
                    break
                shown += data
                if answer and wait_for in shown:
                    os.write(leader, answer)
                    answer = b""
        return shown.decode(), process.wait(10)
    finally:
        os.close(leader)
        process.kill()
        process.wait()


@pytest.mark.parametrize("columns", [20, 80, 120])
def test_a_table_on_a_terminal_fits_and_is_coloured(sealed: Lab, columns: int) -> None:
    shown, status = on_a_terminal(["runs", "ls"], environment(sealed, TERM="xterm-256color"), columns)
    assert status == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert plain != shown
    table = [line for line in plain.split("\r\n") if "run-" in line]
    assert len(table) == 8
    assert all(len(line) <= columns for line in table)
    assert ("finished" in plain) == (columns > 20)


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}])
def test_no_colour_where_it_is_not_wanted(sealed: Lab, variables: dict[str, str]) -> None:
    shown, _ = on_a_terminal(["runs", "ls"], environment(sealed, **variables), 80)
    assert "\x1b" not in shown
    shown, _ = on_a_terminal(["runs", "ls", "--no-color"], environment(sealed, TERM="xterm"), 80)
    assert "\x1b" not in shown


def test_a_deletion_is_confirmed_on_the_terminal(lab: Lab) -> None:
    with mllab.start_run("e", "doomed", lab=lab, capture=False):
        pass
    env = environment(lab, TERM="dumb")
    shown, status = on_a_terminal(["runs", "delete", "doomed"], env, 80, b"\x03")
    assert status in (130, -signal.SIGINT), shown
    shown, status = on_a_terminal(["runs", "delete", "doomed"], env, 80, b"n\n")
    assert status == 1
    assert lab.engine.rows("SELECT count(*) FROM runs") == [(1,)]
    shown, status = on_a_terminal(["runs", "delete", "doomed"], env, 80, b"y\n")
    assert status == 0
    assert "mllab runs restore" in shown
    assert lab.engine.rows("SELECT count(*) FROM runs") == [(0,)]


def test_files_on_a_terminal_cannot_command_it(lab: Lab) -> None:
    with mllab.start_run("e", "r\x1b]52;c;aGk=\x07", lab=lab, capture=False) as run:
        run.log_text("\x1b[2Jevil\n", "a.txt")
        run.log_artifact(b"\xff\xfe\x00", "b.bin")
        run.writer.event("out", {"s": "stdout", "x": "50%"})
        run.writer.event("out", {"s": "stdout", "x": "\x1b[2Jdone\n"})
    env = environment(lab, TERM="dumb")
    for args in (["artifacts", "get", run.id, "a.txt", "-o", "-"], ["runs", "export"], ["runs", "tail", run.id, "-f"]):
        shown, status = on_a_terminal(args, env, 80)
        assert status == 0, shown
        assert "\x1b[2J" not in shown
        assert "\x1b]" not in shown
    shown, status = on_a_terminal(["artifacts", "get", run.id, "b.bin", "-o", "-"], env, 80)
    assert status == 2
    shown, status = on_a_terminal(["runs", "export", "-f", "parquet"], env, 80)
    assert status == 2


# -- live runs and signals -----------------------------------------------------------------------------------

WRITER = """
import sys, time, mllab
with mllab.start_run("e", "live", lab=sys.argv[1], capture=False) as run:
    run.writer.event("out", {"s": "stdout", "x": "first\\n"})
    for line in sys.stdin:
        run.writer.event("out", {"s": "stdout", "x": line})
"""


def test_following_a_live_run_until_it_ends(lab: Lab) -> None:
    env = environment(lab)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, lab.root], env=env, stdin=subprocess.PIPE, text=True)
    assert writer.stdin is not None
    try:
        deadline = time.monotonic() + 30
        while not lab.engine.rows("SELECT 1 FROM logs") and time.monotonic() < deadline:
            time.sleep(0.02)
        follower = subprocess.Popen([*MLLAB, "runs", "tail", "live", "-f"], env=env, stdout=subprocess.PIPE, text=True)
        assert follower.stdout is not None
        try:
            assert follower.stdout.readline() == "first\n"
            for word in ("second", "third"):
                writer.stdin.write(f"{word}\n")
                writer.stdin.flush()
                assert follower.stdout.readline() == f"{word}\n"
            assert follower.poll() is None
            writer.stdin.write("last\n")
            writer.stdin.close()
            assert follower.stdout.read() == "last\n"
            assert follower.wait(30) == 0, "the run has ended, and so has following it"
        finally:
            follower.kill()
            follower.wait()
            follower.stdout.close()
    finally:
        writer.stdin.close()
        writer.wait(30)


def test_ctrl_c_ends_following_at_once_and_quietly(lab: Lab) -> None:
    with mllab.start_run("e", "live", lab=lab, capture=False) as run:
        run.writer.event("out", {"s": "stdout", "x": "first\n"})
        process = subprocess.Popen([*MLLAB, "runs", "tail", run.id, "-f"], env=environment(lab), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error == ""


def test_ctrl_c_ends_a_query(sealed: Lab) -> None:
    query = "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE a.range = -b.range - 1"
    # It says when it begins, so that the signal does not come before.
    script = f"""
import sys
from mllab.query.sandbox import Sandbox
from mllab.cli.main import root
run = Sandbox.run
Sandbox.run = lambda *a, **k: (print("begun", flush=True), run(*a, **k))[1]
root.main(["sql", {query!r}])"""
    process = subprocess.Popen([sys.executable, "-c", script], env=environment(sealed), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == ""


# -- shells --------------------------------------------------------------------------------------------------


def test_bash_completes_with_the_script_it_is_given(sealed: Lab, tmp_path: Path) -> None:
    """The whole way: the script, the shell's variables, the process, the reply."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    command = bin_folder / "mllab"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m mllab "$@"\n')
    command.chmod(0o700)
    env = environment(sealed, PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    script = tmp_path / "completion.bash"
    script.write_text(mllab_process("completion", "bash", env=env).stdout)
    ask = f"""
source {script}
COMP_WORDS=(mllab runs sh); COMP_CWORD=2
$(complete -p mllab | sed 's/.*-F \\([^ ]*\\) .*/\\1/') mllab sh runs
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", ask], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["show"]
