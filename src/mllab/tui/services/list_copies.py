"""A list of runs as the command line that prints it, and as the Python that reads it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from mllab.query.wide import CORE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.query.filter_ast import Term
    from mllab.tui.services.run_list import RunView

_ATTRIBUTES = {"id": "run_id", "parent": "parent_id"}
_PREFIXES = {"metric": "metrics.", "param": "params.", "tag": "tags."}


def list_command(root: str, view: RunView, terms: Sequence[Term]) -> str:
    """Return the command that prints every run of a view in its order; pins, which only the list has, move none."""
    words = ["mllab", "runs", "ls", "-n", "0", "--lab", root]
    if terms:
        words += ["--columns", ",".join(map(str, terms))]
    words += {"archived too": ["--all"], "deleted": ["--deleted"]}.get(view.which, [])
    text = view.text
    if text:
        words += ["--", text] if text.startswith("-") else [text]
    return shlex.join(words)


def list_python(root: str, view: RunView, terms: Sequence[Term]) -> str:
    """Return lines of Python that read the runs of a view, in its order, as the frame ``runs``.

    What the frame cannot have is named in a comment; of deleted runs there is nothing but the comment.
    """
    if view.which == "deleted":
        return f"# mllab.runs gives no deleted runs. The command line lists them:\n# {list_command(root, view, terms)}"
    # The frame says which run a row is, whether the list does or not.
    names = ["run_id"]
    missing = []
    for term in terms:
        name = _column(term)
        if name is None:
            missing.append(str(term))
        elif name not in names:
            names.append(name)
    lines = ["import mllab", ""]
    if missing:
        lines.append(
            f"# Not in the frame, which has attributes, params, tags and last values: {', '.join(map(repr, missing))}"
        )
    arguments = [repr(view.text), f"columns={names!r}", f"lab={root!r}"]
    if view.which == "archived too":
        arguments.append("include_archived=True")
    lines.append(f"runs = mllab.runs({', '.join(arguments)})")
    return "\n".join(lines)


def _column(term: Term) -> str | None:
    """Return what :func:`mllab.runs` calls a column; None where it has none."""
    if term.kind == "run":
        name = _ATTRIBUTES.get(term.key, term.key)
        return name if name in CORE_COLUMNS else None
    if term.reads_points or term.function not in ("", "last"):
        return None
    return f"{_PREFIXES[term.kind]}{term.key}"
