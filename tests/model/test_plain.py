"""The fast path against the plain one: one device, one row and one dense weight W0 + scale B A at a time.

The plain path shares no code with ours beyond reading an expert: transformers' own model row by row,
functional weights through autograd, torch's own Adam. Compared are every loss, the first gradient and the adapters
after twenty steps, for devices of different density, batch and row lengths.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.architectures import tiny
from torch import Tensor, nn

from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.learning_config import TrainConfig
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.probes.probed_base import open_base
from meshtune.training.trainer import Job, accumulate, train

STEPS, RANK, RATE = 20, 4, 3e-4
FAMILIES = ("llama", "qwen2", "gemma3", "gpt2")
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-10}


def experts(base: Base, kind: str, dtype: torch.dtype) -> list[Expert]:
    """Three devices; the sparse ones of densities 0.05, 0.2 and 1."""
    made: list[Expert] = []
    for device, density in enumerate((0.05, 0.2, 1.0)):
        draw = np.random.default_rng(device)
        layers = base.adapters.layers
        if kind == "lora":
            expert: Expert = LoraExpert(layers, RANK, 2.0, seed=device)
        else:
            masks = [
                np.sort(draw.choice(size, max(1, int(size * density)), replace=False)) for size in sizes(layers, RANK)
            ]
            projections = Projections(Recipe(seed=0, kind="orthogonal", block=device, rank=RANK), dtype)
            expert = SparseExpert(layers, projections, masks, 2.0)
        values = expert.values.numpy() + draw.standard_normal(expert.count) * 0.02
        made.append(expert.with_values(torch.from_numpy(values).to(dtype)))
    return made


def ragged(seed: int) -> list[list[list[Row]]]:
    """Rows by device and step: two to four of 5 to 40 tokens, with answers of 1 to 3."""
    draw = np.random.default_rng(seed)
    found = []
    for device in range(3):
        steps = []
        for _ in range(STEPS):
            lengths = [*draw.integers(9, 24, size=device), 5, 40]
            steps.append(
                [Row(tuple(draw.integers(1, 64, size=n).tolist()), int(n - draw.integers(1, 4))) for n in lengths]
            )
        found.append(steps)
    return found


class PlainNorm(nn.Module):
    """The norm in the model's own precision; transformers' rounds to float32 in between, also where the model is finer.

    Args:
        weight: what the normed input is multiplied with.
        eps: added to the mean square.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.scale = weight
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.scale


def plain_copy(model: Any) -> Any:
    """Return a copy with transformers' own attention and plain norms."""
    plain = copy.deepcopy(model)
    plain.set_attn_implementation("sdpa")
    for name, module in list(plain.named_modules()):
        if type(module).__name__.endswith("RMSNorm"):
            weight = module.weight.detach() + (1.0 if "Gemma" in type(module).__name__ else 0.0)
            eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
            plain.set_submodule(name, PlainNorm(weight, float(eps)))
    return plain


def plain_loss(model: Any, base: Base, expert: Expert, values: Tensor, rows: Sequence[Row]) -> Tensor:
    """Return the mean over rows of the mean answer-token NLL under W0 + scale B A, differentiable in ``values``."""
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    at = 0
    for layer in base.adapters.layers:
        if isinstance(expert, LoraExpert):
            split = [RANK * layer.inputs, RANK * layer.outputs]
            a = values[at : at + split[0]].view(RANK, layer.inputs)
            b = values[at + split[0] : at + sum(split)].view(layer.outputs, RANK)
            at += sum(split)
        else:
            assert isinstance(expert, SparseExpert)
            mask = expert.masks[layer.index]
            a = expert.projections.of(layer)
            full = torch.zeros(layer.outputs * RANK, dtype=values.dtype)
            b = full.index_put((mask,), values[at : at + len(mask)]).view(layer.outputs, RANK)
            at += len(mask)
        delta = expert.scale * (b @ a)
        name = f"{layer.name}.weight"
        weights[name] = weights[name] + (delta.T if "c_" in layer.name.rsplit(".", 1)[1] else delta)  # Conv1D: (k, d)
    total = values.new_zeros(())
    for row in rows:
        logits = torch.func.functional_call(model, weights, (torch.tensor([row.tokens]),), {"use_cache": False}).logits[
            0
        ]
        nll = F.cross_entropy(logits[row.prompt - 1 : -1], torch.tensor(row.tokens[row.prompt :]))
        total = total + nll / len(rows)
    return total


def close(found: Tensor, expected: Tensor) -> bool:
    error = float((found - expected).abs().max() / expected.abs().max())
    print(error)
    return error < CLOSE[expected.dtype]


@pytest.fixture(params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    found: torch.dtype = getattr(torch, request.param)
    return found


@pytest.mark.parametrize(("family", "kind"), [*((family, "sparse") for family in FAMILIES), ("llama", "lora")])
def test_twenty_steps_are_those_of_the_plain_path(family: str, kind: str, dtype: torch.dtype) -> None:
    model = tiny(family).eval().to(dtype)
    plain = plain_copy(model)
    base = open_base(model, None, family)
    assert base.packs
    config = TrainConfig(rounds=1, steps=STEPS, lr=RATE, micro_tokens=48)
    rows = ragged(1)
    jobs = [Job(expert, batches, RATE) for expert, batches in zip(experts(base, kind, dtype), rows, strict=True)]
    leaves = [job.expert.values.clone().requires_grad_() for job in jobs]

    probes = [job.expert.with_values(job.expert.values.clone().requires_grad_()) for job in jobs]
    accumulate(base, [(probe, job.batches[0]) for probe, job in zip(probes, jobs, strict=True)], config.micro_tokens)
    train(base, jobs, config)

    for number, (job, leaf) in enumerate(zip(jobs, leaves, strict=True)):
        adam = torch.optim.Adam([leaf], lr=RATE)
        losses = []
        for step, batch in enumerate(job.batches):
            loss = plain_loss(plain, base, job.expert, leaf, batch)
            adam.zero_grad()
            loss.backward()
            if step == 0:
                grad = probes[number].values.grad
                assert leaf.grad is not None
                assert grad is not None
                assert close(grad, leaf.grad)
            adam.param_groups[0]["lr"] = config.rate(RATE, step)
            adam.step()
            losses.append(float(loss.detach()))
        assert close(torch.tensor(job.losses, dtype=dtype), torch.tensor(losses, dtype=dtype))
        assert close(job.expert.values, leaf.detach())
