"""Dolly's open questions (Conover et al. 2023): free answers, never right or wrong; measured by NLL and ROUGE-L."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from meshtune.tasks.base import Question, Task, TaskRow, text
from meshtune.tasks.rouge import UnicodeTokenizer
from meshtune.world.split import is_test

CATEGORY = "open_qa"


class DollyOpenQA(Task):
    """Questions without a passage. The hub has one split; a fifth of its instructions are for testing."""

    name = "dolly_open_qa"
    hub_id = "databricks/databricks-dolly-15k"
    splits: ClassVar = {"train": "train", "test": "train"}
    fields = ("instruction", "response")
    licence = "CC BY-SA 3.0"
    others = f"of another category than {CATEGORY}"
    example: ClassVar = {
        "instruction": "Why is the sky blue?",
        "response": "Air scatters blue light more than red light.",
        "category": CATEGORY,
    }
    written = True
    judged = "rouge_l: F1 of the longest common subsequence of words with the response"
    longest_answer = 128
    stops = ("\nQuestion:", "\n### Instruction:")

    def body(self, row: TaskRow) -> str:
        """The instruction."""
        return text(row, "instruction")

    def own_prompt(self, row: TaskRow) -> str:
        """The instruction in Dolly's training format."""
        told = (
            "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        )
        return f"{told}\n\n### Instruction:\n{text(row, 'instruction')}\n\n### Response:"

    def options(self, row: TaskRow) -> tuple[str]:
        """The response."""
        return (text(row, "response", may_be_empty=True),)

    def answer(self, row: TaskRow) -> int:
        """The only one."""
        return 0

    def grade(
        self, questions: Sequence[Question], texts: Sequence[str], unsafe: bool = False
    ) -> list[dict[str, float]]:
        """Return ``rouge_l``: F1 of the longest common subsequence of words, without stemming."""
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(["rougeL"], tokenizer=UnicodeTokenizer())
        references = [question.options[question.answer] for question in questions]
        return [
            {"rouge_l": float(scorer.score(reference, text)["rougeL"].fmeasure)}
            for reference, text in zip(references, texts, strict=True)
        ]

    def keep(self, row: TaskRow) -> bool:
        """Leave out the other categories."""
        return bool(row.get("category", CATEGORY) == CATEGORY)

    def part(self, row: TaskRow) -> str:
        """Decided only by the instruction, so that duplicates stay in one split."""
        return "test" if is_test(self.name, str(row.get("instruction", "")).strip()) else "train"
