"""``meshtune ask``: one device of a run answers a prompt, and shows which expert answered."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import meshtune
from meshtune.errors import UserError, check_name
from meshtune.printable import printable
from meshtune.routing.registry import ROUTERS

if TYPE_CHECKING:
    from meshtune.inference.device import Device
    from meshtune.inference.reply import Reply

FORMATS = ("table", "json")
LONGEST = 2**20
"""Bytes of a question on stdin: more than any model reads."""


def ask(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The question, in quotes; - reads it from stdin.")],
    options: Annotated[
        str | None,
        typer.Option(metavar="'A|B|C'", help="Choose the most probable of these answers instead of writing one."),
    ] = None,
    device: Annotated[int, typer.Option(metavar="N", help="The device to ask.")] = 0,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A method of the run, or frozen for the base model alone. By default proposed."
        ),
    ] = None,
    router: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Instead of the run's own router, one of {', '.join(ROUTERS)}."),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of tokens of a written answer; by default the task's own."),
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Sampling temperature of a written answer; 0 takes the most probable token.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for sampling.")] = 0,
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
    from meshtune.cli.limits import check_address_space
    from meshtune.cli.watching import watch
    from meshtune.config.learning_config import check_temperature
    from meshtune.routing.config import check_router

    check_name("format", form, FORMATS)
    meshtune.open_run(run)
    if router is not None:
        check_router(router)
    check_temperature(temperature)
    given = None if options is None else _split(options)
    if prompt == "-":
        prompt = _read_prompt()
    if not prompt.strip():
        raise UserError("the prompt is empty: give a question, in quotes")
    check_address_space()
    with watch() as observer:
        speaker = meshtune.open_run(run, observer).device(device, method, router)
        if given is not None:
            reply = speaker.choose(prompt, given, raw)
        else:
            reply = speaker.ask(prompt, tokens, raw, temperature, seed)
    if form == "json":
        typer.echo(json.dumps({"run": str(run), **_facts(speaker, reply)}, indent=1))
    else:
        _show(speaker, reply)


def _split(options: str) -> tuple[str, ...]:
    """Return the answers in ``A|B|C``.

    Raises:
        UserError: see :func:`meshtune.tasks.base.checked_options`.
    """
    from meshtune.tasks.base import checked_options

    try:
        return checked_options(options.split("|"))
    except UserError as error:
        raise UserError(f"{error}, for example --options 'yes|no'") from error


def _read_prompt() -> str:
    """Return the question on the standard input.

    Raises:
        UserError: it is closed, not UTF-8 text, or longer than any question.
    """
    if sys.stdin is None:
        raise UserError("the question is to be read from stdin, which is closed: pipe one in, or give it in quotes")
    held = sys.stdin.buffer.read(LONGEST + 1)
    if len(held) > LONGEST:
        raise UserError(f"the question on stdin has more than {LONGEST:,} bytes: give a shorter one")
    try:
        return held.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"the question on stdin is not text in UTF-8 ({error.reason}): give text") from error


def _facts(speaker: Device, reply: Reply) -> dict[str, Any]:
    return {
        "round": speaker.round,
        "device": speaker.id,
        "method": speaker.method,
        "router": speaker.router,
        "prompt": reply.prompt,
        "answer": reply.answer,
        "experts": [{"task": w.task, "devices": list(w.devices), "gate": w.gate} for w in reply.weights],
        "options": [{"text": text, "probability": odds} for text, odds in reply.options],
    }


def _show(speaker: Device, reply: Reply) -> None:
    from meshtune.cli.show import show_tables
    from meshtune.report.result_tables import Table

    # A model may write anything; only new lines may move the terminal's cursor.
    shown = "\n".join(printable(line) for line in reply.answer.expandtabs(4).split("\n"))
    typer.echo(shown or "(nothing: the model ended its answer at once)")
    typer.echo(f"\n{_who(speaker, reply)}\n")
    tables = []
    if reply.options:
        rows = [[text, f"{odds:.3f}"] for text, odds in reply.options]
        tables.append(Table("Options", ["option", "probability"], rows))
    if speaker.router is not None:
        rows = [[w.task, _listed(w.devices), "by token" if w.gate is None else f"{w.gate:.3f}"] for w in reply.weights]
        rest = 1 - sum(1.0 if w.gate is None else w.gate for w in reply.weights)
        if rest > 5e-4:
            rows.append(["frozen model", "-", f"{rest:.3f}"])
        tables.append(Table("Gates", ["expert", "trained by devices", "gate"], rows, labels=2))
    show_tables(tables)


def _who(speaker: Device, reply: Reply) -> str:
    after = f"{speaker.method}, after round {speaker.round}"
    if not reply.weights:
        return "The frozen base model answered, without any expert."
    first = reply.weights[0]
    if first.gate is None:
        count = len(reply.weights)
        experts = f"{count} expert{'s' if count > 1 else ''}, weighed token by token by its {speaker.router} router"
        return f"Device {speaker.id} answered with {experts} ({after})."
    if first.gate == 0:
        return f"The frozen base model answered: the question is unlike those of every task that is known ({after})."
    many = "devices" if len(first.devices) > 1 else "device"
    expert = f"the expert of {printable(first.task)}, trained by {many} {_listed(first.devices)}"
    if speaker.router is None:
        return f"Device {speaker.id} answered with {expert} ({after})."
    sure = f"its {speaker.router} router gave it {100 * first.gate:.0f}%"
    return f"Device {speaker.id} answered with {expert}; {sure} ({after})."


def _listed(devices: Sequence[int]) -> str:
    return ", ".join(str(device) for device in devices)
