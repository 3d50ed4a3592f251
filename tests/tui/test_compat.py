"""Textual's private names are where compat looks for them; frames are paced; the terminal comes back."""

from __future__ import annotations

import asyncio
import inspect
import re
import signal
import sys
import termios
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from benchmarks.cases.links import on_link
from benchmarks.measure import environment
from benchmarks.pty_session import PtySession
from textual import screen as textual_screen
from textual.app import App, ComposeResult
from textual.drivers import linux_driver
from textual.drivers._writer_thread import WriterThread
from textual.filter import Monochrome, NoColor
from textual.widgets import Static

from mllab.tui import compat
from mllab.tui.compat import PacedModalScreen, PacedScreen, backlog

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# What the driver turns on, and what must be off at the end: each with the last word on it.
MODES = {1049: "l", 1000: "l", 1003: "l", 1006: "l", 2004: "l", 1004: "l", 25: "h", 7: "h"}


@contextmanager
def guarded(tmp_path: Path, *arguments: str, **options) -> Iterator[PtySession]:
    argv = [sys.executable, "-m", "tests.tui.guarded_app", *arguments]
    with PtySession(argv, cwd=str(ROOT), environ=environment(str(tmp_path)), **options) as session:
        session.before = termios.tcgetattr(session._master)  # type: ignore[attr-defined]  # for the test alone
        session.wait_for("ready to end")
        yield session


def ended(session: PtySession) -> int:
    """Wait for the end, check that the terminal is as it was, and return the exit status."""
    status = session.process.wait(30)
    session._reader.join(30)
    output = session.output
    for mode, letter in MODES.items():
        switches = re.findall(rb"\x1b\[\?%d([hl])" % mode, output)
        assert switches, mode
        assert switches[-1].decode() == letter, mode
    assert output.rfind(b"\x1b[<u") > output.rfind(b"\x1b[>")
    return status


def is_raw(session: PtySession) -> bool:
    return not termios.tcgetattr(session._master)[3] & termios.ECHO


def test_the_private_names_are_there() -> None:
    assert "_on_timer_update" in vars(textual_screen.Screen)
    assert "self._update_timer.pause()" in inspect.getsource(textual_screen.Screen._on_timer_update)
    assert "self._batch_count" in inspect.getsource(App._display)
    thread = WriterThread(sys.stderr)
    assert isinstance(thread._queue, Queue)
    assert thread._queue.maxsize > 3
    assert "self._writer_thread = WriterThread" in inspect.getsource(linux_driver.LinuxDriver)
    assert App.__init__.__code__.co_names.count("_driver")


def test_the_restoring_sequence_undoes_what_the_driver_does() -> None:
    source = inspect.getsource(linux_driver)
    turned_on = set(re.findall(r'"\\x1b\[\?(\d+)[hl]"', re.sub(r"\n *#[^\n]*", "", source)))
    assert len(turned_on) >= 9
    for mode in turned_on:
        assert re.search(rb"\x1b\[\?%s[hl]" % mode.encode(), compat.RESTORE), mode


@pytest.mark.parametrize(("theme", "kind"), [("ansi-dark", NoColor), ("nord", Monochrome)])
def test_no_color_suits_the_theme(theme: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app: App[None] = App()
    for name in ("nord", "ansi-dark", theme):
        app.theme = name
        compat.fit_no_color(app)
    assert [type(each) for each in app.get_line_filters() if isinstance(each, (Monochrome, NoColor))] == [kind]
    monkeypatch.delenv("NO_COLOR", raising=False)
    app = App()
    compat.fit_no_color(app)
    assert not [each for each in app.get_line_filters() if isinstance(each, (Monochrome, NoColor))]


class Sample(App[None]):
    def get_default_screen(self) -> PacedScreen[None]:
        return PacedScreen(id="_default")

    def compose(self) -> ComposeResult:
        yield Static("0")


@pytest.mark.parametrize("kind", [PacedScreen, PacedModalScreen])
def test_a_frame_waits_for_those_before_it(kind, monkeypatch: pytest.MonkeyPatch) -> None:
    queue: Queue[str | None] = Queue(30)
    frames: list[str] = []

    async def run() -> None:
        app = Sample()
        async with app.run_test() as pilot:
            screen = kind()
            await app.push_screen(screen)
            label = Static("0")
            await screen.mount(label)
            await pilot.pause()
            display = app._display

            def seen(*arguments) -> None:
                frames.append(str(label.render()))
                display(*arguments)

            monkeypatch.setattr(app, "_display", seen)
            thread = WriterThread(sys.stderr)
            thread._queue = queue
            monkeypatch.setattr(app._driver, "_writer_thread", thread, raising=False)
            queue.put("a frame that the terminal does not take")
            assert backlog(app) == 1
            for value in ("1", "2", "3"):
                label.update(value)
                await asyncio.sleep(0)
                screen._on_timer_update()
            assert not frames
            assert screen._dirty_widgets or screen._layout_required or screen._repaint_required
            queue.get()
            screen._on_timer_update()
            assert frames == ["3"]
            monkeypatch.undo()

    asyncio.run(run())


def test_without_a_terminal_nothing_is_held_back() -> None:
    assert backlog(SimpleNamespace(_driver=None)) == 0  # type: ignore[arg-type]  # all that is looked at
    assert backlog(SimpleNamespace(_driver=object())) == 0  # type: ignore[arg-type]


def test_on_a_slow_link_few_frames_wait(tmp_path: Path) -> None:
    figures = on_link(str(tmp_path / "figures.json"), str(tmp_path), "paced", 3, 10.0)
    assert 2 <= figures["frames"] < 20  # of 30 that were asked for: the link was too slow for them
    assert 1 <= figures["most_waiting"] <= 3


def test_quitting_restores_the_terminal(tmp_path: Path) -> None:
    with guarded(tmp_path) as session:
        assert is_raw(session)
        session.send("q")
        assert ended(session) == 0


def test_a_crash_restores_the_terminal_and_shows_the_traceback(tmp_path: Path) -> None:
    with guarded(tmp_path) as session:
        session.send("c")
        assert ended(session) == 1
        assert b"crashed on purpose" in session.output.rpartition(b"\x1b[?1049l")[2]


def test_sys_exit_in_a_handler_restores_the_terminal(tmp_path: Path) -> None:
    with guarded(tmp_path) as session:
        session.send("x")
        assert ended(session) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_restore_the_terminal(tmp_path: Path, number: signal.Signals) -> None:
    with guarded(tmp_path) as session:
        session.process.send_signal(number)
        assert ended(session) == 128 + number


def test_a_blocked_loop_is_ended_all_the_same(tmp_path: Path) -> None:
    with guarded(tmp_path) as session:
        session.send("b")
        session.wait_for("blocked")
        session.process.terminate()
        session.process.terminate()
        assert ended(session) == 128 + signal.SIGTERM


def test_a_terminal_that_takes_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with guarded(tmp_path, "stock flood", kib_s=16.0) as session:
        session.wait_for("stuck", timeout_s=30)
        session.process.terminate()
        assert ended(session) == 128 + signal.SIGTERM


def test_suspending_while_something_repaints_does_not_deadlock(tmp_path: Path) -> None:
    with guarded(tmp_path) as session:
        session.send("s")
        session.wait_for("outside", timeout_s=20)
        session.wait_for("back again", timeout_s=20)
        session.send("q")
        assert ended(session) == 0
