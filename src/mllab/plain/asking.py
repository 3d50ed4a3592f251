"""Where commands come from: a prompt with history and completion at a terminal, else the lines of a pipe or file."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROMPT = "mllab> "
MOST_HISTORY = 1000


class Asking:
    """Reads lines. At a terminal they are edited with readline, where Python has it.

    Args:
        history_path: the file of what was typed before.
        complete: returns what can stand in the place of the text from ``start`` to the cursor: ``(text, start)``.
    """

    def __init__(self, history_path: str, complete: Callable[[str], Sequence[tuple[str, int]]]) -> None:
        self._path = history_path
        self._complete = complete
        self._found: list[str] = []
        self._readline: Any = None
        self.is_interactive = all(
            stream is not None and not stream.closed and stream.isatty() for stream in (sys.stdin, sys.stdout)
        )
        if self.is_interactive:
            self._prepare()

    def _prepare(self) -> None:
        # Readline asks terminfo how to move the cursor and set modes: of a dumb terminal it does neither.
        os.environ["TERM"] = "dumb"
        try:
            import readline
        except ImportError:
            return
        self._readline = readline
        readline.set_completer_delims(" ,()")
        readline.set_completer(self._completion)
        is_libedit = "libedit" in (readline.__doc__ or "")
        for binding in ("bind ^I rl_complete",) if is_libedit else (
            "tab: complete", "set enable-bracketed-paste off", "set enable-meta-key off", "set bell-style none",
            "set page-completions off", "set completion-query-items 0", "set completion-display-width 0",
        ):  # fmt: skip
            readline.parse_and_bind(binding)
        with contextlib.suppress(OSError):
            readline.read_history_file(self._path)

    def _completion(self, _: str, state: int) -> str | None:
        if state == 0:
            before = self._readline.get_line_buffer()[: self._readline.get_endidx()]
            begin = self._readline.get_begidx()
            try:
                found = self._complete(before)
            except Exception:  # a half-typed line is no place for an error
                found = ()
            # Readline replaces from its own word's begin.
            self._found = [
                before[begin:start] + text if start >= begin else text[begin - start :] for text, start in found
            ]
        return self._found[state] if state < len(self._found) else None

    def line(self, prompt: str = PROMPT) -> str | None:
        """Return the next line; None at the end of the input.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """
        if not self.is_interactive:
            text = sys.stdin.readline() if sys.stdin is not None else ""
            return text.rstrip("\r\n") if text else None
        try:
            return input(prompt)
        except EOFError:
            sys.stdout.write("\n")
            return None

    def close(self) -> None:
        """Keep what was typed."""
        if self._readline is None:
            return
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            self._readline.set_history_length(MOST_HISTORY)
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
            self._readline.write_history_file(self._path)
