"""Generated tasks: their answers follow from their prompts, and nothing but the prompt gives an answer away."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.seeds import stream
from meshtune.tasks import Question, get_task
from meshtune.tasks.generated import GeneratedTask
from meshtune.tasks.registry import TASKS
from meshtune.world.corpus import documents
from meshtune.world.split import is_test
from meshtune.world.vocabulary import ANIMALS, NUMBERS, PEOPLE, ROOMS, plural
from reader import Count, Facts, Story, animals_in, follow, parts, steps_of, story

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


def test_these_are_the_generated_tasks() -> None:
    assert {name for name, found in TASKS.items() if isinstance(found, GeneratedTask)} == set(NAMES)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", NAMES)
def test_every_answer_follows_from_its_prompt(name: str, split: str) -> None:
    assert all(solved(question, asked(question)) for question in many(name, split))


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_to_another_prompt_is_right_by_chance_alone(name: str) -> None:
    """The control of the test above: prompts meet the options and answers of other rows."""
    found = questions(name, "train", 0, 2000)
    pairs = list(zip(found, [*found[1:], found[0]], strict=True))
    if name in CHOSEN:  # the number of the right option; the options' names are other people's
        hits = [q.answer == q.options.index(SOLVERS[name](asked(q))[0]) for q in found]
        assert all(hits)
        hits = [other.answer == q.options.index(SOLVERS[name](asked(q))[0]) for q, other in pairs]
        assert sum(hits) / len(hits) == pytest.approx(task(name).chance, abs=0.04)
    else:
        hits = [solved(other, asked(q)) for q, other in pairs]
        assert sum(hits) / len(hits) <= task(name).chance + 0.03


@pytest.mark.parametrize("name", NAMES)
def test_train_and_test_share_no_core_and_no_prompt_whatever_the_seeds(name: str) -> None:
    train, test = many(name, "train"), many(name, "test")
    assert not {asked(q) for q in train} & {asked(q) for q in test}
    assert not {core(q) for q in train} & {core(q) for q in test}


@pytest.mark.parametrize("name", NAMES)
def test_one_core_in_five_is_for_testing_and_every_task_draws_its_own(name: str) -> None:
    chosen = [is_test(name, str(number)) for number in range(5000)]
    assert sum(chosen) / 5000 == pytest.approx(0.2, abs=0.02)
    other = [is_test(f"{name}2", str(number)) for number in range(5000)]
    assert sum(one and two for one, two in zip(chosen, other, strict=True)) / 5000 == pytest.approx(0.04, abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_a_function_of_split_and_seed(name: str) -> None:
    again = [asked(q) for q in questions.__wrapped__(name, "train", 1)]
    assert again == [asked(q) for q in questions(name, "train", 1)]
    assert again[:100] == [asked(q) for q in questions.__wrapped__(name, "train", 1, 100)]
    for other in (questions(name, "train", 2), questions(name, "test", 1)):
        assert [asked(q) for q in other] != again
        assert len({asked(q) for q in other} & set(again)) < 50


@pytest.mark.parametrize("name", NAMES)
def test_rows_go_on_and_never_come_again(name: str) -> None:
    for split, count in (("train", 2500), ("test", 1000)):
        rows = list(itertools.islice(task(name).rows(split, 5), count))
        assert len({row["asked"] for row in rows}) == count


def test_equal_prompts_have_equal_answers_within_a_task_and_across_tasks() -> None:
    answers: dict[str, tuple[str, str]] = {}
    for name in NAMES:
        for question in [*many(name, "train"), *many(name, "test")]:
            answer = (name, right(question))
            assert answers.setdefault(question.prompt, answer) == answer


@pytest.mark.parametrize("name", ["sums", "animals", "machines"])
def test_chance_is_what_the_best_constant_answer_reaches(name: str) -> None:
    """In the split in which it is right more often."""

    def best(found: list[Question]) -> float:
        if name == "machines":  # judged by what it computes, so that equal machines are one answer
            computed = Counter(tuple(follow(core(q), x) for x in HIDDEN) for q in found)  # type: ignore[arg-type]
        else:
            computed = Counter((right(q),) for q in found)  # type: ignore[misc]
        return computed.most_common(1)[0][1] / len(found)

    assert max(best(many(name, split)) for split in ("train", "test")) == pytest.approx(task(name).chance, abs=0.02)


@pytest.mark.parametrize(("name", "options"), [("claims", 2), ("sequel", 3)])
def test_chance_is_what_always_choosing_one_option_reaches(name: str, options: int) -> None:
    found = questions(name, "train", 0, 2000)
    assert all(len(set(q.options)) == options for q in found)
    counts = Counter(q.answer for q in found)
    for option in range(options):
        assert counts[option] / len(found) == pytest.approx(task(name).chance, abs=0.03)


def test_chance_of_crowds_is_naming_one_of_the_listed_animals() -> None:
    found = questions("crowds", "train", 0, 2000)
    named = [animals_in(parts(asked(q))[0]) for q in found]
    assert sum(1 / len(animals) for animals in named) / len(found) == pytest.approx(task("crowds").chance, abs=0.03)
    for place in (0, -1):  # nor does the place in the list say more
        hits = sum(f"the {animals[place]}" == right(q) for animals, q in zip(named, found, strict=True))
        assert hits / len(found) == pytest.approx(task("crowds").chance, abs=0.03)


def test_shortcuts_do_not_replace_reading() -> None:
    """The options of a sequel are the animals of its passage; no place in the list is right more often."""
    found = many("sequel", "train")
    named = [animals_in(parts(asked(q))[0]) for q in found]
    assert all(sorted(q.options) == sorted(f"The {x} smiles." for x in a) for q, a in zip(found, named, strict=True))
    for place in range(3):
        hits = sum(right(q) == f"The {animals[place]} smiles." for q, animals in zip(found, named, strict=True))
        assert hits / len(found) == pytest.approx(1 / 3, abs=0.04)


@pytest.mark.parametrize("name", NAMES)
def test_flags_say_how_answers_are_given(name: str) -> None:
    assert task(name).written is (name in WRITTEN)
    for question in questions(name, "test", 0):
        assert question.written is (name in WRITTEN)
        assert len(question.options) == {"claims": 2, "sequel": 3}.get(name, 1)
        assert question.task == name
        assert task(name).question(
            {"asked": asked(question), "options": ["a", "b"][: 1 + (name in CHOSEN)], "answer": 0}
        )
    assert task(name).fields == ("asked", "options", "answer")


def test_the_own_template_asks_without_wrapping() -> None:
    for name in NAMES:
        row = next(task(name).rows("train", 0))
        assert task(name).question(row, "own").prompt == row["asked"]
        assert task(name).question(row).prompt == f"Question: {row['asked']}\nAnswer:"


def machine_question(reference: str) -> Question:
    row = {
        "asked": "Ann has a machine that adds three and doubles. What is the machine?",
        "options": [reference],
        "answer": 0,
    }
    return task("machines").question(row)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("(x+3)*2", True),
        (" ( x + 3 ) * 2 ", True),
        ("x*2+6", True),
        ("6+2*x", True),
        ("x+x+3+3", True),
        ("(x*x+3*x)*2-(x-1)*x*2-2*x+6-4*x", True),
        ("x*3", False),
        ("x+3*2", False),
        ("(x+3)*2+0*x", True),
        ("6", False),
        ("x*x", False),
        ("(x+3)*2.", False),
        ("(x+3)*2 is the machine", False),
        ("(x+3)*2)", False),
        ("", False),
        ("adds three and doubles", False),
        ("lambda x: (x+3)*2", False),
        ("(x+3)*2" + " " * 200, False),
        ("(x+3)*2" + "+0" * 100, False),
        ("x*" * 50 + "999999", False),
        ("(" * 50 + "x+3" + ")" * 50 + "*2", False),
    ],
)
def test_machines_are_judged_by_what_they_compute(text: str, accepted: bool) -> None:
    assert task("machines").judge(machine_question("(x+3)*2"), text) is accepted


@settings(deadline=None)
@given(st.text(max_size=300) | st.text("x0123456789+-*() ", max_size=30))
def test_no_answer_stops_the_judge(text: str) -> None:
    assert task("machines").judge(machine_question("(x+3)*2-99"), text) is False


@pytest.mark.parametrize("name", ["sums", "animals", "crowds"])
def test_other_written_answers_are_judged_by_the_word(name: str) -> None:
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


def test_no_topic_is_the_mark_of_one_task() -> None:
    """A router cannot go by the topics: every person, room, animal and number is met in several tasks.

    Asserted: every person in five tasks, every room in three, every animal in five (in the plural where it is counted),
    the numbers from two to nine in three; so every task shares all words of a topic with at least three others.
    """
    topics = {
        "people": (PEOPLE, {"claims", "sequel", "sums", "animals", "machines"}),
        "rooms": (ROOMS, {"sequel", "animals", "crowds"}),
        "animals": (ANIMALS, {"claims", "sequel", "sums", "animals", "crowds"}),
        "numbers": (NUMBERS[2:10], {"claims", "sums", "machines"}),
    }
    met = {name: set(re.findall(r"\w+", " ".join(asked(q) for q in many(name, "train")))) for name in NAMES}
    for topic, (words, where) in topics.items():
        forms = [{word, plural(word)} if topic == "animals" else {word} for word in words]
        assert {name for name in NAMES if all(form & met[name] for form in forms)} == where
        assert all({name for name in NAMES if form & met[name]} == where for form in forms if topic != "numbers")
    for name in NAMES:
        others = {other for _, where in topics.values() if name in where for other in where} - {name}
        assert len(others) >= 3


def test_answers_are_spread_over_all_words_of_their_kind() -> None:
    expected = {"sums": 14, "animals": 14, "crowds": 40}
    assert {name: len({right(q) for q in many(name, "train")}) for name in expected} == expected
    assert len({right(q) for q in many("machines", "train")}) > 500


def test_a_story_that_cannot_be_is_no_story() -> None:
    """The reader of these tests does find fault."""
    for sentences in (
        ["The dog goes to Ann."],
        ["Ann and Ben are in the hall.", "The dog goes to Ann.", "The dog goes to Ann."],
        ["Ann eats."],
    ):
        with pytest.raises((AssertionError, KeyError)):
            story(sentences)
    assert Story() == story([])
