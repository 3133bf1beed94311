"""Validation of the lines in a run's logs, done once on reading, and removal of duplicate scorings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from meshtune.printable import printable
from meshtune.runs.metrics import metrics_in

LONGEST = 1 << 40
"""The largest count of rounds, devices or bytes in a run's files; larger ones are refused before use."""


class Scoring(BaseModel):
    """A line of ``scores.jsonl``: the scores of all devices that answer alike."""

    model_config = ConfigDict(extra="allow", strict=True)
    method: str
    devices: list[int] = Field(min_length=1)
    task: str
    round: int = Field(ge=0, le=LONGEST)
    signature: str | None = None
    asked: str | None = None
    questions: list[str] = Field(min_length=1)
    cores: list[str] | None = None
    answers: list[str | list[str]] | None = None

    @model_validator(mode="after")
    def _as_long(self) -> Scoring:
        more = self.model_extra or {}
        for name in metrics_in(more):
            values = more[name]
            if not isinstance(values, list) or any(type(value) not in (int, float) for value in values):
                raise ValueError(f"{name} is no list of numbers")
            if len(values) != len(self.questions):
                raise ValueError("its lists differ in length")
        if any(more is not None and len(more) != len(self.questions) for more in (self.answers, self.cores)):
            raise ValueError("its lists differ in length")
        return self


class LoggedEvent(BaseModel):
    """A line of ``events.jsonl``."""

    model_config = ConfigDict(extra="allow", strict=True)
    event: str
    round: int | None = Field(None, ge=0, le=LONGEST)
    method: str | None = None
    peak_memory_bytes: int | None = Field(None, ge=0, le=LONGEST)

    @model_validator(mode="after")
    def _of_its_kind(self) -> LoggedEvent:
        more = self.model_extra or {}
        if self.event == "scored":
            if type(more.get("seconds")) not in (int, float) or not isinstance(more.get("signature"), str):
                raise ValueError("it lacks seconds or signature")
            if not 0 <= more["seconds"] <= LONGEST:
                raise ValueError("its seconds are impossible")
        return self


class Answers(BaseModel):
    """A line of ``answers.jsonl``: answers of a written exam, each with its experts, the question and the texts."""

    model_config = ConfigDict(extra="allow", strict=True)
    task: str
    answers: list[Annotated[list[str | int | list[str]], Field(min_length=3, max_length=3)]]

    @model_validator(mode="after")
    def _in_order(self) -> Answers:
        for who, question, texts in self.answers:
            if not (isinstance(who, str) and isinstance(question, int) and isinstance(texts, list)):
                raise ValueError("an answer is not a name, the number of a question and texts")
        return self


def check_answers(record: Mapping[str, Any]) -> None:
    """Make sure that ``record`` holds written answers.

    Raises:
        ValueError: it does not; says why.
    """
    _check(Answers, record)


def check_scoring(record: Mapping[str, Any]) -> None:
    """Make sure that ``record`` is a scoring.

    Raises:
        ValueError: it is not; says why.
    """
    _check(Scoring, record)


def check_event(record: Mapping[str, Any]) -> None:
    """Make sure that ``record`` is an event.

    Raises:
        ValueError: it is not; says why.
    """
    _check(LoggedEvent, record)


def first_fault(error: ValidationError) -> str:
    """Return the first fault, as ``key: why``, on one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = printable(".".join(str(part) for part in first["loc"]), 60)
    why = printable(first["msg"].removeprefix("Value error, "), 100)
    if first["type"] == "missing":
        return f"it lacks {key}"
    return f"{key}: {why[:1].lower()}{why[1:]}" if key else why


def distinct(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``records`` without duplicate scorings; the later of two duplicates counts.

    Duplicates are scorings of one device under one method, on one task, after one round and in one exam.
    """
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for record in reversed(records):
        exam = (record["method"], record["task"], record["round"], record.get("signature"))
        new = [device for device in dict.fromkeys(record["devices"]) if (*exam, device) not in seen]
        seen |= {(*exam, device) for device in new}
        if new:
            kept.append(record if len(new) == len(record["devices"]) else {**record, "devices": new})
    return kept[::-1]


def _check(kind: type[BaseModel], record: Mapping[str, Any]) -> None:
    try:
        kind.model_validate(record)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error
