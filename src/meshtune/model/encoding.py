"""From questions to token rows, and from token rows to batches of similar length.

A row is a prompt and one option; its loss covers only the option's tokens. A written answer is trained with an end
token, so that the model learns to stop, and scored without it. An answer that is too long for a row is truncated and
trained without the end token, because the model must not learn to stop there. Rows of one pass are sorted by length and
split into micro-batches of bounded padded size, because padding costs as much as any token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from meshtune.errors import UserError
from meshtune.printable import printable
from meshtune.tasks.base import Question

_SOMETHING = "Question:"
_ANCHORS = (":", "a", "?")
_openings: WeakKeyDictionary[Any, tuple[int, ...]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Row:
    """One tokenised prompt with its answer.

    Attributes:
        tokens: prompt tokens, then answer tokens.
        prompt: how many of them are the prompt; at least 1.
    """

    tokens: tuple[int, ...]
    prompt: int

    @property
    def answer(self) -> int:
        """How many answer tokens the row has."""
        return len(self.tokens) - self.prompt


def encode(tokenizer: Any, prompt: str, answer: str) -> Row:
    """Return the row of ``prompt + " " + answer``, of any length: the prompt's own tokens, then the answer's.

    The whole text is tokenised at once, as evaluation harnesses do, and the tokens after the prompt's are the answer.
    If the tokenizer merges across the boundary, so that the prompt's tokens are not a prefix of the whole, the answer
    is tokenised as if nothing before it merged with it: at inference the model reads the prompt's tokens alone. Tokens
    that a tokenizer puts in front of every text (:func:`opening`) stay in front; tokens that it appends are left out.

    Raises:
        UserError: the tokenizer produces no token for the prompt, or for the answer.
    """
    before, whole = plain(tokenizer, prompt), plain(tokenizer, f"{prompt} {answer}")
    after = whole[len(before) :] if whole[: len(before)] == before else _apart(tokenizer, answer)
    front = opening(tokenizer)
    for what, text, tokens in (("prompt", prompt, [*front, *before]), ("answer", answer, after)):
        if not tokens:
            raise UserError(
                f"the model's tokenizer has no token for the {what} {printable(repr(text), 60)}: take that row out, or "
                "another model"
            )
    return Row((*front, *before, *after), len(front) + len(before))


def plain(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of ``text`` alone: none before it, none after it, and no special token within it.

    Text is always text: ``<|im_end|>`` in a question is read as those ten characters, which neither end an answer nor
    hide what follows. If the vocabulary contains the name of a special token as a word, the unknown token replaces it,
    if there is one.
    """
    tokens = _tokens(tokenizer, text, False)
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is None or (special := set(tokenizer.all_special_ids) - {unknown}).isdisjoint(tokens):
        return tokens
    return [unknown if token in special else token for token in tokens]


