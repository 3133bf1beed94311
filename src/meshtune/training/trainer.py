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
        lr: its peak learning rate, or one for each of the expert's parts.
        first_step: the number of the first step within the whole run (for the learning rate).
        moments: the optimiser's state tensors by name, updated in place; empty before the first step.
        losses: filled with the loss of every step.
    """

    expert: Expert
    batches: Sequence[Sequence[Row]]
    lr: float | Sequence[float]
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
    optimisers = [_Optimiser(job, config) for job in jobs]
    tokens = 0
    for step in range(len(jobs[0].batches)):
        batches = [(job.expert, job.batches[step]) for job in jobs]
        losses = accumulate(base, batches, config.micro_tokens, config.checkpoint)
        for number, (job, optimiser, loss) in enumerate(zip(jobs, optimisers, losses, strict=True)):
            if not math.isfinite(loss):
                raise DivergedError(f"its loss is {loss} at step {step + 1}", number)
            optimiser.step(rates_at(job, config, step, number))
            job.losses.append(loss)
        tokens += sum(len(row.tokens) for job in jobs for row in job.batches[step])
        if on_step is not None:
            on_step(step, losses, tokens)
    for number, (leaf, job, optimiser) in enumerate(zip(leaves, jobs, optimisers, strict=True)):
        leaf.requires_grad_(False)
        job.moments = optimiser.moments()
        if not all(torch.isfinite(tensor).all() for tensor in (leaf, *job.moments.values())):
            raise DivergedError("its values are not finite after the last step", number)


def rates_at(job: Job, config: TrainConfig, step: int, number: int) -> list[float]:
    """Return the learning rate of every part of the expert of ``job`` at a step of this pass.

    Raises:
        DivergedError: one exceeds float32; its number is ``number``.
    """
    found = [config.rate(peak, job.first_step + step) for peak in _peaks(job)]
    if max(found) > _LARGEST:
        raise DivergedError(
            f"its learning rate at step {step + 1} is {max(found):g}, more than a float32 holds", number
        )
    return found


def _peaks(job: Job) -> list[float]:
    """Return the peak learning rate of every part of the expert of ``job``."""
    given = [job.lr] if isinstance(job.lr, int | float) else list(job.lr)
    return given * len(job.expert.parts) if len(given) == 1 else given


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


class _Optimiser:
    """Adam or plain SGD over one flat vector, each part of it at a learning rate of its own.

    The parts are views of the vector, so that its values, its gradient and the moments stay one tensor each.
    """

    def __init__(self, job: Job, config: TrainConfig) -> None:
        self._leaf, self._parts = job.expert.values, job.expert.parts
        self._views = [self._leaf.detach()[part] for part in self._parts]
        groups: Any = [{"params": [view], "lr": peak} for view, peak in zip(self._views, _peaks(job), strict=True)]
        if config.optimizer == "sgd":
            self._inner: torch.optim.Optimizer = torch.optim.SGD(groups)
            return
        self._inner = torch.optim.Adam(groups, fused=True)
        for view, part in zip(self._views, self._parts, strict=True):
            if job.moments:
                self._inner.state[view] = {
                    name: (tensor[part] if tensor.numel() == self._leaf.numel() > 1 else tensor).to(view.device).clone()
                    for name, tensor in job.moments.items()
                }

    def step(self, rates: Sequence[float]) -> None:
        """Take a step at these rates, one per part, and forget the gradient."""
        grad = self._leaf.grad
        for view, part, group, rate in zip(self._views, self._parts, self._inner.param_groups, rates, strict=True):
            view.grad, group["lr"] = None if grad is None else grad[part], rate
        self._inner.step()
        self._leaf.grad = None
        for view in self._views:
            view.grad = None

    def moments(self) -> dict[str, Tensor]:
        """Return the state's tensors by name, those of all values in their order."""
        states = [self._inner.state[view] for view in self._views]
        found = {name: tensor for name, tensor in states[0].items() if isinstance(tensor, Tensor)}
        for name, tensor in found.items():
            if len(self._parts) > 1 and tensor.dim():
                found[name] = whole = torch.empty_like(self._leaf, requires_grad=False)
                for state, part in zip(states, self._parts, strict=True):
                    whole[part] = state[name]
        return found
