"""Word sums: counting along with the sentences gives the numbers."""

from __future__ import annotations

from collections import Counter

from meshtune.seeds import stream
from meshtune.world.word_sums import word_sum
from reader import Count, parts


def test_counting_along_gives_every_number() -> None:
    reached: Counter[int] = Counter()
    for seed in range(1000):
        steps = seed % 6
        made = word_sum(stream(seed, "counts"), steps)
        first, *others = parts(made.text)
        count = Count.begin(first)
        start, numbers = count.number, [count.number]
        for sentence in others:
            count.happens(sentence)
            numbers.append(count.number)
        assert tuple(numbers) == made.numbers
        assert len(numbers) == steps + 1
        assert all(2 <= number <= 15 for number in numbers)
        assert all(2 <= abs(change) <= 6 for change in count.changes)
        assert (count.person, count.animals) == (made.person, made.animals)
        assert made.question == f"How many {count.animals} has {count.person}?"
        assert made.core == " ".join([str(start), *(f"{change:+d}" for change in count.changes)])
        reached.update(numbers)
    assert set(reached) == set(range(2, 16))


def test_every_way_of_winning_and_losing_is_told() -> None:
    told = " ".join(word_sum(stream(seed, "verbs"), 3).text for seed in range(100))
    assert all(f" {verb} " in told for verb in ("buys", "finds", "loses", "sells", "gives"))


def test_a_sum_is_a_function_of_its_draw() -> None:
    assert word_sum(stream(1), 3) == word_sum(stream(1), 3) != word_sum(stream(2), 3)
