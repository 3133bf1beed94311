"""Documents of the base model: all that they state is true when read again, and none is a task's question."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from meshtune.seeds import stream
from meshtune.tasks import get_task
from meshtune.world.corpus import Document, crowd_core, documents
from meshtune.world.facts import COLOUR, FOOD, HOME, SEASON, WEATHER
from meshtune.world.split import is_test
from meshtune.world.vocabulary import ANIMALS, MOODS, PEOPLE, ROOMS
from reader import NUMBER, Count, Facts, Story, animals_in, evaluate, follow, parts, reply, steps_of

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
    return list(itertools.islice(documents(stream(0, "corpus")), 8000))


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
    said = Facts()
    for text in texts["animal"]:
        for sentence in parts(text):
            seen = re.fullmatch(r"(\w+) sees (an?) (\w+) in the \w+\.", sentence)
            assert said.learn(sentence) != bool(seen), sentence
            assert not seen or (seen[2] == "an") == (seen[3][0] in "aeiou")
    return said


def test_every_kind_of_document_is_drawn(texts: dict[str, list[str]]) -> None:
    assert set(texts) == {"scene", "sum", "animal", "crowd", "machine", "list"}
    assert all(len(found) > 75 for found in texts.values())


def test_scenes_are_told_and_talked_about_truthfully(texts: dict[str, list[str]]) -> None:
    checked: Counter[str] = Counter()
    for text in texts["scene"]:
        told = Story()
        for sentence in parts(text):
            if stated := re.fullmatch(r"The (\w+) is with (\w+)\.", sentence):
                assert told.holder[stated[1]] == stated[2]
                checked["stated"] += 1
            elif asked := reply(sentence):
                who = re.fullmatch(r"Who has the (\w+)\?", asked.question)
                assert who
                assert told.holder[who[1]] == asked.answer
                checked["who"] += 1
            else:
                told.happens(sentence)
    assert min(checked["who"], checked["stated"]) > 100


def test_sums_are_right_on_the_way_and_at_the_end(texts: dict[str, list[str]]) -> None:
    on_the_way = compared = 0
    for text in texts["sum"]:
        first, *others, last = parts(text)
        count = Count.begin(first)
        for sentence in others:
            if now := re.fullmatch(r"Now (\w+) has (\w+) (\w+)\.", sentence):
                assert (now[1], NUMBER[now[2]], now[3]) == (count.person, count.number, count.animals)
                on_the_way += 1
            elif asked := reply(sentence):
                assert asked.question == f"Has {count.person} gained or lost {count.animals}?"
                assert asked.answer == ("gained" if sum(count.changes) > 0 else "lost")
                assert sum(count.changes)
                compared += 1
            else:
                count.happens(sentence)
        asked = reply(last)
        assert asked
        assert asked.question == f"How many {count.animals} has {count.person}?"
        assert NUMBER[asked.answer] == count.number
    assert min(on_the_way, compared) > 400


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
            asked = reply(sentence)
            told = re.fullmatch(r"(\w+) is eaten by the (\w+)\.", sentence)
            if asked:
                told = re.fullmatch(r"Which of them eats (\w+)\? the (\w+)", f"{asked.question} {asked.answer}")
            assert told
            assert [animal for animal in animals if facts["food", animal] == told[1].lower()] == [told[2]]
            replies += asked is not None
    assert replies > 200


def test_machines_are_written_as_they_are_described(texts: dict[str, list[str]]) -> None:
    for text in texts["machine"]:
        sentences = parts(text)
        for described, shown in zip(sentences[::2], sentences[1::2], strict=True):
            said = re.fullmatch(r"\w+ has a machine that (.*)\.", described)
            asked, stated = reply(shown), re.fullmatch(r"The machine is (.*)\.", shown)
            code = asked.answer if asked else stated[1] if stated else ""
            assert said
            assert not asked or asked.question == "What is the machine?"
            for x in (-7, 0, 1, 2, 30):
                assert evaluate(code, x) == follow(steps_of(said[1]), x)


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
                    r"( is| is with| eats| lives in| grows in| eaten by| has| says it is|\?(\s\w+)+|that .*\.)$", before
                )
        assert not document[0][1]
        if kind_of(document[0][0]) == "list":
            assert len(document) == 1


def test_documents_are_a_function_of_their_draw() -> None:
    one, same, other = (list(itertools.islice(documents(stream(seed, "d")), 30)) for seed in (1, 1, 2))
    assert one == same != other


def test_many_words_may_stand_between_a_question_and_its_answer(texts: dict[str, list[str]]) -> None:
    found = [sentence for kind, said in texts.items() if kind != "list" for text in said for sentence in parts(text)]
    replies = [asked for sentence in found if (asked := reply(sentence))]
    lengths = Counter(len(asked.between) for asked in replies)
    assert set(lengths) == {0, 1, 2, 3}
    assert all(lengths[n] / lengths.total() == pytest.approx(1 / 6, abs=0.03) for n in (1, 2, 3))
    assert sum(" says it is " in sentence for sentence in found) == lengths[0]
    assert {word for asked in replies for word in asked.between} == {*PEOPLE, *MOODS, *ROOMS}
    assert 0.2 < sum(sentence.count("\n") for sentence in found) / sum(len(asked.between) for asked in replies) < 0.4


def test_machines_and_crowds_of_the_tests_are_not_asked_about(texts: dict[str, list[str]]) -> None:
    asked = 0
    for text in texts["machine"]:
        for code in re.findall(r"(x\S*|\(x\S*)\.", text):
            assert not is_test("machines", code)
            asked += 1
    for text in texts["crowd"]:
        first, *others = parts(text)
        for food in re.findall(r"Which of them eats (\w+)", " ".join(others)):
            assert not is_test("crowds", crowd_core(animals_in(first), food))
            asked += 1
    assert asked > 1000


def test_people_of_the_world_are_the_ones_who_reply(texts: dict[str, list[str]]) -> None:
    replied = Counter(re.findall(r"(\w+) says it is", " ".join(text for found in texts.values() for text in found)))
    assert set(replied) == set(PEOPLE)
