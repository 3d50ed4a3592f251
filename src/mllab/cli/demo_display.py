"""How `mllab demo` shows its progress on stderr: bars on a terminal, one line a run elsewhere."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import rich.progress

    from mllab.demo.progress import Progress


@contextmanager
def display(runs: int, *, color: bool = True) -> Iterator[Progress]:
    """Give the display that fits stderr, for a study of so many runs."""
    buffer = getattr(sys.stderr, "buffer", None)
    if buffer is None:  # closed, or replaced by something that takes text alone
        from mllab.demo.progress import Silent

        yield Silent()
        return
    # Beside sys.stderr rather than through it: a run records what is printed there, and bars are not worth recording.
    stream = io.TextIOWrapper(buffer, sys.stderr.encoding, errors="replace", write_through=True)
    try:
        if not stream.isatty():
            yield Lines(stream)
            return
        from rich import progress
        from rich.console import Console

        console = Console(file=stream, no_color=True if not color else None, highlight=False)
        with progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=20),
            progress.TextColumn("{task.fields[detail]}", markup=False),
            progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            # Both would be wrapped, and written to from inside a run.
            redirect_stdout=False,
            redirect_stderr=False,
        ) as bars:
            yield Bars(bars, runs)
    finally:
        stream.detach()  # the buffer is sys.stderr's and stays open


class Lines:
    """A display for pipes and log files."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream

    def stage(self, text: str) -> None:
        """Show nothing."""

    def fact(self, text: str) -> None:
        """Print a line."""
        self._stream.write(text + "\n")
        self._stream.flush()

    def run_started(self, number: int, total: int, name: str) -> None:
        """Show nothing."""

    def run_advanced(self, fraction: float, metrics: Mapping[str, float]) -> None:
        """Show nothing."""

    def run_finished(self, number: int, total: int, name: str, scores: Mapping[str, float]) -> None:
        """Print a line."""
        self.fact(scored(number, total, name, scores))


class Bars:
    """A display for terminals: a bar for the study and one for the run at work; finished runs scroll by above."""

    def __init__(self, bars: rich.progress.Progress, runs: int) -> None:
        self._bars = bars
        self._study = bars.add_task("study", total=runs, detail="")
        self._run = bars.add_task("", total=1.0, detail="", visible=False)

    def stage(self, text: str) -> None:
        """Show it beside the study's bar."""
        self._bars.update(self._study, detail=text)

    def fact(self, text: str) -> None:
        """Print it above the bars."""
        self._bars.console.print(text, markup=False)

    def run_started(self, number: int, total: int, name: str) -> None:
        """Start the lower bar anew."""
        self._bars.update(self._study, completed=number - 1, detail=f"run {number} of {total}")
        self._bars.reset(self._run, description=name, visible=True, detail="training")

    def run_advanced(self, fraction: float, metrics: Mapping[str, float]) -> None:
        """Move the lower bar."""
        detail = f"valid/auc {metrics['valid/auc']:.3f}" if fraction < 1 else "evaluating, exporting to ONNX"
        self._bars.update(self._run, completed=fraction, detail=detail)

    def run_finished(self, number: int, total: int, name: str, scores: Mapping[str, float]) -> None:
        """Move the upper bar and print the scores above."""
        self._bars.update(self._study, completed=number)
        self._bars.update(self._run, visible=False)
        self.fact(scored(number, total, name, scores))


def scored(number: int, total: int, name: str, scores: Mapping[str, float]) -> str:
    """Return the line about a finished run."""
    place = f"{number:>{len(str(total))}}/{total}"
    return (
        f"{place} {name}: valid/auc {scores['valid/auc']:.3f}, test/auc {scores['test/auc']:.3f}, "
        f"ONNX agrees to {scores['onnx/max_abs_diff']:.0e}"
    )
