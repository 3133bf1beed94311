"""Whole runs with every router on the embedded base: what is announced, scored, resumed, reported and asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from meshtune.config.config_file import validate
from meshtune.config.demo_config import demo_config
from meshtune.config.learning_config import ModelConfig
from meshtune.data.partition import deal, exam_questions
from meshtune.errors import UserError
from meshtune.inference.opening import DeviceLoader
from meshtune.model.base import Base
from meshtune.model.encoding import encode_prompt
from meshtune.model.loading import load
from meshtune.node.stored_announcements import load_announcements
from meshtune.report.comparison import write_report
from meshtune.routing.config import RouterConfig
from meshtune.runs.events import Event, RoundDone
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import evaluate, run
from meshtune.training.calibration import prompt_features

TASKS = ("claims", "animals", "crowds")
FURTHER = ("top1", "cosine", "arrow", "spectr", "lorauter", "retrieval")
QUESTIONS, SKETCH, PROMPTS = 8, 4, 16
CONFIG = demo_config(
    [
        f"tasks=[{', '.join(TASKS)}]", "devices.count=3", "methods=[bank, shared_b, hard_moe]", "train.rounds=2",
        "train.steps=6", f"eval.questions={QUESTIONS}", "eval.every=null",
        f"router.prompts={PROMPTS}", f"router.sketch={SKETCH}", f"router.also=[{', '.join(FURTHER)}]",
    ]
)  # fmt: skip


class Stop(Silent):
    """Presses Ctrl+C behind the first round."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, RoundDone):
            raise KeyboardInterrupt


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def base() -> Base:
    return load(ModelConfig(device="cpu"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(CONFIG, tmp_path_factory.mktemp("runs") / "routers", Silent())


def embedded(base: Base, prompts: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the mean row of the embedding matrix over each prompt's tokens."""
    table = base.model.get_input_embeddings().weight.detach().double()
    return np.stack([table[list(prompt)].mean(dim=0).numpy() for prompt in prompts])


def test_every_router_is_scored_and_only_those_that_choose_have_a_confusion(finished: Path) -> None:
    rows = results(finished)["rows"]
    labels = [f"{method}{further}" for method in ("bank", "shared_b") for further in ("", *(f":{r}" for r in FURTHER))]
    assert {row["method"] for row in rows} == {"frozen", "hard_moe", *labels}
    found = results(finished)["header"]["router"]
    assert list(found) == ["whitened", *FURTHER]
    for name, score in found.items():
        if name in ("arrow", "spectr"):
            assert {key for key, value in score.items() if value is None} == {
                "confusion", "accuracy", "accuracy_merged", "log_loss",
            }  # fmt: skip
            assert isinstance(score["regret"], float)
        else:
            assert [sum(counts) for counts in score["confusion"]] == [QUESTIONS] * len(TASKS)
    of = {(r["method"], r["task"]): r["value"] for r in rows if r["metric"] == "nll" and r["device"] == 0}
    gap = np.mean([of["bank:arrow", task] - of["hard_moe", task] for task in TASKS])
    assert found["arrow"]["regret"] == pytest.approx(gap)
    assert of["shared_b:spectr", "claims"] != of["shared_b:arrow", "claims"]
    assert len({round(of[f"bank{r}", "claims"], 9) for r in ("", ":arrow", ":spectr")}) == 3


def test_retrieval_goes_by_the_embedding_matrix(finished: Path, base: Base) -> None:
    """What is announced and what is chosen, from the rows of the matrix and scipy's cosine."""
    own, _ = load_announcements(RunStore.open(finished), CONFIG, base.adapters.layers)
    devices = deal(CONFIG)
    means = []
    for device, said in zip(devices, own, strict=True):
        device.tokenizer = base.tokenizer
        assert said.statistics is not None
        mean = embedded(base, device.prompts(max(PROMPTS, CONFIG.adapter.entropy_tokens // 4))[:PROMPTS]).mean(axis=0)
        np.testing.assert_allclose(said.statistics.embedding, mean, rtol=1e-4, atol=1e-6)
        means.append(torch.from_numpy(mean).bfloat16().double().numpy())  # as it arrives
    groups = [device.group for device in devices]
    centre = np.mean(means, axis=0)
    counts = {group: dict.fromkeys(groups, 0) for group in groups}
    for task, questions in exam_questions(CONFIG).items():
        tokens = [encode_prompt(base.tokenizer, q.prompt, CONFIG.train.max_tokens) for q in questions]
        nearest = cdist(embedded(base, tokens) - centre, means - centre, "cosine").argmin(axis=1)
        for place in nearest:
            counts[task][groups[place]] += 1
    score = results(finished)["header"]["router"]["retrieval"]
    assert score["confusion"] == [[counts[true][chosen] for chosen in score["groups"]] for true in score["groups"]]
    assert score["accuracy"] > 0.8


def test_the_mean_embedding_is_counted_on_the_air(finished: Path, base: Base) -> None:
    """Three devices send two others, in bf16: mean, diagonal, embedding, the sketch and its eigenvalues."""
    once = 2 * ((3 + SKETCH) * base.width + SKETCH)
    for method in ("bank", "shared_b"):
        assert results(finished)["header"]["methods"][method]["bytes"]["router"] == 3 * 2 * once


def test_a_stopped_run_goes_on_bit_for_bit(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, tmp_path / "cut", Stop())
    run(CONFIG, tmp_path / "cut", Silent())
    whole, cut = results(finished), results(tmp_path / "cut")
    assert whole["rows"] == cut["rows"]
    assert whole["header"]["router"] == cut["header"]["router"]


@pytest.mark.parametrize(
    ("method", "router"),
    [
        ("bank", "arrow"),
        ("bank", "retrieval"),
        ("bank", "spectr"),
        ("bank", "lorauter"),
        ("shared_b", "spectr"),
    ],
)
def test_a_device_says_the_same_when_it_is_asked_alone(finished: Path, method: str, router: str) -> None:
    """Written answers, token by token from a cache, and the probabilities of given ones."""
    speaker = DeviceLoader(finished, Silent()).load(1, method, router)
    written, chosen = 0, 0
    for record in RunStore.open(finished).read_scores():
        if record["method"] != f"{method}:{router}" or 1 not in record["devices"]:
            continue
        asked = {question.id: question for question in exam_questions(CONFIG)[record["task"]]}
        for number, name in enumerate(record["questions"][:3]):
            question = asked[name]
            if "answers" in record:
                assert speaker.ask(question.prompt, 16).answer == record["answers"][number]
                written += 1
            else:
                odds = dict(speaker.choose(question.prompt, question.options).options)
                assert -np.log(odds[question.options[question.answer]]) == pytest.approx(
                    record["option_nll"][number], rel=1e-3, abs=1e-5
                )
                chosen += 1
    assert (written > 0, chosen > 0) == (True, True)
    gates = [weight.gate for weight in speaker.ask("Is the sky blue?", 1).weights]
    if router == "lorauter":  # shares among three tasks, each of them known
        assert sum(filter(None, gates)) == pytest.approx(1.0)
    else:
        assert gates == ([1.0, 0.0, 0.0] if router == "retrieval" else [None] * 3)


def test_a_method_with_readings_of_its_own_is_asked_in_its_first(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings |= {"methods": ["paper"], "model": {"name": "tiny-random"}, "paper": {"reading": "diag"}}
    folder = run(validate(settings, "test"), tmp_path / "run", Silent())
    speaker = DeviceLoader(folder, Silent()).load()
    (weight,) = speaker.ask("Is 4 even?", 2).weights
    assert (speaker.router, weight.task, weight.devices, weight.gate) == ("diag", "every task", (0, 1, 2), None)


def test_the_report_has_no_choices_of_a_router_that_makes_none(finished: Path) -> None:
    text = write_report(finished)[0].read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("| arrow"))
    assert [cell.strip() for cell in line.split("|")][2:5] == ["shared", "-", "-"]
    assert "Where retrieval sends the prompts" in text
    assert "Where arrow sends" not in text


def test_embeddings_are_looked_at_only_where_a_router_asks_for_them(base: Base) -> None:
    prompts = [(5, 6, 7), (9, 3)]
    plain = prompt_features(base, prompts, RouterConfig(also=("arrow",)), 64)
    both = prompt_features(base, prompts, RouterConfig(kind="retrieval"), 64)
    assert plain.embedded is None
    assert both.embedded is not None
    np.testing.assert_array_equal(plain.hidden, both.hidden)
    np.testing.assert_allclose(both.embedded, embedded(base, prompts), rtol=1e-6, atol=1e-9)


def test_a_run_can_be_scored_with_arrow_later_but_not_with_what_was_not_announced(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings |= {"methods": ["bank"], "model": {"name": "tiny-random"}}
    folder = run(validate(settings, "test"), tmp_path / "run", Silent())
    before = results(folder)["header"]["exam"]
    evaluate(folder, Silent(), {"router": {"also": ["top1", "arrow"]}})
    found = results(folder)
    assert "bank:arrow" in {row["method"] for row in found["rows"]}
    assert found["header"]["exam"] == before  # what was scored need not be scored again
    evaluate(folder, Silent(), {"router": {"also": ["arrow"], "arrow_top_k": 1}})
    assert results(folder)["header"]["exam"] == f"{before}/arrow1,1.0"
    with pytest.raises(UserError, match=r"announced none: start a new run with router\.also=\[top1,cosine,retrieval\]"):
        evaluate(folder, Silent(), {"router": {"also": ["retrieval"]}})
    with pytest.raises(UserError, match="announced none"):
        DeviceLoader(folder, Silent()).load(router="retrieval").ask("Is 4 even?", 2)
