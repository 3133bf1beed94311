"""The words of the world. Every topic uses the same ones, so that no word gives a task away."""

from __future__ import annotations

PEOPLE = (
    "Ann", "Ben", "Cara", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Leo",
    "Mia", "Ned", "Ola", "Pam", "Rosa", "Sam", "Tess", "Uma", "Vic", "Wes", "Yan", "Zoe",
)  # fmt: skip
ROOMS = ("attic", "barn", "cellar", "garden", "hall", "kitchen", "loft", "shed", "tower", "yard")
ANIMALS = (
    "badger", "bat", "bear", "beaver", "crab", "crow", "deer", "dog", "dove", "duck", "eagle", "fox", "frog", "goat",
    "goose", "hare", "hawk", "hen", "horse", "lizard", "lynx", "mole", "moth", "mouse", "newt", "otter", "owl", "pig",
    "rat", "raven", "robin", "seal", "sheep", "snail", "spider", "stork", "swan", "toad", "turtle", "wolf",
)  # fmt: skip
FOODS = ("bark", "clover", "corn", "fern", "grass", "moss", "reed", "rice")
HOMES = ("cave", "desert", "forest", "hill", "lake", "meadow", "shore", "swamp")
COLOURS = ("black", "brown", "green", "red", "white", "yellow")
WEATHERS = ("cold", "dry", "warm", "wet")
SEASONS = ("autumn", "spring", "summer", "winter")
MOODS = ("coughs", "dances", "laughs", "nods", "sings", "sleeps", "smiles", "yawns")
NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip


def a(animal: str) -> str:
    """Return the animal's name with its article."""
    return f"{'an' if animal[0] in 'aeiou' else 'a'} {animal}"


def plural(animal: str) -> str:
    """Return the plural of an animal's name."""
    irregular = {
        "deer": "deer", "fox": "foxes", "goose": "geese", "lynx": "lynxes", "mouse": "mice", "sheep": "sheep",
        "wolf": "wolves",
    }  # fmt: skip
    return irregular.get(animal, animal + "s")


def listed(words: list[str]) -> str:
    """Return ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
