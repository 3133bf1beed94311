"""The answers of a written exam: saved as they are written, so that a stopped exam can resume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshtune.config.run_config import RunConfig
from meshtune.data.partition import Exam
from meshtune.decoding.sampling import Writing
from meshtune.evaluation.asks import AnswerRequests, Key
from meshtune.evaluation.time_forecast import clock_text, writing_seconds
from meshtune.model.base import Base
from meshtune.runs.events import Note, Scored
from meshtune.runs.observer import Observer
from meshtune.runs.store import RunStore

LONG = 10
"""Seconds of writing that are worth a forecast."""


def write_answers(
    base: Base,
    config: RunConfig,
    paper: Exam,
    requests: AnswerRequests,
    store: RunStore,
    observer: Observer,
    mark: Mapping[str, Any],
) -> dict[Key, list[str]]:
    """Return the answers to everything in ``requests``; each batch is stored as it is done.

    Args:
        base: the frozen model.
        config: the run's settings.
        paper: the exam.
        requests: the distinct requests of the exam.
        store: the run's folder.
        observer: receives the time that writing may take, and every finished answer.
        mark: identifies this exam: round and signature.
    """
    task, e = paper.task, config.eval
    writing = Writing(task.longest_answer, task.stops, e.samples, e.temperature, e.top_p, config.seed)
    mark = {"task": paper.name, **mark}
    known: dict[Key, list[str]] = {
        (who, question): texts
        for record in store.read_answers()
        if {name: record.get(name) for name in mark} == mark
        for who, question, texts in record["answers"]
    }
    total = requests.options + requests.asks * e.samples
    done = requests.options + len(known) * e.samples
    if requests.asks > len(known):
        most = writing_seconds(base, paper.prompts, writing, e.micro_tokens)
        most *= (requests.asks - len(known)) / len(paper.prompts)
        if most >= LONG:
            kept = f", {len(known)} of them kept from before" if known else ""
            observer(
                Note(
                    f"{paper.name}: {requests.asks} answers of up to {writing.tokens} tokens to write{kept}: at most "
                    f"about {clock_text(most)}; what is written is kept if you stop"
                )
            )

    def ended() -> None:
        nonlocal done
        done += 1
        observer(Scored(paper.name, min(done, total), total))

    def keep(fresh: Mapping[Key, list[str]]) -> None:
        store.append_answers({**mark, "answers": [[who, question, texts] for (who, question), texts in fresh.items()]})

    return requests.write(base, writing, e.micro_tokens, ended, known, keep)
