"""The work that every rival in the speed benchmarks does: the same tokenised rows of ten real tasks.

Ten devices, one task each, S steps of four rows, prompts cut to 256 tokens. Rows are made by meshtune's own encoder, so
that tokens are the same for all; seven tasks come from meshtune, three written ones are read here.

    python benchmarks/work.py --model $MESHTUNE_MODELS/smollm2    # how long the rows are, task by task
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from record import options

from meshtune.adapter.blocks import capacity
from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.federation_config import TaskConfig
from meshtune.config.learning_config import ModelConfig, TrainConfig
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.errors import UserError
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.loading import locate
from meshtune.runs.observer import Silent
from meshtune.simulator.resume import begin
from meshtune.simulator.rounds import play_round
from meshtune.tasks.base import Question, shared_prompt
from meshtune.tasks.loader import VARIABLE, load
from meshtune.topology.graphs import neighbours
from meshtune.training.trainer import Job

CHOICE = ("boolq", "piqa", "social_i_qa", "hellaswag", "arc_easy", "arc_challenge", "scienceqa")
WRITTEN = {"gsm8k": ("question", "answer"), "mbpp": ("text", "code"), "dolly_open_qa": ("instruction", "response")}
TASKS = (*CHOICE, *WRITTEN)
RANK, ALPHA, DENSITY = 16, 32.0, 0.1
LIMIT, SIZE, MICRO = 256, 4, 1024

Batches = Sequence[Sequence[Sequence[Row]]]
"""Rows by device and step."""


def data_folder() -> Path:
    """Return the folder with a sub-folder a task.

    Raises:
        UserError: it is not named, or a task is missing there.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        raise UserError(f"{VARIABLE} is not set: it names a folder with <task>/train.jsonl(.gz) for {', '.join(TASKS)}")
    missing = [task for task in TASKS if not any((Path(named) / task).glob("train.jsonl*"))]
    if missing:
        raise UserError(f"{VARIABLE}={named} has no train.jsonl(.gz) of {', '.join(missing)}: put them there")
    return Path(named)


def questions(task: str) -> list[Question]:
    """Return the training questions of one of :data:`TASKS`."""
    folder = data_folder() / task
    if task in CHOICE:
        return load(task, "train", folder)
    asked, told = WRITTEN[task]
    file = next(iter(sorted(folder.glob("train.jsonl*"))))
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Question(str(n), task, shared_prompt(row[asked]), (row[told].strip(),), 0, written=True, ends=True)
        for n, row in enumerate(rows)
    ]


