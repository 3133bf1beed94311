"""Prints tables: for people on a terminal, in full width where the output goes to a file or a pipe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from meshtune.report.tables import Table

PIPE_WIDTH = 200


def show_tables(tables: Iterable[Table]) -> None:
    """Print ``tables`` to the standard output."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    for table in tables:
        console.print(table.rich())
        if table.note:
            console.print(table.note + "\n", markup=False)


def show_run(path: Path) -> None:
    """Write the report of the finished run ``path``, print its tables and say where everything is."""
    import typer

    from meshtune.report.compare import tables, write_report

    written = write_report(path)
    show_tables(tables([path]))
    typer.echo(f"{path / 'results.json'}  {'  '.join(str(file) for file in written)}")
