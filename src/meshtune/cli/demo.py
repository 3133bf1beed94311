"""``meshtune demo``: a whole run that needs no file and no download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import meshtune
from meshtune.cli.folders import folder_named
from meshtune.cli.run import carry_out

FOLDER = Path("runs") / "demo"


def demo(
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, e.g. --set train.rounds=2. Repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option(parser=folder_named, metavar="FOLDER", help="The run's folder.")] = FOLDER,
) -> None:
    """Run ten devices on six tasks over the air, with a small base model that comes with meshtune.

    It takes a few minutes and ends in tables, pictures and what to try next. If stopped, the same command resumes it.

    For example: meshtune demo --out runs/lean --set adapter.density=0.05
    """
    from meshtune.runs.output_folder import check_out

    config = meshtune.demo_config(settings or [])
    check_out(out)
    carry_out(config, out)
