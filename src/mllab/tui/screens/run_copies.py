"""What can be copied of a run: above all, what brings it about again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from mllab.tui.screens.chooser import Choice

if TYPE_CHECKING:
    from mllab.lab import Lab
    from mllab.query.run_detail import RunDetail
    from mllab.tui.place import Place


def copies_of_run(lab: Lab, detail: RunDetail, place: Place) -> list[Choice]:
    """Return what can be copied: the value, its name after a letter, and its word on the command line."""
    run = detail.run
    params = {key: value.value for key, value in detail.params.items()}
    call = f"mllab.start_run({run.experiment!r}, params={params!r})"
    python = f"import mllab\n\nwith {call} as run:\n    ...  # your training\n"
    return [
        Choice(run.run_id, "i  the id", "id"),
        Choice(place.link, "l  a link to this view", "link"),
        Choice(reproduction(detail), "c  the commands that bring this run about again", "command"),
        Choice(python, "p  the Python that starts a run like it", "python"),
        Choice(f"mllab runs show --lab {shlex.quote(lab.root)} {run.run_id}", "s  the command that shows it", "show"),
        Choice(run.name, "n  the name", "name"),
    ]


def reproduction(detail: RunDetail) -> str:
    """Return shell commands: the commit, the uncommitted changes, the folder and the command line as recorded.

    What was not recorded is said in a comment, never guessed.
    """
    environment, git = _mapping(detail.info.get("environment")), _mapping(detail.info.get("git"))
    lines = [f"# Run {detail.run.run_id}"]
    folder, commit, command = environment.get("cwd"), git.get("commit"), environment.get("command")
    if folder:
        lines.append(f"cd {shlex.quote(str(folder))}")
    if commit:
        lines.append(f"git checkout {shlex.quote(str(commit))}")
        if any(each.path.endswith("uncommitted.diff") for each in detail.artifacts):
            lines.append(f"mllab artifacts get {detail.run.run_id} code/uncommitted.diff -o - | git apply")
    else:
        lines.append("# The code's commit was not recorded.")
    lines.append(str(command) if command else "# The command line was not recorded.")
    return "\n".join(lines) + "\n"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
