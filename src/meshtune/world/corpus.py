"""What the embedded base model read: documents about the world, told and talked about.

The base learns here what is true and how to work it out; what a test asks may be among it in other words. How a task
asks and how it wants to be answered is left to the adapters: the words a prompt is wrapped in occur only in lists of
unrelated words.

A document is a list of pieces, each with whether it can be known: what happens next in a passage cannot, what follows
from it can. Training weighs the first kind less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from numpy.random import Generator

from meshtune.world import machines
from meshtune.world.counts import word_sum
from meshtune.world.facts import COLOUR, FOOD, HOME, SEASON, WEATHER, one, some
from meshtune.world.scenes import claim, scene
from meshtune.world.words import (
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

WRAPPING = ("Question:", "Answer:", "yes", "no")

SAYS = "says it is"

Document = list[tuple[str, bool]]


def documents(draw: Generator, varied: bool = False) -> Iterator[Document]:
    """Yield documents without end; the pieces of one are joined by a space.

    Args:
        draw: the random stream.
        varied: what stands between a question and its answer is not always ``Tom says it is``.
    """
    kinds: tuple[tuple[Callable[[Generator], Document], float], ...] = (
        (_scene, 0.32),
        (_sum, 0.27),
        (_animal, 0.11),
        (_crowd, 0.13),
        (_machine, 0.14),
        (_list, 0.03),
    )
    weights = [weight for _, weight in kinds]
    while True:
        document = kinds[int(draw.choice(len(kinds), p=weights))][0](draw)
        yield [_otherwise(draw, piece) for piece in document] if varied else document


def _reply(draw: Generator, question: str, answer: str) -> Document:
    return [(f"{question} {one(draw, PEOPLE)} {SAYS}", False), (f"{answer}.", True)]


def _otherwise(draw: Generator, piece: tuple[str, bool]) -> tuple[str, bool]:
    """Return the piece with one to four other words, perhaps on a line of their own, for its ``Tom says it is``."""
    text, known = piece
    if not text.endswith(SAYS) or draw.random() < 0.25:
        return piece
    question, _, _ = text.rpartition("?")
    between = some(draw, (*PEOPLE, *MOODS, *ROOMS), int(draw.integers(1, 5)))
    return f"{question}?{(' ', chr(10))[int(draw.integers(2))]}{' '.join(between)}", known


def _scene(draw: Generator) -> Document:
    made = scene(draw, int(draw.integers(2, 4)), int(draw.integers(1, 6)))
    said: Document = [(made.text, False)]
    for _ in range(int(draw.integers(3, 8))):
        kind = int(draw.integers(10))
        animal = one(draw, sorted(made.holder))
        if kind < 2:
            said += [(f"The {animal} is with", False), (f"{made.holder[animal]}.", True)]
        elif kind < 5:
            said += _reply(draw, f"Who has the {animal}?", made.holder[animal])
        elif kind < 6:
            said.append((f"{one(draw, made.people)} {one(draw, MOODS)}.", False))
        else:
            true = bool(draw.random() < 0.5)
            said += _reply(draw, claim(draw, made, true), _verdict(true))
    return said


def _verdict(true: bool) -> str:
    return "true" if true else "false"


def _sum(draw: Generator) -> Document:
    steps = int(draw.choice(5, p=(0.4, 0.35, 0.15, 0.05, 0.05))) + 1
    made = word_sum(draw, steps)
    running = steps > 2 or draw.random() < 0.2
    said: Document = []
    for number, sentence in zip(made.numbers, made.sentences, strict=True):
        said.append((sentence, False))
        if running and draw.random() < 0.7:
            said += [(f"Now {made.person} has", False), (f"{NUMBERS[number]} {made.animals}.", True)]
    return said + _reply(draw, made.question, NUMBERS[made.numbers[-1]])


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
        _reply(draw, f"Does the {animal} eat {food}?", _verdict(True)),
        _reply(draw, f"Does the {animal} eat {one(draw, [f for f in FOODS if f != food])}?", _verdict(False)),
        [(f"{food.capitalize()} is", False), (f"{COLOUR[food]} and grows in {SEASON[food]}.", True)],
        [(f"The {home} is", False), (f"{WEATHER[home]}.", True)],
    ]
    chosen = [told[int(i)] for i in draw.choice(len(told), size=int(draw.integers(2, 6)), replace=False)]
    said: Document = [piece for statement in chosen for piece in statement]
    if draw.random() < 0.6:
        said.insert(0, (f"{one(draw, PEOPLE)} sees {a(animal)} in the {one(draw, ROOMS)}.", False))
    return said


def crowd(draw: Generator, count: int) -> tuple[list[str], str]:
    """Return ``count`` different animals, and a food that exactly one of them eats."""
    animals = some(draw, ANIMALS, count)
    foods = [FOOD[animal] for animal in animals]
    single = [food for food in foods if foods.count(food) == 1]
    return (animals, one(draw, single)) if single else crowd(draw, count)


def _crowd(draw: Generator) -> Document:
    animals, _ = crowd(draw, int(draw.integers(2, 6)))
    room = one(draw, ROOMS)
    said: Document = [(f"In the {room} are {listed([a(x) for x in animals])}.", False)]
    foods = [FOOD[animal] for animal in animals]
    for animal in some(draw, animals, int(draw.integers(1, len(animals) + 1))):
        food = FOOD[animal]
        kind = int(draw.integers(3))
        if foods.count(food) > 1:
            continue
        if kind == 0:
            said += [(f"{food.capitalize()} is eaten by", False), (f"the {animal}.", True)]
        else:
            said += _reply(draw, f"Which of them eats {food}?", f"the {animal}")
    return said


def _machine(draw: Generator) -> Document:
    person = one(draw, PEOPLE)
    said: Document = []
    for _ in range(int(draw.integers(1, 4))):
        steps = machines.machine(draw, int(draw.integers(1, 4)))
        text = machines.expression(steps)
        said.append((f"{person} has a machine that {machines.words(steps)}.", False))
        if draw.random() < 0.5:
            said.append((f"The machine is {text}.", True))
        else:
            said += _reply(draw, "What is the machine?", text)
    return said


def _list(draw: Generator) -> Document:
    """Unrelated words: gives the wrapping's words an embedding and no meaning."""
    signs = ("x+3", "x*2", "(x-4)*3", "true", "false")
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
