"""Claims: yes where there are more at the end than at the beginning, whatever happens in between."""

from __future__ import annotations

from collections import Counter

from solving import asked, check_answers, check_one_option, core, many, right


def test_every_answer_follows_from_its_prompt() -> None:
    check_answers("claims")


def test_chance_is_one_half() -> None:
    check_one_option("claims", 2)


def test_one_change_or_two_and_the_last_one_does_not_give_the_answer_away() -> None:
    """Of two changes, some go the other way than what they come to."""
    found = many("claims", "train")
    steps = Counter(len(core(q)) - 1 for q in found)  # type: ignore[arg-type]
    assert set(steps) == {1, 2}
    assert min(steps.values()) > len(found) / 4
    against = 0
    for question in found:
        _, *changes = core(question)  # type: ignore[misc]
        assert sum(changes) != 0
        assert right(question) == ("gained, yes" if sum(changes) > 0 else "lost, no"), asked(question)
        against += (changes[-1] > 0) != (sum(changes) > 0)
    assert against > len(found) / 50
