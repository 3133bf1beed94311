"""``meshtune run``: a whole run, new or resumed, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from meshtune.engine.config import RunConfig


def run(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.yaml",
            help="The configuration. Without it: the run in --out goes on; where there is none, the demo runs.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, e.g. --set train.rounds=2. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run's folder; by default runs/ and the name of FILE.yaml, runs/demo for the demo."),
    ] = None,
    unsafe_code: Annotated[
        bool,
        typer.Option("--unsafe-code", help="Run the programs that models write without isolation, with your rights."),
    ] = False,
) -> None:
    """Run a configuration to its end; a run that was stopped goes on where it was.

    meshtune run alone runs the demo: it needs no file, no download and a few minutes.
    """
    from meshtune.cli.progress import watch
    from meshtune.cli.show import show_run
    from meshtune.cli.signals import Stopped, stoppable

    config, folder = _chosen(file, [*(settings or []), *(["eval.unsafe_code=true"] if unsafe_code else [])], out)
    try:
        with stoppable():
            from meshtune.engine import run as engine  # torch: only once the configuration is known to be good

            with watch() as observer:
                done = engine.run(config, folder, observer)
            show_run(done)
    except KeyboardInterrupt as stop:
        typer.echo(f"stopped: {_resume(folder)}", err=True)
        if isinstance(stop, Stopped):
            raise typer.Exit(stop.code) from stop
        raise


def _chosen(file: Path | None, settings: list[str], out: Path | None) -> tuple[RunConfig, Path]:
    """Return what is to be run, and in which folder."""
    from meshtune.engine.config import load_config, override
    from meshtune.engine.demo import FOLDER, demo_config
    from meshtune.engine.store import RunStore

    if file is not None:
        return load_config(file, settings), out or Path("runs") / file.stem
    if out is not None and RunStore.exists(out):
        return override(RunStore.open(out).config(), settings, str(out)), out
    config, folder = demo_config(settings), out or FOLDER
    typer.echo(f"no FILE.yaml: this is the demo, in {folder}", err=True)
    return config, folder


def _resume(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return f"what is finished is kept, go on with: meshtune run --out {folder}"
    return "nothing had been done yet, repeat the same command to start again"
