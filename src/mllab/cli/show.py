"""`mllab runs show`: everything about one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mllab.cli.completion_values import complete_run
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import STATUS_STYLES, print_json
from mllab.cli.table import Cell, Column, print_pairs, print_table, wrap
from mllab.ids import short_id
from mllab.security.terminal import block, line
from mllab.wording import ago, duration, local_time, number, param, plural, size, sparkline

if TYPE_CHECKING:
    from mllab.cli.screen import Screen
    from mllab.query.run_detail import MetricSummary, RunDetail

MOST_ROWS = 20
SPARK_CELLS = 16


@click.command("show", cls=LabCommand)
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--all", "-a", "everything", is_flag=True, help=f"Every metric, param and file, not the first {MOST_ROWS}."
)
@pass_invocation
def show(invocation: Invocation, run: str, *, everything: bool) -> None:
    """Show everything about RUN: params, metrics, tags, datasets, files, environment, error."""
    print_run(invocation, run, everything=everything)


def print_run(invocation: Invocation, run: str, *, everything: bool) -> None:
    """Print a run."""
    from mllab.query.run_detail import run_detail

    if invocation.as_json:
        print_json(detail_as_json(run_detail(invocation.engine, run, spark_cells=0)))
        return
    most = None if everything else MOST_ROWS
    detail = run_detail(invocation.engine, run, spark_cells=SPARK_CELLS, max_sparks=most)
    screen = invocation.screen
    _print_head(screen, detail)
    if detail.error:
        _print_error(screen, detail.error, everything=everything)
    if detail.run.note:
        _heading(screen, "Note")
        room = None if screen.width is None else max(screen.width - 2, 8)
        for each in block(detail.run.note).rstrip().expandtabs(4).split("\n"):
            for piece in wrap(each, room):
                screen.print(f"  {piece}".rstrip())
    _print_metrics(screen, detail.metrics, most)
    _print_some(screen, "Params", [(key, param(p.kind, p.text)) for key, p in detail.params.items()], most)
    _print_some(screen, "Tags", list(detail.tags.items()), most)
    _print_datasets(screen, detail)
    _print_files(screen, detail, most)
    _print_children(screen, detail, most)
    _print_some(screen, "Environment", environment_pairs(detail.info), None)


def _heading(screen: Screen, text: str) -> None:
    screen.print()
    screen.print(screen.styled(text, "bold"))


def _print_head(screen: Screen, detail: RunDetail) -> None:
    run = detail.run
    screen.print(f"{screen.styled(line(run.name), 'bold')}  {screen.styled(run.run_id, 'dim')}")
    status = screen.styled(screen.status(run.status), STATUS_STYLES.get(run.status))
    marks = [word for word, is_so in (("archived", run.archived), ("deleted", run.deleted)) if is_so]
    screen.print(f"{status}{''.join(f', {mark}' for mark in marks)}")
    pairs: list[tuple[str, str | Cell]] = [
        ("experiment", run.experiment),
        ("started", f"{local_time(run.started)} ({ago(run.started)})"),
        ("duration", duration(run.duration)),
    ]
    if run.ended:
        pairs.insert(2, ("ended", local_time(run.ended)))
    elif run.last_seen:
        pairs.insert(2, ("last seen", f"{local_time(run.last_seen)} ({ago(run.last_seen)})"))
    optional = (
        ("by", "@".join(part for part in (run.user, run.host) if part)),
        ("attempt", str(run.attempt) if run.attempt > 1 else ""),
        ("parent", run.parent_id or ""),
        ("forked from", run.forked_from or ""),
        ("at step", "" if run.forked_step is None else str(run.forked_step)),
    )
    pairs += [(key, value) for key, value in optional if value]
    if run.damaged:
        pairs.append(("damaged", Cell(run.damaged, "red")))
    print_pairs(screen, pairs, indent=2)


def _print_error(screen: Screen, error: dict[str, Any], *, everything: bool) -> None:
    _heading(screen, "Error")
    screen.print(
        screen.styled(f"  {line(str(error.get('type', '')))}: {line(str(error.get('message', ''))[:2000])}", "red")
    )
    trace = block(str(error.get("traceback") or "")).rstrip().split("\n")
    shown = trace if everything else trace[-8:]
    if len(shown) < len(trace):
        screen.print(screen.styled(f"  ({plural(len(trace) - len(shown), 'line')} above: --all)", "dim"))
    for each in shown if any(trace) else ():
        screen.print(screen.styled(f"  {each}".rstrip(), "dim"))


def _print_metrics(screen: Screen, metrics: tuple[MetricSummary, ...], most: int | None) -> None:
    if not metrics:
        return
    _heading(screen, "Metrics")
    columns = [
        Column("metric", least=10),
        Column("last", right=True),
        Column("step", right=True, rank=4),
        Column("min", right=True, rank=2),
        Column("max", right=True, rank=1),
        Column("points", right=True, rank=5),
        Column("curve", right=True, rank=3),
    ]
    rows = [
        [
            each.key,
            number(each.last),
            str(each.last_step),
            number(each.min),
            number(each.max),
            f"{each.count:,}" + (f" ({each.nans:,} nan)" if each.nans else ""),
            (sparkline(each.spark, screen.glyphs.bars, screen.glyphs.gap) if each.count > 1 else "").ljust(SPARK_CELLS),
        ]
        for each in metrics[:most]
    ]
    print_table(screen, columns, rows, indent=2)
    _print_more(screen, len(metrics), most)


def _print_more(screen: Screen, count: int, most: int | None) -> None:
    if most is not None and count > most:
        screen.print(screen.styled(f"  and {count - most:,} more: --all", "dim"))


def _print_some(screen: Screen, heading: str, pairs: list[tuple[str, str]], most: int | None) -> None:
    if not pairs:
        return
    _heading(screen, heading)
    # A param can be a whole configuration in JSON: its beginning is enough here.
    print_pairs(screen, [(key, value if most is None else value[:400]) for key, value in pairs[:most]], indent=2)
    _print_more(screen, len(pairs), most)


def _print_datasets(screen: Screen, detail: RunDetail) -> None:
    if not detail.datasets:
        return
    _heading(screen, "Datasets")
    columns = [
        Column("name", least=10),
        Column("context", rank=1),
        Column("rows", right=True, rank=2),
        Column("digest", rank=3),
        Column("source", rank=4),
    ]
    rows = [
        [
            each.name,
            each.context or "",
            "" if each.rows is None else f"{each.rows:,}",
            each.digest.removeprefix("sha256:")[:12],
            each.source or "",
        ]
        for each in detail.datasets
    ]
    print_table(screen, columns, rows, indent=2)


def _print_files(screen: Screen, detail: RunDetail, most: int | None) -> None:
    if not detail.artifacts:
        return
    _heading(screen, "Artifacts")
    print_files(screen, detail, most)
    _print_more(screen, len(detail.artifacts), most)


def print_files(screen: Screen, detail: RunDetail, most: int | None = None, *, indent: int = 2) -> None:
    """Print a run's artifacts as a table."""
    columns = [
        Column("path", least=12),
        Column("kind", rank=2),
        Column("size", right=True, rank=1),
        Column("sha256", rank=3),
    ]
    rows = [[each.path, each.kind or "", size(each.size), each.sha256[:12]] for each in detail.artifacts[:most]]
    print_table(screen, columns, rows, indent)


