"""Training every weight of the model, one device after the other: the baseline ``fpft``.

A device's weights are in a memory-mapped file. While the device trains they replace the model's own. Its optimiser
starts afresh every round.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from meshtune.adapter.full_expert import FullExpert
from meshtune.config.learning_config import TrainConfig
from meshtune.errors import DivergedError, UserError
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.micro_batch import micro_batches
from meshtune.model.packing import Packed
from meshtune.training.trainer import Job, rates_at


def weights_of(base: Base) -> Tensor:
    """Return all weights of the model concatenated (parameters,), fp32, in a file of their own.

    Raises:
        UserError: some are stored in 8 or 4 bits.
    """
    parameters = list(base.model.parameters())
    if any(not p.is_floating_point() for p in parameters):
        raise UserError("fpft trains the weights themselves, model.bits holds them rounded: leave model.bits out")
    return on_disk(parameters)


def on_disk(parts: Sequence[Tensor]) -> Tensor:
    """Return ``parts`` concatenated, fp32, mapped from a file that disappears with the tensor."""
    count = sum(part.numel() for part in parts)
    with tempfile.NamedTemporaryFile(prefix="meshtune-") as file:
        file.truncate(4 * count)
        whole = torch.from_file(file.name, shared=True, size=count, dtype=torch.float32)
    at = 0
    for part in parts:
        whole[at : at + part.numel()].copy_(part.detach().reshape(-1))
        at += part.numel()
    return whole


@contextmanager
def holding(base: Base, expert: FullExpert | None) -> Iterator[None]:
    """Give the model the weights of ``expert`` inside the block (None: its own), and restore its own afterwards."""
    if expert is None:
        yield
        return
    own = weights_of(base)
    _fill(base.model, expert.values)
    try:
        yield
    finally:
        _fill(base.model, own)


def train_full(
    base: Base,
    jobs: Sequence[Job],
    config: TrainConfig,
    on_step: Callable[[int, list[float], int], None] | None = None,
) -> None:
    """Train every job's weights on its batches, one job after the other; afterwards the model has its own again.

    Args:
        base: the model.
        jobs: one per device; their experts are replaced by trained ones.
        config: rates and micro-batch size.
        on_step: called with (step, latest loss of every job, real tokens so far) after every step of the last job.

    Raises:
        DivergedError: a loss or a weight is not finite; its number is the job's.
    """
    tokens = 0
    latest = [math.nan] * len(jobs)
    for number, job in enumerate(jobs):
        assert isinstance(job.expert, FullExpert)
        with holding(base, job.expert):
            base.model.requires_grad_(True)
            try:
                optimiser = torch.optim.Adam(base.model.parameters(), fused=True)
                for step, rows in enumerate(job.batches):
                    loss = _accumulate(base, rows, config)
                    if not math.isfinite(loss):
                        raise DivergedError(f"its loss is {loss} at step {step + 1}", number)
                    (optimiser.param_groups[0]["lr"],) = rates_at(job, config, step, number)
                    optimiser.step()
                    optimiser.zero_grad(set_to_none=True)
                    job.losses.append(loss)
                    latest[number] = loss
                    tokens += sum(len(row.tokens) for row in rows)
                    if on_step is not None:
                        on_step((number * len(job.batches) + step) // len(jobs), list(latest), tokens)
            finally:
                base.model.requires_grad_(False)
            if not all(torch.isfinite(parameter).all() for parameter in base.model.parameters()):
                raise DivergedError("its weights are not finite after the last step", number)
            job.expert = job.expert.with_values(on_disk(list(base.model.parameters())))


def _accumulate(base: Base, rows: Sequence[Row], config: TrainConfig) -> float:
    """Add the gradient of the loss to the weights' ``grad``; return the loss: the mean over rows of the mean NLL."""
    ordered = sorted(rows, key=lambda row: len(row.tokens))
    total = 0.0
    for part in micro_batches(base, [len(row.tokens) - 1 for row in ordered], config.micro_tokens):
        mine = [ordered[i] for i in part]
        packed = Packed([row.tokens[:-1] for row in mine], base.device)
        hidden = base.read(packed, config.checkpoint)
        loss = hidden.new_zeros(())
        for row, start in zip(mine, packed.starts, strict=False):
            states = hidden[start + row.prompt - 1 : start + len(row.tokens) - 1]
            labels = torch.tensor(row.tokens[row.prompt :], device=base.device)
            loss = loss + F.cross_entropy(base.logits(states), labels) / len(rows)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def _fill(model: nn.Module, values: Tensor) -> None:
    """Copy ``values`` into the model's weights, in place."""
    at = 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(values[at : at + parameter.numel()].view_as(parameter))
            at += parameter.numel()