def opening(tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that ``tokenizer`` puts in front of every text, if any; appended ones are not included."""
    if tokenizer not in _openings:
        bare, dressed = (_tokens(tokenizer, _SOMETHING, special) for special in (False, True))
        starts = [at for at in range(len(dressed)) if bare and dressed[at : at + len(bare)] == bare]
        _openings[tokenizer] = tuple(dressed[: starts[0]]) if starts else ()
    return _openings[tokenizer]


def _tokens(tokenizer: Any, text: str, special: bool) -> list[int]:
    how = {"verbose": False, "add_special_tokens": special}
    try:
        tokens: list[int] = tokenizer(text, split_special_tokens=True, **how)["input_ids"]
    except ValueError:  # a tokenizer that never parses special tokens does not accept the argument
        tokens = tokenizer(text, **how)["input_ids"]
    return list(tokens)


def _apart(tokenizer: Any, answer: str) -> list[int]:
    """Return the tokens of ``answer`` after a space, as if nothing before them merged with them."""
    for before in _ANCHORS:
        bare, whole = plain(tokenizer, before), plain(tokenizer, f"{before} {answer}")
        if bare and whole[: len(bare)] == bare:
            return whole[len(bare) :]
    return plain(tokenizer, f" {answer}")


def fit(tokenizer: Any, row: Row, limit: int, written: bool = False) -> Row:
    """Return ``row`` within ``limit`` tokens, truncated from the left; a written answer that would leave the prompt
    less than a quarter of the row is also truncated at its end.
    """
    if written:
        room = limit - min(row.prompt, limit // 4)
        row = Row(row.tokens[: row.prompt + room], row.prompt)
    return _cut(tokenizer, row, max(0, min(len(row.tokens) - limit, row.prompt - 1)))


def encode_training(tokenizer: Any, question: Question, limit: int) -> Row:
    """Return the training row of ``question``, with its right answer: as scored, plus the end if the question has one.

    The end is the tokenizer's end-of-sequence token, or if it has none, the string at which the task's answers stop.
    """
    answer, end = question.options[question.answer], tokenizer.eos_token_id
    if question.ends and end is None:
        answer += question.stop
    whole = encode(tokenizer, question.prompt, answer)
    marked = question.ends and end is not None
    row = fit(tokenizer, whole, limit - marked, question.written)
    return Row((*row.tokens, end), row.prompt) if marked and row.answer == whole.answer else row


def encode_question(tokenizer: Any, question: Question, limit: int) -> list[Row]:
    """Return one row per option of ``question``, all truncated alike, so that they share their prompt."""
    rows = [encode(tokenizer, question.prompt, option) for option in question.options]
    if question.written:
        return [fit(tokenizer, row, limit, written=True) for row in rows]
    shortest = min(row.prompt for row in rows)
    cut = max(0, min(max(len(row.tokens) for row in rows) - limit, shortest - 1))
    return [_cut(tokenizer, row, cut) for row in rows]


def encode_prompt(tokenizer: Any, prompt: str, limit: int) -> tuple[int, ...]:
    """Return only the prompt's tokens, truncated from the left to ``limit``."""
    return shorten(tokenizer, (*opening(tokenizer), *plain(tokenizer, prompt)), limit)


def shorten(tokenizer: Any, tokens: Sequence[int], limit: int) -> tuple[int, ...]:
    """Return a prompt's ``tokens``, truncated from the left to ``limit``."""
    return _cut(tokenizer, Row(tuple(tokens), len(tokens)), max(0, len(tokens) - limit)).tokens


def _cut(tokenizer: Any, row: Row, count: int) -> Row:
    """Return ``row`` without ``count`` tokens of its prompt; the tokens that begin every text stay in front."""
    if count == 0:
        return row
    front = opening(tokenizer)
    first = len(front) if count < row.prompt - len(front) and row.tokens[: len(front)] == front else 0
    return Row(row.tokens[:first] + row.tokens[count + first :], row.prompt - count)


def length_buckets(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group row numbers into micro-batches of similar length with at most ``budget`` padded tokens each.

    Longest first (so the largest allocation comes first); a row longer than the budget forms its own batch.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    buckets: list[list[int]] = []
    for i in order:
        if buckets and (len(buckets[-1]) + 1) * lengths[buckets[-1][0]] <= budget:
            buckets[-1].append(i)
        else:
            buckets.append([i])
    return buckets


def pad(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu", left: bool = False) -> Tensor:
    """Return the rows as one tensor (rows, longest), int64, padded on the right, or on the left."""
    width = max(len(row) for row in rows)
    gaps = [[0] * (width - len(row)) for row in rows]
    filled = [[*gap, *row] if left else [*row, *gap] for row, gap in zip(rows, gaps, strict=True)]
    return torch.tensor(filled, device=device)


def portions(lengths: Sequence[int], most: int, few: int = 1) -> list[range]:
    """Split rows, in their order, into portions of about equal tokens, at most ``most`` each.

    A longer row forms its own portion.

    Args:
        lengths: tokens of every row.
        most: the most tokens of a portion.
        few: the number of portions should be a multiple of this, so that parallel cores finish together.
    """
    if not lengths:
        return []
    whole = sum(lengths)
    count = -(-whole // most)
    count = -(-count // few) * few
    while True:
        cut: list[range] = []
        start = tokens = done = 0
        for row, length in enumerate(lengths):
            full = tokens + length > most or done + length / 2 > whole * (len(cut) + 1) / count
            if full and row > start:
                cut.append(range(start, row))
                start, tokens = row, 0
            tokens += length
            done += length
        cut.append(range(start, len(lengths)))
        if len(cut) <= count or count >= len(lengths):
            return cut
        count += few
