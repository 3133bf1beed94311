"""Tasks that generate questions about the embedded world: seeded, endless, with separate train and test questions.

A question has a core, which identifies it independently of the names used. A hash of the core alone assigns the
question to train or test, so the splits share no question, whatever the seeds. One split asks the same core several
times under other names; intervals count these questions as one cluster.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

from numpy.random import Generator

from meshtune.seeds import stream
from meshtune.tasks.base import Task, TaskRow, index, text, texts
from meshtune.world.split import is_test


class Made(NamedTuple):
    """A new question: its core, the question, the options (only the answer if it is written), and the right one."""

    core: str
    asked: str
    options: Sequence[str]
    answer: int = 0


class GeneratedTask(Task):
    """A task whose rows are generated on demand; a file with the same fields works as well.

    Attributes:
        chance: the accuracy of guessing without reading the prompt: the best constant answer, in the split where it is
            right more often.
    """

    hub_id = ""
    splits: ClassVar = {"train": "train", "test": "test"}
    fields = ("asked", "options", "answer")
    licence = "Apache-2.0"
    ends = True
    chance: ClassVar[float]

    @abstractmethod
    def make(self, draw: Generator) -> Made:
        """Return one new question."""

    def rows(self, split: str, seed: int = 0) -> Iterator[TaskRow]:
        """Yield the rows of a split endlessly, without repeating a prompt."""
        draw = stream(seed, "generated", self.name, split)
        seen: set[str] = set()
        while True:
            made = self.make(draw)
            if is_test(self.name, made.core) == (split == "test") and made.asked not in seen:
                seen.add(made.asked)
                yield {"asked": made.asked, "options": list(made.options), "answer": made.answer, "core": made.core}

    def body(self, row: TaskRow) -> str:
        """The question."""
        return text(row, "asked")

    def own_prompt(self, row: TaskRow) -> str:
        """The question without the template."""
        return text(row, "asked")

    def core(self, row: TaskRow) -> str:
        """The core, which a file may leave out."""
        return text(row, "core") if "core" in row else ""

    def options(self, row: TaskRow) -> list[str]:
        """The options, or the one reference answer."""
        return texts(row, "options")

    def answer(self, row: TaskRow) -> int:
        """The number of the right option, counted from 0."""
        return index(row, "answer")
