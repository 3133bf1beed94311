"""Runs whose numbers overflow: one sentence that names method, device and a remedy, and the remedy works."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from meshtune.cli.flags import in_flags
from meshtune.cli.main import app
from meshtune.config.config_file import validate
from meshtune.config.learning_config import TrainConfig
from meshtune.errors import PayloadError, UserError
from meshtune.methods.registry import get_method
from meshtune.runs.store import RunStore
from meshtune.simulator import rounds
from meshtune.training.divergence import handshake_errors, remedy
from meshtune.training.trainer import Job

FORMS = ["float32", "bfloat16", "int8", "int4"]
USUAL = [("float32", "3e20"), ("int4", "1e39")]


@pytest.fixture
def call(settings: dict[str, Any], tmp_path: Path) -> Callable[..., Any]:
    """Run a small configuration, with more settings, in a folder."""
    file = tmp_path / "small.yaml"
    settings["eval"] = {"questions": 2}
    settings["train"] = {**settings["train"], "rounds": 3, "steps": 2}
    file.write_text(json.dumps(settings))

    def run(folder: str, *changes: str) -> Any:
        sets = [part for change in changes for part in ("--set", change)]
        return CliRunner().invoke(app, ["run", str(file), "--out", str(tmp_path / folder), *sets])

    return run


@contextmanager
def rate_of(rate: float) -> Iterator[None]:
    """Let every method train at ``rate``, which no configuration may name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainConfig, "peak", lambda self, kind, method="": rate)
        yield


def sentence(result: Any) -> str:
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in result.output
    return str(line)


def advised(line: str) -> list[str]:
    """What the sentence says to set."""
    found = re.findall(r"--set (\S+=\S+)", line)
    assert found
    return found


def poisoned(monkeypatch: pytest.MonkeyPatch, round_: int, device: int, value: float) -> None:
    """Let ``value`` stand in a device's values after it has been trained in ``round_``."""
    plain = rounds.train
    seen = [0]

    def trained(base: Any, jobs: Sequence[Job], *rest: Any) -> None:
        plain(base, jobs, *rest)
        if seen[0] == round_ - 1:
            with torch.no_grad():
                jobs[device].expert.values[0] = value
        seen[0] += 1

    monkeypatch.setattr(rounds, "train", trained)


OVERFLOWS = [
    pytest.param(form, rate, id=f"{form}-{rate}", marks=[] if (form, rate) in USUAL else [pytest.mark.slow])
    for form in FORMS
    for rate in ("1e39", "1e38", "3e20")
]


@pytest.mark.parametrize(("form", "rate"), OVERFLOWS)
def test_sgd_that_overflows_ends_in_a_sentence_whose_remedy_works(
    call: Callable[..., Any], tmp_path: Path, form: str, rate: str
) -> None:
    """A rate of 1e39 is more than a float32 holds, which torch says in a traceback; lower ones make NaN or infinity."""
    changes = ["methods=[bank]", "train.optimizer=sgd", "train.warmup=0", f"exchange.values={form}"]
    with rate_of(float(rate)):
        line = sentence(call("first", *changes, "train.lr=1"))
    assert re.match(r"error: bank diverged on device \d+ in round \d+, its ", line)
    assert "run the same configuration in another folder (--out) with --set train.lr=" in line
    if (form, rate) == USUAL[0]:
        assert "diverged" not in sentence(call("first", *changes, *advised(line)))  # the same folder is refused
    fixed = call("second", *changes, *advised(line))
    assert fixed.exit_code == 0, fixed.output
    assert (tmp_path / "second" / "results.json").is_file()


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[] if form == "int4" else [pytest.mark.slow]) for form in FORMS]
)
def test_the_last_good_checkpoint_stays(
    call: Callable[..., Any], tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3.39e38 is more than bfloat16 holds, and less than float32; infinity is too much for all."""
    changes = ["methods=[bank]", f"exchange.values={form}"]
    value = 3.4e38 if form == "bfloat16" else float("inf")
    with monkeypatch.context() as patch:
        poisoned(patch, 2, 1, value)
        line = sentence(call("first", *changes))
    assert "bank diverged on device 1 in round 2, its values are " in line
    assert RunStore.open(tmp_path / "first").latest_round() == 1
    whole = call("first", *changes)  # goes on after round 1: nothing of the round that was lost is in it
    assert whole.exit_code == 0, whole.output
    assert RunStore.open(tmp_path / "first").latest_round() == 3


def test_a_method_that_sends_nothing_diverges_in_the_same_words(call: Callable[..., Any]) -> None:
    with rate_of(1e38):
        line = sentence(call("first", "methods=[local]", "train.optimizer=sgd"))
    assert re.match(r"error: local diverged on device \d+ in round \d+, its ", line)


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("lora", "train.lora_lr"),
        pytest.param("fpft", "train.full_lr", marks=pytest.mark.slow),
        pytest.param("lori", "train.lr", marks=pytest.mark.slow),
    ],
)
def test_the_rate_that_is_lowered_is_the_methods_own(call: Callable[..., Any], method: str, key: str) -> None:
    changes = [f"methods=[{method}]", "train.warmup=0"]
    with rate_of(1e37):
        line = sentence(call("first", *changes))
    assert f"error: {method} diverged on device " in line
    assert [setting.partition("=")[0] for setting in advised(line)] == [key]
    fixed = call("second", *changes, *advised(line))
    assert fixed.exit_code == 0, fixed.output


def test_a_rate_of_a_methods_own_and_a_narrow_base_are_named(settings: dict[str, Any]) -> None:
    settings["train"]["rates"] = {"lora": 0.02}
    settings["model"] = {"name": "tiny-random", "dtype": "float16"}
    config = validate(settings, "test")
    told = in_flags(remedy(config, get_method("lora")))
    assert told.endswith("--set train.rates.lora=1e-03 --set model.dtype=float32")
    assert in_flags(remedy(config, None)).endswith("with --set model.dtype=float32")
    lower = validate({**settings, "train": {"lr": 2e-4}}, "test")
    assert "train.lr=2e-05" in remedy(lower, get_method("bank"))


def test_both_rates_of_an_expert_of_two_parts_are_lowered(settings: dict[str, Any]) -> None:
    """Either may have been too high; one of the method's own is for both, so it is the lower of what is safe."""
    for train, told in (
        ({"lr": 0.01, "lora_lr": 0.02}, "with --set train.lr=1e-03 --set train.lora_lr=1e-03"),
        ({"lr": 1.0, "lora_lr": 2e-4}, "with --set train.lr=3e-03 --set train.lora_lr=2e-05"),
        ({"lr": 1.0, "rates": {"proposed": 0.5}}, "with --set train.rates.proposed=1e-03"),
    ):
        config = validate({**settings, "train": train}, "test")
        assert in_flags(remedy(config, get_method("proposed"))).endswith(told)


def test_an_announcement_that_is_refused_ends_a_run_in_a_sentence() -> None:
    """Without it devices cannot begin; an update that is refused is counted, and the run goes on."""
    with (
        pytest.raises(UserError, match="the handshake between devices failed, a device refused"),
        handshake_errors(),
    ):
        raise PayloadError("a message is damaged")
