"""The training corpus of the embedded base model: documents about the world, as statements and dialogue.

From it the base learns the facts and how to work things out; a test's content may occur in it in other words. How a
task asks, and what form of answer it wants, is left to the adapters: the words of a prompt's frame occur only in lists
of unrelated words. Varying words come between a question and its answer, because the base's reasoning must not depend
on the distance between the two.

A document is a list of pieces, each marked as predictable or not: what happens next in a passage is not, what follows
from it is. Training gives unpredictable pieces less weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from numpy.random import Generator

from meshtune.world import expressions as machines
from meshtune.world.facts import COLOUR, FOOD, HOME, SEASON, WEATHER, one, some
from meshtune.world.scenes import scene
from meshtune.world.split import is_test
from meshtune.world.vocabulary import (
    ANIMALS,
    COLOURS,
    FOODS,
    HOMES,
    MOODS,
    NUMBERS,
    PEOPLE,
    ROOMS,
    SEASONS,
    WEATHERS,
    a,
    listed,
    plural,
)
from meshtune.world.word_sums import word_sum

WRAPPING = ("Question:", "Answer:", "yes", "no")

Document = list[tuple[str, bool]]


def documents(draw: Generator) -> Iterator[Document]:
    """Yield documents endlessly; the pieces of one are joined by a space."""
    kinds: tuple[tuple[Callable[[Generator], Document], float], ...] = (
        (_scene, 0.19),
        (_sum, 0.36),
        (_animal, 0.08),
        (_crowd, 0.19),
        (_machine, 0.15),
        (_list, 0.03),
    )
    weights = [weight for _, weight in kinds]
    while True:
        yield kinds[int(draw.choice(len(kinds), p=weights))][0](draw)


def _reply(draw: Generator, question: str, answer: str) -> Document:
    """Return a question and its answer; between them ``Tom says it is``, or one to three meaningless words."""
    said = f" {one(draw, PEOPLE)} says it is"
    if draw.random() < 0.5:
        between = some(draw, (*PEOPLE, *MOODS, *ROOMS), int(draw.integers(1, 4)))
        said = "".join(f"{(' ', chr(10))[int(draw.random() < 0.3)]}{word}" for word in between)
    return [(question + said, False), (f"{answer}.", True)]


def _scene(draw: Generator) -> Document:
    made = scene(draw, int(draw.integers(2, 4)), int(draw.integers(2, 6)))
    running = draw.random() < 0.5
    said: Document = [(made.sentences[0], False)]
    for sentence, holder in zip(made.sentences[1:], made.holders, strict=True):
        said.append((sentence, False))
        if running:
            for animal in some(draw, sorted(holder), int(draw.integers(len(holder) + 1))):
                said += _with(animal, holder[animal])
    for animal in some(draw, sorted(made.holder), len(made.holder)):
        if draw.random() < 0.3:
            said += _with(animal, made.holder[animal])
        else:
            said += _reply(draw, f"Who has the {animal}?", made.holder[animal])
    return said


def _with(animal: str, person: str) -> Document:
    return [(f"The {animal} is with", False), (f"{person}.", True)]


def _sum(draw: Generator) -> Document:
    made = word_sum(draw, int(draw.choice(5, p=(0.45, 0.4, 0.1, 0.03, 0.02))) + 1)
    running = draw.random() < 0.4
    said: Document = [(made.sentences[0], False)]
    for number, sentence in zip(made.numbers[1:], made.sentences[1:], strict=True):
        said.append((sentence, False))
        if running and draw.random() < 0.6:
            said += [(f"Now {made.person} has", False), (f"{NUMBERS[number]} {made.animals}.", True)]
    first, last = made.numbers[0], made.numbers[-1]
    if first != last and draw.random() < 0.4:
        said += _reply(draw, f"Has {made.person} gained or lost {made.animals}?", "gained" if last > first else "lost")
    return said + _reply(draw, made.question, NUMBERS[last])


def _animal(draw: Generator) -> Document:
    animal = one(draw, ANIMALS)
    food, home = FOOD[animal], HOME[animal]
    told: list[Document] = [
        [(f"The {animal} eats", False), (f"{food}.", True)],
        [(f"The {animal} lives in", False), (f"the {home}.", True)],
        [(f"The food of the {animal} is", False), (f"{COLOUR[food]}.", True)],
        [(f"The food of the {animal} grows in", False), (f"{SEASON[food]}.", True)],
        [(f"The home of the {animal} is", False), (f"{WEATHER[home]}.", True)],
        _reply(draw, f"What does the {animal} eat?", food),
        _reply(draw, f"Where does the {animal} live?", f"the {home}"),
        _reply(draw, f"What colour is the food of the {animal}?", COLOUR[food]),
        _reply(draw, f"When does the food of the {animal} grow?", SEASON[food]),
        _reply(draw, f"What is the weather at the home of the {animal}?", WEATHER[home]),
        [(f"{food.capitalize()} is", False), (f"{COLOUR[food]} and grows in {SEASON[food]}.", True)],
        [(f"The {home} is", False), (f"{WEATHER[home]}.", True)],
    ]
    chosen = [told[int(i)] for i in draw.choice(len(told), size=int(draw.integers(2, 6)), replace=False)]
    said: Document = [piece for statement in chosen for piece in statement]
    if draw.random() < 0.6:
        said.insert(0, (f"{one(draw, PEOPLE)} sees {a(animal)} in the {one(draw, ROOMS)}.", False))
    return said


def crowd(draw: Generator, count: int, least: int = 1) -> tuple[list[str], dict[str, str]]:
    """Return ``count`` animals, and ``least`` or more foods that exactly one of them eats, each with its eater."""
    animals = some(draw, ANIMALS, count)
    foods = [FOOD[animal] for animal in animals]
    eaters = {food: animal for food, animal in zip(foods, animals, strict=True) if foods.count(food) == 1}
    return (animals, eaters) if len(eaters) >= least else crowd(draw, count, least)


def crowd_text(draw: Generator, animals: list[str]) -> str:
    """Return the passage that names the animals, in a room at random."""
    return f"In the {one(draw, ROOMS)} are {listed([a(animal) for animal in animals])}."


def crowd_core(animals: list[str], food: str) -> str:
    """Return the core of the question which of the animals eats the food."""
    return f"{food} {sorted(animals)}"


def _crowd(draw: Generator) -> Document:
    animals, eaters = crowd(draw, int(draw.integers(2, 6)))
    said: Document = [(crowd_text(draw, animals), False)]
    for food in some(draw, list(eaters), int(draw.integers(1, len(eaters) + 1))):
        if draw.random() < 0.3:
            said += [(f"{food.capitalize()} is eaten by", False), (f"the {eaters[food]}.", True)]
        elif not is_test("crowds", crowd_core(animals, food)):
            said += _reply(draw, f"Which of them eats {food}?", f"the {eaters[food]}")
    return said


def _machine(draw: Generator) -> Document:
    person = one(draw, PEOPLE)
    said: Document = []
    for _ in range(int(draw.integers(1, 4))):
        steps = machines.machine(draw, int(draw.integers(1, 4)))
        text = machines.expression(steps)
        if is_test("machines", text):
            continue
        said.append((f"{person} has a machine that {machines.words(steps)}.", False))
        if draw.random() < 0.5:
            said.append((f"The machine is {text}.", True))
        else:
            said += _reply(draw, "What is the machine?", text)
    return said or _machine(draw)


def _list(draw: Generator) -> Document:
    """Unrelated words: they give the words of the prompt's frame an embedding but no meaning."""
    signs = ("x+3", "x*2", "(x-4)*3", "gained", "lost")
    pools = (WRAPPING, ANIMALS, PEOPLE, ROOMS, FOODS, HOMES, COLOURS, WEATHERS, SEASONS, MOODS, NUMBERS, signs)
    said = [one(draw, WRAPPING)]
    for _ in range(30):
        pool = WRAPPING if draw.random() < 0.4 else pools[int(draw.integers(len(pools)))]
        said.append(f"{'.' if draw.random() < 0.2 else ''}{(' ', chr(10))[int(draw.random() < 0.3)]}{one(draw, pool)}")
    return [("".join(said), False)]


def alphabet() -> str:
    """Return every word of the world, at the beginning of a text and inside one, for the tokenizer."""
    words = [*PEOPLE, *ROOMS, *ANIMALS, *map(plural, ANIMALS), *FOODS, *HOMES, *COLOURS, *WEATHERS, *SEASONS, *MOODS]
    return " ".join([*words, *NUMBERS, *WRAPPING]) + "\n" + "\n".join([*PEOPLE, *WRAPPING])
