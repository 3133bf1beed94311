"""The command ``meshtune``: joins the verbs and turns every ending into a sentence and an exit code.

Exit codes: 0 done, 2 something the user can fix (the sentence on stderr says what), 70 a fault of this program (the
sentence says where its traceback is), 129, 130 and 143 stopped by SIGHUP, Ctrl+C and SIGTERM, 141 the reader closed the
pipe. Verbs import what they need when they run, so that ``--help`` is fast.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from meshtune import __version__
from meshtune.cli.ask import ask
from meshtune.cli.compare import compare
from meshtune.cli.demo import demo
from meshtune.cli.endings import SHUT, STOPPED, end, shut
from meshtune.cli.eval import evaluate
from meshtune.cli.methods import methods
from meshtune.cli.models import models
from meshtune.cli.plan import plan
from meshtune.cli.run import run
from meshtune.cli.tasks import tasks
from meshtune.errors import UserError, check_name

_UsageError: Any = typer.BadParameter.__mro__[1]  # typer has no other name for it


class _Group(TyperGroup):
    """Turns every verb's ending into a sentence and an exit code; see :mod:`meshtune.cli.endings`."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        given = list(sys.argv[1:] if args is None else args) or ["--help"]
        verb = next((word for word in given if word in self.commands), "")
        try:
            code = super().main(given, prog_name, complete_var, False, windows_expand_args, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            shut(sys.stdout)
            code = SHUT
        except _UsageError as error:
            code = end(_mistyped(error, verb), verb, given)
        except Exception as error:
            code = end(error, verb, given)
            if isinstance(error, OSError):
                shut(sys.stdout)
        sys.exit(code if isinstance(code, int) else 0)

    def make_context(self, *args: Any, **more: Any) -> Any:  # which prints help
        with _read_no_more():
            return super().make_context(*args, **more)

    def invoke(self, ctx: Any) -> Any:
        with _read_no_more():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-"):
            check_name("command", args[0], list(self.commands))
        return super().resolve_command(ctx, args)


@contextmanager
def _read_no_more() -> Iterator[None]:
    """End quietly, as other tools do, when the reader closes the pipe."""
    try:
        yield
    except BrokenPipeError as error:
        shut(sys.stdout)
        raise typer.Exit(SHUT) from error


def _mistyped(error: Any, verb: str) -> UserError:
    """Return what is wrong with a command line, in one sentence."""
    text = error.format_message().rstrip(".")
    return UserError(f"{text[:1].lower()}{text[1:]}: see {' '.join(filter(None, ('meshtune', verb)))} --help")


app = typer.Typer(
    name="meshtune",
    cls=_Group,
    help="Many devices, one frozen LLM, no server: sparse-and-orthogonal LoRA for serverless fine-tuning.",
    epilog=(
        "Exit codes: 0 done, 2 an error you can fix (one sentence says how), 70 a bug in meshtune (one sentence says "
        "what to report), 129, 130 and 143 stopped by SIGHUP, Ctrl+C and SIGTERM, 141 nobody reads the output. "
        "MESHTUNE_DEBUG=1 shows where an error came from."
    ),
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich's boxes takes longer than everything else here
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", short_help="Run the demo: no file, no download, a few minutes.")(demo)
app.command("run", short_help="Run a configuration, or resume a run.")(run)
app.command("plan", short_help="Plan a run over the air, without training.")(plan)
app.command("eval", short_help="Evaluate a run again.")(evaluate)
app.command("ask", short_help="Ask a device of a run a question.")(ask)
app.command("compare", short_help="Compare runs side by side.")(compare)
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
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that a terminal lacks must not cause an error
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
