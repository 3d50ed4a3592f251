"""Processes and threads that share a run, and every way in which they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest

from mllab.store.decode import is_locked

if TYPE_CHECKING:
    from mllab.lab import Lab

pytestmark = [pytest.mark.torture, pytest.mark.timeout(120)]

PRELUDE = """
import atexit, json, os, signal, subprocess, sys, threading, time
import mllab
from mllab.lab import Lab

lab = Lab.find(sys.argv[1])

def start(**options):
    return mllab.start_run("processes", "r", lab=lab, capture=False, on_error="raise", **options)

def say(*words):
    os.write(1, (json.dumps(words) + "\\n").encode())
"""


def launch(lab: Lab, body: str) -> subprocess.Popen[str]:
    """Start a script with a lab, ``start()`` and ``say()`` at hand."""
    code = PRELUDE + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, lab.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(lab: Lab, body: str, status: int = 0) -> tuple[list[Any], str]:
    """Run a script to its end; return what it said, and its stderr."""
    with launch(lab, body) as process:
        out, err = process.communicate()
    assert process.returncode == status, err
    return [json.loads(line) for line in out.splitlines()], err


def hear(process: subprocess.Popen[str]) -> list[Any]:
    """Return the next thing a script says."""
    assert process.stdout is not None
    heard: list[Any] = json.loads(process.stdout.readline())
    return heard


def points(lab: Lab, key: str = "v") -> list[float]:
    return [value for (value,) in lab.engine.rows("SELECT value FROM r_points WHERE key = ? ORDER BY value", [key])]


def state(lab: Lab) -> tuple[Any, ...]:
    (found,) = lab.engine.rows("SELECT status, damaged FROM r_runs")
    return found


def counted(*ranges: tuple[int, int]) -> list[float]:
    return sorted(float(value) for first, count in ranges for value in range(first, first + count))


def end(process: subprocess.Popen[str]) -> None:
    """Kill a script and wait until it is gone."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def wait_until_dead(pid: int) -> None:
    """Wait for the end of a process that is nobody's child here, and of its threads, which share its files."""
    while True:
        try:
            os.kill(pid, 0)
            if sys.platform == "linux":  # in a container there may be nobody to reap it
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    is_zombie = file.read().rpartition(")")[2].split()[0] == "Z"
                if is_zombie and len(os.listdir(f"/proc/{pid}/task")) == 1:
                    return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.01)


# -- fork, spawn, exec -------------------------------------------------------------------------------------


def test_forked_children_and_theirs_log_to_the_same_run(lab: Lab) -> None:
    run(
        lab,
        """
        def work(first, depth):
            for value in range(first, first + 50):
                run.log({"v": value, f"depth{depth}": 0}, step=value)

        run = start()
        work(0, 0)
        children = []
        for number in range(1, 5):
            child = os.fork()
            if not child:
                work(number * 1000, 1)
                grandchild = os.fork()
                if not grandchild:
                    work(number * 1000 + 500, 2)
                    os._exit(0)
                work(number * 1000 + 50, 1)
                assert os.waitpid(grandchild, 0)[1] == 0
                os._exit(0)
            children.append(child)
        work(50, 0)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        run.finish()
        """,
    )
    starts = [(number * 1000, 100) for number in range(1, 5)] + [(number * 1000 + 500, 50) for number in range(1, 5)]
    for _ in range(2):
        assert points(lab) == counted((0, 100), *starts)
        assert state(lab) == ("finished", None)
        lab.store.seal()


