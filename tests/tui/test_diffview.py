"""DiffView: what a patch and a comparison look like, folding, moving, and diffs that are right."""

from __future__ import annotations

import asyncio
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import ComposeResult

from mllab.tui.themes import ThemedApp
from mllab.tui.widgets.diff_lines import ADDED, NOTE, REMOVED, SAME, changed_part, of_patch, of_texts
from mllab.tui.widgets.diffview import DiffView

PATCH = """\
diff --git a/train.py b/train.py
index 1111111..2222222 100644
--- a/train.py
+++ b/train.py
@@ -10,4 +10,5 @@ def main():
 same
-lr = 0.1
+lr = 0.25
+seed = 7
 \tend\x1b[31m\u202e
 last
diff --git a/b.txt b/b.txt
--- a/b.txt
+++ b/b.txt
@@ -1 +1 @@
--- a dashed line
+++ a plussed line
\\ No newline at end of file
"""


class Sample(ThemedApp[None]):
    def compose(self) -> ComposeResult:
        yield DiffView()


def screen(view: DiffView) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.scrollable_content_region.height)]


def shown_on(size: tuple[int, int] = (60, 20), theme: str = "mllab-dark"):
    def wrap(test):
        @functools.wraps(test)
        def run() -> None:
            async def inside() -> None:
                app = Sample()
                app.theme = theme
                async with app.run_test(size=size) as pilot:
                    await test(app.query_one(DiffView), pilot)

            asyncio.run(inside())

        del run.__wrapped__  # pytest would take its parameters for fixtures
        return run

    return wrap


@shown_on()
async def test_a_patch(view, pilot) -> None:
    view.show_patch(PATCH)
    await pilot.pause()
    rows = screen(view)
    assert rows[0] == "▸        diff --git a/train.py b/train.py"
    assert rows[4] == "         @@ -10,4 +10,5 @@ def main():"
    assert rows[5:11] == [
        " 10 10   same",
        " 11    - lr = 0.1",
        "    11 + lr = 0.25",
        "    12 + seed = 7",
        " 12 13       end\\x1b[31m\\u202e",
        " 13 14   last",
    ]
    assert rows[15] == "  1    - -- a dashed line"
    assert rows[16] == "     1 + ++ a plussed line"
    assert view.counts == (3, 2)


@shown_on()
async def test_files_fold(view, pilot) -> None:
    view.show_patch(PATCH)
    view.toggle_fold()
    await pilot.pause()
    assert screen(view)[:3] == [
        "▸        diff --git a/train.py b/train.py",
        "         ⋯ 10 lines folded",
        "         diff --git a/b.txt b/b.txt",
    ]
    view.fold_all()
    await pilot.pause()
    assert [text for text in screen(view) if text][3] == "         ⋯ 6 lines folded"
    view.fold_all(is_folded=False)
    await pilot.pause()
    assert "         @@ -10,4 +10,5 @@ def main():" in screen(view)


@shown_on((40, 12))
async def test_two_texts_and_their_unchanged_stretches(view, pilot) -> None:
    left = [f"line {number}" for number in range(100)]
    right = [*left[:50], "changed", *left[51:]]
    view.show_diff("\n".join(left), "\n".join(right), ("run a", "run b"))
    await pilot.pause()
    rows = [text for text in screen(view) if text]
    assert rows[0].endswith("run a → run b")
    assert rows[1].endswith("⋯ 47 unchanged lines")
    assert rows[4].endswith("line 49")
    assert rows[5].split() == ["51", "-", "line", "50"]
    assert rows[6].split() == ["51", "+", "changed"]
    assert rows[-1].endswith("⋯ 46 unchanged lines")
    view.next_change()
    assert view.cursor == 5
    view.previous_change()
    assert view.cursor == 5
    view.home()
    view.move(1)
    view.toggle_fold()
    await pilot.pause()
    assert screen(view)[1].endswith("line 0")
    view.toggle_fold()
    await pilot.pause()
    assert screen(view)[1].endswith("⋯ 47 unchanged lines")
    view.end()
    view.page(-1)
    view.page(5)
    assert view.cursor == len([text for text in rows if text]) - 1


@shown_on()
async def test_what_a_line_does_not_share_is_marked(view, pilot) -> None:
    view.show_diff("lr = 0.1, depth = 3", "lr = 0.25, depth = 3")
    await pilot.pause()
    marked = [each.text for each in view.render_line(2) if each.style and each.style.underline]
    assert marked == ["25"]
    assert changed_part("abc", "xyz") is None


@shown_on()
async def test_equal_texts_say_so(view, pilot) -> None:
    view.show_diff("a\n", "a\n")
    await pilot.pause()
    assert screen(view)[1].strip() == "no difference"
    view.show_patch("")
    view.toggle_fold()
    view.next_change()
    view.end()


@shown_on()
async def test_large_texts_are_compared_aside(view, pilot) -> None:
    left = [f"line {number % 977} {number}" for number in range(30_000)]
    view.show_diff("\n".join(left), "\n".join([*left[:9], "new", *left[20:]]))
    assert "comparing" in view.render_line(0).text
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    assert view.counts == (1, 11)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (20, 5), (4, 2)])
def test_it_fits_in_every_size(size) -> None:
    @shown_on(size, "mllab-light")
    async def inside(view, pilot) -> None:
        view.show_patch(PATCH + "\n".join("学" * 100 for _ in range(60)))
        for _ in range(4):
            view.page(1)
            view.scroll_columns(3)
            await pilot.pause()
            for row in range(view.size.height):
                strip = view.render_line(row)
                assert strip.cell_length == view.scrollable_content_region.width
                assert strip.text.isprintable()

    inside()


def test_odd_patches_lose_nothing() -> None:
    lines = of_patch("hello\n@@ -1,9 +1,9 @@\n a\n\n+b\nBinary files differ\n@@ nonsense")
    assert [line.text for line in lines] == [
        "hello", "@@ -1,9 +1,9 @@", "a", "", "b", "Binary files differ", "@@ nonsense",
    ]  # fmt: skip
    assert [line.kind for line in lines if line.kind == NOTE] == [NOTE] * 3


@given(st.lists(st.sampled_from("abcdefgh"), max_size=30), st.lists(st.sampled_from("abcdefgh"), max_size=30))
def test_both_texts_can_be_read_out_of_their_diff(left, right) -> None:
    lines = of_texts("\n".join(left), "\n".join(right), ("a", "b"))
    if left == right:
        return
    assert [line.text for line in lines if line.kind in (SAME, REMOVED)] == left
    assert [line.text for line in lines if line.kind in (SAME, ADDED)] == right
    assert [line.old for line in lines if line.old] == list(range(1, len(left) + 1))
    assert [line.new for line in lines if line.new] == list(range(1, len(right) + 1))
