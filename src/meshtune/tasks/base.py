"""The task base class: it turns one row of a Hugging Face schema into a question in cloze form.

A question is a prompt, its answer options and the index of the right one. The text that is trained on and scored is
``prompt + " " + option``: the prompt never ends in white space and never lists the options. Every task has two
templates, ``shared`` (the same words for all tasks, so that a router cannot rely on the wording) and its ``own`` (the
form customary for that task).

A *written* task has no options to choose from: its only option is the reference, and an answer is text that the model
writes and the task grades. The task says where such a text stops: by default at the end of its line.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from types import MappingProxyType
from typing import Any, ClassVar

from meshtune.errors import UserError
from meshtune.printable import printable

TEMPLATES = ("shared", "own")

PUBLIC_TEST: Mapping[str, str] = MappingProxyType({"train": "train", "test": "test"})
# If the answers of the test split are hidden, the public validation split replaces it.
VALIDATION_AS_TEST: Mapping[str, str] = MappingProxyType({"train": "train", "test": "validation"})

LONGEST = 1_000_000  # characters of a prompt or an option: far beyond any row, and tokenised within seconds

TaskRow = Mapping[str, Any]


class EmptyOptionError(UserError):
    """A row has an empty answer option, whose probability would mean nothing."""


@dataclass(frozen=True)
class Question:
    """One question, ready to be scored as ``prompt + " " + option``.

    Attributes:
        id: unique within its split.
        task: the name of its task.
        prompt: the prompt.
        options: the possible answers; for a written question only the reference.
        answer: the index of the right option.
        written: the answer is free text, graded by the task.
        ends: training on the answer includes an end, so that the model learns to stop.
        stop: the end marker, if a tokenizer has no end token.
        check: for code, the test program, which fails after a wrong answer.
        given: for code, the beginning of the program to complete.
        asked: the question without a template.
        where: the place of its row, for errors.
        core: what it asks, whatever the names used; empty if it asks something that no other question asks.
    """

    id: str
    task: str
    prompt: str
    options: tuple[str, ...]
    answer: int
    written: bool = False
    ends: bool = False
    stop: str = "\n"
    check: str = ""
    given: str = ""
    asked: str = attribute(default="", compare=False, repr=False)
    where: str = attribute(default="", compare=False, repr=False)
    core: str = attribute(default="", compare=False, repr=False)


class Task(ABC):
    """One task over the rows of its Hugging Face dataset.

    Attributes:
        name: the name used in configs and folders.
        hub_id: the dataset on the Hugging Face hub; ``hub_config`` and ``hub_revision`` narrow it if needed.
        splits: the hub's splits used as our ``train`` and ``test``.
        fields: the fields that every row must have.
        licence: the data's licence.
        written: whether answers are written instead of chosen; then ``options`` holds only the reference.
        longest_answer: how many tokens a written answer may have.
        stops: a written answer ends before any of these strings.
        executes: whether grading runs programs that the model has written.
        ends: whether training adds an end to a chosen answer too, so that it can also be written.
        example: a row, written for `meshtune tasks` and not taken from the data.
        choices: how many options a question has, as ``3 to 5``, if not always as many as ``example``.
        chance: the accuracy of guessing, if it is not 1 / options of ``example``.
        judged: in words, how a written answer is measured.
        others: a name for the rows that :meth:`keep` leaves out.
    """

    name: ClassVar[str]
    hub_id: ClassVar[str]
    hub_config: ClassVar[str | None] = None
    hub_revision: ClassVar[str | None] = None
    splits: ClassVar[Mapping[str, str]]
    fields: ClassVar[tuple[str, ...]]
    licence: ClassVar[str]
    written: ClassVar[bool] = False
    longest_answer: ClassVar[int] = 16
    stops: ClassVar[tuple[str, ...]] = ("\n",)
    executes: ClassVar[bool] = False
    ends: ClassVar[bool] = False
    example: ClassVar[TaskRow] = MappingProxyType({})
    choices: ClassVar[str] = ""
    chance: ClassVar[float | None] = None
    judged: ClassVar[str] = "acc: written as the reference, letter by letter"
    others: ClassVar[str] = "of other tasks"

    @abstractmethod
    def body(self, row: TaskRow) -> str:
        """Return the question text for the shared template."""

    @abstractmethod
    def own_prompt(self, row: TaskRow) -> str:
        """Return the prompt in the task's customary form."""

    @abstractmethod
    def options(self, row: TaskRow) -> Sequence[str]:
        """Return the answer options in the order of the row."""

    @abstractmethod
    def answer(self, row: TaskRow) -> int:
        """Return the index of the right option; the caller checks that it is in range."""

    def judge(self, question: Question, text: str) -> bool:
        """Tell whether the written ``text`` is a right answer to a written question of this task."""
        return text.strip() == question.options[question.answer]

    def grade(
        self, questions: Sequence[Question], texts: Sequence[str], unsafe: bool = False
    ) -> list[dict[str, float]]:
        """Return named measures of every written text, which answers the question at the same index.

        By default ``acc``: 1 if it is judged right.

        Args:
            questions: the questions; each is repeated for every one of its texts.
            texts: the written answers.
            unsafe: run code without isolation.
        """
        return [{"acc": float(self.judge(question, text))} for question, text in zip(questions, texts, strict=True)]

    def check(self, row: TaskRow) -> str:
        """Return the test program, which fails after a wrong answer."""
        return ""

    def given(self, row: TaskRow) -> str:
        """Return the beginning of the program to complete."""
        return ""

    def part(self, row: TaskRow) -> str | None:
        """Return the split that a hub row belongs to if the hub has a single split, else None."""
        return None

    def row_id(self, row: TaskRow, number: int) -> str:
        """Return an id that is unique within a split: the row's own if it has one, else its number."""
        return str(number)

    def core(self, row: TaskRow) -> str:
        """Return what the row asks, whatever the names used; empty if every row asks something else."""
        return ""

    def keep(self, row: TaskRow) -> bool:
        """Tell whether the row belongs to the task at all."""
        return True

    def question(self, row: TaskRow, template: str = "shared", number: int = 0, where: str = "") -> Question:
        """Turn row ``number`` (counted from 0), located at ``where``, into a question.

        Raises:
            UserError: unknown template; a field is missing, empty or of the wrong type; an option is empty
                (:class:`EmptyOptionError`); a text is longer than :data:`LONGEST`; the answer is out of range; a
                written task gives several options, or a reference of several lines although its answers end with their
                line.
        """
        check_template(template)
        for field in self.fields:
            if field not in row:
                needed = ", ".join(self.fields)
                raise UserError(f"field {field!r} is missing: a row of {self.name} needs {needed}")
        body = self.body(row)
        options = tuple(option.strip() for option in self.options(row))
        one_line = "\n" in self.stops
        if self.written and (len(options) != 1 or (one_line and "\n" in options[0])):
            found = f"{len(options)} of them" if len(options) != 1 else "several lines"
            needed = "one reference answer" + (" of one line" if one_line else "")
            raise UserError(f"a written question needs {needed}, this row has {found}")
        if not self.written and len(options) < 2:
            raise UserError(f"a question needs at least two options, this row has {len(options)}")
        if "" in options:
            place = options.index("") + 1
            raise EmptyOptionError(f"option {place} of {len(options)} is empty: fill it in or drop the row")
        for what, long in [("the prompt", body), *((f"option {n + 1}", option) for n, option in enumerate(options))]:
            if len(long) > LONGEST:
                raise UserError(f"{what} has {len(long)} characters, more than {LONGEST}: cut it or drop the row")
        answer = self.answer(row)
        if not 0 <= answer < len(options):
            raise UserError(f"the answer is option {answer + 1}, but the row has {len(options)} options")
        prompt = shared_prompt(body) if template == "shared" else self.own_prompt(row).strip()
        ends = self.written or self.ends
        behind = (self.stops[0], self.check(row), self.given(row), body.strip(), where, self.core(row))
        name = self.row_id(row, number)
        return Question(name, self.name, prompt, options, answer, self.written, ends, *behind)


