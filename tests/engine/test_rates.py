"""A learning rate that is looked for: the search by itself, then in whole runs on the tiny and the embedded base."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.engine.config import RunConfig, validate
from meshtune.engine.own_task import clearly_worse
from meshtune.engine.rates import FACTOR, FIRST, HIGHEST, LOWEST, MOST, best_rate, rate_of, trying
from meshtune.engine.run import run
from meshtune.engine.store import RunStore
from meshtune.errors import UserError
from meshtune.learning.config import TrainConfig
from whole_runs import Watch, assert_same_state, header


@given(centre=st.floats(-4.0, -0.5), depth=st.floats(0.1, 10), width=st.floats(0.3, 3))
def test_the_minimum_of_a_parabola_over_the_logarithm_is_found(centre: float, depth: float, width: float) -> None:
    def loss(rate: float) -> float:
        return 5 + depth * ((math.log10(rate) - centre) / width) ** 2

    rate, tried = best_rate(loss)
    assert math.log10(rate) == pytest.approx(centre, abs=1e-6)
    assert len({rate for rate, _ in tried}) == len(tried) <= 3 + abs(centre - math.log10(FIRST)) / 0.5


@given(edge=st.floats(-4.1, -1.0), bad=st.sampled_from([math.nan, math.inf, 50.0]))
def test_a_rate_that_diverges_is_never_taken(edge: float, bad: float) -> None:
    """Downhill all the way to a cliff."""

    def loss(rate: float) -> float:
        return 4 - rate / 10**edge if rate < 10**edge else bad

    rate, tried = best_rate(loss)
    assert rate < 10**edge
    assert min(value for _, value in tried) < 4
    assert all(not math.isnan(value) for _, value in tried)


def test_at_the_ends_the_search_stops() -> None:
    assert best_rate(lambda rate: 4 + rate)[0] == pytest.approx(LOWEST)
    assert best_rate(lambda rate: math.nan)[0] == pytest.approx(LOWEST)
    assert best_rate(lambda rate: 4 - rate)[0] == pytest.approx(HIGHEST)
    assert pytest.approx(10) == FACTOR**2


def test_longer_runs_have_lower_rates() -> None:
    for kind in ("sparse", "lora"):
        rates = [rate_of(kind, 0.03, TrainConfig(rounds=1, steps=steps)) for steps in (4, 16, 64, 256)]
        assert rates == sorted(rates, reverse=True)
        assert rate_of(kind, 0.06, TrainConfig()) == pytest.approx(2 * rate_of(kind, 0.03, TrainConfig()), rel=0.06)
    once, often = TrainConfig(rounds=2, steps=30), TrainConfig(rounds=6, steps=10)
    assert rate_of("sparse", 1.0, once) == rate_of("sparse", 1.0, often)


def test_every_group_has_its_turn_and_looking_stays_cheap() -> None:
    config = validate({"tasks": ["boolq", "piqa"], "train": {"rounds": 1, "steps": 16}}, "test")
    assert trying(config, ["boolq", "piqa"]) == [0]
    config = validate({"tasks": ["boolq", "piqa"], "train": {"rounds": 4, "steps": 20}}, "test")
    assert trying(config, ["boolq", "boolq", "piqa", "piqa"]) == [0, 2]
    config = validate({"tasks": ["boolq", "piqa"], "train": {"rounds": 40, "steps": 20}}, "test")
    assert trying(config, ["boolq", "boolq", "piqa", "piqa"]) == [0, 1, 2, 3]
    assert len(trying(config, ["boolq"] * 50)) == MOST


def auto(settings: dict[str, Any], **train: Any) -> RunConfig:
    settings = {**settings, "methods": ["proposed", "lora"]}
    return validate({**settings, "train": {**settings["train"], "lr": "auto", "lora_lr": "auto", **train}}, "test")


def test_a_found_rate_is_kept_told_and_used(tmp_path: Path, settings: dict[str, Any]) -> None:
    watch = Watch()
    folder = run(auto(settings), tmp_path / "found", watch)
    [event] = [event for event in RunStore.open(folder).events() if event["event"] == "rates"]
    found = header(folder)
    for kind, key, method in (("sparse", "lr", "proposed"), ("lora", "lora_lr", "lora")):
        used = {"key": f"train.{key}", "value": event[kind]["rate"], "found": True}
        assert found["methods"][method]["lr"] == used
        assert found["rates"][kind] == event[kind]
        assert found["config"]["train"][key] == event[kind]["rate"] > 0
        assert any(f"train.{key}={event[kind]['rate']:g}" in text for text in watch.texts)
        assert len(event[kind]["tried"]) >= 2
    assert RunStore.open(folder).config()["train"]["lr"] == "auto"

    fixed = {key: found["config"]["train"][key] for key in ("lr", "lora_lr")}
    given_ = run(auto(settings, **fixed), tmp_path / "given", Watch())
    assert_same_state(folder, given_, 2)
    assert not [event for event in RunStore.open(given_).events() if event["event"] == "rates"]


def test_a_stopped_run_goes_on_with_its_rate(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = run(auto(settings), tmp_path / "whole", Watch())
    with pytest.raises(KeyboardInterrupt):
        run(auto(settings), tmp_path / "cut", Watch(stop=1))
    run(auto(settings), tmp_path / "cut", Watch())
    assert_same_state(whole, tmp_path / "cut", 2)
    assert header(whole)["methods"]["proposed"]["lr"] == header(tmp_path / "cut")["methods"]["proposed"]["lr"]
    assert sum(event["event"] == "rates" for event in RunStore.open(tmp_path / "cut").events()) == 1


def test_only_what_is_left_open_is_looked_for(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = auto(settings, lora_lr=1e-3, rates={"proposed": 2e-3})
    folder = run(config, tmp_path / "given", Watch())
    assert not [event for event in RunStore.open(folder).events() if event["event"] == "rates"]
    config = auto(settings, lora_lr=1e-3, lr=1e-3, rates={"lora": "auto"})
    folder = run(config, tmp_path / "one", Watch())
    [event] = [event for event in RunStore.open(folder).events() if event["event"] == "rates"]
    assert set(event) == {"event", "lora"}
    used = {"key": "train.rates.lora", "value": event["lora"]["rate"], "found": True}
    assert header(folder)["methods"]["lora"]["lr"] == used
    assert header(folder)["methods"]["proposed"]["lr"] == {"key": "train.lr", "value": 1e-3, "found": False}


def test_methods_without_a_calibrated_mask_have_a_rate_too(tmp_path: Path, settings: dict[str, Any]) -> None:
    for methods in (["ffa"], ["lori"]):
        config = auto(settings).model_copy(update={"methods": tuple(methods)})
        folder = run(config, tmp_path / methods[0], Watch())
        assert header(folder)["methods"][methods[0]]["lr"]["value"] > 0


def test_rates_are_found_for_adam_only(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"train\.lr=auto finds a rate for Adam, and train\.optimizer is sgd: give a"):
        run(auto(settings, optimizer="sgd"), tmp_path / "sgd", Watch())
    run(auto(settings, optimizer="sgd", lr=0.1, lora_lr=0.1), tmp_path / "sgd", Watch())


def test_worse_is_said_only_where_it_is_clear() -> None:
    frozen = [4.0, 3.0, 5.0, 4.5]
    assert clearly_worse([loss + 0.5 for loss in frozen], frozen)
    assert clearly_worse([4.0, 3.0, math.nan, 4.5], frozen)
    assert not clearly_worse(frozen, frozen)
    assert not clearly_worse([loss - 0.1 for loss in frozen], frozen)
    assert not clearly_worse([5.0, 2.4, 5.6, 4.2], frozen)  # +0.175 on average, 0.36 its standard error