def _print_children(screen: Screen, detail: RunDetail, most: int | None) -> None:
    if not detail.children:
        return
    _heading(screen, "Runs inside")
    columns = [Column("id"), Column("name", least=10), Column("status", rank=1), Column("duration", right=True, rank=2)]
    rows: list[list[str | Cell]] = [
        [
            short_id(run.run_id),
            run.name,
            Cell(screen.status(run.status), STATUS_STYLES.get(run.status)),
            duration(run.duration),
        ]
        for run in detail.children[:most]
    ]
    print_table(screen, columns, rows, indent=2)
    _print_more(screen, len(detail.children), most)


def environment_pairs(info: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the most telling of what was captured around a run; `--json` has everything."""
    environment, git, hardware = (_mapping(info.get(name)) for name in ("environment", "git", "hardware"))
    packages = _mapping(environment.get("packages"))
    gpus = hardware.get("gpus")
    names = [str(_mapping(gpu).get("name", gpu)) for gpu in gpus] if isinstance(gpus, list) else []
    memory = hardware.get("memory_bytes")
    facts: list[tuple[str, Any]] = [
        ("command", environment.get("command")),
        ("folder", environment.get("cwd")),
        ("python", environment.get("python")),
        ("packages", f"{len(packages):,}" if packages else None),
        ("git", _git(git)),
        ("platform", environment.get("platform")),
        ("container", environment.get("container")),
        ("cpu", f"{hardware['cpu']} ({hardware.get('cpu_available')} usable)" if hardware.get("cpu") else None),
        ("memory", size(memory) if isinstance(memory, int) else None),
        ("gpu", ", ".join(names) or None),
    ]
    facts += [(key, value) for key, value in info.items() if key not in ("environment", "git", "hardware")]
    return [(key, str(value)[:400]) for key, value in facts if value not in (None, "")]


def _git(git: dict[str, Any]) -> str | None:
    if not git.get("commit"):
        return None
    count = git.get("change_count")
    changes = f", {plural(count, 'changed file')}" if isinstance(count, int) and count else ""
    return f"{str(git['commit'])[:12]} on {git.get('branch') or 'a detached head'}{changes}"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def detail_as_json(detail: RunDetail) -> dict[str, Any]:
    """Return a run as `runs show --json` prints it."""
    from dataclasses import asdict

    from mllab.exporting import run_as_json
    from mllab.wording import iso_time

    def timed(item: Any) -> dict[str, Any]:
        fields = asdict(item)
        return fields | {"time": iso_time(fields["time"])}

    metrics = {}
    for summary in detail.metrics:
        fields = asdict(summary)
        fields.pop("spark")
        metrics[fields.pop("key")] = fields
    return run_as_json(detail.run) | {
        "params": {key: each.value for key, each in detail.params.items()},
        "tags": detail.tags,
        "metrics": metrics,
        "datasets": [timed(each) for each in detail.datasets],
        "artifacts": [timed(each) for each in detail.artifacts],
        "children": [child.run_id for child in detail.children],
        "error": detail.error,
        "info": detail.info,
    }
