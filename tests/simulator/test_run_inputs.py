"""What a run works with: loaded and told of, planned with, and wrong input told before anything is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.errors import UserError
from meshtune.runs.store import RunStore
from meshtune.simulator import run_inputs
from meshtune.simulator.resume import Loaded
from meshtune.simulator.run_inputs import RunInputs, load_inputs, planned, rated
from whole_runs import Watch


@pytest.fixture(scope="module")
def loaded(whole_settings: dict[str, Any]) -> tuple[RunInputs, list[str]]:
    tree = {**whole_settings, "model": {"name": "tiny-random"}, "devices": {"per_task": 2}}
    watch = Watch()
    return load_inputs(validate(tree, "the test"), watch), watch.texts


def test_everything_that_is_named_is_there(loaded: tuple[RunInputs, list[str]]) -> None:
    inputs, _ = loaded
    assert [method.name for method in inputs.methods] == list(inputs.config.methods)
    assert [device.device for device in inputs.devices] == list(range(6))
    assert [device.group for device in inputs.devices] == [task.key for task in inputs.config.device_tasks]
    assert all(device.tokenizer is inputs.base.tokenizer for device in inputs.devices)
    assert len(inputs.papers) == 3
    assert inputs.factory.layers == inputs.base.adapters.layers
    assert (inputs.site, inputs.pace, inputs.budgets) == (None, None, None)
    assert inputs.densities == (inputs.config.adapter.share,) * 6
    assert set(inputs.counts) >= {"boolq", "arc_easy", "piqa"}


def test_the_forecast_is_told_and_a_run_that_was_begun_keeps_its_micro_batches(
    loaded: tuple[RunInputs, list[str]], tmp_path: Path
) -> None:
    inputs, watch = loaded[0], Watch()
    store = RunStore.create(tmp_path / "run", {})
    made, plan = planned(inputs, store, None, watch)
    assert len(watch.texts) == 1
    assert plan["forecast_bytes"] > 0
    assert made.config.train.micro_tokens == plan["micro_tokens"]
    assert made.config.train.checkpoint == plan["checkpoint"]
    last = Loaded(1, {}, {"made": {"plan": {"micro_tokens": 77, "checkpoint": True}}})
    again, kept = planned(inputs, store, last, watch)
    assert (kept["micro_tokens"], kept["checkpoint"]) == (77, True)
    assert (again.config.train.micro_tokens, again.config.train.checkpoint) == (77, True)
    assert kept["forecast_bytes"] == pytest.approx(plan["forecast_bytes"], rel=0.01)  # of what the process has now


def test_rates_that_were_found_stand_in_for_auto_and_are_logged_once(
    loaded: tuple[RunInputs, list[str]], tmp_path: Path
) -> None:
    train = loaded[0].config.train.model_copy(update={"lora_lr": "auto"})
    inputs = replace(loaded[0], config=loaded[0].config.model_copy(update={"train": train}))
    store, watch = RunStore.create(tmp_path / "run", {}), Watch()
    found = {"lora": {"rate": 0.004, "tried": [1, 2, 3], "best": 0.01}}
    for _ in range(2):
        made = rated(inputs, found, store, watch)
        assert made.config.train.peak("lora", "lora") == 0.004
        assert made.config.train.peak("sparse", "bank") == inputs.config.train.peak("sparse", "bank")
    assert len([event for event in store.events() if event["event"] == "rates"]) == 1
    assert watch.texts[0].startswith("learning rates found: train.lora_lr=0.004 (3 rates tried, 0.01 the best over ")
    assert rated(inputs, {}, store, watch) is inputs
    assert len(watch.texts) == 2


def test_rows_beyond_what_the_base_reads_are_refused(whole_settings: dict[str, Any]) -> None:
    longest = 10**6
    train = {**whole_settings["train"], "max_tokens": longest}
    tree = {**whole_settings, "model": {"name": "tiny-random"}, "train": train}
    with pytest.raises(
        UserError, match=rf"^train\.max_tokens={longest} is beyond the \d+ positions that .* has: lower"
    ):
        load_inputs(validate(tree, "the test"), Watch())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"radio": {"channel": "trace", "trace": "nowhere.csv"}}, "there is no table nowhere.csv"),
        ({"graph": {"kind": "random", "neighbours": 9}}, "neighbours"),
        ({"data": "nowhere"}, "nowhere"),
    ],
)
def test_what_needs_no_model_is_told_before_it_is_loaded(
    whole_settings: dict[str, Any], changes: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*rest: Any) -> Any:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(run_inputs, "load", load)
    with pytest.raises(UserError, match=said):
        load_inputs(validate({**whole_settings, **changes}, "the test"), Watch())


def test_without_a_sandbox_an_exam_that_runs_code_is_not_begun(
    whole_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from meshtune.sandbox import execution

    def check() -> None:
        raise UserError("no sandbox here")

    monkeypatch.setattr(execution, "check_sandbox", check)

    class ReachedError(Exception):
        """Nothing is wrong so far."""

    def load(*rest: Any) -> Any:
        raise ReachedError

    monkeypatch.setattr(run_inputs, "load", load)
    config = validate(whole_settings, "the test")
    with pytest.raises(ReachedError):  # nothing of it is run
        load_inputs(config, Watch())
    monkeypatch.setattr(run_inputs, "get_task", lambda name: SimpleNamespace(executes=name == "piqa"))
    with pytest.raises(UserError, match="no sandbox here"):
        load_inputs(config, Watch())
    for change in ({"write": False}, {"unsafe_code": True}):
        with pytest.raises(ReachedError):
            load_inputs(config.model_copy(update={"eval": config.eval.model_copy(update=change)}), Watch())
