"""Documents of the base model: all that they state is true when read again, and none is a task's question."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from meshtune.seeds import stream
from meshtune.tasks import get_task
from meshtune.world.corpus import Document, crowd, documents
from meshtune.world.facts import COLOUR, FOOD, HOME, SEASON, WEATHER
from meshtune.world.words import ANIMALS, MOODS, PEOPLE, ROOMS
from reader import NUMBER, Count, Facts, Story, animals_in, evaluate, follow, parts, steps_of

GENERATED = ("claims", "sequel", "sums", "animals", "machines", "crowds")


def kind_of(text: str) -> str:
    """Tell the kind of a document by its beginning."""
    beginnings = {
        "list": r"Question:|Answer:|(yes|no)\b",
        "machine": r"\w+ has a machine that ",
        "crowd": r"In the \w+ are ",
        "scene": r"\w+(, \w+)* and \w+ are in the \w+\.",
        "sum": r"\w+ has \w+ \w+\.",
    }
    return next((kind for kind, beginning in beginnings.items() if re.match(beginning, text)), "animal")


@pytest.fixture(scope="module")
def made() -> list[Document]:
    return list(itertools.islice(documents(stream(0, "corpus")), 5000))


@pytest.fixture(scope="module")
def texts(made: list[Document]) -> dict[str, list[str]]:
    """The documents by kind."""
    sorted_out: dict[str, list[str]] = {}
    for document in made:
        text = " ".join(piece for piece, _ in document)
        sorted_out.setdefault(kind_of(text), []).append(text)
    return sorted_out


@pytest.fixture(scope="module")
def facts(texts: dict[str, list[str]]) -> Facts:
    """What the documents about animals say; none of them contradicts another."""
    said, doubts = Facts(), []
    for text in texts["animal"]:
        for sentence in parts(text):
            seen = re.fullmatch(r"(\w+) sees (an?) (\w+) in the \w+\.", sentence)
            doubt = re.fullmatch(r"Does the (\w+) eat (\w+)\? \w+ says it is (true|false)\.", sentence)
            assert sum(map(bool, (said.learn(sentence), seen, doubt))) == 1, sentence
            assert not seen or (seen[2] == "an") == (seen[3][0] in "aeiou")
            doubts += [doubt] if doubt else []
    for doubt in doubts:
        assert (said["food", doubt[1]] == doubt[2]) is (doubt[3] == "true")
    assert {doubt[3] for doubt in doubts} == {"true", "false"}
    return said


def test_every_kind_of_document_is_drawn(texts: dict[str, list[str]]) -> None:
    assert set(texts) == {"scene", "sum", "animal", "crowd", "machine", "list"}
    assert all(len(found) > 75 for found in texts.values())


def test_scenes_are_told_and_talked_about_truthfully(texts: dict[str, list[str]]) -> None:
    checked: Counter[str] = Counter()
    for text in texts["scene"]:
        told = Story()
        for sentence in parts(text):
            asked, _, reply = sentence.partition("? ")
            if stated := re.fullmatch(r"The (\w+) is with (\w+)\.", sentence):
                assert told.holder[stated[1]] == stated[2]
                checked["stated"] += 1
            elif not reply:
                told.happens(sentence)
            else:
                answer = re.fullmatch(r"\w+ says it is (\w+)\.", reply)
                assert answer
                if who := re.fullmatch(r"Who has the (\w+)", asked):
                    assert told.holder[who[1]] == answer[1]
                    checked["who"] += 1
                else:
                    assert answer[1] == str(told.holds(f"{asked}?")).lower()
                    checked[answer[1]] += 1
    assert min(checked[kind] for kind in ("true", "false", "who", "stated")) > 100


def test_sums_are_right_on_the_way_and_at_the_end(texts: dict[str, list[str]]) -> None:
    on_the_way = 0
    for text in texts["sum"]:
        first, *others, last = parts(text)
        count = Count.begin(first)
        for sentence in others:
            if now := re.fullmatch(r"Now (\w+) has (\w+) (\w+)\.", sentence):
                assert (now[1], NUMBER[now[2]], now[3]) == (count.person, count.number, count.animals)
                on_the_way += 1
            else:
                count.happens(sentence)
        asked = re.fullmatch(r"How many (\w+) has (\w+)\? \w+ says it is (\w+)\.", last)
        assert asked
        assert (asked[1], asked[2], NUMBER[asked[3]]) == (count.animals, count.person, count.number)
    assert on_the_way > 500


def test_animal_facts_are_the_worlds_and_all_are_told(facts: Facts) -> None:
    assert facts.of("home") == HOME
    assert facts.of("food") == FOOD
    assert facts.of("weather") == WEATHER
    assert facts.of("colour") == COLOUR
    assert facts.of("season") == SEASON


def test_what_is_said_in_one_step_follows_from_two(facts: Facts) -> None:
    for kind, first, second in (
        ("weather at home", "home", "weather"),
        ("colour of food", "food", "colour"),
        ("season of food", "food", "season"),
    ):
        said = facts.of(kind)
        assert said == {animal: facts[second, facts[first, animal]] for animal in said}
        assert len(set(said) & set(ANIMALS)) == len(said) > 35


def test_which_of_them_eats_it_has_one_answer_and_it_is_told(texts: dict[str, list[str]], facts: Facts) -> None:
    replies = 0
    for text in texts["crowd"]:
        first, *others = parts(text)
        animals = animals_in(first)
        assert len(set(animals)) == len(animals)
        for sentence in others:
            told = re.fullmatch(
                r"(?:(\w+) is eaten by the (\w+)|Which of them eats (\w+)\? \w+ says it is the (\w+))\.", sentence
            )
            assert told
            food, named = (told[1] or told[3]).lower(), told[2] or told[4]
            assert [animal for animal in animals if facts["food", animal] == food] == [named]
            replies += told[3] is not None
    assert replies > 200


def test_machines_are_written_as_they_are_described(texts: dict[str, list[str]]) -> None:
    for text in texts["machine"]:
        sentences = parts(text)
        for described, shown in zip(sentences[::2], sentences[1::2], strict=True):
            said = re.fullmatch(r"\w+ has a machine that (.*)\.", described)
            code = re.fullmatch(r"(?:The machine is|What is the machine\? \w+ says it is) (.*)\.", shown)
            assert said
            assert code
            for x in (-7, 0, 1, 2, 30):
                assert evaluate(code[1], x) == follow(steps_of(said[1]), x)


def test_the_words_of_a_prompt_occur_in_lists_of_unrelated_words_alone(texts: dict[str, list[str]]) -> None:
    wrapping = re.compile(r"Question|Answer|\byes\b|\bno\b")
    for kind, found in texts.items():
        for text in found:
            assert (wrapping.search(text) is not None) == (kind == "list"), text
    for word in ("Question:", "Answer:", "yes", "no"):
        assert sum(word in text.split() for text in texts["list"]) > 100


def test_lists_follow_no_order(texts: dict[str, list[str]]) -> None:
    """Nothing is learnt from them: what follows a wrapping word is anything, and seldom a sentence's neighbour."""
    follows: Counter[str] = Counter()
    for text in texts["list"]:
        words = re.split(r"\.?\s", text)
        assert len(words) == 31
        follows.update(b for a, b in itertools.pairwise(words) if a == "Answer:")
    assert max(follows.values()) < 0.2 * sum(follows.values())
    assert len(follows) > 100


