"""`mllab runs export`: a table of runs as a file."""

from __future__ import annotations

import click

from mllab.cli.completion_values import complete_filter
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.output import binary_output
from mllab.cli.runs_list import chosen_runs
from mllab.cli.screen import note
from mllab.exporting import FORMATS, format_of, write_runs
from mllab.query.column_lists import split_columns
from mllab.wording import plural


@click.command("export", cls=LabCommand)
@click.argument("filter_words", metavar="[FILTER]", nargs=-1, shell_complete=complete_filter)
@click.option("--format", "-f", "kind", type=click.Choice(FORMATS), help="Default: by the ending of FILE, else csv.")
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(), help="The file to write, or to replace; else stdout."
)
@click.option(
    "--columns", "-c", metavar="A,B,...", help="As for `runs ls`. Default: everything; for md, what `ls` shows."
)
@click.option("--all", "-a", "include_archived", is_flag=True, help="Archived runs too.")
@click.option("--deleted", is_flag=True, help="The deleted runs, which `runs restore` brings back.")
@pass_invocation
def export(
    invocation: Invocation,
    filter_words: tuple[str, ...],
    kind: str | None,
    output: str | None,
    columns: str | None,
    *,
    include_archived: bool,
    deleted: bool,
) -> None:
    """Write the runs that FILTER chooses to a file: csv, json, jsonl, parquet or md.

    Columns are named as in Python: params.lr, tags.team, metrics.loss. In csv a text that a spreadsheet would take for
    a formula (it begins with = + - or @) gets an apostrophe in front; the other formats hold texts as they are.
    """
    kind = kind or format_of(output, FORMATS) or ("json" if invocation.as_json else "csv")
    which = chosen_runs(include_archived=include_archived, deleted=deleted)
    with binary_output(output, what="Parquet" if kind == "parquet" else "") as stream:
        count = write_runs(invocation.engine, " ".join(filter_words), split_columns(columns), kind, stream, which=which)
    if output not in (None, "-"):
        note(f"Wrote {plural(count, 'run')} to {output}")
