"""Answers of a written exam: what is kept, gone on from, told and announced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import Exam
from meshtune.decoding.sampling import Writing
from meshtune.evaluation import written_answers
from meshtune.evaluation.written_answers import write_answers
from meshtune.runs.events import Event, Note, Scored
from meshtune.tasks.base import Question
from written import register

MARK = {"round": 2, "signature": "s"}
QUESTIONS = [Question(str(n), "adding", "?", ("4",), 0, True) for n in range(3)]
PAPER = Exam("adding", "adding", QUESTIONS, [[]] * 3, [(1, 2), (3,), (4,)])
KEYS = [(who, question) for who in ("frozen", "x") for question in range(3)]


class Requests:
    """Six prompts of one option; every answer names who wrote it."""

    options, asks = 6, 6

    def __init__(self) -> None:
        self.writing: Writing | None = None
        self.known: dict[Any, list[str]] = {}

    def write(self, base: Any, writing: Writing, micro: int, ended: Callable[[], None], known: Any, keep: Any) -> Any:
        self.writing, self.known = writing, dict(known)
        found = {}
        for key in KEYS:
            if key in known:
                found[key] = known[key]
                continue
            for _ in range(writing.samples):
                ended()
            found[key] = [f"{key[0]} {key[1]}"] * writing.samples
            keep({key: found[key]})
        return found


class Store:
    def __init__(self, *records: dict[str, Any]) -> None:
        self.records = list(records)

    def read_answers(self) -> list[dict[str, Any]]:
        return list(self.records)

    def append_answers(self, record: dict[str, Any]) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    monkeypatch.setattr(written_answers, "writing_seconds", lambda base, prompts, writing, micro: 1.0)


def config(**more: Any) -> RunConfig:
    return validate({"tasks": ["boolq"], "seed": 7, "eval": more}, "test")


def wrote(store: Store, settings: RunConfig) -> tuple[Any, Requests, list[Event]]:
    requests: Any = Requests()
    told: list[Event] = []
    found = write_answers(None, settings, PAPER, requests, store, told.append, MARK)  # type: ignore[arg-type]
    return found, requests, told


def test_answers_are_stored_as_they_are_written_and_gone_on_from() -> None:
    store = Store()
    found, requests, told = wrote(store, config(samples=2, temperature=0.5, top_p=0.9))
    assert found == {key: [f"{key[0]} {key[1]}"] * 2 for key in KEYS}
    assert requests.writing == Writing(5, ("\n",), 2, 0.5, 0.9, 7)
    assert store.records[0] == {"task": "adding", **MARK, "answers": [["frozen", 0, ["frozen 0"] * 2]]}
    assert told == [Scored("adding", 6 + n, 18) for n in range(1, 13)]
    half = Store(*store.records[:4])
    again, requests, told = wrote(half, config(samples=2, temperature=0.5))
    assert again == found
    assert requests.known == {key: found[key] for key in KEYS[:4]}
    assert told == [Scored("adding", 14 + n, 18) for n in range(1, 5)]
    assert half.records == store.records


@pytest.mark.parametrize("other", [{"round": 1}, {"signature": "t"}, {"task": "boolq"}])
def test_answers_of_another_exam_do_not_count(other: dict[str, Any]) -> None:
    record = {"task": "adding", **MARK, "answers": [["frozen", 0, ["from before"]]]}
    assert wrote(Store(record), config())[1].known == {("frozen", 0): ["from before"]}
    assert wrote(Store({**record, **other}), config())[1].known == {}


@pytest.mark.parametrize(
    ("seconds", "kept", "said"),
    [
        (4.9, 0, None),  # for three prompts; six asks take 9.8 s
        (
            600.0,
            0,
            "adding: 6 answers of up to 5 tokens to write: at most about 20 min; what is written is kept if you",
        ),
        (600.0, 3, "adding: 6 answers of up to 5 tokens to write, 3 of them kept from before: at most about 10 min;"),
        (6.0, 3, None),
        (600.0, 6, None),  # nothing is left to write
    ],
)
def test_what_takes_long_is_announced(
    monkeypatch: pytest.MonkeyPatch, seconds: float, kept: int, said: str | None
) -> None:
    monkeypatch.setattr(written_answers, "writing_seconds", lambda base, prompts, writing, micro: seconds)
    record = {"task": "adding", **MARK, "answers": [[*key, ["from before"]] for key in KEYS[:kept]]}
    notes = [event.text for event in wrote(Store(record), config())[2] if isinstance(event, Note)]
    assert len(notes) == (said is not None)
    assert said is None or notes[0].startswith(said)
