"""What an exam asks: equal questions to equal experts once, with what each asked alone is answered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from architectures import tiny
from meshtune.adapter.full_expert import FullExpert
from meshtune.adapter.route import Bank
from meshtune.data.partition import Exam
from meshtune.decoding.generation import generate
from meshtune.decoding.sampling import Writing
from meshtune.decoding.scoring import Ask, score
from meshtune.evaluation.asks import AnswerRequests, ask_of, bank_of
from meshtune.methods.base import Answer, only
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.probes.probed_base import open_base
from meshtune.tasks.base import Question
from meshtune.training.full_parameters import holding
from writers import Numbers, dense, sparse

ROWS = [
    [Row((5, 9, 3, 8, 7), 3), Row((5, 9, 3, 2), 3)],
    [Row((4, 1, 2), 2), Row((4, 1, 9, 9), 2)],
    [Row((7, 7, 7, 1, 3), 4), Row((7, 7, 7, 1, 8), 4), Row((7, 7, 7, 1, 9), 4)],
]
QUESTIONS = [Question(str(n), "piqa", "?", ("a", "b"), 0) for n in range(3)]
PAPER = Exam("piqa", "piqa", QUESTIONS, ROWS, [row[0].tokens[: row[0].prompt] for row in ROWS])


@pytest.fixture(scope="module")
def base() -> Base:
    return open_base(tiny("llama").double(), Numbers(), "llama")


def mixing(base: Base, gates: list[list[float]]) -> Answer:
    return Answer((sparse(base, 0), dense(base)), np.array(gates))


HALF = [[0.5, 0.5]] * 3


def full(base: Base) -> FullExpert:
    weights = torch.cat([p.detach().reshape(-1) for p in base.model.parameters()])
    draw = torch.Generator().manual_seed(0)
    return FullExpert(base.adapters.layers, (weights + 0.1 * torch.randn(weights.shape, generator=draw)).float())


def test_equal_questions_to_equal_experts_are_asked_once(base: Base) -> None:
    requests = AnswerRequests(PAPER)
    first = requests.add(only(sparse(base, 0), 3), 3)
    assert (requests.asks, requests.options) == (3, 7)
    assert requests.add(only(sparse(base, 0), 3), 2) == first[:2]  # another object, of the same content
    chosen = Answer((dense(base), sparse(base, 0)), np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))
    assert requests.add(chosen, 3)[:2] == first[:2]
    assert requests.asks == 4
    frozen = requests.add(only(None, 3), 3)
    assert frozen == [("frozen", 0), ("frozen", 1), ("frozen", 2)]
    assert (requests.asks, requests.options) == (7, 7 + 3 + 7)


def test_gates_and_banks_are_told_apart(base: Base) -> None:
    requests = AnswerRequests(PAPER)
    one = requests.add(mixing(base, HALF), 3)
    assert requests.add(mixing(base, HALF), 3) == one
    other = requests.add(mixing(base, [[0.4, 0.6]] * 3), 3)
    turned = requests.add(Answer((dense(base), sparse(base, 0)), np.array(HALF)), 3)
    assert len({*one, *other, *turned}) == 9
    assert requests.asks == 9


def test_who_is_asked_a_prompt(base: Base) -> None:
    answer = mixing(base, [[0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    single = ask_of(answer, 0, ROWS[0], (1, 2))
    assert (single.expert, single.gates, single.prompt) == (answer.experts[1], None, (1, 2))
    mixed = ask_of(answer, 1, ROWS[1])
    assert mixed.expert is None
    assert mixed.gates is not None
    assert mixed.gates.tolist() == [0.5, 0.5]
    joined = Answer(answer.experts, answer.gates, Bank([dense(base)]))
    assert ask_of(joined, 0, ROWS[0]).gates is not None  # what a bank joins is asked of the bank, whatever the gates
    assert bank_of(joined) is joined.bank
    assert [expert.digest for expert in bank_of(answer).experts] == [e.digest for e in answer.experts if e]
    assert bank_of(only(None, 2)).experts == []


def test_the_frozen_model_is_asked_what_no_expert_is(base: Base) -> None:
    for bank in (None, Bank([sparse(base, 0), dense(base)])):
        answer = Answer(mixing(base, HALF).experts, np.array([[0.0, 0.0], [0.3, 0.2], [0.0, 1.0]]), bank)
        ask = ask_of(answer, 0, ROWS[0], (1, 2))
        assert (ask.expert, ask.gates, ask.prompt) == (None, None, (1, 2))
        requests = AnswerRequests(PAPER)
        assert requests.add(answer, 3)[0] == ("frozen", 0)
        found = requests.score(base, 64, lambda _: None)
        assert found["frozen", 0] == score(base, [Ask(ROWS[0])], 64)[0]


def test_gates_below_one_scale_the_experts_down(base: Base) -> None:
    """A gate of a quarter is an expert whose values are a quarter."""
    requests, one = AnswerRequests(PAPER), sparse(base, 0)
    (key,) = requests.add(Answer((one,), np.array([[0.25]])), 1)
    found = requests.score(base, 64, lambda _: None)[key]
    expected = score(base, [Ask(ROWS[0], one.with_values(one.values / 4))], 64)[0]
    np.testing.assert_allclose(found.logprobs, expected.logprobs, rtol=1e-5)


def everyone(base: Base) -> tuple[AnswerRequests, list[tuple[Answer, list[Any]]]]:
    requests = AnswerRequests(PAPER)
    answers = [only(None, 3), only(sparse(base, 0), 3), mixing(base, HALF), only(full(base), 3), only(dense(base), 3)]
    return requests, [(answer, requests.add(answer, 3)) for answer in answers]


def test_scores_are_those_of_each_asked_alone(base: Base) -> None:
    requests, asked = everyone(base)
    told: list[int] = []
    found = requests.score(base, 12, told.append)
    assert told == sorted(told)
    assert told[-1] == requests.options == 35
    for answer, keys in asked:
        (expert, *more) = answer.experts
        for q, key in enumerate(keys):
            if isinstance(expert, FullExpert):
                with holding(base, expert):
                    (alone,) = score(base, [Ask(ROWS[q])], 1000)
            elif more:
                bank = Bank([e for e in answer.experts if e is not None])
                (alone,) = score(base, [Ask(ROWS[q], None, answer.gates[q])], 1000, bank)
            else:
                (alone,) = score(base, [Ask(ROWS[q], expert)], 1000)
            assert found[key].logprobs == pytest.approx(alone.logprobs, rel=1e-6)
    assert len({found[keys[0]].logprobs for _, keys in asked}) == len(asked)  # who answers matters


def test_answers_are_written_once_kept_as_they_come_and_not_anew(base: Base) -> None:
    requests, asked = everyone(base)
    writing, ended = Writing(3), []
    kept: dict[Any, list[str]] = {}
    found = requests.write(base, writing, 30, lambda: ended.append(1), None, kept.update)
    assert kept == found
    assert len(ended) == len(found) == 15
    for answer, keys in asked:
        (expert, *more) = answer.experts
        weights = expert if isinstance(expert, FullExpert) else None
        for q, key in enumerate(keys):
            gates = answer.gates[q] if more else None
            ask = Ask((), None if more or weights else expert, gates, PAPER.prompts[q])
            with holding(base, weights):
                assert found[key] == generate(base, [ask], writing, 99, bank_of(answer) if more else None)[0]
    assert len({tuple(found[key][0] for key in keys) for _, keys in asked}) == len(asked)
    known = {key: ["from before"] for key in asked[3][1]}  # of a batch all or none
    again: dict[Any, list[str]] = {}
    assert requests.write(base, writing, 30, lambda: None, known, again.update) == {**found, **known}
    assert set(again) == set(found) - set(known)
