"""`mllab demo`: make a lab, track a real study in it, and show what came out."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import note, print_json
from mllab.errors import UsageError
from mllab.ids import short_id

if TYPE_CHECKING:
    from mllab.demo.plan import Plan
    from mllab.demo.summary import ModelRow, Study
    from mllab.lab import Lab

_DEFAULT_FOLDER = "mllab-demo"
# So that every row of the summary fits 80 columns.
_SHORT = {"learning_rate": "lr", "max_leaf_nodes": "leaves", "max_features": "features", "l2_regularization": "l2"}
_REUSE, _FRESH, _QUIT = "reuse", "fresh", "quit"


@click.command("demo", cls=LabCommand)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path())
@click.option(
    "--reuse", "choice", flag_value=_REUSE, help="Show the study that is there, or go on with one that stopped."
)
@click.option("--fresh", "choice", flag_value=_FRESH, help="Add another study to what is there.")
@click.option(
    "--quick", is_flag=True, help="Two small models on 20,000 sampled flights: a few seconds, no real result."
)
@click.option(
    "--force", is_flag=True, help="Make the lab in a folder that holds other things; none of them is touched."
)
@click.option("--no-ui", is_flag=True, help="End with the summary table, not in the terminal UI.")
@pass_invocation
def demo(
    invocation: Invocation, folder: str | None, choice: str | None, *, quick: bool, force: bool, no_ui: bool
) -> None:
    """Track a real study in the lab DIR (mllab-demo): which flights out of New York arrive late?

    Ten models of two families learn from the 336,776 flights of 2013 in about a minute, offline. Where the study is
    there already, it is shown again or another one is added. It ends in the terminal UI, at the runs of the study.
    """
    from mllab.demo.extra import check_installed

    check_installed()
    folder = folder or invocation.lab_path or _DEFAULT_FOLDER
    lab = _open_lab(folder, force=force)

    from mllab.demo.plan import FULL, QUICK
    from mllab.demo.summary import latest_study

    plan = QUICK if quick else FULL
    study = latest_study(lab, plan.name)
    if study is not None:
        choice = choice or _ask(study, plan, can_ask=not invocation.as_json)
        if choice == _QUIT:
            return
        if choice == _FRESH:
            study = None
        elif study.status == "running":
            raise UsageError(
                f"Another process is at work on the study in {folder}.", "Wait for it, or add another with --fresh."
            )
    reused = study is not None and study.is_complete(plan)
    if not reused:
        _run(plan, lab, study, folder, color=invocation.color)
        study = latest_study(lab, plan.name)
    assert study is not None, "a study that ran is in its lab"
    if invocation.as_json:
        print_json(_as_json(study, lab, folder, reused=reused))
        return
    _print_summary(invocation, study, lab, folder)
    from mllab.cli.ui import can_show_ui, run_ui

    if not no_ui and can_show_ui(invocation):
        from mllab.tui.place import Place

        order = "" if study.best is None else "metrics.valid/auc desc"
        run_ui(lab, Place("runs", "", {"filter": "has params.family", "order": order}).link)


def _open_lab(folder: str, *, force: bool) -> Lab:
    from mllab.config.settings import FILE_NAME
    from mllab.lab import Lab

    path = os.path.expanduser(folder)
    is_lab = os.path.isfile(os.path.join(path, FILE_NAME))
    if os.path.isdir(path) and os.listdir(path) and not is_lab and not force:
        raise UsageError(
            f"The folder {folder} is not empty and holds no lab.",
            "Name another folder, or put a lab beside what is there with --force.",
        )
    return Lab.init(folder)


def _ask(study: Study, plan: Plan, *, can_ask: bool) -> str:
    """Ask what to do about a study that is there; where nobody can answer, reuse it."""
    from mllab.cli import failures

    if not can_ask or not failures.can_ask():
        return _REUSE
    best = study.best
    if study.is_complete(plan) and best is not None:
        score = best.metrics["valid/auc"]
        note(f"This lab holds the finished study: {len(study.finished)} runs, best validation AUC {score:.3f}.")
        keep = "show it again"
    else:
        note(f"This lab holds a study that stopped after {len(study.finished)} of {len(plan.models)} runs.")
        keep = "go on with it"
    note(f"  {_REUSE}  {keep}\n  {_FRESH}  add another study\n  {_QUIT}   leave it at that")
    return str(click.prompt("Which", type=click.Choice([_REUSE, _FRESH, _QUIT]), default=_REUSE, err=True))


def _run(plan: Plan, lab: Lab, unfinished: Study | None, folder: str, *, color: bool) -> None:
    from mllab.cli.demo_display import display

    # OpenMP's threads wait for each other by spinning. With another process at work on a machine of two cores that
    # made a fit of 4 s take 35 s. It is read once, when scikit-learn loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with display(len(plan.models), color=color) as progress:
            progress.stage("loading scikit-learn")
            from mllab.demo.study import run_study

            run_study(plan, lab, progress, unfinished)
    except KeyboardInterrupt:
        quick = " --quick" if plan.rows else ""
        note(f"Interrupted. Finished runs are kept; to go on with the rest: mllab demo {shlex.quote(folder)}{quick}")
        raise


def _next_commands(study: Study, folder: str) -> list[tuple[str, str]]:
    """Return commands that work as they are, and what each is for."""
    where = f"--lab {shlex.quote(folder)}"
    best = study.best
    if best is None:
        return [(f"mllab runs ls {where}", "the runs")]
    rivals = [row for row in study.ranked if row.family != best.family]
    pair = f"{short_id(best.run_id)} {short_id(rivals[0].run_id if rivals else study.run_id)}"
    return [
        (f'mllab runs ls {where} "family = {best.family} order by valid/auc desc"', "filter and sort the runs"),
        (f"mllab runs show {where} {short_id(best.run_id)}", "everything about the best one"),
        (f"mllab runs compare {where} {pair}", "against the best of the other family"),
    ]


def _as_json(study: Study, lab: Lab, folder: str, *, reused: bool) -> dict[str, Any]:
    best = study.best
    return {
        "lab": lab.root,
        "study": study.run_id,
        "plan": study.plan,
        "status": study.status,
        "seconds": study.seconds,
        "reused": reused,
        "best": best.run_id if best else None,
        "runs": [
            {
                "run_id": row.run_id,
                "name": row.name,
                "status": row.status,
                "family": row.family,
                "params": row.hyper,
                "seconds": row.seconds,
                "metrics": row.metrics,
            }
            for row in study.models
        ],
        "next": [command for command, _why in _next_commands(study, folder)],
    }


def _print_summary(invocation: Invocation, study: Study, lab: Lab, folder: str) -> None:
    from mllab.cli.table import Column, print_table
    from mllab.security.terminal import line
    from mllab.wording import duration

    screen = invocation.screen
    quick = " (quick: sampled flights, no real result)" if study.plan == "quick" else ""
    screen.print(screen.styled(f"Flights more than 30 minutes late{quick}", "bold"))
    columns = [
        Column("", least=1),
        Column("run"),
        Column("family", rank=2),
        Column("hyper-parameters", least=20),
        Column("valid/auc", right=True),
        Column("test/auc", right=True, rank=1),
        Column("time", right=True, rank=3),
    ]
    print_table(screen, columns, [_table_row(row, is_best=row is study.best) for row in study.ranked])
    screen.print()
    screen.print(
        f"* best on the validation months. {len(study.finished)} runs in {duration(study.seconds)}, in {line(lab.root)}"
    )
    screen.print()
    screen.print("Try next:")
    for command, why in _next_commands(study, folder):
        # Never cut: half a command cannot be copied.
        screen.print(f"  {line(command)}")
        screen.print(f"      {screen.styled(why, 'dim')}")


def _table_row(row: ModelRow, *, is_best: bool) -> list[Any]:
    from mllab.cli.table import Cell
    from mllab.wording import duration

    texts = [
        "*" if is_best else "",
        short_id(row.run_id),
        row.family,
        " ".join(f"{_SHORT.get(name, name)}={text}" for name, text in row.hyper.items()),
        f"{row.metrics['valid/auc']:.4f}" if "valid/auc" in row.metrics else "-",
        f"{row.metrics['test/auc']:.4f}" if row.status == "finished" else row.status,
        duration(row.seconds),
    ]
    return [Cell(text, "bold" if is_best else None) for text in texts]
