"""The facts of the world: where animals live, what they eat, what their homes and their food are like.

The facts are drawn once from a fixed seed, the same for all runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from numpy.random import Generator

from meshtune.seeds import stream
from meshtune.world.vocabulary import ANIMALS, COLOURS, FOODS, HOMES, SEASONS, WEATHERS


def _spread(name: str, keys: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    """Give every key a random value, each value equally often as far as possible."""
    order = stream(0, "world", name).permutation(len(keys))
    return {keys[int(k)]: values[i % len(values)] for i, k in enumerate(order)}


HOME: Mapping[str, str] = _spread("home", ANIMALS, HOMES)
FOOD: Mapping[str, str] = _spread("food", ANIMALS, FOODS)
WEATHER: Mapping[str, str] = _spread("weather", HOMES, WEATHERS)
COLOUR: Mapping[str, str] = _spread("colour", FOODS, COLOURS)
SEASON: Mapping[str, str] = _spread("season", FOODS, SEASONS)

# Two-step questions about an animal: through its home or its food.
TWO_STEPS: Mapping[str, Mapping[str, str]] = {
    "weather": {animal: WEATHER[HOME[animal]] for animal in ANIMALS},
    "colour": {animal: COLOUR[FOOD[animal]] for animal in ANIMALS},
    "season": {animal: SEASON[FOOD[animal]] for animal in ANIMALS},
}


def some(draw: Generator, words: Sequence[str], count: int = 1) -> list[str]:
    """Return ``count`` different words at random."""
    return [words[int(i)] for i in draw.choice(len(words), size=count, replace=False)]


def one(draw: Generator, words: Sequence[str]) -> str:
    """Return one word at random."""
    return words[int(draw.integers(len(words)))]
