"""Tasks that write their own questions about the embedded world: seeded, endless, train and test apart.

A question has a core: what makes it this question whatever names it is told with. The core alone decides, by a hash,
whether a question belongs to train or to test, so the splits share none whatever the seeds.
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
    """A new question: its core, what is asked, the options (of a written answer: the answer alone), the right one."""

    core: str
    asked: str
    options: Sequence[str]
    answer: int = 0


class GeneratedTask(Task):
    """A task whose rows are made on the spot; a file with the same fields serves as well.

    Attributes:
        chance: the accuracy of guessing without reading the prompt: the best constant answer, in the split in which
            it is right more often.
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
        """Yield the rows of a split without end, no prompt twice."""
        draw = stream(seed, "generated", self.name, split)
        seen: set[str] = set()
        while True:
            made = self.make(draw)
            if is_test(self.name, made.core) == (split == "test") and made.asked not in seen:
                seen.add(made.asked)
                yield {"asked": made.asked, "options": list(made.options), "answer": made.answer}

    def body(self, row: TaskRow) -> str:
        """What is asked."""
        return text(row, "asked")

    def own_prompt(self, row: TaskRow) -> str:
        """What is asked, without the words around it."""
        return text(row, "asked")

    def options(self, row: TaskRow) -> list[str]:
        """The options, or the one reference answer."""
        return texts(row, "options")

    def answer(self, row: TaskRow) -> int:
        """The number of the right option, counted from 0."""
        return index(row, "answer")