def shared_prompt(asked: str) -> str:
    """Return ``asked`` in the shared template."""
    return f"Question: {asked.strip()}\nAnswer:"


def check_template(template: str) -> None:
    """Raise a UserError unless ``template`` is one of :data:`TEMPLATES`."""
    if template not in TEMPLATES:
        raise UserError(f"unknown template {template!r}: choose one of {', '.join(TEMPLATES)}")


def text(row: TaskRow, field: str, may_be_empty: bool = False) -> str:
    """Return a text field, stripped; a value that is not text, or by default an empty one, is a UserError."""
    value = row[field]
    if not isinstance(value, str):
        raise UserError(f"field {field!r} is {shown(value)}, not text")
    if not may_be_empty and not value.strip():
        raise UserError(f"field {field!r} is empty: fill it in or drop the row")
    return value.strip()


def texts(row: TaskRow, field: str) -> list[str]:
    """Return a field that is a list of texts; anything else is a UserError."""
    value = row[field]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UserError(f"field {field!r} is {shown(value)}, not a list of texts")
    return list(value)


def index(row: TaskRow, field: str, first: int = 0) -> int:
    """Return an integer, given as a number or as text and counted from ``first``, as an index from 0."""
    value = row[field]
    if isinstance(value, str):
        digits = value.strip()
        value = int(digits) if re.fullmatch(r"-?[0-9]{1,9}", digits) else value
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"field {field!r} is {shown(value)}, not the number of an option counted from {first}")
    if value < first:
        hidden = "answers are hidden in this split, take one that has them" if value == -1 else "correct it"
        raise UserError(f"field {field!r} is {value}, but options are counted from {first}: {hidden} or drop the row")
    return value - first


def own_id(row: TaskRow, field: str, number: int) -> str:
    """Return the id that a row has in ``field``, or its ``number`` if that is missing or null."""
    value = row.get(field)
    if value is None:
        return str(number)
    if isinstance(value, bool) or not isinstance(value, str | int) or not 0 < len(str(value)) <= 200:
        raise UserError(f"field {field!r} is {shown(value)}, not an id: give a text or a whole number, or leave it out")
    return str(value)


def shown(value: object) -> str:
    """Show a value in an error as JSON, without flooding the terminal."""
    try:
        return printable(json.dumps(value, ensure_ascii=False), 40)
    except (TypeError, ValueError):  # the hub may have types that JSON lacks
        return printable(repr(value), 40)


def checked_options(options: Sequence[str]) -> tuple[str, ...]:
    """Return user-supplied answer options, stripped.

    Raises:
        UserError: there are fewer than two, two are equal, or one is empty.
    """
    given = tuple(option.strip() for option in options)
    if len(given) < 2 or "" in given or len(set(given)) < len(given):
        raise UserError("`options` needs two or more different answers")
    return given
