"""ROUGE-L beyond the letters a to z: the library's own words on ASCII text, words of every script elsewhere."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.tasks import get_task
from meshtune.tasks.rouge import UnicodeTokenizer

tokenizers = pytest.importorskip("rouge_score.tokenizers")


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_text_has_the_words_of_the_library(text: str) -> None:
    assert UnicodeTokenizer().tokenize(text) == tokenizers.DefaultTokenizer().tokenize(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Лодка дома.", ["лодка", "дома"]),
        ("Το πλοίο, εδώ!", ["το", "πλοίο", "εδώ"]),
        ("القارب في البيت", ["القارب", "في", "البيت"]),
        ("船在家。", ["船", "在", "家"]),
        ("GPT在家", ["gpt", "在", "家"]),
        ("배가 집에", ["배가", "집에"]),
        ("नाव घर पर है", ["नाव", "घर", "पर", "है"]),
        ("Cafe\u0301 crème", ["café", "crème"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("\U0001f44d \U0001f44d", ["\U0001f44d", "\U0001f44d"]),
        ("\u0301a", ["a"]),
    ],
)
def test_words_of_other_scripts(text: str, words: list[str]) -> None:
    assert UnicodeTokenizer().tokenize(text) == words


@pytest.mark.parametrize("answer", ["Лодка дома.", "Το πλοίο είναι εδώ.", "القارب في البيت", "船在家。", "\U0001f44d"])
def test_an_answer_written_as_the_reference_has_rouge_1_and_another_0(answer: str) -> None:
    task = get_task("dolly_open_qa")
    question = task.question({"instruction": "Where?", "response": answer})
    assert task.grade([question] * 2, [answer, "Somewhere else."]) == [{"rouge_l": 1.0}, {"rouge_l": 0.0}]


def test_half_an_answer_by_hand() -> None:
    task = get_task("dolly_open_qa")
    question = task.question({"instruction": "Where?", "response": "Лодка стоит дома"})
    # 2 of 3 words of the reference, 2 of 2 of the answer: F1 = 2 * (2/3) * 1 / (2/3 + 1)
    assert task.grade([question], ["лодка дома"])[0]["rouge_l"] == pytest.approx(0.8)


@given(st.text(max_size=60))
def test_words_hold_no_space_and_nothing_is_left_without_words(text: str) -> None:
    found = UnicodeTokenizer().tokenize(text)
    assert not any(char.isspace() for word in found for char in word)
    if any(
        char.isalnum() for char in unicodedata.normalize("NFKC", text).lower() if unicodedata.category(char)[0] in "LN"
    ):
        assert any(char.isalnum() for word in found for char in word)
