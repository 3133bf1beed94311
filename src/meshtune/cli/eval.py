"""``meshtune eval``: repeat a run's exam with other exam settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import meshtune
from meshtune.cli.endings import say
from meshtune.routing.registry import ROUTERS


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")],
    questions: Annotated[
        int | None,
        typer.Option(min=1, help="Number of test questions per task."),
    ] = None,
    routers: Annotated[
        list[str] | None,
        typer.Option(
            "--router",
            metavar="NAME",
            help=f"Also score this router, one of {', '.join(ROUTERS)}. Repeatable.",
        ),
    ] = None,
    no_write: Annotated[
        bool,
        typer.Option("--no-write", help="Do not write answers: score such tasks only by the NLL of their references."),
    ] = False,
    unsafe_code: Annotated[
        bool,
        typer.Option("--unsafe-code", help="Run the programs that models write without isolation, with your rights."),
    ] = False,
) -> None:
    """Evaluate the newest checkpoint again, and write results.json and the report for this exam.

    Scores that are already there are not computed twice; meshtune run --out RUN goes back to the run's own exam.

    For example: meshtune eval runs/demo --questions 30 --router cosine
    """
    from meshtune.cli.limits import check_address_space
    from meshtune.cli.show import show_run
    from meshtune.cli.signals import Stopped, stoppable
    from meshtune.cli.watching import watch
    from meshtune.routing.config import check_router

    done = meshtune.open_run(run)
    for router in routers or ():
        check_router(router)
    check_address_space()
    try:
        with stoppable():
            with watch() as observer:
                done.evaluate(questions, routers or (), not no_write, unsafe_code, observer)
            show_run(run)
    except KeyboardInterrupt as stop:
        say("stopped: the scores so far are kept, repeat the same command to resume")
        if isinstance(stop, Stopped):
            raise typer.Exit(stop.code) from stop
        raise