def test_a_child_forked_while_threads_log_is_not_held_up_by_their_locks(lab: Lab) -> None:
    run(
        lab,
        """
        run = start()
        stop = threading.Event()

        def work(number):
            step = 0
            while not stop.is_set():
                run.log({"noise": number}, step=step)
                step += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for number in range(20):
            child = os.fork()
            if not child:
                signal.alarm(20)
                run.log({"v": number}, step=number)
                run.set_tags({f"child{number}": "x"})
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        run.finish()
        """,
    )
    assert points(lab) == counted((0, 20))
    assert state(lab) == ("finished", None)
    assert lab.engine.rows("SELECT count(*) FROM tags") == [(20,)]


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_workers_of_multiprocessing_log_to_the_run_they_are_given(lab: Lab, method: str, tmp_path: Any) -> None:
    module = tmp_path / "workers_of_a_test.py"
    module.write_text(
        textwrap.dedent(
            """
            def work(run, first):
                for value in range(first, first + 20):
                    run.log({"v": value}, step=value)
                run.set_tags({f"worker{first}": "x"})
                return run.id, run.dropped
            """
        )
    )
    run(
        lab,
        f"""
        sys.path.insert(0, {str(tmp_path)!r})
        from concurrent.futures import ProcessPoolExecutor
        import multiprocessing
        import workers_of_a_test

        run = start()
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r})) as pool:
            for answer in pool.map(workers_of_a_test.work, [run] * 6, range(0, 600, 100)):
                assert answer == (run.id, 0)
        run.log({{"v": 1000}}, step=1000)
        run.finish()
        """,
    )
    assert points(lab) == counted(*((first, 20) for first in range(0, 600, 100)), (1000, 1))
    assert state(lab) == ("finished", None)
    assert lab.engine.rows("SELECT count(*) FROM tags") == [(6,)]


def test_a_run_lives_as_long_as_any_of_its_processes(lab: Lab) -> None:
    """The parent is killed first; the child goes on, and ends the run's life with its own."""
    process = launch(
        lab,
        """
        run = start()
        run.log({"v": 0}, step=0)
        child = os.fork()
        if not child:
            run.log({"v": 1}, step=1)
            say("child", os.getpid())
            while True:
                time.sleep(0.01)
                run.log({"v": 2}, step=2)
        time.sleep(100)
        """,
    )
    _, child = hear(process)
    assert state(lab) == ("running", None)
    end(process)
    before = len(points(lab))
    assert state(lab) == ("running", None)
    while len(points(lab)) < before + 3:  # it really goes on
        time.sleep(0.01)
    lab.store.seal()  # which must leave the living alone
    assert state(lab) == ("running", None)
    os.kill(child, signal.SIGKILL)
    wait_until_dead(child)
    assert state(lab) == ("lost", None)
    last_seen, newest = lab.engine.rows("SELECT max(epoch_us(last_seen)), max(epoch_us(time)) FROM runs, metrics")[0]
    assert last_seen == newest
    lab.store.seal()
    assert state(lab) == ("lost", None)


def test_a_child_that_never_logs_does_not_keep_the_run_alive(lab: Lab) -> None:
    process = launch(
        lab,
        """
        run = start()
        child = os.fork()
        if not child:
            time.sleep(100)
        sleeper = subprocess.Popen(["sleep", "100"])
        loose = subprocess.Popen(["sleep", "100"], close_fds=False)
        say(child, sleeper.pid, loose.pid)
        time.sleep(100)
        """,
    )
    children = hear(process)
    try:
        assert state(lab) == ("running", None)
        end(process)
        assert state(lab) == ("lost", None)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)


def test_the_files_of_a_forked_child_are_looked_after_like_its_parents(lab: Lab) -> None:
    """Its records reach the device within about a second, and a large segment is followed by another."""
    heard, _ = run(
        lab,
        """
        from mllab.store import segment
        from mllab.tracking import background

        segment.ROLL_BYTES = 2000
        background.TICK_S = 0.01
        synced = []
        disk = lab.store.disk
        fdatasync = disk.fdatasync
        run = start()
        child = os.fork()
        if not child:
            disk.fdatasync = lambda fd: (synced.append(fd), fdatasync(fd))
            for value in range(300):
                run.log({"v": value}, step=value)
                time.sleep(0.001)
            say(len(synced), len(lab.store.layout.segment_names(run.id)))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        run.finish()
        """,
    )
    ((synced, segments),) = heard
    assert synced >= 3
    assert segments >= 4
    assert points(lab) == counted((0, 300))


