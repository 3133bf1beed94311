"""The words of the world: each of one kind, in its plural, behind its article."""

from __future__ import annotations

import pytest

from meshtune.world import vocabulary
from meshtune.world.vocabulary import (
    ANIMALS,
    COLOURS,
    FOODS,
    HOMES,
    NUMBERS,
    PEOPLE,
    ROOMS,
    SEASONS,
    WEATHERS,
    a,
    listed,
    plural,
)


def test_no_word_is_of_two_kinds() -> None:
    """What a word stands for is clear without its sentence."""
    words = [*PEOPLE, *ROOMS, *ANIMALS, *FOODS, *HOMES, *COLOURS, *WEATHERS, *SEASONS, *NUMBERS]
    assert len(set(words)) == len(words)


ODD = {
    "deer": "deer", "fox": "foxes", "goose": "geese", "lynx": "lynxes", "mouse": "mice", "sheep": "sheep",
    "wolf": "wolves",
}  # fmt: skip


def test_plurals_are_those_of_english() -> None:
    """By rule: no animal's name ends as a noun would whose plural is not its name and an s, but for those above."""
    for animal in ANIMALS:
        if animal in ODD:
            assert plural(animal) == ODD[animal]
        else:
            assert plural(animal) == f"{animal}s"
            assert not animal.endswith(("s", "x", "z", "ch", "sh", "f", "fe", "man", "ouse", "oose"))
            assert not (animal.endswith("y") and animal[-2] not in "aeiou")


def test_no_two_forms_of_animals_are_one_word() -> None:
    forms = [form for animal in ANIMALS for form in {animal, plural(animal)}]
    assert len(set(forms)) == len(forms)


@pytest.mark.parametrize(("animal", "said"), [("owl", "an owl"), ("eagle", "an eagle"), ("dog", "a dog")])
def test_an_article_fits_the_first_letter(animal: str, said: str) -> None:
    assert a(animal) == said


def test_articles_need_no_ear() -> None:
    """No animal begins with a letter that is not said as it is written: an hour, a unicorn."""
    assert not [animal for animal in ANIMALS if animal.startswith(("ho", "uni", "eu", "one")) and animal != "horse"]


@pytest.mark.parametrize(("words", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_words_are_listed_as_a_person_lists_them(words: list[str], said: str) -> None:
    assert listed(words) == said


def test_every_word_is_one_word_and_the_lists_have_their_order() -> None:
    lists = {name: words for name, words in vars(vocabulary).items() if name.isupper()}
    assert len(lists) == 10
    for name, words in lists.items():
        assert all(word.isalpha() and word.isascii() for word in words), name
        assert name == "NUMBERS" or list(words) == sorted(words), name
    assert [NUMBERS[n] for n in (0, 1, 7, 13, 20)] == ["zero", "one", "seven", "thirteen", "twenty"]
