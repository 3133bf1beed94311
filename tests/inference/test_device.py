"""Streamed answers: the same as whole ones, told while they are written."""

from __future__ import annotations

from typing import Any

import pytest

import meshtune
from meshtune.config.config_file import validate
from meshtune.model.base import Base
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run

METHODS = ["bank", "lora", "local", "paper", "shared_b", "fpft"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> meshtune.Run:
    train = {"rounds": 1, "steps": 1, "batch": 1, "warmup": 0}
    settings = {**whole_settings, "methods": METHODS, "train": train, "eval": {"questions": 1}}
    return meshtune.open_run(run(validate(settings, "test"), tmp_path_factory.mktemp("runs") / "run", Silent()))


@pytest.mark.parametrize("method", [*METHODS, "frozen"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_pieces_joined_are_the_answer(finished: meshtune.Run, method: str, temperature: float) -> None:
    device = finished.device(1, method)
    for prompt in ("Cut board 3", "Is 4 even?"):
        for tokens in (1, 7, None):
            how: dict[str, Any] = {"tokens": tokens, "temperature": temperature, "seed": 3}
            pieces = list(device.stream(prompt, **how))
            assert "".join(pieces) == device.ask(prompt, **how).answer
            assert all(pieces)


def test_pieces_come_while_the_answer_is_written(finished: meshtune.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    device = finished.device(0)
    passes: list[int] = []
    real = Base.logits
    monkeypatch.setattr(Base, "logits", lambda self, states: passes.append(1) or real(self, states))
    how: dict[str, Any] = {"tokens": 20, "temperature": 2.0, "seed": 3}
    at = []
    for _ in device.stream("Cut board 3", **how):
        at.append(len(passes))
    assert len(at) > 5
    assert at == sorted(set(at)) or at[-1] == at[-2]  # the rest comes with the last token
    assert at[0] < len(passes) / 2


def test_a_mistake_is_told_before_the_first_piece(finished: meshtune.Run) -> None:
    with pytest.raises(meshtune.UserError, match="the prompt is empty"):
        finished.device().stream(" ")


def test_a_fully_trained_model_answers_with_its_own_weights_and_leaves_the_base_as_it_was(
    finished: meshtune.Run,
) -> None:
    frozen, full = finished.device(0, "frozen"), finished.device(0, "fpft")
    before = frozen.choose("Is 4 even?", ["yes", "no"])
    assert full.choose("Is 4 even?", ["yes", "no"]).options != before.options
    how: dict[str, Any] = {"tokens": 9, "temperature": 2.0, "seed": 3}
    stream = full.stream("Is 4 even?", **how)
    first = next(stream)
    assert frozen.choose("Is 4 even?", ["yes", "no"]) == before  # while the answer is being written
    assert first + "".join(stream) == full.ask("Is 4 even?", **how).answer
