"""What one device trains: a sparse expert over frozen projections, or a plain LoRA pair.

Both keep every trainable scalar of a device in one flat fp32 vector, so an optimiser step, a payload, a mean over a
group and a checkpoint are each one operation on one tensor. A sparse expert stores only its nnz values and their
positions; its projections A are regenerated from their recipe and shared by all devices of a group (eq. 2 to 4, 16).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from meshtune.adapter.projection import Recipe, projection
from meshtune.adapter.sites import LayerSpec
from meshtune.seeds import stream


class Projections:
    """The frozen matrices A of one recipe, one per (site, k), built on first use.

    Args:
        recipe: regenerates every A (kind, block, rank, federation seed).
        dtype: element type of the matrices.
        device: torch device of the matrices.
    """

    def __init__(self, recipe: Recipe, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        self.recipe = recipe
        self._dtype = dtype
        self.device = device
        self._made: dict[tuple[str, int], Tensor] = {}

    def under(self, recipe: Recipe) -> Projections:
        """Return the matrices of another ``recipe``, of the same type and on the same device."""
        return self if recipe == self.recipe else Projections(recipe, self._dtype, self.device)

    def of(self, layer: LayerSpec) -> Tensor:
        """Return A (r, k) of ``layer``."""
        key = (layer.site, layer.inputs)
        if key not in self._made:
            rows = torch.from_numpy(projection(self.recipe, layer.site, layer.inputs))
            self._made[key] = rows.to(device=self.device, dtype=self._dtype)
        return self._made[key]


class Expert:
    """A device's update dW = scale * B A, layer by layer, over one flat vector of trainable values.

    Attributes:
        layers: the adapted layers, in order.
        rank: r, the number of rows of A.
        scale: alpha / r.
        values: the flat vector of trainable scalars (count,), fp32.
        turns: the parts of it that are trained and sent in turn, one a round; by default all of it in every round.
        parts: the parts of it that are trained at learning rates of their own; by default one.
        summed: the part of it whose updates are sums of what a device has contributed so far, of which a round sends
            only the :attr:`largest` changes; None if there is none.
        largest: how many changes that is.
        kept: what it computes with besides, neither trained nor sent (n,); None if there is nothing.
    """

    kind = ""
    kept: Tensor | None = None
    turns: tuple[slice, ...] = (slice(None),)
    parts: tuple[slice, ...] = (slice(None),)
    summed: slice | None = None
    largest = 0

    def __init__(self, layers: Sequence[LayerSpec], rank: int, scale: float, values: Tensor) -> None:
        self.layers = layers
        self.rank = rank
        self.scale = scale
        self.values = values

    @property
    def count(self) -> int:
        """How many scalars the expert trains, in all of its :attr:`turns`."""
        return self.values.numel()

    @property
    def most(self) -> int:
        """How many scalars it sends in one round at most."""
        return max(self.sent(version) for version in range(1, len(self.turns) + 1))

    def turn(self, version: int) -> slice:
        """Return the part of :attr:`values` that is trained and sent in round ``version`` (1, 2, ...)."""
        return self.turns[(version - 1) % len(self.turns)]

    def sent(self, version: int) -> int:
        """Return how many scalars of that part are sent."""
        whole = len(range(self.count)[self.turn(version)])
        return whole if self.summed is None else whole - len(range(self.count)[self.summed]) + self.largest

    def trainee(self, version: int) -> Expert:
        """Return what is trained in round ``version``: a copy, or an expert of that round's part alone."""
        return self.with_values(self.values.clone())

    def taught(self, trained: Expert) -> Expert:
        """Return the expert after ``trained``, its trainee, has been trained."""
        return trained

    def with_values(self, values: Tensor) -> Expert:
        """Return an expert of the same shape with ``values`` instead."""
        raise NotImplementedError

    def keeping(self, kept: Tensor) -> Expert:
        """Return the expert with :attr:`kept` instead of its own."""
        raise NotImplementedError

    def pair(self, layer: LayerSpec) -> tuple[Tensor, Tensor]:
        """Return A (r, k) and dense B (d, r) of ``layer``, detached."""
        raise NotImplementedError

    def _identity(self) -> bytes:
        raise NotImplementedError

    @cached_property
    def form(self) -> bytes:
        """A hash of everything except the values: for experts of equal form, equal values mean the same update."""
        return hashlib.blake2b(self._identity(), digest_size=16).digest()

    @cached_property
    def digest(self) -> str:
        """A hash of what the expert computes; equal digests answer equally. Values must not change afterwards."""
        state = hashlib.blake2b(self.form, digest_size=16)
        state.update(self.values.detach().cpu().numpy().data)
        return state.hexdigest()

    def delta(self, layer: LayerSpec) -> Tensor:
        """Return scale * B A (d, k) of ``layer``: for merging and for tests."""
        a, b = self.pair(layer)
        return self.scale * (b @ a)


