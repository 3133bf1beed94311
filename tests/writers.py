"""Prompts that many experts answer side by side, and a tokenizer of numbers: for tests of written answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Bank, Mixture, Route, Segments
from meshtune.adapter.sites import sizes
from meshtune.decoding.generation import generate
from meshtune.decoding.scoring import Ask
from meshtune.model.base import Base

RANK = 4
LENGTHS = (3, 9, 5, 21, 9, 14, 1, 3)  # some beyond Gemma's window of 16 tokens, or growing beyond it


class Numbers:
    """A tokenizer whose texts are token numbers in words; ``line`` is a newline."""

    unk_token_id = None

    def __init__(self, end: int | None = None, line: int = -1) -> None:
        self.eos_token_id, self.line = end, line

    def __call__(self, text: str, **how: bool) -> dict[str, list[int]]:
        return {"input_ids": [1 for _ in text]}

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = False) -> str:
        return " ".join("x\ny" if token == self.line else str(token) for token in tokens)


def sparse(base: Base, block: int) -> SparseExpert:
    draw = np.random.default_rng(block)
    masks = [np.sort(draw.choice(s, s // 2, replace=False)) for s in sizes(base.adapters.layers, RANK)]
    made = SparseExpert(
        base.adapters.layers,
        Projections(Recipe(seed=1, kind="orthogonal", block=block, rank=RANK), base.dtype),
        masks,
        2.0,
    )
    made.values = torch.from_numpy(draw.standard_normal(made.count)) * 0.5
    return made


def dense(base: Base) -> LoraExpert:
    made = LoraExpert(base.adapters.layers, RANK, 2.0, seed=3)
    return made.with_values(torch.from_numpy(np.random.default_rng(9).standard_normal(made.count)).float() * 0.3)


def prompts_of(lengths: Sequence[int] = LENGTHS) -> list[tuple[int, ...]]:
    draw = np.random.default_rng(4)
    return [tuple(draw.integers(1, 64, size=n).tolist()) for n in lengths]


def said(*args: Any) -> list[str]:
    """Return the only answer to each ask."""
    return [text for (text,) in generate(*args)]


def cases(base: Base) -> list[tuple[Ask, Route]]:
    experts: list[Expert | None] = [sparse(base, 0), None, sparse(base, 1), dense(base)]
    return [
        (Ask((), experts[n % 4], prompt=prompt), Segments([(experts[n % 4], 1)]))
        for n, prompt in enumerate(prompts_of())
    ]


def mixed(base: Base) -> tuple[Bank, list[tuple[Ask, Route]]]:
    bank = Bank([sparse(base, 0), dense(base), sparse(base, 1)])
    gates = np.random.default_rng(5).dirichlet(np.ones(3), size=len(LENGTHS))
    return bank, [
        (Ask((), None, g, prompt), Mixture(bank, torch.tensor(g[None], dtype=torch.float32)))
        for g, prompt in zip(gates, prompts_of(), strict=True)
    ]
