"""``meshtune ask``: one device of a run answers a prompt, and shows which expert did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshtune.errors import UserError
from meshtune.printable import printable

if TYPE_CHECKING:
    from meshtune.engine.speaker import Reply, Speaker

FORMATS = ("table", "json")


def ask(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The question, in quotes.")],
    options: Annotated[
        str | None,
        typer.Option(metavar="'A|B|C'", help="Choose the most probable of these answers instead of writing one."),
    ] = None,
    device: Annotated[int, typer.Option(metavar="N", help="Which device is asked.")] = 0,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A method of the run, or frozen: the base alone. By default proposed."),
    ] = None,
    router: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Instead of the run's own router: whitened, top1, cosine, arrow or retrieval."
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="The most tokens of a written answer; by default as many as the task's may have."),
    ] = None,
    temperature: Annotated[
        float, typer.Option(min=0, help="Draw the words of the answer; 0 takes the likeliest, 1 as the model says.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws: the same seed, the same answer.")] = 0,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Send PROMPT as it is, not as 'Question: PROMPT, Answer:' like the run's questions."
        ),
    ] = False,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Ask a device of a run; it answers with the experts it got from the others.

    Its router reads the prompt and weighs the experts, as in the run's exam; the table shows how sure it was.

    For example: meshtune ask runs/demo "Is the sky blue?" --options "yes|no" --device 3
    """
    from meshtune.cli.progress import watch

    if form not in FORMATS:
        raise UserError(f"there is no format {form}: choose from {', '.join(FORMATS)}")
    if not prompt.strip():
        raise UserError("the prompt is empty: give a question, in quotes")
    if not run.is_dir():
        raise UserError(f"there is no run {run}: give the folder that meshtune run printed")
    from meshtune.engine.ask import open_speaker

    with watch() as observer:
        speaker = open_speaker(run, observer, device, method, router)
        if options is not None:
            reply = speaker.choose(prompt, options.split("|"), raw)
        else:
            reply = speaker.write(prompt, tokens, raw, temperature, seed)
    if form == "json":
        typer.echo(json.dumps({"run": str(run), **_facts(speaker, reply)}, indent=1))
    else:
        _show(speaker, reply)


def _facts(speaker: Speaker, reply: Reply) -> dict[str, Any]:
    return {
        "round": speaker.round,
        "device": speaker.device,
        "method": speaker.method,
        "router": speaker.router,
        "prompt": reply.prompt,
        "answer": reply.answer,
        "experts": [{"task": w.task, "devices": list(w.devices), "gate": w.gate} for w in reply.weights],
        "options": [{"text": text, "probability": odds} for text, odds in reply.options],
    }


def _show(speaker: Speaker, reply: Reply) -> None:
    from meshtune.cli.show import show_tables
    from meshtune.report.tables import Table

    # A model may write anything; what would move the cursor, but for a new line, must not reach the terminal.
    shown = "\n".join(printable(line) for line in reply.answer.expandtabs(4).split("\n"))
    typer.echo(shown or "(nothing: the model ended its answer at once)")
    typer.echo(f"\n{_who(speaker, reply)}\n")
    tables = []
    if reply.options:
        rows = [[text, f"{odds:.3f}"] for text, odds in reply.options]
        tables.append(Table("Options", ["option", "probability"], rows))
    if speaker.router is not None:
        rows = [[w.task, _listed(w.devices), "by token" if w.gate is None else f"{w.gate:.3f}"] for w in reply.weights]
        tables.append(Table("Gates", ["expert", "trained by devices", "gate"], rows, labels=2))
    show_tables(tables)


def _who(speaker: Speaker, reply: Reply) -> str:
    when = f"{speaker.method}, after round {speaker.round}"
    if not reply.weights:
        return "The frozen base model answered, without any expert."
    first = reply.weights[0]
    if first.gate is None:
        count = len(reply.weights)
        experts = f"{count} expert{'s' if count > 1 else ''}, weighed token by token by its {speaker.router} router"
        return f"Device {speaker.device} answered with {experts} ({when})."
    many = "devices" if len(first.devices) > 1 else "device"
    expert = f"the expert of {printable(first.task)}, trained by {many} {_listed(first.devices)}"
    if speaker.router is None:
        return f"Device {speaker.device} answered with {expert} ({when})."
    sure = f"its {speaker.router} router gave it {100 * first.gate:.0f}%"
    return f"Device {speaker.device} answered with {expert}; {sure} ({when})."


def _listed(devices: Sequence[int]) -> str:
    return ", ".join(str(device) for device in devices)
