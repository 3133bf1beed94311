"""``meshtune run``: a whole run, new or resumed, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meshtune.errors import UserError


def run(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE.yaml]", help="The configuration. Leave it out to resume the run in --out."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, e.g. --set train.rounds=2. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run's folder; by default runs/ and the name of FILE.yaml."),
    ] = None,
) -> None:
    """Run a configuration to its end; a run that was stopped goes on where it was."""
    from meshtune.cli.progress import watch
    from meshtune.cli.show import show_run
    from meshtune.engine.config import RunConfig, load_config, validate

    overrides = settings or []
    config: RunConfig
    if file is None and out is not None and (out / "config.json").is_file() and not overrides:
        from meshtune.engine.store import RunStore

        config = validate(RunStore.open(out).config(), str(out))
    elif file is None and out is not None and not overrides:
        raise UserError(f"there is no run in {out} to resume: give a FILE.yaml to start one there")
    elif file is None and not overrides:
        raise UserError("there is nothing to run: give a FILE.yaml, or --out with the folder of a run to resume")
    else:
        config = load_config(file, overrides)
    folder = out or Path("runs") / (file.stem if file is not None else "run")
    from meshtune.engine import run as engine  # torch: only once the configuration is known to be good

    try:
        with watch() as observer:
            done = engine.run(config, folder, observer)
    except KeyboardInterrupt:
        typer.echo(f"stopped: {_resume(folder)}", err=True)
        raise
    show_run(done)


def _resume(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return f"what is finished is kept, go on with: meshtune run --out {folder}"
    return "nothing had been done yet, repeat the same command to start again"
