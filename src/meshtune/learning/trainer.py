"""Local training: all devices of this process in one batched pass over one base model.

Each step takes one mini-batch from every device and sends all rows, device after device and laid end to end, through
the frozen model in micro-batches in which every row meets its own device's expert. Losses: the mean over a device's
rows of the mean negative log-likelihood over the row's answer tokens, which is the NLL that is evaluated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.adapter.route import Segments
from meshtune.errors import UserError
from meshtune.learning.base import Base
from meshtune.learning.config import TrainConfig
from meshtune.learning.cores import side_by_side
from meshtune.learning.encode import Row, portions
from meshtune.learning.packing import Packed

DIVERGED = "lower train.lr, or hold the model in float32 or bfloat16"
LANES = (4, 2, 1)
"""A step's micro-batches are a multiple of the first of these that leaves each of them :data:`LEAST` tokens."""
LEAST = 64


class Diverged(UserError):
    """A loss is not finite."""


@dataclass
class Job:
    """One device's share of a training pass.

    Attributes:
        expert: what it trains; its values are updated in place.
        batches: the rows of every step.
        lr: its highest learning rate.
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
        Diverged: a loss is not finite.

    Args:
        base: the frozen model.
        jobs: one per device; all with the same number of steps.
        config: rates, optimiser and micro-batch size.
        on_step: called with (step, loss of every job, real tokens so far) behind every step.
    """
    leaves = [job.expert.values.requires_grad_() for job in jobs]
    optimisers = [_optimiser(leaf, job, config) for leaf, job in zip(leaves, jobs, strict=True)]
    tokens = 0
    for step in range(len(jobs[0].batches)):
        batches = [(job.expert, job.batches[step]) for job in jobs]
        losses = accumulate(base, batches, config.micro_tokens, config.checkpoint)
        for job, optimiser, loss in zip(jobs, optimisers, losses, strict=True):
            if not math.isfinite(loss):
                raise Diverged(
                    f"the loss of an expert of kind {job.expert.kind} is {loss} at step {step + 1}: {DIVERGED}"
                )
            optimiser.param_groups[0]["lr"] = config.rate(job.lr, job.first_step + step)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            job.losses.append(loss)
        tokens += sum(len(row.tokens) for job in jobs for row in job.batches[step])
        if on_step is not None:
            on_step(step, losses, tokens)
    for leaf, job, optimiser in zip(leaves, jobs, optimisers, strict=True):
        leaf.requires_grad_(False)
        job.moments = {k: v for k, v in optimiser.state[leaf].items() if isinstance(v, Tensor)}


def micro_batches(base: Base, lengths: Sequence[int], micro_tokens: int) -> list[range]:
    """Cut rows of these lengths, in their order, into micro-batches of like size.

    How many cores there are does not matter, so that the same configuration rounds alike anywhere.
    """
    cpu = base.device.type == "cpu"
    return portions(lengths, micro_tokens, next(n for n in LANES if n == 1 or (cpu and sum(lengths) >= n * LEAST)))


def accumulate(
    base: Base, batches: Sequence[tuple[Expert, Sequence[Row]]], micro_tokens: int, checkpoint: bool = False
) -> list[float]:
    """Add the gradient of every expert's loss on its rows to its values' ``grad``; return the losses.

    Each expert's loss is the mean over its rows of the row's mean answer-token NLL. Values that do not require a
    gradient get none. On a CPU micro-batches run side by side (:mod:`meshtune.learning.cores`); their gradients are
    added in their order.
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
    for found, grads in side_by_side(base, lambda part: _micro_batch(base, batches, part, checkpoint), parts):
        losses += found
        for owner, grad in grads.items():
            values = batches[owner][0].values
            values.grad = grad if values.grad is None else values.grad.add_(grad)
    return losses.tolist()


def _micro_batch(
    base: Base, batches: Sequence[tuple[Expert, Sequence[Row]]], part: Sequence[tuple[int, Row]], checkpoint: bool
) -> tuple[Tensor, dict[int, Tensor]]:
    """Return the share of every owner's loss (owners,) that ``part`` makes up, and its gradient by owner."""
    packed = Packed([row.tokens[:-1] for _, row in part], base.device)  # nothing looks behind a row's last token
    places: list[int] = []
    labels: list[int] = []
    weights: list[float] = []
    whose: list[int] = []
    for (owner, row), start in zip(part, packed.starts, strict=False):
        places += range(start + row.prompt - 1, start + len(row.tokens) - 1)
        labels += row.tokens[row.prompt :]
        weights += [1 / (row.answer * len(batches[owner][1]))] * row.answer
        whose += [owner] * row.answer
    owners = Counter(owner for owner, _ in part)
    runs = [(batches[owner][0], rows) for owner, rows in owners.items()]
    with base.adapters.routed(Segments(runs, trainable=True)):
        hidden = base.read(packed, checkpoint)
    nll = base.token_losses(hidden[torch.tensor(places, device=base.device)], torch.tensor(labels, device=base.device))
    weighted = nll * torch.tensor(weights, device=base.device, dtype=nll.dtype)
    wanted = [owner for owner in owners if batches[owner][0].values.requires_grad]
    grads = torch.autograd.grad(weighted.sum(), [batches[owner][0].values for owner in wanted]) if wanted else ()
    losses = torch.zeros(len(batches), dtype=torch.float64)
    losses.index_add_(0, torch.tensor(whose), weighted.detach().double().cpu())
    return losses, dict(zip(wanted, grads, strict=True))


def _optimiser(leaf: Tensor, job: Job, config: TrainConfig) -> Any:
    if config.optimizer == "sgd":
        return torch.optim.SGD([leaf], lr=job.lr)
    optimiser = torch.optim.Adam([leaf], lr=job.lr, fused=True)
    if job.moments:
        optimiser.state[leaf] = {name: tensor.to(leaf.device) for name, tensor in job.moments.items()}
    return optimiser
