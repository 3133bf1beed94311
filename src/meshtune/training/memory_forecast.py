"""How much memory training will take, forecast before it starts, and the micro-batch size that fits a budget.

Memory kept for the backward pass grows with the tokens of a pass. The growth is measured on a few tokens of this very
model, whatever its architecture. The rest is counted: adapters, optimiser states, logits of one chunk, live gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Segments
from meshtune.config.learning_config import TrainConfig
from meshtune.errors import UserError
from meshtune.model.base import LOGITS, Base
from meshtune.model.micro_batch import micro_batches
from meshtune.model.packing import Packed

GIB = 1 << 30
SAMPLE = 16
"""Tokens of the measured pass."""
SMALLEST = 64
"""The smallest micro-batch in tokens, unless a row is longer."""
WIDE = 4
"""Live tensors of the widest layer's size in a backward pass."""
SPARE = 1.2
"""Measured factor for heap fragmentation between blocks of different size."""


@dataclass(frozen=True)
class MemoryForecast:
    """The peak size of the process in bytes, and its parts.

    Attributes:
        loaded: the process with the base model, before training.
        state: adapters, their gradients and optimiser states, of all devices and methods.
        passes: memory of the micro-batches that run side by side.
        tokens: tokens of the largest micro-batch.
        side_by_side: number of micro-batches running at a time.
        micro_tokens: the bound by which the micro-batches were cut.
        checkpoint: whether activations are recomputed in the backward pass.
    """

    loaded: int
    state: int
    passes: int
    tokens: int
    side_by_side: int
    micro_tokens: int
    checkpoint: bool

    @property
    def total(self) -> int:
        """The total, in bytes."""
        return self.loaded + self.state + self.passes

    def text(self) -> str:
        """Return a one-sentence summary for the user."""
        parts = [x / GIB for x in (self.total, self.loaded, self.passes, self.state)]
        again = ", activations computed twice" if self.checkpoint else ""
        return (
            f"memory: about {parts[0]:.2f} GiB at its peak ({parts[1]:.2f} with the model loaded, {parts[2]:.2f} for "
            f"{self.side_by_side} x {self.tokens} tokens{again}, {parts[3]:.2f} for adapters)"
        )


def forecast(
    base: Base, config: TrainConfig, steps: Sequence[Sequence[int]], loaded: Callable[[], int], state: int
) -> MemoryForecast:
    """Return the forecast of training under ``config``; with a budget, for the largest micro-batch that fits it.

    Smaller micro-batches are tried before checkpointing, because recomputing activations costs a third more.

    Args:
        base: the frozen model.
        config: micro-batch, budget, checkpointing.
        steps: the lengths of the rows of some steps, in order.
        loaded: returns the bytes of the process, or on the GPU, with the base model loaded.
        state: bytes of adapters and optimisers.

    Raises:
        UserError: not even the smallest micro-batch fits the budget.
    """
    kept = kept_per_token(base)
    before = loaded()  # after that pass, which loads the code and buffers that any pass needs
    least = min(config.micro_tokens, max(SMALLEST, config.max_tokens))
    sizes = [config.micro_tokens]
    while sizes[-1] > least:
        sizes.append(max(least, sizes[-1] // 2))
    tried = [
        _made(base, before, state, kept, steps, size, checkpoint)
        for checkpoint in ((True,) if config.checkpoint else (False, True))
        for size in sizes
    ]
    if config.memory is None:
        return tried[0]
    for found in tried:
        if found.total <= config.memory * GIB:
            return found
    least_total = min(found.total for found in tried) / GIB
    raise UserError(
        f"train.memory={config.memory:g} GiB is less than training needs, about {least_total:.2f} GiB "
        f"({before / GIB:.2f} with the model loaded): raise it to {1.1 * least_total:.2f}, lower train.max_tokens, or "
        "hold the model in bfloat16"
    )


def kept_per_token(base: Base) -> tuple[float, float]:
    """Return the bytes kept per token for the backward pass: in total, and for the blocks' inputs alone."""
    layers = base.adapters.layers
    single = [torch.zeros(1, dtype=torch.int64)] * len(layers)
    projections = Projections(Recipe(0, "gaussian", 0, 1), base.dtype, str(base.device))
    probe = SparseExpert(layers, projections, single, 1.0)
    probe.values.requires_grad_()
    weights = {parameter.untyped_storage().data_ptr() for parameter in base.model.parameters()}
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            seen[place] = tensor.untyped_storage().nbytes()
        return tensor

    packed = Packed([range(1, SAMPLE // 2 + 1)] * 2, base.device)
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        base.adapters.routed(Segments([(probe, 2)], trainable=True)),
    ):
        hidden = base.read(packed)
    inputs = len(base.blocks) * base.width * hidden.element_size()
    torch.autograd.grad(hidden.sum(), probe.values)
    return sum(seen.values()) / SAMPLE, float(inputs)


def _made(
    base: Base,
    loaded: int,
    state: int,
    kept: tuple[float, float],
    steps: Sequence[Sequence[int]],
    micro_tokens: int,
    checkpoint: bool,
) -> MemoryForecast:
    lanes = torch.get_num_threads() if base.device.type == "cpu" else 1
    cut = [[sum(lengths[i] for i in part) for part in micro_batches(base, lengths, micro_tokens)] for lengths in steps]
    most = [sorted(parts)[-lanes:] for parts in cut]
    together = max(map(sum, most))
    size = torch.empty(0, dtype=base.dtype).element_size()
    widest = max(max(layer.inputs, layer.outputs) for layer in base.adapters.layers)
    everything, inputs = kept
    activations = inputs + everything / len(base.blocks) if checkpoint else everything
    lanes = max(map(len, most))
    logits = min(lanes * LOGITS, 4 * base.vocabulary * together)
    passes = int(SPARE * (activations * together + max(logits, WIDE * widest * size * together)))
    return MemoryForecast(loaded, state, passes, max(map(max, most)), lanes, micro_tokens, checkpoint)
