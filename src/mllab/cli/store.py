"""`mllab store`: the health, size and upkeep of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mllab.cli.invocation import Invocation, LabCommand, LazyGroup, pass_invocation
from mllab.cli.screen import note, print_json
from mllab.cli.table import Column, print_pairs, print_table
from mllab.errors import NotFoundError
from mllab.security.terminal import line
from mllab.wording import plural, size

if TYPE_CHECKING:
    from mllab.store.findings import Problem, VerifyReport
    from mllab.store.gc import GcReport
    from mllab.store.store import Store

COMMANDS = {
    "stats": "mllab.cli.store:stats",
    "verify": "mllab.cli.store:verify",
    "seal": "mllab.cli.store:seal",
    "compact": "mllab.cli.store:compact",
    "gc": "mllab.cli.store:gc",
}
MOST_PROBLEMS = 100
_WAIT = click.option("--wait", is_flag=True, help="Wait for another process that works on the store.")


@click.group(cls=LazyGroup, homes=COMMANDS)
def store() -> None:
    """Look after the store: verify it, compact it, give back space."""


@click.command("stats", cls=LabCommand)
@pass_invocation
def stats(invocation: Invocation) -> None:
    """Show how much the store holds, and what it takes on disk."""
    from mllab.store.stats import stats as store_stats

    found = store_stats(invocation.lab.store.layout)
    if invocation.as_json:
        print_json(found)
        return
    screen = invocation.screen
    runs, points, blobs = found["runs"], found["points"], found["blobs"]
    per_point = f", {points['bytes_per_point']:g} bytes each" if points["bytes_per_point"] else ""
    saved = f", {size(blobs['saved_bytes'])} saved by storing equal content once" if blobs["saved_bytes"] else ""
    print_pairs(
        screen,
        [
            ("store", f"{invocation.lab.store_path} (format {found['format']})"),
            ("on disk", size(found["total_bytes"])),
            ("runs", f"{runs['sealed'] + runs['open']:,}: {', '.join(f'{runs[key]:,} {key}' for key in runs)}"),
            ("points", f"{points['rows']:,} sealed in {size(points['bytes'])}{per_point}"),
            ("", f"{points['open_rows']:,} not sealed"),
            ("segments", f"{found['segments']['count']:,}, {size(found['segments']['bytes'])}"),
            ("files", f"{blobs['artifacts']:,} in {plural(blobs['count'], 'blob')}, {size(blobs['bytes'])}{saved}"),
            ("unused", f"{plural(blobs['unused'], 'blob')}: mllab store gc" if blobs["unused"] else "nothing"),
            ("trash", size(found["trash_bytes"])),
        ],
    )
    if found["parts"]:
        screen.print()
        columns = [Column("table"), Column("parts", right=True), Column("rows", right=True), Column("size", right=True)]
        rows = [
            [name, f"{part['parts']:,}", f"{part['rows']:,}", size(part["bytes"])]
            for name, part in found["parts"].items()
        ]
        print_table(screen, columns, rows)


@click.command("verify", cls=LabCommand)
@click.option("--quick", is_flag=True, help="Check presence and sizes only; hash nothing.")
@click.option("--repair", is_flag=True, help="Move damaged files aside, bring back what the trash has. Loses no byte.")
@_WAIT
@pass_invocation
def verify(invocation: Invocation, *, quick: bool, repair: bool, wait: bool) -> None:
    """Check every hash and invariant of the store, and name what is lost. Changes nothing without --repair.

    Exit status 3 when something is wrong.
    """
    from mllab.store.verify import repair as repair_store
    from mllab.store.verify import verify as verify_store

    opened = unchecked_store(invocation)
    report = verify_store(opened.layout, deep=not quick)
    moved = repair_store(opened.layout, opened.disk, report, wait=wait) if repair and not report.is_intact else []
    if moved:
        report = verify_store(opened.layout, deep=not quick)
    if invocation.as_json:
        from dataclasses import asdict

        print_json({**asdict(report), "intact": report.is_intact, "moved": moved})
    else:
        _print_report(invocation, report, moved)
    if not report.is_intact:
        raise click.exceptions.Exit(3)


def unchecked_store(invocation: Invocation) -> Store:
    """Return the store even when it cannot be opened."""
    from mllab.cli.locating import locate
    from mllab.store.store import Store

    lab = locate(invocation.lab_path)
    if lab is None:
        raise NotFoundError("There is no lab here.", "Name one with --lab DIR, or make one: mllab init", code="USE-004")
    return Store(lab.store_path)


def _print_report(invocation: Invocation, report: VerifyReport, moved: list[str]) -> None:
    screen = invocation.screen
    for path in moved:
        screen.print(f"moved aside or put back: {line(path)}")
    for each in report.problems[:MOST_PROBLEMS]:
        _print_problem(invocation, each, "red")
    if len(report.problems) > MOST_PROBLEMS:
        screen.print(f"and {len(report.problems) - MOST_PROBLEMS:,} problems more: --json")
    for each in report.notes[:MOST_PROBLEMS]:
        _print_problem(invocation, each, "dim")
    checked = ", ".join(f"{count:,} {name}" for name, count in sorted(report.checked.items()))
    verdict = "The store is whole" if report.is_intact else plural(len(report.problems), "problem")
    verdict = screen.styled(verdict, "green" if report.is_intact else "red", "bold")
    screen.print(f"{verdict}: checked {checked or 'nothing'}, {size(report.bytes)} read")
    if any(each.remedy for each in report.problems):
        note("Some of it can be mended: mllab store verify --repair")


def _print_problem(invocation: Invocation, problem: Problem, style: str) -> None:
    screen = invocation.screen
    screen.print(f"{screen.styled(problem.kind, style)}  {line(problem.path)}: {line(problem.message)}")
    for each in problem.lost:
        screen.print(f"    lost: {line(each)}")


@click.command("seal", cls=LabCommand)
@_WAIT
@pass_invocation
def seal(invocation: Invocation, *, wait: bool) -> None:
    """Turn the records of ended runs into Parquet. It happens by itself, after runs."""
    report = invocation.lab.store.seal(wait=wait)
    if invocation.as_json:
        print_json(
            {"runs": report.runs, "segments": report.segments, "points": report.points, "lost_bytes": report.lost_bytes}
        )
        return
    invocation.screen.print(
        f"Sealed {plural(report.runs, 'run')}: {plural(report.segments, 'segment')}, {plural(report.points, 'point')}"
    )
    if report.lost_bytes:
        note(f"{plural(report.lost_bytes, 'byte')} held no intact record; the segments are kept in the trash.")


@click.command("compact", cls=LabCommand)
@click.option("--full", is_flag=True, help="Merge everything that fits, however little there is to gain.")
@_WAIT
@pass_invocation
def compact(invocation: Invocation, *, full: bool, wait: bool) -> None:
    """Seal, merge small parts, and remove what was replaced. It happens by itself, after runs."""
    opened = invocation.lab.store
    sealed = opened.seal(wait=wait)
    merged = opened.compact(full=full, wait=wait)
    freed = opened.sweep()
    if invocation.as_json:
        print_json({"sealed_runs": sealed.runs, "merged": merged, "freed_bytes": freed})
        return
    what = "merged parts" if merged else "nothing to merge"
    invocation.screen.print(f"Sealed {plural(sealed.runs, 'run')}, {what}, gave back {size(freed)}")


@click.command("gc", cls=LabCommand)
@click.option("--apply", is_flag=True, help="Do it. Without this, only say what would be done.")
@click.option("--undo", is_flag=True, help="Put back everything that is in the trash.")
@_WAIT
@pass_invocation
def gc(invocation: Invocation, *, apply: bool, undo: bool, wait: bool) -> None:
    """Say what space can be given back: files that nothing refers to, runs deleted long ago. --apply does it.

    A file goes to the trash two weeks after it was first seen unused, and leaves the trash a week later.
    """
    from mllab.store.gc import gc as collect
    from mllab.store.trash import restore_trash

    opened = invocation.lab.store
    if undo:
        restored = restore_trash(opened.layout, opened.disk, wait=wait)
        if invocation.as_json:
            print_json({"restored": len(restored)})
        else:
            invocation.screen.print(f"Put back {plural(len(restored), 'file')}.")
        return
    report = collect(opened.layout, opened.disk, apply=apply, wait=wait)
    if invocation.as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        _print_gc(invocation, report)


def _print_gc(invocation: Invocation, report: GcReport) -> None:
    done = report.applied
    nothing = not (report.trashed or report.purged or report.purged_runs or report.leftovers)
    if nothing and not report.candidates:
        invocation.screen.print(f"Nothing to give back: {plural(report.used, 'file')} in use.")
        return
    pairs: list[tuple[str, Any]] = [
        ("in use", plural(report.used, "file")),
        ("unused", f"{plural(report.candidates, 'file')}, {size(report.bytes)}"),
        ("to the trash", f"{plural(report.trashed, 'file')}, {size(report.trashed_bytes)}"),
        ("out of the trash", f"{plural(report.purged, 'file')}, {size(report.purged_bytes)}"),
        ("deleted runs", plural(len(report.purged_runs), "run")),
        ("leftovers", f"{plural(report.leftovers, 'file')}, {size(report.leftover_bytes)}"),
    ]
    if report.restored:
        pairs.append(("put back", plural(report.restored, "file")))
    screen = invocation.screen
    screen.print("Done:" if done else "Would be done:")
    print_pairs(screen, pairs, indent=2)
    if not done:
        note(
            "Nothing was changed: --apply does it."
            if not nothing
            else "--apply marks the unused files; they go after their grace."
        )
