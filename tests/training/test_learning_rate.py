"""A learning rate that is looked for: the search by itself, then in whole runs on the tiny and the embedded base."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.config.config_file import validate
from meshtune.config.demo_config import demo_config
from meshtune.config.learning_config import TrainConfig
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.methods.registry import get_method
from meshtune.report.results_file import load_results
from meshtune.report.scores import of_exam, read_scores
from meshtune.report.story import story
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run
from meshtune.training.learning_rate import (
    FACTOR,
    FIRST,
    HIGHEST,
    LOWEST,
    MOST,
    best_rate,
    check_rates,
    rate_of,
    trying,
)
from whole_runs import Watch, assert_same_state, header, own_nll


@given(centre=st.floats(-3.7, -0.8), depth=st.floats(1e-3, 0.04), width=st.floats(0.3, 3))
def test_the_minimum_of_a_parabola_over_the_logarithm_is_found(centre: float, depth: float, width: float) -> None:
    """At most 0.04 (0.75 / 0.3)^2 = 0.25 above the best where it is tried, 5% of 5."""

    def loss(rate: float) -> float:
        return 5 + depth * ((math.log10(rate) - centre) / width) ** 2

    rate, tried = best_rate(loss)
    assert math.log10(rate) == pytest.approx(centre, abs=1e-6)
    assert len({rate for rate, _ in tried}) == len(tried) <= 5 + abs(centre - math.log10(FIRST)) / 0.5


def test_a_wall_says_nothing_of_the_minimum() -> None:
    """Losses of a real search, 10 at 0.01 being as far as it goes: 5% of 4 is 0.2 on its side, 0.1 on the other."""
    losses = {-3.0: 4.1, -2.5: 4.0, -2.0: 10.0}
    rate, _ = best_rate(lambda rate: losses[round(math.log10(rate), 6)])
    assert math.log10(rate) == pytest.approx(-2.5 + 0.5 * 0.5 * (0.1 - 0.2) / (0.1 + 0.2))


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
    rates = [rate_of(0.03, TrainConfig(rounds=1, steps=steps)) for steps in (4, 16, 64, 256)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.03
    assert rate_of(0.06, TrainConfig()) == pytest.approx(2 * rate_of(0.03, TrainConfig()), rel=0.06)
    assert rate_of(1.0, TrainConfig(rounds=2, steps=30)) == rate_of(1.0, TrainConfig(rounds=6, steps=10))
    flat = TrainConfig(rounds=1, steps=1000, warmup=0, final_lr=1.0)
    assert rate_of(1.0, flat) == pytest.approx((9 / 1000) ** 0.5, rel=0.03)  # 0.095, to two digits


def test_every_group_has_its_turn_the_shortest_rows_first() -> None:
    def run_of(rounds: int, steps: int) -> RunConfig:
        return validate({"tasks": ["boolq", "piqa"], "train": {"rounds": rounds, "steps": steps}}, "test")

    assert trying(run_of(1, 16), ["boolq", "piqa"], [9, 9]) == [0, 1]
    assert trying(run_of(1, 16), ["boolq"] * 3 + ["piqa"] * 2, [9, 5, 4, 9, 8]) == [0, 3]
    assert trying(run_of(4, 20), ["boolq", "boolq", "piqa", "piqa"], [9, 1, 5, 5]) == [0, 2]
    assert trying(run_of(40, 20), ["boolq", "boolq", "piqa", "piqa"], [9, 1, 5, 5]) == [0, 1, 2, 3]
    assert len(trying(run_of(40, 20), ["boolq"] * 50, [1] * 50)) == MOST


def auto(settings: dict[str, Any], **train: Any) -> RunConfig:
    settings = {**settings, "methods": ["bank", "lora"]}
    return validate({**settings, "train": {**settings["train"], "lr": "auto", "lora_lr": "auto", **train}}, "test")


def test_a_found_rate_is_kept_told_and_used(tmp_path: Path, settings: dict[str, Any]) -> None:
    watch = Watch()
    folder = run(auto(settings), tmp_path / "found", watch)
    [event] = [event for event in RunStore.open(folder).events() if event["event"] == "rates"]
    found = header(folder)
    for kind, key, method in (("sparse", "lr", "bank"), ("lora", "lora_lr", "lora")):
        used = {"key": f"train.{key}", "value": event[kind]["rate"], "found": True}
        assert found["methods"][method]["lr"] == used
        assert found["rates"][kind] == event[kind]
        assert found["config"]["train"][key] == event[kind]["rate"] > 0
        assert any(f"train.{key}={event[kind]['rate']:g}" in text for text in watch.texts)
        assert len(event[kind]["tried"]) >= 2
    assert RunStore.open(folder).config()["train"]["lr"] == "auto"

    fixed = {key: found["config"]["train"][key] for key in ("lr", "lora_lr")}
    given_ = run(auto(settings, **fixed), tmp_path / "given", Watch())
    assert_same_state(folder, given_, 2, but=("made",))  # with other settings
    assert not [event for event in RunStore.open(given_).events() if event["event"] == "rates"]


def test_an_expert_of_two_parts_has_a_rate_for_each(tmp_path: Path, settings: dict[str, Any]) -> None:
    """The own part's is that of sparse experts, the common part's that of LoRA; one of the method's own is for both."""
    config = auto(settings).model_copy(update={"methods": ("proposed",)})
    assert check_rates(config, [get_method("proposed")]) == ["sparse", "lora"]
    folder = run(config, tmp_path / "found", Watch())
    [event] = [event for event in RunStore.open(folder).events() if event["event"] == "rates"]
    found = header(folder)
    assert set(event) == {"event", "sparse", "lora"}
    used = found["methods"]["proposed"]
    assert used["lr"] == {"key": "train.lr", "value": event["sparse"]["rate"], "found": True}
    assert used["common_lr"] == {"key": "train.lora_lr", "value": event["lora"]["rate"], "found": True}
    for kind in ("sparse", "lora"):
        assert all(loss is None or loss > 0 for _, loss in event[kind]["tried"])
        assert len(event[kind]["tried"]) >= 2
    assert event["sparse"]["tried"] != event["lora"]["tried"]

    own = auto(settings, lr=1e-3, lora_lr=1e-3, rates={"proposed": "auto"}).model_copy(
        update={"methods": ("proposed",)}
    )
    folder = run(own, tmp_path / "own", Watch())
    [event] = [event for event in RunStore.open(folder).events() if event["event"] == "rates"]
    lowest = min(event[kind]["rate"] for kind in ("sparse", "lora"))
    used = header(folder)["methods"]["proposed"]
    assert used["lr"] == used["common_lr"] == {"key": "train.rates.proposed", "value": lowest, "found": True}


