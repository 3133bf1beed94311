"""One forward and backward pass over the rows of several experts, and the split of rows into such passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.adapter.route import Segments
from meshtune.model.base import Base
from meshtune.model.encoding import Row, portions
from meshtune.model.packing import Packed

LANES = (4, 2, 1)
"""The number of micro-batches in a step is a multiple of the first of these that leaves each :data:`LEAST` tokens."""
LEAST = 64


def micro_batches(base: Base, lengths: Sequence[int], micro_tokens: int) -> list[range]:
    """Split rows of these lengths, in their order, into micro-batches of similar size.

    The split does not depend on the number of cores, so that the same configuration rounds the same anywhere.
    """
    cpu = base.device.type == "cpu"
    return portions(lengths, micro_tokens, next(n for n in LANES if n == 1 or (cpu and sum(lengths) >= n * LEAST)))


def micro_batch(
    base: Base, batches: Sequence[tuple[Expert, Sequence[Row]]], part: Sequence[tuple[int, Row]], checkpoint: bool
) -> tuple[Tensor, dict[int, Tensor]]:
    """Return the contribution of ``part`` to every owner's loss (owners,), and its gradient by owner.

    Args:
        base: the frozen model.
        batches: every owner's expert and all of its rows.
        part: rows with their owners, grouped by owner.
        checkpoint: see :meth:`meshtune.model.base.Base.read`.
    """
    packed = Packed([row.tokens[:-1] for _, row in part], base.device)  # no label follows a row's last token
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
