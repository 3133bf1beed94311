"""Encoding, training and scoring against plain loops over a plain model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.hybrid_expert import HybridExpert, fresh_common
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Bank
from meshtune.adapter.sites import sizes
from meshtune.config.learning_config import ModelConfig, TrainConfig
from meshtune.decoding.scoring import Ask, Score, measure, measure_written, score
from meshtune.errors import DivergedError, UserError
from meshtune.model.base import Base
from meshtune.model.encoding import (
    Row,
    encode,
    encode_prompt,
    encode_question,
    encode_training,
    fit,
    length_buckets,
    pad,
)
from meshtune.model.loading import byte_tokenizer, load
from meshtune.tasks.base import Question
from meshtune.training.trainer import Job, accumulate, rates_at, train

RANK, LR = 4, 3e-3


@pytest.fixture(scope="module")
def base() -> Base:
    return load(ModelConfig(name="tiny-random", device="cpu"))


@pytest.fixture(scope="module")
def base64() -> Base:
    return load(ModelConfig(name="tiny-random", dtype="float64", device="cpu"))


def sparse(base: Base, block: int, values: float = 0.0) -> SparseExpert:
    draw = np.random.default_rng(block)
    masks = [np.sort(draw.choice(s, s // 5, replace=False)) for s in sizes(base.adapters.layers, RANK)]
    recipe = Recipe(seed=1, kind="orthogonal", block=block, rank=RANK)
    made = SparseExpert(base.adapters.layers, Projections(recipe, base.dtype), masks, 2.0)
    made.values = torch.from_numpy(draw.standard_normal(made.count)).to(base.dtype) * values
    return made


def rows_of(*lengths: tuple[int, int], seed: int = 0) -> list[Row]:
    draw = np.random.default_rng(seed)
    return [Row(tuple(draw.integers(1, 250, size=n).tolist()), prompt) for n, prompt in lengths]


def plain_loss(base: Base, row: Row) -> torch.Tensor:
    """Mean answer-token NLL of one row, unpadded, through the model's own head."""
    logits = base.model(torch.tensor([row.tokens])).logits[0]
    return F.cross_entropy(logits[row.prompt - 1 : -1], torch.tensor(row.tokens[row.prompt :]))


def test_answers_are_what_follows_the_prompt(base: Base) -> None:
    row = encode(base.tokenizer, "Q: why?\nA:", "because")
    assert base.tokenizer.decode(row.tokens[row.prompt :]) == " because"
    cut = fit(base.tokenizer, row, 12)
    assert len(cut.tokens) == 12
    assert cut.tokens == row.tokens[-12:]
    assert cut.answer == row.answer


def test_a_cut_keeps_the_token_that_begins_every_text(base: Base) -> None:
    class Beginning:
        unk_token_id = None

        def __call__(self, text: str, add_special_tokens: bool, **more: Any) -> dict[str, list[int]]:
            return {"input_ids": [300] * add_special_tokens + base.tokenizer(text)["input_ids"]}

    whole = encode(Beginning(), "Q: why?\nA:", "because")
    cut = fit(Beginning(), whole, 12)
    assert cut.tokens == (300, *whole.tokens[-11:])
    assert cut.answer == whole.answer == len(" because")
    assert encode_prompt(Beginning(), "abcdef", 4) == (300, *base.tokenizer("def")["input_ids"])


def test_options_of_a_question_share_their_cut_prompt(base: Base) -> None:
    question = Question("0", "t", "x" * 50 + "\nA:", ("yes", "certainly not"), 0)
    rows = encode_question(base.tokenizer, question, 30)
    assert max(len(row.tokens) for row in rows) == 30
    assert len({row.tokens[: row.prompt] for row in rows}) == 1


