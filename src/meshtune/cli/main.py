"""The command ``meshtune``: joins the verbs, and turns what people can mend into one sentence and an exit
code.

Exit codes: 0 done, 2 something the user can mend (the sentence on stderr says what), 130 stopped with Ctrl+C.
Verbs import what they need when they run, so that ``--help`` is quick.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from meshtune import __version__
from meshtune.cli.ask import ask
from meshtune.cli.compare import compare
from meshtune.cli.eval import evaluate
from meshtune.cli.methods import methods
from meshtune.cli.models import models
from meshtune.cli.plan import plan
from meshtune.cli.run import run
from meshtune.cli.tasks import tasks
from meshtune.errors import UserError


class _Group(TyperGroup):
    """Ends user errors in one sentence and exit code 2, and Ctrl+C in 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error


app = typer.Typer(
    name="meshtune",
    cls=_Group,
    help="Many devices, one frozen LLM, no server: sparse-and-orthogonal LoRA for serverless fine-tuning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing what draws boxes takes longer than everything else here
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", short_help="Run a configuration, or go on with a run.")(run)
app.command("plan", short_help="Plan a run over the air, without training.")(plan)
app.command("eval", short_help="Sit the exam of a run again.")(evaluate)
app.command("ask", short_help="Ask a device of a run.")(ask)
app.command("compare", short_help="Show runs side by side.")(compare)
app.command("tasks", short_help="List the tasks.")(tasks)
app.command("methods", short_help="List the methods.")(methods)
app.command("models", short_help="List the models.")(models)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meshtune {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Hold the options of the command itself."""


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
