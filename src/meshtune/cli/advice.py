"""What to try after a run: three commands to paste, with the run's own folder and a question from its tasks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshtune.errors import UserError

if TYPE_CHECKING:
    from meshtune.tasks.base import Question

LONGEST = 160  # letters of a question that still looks good on a command line


def try_next(run: Path, config: Mapping[str, Any]) -> list[str]:
    """Return the commands.

    Args:
        run: the folder of a finished run.
        config: its configuration, as stored in its results.
    """
    from meshtune.config.demo_config import is_demo

    folder = shlex.quote(str(run))
    name, setting = _variation(config)
    new = run.parent / name
    if new.exists():
        new = run.parent / f"{run.name}-{name}"
    other = shlex.quote(str(new))
    begin = "demo" if is_demo(config) else f"run {shlex.quote(str(run / 'config.json'))}"
    found = a_question(config)
    ask = []
    if found is not None:
        asked, options = found
        choice = f" --options {_quoted('|'.join(options))}" if options else ""
        ask = [f"meshtune ask {folder} {_quoted(asked)}{choice}"]
    return [*ask, f"meshtune {begin} --out {other} --set {setting}", f"meshtune compare {folder} {other}"]


def a_question(config: Mapping[str, Any]) -> tuple[str, tuple[str, ...]] | None:
    """Return a short question of the run's exam, as ``meshtune ask`` takes it, and its options; None without one.

    Written answers, which have no options, come first; then tasks from the last on, which device 0 never trained on.
    """
    from meshtune.config.config_file import validate
    from meshtune.tasks.registry import get_task

    try:
        whole = validate(config, "the run")
        from meshtune.data.partition import exam_questions

        unlearnt = whole.unlearnt
        tasks = [task for task in reversed(whole.tasks) if task.key not in unlearnt]
        tasks.sort(key=lambda task: not get_task(task.task).written)
        for task in tasks:
            one = whole.model_copy(update={"tasks": (task,), "template": "shared"})
            for question in exam_questions(one)[task.key]:
                asked, options = _asked(question), () if question.written else question.options
                words = asked + "".join(options)
                plain = words.isprintable() and "|" not in "".join(options) and not asked.startswith("-")
                if plain and len(words) <= LONGEST:
                    return asked, options
    except UserError:  # the data may be gone, and advice must not cause an error
        pass
    return None


def _asked(question: Question) -> str:
    """Return the question without the shared template around it."""
    from meshtune.tasks.base import shared_prompt

    before, after = shared_prompt("|").split("|")
    return question.prompt.removeprefix(before).removesuffix(after)


def _variation(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return a name and a setting for a run to compare this one with."""
    methods = list(config.get("methods", ["proposed"]))
    if "proposed" not in methods:
        return "sparse", f"methods=[{','.join(['proposed', *methods])}]"
    density = config.get("adapter", {}).get("density", 0.1)
    if density == "planned":
        return "tenth", "adapter.density=0.1"
    return "lean", f"adapter.density={density / 2:g}"


def _quoted(text: str) -> str:
    """Quote for a shell; in double quotes, which are easier to read, if no character of ``text`` is special in them."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'
