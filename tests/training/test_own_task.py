"""Whether training helps: when a run looks, what it compares, and what it says where a device is worse off."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from meshtune.adapter.expert import LoraExpert
from meshtune.config.config_file import validate
from meshtune.config.learning_config import ModelConfig
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.methods.registry import get_method
from meshtune.model.base import Base
from meshtune.model.loading import load
from meshtune.tasks.base import Question
from meshtune.training import own_task
from meshtune.training.own_task import OwnTasks, clearly_worse, looks
from whole_runs import Watch


def test_worse_is_said_only_where_it_is_clear() -> None:
    frozen = [4.0, 3.0, 5.0, 4.5]
    assert clearly_worse([loss + 0.5 for loss in frozen], frozen)
    assert clearly_worse([4.0, 3.0, math.nan, 4.5], frozen)
    assert not clearly_worse(frozen, frozen)
    assert not clearly_worse([loss - 0.1 for loss in frozen], frozen)
    assert not clearly_worse([5.0, 2.4, 5.6, 4.2], frozen)  # +0.175 on average, 0.36 its standard error


LOSSES = st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=2, max_size=8)


@given(LOSSES)
def test_clear_is_scipys_paired_statistic_above_two(pairs: list[tuple[float, float]]) -> None:
    mine, frozen = ([pair[side] for pair in pairs] for side in (0, 1))
    gaps = [a - b for a, b in pairs]
    if max(gaps) - min(gaps) > 1e-6:
        statistic = stats.ttest_rel(mine, frozen).statistic
        if abs(statistic - 2) > 1e-6:
            assert clearly_worse(mine, frozen) == (statistic > 2)


def test_one_row_that_is_worse_is_clear_and_infinity_always_is() -> None:
    assert clearly_worse([2.1], [2.0])
    assert not clearly_worse([2.0], [2.0])
    assert clearly_worse([1.0, math.inf], [2.0, 2.0])
    assert clearly_worse([math.nan], [2.0])


TREE: dict[str, Any] = {"tasks": ["boolq", "piqa"], "model": {"name": "tiny-random", "device": "cpu"}}


def config_of(**train: Any) -> RunConfig:
    return validate({**TREE, "train": {"rounds": 30, **train}}, "the test")


@pytest.mark.parametrize("steps", [1, 7, 15, 39, 40, 41, 100])
def test_a_run_looks_after_its_first_round_and_whenever_forty_more_steps_are_done(steps: int) -> None:
    config, done, expected = config_of(steps=steps), 0, []
    for number in range(1, 31):
        before, done = done, done + steps
        passed = any(step % 40 == 0 for step in range(before + 1, done + 1))
        expected.append(number == 1 or passed)
    assert [looks(config, number) for number in range(1, 31)] == expected


@pytest.fixture(scope="module")
def base() -> Base:
    return load(ModelConfig(name="tiny-random", device="cpu"))


def questions(task: str, count: int) -> list[Question]:
    return [Question(str(n), task, f"What follows {n}?", (str(n + 1), str(n + 2)), n % 2) for n in range(count)]


def of_device(base: Base, device: int, group: str, aside: list[Question]) -> DeviceData:
    return DeviceData(device, group, questions(group, 12), 0, 64, base.tokenizer, aside)


def expert(base: Base, size: float) -> LoraExpert:
    made = LoraExpert(base.adapters.layers, 2, 1.0)
    return made.with_values(size * torch.randn(made.count, generator=torch.Generator().manual_seed(0)))


def members(*experts: LoraExpert) -> Any:
    return [SimpleNamespace(device=number, expert=one) for number, one in enumerate(experts)]


def plain_nll(base: Base, row: Any, one: LoraExpert | None) -> float:
    """The mean NLL of one row's answer, through the model itself, its weights changed by B A."""
    deltas = {} if one is None else {layer: one.delta(layer) for layer in base.adapters.layers}
    with torch.no_grad():
        for layer, delta in deltas.items():
            base.adapters.weight(layer).add_(delta)
        logits = base.model(torch.tensor([row.tokens])).logits[0, row.prompt - 1 : -1]
        for layer, delta in deltas.items():
            base.adapters.weight(layer).sub_(delta)
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(row.tokens[row.prompt :])))


def test_what_is_compared_is_the_own_task_on_rows_set_aside(base: Base) -> None:
    config = config_of()
    aside = questions("boolq", 10)
    devices = [of_device(base, 4, "boolq", aside), of_device(base, 7, "piqa", []), of_device(base, 9, "boolq", aside)]
    wild, still = expert(base, 2.0), expert(base, 0.0)
    lora, local = get_method("lora"), get_method("local")
    judged = OwnTasks(base, config, config, [lora, local], devices, Watch())
    judged.judge({"lora": members(wild, wild, still), "local": members(still, still, still)})
    found = judged.taken()
    assert set(found) == {f"{name}/{device}" for name in ("lora", "local") for device in (4, 7, 9)}
    assert judged.taken() == {}
    for place, data in enumerate(devices):
        rows = data.held(8)
        assert len(rows) == 8
        frozen = sum(plain_nll(base, row, None) for row in rows) / 8
        for name, one in (("lora", (wild, wild, still)[place]), ("local", still)):
            mine = sum(plain_nll(base, row, one) for row in rows) / 8
            assert found[f"{name}/{data.device}"]["nll"] == pytest.approx(mine, rel=1e-4)
            assert found[f"{name}/{data.device}"]["frozen"] == pytest.approx(frozen, rel=1e-4)


