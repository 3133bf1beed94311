"""``meshtune compare``: the tables of one run or several, or their rows for a script."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    form: Annotated[str, typer.Option("--format", help="table, markdown, json or csv.")] = "table",
    metric: Annotated[str, typer.Option(help="nll, option_nll, acc, acc_norm, rouge_l or pass@K.")] = "nll",
    against: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="Take paired differences to this method (default: lora, else frozen)."),
    ] = None,
) -> None:
    """Show runs side by side; json and csv print the merged rows of all of them.

    For example: meshtune compare runs/demo runs/lean --metric acc --against local
    """
    from meshtune.report import comparison as report

    if form == "table":
        from meshtune.cli.show import show_tables

        show_tables(report.tables(runs, metric, against))
    else:
        typer.echo(report.compare(runs, form, metric, against), nl=False)
