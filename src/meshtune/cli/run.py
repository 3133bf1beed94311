"""``meshtune run``: a whole run, new or resumed, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import meshtune
from meshtune.cli.endings import say
from meshtune.cli.folders import folder_named
from meshtune.errors import UserError
from meshtune.files import resuming
from meshtune.printable import printable

if TYPE_CHECKING:
    from meshtune.config.run_config import RunConfig


def run(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.yaml",
            help="The configuration. Without it, the run in --out is resumed.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, e.g. --set train.rounds=2. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=folder_named, metavar="FOLDER", help="The run's folder; by default runs/ and the name of FILE.yaml."
        ),
    ] = None,
    unsafe_code: Annotated[
        bool,
        typer.Option("--unsafe-code", help="Run the programs that models write without isolation, with your rights."),
    ] = False,
) -> None:
    """Run a configuration to its end; a run that was stopped resumes where it was.

        meshtune run my-data.yaml --out runs/mine --set train.rounds=2

        meshtune run --out runs/mine

    meshtune demo runs without a file, a download, or more than a few minutes.
    """
    config, folder = _chosen(file, [*(settings or []), *(["eval.unsafe_code=true"] if unsafe_code else [])], out)
    carry_out(config, folder)


def carry_out(config: RunConfig, folder: Path) -> None:
    """Run ``config`` in ``folder`` to its end, and show the results."""
    from meshtune.cli.limits import check_address_space
    from meshtune.cli.show import show_run
    from meshtune.cli.signals import Stopped, stoppable
    from meshtune.cli.watching import watch

    check_address_space()
    try:
        with stoppable():
            with watch() as observer:
                done = meshtune.run(config, folder, observer)
            show_run(done.path)
    except KeyboardInterrupt as stop:
        say(f"stopped: {_resume(folder)}")
        if isinstance(stop, Stopped):
            raise typer.Exit(stop.code) from stop
        raise


def _chosen(file: Path | None, settings: list[str], out: Path | None) -> tuple[RunConfig, Path]:
    """Return the configuration to run, and its folder.

    Raises:
        UserError: neither a file nor a folder with a run is named, or one of them cannot be used.
    """
    from meshtune.config.config_file import override
    from meshtune.runs.output_folder import check_out, the_run
    from meshtune.runs.store import RunStore

    if file is None and out is None:
        raise UserError(
            "no configuration and no run named: give a FILE.yaml, or --out with the folder of a run to resume; "
            "meshtune demo runs without either"
        )
    if file is not None:
        config, folder = meshtune.load_config(file, settings), out or Path("runs") / file.stem
        check_out(folder)
        return config, folder
    assert out is not None
    the_run(out)
    check_out(out)
    return override(RunStore.open(out).config(), settings, str(out)), out


def _resume(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return f"finished work is kept, resume with: {printable(resuming(folder))}"
    return "nothing had been done yet, repeat the same command to start again"