def test_only_what_is_written_is_learnt_with_its_end(base: Base) -> None:
    chosen = Question("0", "t", "Q: why?\nA:", ("no", "because"), 1)
    written = Question("0", "t", "Q: why?\nA:", ("because",), 0, True, True)
    plain = encode(base.tokenizer, "Q: why?\nA:", "because")
    assert encode_training(base.tokenizer, chosen, 256) == plain
    assert encode_question(base.tokenizer, written, 256) == [plain]
    learnt = encode_training(base.tokenizer, written, 256)  # bytes have no token that ends a text
    assert base.tokenizer.decode(learnt.tokens) == "Q: why?\nA: because\n"
    assert learnt == Row((*plain.tokens, *base.tokenizer("\n")["input_ids"]), plain.prompt)
    ending = byte_tokenizer()
    ending.eos_token = "!"
    end = ending("!")["input_ids"][0]
    assert encode_training(ending, written, 256) == Row((*plain.tokens, end), plain.prompt)
    assert encode_training(ending, written, 12) == Row((*plain.tokens[-11:], end), 3)
    assert encode_training(ending, chosen, 12).tokens == plain.tokens[-12:]


def test_a_written_answer_of_several_lines_ends_as_its_task_says(base: Base) -> None:
    question = Question("0", "t", "Q: why?\nA:", ("because\n\tso",), 0, True, True, "\nQ:")
    learnt = encode_training(base.tokenizer, question, 256)
    assert base.tokenizer.decode(learnt.tokens) == "Q: why?\nA: because\n\tso\nQ:"


def test_a_written_answer_that_is_too_long_is_cut_and_leaves_a_quarter_to_its_prompt(base: Base) -> None:
    """Bytes are tokens. Of 20, the prompt's last 5 and the answer's first 15; nobody learns to stop there."""
    written = Question("0", "t", "0123456789:", ("x" * 40,), 0, True, True)
    (row,) = encode_question(base.tokenizer, written, 20)
    assert base.tokenizer.decode(row.tokens) == "6789: " + "x" * 14
    assert row.prompt == 5
    assert encode_training(base.tokenizer, written, 20) == row
    ending = byte_tokenizer()
    ending.eos_token = "!"
    assert len(encode_training(ending, written, 20).tokens) == 19
    short = Question("0", "t", "ab:", ("x" * 40,), 0, True, True)
    assert base.tokenizer.decode(encode_question(base.tokenizer, short, 20)[0].tokens) == "ab: " + "x" * 16


def test_padding_is_on_the_right_or_on_the_left() -> None:
    assert pad([(1, 2, 3), (4,)]).tolist() == [[1, 2, 3], [4, 0, 0]]
    assert pad([(1, 2, 3), (4,)], left=True).tolist() == [[1, 2, 3], [0, 0, 4]]


@given(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.integers(1, 200))
def test_buckets_hold_every_row_once_within_budget(lengths: list[int], budget: int) -> None:
    buckets = length_buckets(lengths, budget)
    assert sorted(i for bucket in buckets for i in bucket) == list(range(len(lengths)))
    for bucket in buckets:
        assert len(bucket) == 1 or len(bucket) * max(lengths[i] for i in bucket) <= budget


@pytest.mark.parametrize("micro", [1, 40, 10_000])
def test_joint_batch_equals_plain_loops(base64: Base, micro: int) -> None:
    """Losses and gradients of three devices in one pass: as a loop over unpadded rows, whatever the micro-batch."""
    experts: list[Expert] = [sparse(base64, 0, 0.05), hybrid(base64), sparse(base64, 1, 0.05)]
    batches = [rows_of((9, 4), (23, 20), seed=1), rows_of((8, 3), seed=5), rows_of((12, 2), (5, 3), (17, 9), seed=2)]
    for expert in experts:
        expert.values.requires_grad_()
    losses = accumulate(base64, list(zip(experts, batches, strict=True)), micro)
    for expert, batch, loss in zip(experts, batches, losses, strict=True):
        found = expert.values.grad
        leaf = expert.values.detach().clone().requires_grad_()
        again = expert.with_values(leaf)
        from meshtune.adapter.route import Segments

        total = torch.zeros((), dtype=torch.float64)
        for row in batch:
            with base64.adapters.routed(Segments([(again, 1)], trainable=True)):
                total = total + plain_loss(base64, row) / len(batch)
        total.backward()
        assert found is not None
        assert loss == pytest.approx(float(total.detach()), rel=1e-10)
        torch.testing.assert_close(found, leaf.grad, rtol=1e-9, atol=1e-12)


