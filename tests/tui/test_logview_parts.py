"""What LogView is made of, without a screen: levels, safe text, rows and bounded search."""

from __future__ import annotations

import doctest
import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllab.security.terminal import block
from mllab.tui.widgets import log_level, log_text
from mllab.tui.widgets.log_feed import LogFeed
from mllab.tui.widgets.log_level import DEBUG, ERROR, INFO, WARN, guess
from mllab.tui.widgets.log_lines import LogLine, LogLines
from mllab.tui.widgets.log_paint import wrapped
from mllab.tui.widgets.log_rows import LogRows
from mllab.tui.widgets.log_search import Search, TooHardError, limited
from mllab.tui.widgets.log_text import MAX_CHARACTERS, plain_text, shown


@pytest.mark.parametrize("module", [log_level, log_text], ids=lambda module: module.__name__)
def test_examples_run(module) -> None:
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2026-01-02 10:00:00,123 ERROR train: x", ERROR),
        ("CRITICAL:root:x", ERROR),
        ("[warn] x", WARN),
        ('{"level": "error", "msg": "x"}', ERROR),
        ("level=warning msg=x", WARN),
        ("time=1 level=debug msg=x", DEBUG),
        ("E0412 12:00:00.1 file.cc:1] x", ERROR),
        ("W0412 12:00:00.1 file.cc:1] x", WARN),
        ("ValueError: x", ERROR),
        ("torch.cuda.OutOfMemoryError: x", ERROR),
        ("KeyboardInterrupt", ERROR),
        ("a.py:12: UserWarning: x", WARN),
        ("mean squared error: 0.1", INFO),
        ("val_error=0.25 train_error=0.1", INFO),
        ("no errors found", INFO),
        ("ERRORS are not a level", INFO),
        ("", INFO),
    ],
)
def test_levels(text: str, level: int) -> None:
    assert guess(text)[0] == level


def test_a_traceback_is_an_error_to_its_end() -> None:
    texts = ["Traceback (most recent call last):", '  File "x"', "", "    y()", "KeyError: 'z'", "ok"]
    lines = LogLines()
    lines.add([LogLine(0, "stderr", text) for text in texts])
    at_sight = [lines.level(line) for line in range(len(lines))]
    lines.classify(len(lines))
    assert list(lines.levels) == at_sight == [ERROR] * 5 + [INFO]


def test_streams_do_not_mix_in_a_traceback() -> None:
    lines = LogLines()
    for stream, text in (("stderr", "Traceback (most recent call last):"), ("stdout", "step 1"), ("stderr", "  y()")):
        lines.add([LogLine(0, stream, text)])
    lines.classify(3)
    assert list(lines.levels) == [ERROR, INFO, ERROR]


@given(st.text(alphabet=st.sampled_from("a\x1b[]0123;m\r\t\x07\x9b\u202e\u0301学\u3164👩\u200d")) | st.text())
def test_nothing_unsafe_is_shown_and_nothing_else_is_lost(text: str) -> None:
    text = text.replace("\n", "")
    content = shown(text)
    assert not {unicodedata.category(character) for character in content.text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert block(content.text) == content.text  # it has nothing left to take out
    assert plain_text(text) == content.text
    at = 0
    for start, stop, _ in content.spans:
        assert at <= start < stop <= len(content.text)
        at = stop


@pytest.mark.parametrize(
    "parameters", ["38", "38;5", "38;5;999", "38;2;1;2", "38:2::1:2:3", "999999999999", ";;;", "48;5;1"]
)
def test_malformed_colours_change_nothing(parameters: str) -> None:
    assert shown(f"\x1b[{parameters}mtext").text == "text"


def test_a_long_line_is_cut_and_its_progress_is_its_end() -> None:
    content = shown("x" * (MAX_CHARACTERS + 5))
    assert (len(content.text), content.left_out) == (MAX_CHARACTERS, 5)
    assert shown("y" * 10 * MAX_CHARACTERS + "\rdone\r").text == "done"


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 20), st.data())
def test_rows_and_positions_agree(lengths: list[int], width: int, data) -> None:
    from array import array

    rows = LogRows()
    rows.total = len(lengths)
    column = array("i", lengths)
    half = len(lengths) // 2
    rows.total = half
    rows.rebuild(column[:half], width)
    rows.total = len(lengths)
    rows.rebuild(column, width, afresh=False)
    if lengths:
        rows.measure({data.draw(st.integers(0, len(lengths) - 1)): data.draw(st.integers(1, 9))})
    found = [rows.at_row(row) for row in range(rows.height)]
    assert found == [(at, part) for at in range(len(lengths)) for part in range(rows.rows(at))]
    assert all(rows.top(at) + part == row for row, (at, part) in enumerate(found))


@given(st.text("ab学🎉", max_size=60), st.integers(2, 12))
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    from rich.cells import cell_len

    starts = wrapped(text, width)
    parts = [text[start:stop] for start, stop in zip(starts, [*starts[1:], len(text)], strict=True)]
    assert "".join(parts) == text
    assert all(cell_len(part) <= width for part in parts)


def test_a_match_that_takes_too_long_is_ended() -> None:
    import re

    with pytest.raises(TooHardError), limited():
        re.search("(a+)+$", "a" * 60 + "!")
    with limited():
        assert re.search("b", "ab")


def test_outside_the_main_thread_patterns_are_plain_text() -> None:
    found: list[Search] = []
    thread = threading.Thread(target=lambda: found.append(Search.of("(a+)+$")))
    thread.start()
    thread.join()
    (search,) = found
    assert search.compiled is not None
    assert search.compiled.search("x (a+)+$ y")
    assert search.problem == "searched as plain text"


def test_columns_and_objects_are_the_same_lines() -> None:
    views = []
    for is_columns in (True, False):
        lines, rows = LogLines(), LogRows()
        feed = LogFeed(lines, rows)
        times, stderr = list(range(3000)), [number % 3 == 0 for number in range(3000)]
        texts = [f"{number}\nsecond" for number in range(3000)]
        if is_columns:
            feed.give((times, stderr, texts))
        else:
            names = ["stderr" if each else "stdout" for each in stderr]
            feed.give([LogLine(*each) for each in zip(times, names, texts, strict=True)])
        while feed.go_on():
            pass
        views.append((lines.texts, list(lines.times), list(lines.stderr), rows.total))
    assert views[0] == views[1]
    assert views[0][3] == 6000


def test_times_that_go_back_are_found_all_the_same() -> None:
    lines = LogLines()
    lines.add([LogLine(time_us, "stdout", "x") for time_us in (0, 10, 5, 0, 20)])
    assert list(lines.clock) == [0, 10, 10, 10, 20]
    assert lines.at_or_before(12) == 3
    assert lines.at_or_after(11) == 4
    assert lines.first_time() == 10
    assert LogLines().first_time() == 0
