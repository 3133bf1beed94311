"""What is foretold of a run's time: token counts by hand, corrections, and that long exams are announced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.config.learning_config import TINY, ModelConfig
from meshtune.data.partition import deal, exams
from meshtune.decoding.sampling import Writing
from meshtune.evaluation import time_forecast as duration
from meshtune.evaluation.time_forecast import Duration, Forecast, Speed, clock_text, forecast_time, writing_seconds
from meshtune.methods.registry import get_method
from meshtune.model.base import Base
from meshtune.model.loading import byte_tokenizer, load
from meshtune.network.federation_state import FederationState
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run
from meshtune.wire.ledger import Ledger
from whole_runs import Watch


class Held:
    """As much of a node as the sharing of training looks at."""

    def __init__(self, device: int, digest: str = "start") -> None:
        self.device, self.history, self.member = device, (), self
        self.expert = type("Expert", (), {"digest": digest})()


def test_tokens_are_counted_as_they_are_trained_and_scored(world: Path, whole_settings: dict[str, Any]) -> None:
    tree = {**whole_settings, "data": str(world), "model": {"name": TINY}, "methods": ["bank", "local", "lora"]}
    config = validate(tree, "test")
    devices = deal(config, byte_tokenizer())
    methods = [get_method(name) for name in config.methods]
    state = FederationState({m.name: [Held(d.device) for d in devices] for m in methods}, Ledger())  # type: ignore[misc]
    papers = exams(config, byte_tokenizer())
    labels = {"frozen": None, **{m.name: m for m in methods}}
    found = forecast_time(Speed(2.0, 3.0), config, methods, devices, state, papers, labels)
    each = [len(row.tokens) for d in devices for n in range(4) for row in d.batch(n, 2)]
    assert found.training == 2.0 * 2 * sum(each)  # 2 rounds of 2 steps; bank and local share, lora trains its own
    asked = sum(rows[0].prompt + sum(r.answer for r in rows) for paper in papers for rows in paper.rows)
    assert found.scoring == 3.0 * asked * (1 + 1 + len(devices) + 1)  # all hold one bank; each is local for itself
    assert not found.writes


@pytest.mark.parametrize(
    "seconds, said",
    [(10.0, None), (14.9, None), (6.7, None), (15.1, "15 s instead of 10 s"), (6.0, "6 s instead of 10 s")],
)
def test_a_round_that_was_foretold_wrong_by_half_is_said(seconds: float, said: str | None) -> None:
    found = Forecast(Duration(40.0, 5.0, False), 4).correct(seconds)
    assert (found is None) if said is None else (found is not None and said in found)


def test_a_correction_is_the_new_forecast_and_the_last_round_needs_none() -> None:
    forecast = Forecast(Duration(30.0, 5.0, False), 3)
    said = forecast.correct(20.0)
    assert said is not None
    assert "about 40 s more" in said
    assert forecast.correct(21.0) is None
    assert forecast.correct(300.0) is None  # nothing is left to forecast_time


@pytest.mark.parametrize(
    "seconds, text", [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (5400, "90 min"), (7260, "2 h 01 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_a_run_tells_its_time_and_keeps_what_it_told(
    tmp_path: Path, world: Path, whole_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duration, "measure_speed", lambda *_: Speed(1.0, 0.0))
    monkeypatch.setattr("meshtune.simulator.simulation.measure_speed", lambda *_: Speed(1.0, 0.0))
    watch = Watch()
    tree = {**whole_settings, "data": str(world), "model": {"name": TINY}, "methods": ["bank"]}
    folder = run(validate(tree, "test"), tmp_path / "run", watch)
    (told,) = (event for event in RunStore.open(folder).events() if event["event"] == "forecast")
    assert told["training"] > 300
    assert any(text.startswith("time: about ") for text in watch.texts)
    assert any("instead of" in text for text in watch.texts)  # a second a token is far too much


def test_speed_is_measured_on_rows_of_the_run(world: Path, whole_settings: dict[str, Any]) -> None:
    from meshtune.methods.experts import ExpertFactory

    config = validate({**whole_settings, "data": str(world), "model": {"name": TINY}}, "test")
    base = load(ModelConfig(name=TINY, device="cpu"))
    factory = ExpertFactory(base.adapters.layers, config.adapter, 0)
    found = duration.measure_speed(base, config, deal(config, base.tokenizer), factory)
    assert 0 < found.scoring < 1
    assert 0 < found.training < 1


def test_writing_is_timed_per_answer_and_token() -> None:
    base: Base = load(ModelConfig(name=TINY, device="cpu"))
    prompts = [tuple(range(1, 20))] * 4
    few = writing_seconds(base, prompts, Writing(4), 256)
    assert few > 0
    assert writing_seconds(base, prompts, Writing(4000), 256) > few