def test_an_exec_ends_the_writer(lab: Lab) -> None:
    process = launch(
        lab,
        """
        run = start()
        run.log({"v": 0}, step=0)
        say("ready")
        os.execvp("sh", ["sh", "-c", "echo '[\\"exec\\"]'; sleep 100"])
        """,
    )
    assert hear(process) == ["ready"]
    assert hear(process) == ["exec"]
    try:
        assert state(lab) == ("lost", None)
        assert points(lab) == [0.0]
    finally:
        end(process)


# -- threads and signals -----------------------------------------------------------------------------------


def test_eight_threads_share_a_run(lab: Lab) -> None:
    run(
        lab,
        """
        sys.setswitchinterval(1e-5)
        run = start()

        def work(number):
            for value in range(number * 1000, number * 1000 + 300):
                run.log({"v": value, f"t{number}": value % 7, f"x{value % 13}": 0}, step=value)
                if value % 50 == 0:
                    run.set_tags({f"{value}": "x"})
                    run.log_batch("b", [value], [float(value)])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run.finish()
        """,
    )
    assert points(lab) == counted(*((number * 1000, 300) for number in range(8)))
    assert len(points(lab, "b")) == lab.engine.rows("SELECT count(*) FROM tags")[0][0] == 48
    assert state(lab) == ("finished", None)


@pytest.mark.parametrize("place", ["the process", "a forked child"])
def test_a_signal_handler_may_log_at_any_moment(lab: Lab, place: str) -> None:
    """A timer interrupts a loop that logs, each with keys that are new again and again."""
    heard, _ = run(
        lab,
        f"""
        handled = []

        def handler(number, frame):
            value = 1_000_000 + len(handled)
            handled.append(value)
            run.log({{"v": value, f"h{{value % 997}}": 0}}, step=value)

        def work():
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            value = 0
            while len(handled) < 500 or value < 5000:
                run.log({{"v": value, f"m{{value % 991}}": 0}}, step=value)
                value += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            say(value, len(handled))

        run = start()
        if {place == "a forked child"!r}:
            child = os.fork()
            if not child:
                work()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        else:
            work()
        run.finish()
        """,
    )
    ((logged, handled),) = heard
    assert handled >= 500
    assert points(lab) == counted((0, logged), (1_000_000, handled))
    assert len(points(lab, "m5")) == len(range(5, logged, 991))
    assert state(lab) == ("finished", None)


# -- ends --------------------------------------------------------------------------------------------------


def test_an_uncaught_exception_fails_the_run_with_its_traceback(lab: Lab) -> None:
    for within in (True, False):
        body = """
        run = start()
        run.log({"v": 0}, step=0)
        def explode():
            raise RuntimeError("boom")
        """
        call = "with run:\n    explode()" if within else "explode()"
        _, err = run(lab, textwrap.dedent(body) + call, status=1)
        assert "boom" in err
    rows = lab.engine.rows("SELECT status, error FROM runs")
    assert [status for status, _ in rows] == ["failed", "failed"]
    for _, error in rows:
        told = json.loads(error)
        assert (told["type"], told["message"]) == ("RuntimeError", "boom")
        assert "in explode" in told["traceback"]


