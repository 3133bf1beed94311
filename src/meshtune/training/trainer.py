"""Local training: all devices of this process in one batched pass over one base model.

Each step takes one mini-batch from every device. All rows are concatenated, device after device, and pass through the
frozen model in micro-batches in which every row meets its own device's expert. The loss is the mean over a device's
rows of the mean negative log-likelihood over the row's answer tokens, which is also the NLL of evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.config.learning_config import TrainConfig
from meshtune.errors import DivergedError
from meshtune.model.base import Base
from meshtune.model.cores import side_by_side
from meshtune.model.encoding import Row
from meshtune.model.micro_batch import micro_batch, micro_batches

_LARGEST = torch.finfo(torch.float32).max


@dataclass
class Job:
    """One device's share of a training pass.

    Attributes:
        expert: what it trains; its values are updated in place.
        batches: the rows of every step.
        lr: its peak learning rate.
        first_step: the number of the first step within the whole run (for the learning rate).
        moments: the optimiser's state tensors by name, updated in place; empty before the first step.
        losses: filled with the loss of every step.
    """

    expert: Expert
    batches: Sequence[Sequence[Row]]
    lr: float
    first_step: int = 0
    moments: dict[str, Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)


def train(
    base: Base,
    jobs: Sequence[Job],
    config: TrainConfig,
    on_step: Callable[[int, list[float], int], None] | None = None,
) -> None:
    """Train every job's expert on its batches, all jobs at once.

    Raises:
        DivergedError: a loss, a value or an optimiser moment is not finite; its number is the job's.

    Args:
        base: the frozen model.
        jobs: one per device; all with the same number of steps.
        config: rates, optimiser and micro-batch size.
        on_step: called with (step, loss of every job, real tokens so far) after every step.
    """
    leaves = [job.expert.values.requires_grad_() for job in jobs]
    optimisers = [_optimiser(leaf, job, config) for leaf, job in zip(leaves, jobs, strict=True)]
    tokens = 0
    for step in range(len(jobs[0].batches)):
        batches = [(job.expert, job.batches[step]) for job in jobs]
        losses = accumulate(base, batches, config.micro_tokens, config.checkpoint)
        for number, (job, optimiser, loss) in enumerate(zip(jobs, optimisers, losses, strict=True)):
            if not math.isfinite(loss):
                raise DivergedError(f"its loss is {loss} at step {step + 1}", number)
            optimiser.param_groups[0]["lr"] = rate_at(job, config, step, number)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            job.losses.append(loss)
        tokens += sum(len(row.tokens) for job in jobs for row in job.batches[step])
        if on_step is not None:
            on_step(step, losses, tokens)
    for number, (leaf, job, optimiser) in enumerate(zip(leaves, jobs, optimisers, strict=True)):
        leaf.requires_grad_(False)
        job.moments = {k: v for k, v in optimiser.state[leaf].items() if isinstance(v, Tensor)}
        if not all(torch.isfinite(tensor).all() for tensor in (leaf, *job.moments.values())):
            raise DivergedError("its values are not finite after the last step", number)


def rate_at(job: Job, config: TrainConfig, step: int, number: int) -> float:
    """Return the learning rate of ``job`` at a step of this pass.

    Raises:
        DivergedError: it exceeds float32; its number is ``number``.
    """
    rate = config.rate(job.lr, job.first_step + step)
    if rate > _LARGEST:
        raise DivergedError(f"its learning rate at step {step + 1} is {rate:g}, more than a float32 holds", number)
    return rate


def accumulate(
    base: Base, batches: Sequence[tuple[Expert, Sequence[Row]]], micro_tokens: int, checkpoint: bool = False
) -> list[float]:
    """Add the gradient of every expert's loss on its rows to its values' ``grad``; return the losses.

    Each expert's loss is the mean over its rows of the row's mean answer-token NLL. Values that do not require a
    gradient get none. On a CPU micro-batches run side by side (:mod:`meshtune.model.cores`); their gradients are
    added in order.
    """
    rows = [
        (owner, row)
        for owner, (_, batch) in enumerate(batches)
        for row in sorted(batch, key=lambda row: len(row.tokens))
    ]
    parts = [
        [rows[i] for i in part] for part in micro_batches(base, [len(row.tokens) - 1 for _, row in rows], micro_tokens)
    ]
    losses = torch.zeros(len(batches), dtype=torch.float64)
    for found, grads in side_by_side(base, lambda part: micro_batch(base, batches, part, checkpoint), parts):
        losses += found
        for owner, grad in grads.items():
            values = batches[owner][0].values
            values.grad = grad if values.grad is None else values.grad.add_(grad)
    return losses.tolist()


def _optimiser(leaf: Tensor, job: Job, config: TrainConfig) -> Any:
    if config.optimizer == "sgd":
        return torch.optim.SGD([leaf], lr=job.lr)
    optimiser = torch.optim.Adam([leaf], lr=job.lr, fused=True)
    if job.moments:
        optimiser.state[leaf] = {name: tensor.to(leaf.device) for name, tensor in job.moments.items()}
    return optimiser
