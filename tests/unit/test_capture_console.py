"""What is printed arrives once, in order, and printing works as if nobody listened."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from typing import Any

import pytest

from mllab.tracking.capture_console import ConsoleCapture

TOKEN = "gh" + "p_" + "a1B2" * 10


class Heard:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str, int]] = []

    def __call__(self, stream: str, text: str, time_us: int) -> None:
        self.texts.append((stream, text, time_us))

    def lines(self, stream: str | None = None) -> str:
        """Return the whole lines, as a reader of the log sees them."""
        return "".join(text for name, text, _ in self.texts if text.endswith("\n") and stream in (None, name))

    def states(self) -> list[str]:
        return [text for _, text, _ in self.texts if not text.endswith("\n")]


class Fixed:
    """A stream as an embedding application brings it: no attribute can be set."""

    __slots__ = ("_text",)
    encoding = "utf-8"

    def __init__(self) -> None:
        self._text = io.StringIO()

    def write(self, text: str) -> int:
        return self._text.write(text)

    def flush(self) -> None:
        self._text.flush()

    def isatty(self) -> bool:
        return True

    def seen(self) -> str:
        return self._text.getvalue()


@pytest.fixture
def heard() -> Heard:
    return Heard()


def streams(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Replace both streams, in the test itself: pytest puts its own back between a fixture and the test."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    return out, err


def listening(heard: Heard, **options: int) -> ConsoleCapture:
    console = ConsoleCapture(heard, **options)
    console.start()
    return console


def printed(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def test_prints_arrive_and_are_still_printed(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = streams(monkeypatch)
    capture = listening(heard)
    print("one")
    print("two", file=sys.stderr)
    print("three")
    capture.flush()
    assert [(stream, text) for stream, text, _ in heard.texts] == [
        ("stdout", "one\n"),
        ("stderr", "two\n"),
        ("stdout", "three\n"),
    ]
    assert all(time_us > 1_600_000_000_000_000 for *_, time_us in heard.texts)
    assert printed(out) == "one\nthree\n"
    assert printed(err) == "two\n"


def test_write_returns_and_raises_what_the_stream_does(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    listening(heard)
    assert sys.stdout.write("abc") == 3
    with pytest.raises(TypeError):
        sys.stdout.write(5)  # type: ignore[arg-type]
    out.detach()
    with pytest.raises(ValueError):
        print("gone")


def test_everyone_who_holds_the_stream_is_seen(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    handler = logging.StreamHandler(sys.stderr)
    logger = logging.getLogger("mllab.tests.made before the run")
    logger.propagate = False
    logger.addHandler(handler)
    console = listening(heard)
    logger.warning("careful")
    sys.stdout.writelines(["a\n", "b\n"])
    console.stop()
    assert heard.lines("stderr") == "careful\n"
    assert heard.lines("stdout") == "a\nb\n"


def test_the_stream_stays_itself(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    listening(heard)
    assert sys.stdout is out
    assert sys.stdout.encoding == "utf-8"
    assert isinstance(sys.stdout.buffer, io.BytesIO)
    assert not sys.stdout.isatty()
    with pytest.raises(io.UnsupportedOperation):
        sys.stdout.fileno()


def test_stopping_restores_the_stream_exactly(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    before = dict(vars(out))
    console = listening(heard)
    print("kept")
    console.stop()
    print("after")
    console.flush()
    console.stop()
    assert vars(out) == before
    assert heard.lines() == "kept\n"


def test_a_write_of_the_streams_own_is_put_back(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    seen: list[str] = []
    theirs = seen.append
    out.write = theirs
    console = listening(heard)
    print("x", end="")
    console.stop()
    assert out.write is theirs
    assert "".join(seen) == "x"
    assert heard.lines() == "x\n"


def test_what_wraps_the_stream_later_stays(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    console = listening(heard)
    ours = out.write

    def theirs(text: str) -> object:
        return ours(text.upper())

    out.write = theirs
    print("one")
    console.stop()
    print("two")
    assert out.write is theirs
    assert printed(out) == "ONE\nTWO\n"
    assert heard.lines() == "ONE\n"
    again = ConsoleCapture(heard)
    again.start()
    print("three")
    again.stop()
    assert out.write is theirs
    assert heard.lines() == "ONE\nthree\n"


def test_a_redirected_stream_is_left_alone(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    capture = listening(heard)
    own = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", own)
        print("theirs")
        capture.stop()
        assert sys.stdout is own
    assert own.getvalue() == "theirs\n"
    assert heard.texts == []
    assert "write" not in vars(out)


def test_a_stream_with_fixed_attributes_gets_a_stand_in(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    fixed = Fixed()
    monkeypatch.setattr(sys, "stdout", fixed)
    console = listening(heard)
    print("one")
    sys.stdout.writelines(["two\n"])
    assert sys.stdout.encoding == "utf-8"
    assert sys.stdout.isatty()
    console.stop()
    assert sys.stdout is fixed
    assert fixed.seen() == "one\ntwo\n"
    assert heard.lines() == "one\ntwo\n"


def test_a_stand_in_that_was_replaced_only_passes_on(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    fixed, own = Fixed(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", fixed)
    console = listening(heard)
    stand_in = sys.stdout
    monkeypatch.setattr(sys, "stdout", own)
    console.stop()
    assert sys.stdout is own
    stand_in.write("late")
    assert fixed.seen() == "late"
    assert heard.texts == []


def test_no_stream_and_one_stream_for_both(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    console = listening(heard)
    print("once")
    console.stop()
    assert heard.lines() == "once\n"
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    console = listening(heard)
    console.stop()
    assert heard.lines() == "once\n"


def test_nested_runs_both_hear_and_end_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    outer_heard, inner_heard = Heard(), Heard()
    outer, inner = ConsoleCapture(outer_heard), ConsoleCapture(inner_heard)
    outer.start()
    print("1")
    inner.start()
    print("2")
    outer.stop()
    print("3")
    inner.stop()
    print("4")
    assert outer_heard.lines() == "1\n2\n"
    assert inner_heard.lines() == "2\n3\n"
    assert "write" not in vars(out)


def test_a_progress_bar_is_one_line(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    capture = listening(heard)
    for step in range(1000):
        sys.stderr.write(f"\r{step / 10:.0f}%|{'#' * (step // 100)}| {step}/1000")
        if step % 250 == 249:
            capture.flush()
    sys.stderr.write("\n")
    print("done")
    capture.flush()
    assert heard.states() == [f"{s / 10:.0f}%|{'#' * (s // 100)}| {s}/1000" for s in (249, 499, 749, 999)]
    assert heard.lines() == "100%|#########| 999/1000\ndone\n"


def test_a_state_is_repeated_only_when_it_changed(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    capture = listening(heard)
    print("loading", end="")
    capture.flush()
    capture.flush()
    assert heard.states() == ["loading"]
    print(" done")
    capture.flush()
    assert heard.lines() == "loading done\n"


def test_an_open_line_is_a_line_when_the_run_ends(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    capture = listening(heard)
    print("no newline", end="")
    capture.stop()
    assert heard.lines() == "no newline\n"


def test_a_sink_that_prints_does_not_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    heard = Heard()

    def sink(stream: str, text: str, time_us: int) -> None:
        print("the sink prints")
        heard(stream, text, time_us)

    first, second = ConsoleCapture(sink), ConsoleCapture(sink)
    first.start()
    second.start()
    print("x")
    for _ in range(5):
        first.flush()
        second.flush()
    first.stop()
    second.stop()
    assert heard.lines() == "x\nx\n"
    assert printed(out) == "x\nthe sink prints\nthe sink prints\n"


def test_a_sink_that_fails_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    heard = Heard()
    is_full = True

    def sink(stream: str, text: str, time_us: int) -> None:
        if is_full:
            raise OSError("no space left")
        heard(stream, text, time_us)

    console = ConsoleCapture(sink)
    console.start()
    print("lost")
    console.flush()
    is_full = False
    print("kept")
    console.stop()
    assert console.dropped_bytes == 5
    assert heard.lines() == "kept\n[mllab: 5 bytes of output were not kept]\n"


def test_output_beyond_the_limit_is_counted(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    console = listening(heard, max_bytes=100)
    for number in range(1000):
        print(f"{number:09d}")
        if number % 3 == 0:
            console.flush()
    console.stop()
    kept = [line for line in heard.lines().splitlines() if line.isdigit()]
    notes = [line for line in heard.lines().splitlines() if line.startswith("[mllab")]
    assert kept == [f"{number:09d}" for number in range(10)]
    assert len(notes) == 2
    assert "100 bytes" in notes[0]
    assert "9,900 bytes" in notes[1]
    assert console.dropped_bytes == 9900
    assert printed(out).count("\n") == 1000


def test_one_huge_write_costs_no_memory_beyond_the_limit(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    console = listening(heard, max_bytes=1000)
    print("x" * 5000)
    console.stop()
    # The newline that print writes by itself still has room.
    assert console.dropped_bytes == 5000
    assert "x" not in heard.lines().replace("[mllab: from here on output is not kept; the limit is 1,000 bytes]", "")


def test_secrets_are_taken_out_and_printed_nonetheless(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    capture = listening(heard)
    monkeypatch.setenv("TEAM_TOKEN", "s3cr3t-value-1")
    print("token", TOKEN, "and s3cr3t-value-1")
    capture.flush()
    assert heard.lines() == "token [redacted] and [redacted]\n"
    assert TOKEN in printed(out)


def test_lone_surrogates_arrive_as_text(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = streams(monkeypatch)
    capture = listening(heard)
    err.reconfigure(errors="surrogateescape")
    print("bad \udc80 name", file=sys.stderr)
    capture.flush()
    assert heard.lines() == "bad ? name\n"


def test_many_threads_lose_nothing(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    capture = listening(heard)
    started = threading.Barrier(9)

    def work(name: int) -> None:
        started.wait()
        for number in range(200):
            sys.stdout.write(f"{name}:{number}\n")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    while any(thread.is_alive() for thread in threads):
        capture.flush()
    capture.stop()
    lines = heard.lines().splitlines()
    assert len(lines) == 1600
    assert sorted(lines) == sorted(f"{name}:{number}" for name in range(8) for number in range(200))
    for name in range(8):
        assert [line for line in lines if line.startswith(f"{name}:")] == [f"{name}:{number}" for number in range(200)]


def test_printing_works_while_the_sink_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    is_inside, may_go_on = threading.Event(), threading.Event()
    heard = Heard()

    def sink(stream: str, text: str, time_us: int) -> None:
        is_inside.set()
        may_go_on.wait(10)
        heard(stream, text, time_us)

    console = ConsoleCapture(sink)
    console.start()
    print("one")
    thread = threading.Thread(target=console.flush)
    thread.start()
    assert is_inside.wait(10)
    print("two")
    console.flush()  # another is under way: returns at once
    assert heard.texts == []
    may_go_on.set()
    thread.join()
    console.stop()
    assert heard.lines() == "one\ntwo\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_not_heard(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = streams(monkeypatch)
    capture = listening(heard)
    print("parent before")
    capture._flushing.acquire()  # as when the background thread is in the middle of it
    child = os.fork()
    if child == 0:
        status = 1
        try:
            print("child")
            capture.flush()
            capture.stop()
            status = 0 if heard.texts == [] and "write" not in vars(out) else 2
        finally:
            os._exit(status)
    capture._flushing.release()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    print("parent after")
    capture.flush()
    assert heard.lines() == "parent before\nparent after\n"


def test_under_pytest_capture(capfd: pytest.CaptureFixture[str], heard: Heard) -> None:
    console = listening(heard)
    print("seen by both")
    console.stop()
    assert heard.lines() == "seen by both\n"
    assert capfd.readouterr().out == "seen by both\n"