def test_no_document_holds_a_prompt_of_a_task(texts: dict[str, list[str]]) -> None:
    prompts = {
        get_task(task).question(row).prompt
        for task in GENERATED
        for split in ("train", "test")
        for row in itertools.islice(get_task(task).rows(split, 0), 200)  # type: ignore[attr-defined]
    }
    # Only lists hold "Question:" at all, so that it is enough to look at what lists hold in the form of a prompt.
    form = re.compile(r"(?=(Question: [^\n]*\nAnswer:))")
    assert all(len(form.findall(prompt)) == 1 for prompt in prompts)
    for kind, found in texts.items():
        for text in found:
            held = form.findall(text)
            assert kind == "list" or not held
            assert not prompts & set(held)


def test_what_cannot_be_known_is_set_apart(made: list[Document]) -> None:
    """Known pieces are what a question or an unfinished statement asks for; events and lists are none."""
    for document in made:
        for (before, _), (_, known) in itertools.pairwise(document):
            if known:
                assert re.search(
                    r"( is| is with| eats| lives in| grows in| eaten by| has| says it is| in the|that .*\.)$", before
                )
        assert not document[0][1]
        if kind_of(document[0][0]) == "list":
            assert len(document) == 1


def test_documents_are_a_function_of_their_draw() -> None:
    one, same, other = (list(itertools.islice(documents(stream(seed, "d")), 30)) for seed in (1, 1, 2))
    assert one == same != other


def test_varied_documents_put_any_words_between_a_question_and_its_answer() -> None:
    lengths: Counter[int] = Counter()
    used: set[str] = set()
    lines = 0
    for seed in range(500):
        plain, varied = (next(documents(stream(seed, "varied"), how)) for how in (False, True))
        for (text, known), (other, other_known) in zip(plain, varied, strict=True):
            assert known == other_known
            if text == other:
                continue
            assert not known
            question, _, _ = text.rpartition("?")
            assert text.endswith("says it is")
            between = other.removeprefix(f"{question}?")
            assert between != other
            lines += between.startswith("\n")
            lengths[len(between.split())] += 1
            used |= set(between.split())
    assert set(lengths) == {1, 2, 3, 4}
    assert used <= {*PEOPLE, *MOODS, *ROOMS}
    assert 0.4 < lines / lengths.total() < 0.6


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_crowd_has_one_eater_of_its_food(count: int) -> None:
    for seed in range(300):
        animals, food = crowd(stream(seed, "crowd"), count)
        assert len(set(animals)) == count
        assert [FOOD[animal] for animal in animals].count(food) == 1


def test_people_of_the_world_are_the_ones_who_reply(texts: dict[str, list[str]]) -> None:
    replied = Counter(re.findall(r"(\w+) says it is", " ".join(text for found in texts.values() for text in found)))
    assert set(replied) == set(PEOPLE)
