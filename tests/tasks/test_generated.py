"""Generated tasks: their answers follow from their prompts, and nothing but the prompt gives an answer away."""

from __future__ import annotations

import itertools
import re

import pytest

from meshtune.tasks.generated import GeneratedTask
from meshtune.tasks.registry import TASKS
from meshtune.world.vocabulary import ANIMALS, NUMBERS, PEOPLE, ROOMS, plural
from reader import Story, story
from solving import CHOSEN, NAMES, SOLVERS, WRITTEN, asked, core, many, questions, right, solved, task


def test_these_are_the_generated_tasks() -> None:
    assert {name for name, found in TASKS.items() if isinstance(found, GeneratedTask)} == set(NAMES)


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
def test_questions_know_the_core_that_their_prompts_tell(name: str) -> None:
    """One to one with the core that a reader of the prompt finds; in fifty tests some cores come again."""
    found = questions(name, "test", 0)
    pairs = {(question.core, core(question)) for question in found}
    assert len(pairs) == len({mine for mine, _ in pairs}) == len({theirs for _, theirs in pairs}) < len(found)
    row = {"asked": "Q?", "options": ["a", "b"][: 1 + (name in CHOSEN)], "answer": 0}
    assert (task(name).question(row).core, task(name).question({**row, "core": "x"}).core) == ("", "x")


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
