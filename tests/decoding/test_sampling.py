"""Drawn answers: distributed as the softmax says, the same for the same seed, whatever stands beside them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from architectures import ARCHITECTURES, tiny
from meshtune.decoding.generation import generate
from meshtune.decoding.sampling import Writing, draw
from meshtune.decoding.scoring import Ask
from meshtune.model import kv_cache as past
from meshtune.model.base import Base
from meshtune.model.probes.probed_base import open_base
from writers import LENGTHS, Numbers, cases, mixed, prompts_of, said

LOGITS = np.array([1.0, -0.5, 2.0, 0.0, 1.5])
DRAWN = Writing(6, temperature=0.8, seed=3)


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max())
    return odds / odds.sum()


def drawn(temperature: float, top_p: float = 1.0, count: int = 20_000) -> np.ndarray:
    uniform = torch.from_numpy(np.random.default_rng(0).random(count))
    logits = torch.from_numpy(LOGITS).float().expand(count, -1)
    return np.bincount(draw(logits, temperature, top_p, uniform), minlength=len(LOGITS))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tokens_are_drawn_as_often_as_the_softmax_says(temperature: float) -> None:
    counts = drawn(temperature)
    assert chisquare(counts, counts.sum() * softmax(LOGITS / temperature)).pvalue > 1e-3


def test_the_least_likely_tokens_are_left_out_as_soon_as_the_others_make_up_top_p() -> None:
    """By hand: softmax is .164 .037 .447 .061 .271 (roughly), so .447 + .271 reach 0.7, and 0.75 needs .164 too."""
    odds = softmax(LOGITS)
    for top_p, kept in ((0.4, [2]), (0.7, [2, 4]), (0.75, [0, 2, 4])):
        counts = drawn(1.0, top_p)
        assert sorted(np.flatnonzero(counts)) == kept
        if len(kept) > 1:
            expected = odds[kept] / odds[kept].sum()
            assert chisquare(counts[kept], counts.sum() * expected).pvalue > 1e-3


def test_draws_at_the_borders_of_the_interval_are_possible_tokens() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]])
    almost = float(np.nextafter(1.0, 0.0))
    uniform = torch.tensor([0.0, 0.49, 0.51, almost], dtype=torch.float64)
    assert draw(logits.expand(4, -1), 1.0, 1.0, uniform) == [1, 1, 2, 2]


@pytest.fixture(params=ARCHITECTURES)
def any_base(request: pytest.FixtureRequest) -> Base:
    return open_base(tiny(request.param).double(), Numbers(), request.param)


@pytest.fixture
def llama() -> Base:
    return open_base(tiny("llama").double(), Numbers(), "llama")


def test_a_row_draws_the_same_whatever_stands_beside_it(any_base: Base) -> None:
    asks = [ask for ask, _ in cases(any_base)]
    together = said(any_base, asks, DRAWN, 10_000)
    assert together == said(any_base, asks, DRAWN, 25)
    assert together == [text for ask in asks for text in said(any_base, [ask], DRAWN, 1)]
    bank, pairs = mixed(any_base)
    routed = [ask for ask, _ in pairs]
    alone = [text for ask in routed for text in said(any_base, [ask], DRAWN, 1, bank)]
    assert said(any_base, routed, DRAWN, 10_000, bank) == alone
    assert together != said(any_base, asks, Writing(6, temperature=0.8, seed=4), 10_000)
    assert together != said(any_base, asks, Writing(6), 10_000)


def test_samples_are_those_of_each_number_whatever_their_count(any_base: Base) -> None:
    asks = [ask for ask, _ in cases(any_base)]
    three = generate(any_base, asks, Writing(6, samples=3, temperature=0.8, seed=3), 60)
    assert [texts[:1] for texts in three] == generate(any_base, asks, DRAWN, 60)
    assert [texts[:2] for texts in three] == generate(any_base, asks, Writing(6, samples=2, temperature=0.8, seed=3), 9)
    assert all(len(set(texts)) == 3 for texts in three)


def test_samples_without_a_cache(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = [ask for ask, _ in cases(llama)]
    writing = Writing(6, samples=2, temperature=0.8, seed=3)
    cached = generate(llama, asks, writing, 60)
    monkeypatch.setattr(llama, "caches", False)
    assert isinstance(past.begin(llama), past.Plain)
    assert generate(llama, asks, writing, 60) == cached


def test_whoever_answers_a_prompt_draws_with_the_same_numbers(llama: Base) -> None:
    """Equal prompts of equal experts give equal answers, so a difference between methods is none of luck."""
    (prompt,) = prompts_of(LENGTHS[:1])
    expert = cases(llama)[0][0].expert
    first, second, third = said(llama, [Ask((), expert, prompt=prompt)] * 2 + [Ask((), prompt=prompt)], DRAWN, 100)
    assert first == second != third


def test_first_tokens_of_a_model_are_distributed_as_its_own_softmax(llama: Base) -> None:
    (prompt,) = prompts_of(LENGTHS[1:2])
    with torch.no_grad():
        logits = llama.model(torch.tensor([prompt])).logits[0, -1].double().numpy()
    counts: Counter[str] = Counter()
    writing = Writing(1, samples=4000, temperature=0.7, seed=1)
    (texts,) = generate(llama, [Ask((), prompt=prompt)], writing, 100_000)
    counts.update(texts)
    odds = softmax(logits / 0.7)
    found = np.array([counts[str(token)] for token in range(len(odds))])
    assert min(odds) * len(texts) > 5  # enough for the test to hold
    assert chisquare(found, odds * len(texts)).pvalue > 1e-3