def rows_of(tokenizer: Any, devices: int, steps: int, size: int, seed: int = 0) -> Batches:
    """Return the rows of ``devices`` devices that take the tasks in turn, those of one task disjoint rows."""
    result = []
    for device in range(devices):
        own = questions(TASKS[device % len(TASKS)])[device // len(TASKS) :: -(-devices // len(TASKS))]
        data = DeviceData(device, str(device), own, seed, LIMIT, tokenizer)
        result.append([data.batch(step, size) for step in range(steps)])
    return result


def tokens_in(batches: Batches) -> int:
    """Return how many real tokens there are: padding does not count."""
    return sum(len(row.tokens) for device in batches for batch in device for row in batch)


def grouped(device: Sequence[Sequence[Row]], seed: int = 0) -> list[list[Row]]:
    """Return one device's rows in as many batches of the same size, each of like length, in random order."""
    size = len(device[0])
    rows = sorted((row for batch in device for row in batch), key=lambda row: len(row.tokens))
    cut = [rows[i : i + size] for i in range(0, len(rows), size)]
    return [cut[i] for i in np.random.default_rng(seed).permutation(len(cut))]


def save(batches: Batches, path: Path) -> None:
    """Write the rows as JSON, for a rival in a process of its own."""
    plain = [[[[list(row.tokens), row.prompt] for row in batch] for batch in device] for device in batches]
    path.write_text(json.dumps(plain), encoding="utf-8")


def restore(path: Path) -> Batches:
    """Return what :func:`save` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    return [[[Row(tuple(tokens), prompt) for tokens, prompt in batch] for batch in device] for device in plain]


def plain_model(name: str, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Return the model as transformers gives it, with sdpa attention, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    where = locate(ModelConfig(name=name))
    more: dict[str, Any] = {}
    if where.endswith(".gguf"):
        where, more = str(Path(where).parent), {"gguf_file": Path(where).name}
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype, attn_implementation="sdpa", **more)
    return model, AutoTokenizer.from_pretrained(where, **more)


@dataclass
class _Given(DeviceData):
    """A device whose batches are given; they begin again behind the last."""

    batches: Sequence[Sequence[Row]] = ()

    def batch(self, step: int, size: int) -> list[Row]:
        rows = list(self.batches[step % len(self.batches)])
        assert len(rows) == size
        return rows


def kind_of(base: Base, devices: int, rank: int) -> Literal["orthogonal", "gaussian"]:
    """Return the kind of A: a small model has too few orthogonal blocks for many groups."""
    room = capacity([layer.inputs for layer in base.adapters.layers], rank)
    return "orthogonal" if devices <= room else "gaussian"


def our_jobs(base: Base, batches: Batches) -> list[Job]:
    """Return a fresh sparse expert for every device, with its rows."""
    draw = np.random.default_rng(0)
    jobs = []
    kind = kind_of(base, len(batches), RANK)
    for device, mine in enumerate(batches):
        masks = [np.sort(draw.choice(s, int(s * DENSITY), replace=False)) for s in sizes(base.adapters.layers, RANK)]
        recipe = Recipe(seed=0, kind=kind, block=device, rank=RANK)
        projections = Projections(recipe, base.dtype, str(base.device))
        jobs.append(Job(SparseExpert(base.adapters.layers, projections, masks, ALPHA / RANK), mine, 1e-3))
    return jobs


def federation(
    base: Base, batches: Batches, rank: int = RANK, density: float = DENSITY, rounds: int = 50
) -> Callable[[], float]:
    """Return what plays one round of the bank method after the other and returns the mean loss.

    One group a device, a full graph, everything a round has: training, payloads, ledger, mixing. What devices work out
    once before the first round is not in it: masks are drawn at random.
    """
    devices, steps, size = len(batches), len(batches[0]), len(batches[0][0])
    config = RunConfig(
        tasks=(TaskConfig(task=CHOICE[0]),),
        adapter=AdapterConfig(rank=rank, alpha=2.0 * rank, density=density),
        train=TrainConfig(rounds=rounds, steps=steps, batch=size, micro_tokens=MICRO),
    )
    layers = base.adapters.layers
    kind = kind_of(base, devices, rank)
    draw = np.random.default_rng(0)
    own = []
    for device in range(devices):
        masks = tuple(np.sort(draw.choice(s, max(1, int(s * density)), replace=False)) for s in sizes(layers, rank))
        recipe = Recipe(seed=0, kind=kind, block=device, rank=rank)
        own.append(Announcement(device, str(device), 1, recipe, masks))
    method = get_method("bank")
    factory = ExpertFactory(layers, config.adapter, 0, base.dtype, str(base.device))
    graph = neighbours("full", devices)
    state = begin([method], graph, own, layers, factory)
    given = [_Given(n, str(n), (), 0, LIMIT, base.tokenizer, batches=rows) for n, rows in enumerate(batches)]

    def play() -> float:
        losses = play_round(base, config, [method], given, factory, state, Silent())
        return sum(losses.values()) / len(losses)

    return play


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    batches = rows_of(plain_model(args.model)[1], len(TASKS), args.steps, SIZE)
    for task, device in zip(TASKS, batches, strict=True):
        lengths = sorted(len(row.tokens) for batch in device for row in batch)
        print(f"{task:14} {lengths[0]:4} to {lengths[-1]:4} tokens a row, {sum(lengths):6} in all")
    print(f"{tokens_in(batches)} real tokens")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
