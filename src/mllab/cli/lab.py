"""`mllab init`, and what `mllab` alone prints: the lab, its runs by status, and where to go from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mllab.cli.invocation import Invocation, LabCommand, pass_invocation

if TYPE_CHECKING:
    from mllab.cli.screen import Screen
    from mllab.query.views import LabCounts

_FIRST_STEPS = (
    ("mllab demo", "track a real study in a lab of its own, offline, in about a minute"),
    ("python -c \"import mllab; mllab.start_run().log({'loss': 1.0})\"", "track a run of your own"),
    ("mllab init DIR", "make a lab beside a project"),
)
_NEXT_STEPS = (
    ("mllab runs ls", "the newest runs"),
    ("mllab runs show NAME", "everything about one"),
    ("mllab runs compare A B", "what differs, and what it did to the metrics"),
    ("mllab --help", "all commands"),
)


@click.command("init", cls=LabCommand)
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path())
@click.option("--name", help="The lab's name for people. Default: the folder's name.")
@click.option(
    "--allow-network-fs", is_flag=True, help="Use a network file system, from this host only; locks may not hold there."
)
@pass_invocation
def init(invocation: Invocation, folder: str, name: str | None, *, allow_network_fs: bool) -> None:
    """Make a lab in DIR (here when left out); one that is there stays as it is."""
    import os

    from mllab.cli.screen import print_json
    from mllab.config.settings import FILE_NAME
    from mllab.lab import Lab
    from mllab.security.terminal import line

    was_there = os.path.isfile(os.path.join(os.path.expanduser(folder), FILE_NAME))
    lab = Lab.init(folder, name=name, allow_network=allow_network_fs)
    if invocation.as_json:
        print_json({"lab": lab.root, "name": lab.name, "store": lab.store_path, "created": not was_there})
        return
    verb = "There already is" if was_there else "Made"
    invocation.screen.print(f"{verb} the lab {line(lab.name)} in {line(lab.root)}")
    if not was_there:
        invocation.screen.print("Runs started below this folder are tracked in it: mllab.start_run(...)")


def print_overview(invocation: Invocation) -> None:
    """Print which lab this is, what is in it, and a few commands to go on with."""
    from mllab.cli.screen import print_json
    from mllab.query.views import lab_counts

    counts = lab_counts(invocation.engine)
    if invocation.as_json:
        print_json(_as_json(invocation, counts))
    else:
        _print(invocation, invocation.screen, counts)


def _as_json(invocation: Invocation, counts: LabCounts) -> dict[str, Any]:
    lab = invocation.lab
    return {
        "lab": lab.root,
        "name": lab.name,
        "origin": lab.origin,
        "runs": counts.runs,
        "by_status": counts.by_status,
        "archived": counts.archived,
        "deleted": counts.deleted,
        "damaged": counts.damaged,
        "experiments": counts.experiments,
        "newest": counts.newest.run_id if counts.newest else None,
    }


def _print(invocation: Invocation, screen: Screen, counts: LabCounts) -> None:
    from mllab.cli.screen import STATUS_STYLES
    from mllab.cli.table import print_pairs
    from mllab.security.terminal import line
    from mllab.wording import ago, plural

    lab = invocation.lab
    origins = {"argument": "--lab", "mllab.toml": "the nearest mllab.toml", "user default": "your default lab"}
    where = f"{line(lab.root)} ({origins.get(lab.origin, line(lab.origin))})"
    screen.print(f"{screen.styled(line(lab.name), 'bold')}  {screen.styled(where, 'dim')}")
    if not counts.runs and not counts.archived:
        screen.print("No runs yet.")
        steps: tuple[tuple[str, str], ...] = _FIRST_STEPS
    else:
        statuses = [
            screen.styled(f"{count:,} {status}", STATUS_STYLES.get(status))
            for status, count in sorted(counts.by_status.items(), key=lambda item: -item[1])
        ]
        summary = f"{plural(counts.runs, 'run')} in {plural(counts.experiments, 'experiment')}"
        screen.print(f"{summary}: {', '.join(statuses)}" if statuses else summary)
        extra = [(counts.archived, "archived"), (counts.deleted, "deleted"), (counts.damaged, "damaged")]
        if any(count for count, _ in extra):
            screen.print("also " + ", ".join(f"{count:,} {word}" for count, word in extra if count))
        if counts.newest:
            screen.print(f"newest: {line(counts.newest.name)}, {ago(counts.newest.started)}, {counts.newest.status}")
        steps = _NEXT_STEPS
    screen.print()
    print_pairs(screen, [(command, why) for command, why in steps], indent=2)
