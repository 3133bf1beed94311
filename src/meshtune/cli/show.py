"""Prints tables: fitted to a terminal without losing a digit, at full width if the output is a file or a pipe.

Names in them are untrusted text: no control sequence reaches the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from meshtune.cli.flags import in_flags
from meshtune.printable import printable
from meshtune.report.result_tables import Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

PIPE_WIDTH = 200
GAP = 2
TEXT_WIDTH = 100


def show_tables(tables: Iterable[Table]) -> None:
    """Print ``tables`` to the standard output."""
    console = _console()
    for table in map(_safe, tables):
        console.print(table.title, style="bold", markup=False)
        for block in fitted(table, console.width):
            console.print(block)
            console.print()
        if table.note:
            console.print(table.note + "\n", markup=False)


def _safe(table: Table) -> Table:
    rows = [[printable(in_flags(cell)) for cell in row] for row in table.rows]
    note = printable(in_flags(table.note))
    return Table(printable(table.title), list(map(printable, table.columns)), rows, table.labels, note)


def fitted(table: Table, width: int) -> list[RichTable]:
    """Return ``table`` in as few blocks of columns as fit ``width``, each with the labels.

    Heads may wrap; cells wrap only if a single one is too wide. If the labels fill more than half of the width, only
    the first is repeated.
    """
    from rich.cells import cell_len

    narrow = []
    for i, head in enumerate(table.columns):
        texts = [row[i] for row in table.rows] + head.split()
        narrow.append(max(map(cell_len, texts), default=0))
    repeated = list(range(table.labels))
    if _across(narrow[i] for i in repeated) > width // 2:
        repeated = repeated[:1]
    blocks = [list(repeated)]
    for i in range(len(repeated), len(table.columns)):
        if blocks[-1] != repeated and _across(narrow[j] for j in (*blocks[-1], i)) > width:
            blocks.append(list(repeated))
        blocks[-1].append(i)
    return [_block(table, columns, narrow, width) for columns in blocks]


def _block(table: Table, columns: Sequence[int], narrow: Sequence[int], width: int) -> RichTable:
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table as RichTable
    from rich.text import Text

    wide = {i: max(narrow[i], cell_len(table.columns[i])) for i in columns}
    widths: dict[int, int | None] = {i: narrow[i] for i in columns}
    if _across(wide.values()) <= width:
        widths.update(wide)
    elif _across(narrow[i] for i in columns) > width:
        widths[max(columns, key=lambda i: narrow[i])] = None  # one cell alone is too wide: it wraps
    made = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for i in columns:
        side: Literal["left", "right"] = "left" if i < table.labels else "right"
        made.add_column(Text(table.columns[i]), justify=side, width=widths[i])
    for row in table.rows:
        made.add_row(*(Text(row[i]) for i in columns))
    return made


def _across(widths: Iterable[int]) -> int:
    """Return the total width of columns of these widths."""
    each = list(widths)
    return sum(each) + GAP * (len(each) - 1)


def show_run(path: Path) -> None:
    """Write the report of the finished run ``path``; print its tables, a summary, its files and what to try next."""
    import typer

    from meshtune.cli.advice import try_next
    from meshtune.report.comparison import summary, tables, write_report
    from meshtune.report.measure import headline
    from meshtune.report.results_file import load_results

    written = write_report(path)
    results = load_results(path)
    show_tables(tables([path], headline(results)))
    console = _console()
    console.print("What happened", style="bold")
    console.print(printable(in_flags(summary(path))), markup=False, width=min(console.width, TEXT_WIDTH))
    files = (path / "results.json", *written)
    typer.echo(f"\nWritten: {'  '.join(printable(str(file)) for file in files)}")
    typer.echo("\nTry next:")
    for command in try_next(path, results.header.config):
        typer.echo(f"  {printable(command)}")


def _console() -> Console:
    from rich.console import Console

    class Honest(Console):
        def on_broken_pipe(self) -> None:  # the caller handles it; rich would exit with 1
            raise BrokenPipeError

    console = Honest(highlight=False, emoji=False)
    return console if console.is_terminal else Honest(highlight=False, emoji=False, width=PIPE_WIDTH)