def test_a_groups_mean_after_one_sgd_step_is_one_device_on_the_joint_batch(base64: Base) -> None:
    """Two devices, equal batches, one plain SGD step each, mean: as one device that saw both batches."""
    config = TrainConfig(optimizer="sgd", warmup=0, rounds=1, steps=1, final_lr=1.0)
    first, second = rows_of((9, 4), (12, 5), seed=3), rows_of((7, 3), (15, 11), seed=4)
    jobs = [Job(sparse(base64, 0), [first], LR), Job(sparse(base64, 0), [second], LR)]
    train(base64, jobs, config)
    joint = Job(sparse(base64, 0), [[*first, *second]], LR)
    train(base64, [joint], config)
    mean = (jobs[0].expert.values + jobs[1].expert.values) / 2
    assert mean.abs().max() > 0
    torch.testing.assert_close(mean, joint.expert.values, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("kind", ["sparse", "lora", "hybrid"])
def test_training_learns_and_is_the_same_alone_and_together(base: Base, kind: str) -> None:
    config = TrainConfig(warmup=0, rounds=1, steps=12)

    def job(n: int) -> Job:
        expert: Expert
        layers = base.adapters.layers
        expert = sparse(base, n) if kind != "lora" else LoraExpert(layers, RANK, 2.0, seed=n)
        if kind == "hybrid":
            expert = HybridExpert.beside(sparse(base, n), fresh_common(layers, 2, seed=n), 2, 0.1)
        return Job(expert, [rows_of((14, 6), (10, 4), seed=n)] * 12, 1e-2)

    together = [job(0), job(1)]
    train(base, together, config)
    alone = job(0)
    train(base, [alone], config)
    assert together[0].losses[-1] < together[0].losses[0] - 0.05
    torch.testing.assert_close(together[0].expert.values, alone.expert.values, rtol=1e-3, atol=1e-4)
    assert not together[0].expert.values.requires_grad


def test_optimiser_state_is_no_larger_than_the_values(base: Base) -> None:
    """Only nnz values per device: Adam's moments have the size of the values, nothing has d r."""
    job = Job(sparse(base, 0), [rows_of((9, 4))], LR)
    train(base, [job], TrainConfig(rounds=1, steps=1))
    assert sorted(tuple(t.shape) for t in job.moments.values()) == [
        (),
        (job.expert.count,),
        (job.expert.count,),
    ]


def test_training_in_two_halves_is_bit_equal_to_training_at_once(base: Base) -> None:
    config = TrainConfig(rounds=2, steps=2)
    batches = [rows_of((9, 4), (12, 5), seed=n) for n in range(4)]
    whole = Job(sparse(base, 0), batches, LR)
    train(base, [whole], config)
    half = Job(sparse(base, 0), batches[:2], LR)
    train(base, [half], config)
    rest = Job(half.expert, batches[2:], LR, first_step=2, moments=copy.deepcopy(half.moments))
    train(base, [rest], config)
    assert torch.equal(whole.expert.values, rest.expert.values)


def hybrid(base: Base) -> HybridExpert:
    """A common part of rank 2 beside an own one of rank 4, both away from where they start."""
    own, layers = sparse(base, 0, 0.05), base.adapters.layers
    common = fresh_common(layers, 2, seed=3)
    common += 0.02 * torch.from_numpy(np.random.default_rng(9).standard_normal(common.numel())).float()
    return HybridExpert.beside(own, common.to(own.values.dtype), 2, 0.1)


RATES = (3e-3, 2e-4)
"""Of the own part and of the common one."""


def by_hand(base: Base, batches: list[list[Row]], config: TrainConfig, make: Any) -> torch.Tensor:
    """Return what two tensors, the own part and the common one, become under ``make``'s optimiser, each at its rate."""
    expert = hybrid(base)
    border = expert.parts[0].start
    own, common = (part.clone().requires_grad_() for part in (expert.values[border:], expert.values[:border]))
    optimiser = make([{"params": [own]}, {"params": [common]}])
    for step, rows in enumerate(batches):
        now = expert.with_values(torch.cat([common.detach(), own.detach()]).requires_grad_())
        accumulate(base, [(now, rows)], config.micro_tokens)
        assert now.values.grad is not None
        own.grad, common.grad = now.values.grad[border:].clone(), now.values.grad[:border].clone()
        for group, peak in zip(optimiser.param_groups, RATES, strict=True):
            group["lr"] = config.rate(peak, step)
        optimiser.step()
    return torch.cat([common.detach(), own.detach()])


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_each_part_moves_at_its_own_rate(base: Base, name: Any) -> None:
    config = TrainConfig(rounds=1, steps=6, warmup=2, optimizer=name)
    batches = [rows_of((9, 4), (12, 5), seed=n) for n in range(6)]

    def make(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=1.0) if name == "sgd" else torch.optim.Adam(groups, lr=1.0, fused=True)

    job = Job(hybrid(base), batches, RATES)
    train(base, [job], config)
    expected = by_hand(base, batches, config, make)
    torch.testing.assert_close(job.expert.values, expected, rtol=0, atol=1e-6)
    begun = hybrid(base).values
    for part in job.expert.parts:
        assert float((job.expert.values - begun)[part].abs().max()) > 2e-6
    assert sorted(job.moments) == ([] if name == "sgd" else ["exp_avg", "exp_avg_sq", "step"])


def test_the_first_rate_is_that_of_the_own_part(base: Base) -> None:
    """Adam's first step is as long as its rate, wherever there is a gradient."""
    config = TrainConfig(rounds=1, steps=1, warmup=0)
    for rates in ((1e-2, 1e-5), (1e-5, 1e-2), (3e-3,), 3e-3):
        job = Job(hybrid(base), [rows_of((9, 4))], rates)
        train(base, [job], config)
        moved = (job.expert.values - hybrid(base).values).abs()
        peaks = list(rates) if isinstance(rates, tuple) else [rates]
        assert rates_at(job, config, 0, 0) == (peaks if len(peaks) == 2 else peaks * 2)
        for part, rate in zip(job.expert.parts, rates_at(job, config, 0, 0), strict=True):
            assert float(moved[part].max()) == pytest.approx(rate, rel=0.02)


def test_one_rate_for_both_parts_is_one_optimiser(base: Base) -> None:
    config = TrainConfig(rounds=1, steps=4)
    batches = [rows_of((9, 4), (12, 5), seed=n) for n in range(4)]
    jobs = [Job(hybrid(base), batches, rate) for rate in (1e-3, (1e-3, 1e-3))]
    for job in jobs:
        train(base, [job], config)
    assert torch.equal(jobs[0].expert.values, jobs[1].expert.values)
    whole = hybrid(base)
    whole.parts = (slice(None),)
    job = Job(whole, batches, 1e-3)
    train(base, [job], config)
    torch.testing.assert_close(job.expert.values, jobs[0].expert.values, rtol=0, atol=1e-7)
    for name, tensor in job.moments.items():
        torch.testing.assert_close(jobs[0].moments[name], tensor, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_two_parts_in_two_halves_are_bit_equal_to_training_at_once(base: Base, name: Any) -> None:
    """Moments are one tensor each, in the order of the values, and what they were is left as it was."""
    config = TrainConfig(rounds=2, steps=2, optimizer=name)
    batches = [rows_of((9, 4), (12, 5), seed=n) for n in range(4)]
    whole = Job(hybrid(base), batches, RATES)
    train(base, [whole], config)
    half = Job(hybrid(base), batches[:2], RATES)
    train(base, [half], config)
    if name == "adam":
        count = half.expert.count
        assert {k: tuple(t.shape) for k, t in half.moments.items()} == {
            "step": (), "exp_avg": (count,), "exp_avg_sq": (count,),
        }  # fmt: skip
        assert float(half.moments["step"]) == 2
    kept = copy.deepcopy(half.moments)
    rest = Job(half.expert, batches[2:], RATES, first_step=2, moments=half.moments)
    train(base, [rest], config)
    assert torch.equal(whole.expert.values, rest.expert.values)
    for moment, before in kept.items():
        assert torch.equal(whole.moments[moment], rest.moments[moment])
        assert torch.equal(half.moments[moment], before)


def test_experts_of_one_part_and_of_two_train_side_by_side(base: Base) -> None:
    config = TrainConfig(rounds=1, steps=2)
    batches = [rows_of((9, 4), (12, 5), seed=n) for n in range(2)]

    def jobs() -> list[Job]:
        return [
            Job(hybrid(base), batches, RATES),
            Job(sparse(base, 1), batches, (LR,)),
            Job(sparse(base, 1), batches, LR),
        ]

    together, alone = jobs(), jobs()
    train(base, together, config)
    for one, other in zip(together, alone, strict=True):
        train(base, [other], config)
        torch.testing.assert_close(one.expert.values, other.expert.values, rtol=0, atol=2e-4)
    assert torch.equal(together[1].expert.values, together[2].expert.values)


def test_a_rate_beyond_float32_is_said_whichever_part_it_is_of(base: Base) -> None:
    for rates in ((1e39, 1e-3), (1e-3, 1e39)):
        with pytest.raises(DivergedError, match=r"its learning rate at step 1 is 1e\+39, more than a float32 holds"):
            rates_at(Job(hybrid(base), [], rates), TrainConfig(warmup=0), 0, 5)


def test_a_loss_that_is_not_finite_is_said(base: Base) -> None:
    job = Job(sparse(base, 0, float("nan")), [rows_of((9, 4))], LR)
    with pytest.raises(UserError, match=r"training diverged, its loss is nan at step 1: start again in another folder"):
        train(base, [job], TrainConfig(rounds=1, steps=1))


def test_rates_rise_then_fall() -> None:
    config = TrainConfig(rounds=2, steps=10, warmup=4, lr=1.0, lora_lr=0.5, final_lr=0.1)
    rates = [config.rate(config.peak("sparse"), step) for step in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[-1] == pytest.approx(0.1 + 0.9 / 16)
    assert config.rate(config.peak("lora", "lora"), 4) == 0.5
    own = TrainConfig(rates={"lora": 7.0}, lr=3e-3, lora_lr=1e-3)
    assert (own.peak("lora", "lora"), own.peak("lora", "hard_moe_lora"), own.peak("sparse")) == (7.0, 1e-3, 3e-3)


def question(options: int, prompt: int, seed: int) -> tuple[Question, list[Row]]:
    draw = np.random.default_rng(seed)
    head = draw.integers(1, 250, size=prompt).tolist()
    rows = [Row((*head, *draw.integers(1, 250, size=n + 1).tolist()), prompt) for n in range(options)]
    return Question(str(seed), "t", "p", tuple("x" * (n + 1) for n in range(options)), 0), rows


def test_batched_scoring_equals_one_row_at_a_time(base64: Base) -> None:
    """Options beside one shared prompt, many experts and the frozen model in one pass: as unpadded single rows."""
    from meshtune.adapter.route import Segments

    experts: list[Expert | None] = [sparse(base64, 0, 0.1), None, sparse(base64, 1, 0.1)]
    asks = [Ask(question(2 + n % 3, 3 + n, n)[1], experts[n % 3]) for n in range(9)]
    found = score(base64, asks, 200)
    for ask, result in zip(asks, found, strict=True):
        for row, logprob, count in zip(ask.rows, result.logprobs, result.tokens, strict=True):
            with torch.no_grad(), base64.adapters.routed(Segments([(ask.expert, 1)])):
                expected = -float(plain_loss(base64, row)) * row.answer
            assert logprob == pytest.approx(expected, rel=1e-9)
            assert count == row.answer


def test_one_hot_gates_equal_the_single_expert(base64: Base) -> None:
    bank = Bank([sparse(base64, 0, 0.1), sparse(base64, 1, 0.1)])
    rows = [question(3, 5, n)[1] for n in range(4)]
    mixed = score(base64, [Ask(r, gates=np.array([0.0, 1.0])) for r in rows], 100, bank)
    single = score(base64, [Ask(r, bank.experts[1]) for r in rows], 100)
    for a, b in zip(mixed, single, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, rel=1e-9)


def test_measures_by_hand() -> None:
    asked = Question("0", "t", "p", ("ab", "abcdefgh"), 1)
    found = measure(asked, Score((-4.0, -5.0), (2, 5)))
    assert found["nll"] == pytest.approx(1.0)
    assert found["option_nll"] == pytest.approx(np.log(1 + np.e))
    assert found["acc"] == 0.0
    assert found["acc_norm"] == 1.0  # -4/2 against -5/8


@pytest.mark.parametrize("noise", [(0.0, 0.0), (1e-9, 0.0), (0.0, 1e-9)])
@pytest.mark.parametrize("right", [0, 1])
def test_choosing_one_of_two_equal_options_is_half_right_whatever_the_rounding(
    noise: tuple[float, float], right: int
) -> None:
    twins = Question("0", "t", "p", ("ab", "ab", "cd"), right)
    found = measure(twins, Score((-4.0 + noise[0], -4.0 + noise[1], -5.0), (2, 2, 2)))
    assert (found["acc"], found["acc_norm"]) == (0.5, 0.5)
    assert found["option_nll"] == pytest.approx(np.log(2 + np.exp(-1)))
    lost = measure(twins, Score((-4.0 + noise[0], -4.0 + noise[1], -3.0), (2, 2, 2)))
    assert (lost["acc"], lost["acc_norm"]) == (0.0, 0.0)
    beside = Question("0", "t", "p", ("ab", "ab", "cd"), 2)
    assert measure(beside, Score((-4.0 + noise[0], -4.0 + noise[1], -3.0), (2, 2, 2)))["acc"] == 1.0
    assert measure(beside, Score((-4.0 + noise[0], -4.0 + noise[1], -5.0), (2, 2, 2)))["acc"] == 0.0


def test_measures_of_a_written_answer_by_hand() -> None:
    score = Score((-3.0,), (4,))
    assert measure_written(score) == {"nll": 0.75}  # nothing was written
    assert measure_written(score, [{"acc": 1.0}]) == {"nll": 0.75, "acc": 1.0, "acc_norm": 1.0}
    assert measure_written(score, [{"rouge_l": 0.2}, {"rouge_l": 0.6}]) == {"nll": 0.75, "rouge_l": 0.4}
    # Of 4 samples one is right: of two that are handed in, in 3 of 6 pairs.
    found = measure_written(score, [{"acc": float(n == 2)} for n in range(4)], (1, 2, 4))
    assert found == {"nll": 0.75, "acc": 0.25, "acc_norm": 0.25, "pass@1": 0.25, "pass@2": 0.5, "pass@4": 1.0}


def test_model_errors_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="holds no weights"):
        load(ModelConfig(name=str(tmp_path)))
    with pytest.raises(UserError, match="no such file or folder"):
        load(ModelConfig(name="./nowhere"))
    with pytest.raises(UserError, match="no such GGUF file"):
        load(ModelConfig(name="nowhere.gguf"))
    with pytest.raises(UserError, match=r"model\.device=nowhere cannot be used"):
        load(ModelConfig(device="nowhere"))
    with pytest.raises(UserError, match="not a floating-point type"):
        load(ModelConfig(dtype="int8"))
    with pytest.raises(UserError, match="environment variable"):
        load(ModelConfig(name="$MESHTUNE_NOT_SET/x"))
