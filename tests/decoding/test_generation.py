"""Answers written side by side with a cache, against one prompt alone without, on every architecture."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures import ARCHITECTURES, tiny
from meshtune.adapter.arrow_routing import Arrow
from meshtune.adapter.route import Bank, Route
from meshtune.config.learning_config import ModelConfig
from meshtune.decoding import generation as module
from meshtune.decoding.generation import generate, stream
from meshtune.decoding.sampling import Writing
from meshtune.decoding.scoring import Ask
from meshtune.decoding.stopping import Ending
from meshtune.model import kv_cache as past
from meshtune.model.base import Base
from meshtune.model.encoding import encode_prompt
from meshtune.model.loading import load
from meshtune.model.probes.probed_base import open_base
from writers import Numbers, cases, dense, mixed, prompts_of, said, sparse

NEW = 7
GREEDY = Writing(NEW)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def any_base(request: pytest.FixtureRequest) -> Base:
    return open_base(tiny(request.param).double(), Numbers(), request.param)


@pytest.fixture
def llama() -> Base:
    return open_base(tiny("llama").double(), Numbers(), "llama")


def alone(base: Base, prompt: Sequence[int], route: Route | None, count: int = NEW) -> list[int]:
    """Return ``count`` greedy tokens, each from a pass over the whole text through the model's own head."""
    tokens = list(prompt)
    for _ in range(count):
        with torch.no_grad(), base.adapters.routed(route):
            tokens.append(int(base.model(torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    return tokens[len(prompt) :]


def shown(tokens: Sequence[int], end: int | None = None, line: int = -1) -> str:
    """Return the text up to the first ``end``, or to the newline in the middle of ``line``."""
    words: list[str] = []
    for token in tokens:
        if token == end:
            break
        words.append("x" if token == line else str(token))
        if token == line:
            break
    return " ".join(words)


def check(base: Base, pairs: Sequence[tuple[Ask, Route]], bank: Bank | None, *micros: int) -> None:
    """Compare with every prompt alone: up to the most tokens, and where rows end and leave at different steps."""
    free = [alone(base, ask.prompt, route) for ask, route in pairs]
    asks = [ask for ask, _ in pairs]
    assert said(base, asks, GREEDY, micros[0], bank) == [shown(tokens) for tokens in free]
    assert len({tuple(tokens) for tokens in free}) > 4  # the experts do not all say the same
    spread = [token for tokens in free for token in tokens]
    common = max(set(spread), key=spread.count)
    other = max(set(spread) - {common}, key=spread.count)
    base.tokenizer = Numbers(end=common, line=other)
    ended = [shown(tokens, common, other) for tokens in free]
    assert len({len(text.split()) for text in ended}) > 2
    for micro in micros:
        assert said(base, asks, GREEDY, micro, bank) == ended
    base.tokenizer = Numbers()


def test_many_prompts_of_many_experts_are_answered_as_each_alone(any_base: Base) -> None:
    check(any_base, cases(any_base), None, 10_000, 40, 1)


def test_mixtures_are_answered_as_each_alone(any_base: Base) -> None:
    bank, pairs = mixed(any_base)
    check(any_base, pairs, bank, 80)


def test_experts_weighed_by_every_token_answer_as_for_each_prompt_alone(any_base: Base) -> None:
    bank = Arrow([sparse(any_base, 0), dense(any_base), sparse(any_base, 1)], top_k=2)
    one, equal = torch.ones(1, 3), np.full(3, 1 / 3)
    check(any_base, [(Ask((), None, equal, prompt), bank.route(one)) for prompt in prompts_of()], bank, 80)


def test_every_architecture_that_we_name_reads_with_its_cache(any_base: Base) -> None:
    assert isinstance(past.begin(any_base), past.Cached)


def test_the_frozen_model_answers_as_its_own_generation_does(any_base: Base) -> None:
    prompts = prompts_of()
    found = said(any_base, [Ask((), prompt=prompt) for prompt in prompts], GREEDY, 100)
    for prompt, text in zip(prompts, found, strict=True):
        tokens = torch.tensor([prompt])
        whole = any_base.model.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=NEW, do_sample=False, pad_token_id=0
        )
        assert text == shown(whole[0, len(prompt) :].tolist())


@pytest.mark.parametrize("broken", ["refuses", "forgets"])
def test_a_model_whose_cache_does_not_do_is_read_anew_every_step(
    broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    extend = Base.extend

    def refuse(*args: Any) -> Any:
        raise TypeError("no past_key_values here")

    def forget(self: Base, tokens: Any, cache: Any, positions: Any = None, real: Any = None) -> Any:
        return extend(self, tokens, copy.deepcopy(cache), positions, None)

    monkeypatch.setattr(Base, "extend", refuse if broken == "refuses" else forget)
    monkeypatch.setenv("MESHTUNE_CACHE", str(tmp_path))  # what was found out about it before does not count
    llama = open_base(tiny("llama").double(), Numbers(), "llama")
    assert any("cache" in note for note in llama.notes())
    assert isinstance(past.begin(llama), past.Plain)
    check(llama, cases(llama), None, 60)
    bank, pairs = mixed(llama)
    check(llama, pairs, bank, 60)


def test_more_experts_than_fit_side_by_side(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_EXPERTS", 2)
    check(llama, cases(llama), None, 60)


def test_a_prompt_is_cut_from_its_left_to_make_room(llama: Base) -> None:
    """64 positions and 7 new tokens leave 57 for the prompt; never more new tokens than positions."""
    (prompt,) = prompts_of([64])
    assert said(llama, [Ask((), prompt=prompt)], GREEDY, 100) == [shown(alone(llama, prompt[-57:], None))]
    assert len(said(llama, [Ask((), prompt=prompt)], Writing(100), 100)[0].split()) == 63


def test_nothing_asked_and_progress(llama: Base) -> None:
    assert generate(llama, [], GREEDY, 100) == []
    told: list[int] = []
    asks = [Ask((), prompt=prompt) for prompt in prompts_of([5, 5, 5])]
    generate(llama, asks, Writing(3), 10, ended=lambda: told.append(1))
    assert len(told) == 3


def test_writing_that_was_stopped_goes_on_and_ends_in_the_same_answers(llama: Base) -> None:
    asks = [Ask((), prompt=prompt) for prompt in prompts_of([5, 6, 7, 5, 9])]
    drawn = Writing(6, samples=2, temperature=0.8, seed=3)
    kept: dict[int, list[str]] = {}
    whole = generate(llama, asks, drawn, 24, keep=kept.update)
    assert [kept[i] for i in range(5)] == whole

    class Stopped(Exception):
        pass

    before: dict[int, list[str]] = {}

    def stop_after_one(fresh: dict[int, list[str]]) -> None:
        before.update(fresh)
        raise Stopped

    with pytest.raises(Stopped):
        generate(llama, asks, drawn, 24, keep=stop_after_one)
    assert 0 < len(before) < 5
    told: list[int] = []
    again: dict[int, list[str]] = {}
    known = {i: ["from before"] * 2 for i in before}
    found = generate(llama, asks, drawn, 24, ended=lambda: told.append(1), known=known, keep=again.update)
    assert found == [known.get(i, texts) for i, texts in enumerate(whole)]
    assert set(again) == set(range(5)) - set(before)
    assert len(told) == 2 * len(again)


def test_the_models_own_settings_may_name_further_ends(llama: Base) -> None:
    assert not Ending(llama, ("\n",)).of_text(5)
    llama.model.generation_config.eos_token_id = [5, 6]
    llama.tokenizer = Numbers(end=7)
    ending = Ending(llama, ("\n",))
    assert [token for token in range(10) if ending.of_text(token)] == [5, 6, 7]


def test_bytes_become_text() -> None:
    base = load(ModelConfig(name="tiny-random", device="cpu"))
    prompt = encode_prompt(base.tokenizer, "Question: how many?\nAnswer:", 64)
    (text,) = said(base, [Ask((), prompt=prompt)], Writing(6), 100)
    assert text == base.tokenizer.decode(alone(base, prompt, None, 6)).split("\n")[0].strip()


def test_an_answer_is_streamed_as_it_is_written_by_every_expert(any_base: Base) -> None:
    bank, routed = mixed(any_base)
    for pairs, weighed in ((cases(any_base), None), (routed, bank)):
        for ask, _ in pairs:
            for writing in (GREEDY, Writing(NEW, stops=("1", "3 4"), temperature=1.0, seed=2)):
                pieces = list(stream(any_base, ask, writing, weighed))
                assert "".join(pieces) == said(any_base, [ask], writing, 100, weighed)[0]
    assert len(pieces) > 1


@pytest.fixture(scope="module")
def embedded() -> Base:
    return load(ModelConfig())


@given(seed=st.integers(0, 1000), data=st.data())
@settings(max_examples=25, deadline=None)
def test_whatever_stops_an_answer_its_pieces_are_the_answer(embedded: Base, seed: int, data: st.DataObject) -> None:
    """Stops are cut out of what would be written, so that they lie within and across tokens; bytes are drawn too."""
    ask = Ask((), None, prompt=encode_prompt(embedded.tokenizer, "Question: Is it so?\nAnswer:", embedded.longest))
    free = Writing(16, stops=(), temperature=4.0, seed=seed)
    whole = said(embedded, [ask], free, 100)[0]
    stops = ["Question:"]
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, max(0, len(whole) - 1)))
        stops.append(whole[start : start + data.draw(st.integers(1, 9))] or "\n")
    for given_ in (free, replace(free, stops=tuple(stops)), replace(free, stops=(*stops, "\n"))):
        assert "".join(stream(embedded, ask, given_)) == said(embedded, [ask], given_, 100)[0]