class SparseExpert(Expert):
    """dW = scale * (B o M) A with A frozen: only the values of B at the mask's positions exist (eq. 3, 4).

    Args:
        layers: the adapted layers.
        projections: the group's frozen A.
        masks: per layer the sorted flat positions (row * r + column) that are trained, int64.
        scale: alpha / r.
        values: the values at those positions, layer after layer (nnz,); None for zeros (B starts at 0).
    """

    kind = "sparse"

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        projections: Projections,
        masks: Sequence[np.ndarray] | Sequence[Tensor],
        scale: float,
        values: Tensor | None = None,
    ) -> None:
        self.projections = projections
        device = projections.device
        self.masks = [(m if isinstance(m, Tensor) else torch.from_numpy(m)).to(device) for m in masks]
        self.counts = [m.numel() for m in self.masks]
        self._places: list[Tensor] = []  # shared by all experts with this mask
        filled = torch.zeros(sum(self.counts), device=device) if values is None else values.to(device)
        super().__init__(layers, projections.recipe.rank, scale, filled)

    def with_values(self, values: Tensor) -> SparseExpert:
        other = SparseExpert(self.layers, self.projections, self.masks, self.scale, values)
        other._places, other.form = self._places, self.form
        return other

    @property
    def places(self) -> list[Tensor]:
        """Per layer, the positions of the values in B transposed: flat positions column * d + row (nnz,)."""
        if not self._places:
            pairs = zip(self.masks, self.layers, strict=True)
            self._places += [mask % self.rank * layer.outputs + mask // self.rank for mask, layer in pairs]
        return self._places

    def pair(self, layer: LayerSpec) -> tuple[Tensor, Tensor]:
        start = sum(self.counts[: layer.index])
        mine = self.values.detach()[start : start + self.counts[layer.index]]
        a = self.projections.of(layer)
        return a, scatter(self.masks[layer.index], mine, layer.outputs, self.rank).to(a.dtype)

    def _identity(self) -> bytes:
        recipe = repr(self.projections.recipe).encode()
        return recipe + b"".join(m.cpu().numpy().tobytes() for m in self.masks) + repr(self.scale).encode()


class PairExpert(Expert):
    """A and B of a layer both follow from the flat vector, by :meth:`split`, through which gradients flow."""

    def split(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return A (r, k) and B (d, r) of every layer under ``values``."""
        raise NotImplementedError

    def pair(self, layer: LayerSpec) -> tuple[Tensor, Tensor]:
        return self.split(self.values.detach())[layer.index]


class LoraExpert(PairExpert):
    """Plain LoRA: A and B both dense and trained. The flat vector holds A then B of every layer in turn."""

    kind = "lora"

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        rank: int,
        scale: float,
        values: Tensor | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.shapes = [((rank, layer.inputs), (layer.outputs, rank)) for layer in layers]
        self.counts = [rank * n for layer in layers for n in (layer.inputs, layer.outputs)]
        if values is None:
            values = torch.zeros(sum(self.counts))
            at = 0
            for layer in layers:
                # PEFT's default: uniform in +-1/sqrt(k) for A (Kaiming with a = sqrt 5), zeros for B.
                draw = stream(seed, "lora-init", layer.name).uniform(-1.0, 1.0, rank * layer.inputs)
                values[at : at + draw.size] = torch.from_numpy(draw / layer.inputs**0.5).float()
                at += rank * (layer.inputs + layer.outputs)
        super().__init__(layers, rank, scale, values.to(device))

    def with_values(self, values: Tensor) -> LoraExpert:
        return LoraExpert(self.layers, self.rank, self.scale, values, device=str(self.values.device))

    def split(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        parts = torch.split(values, self.counts)
        return [
            (parts[2 * i].view(shape_a), parts[2 * i + 1].view(shape_b))
            for i, (shape_a, shape_b) in enumerate(self.shapes)
        ]

    def _identity(self) -> bytes:
        return f"lora/{self.rank}/{self.scale}".encode()


def scatter(positions: Tensor, values: Tensor, outputs: int, rank: int) -> Tensor:
    """Return the dense B (outputs, rank) that holds ``values`` at the flat ``positions`` and 0 elsewhere."""
    dense = values.new_zeros(outputs * rank)
    dense[positions] = values
    return dense.view(outputs, rank)
