"""Asking a device of a run: as its exam answered, without the data, and with clear refusals."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import exam_questions
from meshtune.errors import UserError
from meshtune.inference.device import Device
from meshtune.inference.opening import DeviceLoader, method_of
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> Path:
    """Six devices on a ring, so that some hold experts that others do not."""
    settings = {
        **whole_settings,
        "devices": {"per_task": 2},
        "graph": {"kind": "ring", "relay": False},
        "methods": ["proposed", "lora", "hard_moe", "local"],
        "eval": {"questions": 2},
    }
    return run(validate(settings, "test"), tmp_path_factory.mktemp("runs") / "ring", Silent())


@pytest.fixture
def speaker(finished: Path) -> Device:
    return DeviceLoader(finished, Silent()).load()


WHO = {"proposed": 0, "proposed:top1": 2, "proposed:cosine": 5, "lora": 3, "local": 1, "frozen": 0}


@pytest.mark.parametrize(("label", "device"), WHO.items())
def test_options_are_as_probable_as_in_the_exam(finished: Path, label: str, device: int) -> None:
    """exp(-option NLL) of the exam is the probability of the right option."""
    method, _, router = label.partition(":")
    speaker = DeviceLoader(finished, Silent()).load(device, method, router or None)
    config = validate(RunStore.open(finished).config(), "here")
    checked = 0
    for record in RunStore.open(finished).read_scores():
        if record["method"] == label and device in record["devices"]:
            asked = {question.id: question for question in exam_questions(config)[record["task"]]}
            for number, loss in zip(record["questions"], record["option_nll"], strict=True):
                question = asked[number]
                reply = speaker.choose(question.prompt, question.options)
                assert dict(reply.options)[question.options[question.answer]] == pytest.approx(
                    math.exp(-loss), rel=1e-3
                )
                assert sum(odds for _, odds in reply.options) == pytest.approx(1)
                assert [odds for _, odds in reply.options] == sorted((odds for _, odds in reply.options), reverse=True)
                assert reply.answer == reply.options[0][0]
                checked += 1
    assert checked == 3 * 2


def test_the_experts_a_device_holds_are_named_and_weighed(finished: Path, speaker: Device) -> None:
    """Tasks by device: boolq, arc_easy, piqa, boolq, arc_easy, piqa; on the ring device 0 hears 1 and 5 only."""
    reply = speaker.ask("Cut board 3", 3)
    assert {(w.task, w.devices) for w in reply.weights} == {("boolq", (0,)), ("arc_easy", (1,)), ("piqa", (5,))}
    gates = [w.gate for w in reply.weights]
    assert gates == sorted(gates, reverse=True)
    assert sum(gates) == pytest.approx(1)
    assert (speaker.method, speaker.id, speaker.router, speaker.round) == ("proposed", 0, "whitened", 2)
    top = DeviceLoader(finished, Silent()).load(0, router="top1").ask("Cut board 3", 3)
    assert [w.gate for w in top.weights] == [1, 0, 0]
    assert top.weights[0].task == reply.weights[0].task
    lora = DeviceLoader(finished, Silent()).load(0, "lora").ask("Cut board 3", 3)
    assert [(w.task, w.devices, w.gate) for w in lora.weights] == [("every task", (0, 1, 5), 1.0)]
    alone = DeviceLoader(finished, Silent()).load(4, "local")
    assert [(w.task, w.devices) for w in alone.ask("Cut board 3", 3).weights] == [("arc_easy", (4,))]
    assert alone.router is None
    assert DeviceLoader(finished, Silent()).load(0, "frozen").ask("Cut board 3", 3).weights == ()


def test_prompts_get_the_runs_template_once(speaker: Device) -> None:
    whole = "Question: Is 4 even?\nAnswer:"
    for given in ("Is 4 even?", " Is 4 even?\n", "Question: Is 4 even?", "Is 4 even?\nAnswer:", whole):
        assert speaker.prompt(given) == whole
    assert speaker.prompt(" Is 4 even? ", raw=True) == " Is 4 even? "
    assert speaker.ask("Is 4 even?", 2).prompt == whole


def test_the_data_need_not_be_there(finished: Path, speaker: Device, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps({**config, "data": "gone"}))
    found = DeviceLoader(tmp_path / "run", Silent()).load().ask("Is 4 even?", 4)
    assert found == speaker.ask("Is 4 even?", 4)


def test_what_cannot_be_asked_is_said_in_a_sentence(finished: Path, speaker: Device, tmp_path: Path) -> None:
    def refused(match: str, **more: Any) -> None:
        with pytest.raises(UserError, match=match):
            DeviceLoader(more.pop("path", finished), Silent()).load(**more)

    refused("holds no run", path=tmp_path)
    RunStore.create(tmp_path / "new", RunStore.open(finished).config())
    refused(f"no finished round to ask: resume with meshtune run --out {tmp_path / 'new'}", path=tmp_path / "new")
    refused("there is no device 6: the run .* has devices 0 to 5", device=6)
    refused("there is no device -1", device=-1)
    refused("did you mean proposed", method="propsed")
    refused("`method` hard_moe_lora: the run has proposed, lora, hard_moe, local, frozen", method="hard_moe_lora")
    refused("`method` hard_moe must be told the task of a prompt", method="hard_moe")
    refused("`router` top1: local has no router", method="local", router="top1")
    refused("`router` top1: frozen has no router", method="frozen", router="top1")
    refused(r"router\.kind=best: there is no router called best", router="best")
    for text in ("", " \n", "Question:\nAnswer:"):
        with pytest.raises(UserError, match="the prompt is empty"):
            speaker.ask(text)
    with pytest.raises(UserError, match="`tokens` 256 leaves no room for the prompt: the model has 256 positions"):
        speaker.ask("Is 4 even?", 256)
    for options in (["yes"], ["yes", "yes "], ["yes", "no", ""]):
        with pytest.raises(UserError, match="`options` needs two or more different answers"):
            speaker.choose("Is 4 even?", options)


def test_without_proposed_the_first_that_can_be_asked_answers(settings: dict[str, Any]) -> None:
    def with_methods(*methods: str) -> RunConfig:
        return validate({**settings, "methods": list(methods)}, "here")

    assert method_of(with_methods("hard_moe", "local"), None).name == "local"
    with pytest.raises(UserError, match="hard_moe must be told the task of a prompt: ask `method` frozen, or a run"):
        method_of(with_methods("hard_moe"), None)