def test_only_the_kind_that_is_left_open_is_looked_for() -> None:
    def asked(*names: str, **train: Any) -> list[str]:
        config = validate({"tasks": ["boolq"], "methods": list(names), "train": train}, "test")
        return check_rates(config, [get_method(name) for name in names])

    assert asked("proposed", lr=1e-3) == ["lora"]
    assert asked("proposed", lora_lr=1e-3) == ["sparse"]
    assert asked("proposed", lr=1e-3, lora_lr=1e-3) == []
    assert asked("proposed", rates={"proposed": 1e-3}) == []
    assert asked("proposed", "bank", rates={"proposed": 1e-3}) == ["sparse"]
    assert asked("lora", "proposed", lr=1e-3, lora_lr=1e-3, rates={"proposed": "auto"}) == ["sparse", "lora"]
    with pytest.raises(UserError, match=r"^train\.lora_lr=auto searches a rate for Adam"):
        asked("proposed", lr=1e-3, optimizer="sgd")


def test_a_stopped_run_goes_on_with_its_rate(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = run(auto(settings), tmp_path / "whole", Watch())
    with pytest.raises(KeyboardInterrupt):
        run(auto(settings), tmp_path / "cut", Watch(stop=1))
    run(auto(settings), tmp_path / "cut", Watch())
    assert_same_state(whole, tmp_path / "cut", 2)
    assert header(whole)["methods"]["bank"]["lr"] == header(tmp_path / "cut")["methods"]["bank"]["lr"]
    assert sum(event["event"] == "rates" for event in RunStore.open(tmp_path / "cut").events()) == 1


def test_only_what_is_left_open_is_looked_for(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = auto(settings, lora_lr=1e-3, rates={"bank": 2e-3})
    folder = run(config, tmp_path / "given", Watch())
    assert not [event for event in RunStore.open(folder).events() if event["event"] == "rates"]
    config = auto(settings, lora_lr=1e-3, lr=1e-3, rates={"lora": "auto"})
    folder = run(config, tmp_path / "one", Watch())
    [event] = [event for event in RunStore.open(folder).events() if event["event"] == "rates"]
    assert set(event) == {"event", "lora"}
    used = {"key": "train.rates.lora", "value": event["lora"]["rate"], "found": True}
    assert header(folder)["methods"]["lora"]["lr"] == used
    assert header(folder)["methods"]["bank"]["lr"] == {"key": "train.lr", "value": 1e-3, "found": False}


def test_methods_without_a_calibrated_mask_have_a_rate_too(tmp_path: Path, settings: dict[str, Any]) -> None:
    for methods in (["ffa"], ["lori"]):
        config = auto(settings).model_copy(update={"methods": tuple(methods)})
        folder = run(config, tmp_path / methods[0], Watch())
        assert header(folder)["methods"][methods[0]]["lr"]["value"] > 0


def test_rates_are_found_for_adam_only(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(
        UserError, match=r"train\.lr=auto searches a rate for Adam, and train\.optimizer is sgd: give a"
    ):
        run(auto(settings, optimizer="sgd"), tmp_path / "sgd", Watch())
    run(auto(settings, optimizer="sgd", lr=0.1, lora_lr=0.1), tmp_path / "sgd", Watch())
    whole = auto(settings, rates={"fpft": "auto"}).model_copy(update={"methods": ("fpft",)})
    with pytest.raises(
        UserError,
        match=r"train\.rates\.fpft=auto: the learning-rate search does not cover full fine-tuning: give a number",
    ):
        run(whole, tmp_path / "whole", Watch())


WORLD = [
    "tasks=[animals, machines]", "devices.count=2", "methods=[bank]", "train.rounds=1", "train.steps=8",
    "radio=null", "eval.questions=20", "eval.write=false", "eval.every=null", "router.prompts=8", "router.also=[]",
    "adapter.budget=uniform",
]  # fmt: skip
"""Two tasks of the embedded base's world."""


def worse(watch: Watch) -> list[str]:
    return [text for text in watch.texts if "worse than the frozen model" in text]


def told_of(folder: Path) -> str:
    """What happened, in words."""
    results = load_results(folder)
    return story(results, of_exam(read_scores(folder), results.header.exam))


def test_an_absurd_rate_is_told_and_what_is_told_mends_it(tmp_path: Path) -> None:
    watch = Watch()
    high = run(demo_config([*WORLD, "train.lr=3"]), tmp_path / "high", watch)
    [told] = worse(watch)
    assert "of device 1 (machines): NLL " in told  # the other one is bad enough already
    assert told.endswith("in another folder with the setting `train.lr=auto`")
    [event] = [event for event in RunStore.open(high).events() if event["event"] == "round"]
    assert event["own_tasks"]["bank/1"]["nll"] > event["own_tasks"]["bank/1"]["frozen"]
    page = told_of(high)
    assert "clearly worse than the frozen model" in page
    assert "the setting `train.lr=auto`" in page

    watch = Watch()
    mended = run(demo_config([*WORLD, "train.lr=auto"]), tmp_path / "mended", watch)
    assert not worse(watch)
    before, after = own_nll(mended, "frozen"), own_nll(mended, "bank")
    assert after[0] < before[0]
    assert after[1] < before[1] < own_nll(high, "bank")[1]
    assert "the setting" not in told_of(mended)
