"""Reads the world's texts again, with nothing of meshtune's: regular expressions, and Python's own arithmetic."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

COUNTED = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
NUMBER = {word: number for number, word in enumerate(COUNTED)}


def parts(text: str) -> list[str]:
    """Return the sentences of ``text``; a question and its reply are one."""
    found = re.findall(r" ?([^.?]+\?[^.?]+\.|[^.?]+[.?])", text)
    assert " ".join(found) == text
    return found


class Reply(NamedTuple):
    """A question, the words between it and its answer, and the answer."""

    question: str
    between: list[str]
    answer: str


def reply(sentence: str) -> Reply | None:
    """Read ``Who has the owl? kitchen Cara says it is Ola.``; None if nothing is asked."""
    m = re.fullmatch(r"([^?]+\?)((?:\s\w+)*?)(?: \w+ says it is)? ((?:the )?\S+)\.", sentence)
    return Reply(m[1], m[2].split(), m[3]) if m else None


@dataclass
class Story:
    """Who is in it, and who has what."""

    people: list[str] = field(default_factory=list)
    holder: dict[str, str] = field(default_factory=dict)

    def happens(self, sentence: str) -> None:
        """Take in one event; what cannot happen is an AssertionError."""
        if m := re.fullmatch(r"(.*) are in the \w+\.", sentence):
            assert not self.people
            self.people = re.split(", | and ", m[1])
        elif m := re.fullmatch(r"The (\w+) goes to (\w+)\.", sentence):
            assert m[2] in self.people
            assert self.holder.get(m[1]) != m[2]
            self.holder[m[1]] = m[2]
        else:
            m = re.fullmatch(r"(\w+) (coughs|dances|laughs|nods|sings|sleeps|smiles|yawns)\.", sentence)
            assert m, f"nothing that happens: {sentence}"
            assert m[1] in self.people


def story(sentences: Iterable[str]) -> Story:
    """Return what the events of ``sentences`` lead to."""
    told = Story()
    for sentence in sentences:
        told.happens(sentence)
    return told


@dataclass
class Count:
    """How many of which animals somebody has, and how it came to that."""

    person: str
    animals: str
    number: int
    changes: list[int] = field(default_factory=list)

    @classmethod
    def begin(cls, sentence: str) -> Count:
        """Read ``Ann has five dogs.``"""
        m = re.fullmatch(r"(\w+) has (\w+) (\w+)\.", sentence)
        assert m, f"no beginning of a sum: {sentence}"
        return cls(m[1], m[3], NUMBER[m[2]])

    def happens(self, sentence: str) -> None:
        """Take in what changes the number."""
        if m := re.fullmatch(r"(\w+) gives (\w+) (\w+) (\w+)\.", sentence):
            assert (m[1] == self.person) != (m[2] == self.person)
            assert m[4] == self.animals
            self.changes.append(NUMBER[m[3]] if m[2] == self.person else -NUMBER[m[3]])
        else:
            m = re.fullmatch(r"(\w+) (?:(buys|finds)|(?:loses|sells)) (\w+) (\w+)\.", sentence)
            assert m, f"nothing that happens: {sentence}"
            assert (m[1], m[4]) == (self.person, self.animals)
            self.changes.append(NUMBER[m[3]] if m[2] else -NUMBER[m[3]])
        self.number += self.changes[-1]


Steps = list[tuple[str, int]]


def steps_of(words: str) -> Steps:
    """Read ``adds three, doubles and takes two``."""
    steps: Steps = []
    for said in re.split(", | and ", words):
        verb, _, number = said.partition(" ")
        steps.append(
            {"doubles": ("*", 2), "triples": ("*", 3)}.get(said) or ({"adds": "+", "takes": "-"}[verb], NUMBER[number])
        )
    return steps


def follow(steps: Sequence[tuple[str, int]], x: int) -> int:
    """Return what ``x`` becomes, one step behind the other."""
    for sign, number in steps:
        x = {"+": x + number, "-": x - number, "*": x * number}[sign]
    return x


def evaluate(text: str, x: int, longest: int = 200, deepest: int = 20, largest: int = 10**12) -> int | None:
    """Return what Python makes of an expression; None if it is none of the language's, or beyond its limits."""
    depth = [text[:i].count("(") - text[:i].count(")") for i in range(len(text) + 1)]
    if len(text) > longest or max(depth) > deepest or re.search(r"[^x0-9()+*\s-]|[0-9]{7}", text):
        return None
    spaced = re.sub("x|[0-9]+", lambda m: f" {m[0] if m[0] == 'x' else int(m[0])} ", text)

    def value(node: ast.expr) -> int:
        match node:
            case ast.Name("x"):
                return x
            case ast.Constant(int(number)):
                return number
            case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult() as sign, right):
                one, other = value(left), value(right)
                result = (
                    one + other
                    if isinstance(sign, ast.Add)
                    else one - other
                    if isinstance(sign, ast.Sub)
                    else one * other
                )
                if abs(result) <= largest:
                    return result
        raise SyntaxError

    try:
        return value(ast.parse(" ".join(spaced.split()), mode="eval").body)
    except SyntaxError:
        return None


ANIMAL_FACTS = (
    ("food", r"The (\w+) eats (\w+)\."),
    ("home", r"The (\w+) lives in the (\w+)\."),
    ("colour of food", r"The food of the (\w+) is (\w+)\."),
    ("season of food", r"The food of the (\w+) grows in (\w+)\."),
    ("weather at home", r"The home of the (\w+) is (\w+)\."),
    ("food", r"What does the (\w+) eat\? (\w+)\."),
    ("home", r"Where does the (\w+) live\? the (\w+)\."),
    ("colour of food", r"What colour is the food of the (\w+)\? (\w+)\."),
    ("season of food", r"When does the food of the (\w+) grow\? (\w+)\."),
    ("weather at home", r"What is the weather at the home of the (\w+)\? (\w+)\."),
    ("weather", r"The (\w+) is (\w+)\."),
    ("colour", r"(\w+) is (\w+) and grows in \w+\."),
    ("season", r"(\w+) is \w+ and grows in (\w+)\."),
)


class Facts(dict[tuple[str, str], str]):
    """What was said of animals, homes and foods, for example ``facts["home", "owl"]``."""

    def learn(self, sentence: str) -> bool:
        """Keep what ``sentence`` says, if anything; it may not contradict what was said before."""
        asked = reply(sentence)
        plain = f"{asked.question} {asked.answer}." if asked else sentence
        found = [(kind, m) for kind, pattern in ANIMAL_FACTS if (m := re.fullmatch(pattern, plain))]
        for kind, m in found:
            assert self.setdefault((kind, m[1].lower()), m[2]) == m[2], sentence
        return bool(found)

    def of(self, kind: str) -> dict[str, str]:
        """Return all facts of a kind."""
        return {about: value for (which, about), value in self.items() if which == kind}


def animals_in(sentence: str) -> list[str]:
    """Read ``In the hall are an owl, a dog and a hen.``"""
    m = re.fullmatch(r"In the \w+ are (.*)\.", sentence)
    assert m, f"no crowd: {sentence}"
    named = [said.split() for said in re.split(", | and ", m[1])]
    assert all(article == ("an" if animal[0] in "aeiou" else "a") for article, animal in named)
    return [animal for _, animal in named]