@pytest.mark.parametrize(
    ("call", "status", "ended"),
    [
        ("with run: sys.exit(0)", 0, "finished"),
        ("with run: sys.exit(3)", 3, "failed"),
        ("with run: raise KeyboardInterrupt", -signal.SIGINT, "killed"),
        ("sys.exit(0)", 0, "finished"),
        ("pass", 0, "finished"),
        ("os._exit(0)", 0, "lost"),
        ("os.abort()", -signal.SIGABRT, "lost"),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", -signal.SIGTERM, "lost"),
        ("os.kill(os.getpid(), signal.SIGKILL); time.sleep(9)", -signal.SIGKILL, "lost"),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV, "lost"),
        (
            "signal.signal(signal.SIGTERM, lambda *_: run.finish('killed')); os.kill(os.getpid(), signal.SIGTERM)",
            0,
            "killed",
        ),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); os.kill(os.getpid(), signal.SIGTERM)", 9, "finished"),
    ],
)
def test_how_a_script_ends_is_how_its_run_ends(lab: Lab, call: str, status: int, ended: str) -> None:
    run(lab, f'run = start()\nrun.log({{"v": 0}}, step=0)\n{call}\n', status=status)
    assert state(lab) == (ended, None)
    assert points(lab) == [0.0]
    lab.store.seal()
    assert state(lab) == (ended, None)


def test_logging_at_interpreter_exit_is_stored_or_refused_by_name(lab: Lab) -> None:
    """Handlers of atexit run last in, first out: those made after the run began still find it open."""
    heard, err = run(
        lab,
        """
        def late(value):
            try:
                run.log({"v": value}, step=value)
                say(value)
            except mllab.errors.RunClosedError as error:
                say("closed", run.id in str(error))

        import mllab.tracking.start
        run = start()
        atexit.register(late, 1)

        class Holder:
            def __del__(self):
                late(2)

        holder = Holder()
        mllab.holder = holder
        run.log({"v": 0}, step=0)
        """,
    )
    assert heard == [[1], ["closed", True]]
    assert points(lab) == [0.0, 1.0]
    assert state(lab) == ("finished", None)
    assert "Error" not in err


def test_a_handler_that_was_there_before_the_run_finds_it_closed(lab: Lab) -> None:
    heard, _ = run(
        lab,
        """
        def late():
            try:
                run.log({"v": 1}, step=1)
            except Exception as error:
                say(type(error).__name__)

        for name in [name for name in sys.modules if name.startswith("mllab")]:
            del sys.modules[name]
        atexit.register(late)
        import mllab
        from mllab.lab import Lab
        lab = Lab.find(sys.argv[1])
        run = start()
        run.log({"v": 0}, step=0)
        """,
    )
    assert heard == [["RunClosedError"]]
    assert points(lab) == [0.0]


def test_a_thread_that_outlives_the_script_loses_nothing_it_was_promised(lab: Lab) -> None:
    heard, _ = run(
        lab,
        """
        run = start()
        acknowledged = []

        def work():
            for value in range(10**9):
                run.log({"v": value}, step=value)
                say(value)

        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)
        """,
    )
    promised = [float(value) for (value,) in heard]
    assert len(promised) > 10
    assert points(lab)[: len(promised)] == promised
    assert len(points(lab)) <= len(promised) + 1
    assert state(lab) == ("finished", None)


def test_a_stopped_process_is_alive(lab: Lab) -> None:
    """A suspended laptop or Ctrl-Z: no heartbeat to miss, and sealing keeps its hands off."""
    process = launch(
        lab,
        """
        run = start()
        run.log({"v": 0}, step=0)
        say(run.id)
        sys.stdin.readline()
        run.log({"v": 1}, step=1)
        run.finish()
        """,
    )
    (run_id,) = hear(process)
    os.kill(process.pid, signal.SIGSTOP)
    lab.store.seal()
    lab.store.sweep(grace_s=0)
    assert state(lab) == ("running", None)
    (name,) = lab.store.layout.segment_names(run_id)
    assert is_locked(os.path.join(lab.store.layout.run_folder(run_id), name))
    os.kill(process.pid, signal.SIGCONT)
    assert process.communicate("go\n")[1] == ""
    assert points(lab) == [0.0, 1.0]
    assert state(lab) == ("finished", None)
