"""Solves the questions of generated tasks from their prompts alone, with what the base model has read."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Hashable

import pytest

from meshtune.seeds import stream
from meshtune.tasks import Question, get_task
from meshtune.tasks.generated import GeneratedTask
from meshtune.world.corpus import documents
from meshtune.world.vocabulary import NUMBERS
from reader import Count, Facts, animals_in, parts, steps_of

CHOSEN = ("claims", "sequel")


WRITTEN = ("sums", "animals", "machines", "crowds")


NAMES = (*CHOSEN, *WRITTEN)


SEEDS = (0, 1, 2)


HIDDEN = (0, 1, 2, 7, 10, 23)


def task(name: str) -> GeneratedTask:
    found = get_task(name)
    assert isinstance(found, GeneratedTask)
    return found


@functools.cache
def questions(name: str, split: str, seed: int, count: int = 500) -> tuple[Question, ...]:
    rows = itertools.islice(task(name).rows(split, seed), count)
    return tuple(task(name).question(row, number=number) for number, row in enumerate(rows))


def many(name: str, split: str) -> list[Question]:
    """Questions of several seeds."""
    return [question for seed in SEEDS for question in questions(name, split, seed)]


def asked(question: Question) -> str:
    found = re.fullmatch(r"Question: (.*)\nAnswer:", question.prompt)
    assert found
    return found[1]


def right(question: Question) -> str:
    return question.options[question.answer]


@functools.cache
def facts() -> Facts:
    """What the base model has read of animals."""
    said = Facts()
    for document in itertools.islice(documents(stream(0, "facts")), 8000):
        for sentence in parts(" ".join(piece for piece, _ in document)) if len(document) > 1 else ():
            said.learn(sentence)
    return said


# Each task solved from the prompt alone: the answer in words, and the core that makes the question this one.


def counted(told: str) -> tuple[int, Count, str]:
    """Return with how many a sum starts, how it ends, and what is asked."""
    first, *events, last = parts(told)
    count = Count.begin(first)
    start = count.number
    for event in events:
        count.happens(event)
    return start, count, last


def claims(told: str) -> tuple[str, object]:
    start, count, last = counted(told)
    assert last == "Yes or no: is it more?"
    assert count.number != start
    return "gained, yes" if count.number > start else "lost, no", (start, *count.changes)


def sequel(told: str) -> tuple[str, object]:
    crowd, holder, question = parts(told)
    found = re.fullmatch(r"\w+ has no (\w+), no (\w+), but (\w+)\.", holder)
    assert found
    assert question == "Which of them eats?"
    eats = {facts()["food", animal]: animal for animal in animals_in(crowd)}
    assert eats.keys() == set(found.groups())  # everybody's food is named, one of them is there
    return f"The {eats[found[3]]} smiles.", (found[3], frozenset(animals_in(crowd)))


def sums(told: str) -> tuple[str, object]:
    start, count, last = counted(told)
    assert last == f"How many {count.animals} has {count.person}?"
    return NUMBERS[count.number], (start, *count.changes)


def animals(told: str) -> tuple[str, object]:
    found = re.fullmatch(r"\w+ sees an? (\w+) in the \w+\. (.*)", told)
    assert found
    kind, first = {
        "What is the weather at its home?": ("weather", "home"),
        "What colour is its food?": ("colour", "food"),
        "When does its food grow?": ("season", "food"),
    }[found[2]]
    return facts()[kind, facts()[first, found[1]]], (found[1], kind)


def machines(told: str) -> tuple[str, object]:
    found = re.fullmatch(r"\w+ has a machine that (.*)\. What is the machine\?", told)
    assert found
    steps = steps_of(found[1])
    text = "x"
    for sign, number in steps:  # a bracket around every step: right, and never written as the reference is
        text = f"({text}{sign}{number})"
    return text, tuple(steps)


def crowds(told: str) -> tuple[str, object]:
    listed, question = parts(told)
    found = re.fullmatch(r"Which of them eats (\w+)\?", question)
    assert found
    (eater,) = (animal for animal in animals_in(listed) if facts()["food", animal] == found[1])
    return f"the {eater}", (found[1], frozenset(animals_in(listed)))


SOLVERS = {"claims": claims, "sequel": sequel, "sums": sums, "animals": animals, "machines": machines, "crowds": crowds}


def solved(question: Question, told: str) -> bool:
    """Tell whether what follows from ``told`` is a right answer to ``question``."""
    answer, _ = SOLVERS[question.task](told)
    return task(question.task).judge(question, answer) if question.written else right(question) == answer


def core(question: Question) -> object:
    return SOLVERS[question.task](asked(question))[1]


def check_answers(name: str) -> None:
    """Every answer of the task ``name`` follows from its prompt, in both splits."""
    for split in ("train", "test"):
        assert all(solved(question, asked(question)) for question in many(name, split))


def best_constant(name: str, answer: Callable[[Question], Hashable] = right) -> float:
    """Return how often the best constant answer is right, in the split in which it is right more often."""

    def best(found: list[Question]) -> float:
        return Counter(map(answer, found)).most_common(1)[0][1] / len(found)

    return max(best(many(name, split)) for split in ("train", "test"))


def check_one_option(name: str, options: int) -> None:
    """Always choosing one of the ``options`` is right as often as the task's chance says."""
    found = questions(name, "train", 0, 2000)
    assert all(len(set(question.options)) == options for question in found)
    counts = Counter(question.answer for question in found)
    for option in range(options):
        assert counts[option] / len(found) == pytest.approx(1 / options, abs=0.03)
    assert task(name).chance == pytest.approx(1 / options)


def check_words(name: str) -> None:
    """A written answer of the task ``name`` is right where it is the reference, letter by letter."""
    question = questions(name, "test", 0)[0]
    reference = right(question)
    assert task(name).judge(question, f" {reference} ")
    for wrong in (
        "",
        reference.upper(),
        f"{reference}.",
        f"the {reference}",
        reference[:-1],
        f"{reference} {reference}",
    ):
        assert not task(name).judge(question, wrong)