@pytest.fixture
def given_losses(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Losses that are given: 2 of the frozen model on every row, of an expert its first value; who was asked."""
    asked: list[Any] = []

    def row_losses(base: Base, one: Any, rows: list[Any], micro: int) -> list[float]:
        asked.append(one)
        return [2.0 if one is None else float(one.values[0])] * len(rows)

    monkeypatch.setattr(own_task, "row_losses", row_losses)
    return asked


def losing(base: Base, loss: float) -> LoraExpert:
    made = LoraExpert(base.adapters.layers, 1, 1.0)
    return made.with_values(torch.full((made.count,), loss))


@pytest.mark.usefixtures("given_losses")
def test_who_is_worse_is_told_with_the_rate_to_change(base: Base) -> None:
    config, watch = config_of(lora_lr=0.02), Watch()
    devices = [of_device(base, number, group, []) for number, group in ((4, "boolq"), (7, "piqa"), (9, "boolq"))]
    judged = OwnTasks(base, config, config, [get_method("lora"), get_method("local")], devices, watch)
    good, bad = losing(base, 1.5), losing(base, 2.5)
    judged.judge({"lora": members(good, bad, good), "local": members(good, good, good)})
    beginning = "training has made lora worse than the frozen model on the own task of device "
    ending = "NLL 2.50 against 2.00 on rows set aside: stop, and start again in another folder with the setting "
    assert watch.texts == [f"{beginning}7 (piqa): {ending}`train.lora_lr=auto`"]
    assert judged.taken()["lora/7"] == {"nll": 2.5, "frozen": 2.0}
    watch.texts.clear()
    judged.judge({"lora": members(bad, bad, bad), "local": members(good, good, good)})
    assert watch.texts == [f"{beginning}4 (boolq) and 2 other devices: {ending}`train.lora_lr=auto`"]
    watch.texts.clear()
    judged.judge({"lora": members(good, bad, bad), "local": members(good, good, good)})
    assert watch.texts == [f"{beginning}7 (piqa) and 1 other device: {ending}`train.lora_lr=auto`"]


@pytest.mark.usefixtures("given_losses")
def test_a_rate_that_was_found_is_lowered(base: Base) -> None:
    asked, config = config_of(rates={"lora": "auto"}), config_of(rates={"lora": 0.03})
    watch = Watch()
    judged = OwnTasks(base, config, asked, [get_method("lora")], [of_device(base, 0, "boolq", [])], watch)
    judged.judge({"lora": members(losing(base, 2.5))})
    (told,) = watch.texts
    assert told.endswith("with the setting `train.rates.lora=0.01`")


@pytest.mark.usefixtures("given_losses")
@pytest.mark.parametrize(
    ("asked", "used", "told"),
    [
        ({"lr": 0.03, "lora_lr": 0.06}, {}, "the setting `train.lr=auto` and the setting `train.lora_lr=auto`"),
        (
            {"lr": "auto", "lora_lr": 0.06},
            {"lr": 0.03},
            "the setting `train.lr=0.01` and the setting `train.lora_lr=auto`",
        ),
        ({"rates": {"proposed": 0.03}}, {}, "the setting `train.rates.proposed=auto`"),
        (
            {"rates": {"proposed": "auto"}},
            {"rates": {"proposed": 0.03}},
            "the setting `train.rates.proposed=0.01`",
        ),
    ],
)
def test_both_rates_of_an_expert_of_two_parts_are_told(
    base: Base, asked: dict[str, Any], used: dict[str, Any], told: str
) -> None:
    watch, methods = Watch(), [get_method("proposed")]
    devices = [of_device(base, 0, "boolq", [])]
    judged = OwnTasks(base, config_of(**{**asked, **used}), config_of(**asked), methods, devices, watch)
    judged.judge({"proposed": members(losing(base, 2.5))})
    (sentence,) = watch.texts
    assert sentence.endswith(f"in another folder with {told}")


def test_devices_that_hold_the_same_are_judged_once(base: Base, given_losses: list[Any]) -> None:
    """Two devices of one task, with rows set aside, hold one expert; a third has rows of its own."""
    aside, one = questions("boolq", 4), losing(base, 1.0)
    devices = [of_device(base, 0, "boolq", aside), of_device(base, 1, "boolq", aside), of_device(base, 2, "boolq", [])]
    config = config_of()
    judged = OwnTasks(base, config, config, [get_method("lora"), get_method("local")], devices, Watch())
    for _ in range(2):
        judged.judge({"lora": members(one, one, one), "local": members(one, one, one)})
    assert given_losses.count(None) == 2  # the frozen model never changes
    assert len(given_losses) == 2 + 2 * 2
