"""Settings of learning: the rate's way up and down, which key gives it, and what cannot be drawn."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshtune.config.learning_config import EvalConfig, TrainConfig, check_temperature, lower_rate
from meshtune.errors import UserError


def test_the_rate_rises_to_its_peak_and_falls_to_a_share_of_it() -> None:
    """Two steps of warm-up, then ten more of which each takes off a tenth of the nine tenths."""
    config = TrainConfig(rounds=3, steps=4, warmup=2, final_lr=0.1)
    expected = [1 / 3, 2 / 3, *(1.0 - 0.09 * step for step in range(10))]
    assert [config.rate(2.0, step) for step in range(12)] == pytest.approx([2.0 * share for share in expected])
    assert config.rate(2.0, 12) == pytest.approx(0.2)
    assert config.rate(2.0, 99) == pytest.approx(0.2)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2000),
    st.floats(0, 1),
    st.integers(0, 4000),
    st.floats(1e-6, 10),
)
def test_a_rate_is_within_its_bounds_at_any_step(
    rounds: int, steps: int, warmup: int, final: float, step: int, peak: float
) -> None:
    config = TrainConfig(rounds=rounds, steps=steps, warmup=warmup, final_lr=final)
    rate = config.rate(peak, step)
    assert 0 <= rate <= peak * (1 + 1e-12)
    if step < warmup:
        assert 0 < rate < config.rate(peak, step + 1) * (1 + 1e-12) or step + 1 == warmup
    else:
        assert rate >= peak * final * (1 - 1e-12)
        assert config.rate(peak, step + 1) <= rate


def test_a_methods_own_rate_goes_before_that_of_its_kind() -> None:
    config = TrainConfig(lr=1e-2, lora_lr="auto", full_lr=1e-5, rates={"local": 3e-3, "ffa": "auto"})
    assert (config.peak("sparse"), config.key("sparse")) == (1e-2, "train.lr")
    assert (config.peak("sparse", "local"), config.key("sparse", "local")) == (3e-3, "train.rates.local")
    assert (config.peak("full", "fpft"), config.key("full", "fpft")) == (1e-5, "train.full_lr")
    asked = [("sparse", "bank"), ("sparse", "ffa"), ("lora", "lora"), ("full", "fpft")]
    assert [config.unsettled(*one) for one in asked] == [False, True, True, False]
    for kind, method, key in (("lora", "lora", "train.lora_lr"), ("sparse", "ffa", "train.rates.ffa")):
        said = f"{key}=auto is found when a run starts: give a number here"
        with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
            config.peak(kind, method)


def test_rates_that_were_found_take_the_place_of_auto_and_of_nothing_else() -> None:
    config = TrainConfig(lr=1e-2, lora_lr="auto", rates={"ffa": "auto", "local": 3e-3, "lori": "auto"})
    kinds = {"ffa": ("sparse",), "local": ("sparse",), "lora": ("lora",)}
    settled = config.settled({"sparse": 0.5, "lora": 0.25}, kinds)
    assert (settled.lr, settled.lora_lr, settled.full_lr) == (1e-2, 0.25, config.full_lr)
    assert settled.rates == {"ffa": 0.5, "local": 3e-3, "lori": "auto"}  # lori does not run
    assert (config.lora_lr, config.rates["ffa"]) == ("auto", "auto")


@pytest.mark.parametrize(("sparse", "lora"), [(0.5, 0.25), (0.1, 0.2)])
def test_a_method_whose_expert_has_two_parts_takes_the_rate_of_each_kind_or_one_of_its_own(
    sparse: float, lora: float
) -> None:
    found, kinds = {"sparse": sparse, "lora": lora}, {"proposed": ("sparse", "lora"), "bank": ("sparse",)}

    def peaks(config: TrainConfig) -> list[float]:
        settled = config.settled(found, kinds)
        return [settled.peak(kind, "proposed") for kind in ("sparse", "lora")]

    assert peaks(TrainConfig()) == [sparse, lora]
    assert peaks(TrainConfig(lr=1e-3)) == [1e-3, lora]
    assert peaks(TrainConfig(lora_lr=1e-3)) == [sparse, 1e-3]
    assert peaks(TrainConfig(rates={"proposed": 3e-3})) == [3e-3, 3e-3]
    assert peaks(TrainConfig(lr=1e-3, rates={"proposed": "auto"})) == [min(sparse, lora)] * 2  # safe for both


@pytest.mark.parametrize(
    ("key", "rate", "found", "setting"),
    [
        ("train.lr", 3e-2, True, "train.lr=0.01"),
        ("train.lr", 3e-2, False, "train.lr=auto"),
        ("train.rates.local", 6e-4, True, "train.rates.local=0.0002"),
        ("train.full_lr", 1e-4, False, "train.full_lr=1e-05"),
        ("train.full_lr", 1e-4, True, "train.full_lr=1e-05"),
    ],
)
def test_the_remedy_of_a_rate_too_high_is_a_lower_one(key: str, rate: float, found: bool, setting: str) -> None:
    assert lower_rate(key, rate, found) == setting


@pytest.mark.parametrize("value", [0, 1e-3, 0.8, 1e3])
def test_logits_can_be_divided_by_a_temperature_or_it_is_nought(value: float) -> None:
    check_temperature(value)
    assert EvalConfig(temperature=value).temperature == value


@pytest.mark.parametrize("value", [-1.0, 1e-4, 1001.0])
def test_other_temperatures_are_refused(value: float) -> None:
    with pytest.raises(UserError, match=rf"^`temperature` {value:g} is out of range: give 0, or 0\.001 to 1000$"):
        check_temperature(value)
    with pytest.raises(ValidationError):
        EvalConfig(temperature=value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"samples": 2}, "2 samples at temperature 0 would all be the same: set eval.temperature=0.8"),
        ({"pass_at": (1, 5)}, "pass@5 needs as many samples: set eval.samples=5 and eval.temperature=0.8"),
        ({"pass_at": (7, 5), "samples": 6, "temperature": 1.0}, "pass@7 needs as many samples: set eval.samples=7"),
        ({"temperature": 1e-4}, "give 0, which takes the likeliest token, or 0.001 to 1000"),
    ],
)
def test_samples_that_cannot_be_are_refused_with_what_to_set(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EvalConfig(**given)
    (error,) = caught.value.errors()
    assert error["msg"] == f"Value error, {said}"


def test_the_remedies_work() -> None:
    assert EvalConfig(samples=2, temperature=0.8).samples == 2
    assert EvalConfig(pass_at=(1, 5), samples=5, temperature=0.8).pass_at == (1, 5)


@pytest.mark.parametrize("rate", [1e-13, 1e7, float("nan"), "fast", "0"])
def test_a_rate_is_a_number_within_bounds_or_auto(rate: Any) -> None:
    with pytest.raises(ValidationError, match=r"give a learning rate, 1e-12 to 1e\+06, or auto"):
        TrainConfig(lr=rate)
    assert TrainConfig(lr="1e-2").lr == 1e-2
