"""Values the shell completes: runs by name, filters by word. They read the lab quickly or give nothing; never raise."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from mllab.cli.invocation import Invocation

if TYPE_CHECKING:
    from collections.abc import Callable

    import click
    from click.shell_completion import CompletionItem

    from mllab.query.engine import Engine

T = TypeVar("T")
# A shell that waits longer for a tab feels broken.
BUDGET_S = 1.5
MOST = 100


def complete_run(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return runs whose name, id or short id begins with what was typed, the newest first."""
    from click.shell_completion import CompletionItem

    def read(engine: Engine) -> list[tuple[str, str, str]]:
        rows = engine.rows(
            """SELECT run_id, name, experiment FROM r_runs WHERE deleted IS NULL
            AND (starts_with(name, $1) OR starts_with(run_id, lower($1)) OR starts_with(right(run_id, 8), lower($1)))
            ORDER BY started DESC LIMIT $2""",
            [incomplete, MOST],
        )
        return [(str(run_id), str(name), str(experiment)) for run_id, name, experiment in rows]

    from mllab.ids import short_id
    from mllab.security.terminal import line

    items = []
    counts: dict[str, int] = {}
    rows = _within_budget(context, read) or []
    for _, name, _ in rows:
        counts[name] = counts.get(name, 0) + 1
    for run_id, name, experiment in rows:
        short = short_id(run_id)
        # A name that is not one plain word, or not the only one, cannot be typed back: its id can.
        is_plain = name.startswith(incomplete) and counts[name] == 1 and _is_shell_word(name)
        text = name if is_plain else short if short.startswith(incomplete.lower()) else run_id
        if text.startswith(incomplete):
            items.append(CompletionItem(text, help=line(f"{short if is_plain else name} ({experiment})")))
    return items


def complete_filter(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what may follow in a filter, typed as one quoted word or as several."""
    from click.shell_completion import CompletionItem

    before = "".join(f"{word} " for word in context.params.get("filter_words") or ())
    typed = before + incomplete

    def read(engine: Engine) -> list[tuple[str, str]]:
        from mllab.query.filter_complete import complete
        from mllab.query.select import EngineKeys

        found = complete(typed, len(typed), EngineKeys(engine))
        return [(typed[: each.start] + each.text, each.kind) for each in found[:MOST]]

    texts = [(text[len(before) :], kind) for text, kind in _within_budget(context, read) or []]
    return [CompletionItem(text, help=kind) for text, kind in texts if text.startswith(incomplete)]


def _is_shell_word(text: str) -> bool:
    return text.isascii() and text.replace("-", "").replace("_", "").replace(".", "").isalnum()


def _within_budget(context: click.Context, read: Callable[[Engine], T]) -> T | None:
    """Return what ``read`` returns of the lab, or None when there is no lab, it fails, or it takes too long."""
    invocation = context.find_object(Invocation)
    path = invocation.lab_path if invocation else None
    found: list[T] = []

    def work() -> None:
        from mllab.cli.locating import locate

        try:
            lab = locate(path)
            if lab is not None:
                found.append(read(lab.engine))
        except BaseException:  # a tab key must not print a traceback
            return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(BUDGET_S)
    return found[0] if found else None
