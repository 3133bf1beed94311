"""A task whose answers have several lines, learnt by the embedded base: written to their end, and no further."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshtune.config.config_file import validate
from meshtune.inference.opening import DeviceLoader
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run
from meshtune.tasks import registry
from meshtune.tasks.base import PUBLIC_TEST, Task, TaskRow, text

STEPS = "two\nthree\nfive"


class Steps(Task):
    """Every question has the same answer: what is tested is that it ends where it should."""

    name = "steps"
    hub_id = "nobody/steps"
    splits = PUBLIC_TEST
    fields = ("asked",)
    licence = "none"
    written = True
    longest_answer = 40
    stops = ("\nQuestion:",)

    def body(self, row: TaskRow) -> str:
        return text(row, "asked")

    def own_prompt(self, row: TaskRow) -> str:
        return text(row, "asked")

    def options(self, row: TaskRow) -> tuple[str]:
        return (STEPS,)

    def answer(self, row: TaskRow) -> int:
        return 0


class More(Steps):
    name = "more"
    splits = {"test": "test"}  # noqa: RUF012


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    data = tmp_path_factory.mktemp("data")
    for name, splits in {"steps": {"train": range(30), "test": range(40, 45)}, "more": {"test": range(50, 53)}}.items():
        (data / name).mkdir()
        for split, numbers in splits.items():
            rows = [{"asked": f"Ann has {n} apples. How?" if name == "steps" else f"How {n}?"} for n in numbers]
            (data / name / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "tasks": [{"task": "steps", "also": ["more"]}],
        "data": str(data),
        "validation": 0,
        "adapter": {"entropy_tokens": 64, "calibration_batches": 1},
        "router": {"prompts": 8, "sketch": 4, "also": []},
        "train": {"rounds": 1, "steps": 80, "batch": 4, "lora_lr": 0.003, "max_tokens": 64},
        "eval": {"questions": 5},
        "methods": ["lora"],
    }
    with pytest.MonkeyPatch.context() as patch:
        for task in (Steps(), More()):
            patch.setitem(registry._CLASSES, task.name, type(task).__name__)
            patch.setitem(registry.TASKS._made, task.name, task)  # type: ignore[attr-defined]
        yield run(validate(settings, "test"), tmp_path_factory.mktemp("runs") / "steps", Silent())


def test_what_is_learnt_is_written_line_for_line_and_then_ends(finished: Path) -> None:
    found = {(r["method"], r["task"]): r for r in RunStore.open(finished).read_scores()}
    for task, count in (("steps", 5), ("more", 3)):
        assert found["lora", task]["answers"] == [STEPS] * count
        assert found["lora", task]["acc"] == [1.0] * count
        assert found["frozen", task]["acc"] == [0.0] * count
        assert all("\nQuestion:" not in answer for answer in found["frozen", task]["answers"])


def test_a_device_that_is_asked_alone_answers_in_as_many_lines(finished: Path) -> None:
    speaker = DeviceLoader(finished, Silent()).load()
    assert speaker.ask("How many are 7?").answer == STEPS
    drawn = [speaker.ask("How many are 7?", temperature=3.0, seed=seed).answer for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
